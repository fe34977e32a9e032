package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"detour/internal/app"
	"detour/internal/config"
	"detour/internal/secret"
	"detour/providers"
)

// upstream opens the configured accounts. Notes about them go to standard error. The caller closes the Upstream.
func (h *host) upstream(s settings, noProxy bool) (*app.Upstream, error) {
	if noProxy {
		s.config.Proxy.URL, s.config.Proxy.System = secret.String{}, false
	}
	u, err := app.NewUpstream(h.options(s), nil)
	if err != nil {
		return nil, err
	}
	for _, n := range u.Notes {
		fmt.Fprintln(h.err, "detour:", n)
	}
	return u, nil
}

// open is load and upstream in one, for verbs that only ask.
func (h *host) open() (settings, *app.Upstream, error) {
	s, err := h.load()
	if err != nil {
		return s, nil, err
	}
	u, err := h.upstream(s, false)
	return s, u, err
}

// pick returns the account named id, or the only one there is when id is "".
func pick(u *app.Upstream, id string) (*providers.Account, error) {
	a, err := u.Account(id)
	switch {
	case err == nil, errors.Is(err, app.ErrNoAccounts):
		return a, err
	case id == "":
		return nil, usageError("%w", err)
	}
	return nil, noAccount(err)
}

// noAccount is the error of naming an account that does not exist.
func noAccount(err error) error {
	return &exitError{code: exitNotSignedIn, err: err, hint: "`detour account list` lists them; `detour login` adds one"}
}

// pickSome returns the account named id, or all that are not disabled when id is "".
func pickSome(u *app.Upstream, id string) ([]*providers.Account, error) {
	if id != "" {
		a, err := pick(u, id)
		return []*providers.Account{a}, err
	}
	if len(u.Accounts) == 0 {
		return nil, app.ErrNoAccounts
	}
	list := slices.DeleteFunc(slices.Clone(u.Accounts), func(a *providers.Account) bool { return a.Config().Tier == providers.Disabled })
	if len(list) == 0 {
		return nil, &exitError{code: exitNotSignedIn, err: errors.New("all accounts are disabled"), hint: "switch one on with `detour account enable ID`"}
	}
	return list, nil
}

// accountError says which account an error is about, and picks its exit code: 4 when only a new sign-in helps.
func accountError(id string, err error) error {
	err = fmt.Errorf("account %s: %w", id, err)
	if needsLogin(err) {
		return &exitError{code: exitNotSignedIn, err: err}
	}
	return err
}

func needsLogin(err error) bool {
	e, ok := errors.AsType[*providers.Error](err)
	return ok && e.Kind == providers.KindLogin
}

// problem is an error as --json shows it.
type problem struct {
	Kind    string `json:"kind,omitempty"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

func problemOf(err error) *problem {
	if err == nil {
		return nil
	}
	p := &problem{Message: err.Error(), Hint: hintFor(err)}
	if e, ok := errors.AsType[*providers.Error](err); ok {
		p.Kind = e.Kind.String()
	}
	return p
}

// group makes a verb that only has sub-verbs.
func group(c *cobra.Command, sub ...*cobra.Command) *cobra.Command {
	c.Args = func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		err := fmt.Errorf("unknown command %q for %q", args[0], c.CommandPath())
		if near := c.SuggestionsFor(args[0]); len(near) > 0 {
			err = fmt.Errorf("%w: did you mean %s?", err, strings.Join(near, " or "))
		}
		return err
	}
	c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
	c.SuggestionsMinimumDistance = 2
	c.AddCommand(sub...)
	return c
}

// completeAccounts offers the ids of the accounts in both files.
func completeAccounts(h *host) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		s, err := h.load()
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		saved, err := config.LoadAccounts(s.paths.Accounts)
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		var ids []cobra.Completion
		for _, a := range slices.Concat(s.config.Accounts, saved) {
			ids = append(ids, a.ID)
		}
		return ids, cobra.ShellCompDirectiveNoFileComp
	}
}

// accountFlag adds --account.
func accountFlag(h *host, c *cobra.Command, id *string, usage string) {
	c.Flags().StringVar(id, "account", "", usage)
	if err := c.RegisterFlagCompletionFunc("account", completeAccounts(h)); err != nil {
		panic(err) // the flag was defined on the line above
	}
}

func jsonFlag(c *cobra.Command, asJSON *bool) {
	c.Flags().BoolVar(asJSON, "json", false, "print JSON")
}
