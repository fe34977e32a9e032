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
		a.router.Warm(ctx)
	}
	tick := time.NewTicker(filesInterval)
	defer tick.Stop()
	live := a.opts.Config
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
		cfg := live
		if asked || now.config != seen.config {
			cfg = a.reread(live)
		}
		seen = now
		if err := a.reload(cfg); err != nil {
			a.opts.Logger.Error("reload failed; what ran before goes on", "err", err)
			continue
		}
		live = cfg
		a.opts.Logger.Info("reloaded", "accounts", len(a.upstream.Accounts))
		a.router.Warm(ctx)
	}
}

// reread reads the configuration again. One with mistakes leaves live in place.
func (a *App) reread(live *config.Config) *config.Config {
	if a.opts.Reload == nil {
		return live
	}
	cfg, err := a.opts.Reload()
	if err != nil {
		a.opts.Logger.Error("configuration was not reloaded; the one that ran before goes on", "err", err)
		return live
	}
	var waiting []string
	for _, name := range config.Changed(live, cfg) {
		if !takesEffect(name) {
			waiting = append(waiting, name)
		}
	}
	if len(waiting) > 0 {
		a.opts.Logger.Warn("settings changed that take effect when detour is started again", "settings", strings.Join(waiting, " "))
	}
	for _, n := range cfg.Notices {
		a.opts.Logger.Warn("config notice", "notice", n.String())
	}
	return cfg
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
	if _, err := checkPolicy(cfg, o.Paths.Config, a.upstream); err != nil {
		return err
	}
	before := a.upstream.Accounts
	if err := a.upstream.Reopen(o); err != nil {
		return err
	}
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
