package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/spf13/cobra"

	"detour/internal/app"
	"detour/internal/config"
	"detour/internal/privfile"
	"detour/providers/copilot"
)

// loginFlags are those of login.
type loginFlags struct {
	provider, id, domain, accountType, clientID string
	noProxy, json                               bool
	key                                         keyFlags
}

func newLogin(h *host) *cobra.Command {
	var f loginFlags
	c := &cobra.Command{
		Use:   "login",
		Short: "Sign in to GitHub Copilot, or put in the key of another provider",
		Long: `Login signs in to GitHub by the device flow: it shows a code and an address, and
waits until you have entered the one at the other. It then checks that GitHub
gives the account a Copilot token, says what plan it is on, and saves the
sign-in to accounts.toml, which only you can read.

With --provider it takes the API key of another provider: typed without being
shown, or from standard input when that is no terminal. It asks the provider
whether the key is good before it saves it. openai-compatible is any server with
OpenAI's API at --base-url, such as llama.cpp, Ollama, vLLM or a gateway; its key
may be left empty.

Signing in again under the id of a saved account replaces its credential and
keeps its other settings. Without --id the id is the GitHub login name, or the
name of the provider.

Exit codes: 0 signed in and checked; 1 signed in and saved, but GitHub gives no
Copilot token, or the provider could not be asked; 2 wrong usage; 4 not signed
in: declined, expired, or refused; 130 interrupted.`,
		Example: `  detour login
  detour login --id work --account-type business
  detour login --enterprise-domain acme.ghe.com
  detour login --provider anthropic
  detour login --provider zai-coding-plan --id glm < key.txt
  detour login --provider openai-compatible --id local --base-url http://127.0.0.1:11434/v1`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return runLogin(c.Context(), h, f) },
	}
	c.Flags().StringVar(&f.provider, "provider", copilot.Name, "provider to sign in to")
	c.Flags().StringVar(&f.id, "id", "", "name for the account (default: the login name, or the provider)")
	c.Flags().StringVar(&f.domain, "enterprise-domain", "", "domain of a data-residency enterprise, such as acme.ghe.com")
	c.Flags().StringVar(&f.accountType, "account-type", "", "individual, business or enterprise (default: as GitHub says)")
	c.Flags().StringVar(&f.clientID, "client-id", "", "OAuth client id to sign in as (default: the Copilot editor plugins')")
	c.Flags().BoolVar(&f.noProxy, "no-proxy", false, "dial directly, whatever [proxy] says")
	keyFlagsOf(c, &f.key)
	jsonFlag(c, &f.json)
	return c
}

// keyFlagsOf defines the flags of accounts with a key.
func keyFlagsOf(c *cobra.Command, f *keyFlags) {
	c.Flags().StringVar(&f.baseURL, "base-url", "", "address of the provider's API (default: its own)")
	c.Flags().StringVar(&f.authType, "auth-type", "", "how the key is presented: bearer, x-api-key or api-key (default: the provider's way)")
	c.Flags().StringSliceVar(&f.models, "models", nil, "the only models to use (default: all that the provider lists)")
}

func runLogin(ctx context.Context, h *host, f loginFlags) error {
	e, err := newEnroller(h, f.provider, f.noProxy)
	if err != nil {
		return err
	}
	defer e.close()
	if e.keyed() {
		if err := privfile.CheckWritable(e.settings.paths.Accounts); err != nil {
			return fmt.Errorf("save account: %w", err)
		}
		return e.loginWithKey(ctx, &f)
	}
	if f.key.given() {
		return usageError("--base-url, --auth-type and --models go with providers that take a key; see --provider")
	}
	account, err := e.named(f.id)
	if err != nil {
		return err
	}
	account = f.apply(account)
	if err := e.validate(account); err != nil {
		return err
	}
	if err := privfile.CheckWritable(e.settings.paths.Accounts); err != nil { // before anybody is asked to do anything
		return fmt.Errorf("save account: %w", err)
	}
	credential, err := e.upstream.Copilot.Login(ctx, copilot.LoginOptions{
		Domain:   account.Settings["enterprise_domain"],
		ClientID: account.Settings["client_id"],
		Scope:    account.Settings["scope"],
		Prompt:   func(d copilot.DeviceCode) { prompt(h, d) },
	})
	if err != nil {
		return loginError(err)
	}
	if credential.User.Login != "" {
		fmt.Fprintf(h.err, "signed in as %s\n", tidy(credential.User.Login))
	} else {
		fmt.Fprintln(h.err, "signed in")
	}
	if f.id == "" {
		if account, err = e.derive(credential.User.Login, credential.Domain); err != nil {
			return err
		}
		account = f.apply(account)
	}
	if credential.Domain != "" {
		account.Settings = overlay(account.Settings, map[string]string{"enterprise_domain": credential.Domain})
	}
	account.GitHubToken = credential.Token
	return e.finish(ctx, enrolment{
		account: account, login: credential.User.Login, host: cmp.Or(credential.Domain, "github.com"), verify: true, json: f.json,
	})
}

// apply returns the account with the settings that the flags give. What this sign-in gives can be exchanged, so an
// older setting that it cannot goes.
func (f *loginFlags) apply(a config.Account) config.Account {
	a.Settings = overlay(a.Settings, map[string]string{
		"enterprise_domain": f.domain, "account_type": f.accountType, "client_id": f.clientID,
	})
	delete(a.Settings, "auth")
	return a
}

// prompt shows the code before the first poll.
func prompt(h *host, d copilot.DeviceCode) {
	fmt.Fprintf(h.err, "Your one-time code: %s\nEnter it at:        %s\n", d.UserCode, d.VerificationURI)
	fmt.Fprintf(h.err, "Waiting for you; the code is good for %s. Ctrl-C stops.\n", span(d.Expires))
}

// loginError adds the way out of a sign-in that came to nothing.
func loginError(err error) error {
	e, ok := errors.AsType[*copilot.LoginError](err)
	if !ok {
		if needsLogin(err) {
			return &exitError{code: exitNotSignedIn, err: err}
		}
		return err
	}
	hint := "nothing was saved; check --client-id and --enterprise-domain if you gave them"
	switch e.Code {
	case "access_denied":
		hint = "nothing was saved; run `detour login` again if that was a slip"
	case "expired_token":
		hint = "nothing was saved; run `detour login` again for a new code"
	}
	return &exitError{code: exitNotSignedIn, err: err, hint: hint}
}

// overlay returns base with what is not empty in top.
func overlay(base, top map[string]string) map[string]string {
	out := make(map[string]string, len(base)+len(top))
	maps.Copy(out, base)
	for k, v := range top {
		if v != "" {
			out[k] = v
		}
	}
	return out
}

// validate refuses settings that the provider does not take, before anybody is asked to do anything.
func (e *enroller) validate(a config.Account) error {
	a.ID = cmp.Or(a.ID, "new")
	opened, err := e.provider.Open(app.AccountConfig(a, nil))
	if err != nil {
		return usageError("%w", err)
	}
	opened.Close()
	return nil
}
