package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"detour/providers"
)

func newToken(h *host) *cobra.Command {
	var id string
	var show, yes, asJSON bool
	c := &cobra.Command{
		Use:   "token",
		Short: "Show the state of an account's upstream token",
		Long: `Token takes a token for the account, as a running detour would, and shows when it
expires, when it would be renewed, and where it may be sent. It does not show
the token itself: detour keeps those in memory only, and whoever has one can use
the account until it expires.

--show prints the token, and nothing else, to standard output. It refuses to do
so on a terminal, where it would stay in the scrollback, unless --yes is given.

Exit codes: 0 there is a token; 1 it cannot be had now; 2 wrong usage; 4 the
account is missing or has to sign in again.`,
		Example: `  detour token
  detour token --account work --json
  curl -H "Authorization: Bearer $(detour token --show)" …`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if show && h.outTTY && !yes {
				return &exitError{
					code: exitUsage, err: errors.New("show token: standard output is a terminal, which would keep the token in its scrollback"),
					hint: "pipe it to the program that needs it, or add --yes",
				}
			}
			return runToken(c.Context(), h, id, show, asJSON)
		},
	}
	accountFlag(h, c, &id, "account to show (default: the only one)")
	c.Flags().BoolVar(&show, "show", false, "print the token itself")
	c.Flags().BoolVar(&yes, "yes", false, "print it even to a terminal")
	jsonFlag(c, &asJSON)
	c.MarkFlagsMutuallyExclusive("show", "json")
	return c
}

// tokenState is what may be told about a token; its shape is documented in docs/cli-json.md.
type tokenState struct {
	Account    string            `json:"account"`
	Provider   string            `json:"provider"`
	Endpoint   string            `json:"endpoint,omitempty"`
	Expires    time.Time         `json:"expires,omitzero"`
	RefreshAt  time.Time         `json:"refresh_at,omitzero"`
	Attributes map[string]string `json:"attributes,omitempty"`
	Problem    *problem          `json:"problem,omitempty"`
}

func stateOf(a *providers.Account, l providers.Lease, err error) tokenState {
	return tokenState{
		Account: a.ID(), Provider: a.Provider(), Endpoint: l.Base, Expires: l.Expires, RefreshAt: l.RefreshAt,
		Attributes: l.Attributes, Problem: problemOf(err),
	}
}

func runToken(ctx context.Context, h *host, id string, show, asJSON bool) error {
	_, u, err := h.open()
	if err != nil {
		return err
	}
	defer u.Close()
	account, err := pick(u, id)
	if err != nil {
		return err
	}
	defer account.Close()
	lease, err := account.Lease(ctx)
	if asJSON {
		if jerr := h.json(stateOf(account, lease, err)); jerr != nil {
			return jerr
		}
	}
	if err != nil {
		return accountError(account.ID(), err)
	}
	switch {
	case asJSON:
		return nil
	case show:
		_, err := fmt.Fprintln(h.out, lease.Token.Reveal())
		return err
	}
	now := time.Now()
	var f facts
	f.add("", "account", text(account.ID()))
	f.add("", "expires", when(lease.Expires, now))
	f.add("", "refresh_at", when(lease.RefreshAt, now))
	f.add("", "endpoint", text(lease.Base))
	for _, k := range sortedKeys(lease.Attributes) {
		f.add("", k, text(lease.Attributes[k]))
	}
	return f.print(h)
}
