package app

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"detour/ca"
	"detour/internal/config"
	"detour/internal/ledger"
	"detour/router"
)

// builtinHosts are the names that the CA may sign for, beside those that the owner adds: every LLM API host that the
// proxy serves or is meant to serve, so that trust given once lasts.
func builtinHosts() []string {
	return []string{
		"api.anthropic.com", "api.business.githubcopilot.com", "api.deepseek.com", "api.enterprise.githubcopilot.com",
		"api.githubcopilot.com", "api.individual.githubcopilot.com", "api.openai.com", "api.z.ai", "chatgpt.com", SelfHost,
		"generativelanguage.googleapis.com", "open.bigmodel.cn", "opencode.ai", "openrouter.ai",
	}
}

// OpenCA loads the CA that the configuration names, and makes one when there is none.
func OpenCA(cfg *config.Config, paths config.Paths) (*ca.Authority, error) {
	return ca.Open(CAOptions(cfg, paths))
}

// CAOptions say where the CA is and which names it may sign for.
func CAOptions(cfg *config.Config, paths config.Paths) ca.Options {
	o := ca.Options{Dir: cfg.ProxyMode.CADir, Hosts: builtinHosts()}
	for _, h := range cfg.ProxyMode.InterceptHosts {
		o.Hosts = append(o.Hosts, strings.TrimPrefix(h, "*.")) // a permitted name covers its sub-domains
	}
	if o.Dir == "" {
		o.Dir = paths.CADir
	}
	if c := cfg.ProxyMode.CA; c.Cert != "" {
		o.Imported = &ca.Imported{Cert: c.Cert, Key: c.Key, Chain: c.Chain}
	}
	return o
}

// ProxyURL is what clients on this machine set as their proxy: where the detour that runs has its proxy door, or else
// where the configuration puts it. A port other than 0 is the caller's word for the door that is meant. When the door
// asks for a password, the URL carries the installation's secret.
func ProxyURL(cfg *config.Config, install *config.Install, running Running, port int) *url.URL {
	door := Running{
		Proxy:     net.JoinHostPort(cfg.ProxyMode.Host, strconv.Itoa(cmp.Or(port, cfg.ProxyMode.Port))),
		ProxyAuth: cfg.ProxyMode.LocalAuth || cfg.Server.NeedsKeys(cfg.ProxyMode.Host),
		ProxyTLS:  cfg.ProxyMode.TLSCert != "",
	}
	if _, p, err := net.SplitHostPort(running.Proxy); err == nil && (port == 0 || p == strconv.Itoa(port)) {
		door = running
	}
	host, p, _ := net.SplitHostPort(door.Proxy)
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	u := &url.URL{Scheme: "http", Host: net.JoinHostPort(host, p)}
	if door.ProxyTLS {
		u.Scheme = "https"
	}
	if door.ProxyAuth {
		u.User = url.UserPassword("detour", install.ProxySecret.Reveal())
	}
	return u
}

// Health is the answer to GET /health. It holds no secret.
type Health struct {
	Status   string                 `json:"status"`
	Version  string                 `json:"version"`
	Uptime   int64                  `json:"uptime_seconds"`
	Accounts []router.AccountStatus `json:"accounts"`
	Proxy    *ProxyHealth           `json:"proxy,omitempty"`
	CA       string                 `json:"ca_sha256,omitempty"`
	Usage    *ledger.Stats          `json:"usage,omitempty"` // absent when nothing is recorded
	Budgets  []BudgetHealth         `json:"budgets,omitempty"`
	Config   *ConfigHealth          `json:"config,omitempty"` // absent when there is nothing to say
}

// ConfigHealth is how what runs differs from what the files say, and from what their owner may have meant.
type ConfigHealth struct {
	// Problem is why the files could not be taken up since then; what ran before goes on.
	Problem string    `json:"problem,omitempty"`
	Since   time.Time `json:"since,omitzero"`
	// Restart names settings that were changed and wait for a new start.
	Restart []string `json:"restart,omitempty"`
	// Notices tell what the configuration that runs names and no account has.
	Notices []string `json:"notices,omitempty"`
}

// BudgetHealth is how one of the owner's budgets stands.
type BudgetHealth struct {
	Name   string  `json:"name"`
	Of     string  `json:"of,omitempty"` // whose spending it is, when each one's is counted by itself
	Unit   string  `json:"unit"`
	Period string  `json:"period"`
	Spent  float64 `json:"spent"`
	Limit  float64 `json:"limit"`
	// Estimated is the part of Spent that no upstream named, of a budget in credits.
	Estimated float64   `json:"estimated,omitempty"`
	Resets    time.Time `json:"resets"`
}

// ProxyHealth counts what the proxy door does.
type ProxyHealth struct {
	Tunnels          int64  `json:"tunnels"`
	Intercepted      int64  `json:"intercepted"`
	TunnelsTotal     uint64 `json:"tunnels_total"`
	InterceptedTotal uint64 `json:"intercepted_total"`
	BytesUp          uint64 `json:"tunnelled_bytes_up"`
	BytesDown        uint64 `json:"tunnelled_bytes_down"`
}

// Health tells how detour fares.
func (a *App) Health() Health {
	h := Health{Status: "ok", Version: a.opts.Version, Uptime: int64(time.Since(a.started).Seconds()), Accounts: a.router.Accounts()}
	if len(h.Accounts) == 0 {
		h.Status = "no accounts"
	}
	for _, b := range a.budget.Status() {
		h.Budgets = append(h.Budgets, BudgetHealth{b.Name, b.Of, string(b.Unit), string(b.Period), b.Spent, b.Most, b.Estimated, b.Resets})
	}
	if a.proxy != nil {
		s := ProxyHealth(a.proxy.Stats())
		h.Proxy, h.CA = &s, a.caInfo.SHA256
	}
	if a.ledger != nil {
		s := a.ledger.Stats()
		h.Usage = &s
	}
	c := *a.condition.Load()
	c.Notices = modelNotes(a.live.Load(), a.opts.Paths.Config, a.router.Leads)
	if c.Problem != "" || len(c.Restart)+len(c.Notices) > 0 {
		h.Config = &c
	}
	return h
}

// APIAddr is the address of the API door, "" when it is not open.
func (a *App) APIAddr() string { return addrOf(a.apiListener) }

// ProxyAddr is the address of the proxy door, "" when it is not open.
func (a *App) ProxyAddr() string { return addrOf(a.proxyListener) }

// CA is the proxy door's authority, nil when that door is not open.
func (a *App) CA() *ca.Authority { return a.ca }

// CAInfo describes the authority as it was when the proxy door opened.
func (a *App) CAInfo() ca.Info { return a.caInfo }

// Upstream is how this detour reaches its providers.
func (a *App) Upstream() *Upstream { return a.upstream }

// NeedsKeys tells whether clients must present a client key.
func (a *App) NeedsKeys() bool { return a.needsKeys() }

// self lists our own listeners.
func (a *App) self() []string {
	var out []string
	for _, l := range []net.Listener{a.apiListener, a.proxyListener} {
		if l != nil {
			out = append(out, l.Addr().String())
		}
	}
	return out
}

// isLocal recognises our own listeners by any name that leads to this machine.
func (a *App) isLocal(host string, port int) bool {
	for _, l := range []net.Listener{a.apiListener, a.proxyListener} {
		if l == nil || portOf(l) != port {
			continue
		}
		bound := net.ParseIP(hostOf(l))
		ip := net.ParseIP(host)
		switch {
		case host == hostOf(l):
			return true
		case bound == nil || !bound.IsUnspecified() && !bound.IsLoopback():
			continue
		case host == "localhost" || ip != nil && (ip.IsLoopback() || ip.IsUnspecified()):
			return true
		case bound.IsUnspecified() && ip != nil && ownAddress(ip):
			return true
		}
	}
	return false
}

func ownAddress(ip net.IP) bool {
	addrs, err := net.InterfaceAddrs()
	return err == nil && slices.ContainsFunc(addrs, func(a net.Addr) bool {
		n, ok := a.(*net.IPNet)
		return ok && n.IP.Equal(ip)
	})
}

// allowPort limits CONNECT: any port when only this machine can ask, else those of the web unless configured.
func (a *App) allowPort() func(int) bool {
	allowed := a.opts.Config.ProxyMode.AllowedPorts
	if len(allowed) == 0 {
		if !a.remote(a.proxyListener) {
			return nil
		}
		allowed = []int{80, 443}
	}
	return func(p int) bool { return slices.Contains(allowed, p) }
}

func (a *App) remote(l net.Listener) bool { return l != nil && !config.IsLoopback(hostOf(l)) }

func hostOf(l net.Listener) string {
	if l == nil {
		return "127.0.0.1"
	}
	host, _, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return ""
	}
	return host
}

func portOf(l net.Listener) int {
	if l == nil {
		return 0
	}
	return l.Addr().(*net.TCPAddr).Port
}

func addrOf(l net.Listener) string {
	if l == nil {
		return ""
	}
	return l.Addr().String()
}

func closed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

func protocols(h2 bool) *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	p.SetHTTP2(h2)
	return p
}

// apiProtocols lets local clients speak HTTP/2 without TLS if they know to.
func apiProtocols() *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	p.SetUnencryptedHTTP2(true)
	return p
}

func modes(in map[string]string) map[string]router.Mode {
	out := make(map[string]router.Mode, len(in))
	for k, v := range in {
		out[k] = router.Mode(v)
	}
	return out
}

// doorURL is a door's address for a client that knows this machine as host, "" when the door is not open.
func doorURL(cert, host string, l net.Listener) string {
	if l == nil {
		return ""
	}
	scheme := "http"
	if cert != "" {
		scheme = "https"
	}
	return scheme + "://" + net.JoinHostPort(strings.Trim(host, "[]"), strconv.Itoa(portOf(l)))
}

// String names the doors, for logs.
func (a *App) String() string { return fmt.Sprintf("api %s proxy %s", a.APIAddr(), a.ProxyAddr()) }

// matches tells whether host is one of the patterns, each a name or "*." and a suffix.
func matches(patterns []string, host string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		if suffix, ok := strings.CutPrefix(p, "*"); ok {
			return strings.HasSuffix(host, suffix)
		}
		return p == host
	})
}

// InterceptedHosts lists the hosts that the proxy decrypts by configuration. An entry is a name, or "*." and
// a suffix.
func InterceptedHosts(cfg *config.Config) []string {
	hosts := slices.Concat(router.InterceptHosts(), cfg.ProxyMode.InterceptHosts)
	return slices.DeleteFunc(hosts, func(h string) bool { return matches(cfg.ProxyMode.PassthroughHosts, h) })
}

// Untouched says why the proxy door does not decrypt what goes to host and port, "" when it does.
func Untouched(cfg *config.Config, paths config.Paths, host string, port int) string {
	switch {
	case matches(cfg.ProxyMode.PassthroughHosts, host):
		return "proxy_mode.passthrough_hosts takes this host out"
	case !matches(InterceptedHosts(cfg), host):
		return "this host is not on the list of hosts that detour decrypts; proxy_mode.intercept_hosts adds to it"
	case port != 443:
		return fmt.Sprintf("detour decrypts port 443 alone, and this is port %d", port)
	}
	if a, err := ca.Load(CAOptions(cfg, paths)); err == nil && !a.Covers(host) {
		return "the certificate authority was made without this host: run `detour proxy ca regenerate` and trust the new one"
	}
	return ""
}
