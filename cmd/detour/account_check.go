package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"detour/internal/app"
	"detour/internal/ledger"
	"detour/providers"
	"detour/router"
)

// liveStates asks the detour that runs, if one does, how the accounts fare.
func liveStates(ctx context.Context, s settings) map[string]router.AccountStatus {
	if _, running := app.FindRunning(s.paths); !running {
		return nil
	}
	for _, d := range doors(ctx, s) {
		if d.Detour == nil {
			continue
		}
		states := map[string]router.AccountStatus{}
		for _, st := range d.Detour.Accounts {
			states[st.ID] = st
		}
		return states
	}
	return nil
}

// printLimits shows what is left of the upstream's own limits over some hours and over a week.
func printLimits(f *facts, subject string, st *router.AccountStatus, now time.Time) {
	for _, l := range []struct {
		name string
		*router.LimitStatus
	}{{"session_left", st.Session}, {"week_left", st.Week}} {
		if l.LimitStatus == nil {
			continue
		}
		human := number(l.Left).human + " %"
		if !l.Resets.IsZero() {
			human += "; begins anew " + when(l.Resets, now).human
		}
		f.add(subject, l.name, cell{human, number(l.Left).plain})
	}
}

// premiumLeft is what the upstream of each account said last of its premium requests, as the usage ledger holds it.
func premiumLeft(ctx context.Context, s settings) map[string]float64 {
	r, err := ledger.OpenReader(ctx, app.LedgerPath(s.paths))
	if err != nil {
		return nil // nothing is recorded; the usage verb says why
	}
	defer r.Close()
	list, err := r.Allowances(ctx)
	if err != nil {
		return nil
	}
	left := map[string]float64{}
	for _, a := range list {
		left[a.Account] = a.Left
	}
	return left
}

// checked is what a test of an account found; its shape is documented in docs/cli-json.md.
type checked struct {
	ID       string   `json:"id"`
	Provider string   `json:"provider"`
	OK       bool     `json:"ok"`
	Models   int      `json:"models"` // that it may use
	TookMS   int64    `json:"took_ms"`
	Problem  *problem `json:"problem,omitempty"`
}

func newAccountTest(h *host) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "test [ID]", Short: "Ask the upstream whether an account works",
		Long: `Test signs in with each account that is not disabled, or the one named, and asks
for its models. It asks no model anything, so it costs nothing.

Exit codes: 0 all work; 1 one does not; 4 there is none, or a sign-in is dead.`,
		Args: cobra.MaximumNArgs(1), ValidArgsFunction: completeAccounts(h),
		RunE: func(c *cobra.Command, args []string) error {
			id := ""
			if len(args) > 0 {
				id = args[0]
			}
			return testAccounts(c.Context(), h, id, asJSON)
		},
	}
	jsonFlag(c, &asJSON)
	return c
}

func testAccounts(ctx context.Context, h *host, id string, asJSON bool) error {
	_, u, err := h.open()
	if err != nil {
		return err
	}
	defer u.Close()
	accounts, err := pickSome(u, id)
	if err != nil {
		return err
	}
	results, errs := make([]checked, len(accounts)), make([]error, len(accounts))
	forEach(accounts, func(i int, a *providers.Account) {
		defer a.Close()
		r := checked{ID: a.ID(), Provider: a.Provider()}
		start := time.Now()
		if lister, ok := u.Providers[a.Provider()].(providers.ModelLister); ok {
			models, err := lister.Models(ctx, a)
			if err != nil {
				errs[i], r.Problem = accountError(a.ID(), err), problemOf(err)
			}
			for _, m := range models {
				if !m.Disabled {
					r.Models++
				}
			}
		}
		r.OK, r.TookMS = r.Problem == nil, time.Since(start).Milliseconds()
		results[i] = r
	})
	failed := worst(h, errs)
	if asJSON {
		err = h.json(results)
	} else {
		err = printChecked(h, results)
	}
	if err != nil {
		return err
	}
	return failed
}

func printChecked(h *host, results []checked) error {
	rows := make([][]cell, len(results))
	for i, r := range results {
		state := text("ok")
		if r.Problem != nil {
			state = text(r.Problem.Kind)
		}
		rows[i] = []cell{text(r.ID), text(r.Provider), state, number(float64(r.Models)), {fmt.Sprintf("%d ms", r.TookMS), fmt.Sprint(r.TookMS)}}
	}
	return h.table([]string{"id", "provider", "state", "models", "took_ms"}, rows)
}
