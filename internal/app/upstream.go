package app

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"detour/internal/config"
	"detour/internal/dial"
	"detour/internal/secret"
	"detour/providers"
	"detour/providers/all"
	"detour/providers/copilot"
	"detour/providers/keyed"
	"detour/shellenv"
)

// Upstream is how detour itself reaches the providers: the way out, the providers and the accounts. Commands that
// serve nothing use it alone.
type Upstream struct {
	Transport http.RoundTripper // with the stall watchdog
	Providers providers.Registry
	Copilot   *copilot.Provider
	Accounts  []*providers.Account
	// Notes are for the owner: which accounts are used and why, which are not.
	Notes []string

	base  *http.Transport
	about []string // notes that do not depend on the accounts
}

// ownersEnv is the environment as it was before `proxy env`: a detour that is started in a shell which points at
// detour still finds the way out that the owner had.
func ownersEnv(env func(string) string) func(string) string {
	original := shellenv.Original(func(name string) (string, bool) {
		v := env(name)
		return v, v != ""
	})
	return func(name string) string {
		v, _ := original(name)
		return v
	}
}

// NewUpstream opens the providers and the configured accounts. It does no network I/O.
func NewUpstream(o Options, self []string) (*Upstream, error) {
	cfg := o.Config
	d, err := dial.New(dial.Options{
		Proxy: cfg.Proxy.URL.Reveal(), System: cfg.Proxy.System, NoProxy: cfg.Proxy.NoProxy, Self: self,
		RootCAs: o.Env("DETOUR_UPSTREAM_CA"), Env: ownersEnv(o.Env),
	})
	if err != nil {
		return nil, fmt.Errorf("set up the way out: %w", err)
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	u := &Upstream{base: d.Transport(protocols)}
	u.Transport = &providers.Watchdog{Base: u.base, Stall: cmp.Or(cfg.Limits.StallTimeout, 15*time.Minute)}

	install, err := config.LoadInstall(o.Paths.Install)
	if err != nil {
		return nil, err
	}
	u.Copilot = copilot.New(copilot.Options{
		Transport: u.Transport,
		URLs: copilot.URLs{
			GitHub:     o.Env("DETOUR_GITHUB_URL"),
			GitHubAPI:  o.Env("DETOUR_GITHUB_API_URL"),
			CopilotAPI: o.Env("DETOUR_COPILOT_API_URL"),
		},
		Install: copilot.Identity{DeviceID: install.DeviceID, MachineID: install.MachineID},
		Logger:  o.Logger,
		Version: o.Version,
	})
	u.Providers = all.Registry(u.Copilot, keyed.Options{
		Transport: u.Transport, Metadata: u.metadata(o), Logger: o.Logger, Now: o.Now, Version: o.Version,
	})
	if err := u.Reopen(o); err != nil {
		u.Close()
		return nil, err
	}
	return u, nil
}

// Reopen opens the accounts: those of config.toml and accounts.toml, or in place of their Copilot accounts the one that
// the environment names. An account that was open already and has not changed stays the same value, with its lease.
// After an error the accounts are what they were.
func (u *Upstream) Reopen(o Options) error {
	saved, err := config.LoadAccounts(o.Paths.Accounts)
	if err != nil {
		return err
	}
	before, notes := u.Accounts, u.Notes
	u.Accounts, u.Notes = nil, slices.Clone(u.about)
	if err := u.open(o, saved, before); err != nil {
		for _, a := range u.Accounts {
			if !slices.Contains(before, a) {
				a.Close()
			}
		}
		u.Accounts, u.Notes = before, notes
		return err
	}
	return nil
}

// inClear names upstream addresses that credentials would go to without encryption.
func inClear(o Options, accounts []config.Account) []string {
	var notes []string
	note := func(what, address string) {
		u, err := url.Parse(address)
		if err == nil && u.Scheme == "http" && !config.IsLoopback(u.Hostname()) {
			notes = append(notes, fmt.Sprintf("%s is %s: credentials go there unencrypted", what, u.Redacted()))
		}
	}
	for _, name := range []string{"DETOUR_GITHUB_URL", "DETOUR_GITHUB_API_URL", "DETOUR_COPILOT_API_URL"} {
		note(name, o.Env(name))
	}
	for _, a := range accounts {
		if AccountConfig(a, nil).Secret.IsZero() {
			continue // nothing goes there that could be read on the way
		}
		note("base_url of account "+a.ID, a.BaseURL)
		for _, key := range []string{"github_url", "github_api_url", "copilot_api_url"} {
			note(key+" of account "+a.ID, a.Settings[key])
		}
	}
	return notes
}

func (u *Upstream) open(o Options, saved []config.Account, before []*providers.Account) error {
	list := slices.Concat(o.Config.Accounts, saved)
	if env, ok := u.fromEnvironment(o.Env); ok {
		n := len(list)
		list = slices.DeleteFunc(list, func(a config.Account) bool { return a.Provider == u.Copilot.Name() })
		if n > len(list) {
			u.Notes = append(u.Notes, fmt.Sprintf("%s is set and takes the place of %d saved account(s)", env.Source, n-len(list)))
		}
		list = slices.Insert(list, 0, env)
	}
	u.Notes = append(u.Notes, inClear(o, list)...)
	seen, wrong := map[string]string{}, mistakes{paths: o.Paths}
	for _, a := range list {
		if other, dup := seen[a.ID]; dup {
			wrong.add(a, "id", fmt.Errorf("the id is used in %s and in %s; rename one", other, a.Source))
			continue
		}
		seen[a.ID] = a.Source
		p, err := u.Providers.Lookup(a.Provider)
		if err != nil {
			wrong.add(a, "provider", err)
			continue
		}
		cfg := AccountConfig(a, o.Now)
		if i := slices.IndexFunc(before, func(b *providers.Account) bool { return same(b.Config(), cfg) }); i >= 0 {
			u.Accounts = append(u.Accounts, before[i])
			continue
		}
		ac, err := p.Open(cfg)
		if err != nil {
			wrong.add(a, "", err)
			continue
		}
		u.Accounts = append(u.Accounts, ac)
	}
	return wrong.err()
}

// same tells whether two configurations mean the same account.
func same(a, b providers.AccountConfig) bool {
	return a.ID == b.ID && a.Provider == b.Provider && a.Secret.Equal(b.Secret) && a.BaseURL == b.BaseURL && a.AuthType == b.AuthType && a.Tier == b.Tier &&
		slices.Equal(a.Models, b.Models) && maps.Equal(a.Settings, b.Settings)
}

// fromEnvironment returns the account that the environment names. A classic personal access token can never be
// exchanged, so it is passed over with a note: it is most likely there for other tools.
func (u *Upstream) fromEnvironment(env func(string) string) (config.Account, bool) {
	for i, name := range copilot.EnvVariables() {
		v := strings.TrimSpace(env(name))
		if v == "" {
			continue
		}
		if strings.HasPrefix(v, "ghp_") && i > 0 {
			u.Notes = append(u.Notes, name+" holds a personal access token, which Copilot does not accept; it is not used")
			continue
		}
		return config.Account{ID: "env", Provider: u.Copilot.Name(), GitHubToken: secret.New(v), Source: name}, true
	}
	return config.Account{}, false
}

// AccountConfig is what an account of the files is opened from.
func AccountConfig(a config.Account, now func() time.Time) providers.AccountConfig {
	tier := providers.Tier(a.Tier)
	if a.Disabled {
		tier = providers.Disabled
	}
	token := a.GitHubToken
	for _, t := range []secret.String{a.RefreshToken, a.APIKey, a.AccessToken} {
		if token.IsZero() {
			token = t
		}
	}
	return providers.AccountConfig{
		ID: a.ID, Provider: a.Provider, Secret: token, BaseURL: a.BaseURL, AuthType: a.AuthType, Models: a.Models,
		Settings: a.Settings, Tier: tier, Source: a.Source, Now: now,
	}
}

// Account returns the account named id, or the only one when id is "".
func (u *Upstream) Account(id string) (*providers.Account, error) {
	var names []string
	for _, a := range u.Accounts {
		if a.ID() == id {
			return a, nil
		}
		names = append(names, a.ID())
	}
	switch {
	case len(names) == 0:
		return nil, ErrNoAccounts
	case id == "" && len(names) == 1:
		return u.Accounts[0], nil
	case id == "":
		return nil, fmt.Errorf("choose an account with --account: %s", strings.Join(names, ", "))
	}
	return nil, providers.UnknownName("account", id, names)
}

// ErrNoAccounts says that nobody has signed in yet.
var ErrNoAccounts = errors.New("there is no account yet")

// Close ends the accounts and lets go of idle connections.
func (u *Upstream) Close() {
	for _, a := range u.Accounts {
		a.Close()
	}
	u.base.CloseIdleConnections()
}

// LogNotes writes the notes.
func (u *Upstream) LogNotes(l *slog.Logger) {
	for _, n := range u.Notes {
		l.Info("account note", "note", n)
	}
}
