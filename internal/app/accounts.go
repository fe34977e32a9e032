package app

import (
	"context"
	"os"
	"slices"
	"strings"
	"time"

	"detour/internal/config"
)

// filesInterval is how long a sign-in or a change of the configuration may take to be noticed by a detour that runs
// already.
const filesInterval = time.Second

// tendFiles fetches the model catalogue ahead of the first request, and takes up accounts that come, change or go, and
// a changed configuration, while detour runs: whoever signs in or edits a rule does not have to restart anything. A
// file that cannot be used leaves everything as it is.
func (a *App) tendFiles(ctx context.Context) {
	seen := a.files
	if len(a.upstream.Accounts) > 0 {
		a.warm(ctx)
	}
	tick := time.NewTicker(filesInterval)
	defer tick.Stop()
	failed := false
	for {
		asked := false
		select {
		case <-ctx.Done():
			return
		case <-a.opts.Reloads:
			asked = true
		case <-tick.C:
		}
		now := stampsOf(a.opts.Paths)
		if now == seen && !asked {
			continue
		}
		// After a failure config.toml may hold a change that waits for another file to be mended.
		if asked || failed || now.config != seen.config {
			failed = !a.takeUp(asked || now.accounts != seen.accounts)
		} else {
			failed = !a.work(a.live.Load())
		}
		seen = now
		if !failed {
			a.warm(ctx)
		}
	}
}

// warm fetches the model catalogue, and tells which models the configuration names that are not in it.
func (a *App) warm(ctx context.Context) {
	a.router.Warm(ctx)
	for _, n := range modelNotes(a.live.Load(), a.opts.Paths.Config, a.router.Leads) {
		a.opts.Logger.Warn("config notice", "notice", n)
	}
}

// takeUp works on with the files as they are, and tells whether it can. A configuration with mistakes leaves the one
// that runs in place; accounts that changed are then taken up under that.
func (a *App) takeUp(accounts bool) bool {
	cfg, err := a.reread()
	if err == nil {
		return a.work(cfg)
	}
	a.opts.Logger.Error("configuration was not reloaded; the one that ran before goes on", "err", err)
	if accounts {
		a.work(a.live.Load())
	}
	a.blame(err)
	return false
}

// work goes on with cfg and the accounts as they are now, notes how that went, and tells whether it went well.
func (a *App) work(cfg *config.Config) bool {
	if err := a.reload(cfg); err != nil {
		a.opts.Logger.Error("reload failed; what ran before goes on", "err", err)
		a.blame(err)
		return false
	}
	waiting := a.waiting(cfg)
	if len(waiting) > 0 && !slices.Equal(waiting, a.condition.Load().Restart) {
		a.opts.Logger.Warn("settings changed that take effect when detour is started again", "settings", strings.Join(waiting, " "))
	}
	a.live.Store(cfg)
	a.condition.Store(&ConfigHealth{Restart: waiting})
	a.opts.Logger.Info("reloaded", "accounts", len(a.upstream.Accounts))
	return true
}

// blame notes that the files cannot be used because of err.
func (a *App) blame(err error) {
	c := *a.condition.Load()
	if c.Problem == "" {
		c.Since = a.now()
	}
	c.Problem = err.Error()
	a.condition.Store(&c)
}

// reread reads the configuration again.
func (a *App) reread() (*config.Config, error) {
	if a.opts.Reload == nil {
		return a.live.Load(), nil
	}
	cfg, err := a.opts.Reload()
	if err != nil {
		return nil, err
	}
	for _, n := range cfg.Notices {
		a.opts.Logger.Warn("config notice", "notice", n.String())
	}
	return cfg, nil
}

// waiting names the settings that are another in cfg than at the start and cannot change before the next one.
func (a *App) waiting(cfg *config.Config) []string {
	return slices.DeleteFunc(config.Changed(a.opts.Config, cfg), takesEffect)
}

// takesEffect tells whether a changed setting holds at once.
func takesEffect(name string) bool {
	section, _, _ := strings.Cut(name, ".")
	switch section {
	case "pool", "models", "filters", "retry", "rules", "profiles", "fallback", "budget", "accounts":
		return true
	}
	switch name {
	case "limits.account_min_interval", "limits.account_per_minute", "limits.client_min_interval", "limits.client_per_minute",
		"server.route_mode", "proxy_mode.route_mode", "proxy_mode.provider_modes", "limits.request_body", "limits.sse_event", "limits.response_memory":
		return true
	}
	return false
}

// reload works on with the accounts and the routes as they are now. After an error everything is as it was.
func (a *App) reload(cfg *config.Config) error {
	o := a.opts
	o.Config = cfg
	if err := CheckPolicy(cfg, o.Paths.Config, a.upstream); err != nil {
		return err
	}
	before := a.upstream.Accounts
	if err := a.upstream.Reopen(o); err != nil {
		return err
	}
	a.upstream.Notes = append(a.upstream.Notes, PolicyNotes(cfg, o.Paths, a.upstream)...)
	a.upstream.LogNotes(a.opts.Logger)
	a.base.Accounts = a.upstream.Accounts
	if err := a.router.Reload(routing(a.base, cfg)); err != nil {
		return err
	}
	a.budget.SetLimits(limits(cfg))
	for _, old := range before {
		if !slices.Contains(a.upstream.Accounts, old) {
			old.Close()
		}
	}
	return nil
}

// stamps tell one state of the files that are watched from the next.
type stamps struct{ accounts, config stamp }

func stampsOf(p config.Paths) stamps { return stamps{stampOf(p.Accounts), stampOf(p.Config)} }

// stamp tells one state of a file from the next.
type stamp struct {
	size  int64
	mtime time.Time
}

func stampOf(path string) (s stamp) {
	if info, err := os.Stat(path); err == nil {
		s.size, s.mtime = info.Size(), info.ModTime()
	}
	return s
}
