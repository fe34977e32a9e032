package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"detour/providers"
	"detour/providers/copilot"
)

// importFlags are those of import.
type importFlags struct {
	from, provider, id, user, host, variable string
	noVerify, noProxy, json                  bool
	key                                      keyFlags
}

func newImport(h *host) *cobra.Command {
	var f importFlags
	var sources []cobra.Completion
	for _, s := range copilot.ImportSources() {
		sources = append(sources, string(s))
	}
	c := &cobra.Command{
		Use:   "import --from gh|copilot-plugin|opencode|env",
		Short: "Take over a sign-in or key that another program or the environment has",
		Long: `Import looks for GitHub sign-ins of other programs, says what it found, checks
that one works for Copilot, and saves it to accounts.toml. The other program
keeps its sign-in. Where there are several, --user says which one.

Sources:
  gh              the GitHub CLI: its keyring through 'gh auth token', and its file
  copilot-plugin  the Copilot plugins of Vim, JetBrains and others
  opencode        opencode's auth.json
  env             COPILOT_GITHUB_TOKEN, GH_TOKEN, GITHUB_TOKEN, or --env-var

With --provider and --from env, import takes the API key of another provider from
the variable that is customary for it (OPENAI_API_KEY, ANTHROPIC_API_KEY,
ZAI_API_KEY or ZHIPUAI_API_KEY, DEEPSEEK_API_KEY, OPENROUTER_API_KEY,
GEMINI_API_KEY or GOOGLE_API_KEY), or from --env-var, and checks it.

Tokens that GitHub does not exchange for Copilot tokens are tried as they are;
the account then gets auth = "direct".

Exit codes: 0 saved and checked; 1 saved, but GitHub gives no Copilot token, or
the provider could not be asked; 2 wrong usage, or several sign-ins to choose from; 4 no
sign-in was found, or it is dead and was not saved; 130 interrupted.`,
		Example: `  detour import --from gh
  detour import --from gh --user octocat --id work
  detour import --from env --env-var MY_TOKEN --no-verify
  detour import --from env --provider openai --id work`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return runImport(c.Context(), h, f) },
	}
	c.Flags().StringVar(&f.from, "from", "", "where to look: gh, copilot-plugin, opencode or env")
	c.Flags().StringVar(&f.provider, "provider", copilot.Name, "provider that the sign-in is for")
	c.Flags().StringVar(&f.id, "id", "", "name for the account (default: the login name, or the provider)")
	c.Flags().StringVar(&f.user, "user", "", "login name to take, where there are several")
	c.Flags().StringVar(&f.host, "host", "", "only sign-ins at this host, such as github.com or acme.ghe.com")
	c.Flags().StringVar(&f.variable, "env-var", "", "variable to read, with --from env")
	c.Flags().BoolVar(&f.noVerify, "no-verify", false, "save without asking the provider anything")
	c.Flags().BoolVar(&f.noProxy, "no-proxy", false, "dial directly, whatever [proxy] says")
	keyFlagsOf(c, &f.key)
	jsonFlag(c, &f.json)
	if err := errors.Join(
		c.MarkFlagRequired("from"),
		c.RegisterFlagCompletionFunc("from", cobra.FixedCompletions(sources, cobra.ShellCompDirectiveNoFileComp)),
	); err != nil {
		panic(err) // a flag that is not defined above
	}
	return c
}

func runImport(ctx context.Context, h *host, f importFlags) error {
	source := copilot.ImportSource(f.from)
	if f.variable != "" && source != copilot.ImportEnv {
		return usageError("--env-var goes with --from env only")
	}
	if _, err := copilot.NormalizeDomain(f.host); err != nil {
		return usageError("--host: %w", err)
	}
	e, err := newEnroller(h, f.provider, f.noProxy)
	if err != nil {
		return err
	}
	defer e.close()
	if e.keyed() {
		return e.importKey(ctx, &f)
	}
	if f.key.given() {
		return usageError("--base-url, --auth-type and --models go with providers that take a key; see --provider")
	}
	account, err := e.named(f.id)
	if err != nil {
		return err
	}
	importer := copilot.Importer{Env: h.env}
	found, err := importer.Candidates(ctx, source, copilot.ImportOptions{Host: f.host, Variable: f.variable})
	switch {
	case err != nil && !slices.Contains(copilot.ImportSources(), source):
		return usageError("--from: %w", err)
	case err != nil && ctx.Err() != nil:
		return err
	case err != nil && len(found) == 0:
		return &exitError{code: exitNotSignedIn, err: err, hint: "sign in with `detour login`"}
	case err != nil:
		fmt.Fprintln(h.err, "detour:", err)
	case len(found) == 0:
		return &exitError{code: exitNotSignedIn, err: fmt.Errorf("import from %s: no sign-in was found", source), hint: e.importHint(source)}
	}
	if !f.noVerify {
		e.identify(ctx, found)
	}
	one, err := choose(h, found, f.user)
	if err != nil {
		return err
	}
	domain, err := copilot.NormalizeDomain(one.Host)
	if err != nil {
		return err
	}
	if f.id == "" {
		if account, err = e.derive(one.User, domain); err != nil {
			return err
		}
	}
	account.Settings = overlay(account.Settings, map[string]string{"enterprise_domain": domain})
	delete(account.Settings, "auth") // finish finds out
	account.GitHubToken = one.Token
	return e.finish(ctx, enrolment{account: account, login: one.User, host: one.Host, verify: !f.noVerify, probe: one.Direct, json: f.json})
}

// importHint says what else could have been meant: keys of other providers lie in the environment too.
func (e *enroller) importHint(source copilot.ImportSource) string {
	if source == "env" {
		for _, name := range e.upstream.Providers.Names() {
			p, ok := e.upstream.Providers[name].(providers.Keyed)
			if !ok {
				continue
			}
			for _, variable := range p.KeyVariables() {
				if e.h.env(variable) != "" {
					return variable + " is set: `detour import --from env --provider " + name + "` takes its key"
				}
			}
		}
	}
	return "sign in with `detour login`"
}

// identify asks GitHub for the names that the source did not tell. That a name stays unknown is no reason to stop: the
// check of the account will say what is wrong.
func (e *enroller) identify(ctx context.Context, found []copilot.Candidate) {
	for i, c := range found {
		if c.User != "" {
			continue
		}
		domain, err := copilot.NormalizeDomain(c.Host)
		if err != nil {
			continue
		}
		if who, err := e.upstream.Copilot.Identify(ctx, c.Token, domain); err == nil {
			found[i].User = who.Login
		}
	}
}

// choose says what was found and returns the sign-in to take. Several of one person at one host are the same sign-in
// in several places: the first that can be exchanged is taken.
func choose(h *host, found []copilot.Candidate, user string) (copilot.Candidate, error) {
	for _, c := range found {
		fmt.Fprintf(h.err, "found %s at %s in %s\n", tidy(orUnknown(c.User)), c.Host, tidy(c.Source))
	}
	fit := found
	if user != "" {
		fit = slices.DeleteFunc(slices.Clone(found), func(c copilot.Candidate) bool { return c.User != user })
	}
	if len(fit) == 0 {
		return copilot.Candidate{}, &exitError{code: exitNotSignedIn, err: fmt.Errorf("none of the sign-ins is of %s", user), hint: "leave --user out to see which there are"}
	}
	for _, c := range fit[1:] {
		if c.User != fit[0].User || c.Host != fit[0].Host || c.User == "" {
			return copilot.Candidate{}, &exitError{
				code: exitUsage, err: fmt.Errorf("there are %d sign-ins to choose from", len(fit)),
				hint: "name one with --user LOGIN, and with --host if it is at several",
			}
		}
	}
	if i := slices.IndexFunc(fit, func(c copilot.Candidate) bool { return !c.Direct }); i >= 0 {
		return fit[i], nil
	}
	return fit[0], nil
}

func orUnknown(user string) string {
	if user == "" {
		return "somebody"
	}
	return user
}
