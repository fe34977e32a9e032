package app

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"detour/internal/clientkey"
	"detour/internal/config"
	"detour/internal/dialect/filter"
	"detour/internal/recall"
	"detour/internal/suggest"
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
			Name: cmp.Or(r.Name, fmt.Sprintf("#%d", i+1)), Door: r.Door, Host: strings.ToLower(strings.TrimSuffix(r.Host, ".")), Path: r.Path, Model: r.Model, Client: r.Client,
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

// CheckPolicy finds the providers that rules and profiles name and nobody knows.
func CheckPolicy(cfg *config.Config, file string, u *Upstream) error {
	wrong := &config.Invalid{Path: file}
	for _, b := range policyBlocks(cfg) {
		for _, n := range b.providers {
			if _, err := u.Providers.Lookup(n); err != nil {
				wrong.Problems = append(wrong.Problems, config.Problem{Line: b.line, Key: b.what, Message: err.Error()})
			}
		}
	}
	if len(wrong.Problems) == 0 {
		return nil
	}
	slices.SortStableFunc(wrong.Problems, func(a, b config.Problem) int { return cmp.Compare(a.Line, b.Line) })
	return wrong
}

// PolicyNotes tells which accounts and client keys rules, profiles and budgets name that are not there, and which hosts
// that are not decrypted. They may still come, so that is no mistake; but a misspelt budget bounds nobody.
func PolicyNotes(cfg *config.Config, p config.Paths, u *Upstream) []string {
	var accounts, clients []string
	for _, a := range u.Accounts {
		accounts = append(accounts, a.ID())
	}
	keys, err := clientkey.List(p.Keys)
	for _, k := range keys {
		clients = append(clients, k.Name)
	}
	var notes []string
	check := func(b *policyBlock, what string, names, known []string) {
		for _, n := range names {
			if n != "" && !strings.Contains(n, "*") && !slices.Contains(known, n) {
				notes = append(notes, fmt.Sprintf("%s at line %d names the %s %s, which is not there%s", b.what, b.line, what, n, meant(n, known)))
			}
		}
	}
	for i, r := range cfg.Rules {
		if r.Host != "" && !strings.Contains(r.Host, "*") && !matches(InterceptedHosts(cfg), strings.ToLower(r.Host)) {
			notes = append(notes, fmt.Sprintf("rule %s at line %d is for the host %s, which detour does not decrypt; proxy_mode.intercept_hosts adds hosts",
				cmp.Or(r.Name, fmt.Sprintf("#%d", i+1)), r.Line, r.Host))
		}
	}
	for _, b := range policyBlocks(cfg) {
		check(&b, "account", b.accounts, accounts)
		if err == nil {
			check(&b, "client key", b.clients, clients)
		}
	}
	return notes
}

// modelNotes tells which models the configuration names that no account has. leads tells whether a name leads to one.
func modelNotes(cfg *config.Config, file string, leads func(string) bool) []string {
	var notes []string
	note := func(what string, line int, name string) {
		notes = append(notes, fmt.Sprintf("%s at line %d names the model %s, which no account has", what, line, name))
	}
	for table, names := range map[string]map[string]string{
		"models.alias": cfg.Models.Alias, "models.prefix": cfg.Models.Prefix, "models.roles": cfg.Models.Roles, "models.families": cfg.Models.Families,
	} {
		for key, name := range names {
			if !leads(name) {
				note(table+"."+key, config.LineOf(file, table, key), name)
			}
		}
	}
	for _, f := range cfg.Fallbacks {
		for _, name := range append([]string{f.Model}, f.Then...) {
			if !strings.Contains(name, "*") && !leads(name) {
				note("fallback", f.Line, name)
			}
		}
	}
	slices.Sort(notes)
	return notes
}

// meant asks whether one of the known names was meant.
func meant(name string, known []string) string {
	if n := suggest.Nearest(name, known); n != "" {
		return "; did you mean " + n + "?"
	}
	return ""
}

// policyBlock is what one block of the configuration names.
type policyBlock struct {
	what                         string
	line                         int
	providers, accounts, clients []string
}

func policyBlocks(cfg *config.Config) []policyBlock {
	var out []policyBlock
	for i, r := range cfg.Rules {
		out = append(out, policyBlock{"rule " + cmp.Or(r.Name, fmt.Sprintf("#%d", i+1)), r.Line, r.Providers, r.Accounts, []string{r.Client}})
	}
	for _, p := range cfg.Profiles {
		out = append(out, policyBlock{"profile " + p.Name, p.Line, p.Providers, p.Accounts, p.Clients})
	}
	for _, b := range cfg.Budgets {
		out = append(out, policyBlock{"budget " + b.Name, b.Line, nil, []string{b.Account}, []string{b.Client}})
	}
	return out
}

// Routes makes a router that is asked what it would do, and serves nothing. The caller closes it.
func Routes(u *Upstream, o Options) (*router.Router, error) {
	if err := CheckPolicy(o.Config, o.Paths.Config, u); err != nil {
		return nil, err
	}
	return router.New(routing(router.Config{
		Providers: u.Providers, Accounts: u.Accounts, Upstream: u.Transport, Logger: o.Logger, Now: o.Now,
	}, o.Config))
}
