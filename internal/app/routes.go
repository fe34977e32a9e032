package app

import (
	"cmp"
	"fmt"
	"slices"

	"detour/internal/config"
	"detour/internal/dialect/filter"
	"detour/internal/recall"
	"detour/providers"
	"detour/router"
)

// routing is what the router works from under cfg. The rest of it, which no configuration changes while detour runs,
// is in base.
func routing(base router.Config, cfg *config.Config) router.Config {
	c := base
	c.Pool = router.PoolConfig{
		Strategy: cfg.Pool.Strategy, Cooldown: cfg.Pool.FailureCooldown,
		AffinityTTL: cfg.Pool.AffinityTTL, FailoverOnLimit: cfg.Pool.FailoverOnLimit,
	}
	c.Models = router.Models{Alias: cfg.Models.Alias, Prefix: cfg.Models.Prefix, Families: cfg.Models.Families, Roles: cfg.Models.Roles}
	c.PortableCompaction = cfg.Models.PortableCompaction
	c.Retry = router.Retry{
		Attempts: cfg.Retry.MaxAttempts, Connection: cfg.Retry.MaxConnectionRetries, InitialBackoff: cfg.Retry.InitialBackoff,
		Multiplier: cfg.Retry.Multiplier, MaxSingleWait: cfg.Retry.MaxSingleWait, MaxWait: cfg.Retry.MaxWait,
	}
	c.APIMode, c.ProxyMode = router.Mode(cfg.Server.RouteMode), router.Mode(cfg.ProxyMode.RouteMode)
	c.ProviderModes = modes(cfg.ProxyMode.ProviderModes)
	c.Filters = filter.Rules{
		SystemRemove: cfg.Filters.SystemPromptRemove, SystemAdd: cfg.Filters.SystemPromptAdd, ResultSuffixRemove: cfg.Filters.ToolResultSuffixRemove,
	}
	c.FilterModels = cfg.Filters.Models
	c.BodyLimit, c.EventLimit = cfg.Limits.RequestBody, cfg.Limits.SSEEvent
	c.Memory = recall.Limits{Bytes: cmp.Or(cfg.Limits.ResponseMemory, -1)}
	c.AccountPace = router.Pace{MinInterval: cfg.Limits.AccountMinInterval, PerMinute: cfg.Limits.AccountPerMinute}
	c.ClientPace = router.Pace{MinInterval: cfg.Limits.ClientMinInterval, PerMinute: cfg.Limits.ClientPerMinute}
	c.Rules, c.Profiles, c.Fallbacks = nil, nil, nil
	for i, r := range cfg.Rules {
		c.Rules = append(c.Rules, router.Rule{
			Name: cmp.Or(r.Name, fmt.Sprintf("#%d", i+1)), Door: r.Door, Host: r.Host, Path: r.Path, Model: r.Model, Client: r.Client,
			Mode: router.Mode(r.Mode), Providers: r.Providers, Accounts: r.Accounts,
		})
	}
	for _, p := range cfg.Profiles {
		c.Profiles = append(c.Profiles, router.Profile{
			Name: p.Name, Mode: router.Mode(p.Mode), Providers: p.Providers, Accounts: p.Accounts, Clients: p.Clients,
		})
	}
	for _, f := range cfg.Fallbacks {
		c.Fallbacks = append(c.Fallbacks, router.Fallback{Model: f.Model, Then: f.Then, On: f.On})
	}
	return c
}

// checkPolicy finds the providers that rules and profiles name and nobody knows. Accounts may still come, so those
// that are not there are only worth a note.
func checkPolicy(cfg *config.Config, file string, u *Upstream) (notes []string, err error) {
	wrong := &config.Invalid{Path: file}
	check := func(what string, line int, names, accounts []string) {
		for _, n := range names {
			if _, err := u.Providers.Lookup(n); err != nil {
				wrong.Problems = append(wrong.Problems, config.Problem{Line: line, Key: what, Message: err.Error()})
			}
		}
		for _, id := range accounts {
			if _, err := u.Account(id); err != nil {
				notes = append(notes, fmt.Sprintf("%s at line %d names the account %s, which is not there", what, line, id))
			}
		}
	}
	for name := range cfg.ProxyMode.ProviderModes {
		if known := router.HostProviders(); !slices.Contains(known, name) {
			key := "proxy_mode.provider_modes." + name
			wrong.Problems = append(wrong.Problems, config.Problem{Line: config.LineOf(file, key), Key: key, Message: providers.UnknownName("provider", name, known).Error()})
		}
	}
	for i, r := range cfg.Rules {
		check("rule "+cmp.Or(r.Name, fmt.Sprintf("#%d", i+1)), r.Line, r.Providers, r.Accounts)
	}
	for _, p := range cfg.Profiles {
		check("profile "+p.Name, p.Line, p.Providers, p.Accounts)
	}
	for _, b := range cfg.Budgets {
		if b.Account != "" && b.Account != "*" {
			check("budget "+b.Name, b.Line, nil, []string{b.Account})
		}
	}
	if len(wrong.Problems) > 0 {
		return nil, wrong
	}
	return notes, nil
}

// Routes makes a router that is asked what it would do, and serves nothing. The caller closes it.
func Routes(u *Upstream, o Options) (*router.Router, error) {
	if _, err := checkPolicy(o.Config, o.Paths.Config, u); err != nil {
		return nil, err
	}
	return router.New(routing(router.Config{
		Providers: u.Providers, Accounts: u.Accounts, Upstream: u.Transport, Logger: o.Logger, Now: o.Now,
	}, o.Config))
}
