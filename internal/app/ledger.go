package app

import (
	"context"
	"path/filepath"
	"slices"
	"time"

	"detour/internal/budget"
	"detour/internal/config"
	"detour/internal/ledger"
	"detour/internal/record"
	"detour/router"
)

// stateInterval is how long a limit that an account meets may be known to this process alone.
const stateInterval = time.Second

// LedgerPath is where exchanges are recorded.
func LedgerPath(p config.Paths) string { return filepath.Join(p.Data, "usage.db") }

// buildLedger opens the ledger and lets budgets go on from what it knows. A ledger that cannot be used stops nothing:
// the log says why, and this run is not recorded.
func (a *App) buildLedger(ctx context.Context) {
	o := a.opts
	a.budget = budget.New(nil, a.now, a.warnBudget)
	defer func() { a.budget.SetLimits(limits(o.Config)) }() // after what was spent: it was warned of then
	if !o.Config.Usage.Enabled {
		return
	}
	l, err := ledger.Open(ctx, ledger.Options{
		Path: LedgerPath(o.Paths), MaxAge: o.Config.Usage.MaxAge, MaxSize: o.Config.Usage.MaxSize,
		Logger: o.Logger.With("component", "ledger"), Now: o.Now,
	})
	if err != nil {
		o.Logger.Error("usage is not recorded, and budgets begin from zero", "err", err)
		return
	}
	a.ledger = l
	a.cleanups.add("usage ledger", a.closeLedger)
	t := a.now()
	spent, err := l.Spent(ctx, time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, t.Location()))
	if err != nil {
		o.Logger.Error("budgets begin from zero", "err", err)
	}
	for _, s := range spent {
		a.budget.Spend(s.Client, s.Account, s.At, budget.Amount{
			Credits: s.Credits, EstimatedCredits: s.EstimatedCredits, PremiumRequests: s.Premium, Tokens: s.Tokens,
		})
	}
}

// limits are the owner's budgets.
func limits(cfg *config.Config) []budget.Limit {
	out := make([]budget.Limit, len(cfg.Budgets))
	for i, b := range cfg.Budgets {
		out[i] = budget.Limit{
			Name: b.Name, Account: b.Account, Client: b.Client, Period: budget.Period(b.Period), Unit: budget.Unit(b.Unit), Most: b.Limit, Warn: b.Warn,
		}
	}
	return out
}

func (a *App) warnBudget(e *budget.Exceeded) {
	attrs := []any{"name", e.Limit.Name, "spent", e.Spent, "of", e.Limit.Most, "unit", string(e.Limit.Unit), "begins_anew", e.Resets}
	if e.Estimated > 0 {
		attrs = append(attrs, "of_it_estimated", e.Estimated)
	}
	if e.Spent >= e.Limit.Most {
		a.opts.Logger.Warn("budget is spent", attrs...)
		return
	}
	a.opts.Logger.Warn("budget is nearly spent", attrs...)
}

// onExchange notes what ended. What is only relayed, and lists of models, cost nothing and have no row.
func (a *App) onExchange(e *record.Exchange) {
	if e.Endpoint != "" {
		if a.ledger != nil {
			a.ledger.Record(e)
		}
		u := &e.Usage
		a.budget.Spend(e.Client, e.Account, e.Start, budget.Amount{
			Credits: float64(u.NanoAIU) / 1e9, EstimatedCredits: float64(e.EstimatedNanoAIU) / 1e9,
			PremiumRequests: e.Premium, Tokens: float64(u.Input + u.CacheRead + u.CacheWrite + u.Output),
		})
		select {
		case a.ended <- struct{}{}:
		default:
		}
	}
	if a.opts.OnExchange != nil {
		a.opts.OnExchange(e)
	}
}

// restoreStates lets accounts rest on that met a limit before detour was started.
func (a *App) restoreStates(ctx context.Context) {
	if a.ledger == nil {
		return
	}
	saved, err := a.ledger.LoadState(ctx)
	if err != nil {
		a.opts.Logger.Error("limits that accounts met before are not known", "err", err)
		return
	}
	states := make([]router.AccountState, len(saved))
	for i, s := range saved {
		states[i] = router.AccountState(s)
	}
	a.router.Restore(states)
	a.saved = a.router.States()
}

// tendStates saves the limits that accounts meet, soon after the exchange that met one.
func (a *App) tendStates(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.ended:
		}
		if err := a.saveStates(ctx); err != nil && ctx.Err() == nil {
			a.opts.Logger.Debug("limits of accounts were not saved", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(stateInterval):
		}
	}
}

// saveStates saves the limits that hold, if they are not what was saved last. It must not be called twice at once.
func (a *App) saveStates(ctx context.Context) error {
	states := a.router.States()
	if slices.Equal(states, a.saved) {
		return nil
	}
	var accounts []string
	for _, s := range a.router.Accounts() {
		accounts = append(accounts, s.ID)
	}
	rows := make([]ledger.AccountState, len(states))
	for i, s := range states {
		rows[i] = ledger.AccountState(s)
	}
	if err := a.ledger.SaveState(ctx, accounts, rows); err != nil {
		return err
	}
	a.saved = states
	return nil
}

// closeLedger ends the ledger with everything in it. It runs when nothing is served any more.
func (a *App) closeLedger(ctx context.Context) error {
	if a.router != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second) // the grace period may be over
		defer cancel()
		if err := a.saveStates(ctx); err != nil {
			a.opts.Logger.Debug("limits of accounts were not saved", "err", err)
		}
	}
	return a.ledger.Close()
}
