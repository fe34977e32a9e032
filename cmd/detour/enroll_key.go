package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strconv"
	"strings"

	"golang.org/x/term"

	"detour/internal/app"
	"detour/internal/config"
	"detour/internal/secret"
	"detour/providers"
	"detour/providers/keyed"
)

// keyFlags are those of login and import that describe an account with a key.
type keyFlags struct {
	baseURL, authType string
	models            []string
}

func (f *keyFlags) given() bool { return f.baseURL != "" || f.authType != "" || len(f.models) > 0 }

// keyAccount returns the account that a key is for: the saved one of that id with its settings, or a new one. Without an
// id it is called like its provider.
func (e *enroller) keyAccount(id string, f *keyFlags) (config.Account, error) {
	a, err := e.named(id)
	if err != nil {
		return a, err
	}
	if id == "" {
		if a, err = e.free(e.provider.Name()); err != nil {
			return a, err
		}
	}
	a.BaseURL, a.AuthType = cmp.Or(f.baseURL, a.BaseURL), cmp.Or(f.authType, a.AuthType)
	if len(f.models) > 0 {
		a.Models = f.models
	}
	try := a // before anybody is asked for a key
	if !e.provider.(providers.Keyed).KeyOptional() {
		try.APIKey = secret.New("key")
	}
	return a, e.validate(try)
}

// free returns the saved account called name if it is of the provider, else a new one under the first id that nobody
// has.
func (e *enroller) free(name string) (config.Account, error) {
	for n := 1; n < 100; n++ {
		id := name
		if n > 1 {
			id += "-" + strconv.Itoa(n)
		}
		if byID(e.settings.config.Accounts, id) >= 0 {
			continue
		}
		i := byID(e.saved, id)
		if i < 0 {
			return config.Account{ID: id, Provider: e.provider.Name()}, nil
		}
		if e.saved[i].Provider == e.provider.Name() {
			return stripped(e.saved[i]), nil
		}
	}
	return config.Account{}, usageError("no free id for %s; choose one with --id", name)
}

// finishKey checks the key, asks the upstream about it and saves it.
func (e *enroller) finishKey(ctx context.Context, a config.Account, key secret.String, verify, asJSON bool) error {
	p := e.provider.(providers.Keyed) // that is why we are here
	if key.IsZero() && !p.KeyOptional() {
		return &exitError{code: exitUsage, err: errors.New("no key was given"), hint: "paste it at the prompt, or pipe it in: `detour login --provider " + p.Name() + " < FILE`"}
	}
	if err := keyed.CheckKey(key); err != nil {
		return &exitError{code: exitUsage, err: err}
	}
	a.APIKey = key
	if err := e.validate(a); err != nil {
		return err
	}
	n := enrolment{account: a, verify: verify, json: asJSON}
	if u, err := url.Parse(a.BaseURL); err == nil {
		n.host = u.Host
	}
	return e.finish(ctx, n)
}

// tryKey asks the upstream whether it takes the key. An address that lacks its end gets it.
func (e *enroller) tryKey(ctx context.Context, a *config.Account, r *enrolled) error {
	err := e.askKey(ctx, *a, r)
	if err == nil || a.BaseURL == "" {
		return err
	}
	base := e.provider.(providers.Keyed).Locate(ctx, app.AccountConfig(*a, nil), err)
	if base == "" {
		return err
	}
	fmt.Fprintf(e.h.err, "%s has no such API, but %s has: that is used\n", redacted(a.BaseURL), redacted(base))
	a.BaseURL = base
	return e.askKey(ctx, *a, r)
}

// askKey asks the upstream whether it takes the key.
func (e *enroller) askKey(ctx context.Context, a config.Account, r *enrolled) error {
	opened, err := e.provider.Open(app.AccountConfig(a, nil))
	if err != nil {
		return err
	}
	defer opened.Close()
	lease, err := opened.Lease(ctx)
	if err != nil {
		return err
	}
	r.Endpoint = lease.Base
	if u, err := url.Parse(lease.Base); err == nil {
		r.Host = u.Host
	}
	return e.provider.(providers.Keyed).Verify(ctx, opened)
}

// maxKey bounds what is read as a key.
const maxKey = 64 << 10

// readKey reads a key: hidden at a terminal, else the whole of standard input.
func (h *host) readKey(ctx context.Context, prompt string) (secret.String, error) {
	type outcome struct {
		key string
		err error
	}
	file, _ := h.in.(*os.File)
	hidden := file != nil && term.IsTerminal(int(file.Fd()))
	var before *term.State
	if hidden {
		before, _ = term.GetState(int(file.Fd()))
	}
	if h.inTTY {
		fmt.Fprint(h.err, prompt)
		defer fmt.Fprintln(h.err)
	}
	done := make(chan outcome, 1)
	go func() { // a read of a terminal cannot be ended; the process does, right after an interrupt
		switch {
		case hidden:
			b, err := term.ReadPassword(int(file.Fd()))
			done <- outcome{string(b), err}
		case h.inTTY:
			line, err := bufio.NewReader(io.LimitReader(h.in, maxKey+2)).ReadString('\n')
			if errors.Is(err, io.EOF) {
				err = nil
			}
			done <- outcome{line, err}
		default:
			b, err := io.ReadAll(io.LimitReader(h.in, maxKey+2))
			done <- outcome{string(b), err}
		}
	}()
	select {
	case o := <-done:
		if o.err != nil && !errors.Is(o.err, io.EOF) {
			return secret.String{}, fmt.Errorf("read the key: %w", o.err)
		}
		// An end of line is how it was typed or piped, and no part of it.
		return secret.New(strings.TrimRight(o.key, "\r\n")), nil
	case <-ctx.Done():
		if before != nil {
			_ = term.Restore(int(file.Fd()), before) // the shell would be left without echo
		}
		return secret.String{}, ctx.Err()
	}
}

// loginWithKey is login for providers that take a key.
func (e *enroller) loginWithKey(ctx context.Context, f *loginFlags) error {
	for flag, v := range map[string]string{"--enterprise-domain": f.domain, "--account-type": f.accountType, "--client-id": f.clientID} {
		if v != "" {
			return usageError("%s does not go with --provider %s", flag, f.provider)
		}
	}
	a, err := e.keyAccount(f.id, &f.key)
	if err != nil {
		return err
	}
	p := e.provider.(providers.Keyed)
	prompt := "API key for " + p.Name() + " (not shown)"
	if p.KeyOptional() {
		prompt += ", or nothing if it needs none"
	}
	key, err := e.h.readKey(ctx, prompt+": ")
	if err != nil {
		return err
	}
	return e.finishKey(ctx, a, key, true, f.json)
}

// importKey is import --from env for providers that take a key.
func (e *enroller) importKey(ctx context.Context, f *importFlags) error {
	switch {
	case f.from != "env":
		return usageError("--provider %s goes with --from env only", f.provider)
	case f.user != "" || f.host != "":
		return usageError("--user and --host do not go with --provider %s", f.provider)
	}
	a, err := e.keyAccount(f.id, &f.key)
	if err != nil {
		return err
	}
	names := e.provider.(providers.Keyed).KeyVariables()
	if f.variable != "" {
		names = []string{f.variable}
	}
	for _, name := range names {
		// An end of line is what files and command substitution leave behind.
		if v := strings.TrimRight(e.h.env(name), "\r\n"); v != "" {
			fmt.Fprintf(e.h.err, "found a key in %s\n", name)
			return e.finishKey(ctx, a, secret.New(v), !f.noVerify, f.json)
		}
	}
	verb := " is not set"
	if len(names) > 1 {
		verb = " are not set"
	}
	return &exitError{
		code: exitNotSignedIn, err: fmt.Errorf("import from env: %s%s", strings.Join(names, ", "), verb),
		hint: "set one, name another with --env-var, or paste the key with `detour login --provider " + f.provider + "`",
	}
}
