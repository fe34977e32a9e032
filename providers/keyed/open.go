package keyed

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"detour/internal/dialect"
	"detour/internal/secret"
	"detour/providers"
)

// noKey is the lease of an account that needs no key. It is never sent.
const noKey = "(none)"

// state is what Open makes of an account's configuration. It is read-only.
type state struct {
	base      string // without a trailing slash
	auth      string
	key       secret.String
	endpoints []dialect.Endpoint // that the owner named; nil for the service's
}

// Settings implements providers.Configurable.
func (p *Provider) Settings() []providers.SettingInfo {
	list := []providers.SettingInfo{
		{Name: settingHTTP, Default: "false", Doc: `true lets the key go without encryption to an address outside of private networks.`},
	}
	if p.Base == "" {
		list = append(list, providers.SettingInfo{Name: settingEndpoints, Default: "chat/completions embeddings", Doc: `What the server serves: chat/completions, responses, messages, messages/count_tokens, embeddings.`})
	}
	return list
}

const (
	settingHTTP      = "allow_http"
	settingEndpoints = "endpoints"
)

// Open implements providers.Provider. All mistakes are reported together.
func (p *Provider) Open(cfg providers.AccountConfig) (*providers.Account, error) {
	st := &state{auth: p.auth(cfg.AuthType), key: cfg.Secret}
	var errs []error
	if st.auth == "" {
		errs = append(errs, providers.UnknownName("auth_type", cfg.AuthType, []string{AuthBearer, AuthXKey, AuthKey}))
	}
	if err := CheckKey(cfg.Secret); err != nil {
		errs = append(errs, err)
	}
	errs = append(errs, p.settings(cfg.Settings, st))
	base := strings.TrimSpace(cfg.BaseURL)
	if base == "" {
		base = p.Base
	}
	switch {
	case base == "" && cfg.ID == "": // asked for its settings only
	case base == "":
		errs = append(errs, fmt.Errorf("%s has no address of its own: set base_url, such as http://127.0.0.1:11434/v1", p.Name()))
	default:
		var err error
		if st.base, err = checkBase(base, cfg.Settings[settingHTTP] == "true" || cfg.Secret.IsZero()); err != nil {
			errs = append(errs, fmt.Errorf("base_url %w", err))
		}
		st.base = p.ownBase(st.base)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("open account %q: %w", cfg.ID, err)
	}
	if cfg.Now == nil {
		cfg.Now = p.now
	}
	lease := providers.Lease{Token: cfg.Secret, Base: st.base}
	if lease.Token.IsZero() {
		lease.Token = secret.New(noKey)
	}
	a := providers.NewAccount(cfg, func(context.Context) (providers.Lease, error) {
		if st.key.IsZero() && !p.Service.KeyOptional {
			return providers.Lease{}, &providers.Error{Kind: providers.KindLogin, Hint: p.loginHint(), Err: errors.New("the account has no key")}
		}
		return lease, nil
	})
	a.State = st
	return a, nil
}

// auth is how an account presents its key; "" when configured is no way.
func (p *Provider) auth(configured string) string {
	switch configured {
	case AuthBearer, AuthXKey, AuthKey:
		return configured
	case "":
		if p.Auth != "" {
			return p.Auth
		}
		return AuthBearer
	}
	return ""
}

// settings checks the settings that the service knows.
func (p *Provider) settings(given map[string]string, st *state) error {
	var errs []error
	var known []string
	for _, info := range p.Settings() {
		known = append(known, info.Name)
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		v := given[name]
		switch {
		case !slices.Contains(known, name):
			errs = append(errs, providers.UnknownName("setting", name, known))
		case name == settingHTTP && v != "true" && v != "false" && v != "":
			errs = append(errs, fmt.Errorf("setting %s: %q is neither true nor false", name, v))
		case name == settingEndpoints:
			for e := range strings.FieldsFuncSeq(v, func(r rune) bool { return r == ' ' || r == ',' }) {
				if p.Paths[dialect.Endpoint(e)] == "" || e == string(dialect.EndpointModels) {
					errs = append(errs, fmt.Errorf("setting %s: %q is no endpoint", name, e))
				}
				st.endpoints = append(st.endpoints, dialect.Endpoint(e))
			}
		}
	}
	return errors.Join(errs...)
}

// CheckKey refuses a key that cannot stand in a header, most often because more than the key was pasted.
func CheckKey(key secret.String) error {
	v := key.Reveal()
	for i := range len(v) {
		switch {
		case v[i] == '\n' || v[i] == '\r':
			return errors.New("the key holds a line break: paste the key alone")
		case v[i] == ' ' || v[i] == '\t':
			return errors.New("the key holds a space: paste the key alone")
		case v[i] < ' ' || v[i] >= 0x7f:
			return errors.New("the key holds characters that no key has")
		}
	}
	if len(v) > 64<<10 {
		return errors.New("the key is too long to be one")
	}
	return nil
}

// checkBase returns the address without a trailing slash. clear says that it may lack encryption wherever it leads.
func checkBase(raw string, clear bool) (string, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return "", errors.New("is no URL")
	case u.Scheme != "https" && u.Scheme != "http", u.Hostname() == "", u.Opaque != "":
		return "", errors.New("must begin with https:// or http:// and name a host")
	case u.User != nil:
		return "", errors.New("must not hold a user name or password: give the key as api_key")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return "", errors.New("must not have a query or fragment")
	case u.Scheme == "http" && !clear && !private(u.Hostname()):
		return "", fmt.Errorf("is http, so that the key would go to %s unencrypted: use https, or set allow_http = \"true\" for the account", u.Hostname())
	}
	return strings.TrimRight(u.String(), "/"), nil
}

// ownBase takes off an address what requests add to it: people copy the whole address of an endpoint, and write the
// version behind the address of a service that has it in its paths.
func (p *Provider) ownBase(base string) string {
	version := true
	for endpoint, path := range p.Paths {
		if endpoint != dialect.EndpointModels && !strings.HasPrefix(path, "//") { // some servers are at an address that ends in /models
			base = strings.TrimSuffix(base, path)
		}
		version = version && strings.HasPrefix(path, "/v1/")
	}
	if version {
		base = strings.TrimSuffix(base, "/v1")
	}
	return base
}

// private tells whether host is this machine or one in a network of the owner's: an address of a private range, a name
// without a dot, or one under a suffix that is never public.
func private(host string) bool {
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.IsLoopback() || ip.IsPrivate() || ip.IsLinkLocalUnicast()
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	for _, suffix := range []string{".localhost", ".local", ".internal", ".home.arpa"} {
		if strings.HasSuffix(host, suffix) {
			return true
		}
	}
	return !strings.Contains(host, ".")
}

// stateOf finds what Open left in a.
func (p *Provider) stateOf(a *providers.Account) (*state, error) {
	if st, ok := a.State.(*state); ok {
		return st, nil
	}
	return nil, &providers.Error{Kind: providers.KindInvalid, Err: fmt.Errorf("account %q was not opened by %s", a.ID(), p.Name())}
}

// loginHint says how to get a key in.
func (p *Provider) loginHint() string {
	hint := "put in a key with `detour login --provider " + p.Name() + " --id ID`"
	if p.KeyPage != "" {
		hint += "; keys are made at " + p.KeyPage
	}
	return hint
}
