package app

import (
	"context"
	"os"
	"slices"
	"time"
)

// accountsInterval is how long a sign-in may take to be noticed by a detour that runs already.
const accountsInterval = time.Second

// tendAccounts fetches the model catalogue ahead of the first request, and takes up accounts that come, change or go
// while detour runs: whoever signs in does not have to restart anything. A file that cannot be used leaves the
// accounts as they are.
func (a *App) tendAccounts(ctx context.Context) {
	seen := stamp(a.opts.Paths.Accounts)
	if len(a.upstream.Accounts) > 0 {
		a.router.Warm(ctx)
	}
	tick := time.NewTicker(accountsInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := stamp(a.opts.Paths.Accounts)
		if now == seen {
			continue
		}
		seen = now
		if err := a.reloadAccounts(); err != nil {
			a.opts.Logger.Error("accounts were not reloaded", "err", err)
			continue
		}
		a.opts.Logger.Info("accounts reloaded", "accounts", len(a.upstream.Accounts))
		a.router.Warm(ctx)
	}
}

func (a *App) reloadAccounts() error {
	before := a.upstream.Accounts
	if err := a.upstream.Reopen(a.opts); err != nil {
		return err
	}
	a.upstream.LogNotes(a.opts.Logger)
	a.routes.Accounts = a.upstream.Accounts
	if err := a.router.Reload(a.routes); err != nil {
		return err
	}
	for _, old := range before {
		if !slices.Contains(a.upstream.Accounts, old) {
			old.Close()
		}
	}
	return nil
}

// stamp tells one state of a file from the next.
func stamp(path string) (s struct {
	size  int64
	mtime time.Time
}) {
	if info, err := os.Stat(path); err == nil {
		s.size, s.mtime = info.Size(), info.ModTime()
	}
	return s
}
