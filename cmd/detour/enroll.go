package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"detour/internal/app"
	"detour/internal/config"
	"detour/internal/secret"
	"detour/providers"
	"detour/providers/copilot"
)

// enroller takes new credentials into accounts.toml, for login and import.
type enroller struct {
	h        *host
	settings settings
	saved    []config.Account
	upstream *app.Upstream
	provider providers.Provider
}

// newEnroller checks that a credential could be saved, so that nobody signs in for nothing.
func newEnroller(h *host, provider string, noProxy bool) (*enroller, error) {
	s, err := h.load()
	if err != nil {
		return nil, err
	}
	saved, err := config.LoadAccounts(s.paths.Accounts)
	if err != nil {
		return nil, err
	}
	bare := s.withoutAccounts()
	if noProxy {
		bare.config.Proxy.URL, bare.config.Proxy.System = secret.String{}, false
	}
	o := h.options(bare)
	o.Env = func(name string) string {
		if slices.Contains(copilot.EnvVariables(), name) {
			return ""
		}
		return h.env(name)
	}
	u, err := app.NewUpstream(o, nil)
	if err != nil {
		return nil, err
	}
	e := &enroller{h: h, settings: s, saved: saved, upstream: u}
	if e.provider, err = u.Providers.Lookup(provider); err != nil {
		e.close()
		return nil, usageError("--provider: %w", err)
	}
	return e, nil
}

// withoutAccounts is for work that no existing account may keep from being done by being broken: none is opened.
func (s settings) withoutAccounts() settings {
	cfg := *s.config
	cfg.Accounts = nil
	s.config, s.paths.Accounts = &cfg, ""
	return s
}

// keyed tells whether accounts of the provider are a key.
func (e *enroller) keyed() bool {
	_, ok := e.provider.(providers.Keyed)
	return ok
}

func (e *enroller) close() { e.upstream.Close() }

// named returns the saved account with the id that the owner gave, or a new one.
func (e *enroller) named(id string) (config.Account, error) {
	if strings.ContainsFunc(id, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) || len(id) > 128 {
		return config.Account{}, usageError("--id %q: an id is at most 128 bytes, without spaces", id)
	}
	if i := byID(e.settings.config.Accounts, id); id != "" && i >= 0 {
		return config.Account{}, usageError("the id %q belongs to an account in %s; choose another --id", id, e.settings.paths.Config)
	}
	if i := byID(e.saved, id); id != "" && i >= 0 {
		if p := e.saved[i].Provider; p != e.provider.Name() {
			return config.Account{}, usageError("the id %q belongs to an account of %s; choose another --id", id, p)
		}
		return stripped(e.saved[i]), nil
	}
	return config.Account{ID: id, Provider: e.provider.Name()}, nil
}

// derive finds an id for a sign-in that was given none: the login name, or that with the domain or a number added
// where another account has it. It returns the saved account of that id and domain, or a new one.
func (e *enroller) derive(login, domain string) (config.Account, error) {
	login = cmp.Or(strings.Join(strings.Fields(login), "-"), "github")
	tries := []string{login}
	if domain != "" {
		tries = append(tries, login+"@"+domain)
	}
	for n := 2; n < 100; n++ {
		tries = append(tries, login+"-"+strconv.Itoa(n))
	}
	for _, id := range tries {
		if byID(e.settings.config.Accounts, id) >= 0 {
			continue
		}
		i := byID(e.saved, id)
		if i < 0 {
			return config.Account{ID: id, Provider: copilot.Name}, nil
		}
		if a := e.saved[i]; a.Provider == copilot.Name && a.Settings["enterprise_domain"] == domain {
			return stripped(a), nil
		}
	}
	return config.Account{}, usageError("no free id for %s; choose one with --id", login)
}

func byID(list []config.Account, id string) int {
	return slices.IndexFunc(list, func(a config.Account) bool { return a.ID == id })
}

// stripped is an account without its old credentials.
func stripped(a config.Account) config.Account {
	a.GitHubToken, a.RefreshToken, a.AccessToken, a.APIKey = secret.String{}, secret.String{}, secret.String{}, secret.String{}
	a.AccessTokenExpiresAt = time.Time{}
	a.Settings = maps.Clone(a.Settings)
	return a
}

// enrolment is one credential on its way in.
type enrolment struct {
	account     config.Account
	login, host string
	verify      bool
	// probe says that the credential may be of a kind that cannot be exchanged; it is then tried as it is.
	probe bool
	json  bool
}

// enrolled is what login and import report; its shape is documented in docs/cli-json.md.
type enrolled struct {
	ID       string    `json:"id"`
	Provider string    `json:"provider"`
	Login    string    `json:"login,omitempty"`
	Host     string    `json:"host"`
	Auth     string    `json:"auth"` // exchange or direct; key or none
	Saved    bool      `json:"saved"`
	SavedTo  string    `json:"saved_to,omitempty"`
	Replaced bool      `json:"replaced"` // an account of this id was there already
	Verified bool      `json:"verified"`
	Plan     string    `json:"plan,omitempty"`
	SKU      string    `json:"sku,omitempty"`
	Endpoint string    `json:"endpoint,omitempty"`
	Expires  time.Time `json:"token_expires,omitzero"`
	Notice   string    `json:"notice,omitempty"`
	Problem  *problem  `json:"problem,omitempty"`
}

// finish verifies and saves. A credential that is refused for good is not saved, so that it cannot replace one
// that works; any other problem may pass, or can be solved elsewhere, and is only reported.
func (e *enroller) finish(ctx context.Context, n enrolment) error {
	r := enrolled{ID: n.account.ID, Provider: n.account.Provider, Login: n.login, Host: n.host}
	r.Replaced = byID(e.saved, r.ID) >= 0
	var failure error
	if n.verify {
		failure = e.verify(ctx, &n, &r)
	} else if n.probe {
		n.account.Settings = overlay(n.account.Settings, map[string]string{"auth": "direct"})
	}
	r.Auth = authOf(n.account)
	r.Verified = n.verify && failure == nil
	if failure == nil || !needsLogin(failure) {
		if err := config.SaveAccount(e.settings.paths.Accounts, n.account); err != nil {
			return err
		}
		r.Saved, r.SavedTo = true, e.settings.paths.Accounts
	}
	r.Problem = problemOf(failure)
	if err := e.print(r, n.json); err != nil {
		return err
	}
	if failure == nil {
		return nil
	}
	return enrolError(r, failure)
}

// verify finds out what the credential is good for.
func (e *enroller) verify(ctx context.Context, n *enrolment, r *enrolled) error {
	if e.keyed() {
		return e.tryKey(ctx, &n.account, r)
	}
	err := e.try(ctx, n.account, r)
	refused, ok := errors.AsType[*providers.Error](err)
	// 401 is a dead credential; any other refusal of this kind is about the application that it was made for.
	if ok && n.probe && refused.Kind == providers.KindLogin && refused.Failure.Status != 401 {
		direct := n.account
		direct.Settings = overlay(direct.Settings, map[string]string{"auth": "direct"})
		if e.try(ctx, direct, r) == nil {
			n.account = direct
			return nil
		}
	}
	return err
}

// try takes a lease of the account and fills in what comes with it.
func (e *enroller) try(ctx context.Context, a config.Account, r *enrolled) error {
	p := e.upstream.Copilot
	opened, err := p.Open(providers.AccountConfig{ID: a.ID, Provider: a.Provider, Secret: a.GitHubToken, BaseURL: a.BaseURL, Settings: a.Settings})
	if err != nil {
		return err
	}
	defer opened.Close()
	lease, err := opened.Refresh(ctx)
	if err != nil {
		return err
	}
	if a.Settings["auth"] == "direct" { // the lease proves nothing then
		if _, err := p.Models(ctx, opened); err != nil {
			return err
		}
	}
	r.SKU, r.Endpoint, r.Expires, r.Notice = lease.Attributes["sku"], lease.Base, lease.Expires, lease.Attributes["notice"]
	if lease.Attributes["chat_enabled"] == "false" {
		r.Notice = strings.TrimSpace("Copilot Chat is switched off for this account by its plan or organisation. " + r.Notice)
	}
	if info, err := p.User(ctx, opened); err == nil { // only to tell the plan
		r.Plan, r.SKU = info.Plan, cmp.Or(r.SKU, info.SKU)
	}
	return nil
}

// print reports what became of the credential.
func (e *enroller) print(r enrolled, asJSON bool) error {
	switch {
	case r.Saved && r.Replaced:
		fmt.Fprintf(e.h.err, "the credential of account %s was replaced in %s\n", r.ID, r.SavedTo)
	case r.Saved:
		fmt.Fprintf(e.h.err, "account %s was saved to %s\n", r.ID, r.SavedTo)
	}
	if asJSON {
		return e.h.json(r)
	}
	var f facts
	f.add("", "account", text(r.ID))
	f.add("", "login", word(r.Login))
	f.add("", "host", word(r.Host))
	f.add("", "plan", word(r.Plan))
	f.add("", "sku", word(r.SKU))
	f.add("", "auth", text(r.Auth))
	f.add("", "endpoint", word(r.Endpoint))
	if r.Verified && !r.Expires.IsZero() {
		f.add("", "token_expires", when(r.Expires, time.Now()))
	}
	f.add("", "verified", yesNo(r.Verified))
	f.add("", "saved", yesNo(r.Saved))
	f.add("", "replaced", yesNo(r.Replaced && r.Saved))
	if r.Notice != "" {
		f.add("", "notice", text(r.Notice))
	}
	return f.print(e.h)
}

// enrolError says what is wrong with a credential and what became of it.
func enrolError(r enrolled, failure error) error {
	what, nothing := "is not saved: GitHub does not accept this credential for Copilot", "GitHub gives it no Copilot"
	if r.Provider != copilot.Name {
		what, nothing = "is not saved: "+r.Provider+" does not accept this key", r.Provider+" does not let it be used"
	}
	code := exitNotSignedIn
	if r.Saved {
		what, code = "is saved but could not be verified", exitFailure
		if e, ok := errors.AsType[*providers.Error](failure); ok && (e.Kind == providers.KindPolicy || e.Kind == providers.KindSuspended) {
			what = "is saved but " + nothing
		}
	}
	hint := hintFor(failure)
	if r.Saved && code == exitFailure {
		hint = strings.TrimPrefix(hint+"; ", "; ") + "try again with `detour refresh --account " + r.ID + "`, or drop it with `detour account remove " + r.ID + "`"
	}
	return &exitError{code: code, err: fmt.Errorf("account %s %s: %w", r.ID, what, failure), hint: hint}
}
