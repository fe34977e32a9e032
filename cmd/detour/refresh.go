package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"detour/internal/app"
	"detour/providers"
)

func newRefresh(h *host) *cobra.Command {
	var id string
	var every, asJSON bool
	c := &cobra.Command{
		Use:   "refresh",
		Short: "Check that an account can get a fresh upstream token",
		Long: `Refresh takes a new token for the account now and says until when it is good. It
tells whether a sign-in still works. Of an account with a key, which has nothing
to renew, it asks the provider whether the key is good. A detour that is running renews its own
tokens, which are kept in memory only: refresh does not touch them.

Exit codes: 0 all were renewed; 1 some were not; 2 wrong usage; 4 some account
is missing or has to sign in again.`,
		Example: `  detour refresh
  detour refresh --all`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return runRefresh(c.Context(), h, id, every, asJSON) },
	}
	accountFlag(h, c, &id, "account to renew (default: the only one)")
	c.Flags().BoolVar(&every, "all", false, "renew all accounts that are not disabled")
	c.MarkFlagsMutuallyExclusive("account", "all")
	jsonFlag(c, &asJSON)
	return c
}

func runRefresh(ctx context.Context, h *host, id string, every, asJSON bool) error {
	_, u, err := h.open()
	if err != nil {
		return err
	}
	defer u.Close()
	var accounts []*providers.Account
	if every {
		accounts, err = pickSome(u, "")
	} else {
		var one *providers.Account
		one, err = pick(u, id)
		accounts = []*providers.Account{one}
	}
	if err != nil {
		return err
	}
	states := make([]tokenState, len(accounts))
	errs := make([]error, len(accounts))
	forEach(accounts, func(i int, a *providers.Account) {
		defer a.Close()
		lease, err := a.Refresh(ctx)
		if err == nil {
			err = verifyKey(ctx, u, a)
		}
		states[i] = stateOf(a, lease, err)
		if err != nil {
			errs[i] = accountError(a.ID(), err)
		}
	})
	if asJSON {
		err = h.json(states)
	} else {
		err = printRefreshed(h, states)
	}
	if err != nil {
		return err
	}
	return worst(h, errs)
}

// verifyKey asks the upstream of an account with a key whether that is good. Other accounts it passes over.
func verifyKey(ctx context.Context, u *app.Upstream, a *providers.Account) error {
	p, ok := u.Providers[a.Provider()].(providers.Keyed)
	if !ok {
		return nil
	}
	return p.Verify(ctx, a)
}

func printRefreshed(h *host, states []tokenState) error {
	now := time.Now()
	rows := make([][]cell, len(states))
	for i, s := range states {
		expires, result := when(s.Expires, now), "renewed"
		if s.Problem != nil {
			expires, result = word(""), s.Problem.Kind
		}
		rows[i] = []cell{text(s.Account), text(result), expires, word(s.Attributes["sku"]), word(s.Endpoint)}
	}
	return h.table([]string{"account", "result", "expires", "sku", "endpoint"}, rows)
}

// worst reports all errors but one, and returns the one whose exit code says most.
func worst(h *host, errs []error) error {
	var last error
	for _, err := range errs {
		switch {
		case err == nil:
			continue
		case last == nil:
			last = err
			continue
		case needsLogin(err) && !needsLogin(last):
			last, err = err, last
		}
		fmt.Fprintf(h.err, "detour: %v\n", err)
		if hint := hintFor(err); hint != "" {
			fmt.Fprintf(h.err, "hint: %s\n", hint)
		}
	}
	return last
}

// forEach calls do for every account, for several at a time, and returns when all calls have.
func forEach(accounts []*providers.Account, do func(i int, a *providers.Account)) {
	const atOnce = 8
	var wg sync.WaitGroup
	slots := make(chan struct{}, atOnce)
	for i, a := range accounts {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			do(i, a)
		})
	}
	wg.Wait()
}
