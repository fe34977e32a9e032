// Package app puts detour together: it is the only place where the parts meet. New wires, Start listens, Stop ends
// everything that the two began, the last first.
package app

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"detour/ca"
	"detour/internal/budget"
	"detour/internal/clientkey"
	"detour/internal/config"
	"detour/internal/dial"
	"detour/internal/door"
	"detour/internal/ledger"
	"detour/internal/record"
	"detour/internal/secret"
	"detour/mitm"
	"detour/router"
)

// SelfHost is the reserved name that the proxy itself answers for, so that anyone can check proxy and trust with one
// request and no account.
const SelfHost = "detour.test"

// Options say what to run. All fields but the booleans are required.
type Options struct {
	Config  *config.Config
	Paths   config.Paths
	Env     func(string) string
	Logger  *slog.Logger
	Version string

	API, Proxy bool // which doors to open
	// AllowRemote lets listeners bind to addresses that are not loopback.
	AllowRemote bool
	// OnExchange is told of every exchange that ended; it may be nil and must not block.
	OnExchange func(*record.Exchange)
	// Now is the wall clock; nil means time.Now.
	Now func() time.Time
	// Reload reads the configuration again; nil means that it stays what it is. Reloads are signals to do so at once.
	Reload  func() (*config.Config, error)
	Reloads <-chan os.Signal
}

// App is a running detour.
type App struct {
	opts     Options
	install  *config.Install
	upstream *Upstream
	router   *router.Router
	base     router.Config // what router works from, less what the configuration says; accounts may change
	ca       *ca.Authority // nil without the proxy door
	caInfo   ca.Info       // asking for it reads the machine's trust store
	keys     *clientkey.Store
	proxy    *mitm.Proxy
	started  time.Time
	files    stamps // as they were when the App was made
	// live is the configuration that runs, condition how it differs from the files. Neither is ever nil.
	live      atomic.Pointer[config.Config]
	condition atomic.Pointer[ConfigHealth]

	budget *budget.Tracker
	ledger *ledger.Ledger        // nil when nothing is recorded
	ended  chan struct{}         // an exchange did; has room for one
	saved  []router.AccountState // in the ledger; of whoever saves them

	apiListener, proxyListener net.Listener
	errs                       chan error
	cleanups                   cleanups
}

// New checks the options, binds the listeners and wires everything. Nothing is served before Start.
func New(ctx context.Context, o Options) (*App, error) {
	// What changes from here on is taken up later.
	a := &App{opts: o, errs: make(chan error, 2), ended: make(chan struct{}, 1), started: time.Now(), files: stampsOf(o.Paths)}
	a.live.Store(o.Config)
	a.condition.Store(&ConfigHealth{})
	if err := a.build(ctx); err != nil {
		return nil, errors.Join(err, a.cleanups.run(ctx))
	}
	return a, nil
}

// build is one straight line on purpose: it is the picture of how the parts hang together.
func (a *App) build(ctx context.Context) error {
	o, cfg := a.opts, a.opts.Config
	var err error
	if a.install, err = config.LoadInstall(o.Paths.Install); err != nil {
		return err
	}
	if a.keys, err = clientkey.Open(o.Paths.Keys, o.Logger); err != nil {
		return err
	}
	if o.API {
		if a.apiListener, err = a.listen(ctx, "server", cfg.Server.Host, cfg.Server.Port, cfg.Server.TLSCert, cfg.Server.TLSKey); err != nil {
			return err
		}
	}
	if o.Proxy {
		if a.proxyListener, err = a.listen(ctx, "proxy_mode", cfg.ProxyMode.Host, cfg.ProxyMode.Port, cfg.ProxyMode.TLSCert, cfg.ProxyMode.TLSKey); err != nil {
			return err
		}
	}
	if a.upstream, err = NewUpstream(o, a.self()); err != nil {
		return err
	}
	a.cleanups.add("upstream", func(context.Context) error { a.upstream.Close(); return nil })
	targets, err := a.targets()
	if err != nil {
		return err
	}
	relay1, relay2 := targets.Transport(protocols(false)), targets.Transport(protocols(true))
	a.cleanups.add("relay", func(context.Context) error {
		relay1.CloseIdleConnections()
		relay2.CloseIdleConnections()
		return nil
	})
	if err := CheckPolicy(cfg, o.Paths.Config, a.upstream); err != nil {
		return err
	}
	a.upstream.Notes = append(a.upstream.Notes, PolicyNotes(cfg, o.Paths, a.upstream)...)
	a.buildLedger(ctx)
	a.base = router.Config{
		Providers: a.upstream.Providers, Accounts: a.upstream.Accounts,
		Upstream: a.upstream.Transport, Relay1: relay1, Relay2: relay2,
		CarrierKey: []byte(a.install.CarrierKey.Reveal()),
		Budget:     a.budget, OnExchange: a.onExchange, Logger: o.Logger, Now: o.Now,
	}
	if a.router, err = router.New(routing(a.base, cfg)); err != nil {
		return err
	}
	a.cleanups.add("router", func(context.Context) error { a.router.Close(); return nil })
	a.restoreStates(ctx)
	if o.Proxy {
		if err := a.buildProxy(targets, relay1); err != nil {
			return err
		}
	}
	return nil
}

// now is the wall clock.
func (a *App) now() time.Time {
	if a.opts.Now != nil {
		return a.opts.Now()
	}
	return time.Now()
}

// listen binds one door's listener.
func (a *App) listen(ctx context.Context, section, host string, port int, cert, key string) (net.Listener, error) {
	if !config.IsLoopback(host) && !a.opts.AllowRemote {
		return nil, &ConfigError{fmt.Sprintf("%s.host is %s, which other machines can reach", section, host),
			"bind to 127.0.0.1, or allow it with --insecure-allow-remote"}
	}
	network := "tcp"
	if ip, err := netip.ParseAddr(host); err == nil && ip.Is4() {
		network = "tcp4" // or 0.0.0.0 would mean every IPv6 address too
	}
	l, err := new(net.ListenConfig).Listen(ctx, network, net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return nil, fmt.Errorf("open the %s door: %w", section, err)
	}
	a.cleanups.add(section+" listener", func(context.Context) error { return closed(l.Close()) })
	if cert == "" {
		return l, nil
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, &ConfigError{fmt.Sprintf("read %s.tls_cert and %s.tls_key: %v", section, section, err), "both must be PEM files, and the key that of the certificate"}
	}
	return tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}), nil
}

// targets dials the hosts that clients name.
func (a *App) targets() (*dial.Dialer, error) {
	cfg := a.opts.Config
	return dial.New(dial.Options{
		Proxy: cfg.Proxy.URL.Reveal(), System: cfg.Proxy.System, NoProxy: cfg.Proxy.NoProxy, Self: a.self(),
		Hosts: cfg.ProxyMode.Hosts, RootCAs: a.opts.Env("DETOUR_UPSTREAM_CA"), Env: ownersEnv(a.opts.Env),
		Guard: a.remote(a.proxyListener) || a.remote(a.apiListener), AllowPrivate: cfg.ProxyMode.AllowPrivate,
	})
}

func (a *App) buildProxy(targets *dial.Dialer, forward http.RoundTripper) error {
	o, cfg := a.opts, a.opts.Config
	var err error
	if a.ca, err = OpenCA(cfg, o.Paths); err != nil {
		return err
	}
	a.caInfo = a.ca.Info()
	intercepted := a.intercepted()
	a.proxy = &mitm.Proxy{
		Intercept:      func(host string, port int) bool { return port == 443 && intercepted(host) || host == SelfHost },
		GetCertificate: a.ca.Certificate,
		Handler:        http.HandlerFunc(a.serveIntercepted),
		Forward:        keyless{forward},
		DialContext:    targets.DialContext,
		Local:          a.door(),
		IsLocal:        a.isLocal,
		AllowPort:      a.allowPort(),
		MaxTunnels:     cfg.ProxyMode.MaxTunnels,
		HeaderTimeout:  cfg.Limits.HeaderTimeout,
		IdleTimeout:    cfg.Limits.IdleTimeout,
		MaxHeaderBytes: int(cfg.Limits.HeaderBytes),
		Logger:         o.Logger.With("component", "proxy"),
	}
	a.proxy.Authorize, a.proxy.AuthorizeOptional = a.authorize, !a.proxyAuth()
	return nil
}

// intercepted returns the test for hosts to decrypt: those whose requests the router serves and those that the owner
// adds, less those that the owner takes out and those that the CA may not sign for.
func (a *App) intercepted() func(host string) bool {
	hosts := InterceptedHosts(a.opts.Config)
	for _, h := range hosts {
		if !a.ca.Covers(strings.TrimPrefix(h, "*.")) {
			a.opts.Logger.Warn("host is tunnelled, because the ca was made without it", "host", h, "hint", "run `detour proxy ca regenerate` and trust the new certificate")
		}
	}
	passed := a.opts.Config.ProxyMode.PassthroughHosts
	return func(host string) bool {
		return matches(hosts, host) && !matches(passed, host) && a.ca.Covers(host)
	}
}

// serveIntercepted answers for the proxy's own name and hands everything else to the router.
func (a *App) serveIntercepted(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Host, SelfHost+":") {
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"detour":%q,"proxy":true,"protocol":%q,"ca_sha256":%q}`+"\n", a.opts.Version, r.Proto, a.caInfo.SHA256)
		return
	}
	r.Header = door.WithoutKeys(r.Header)
	if door.FromPage(r, a.opts.Config.Server.AllowedOrigins) {
		// Browsers let every page send such a request. It goes where it would go without detour, with what it brought
		// along, so that no page spends the owner's accounts.
		a.opts.Logger.Debug("web page is not served", "host", r.URL.Host, "path", r.URL.Path, "hint", "server.allowed_origins")
		r.Header.Del("X-Route-Mode")
		r = r.WithContext(router.RelayOnly(r.Context()))
	}
	if k, ok := mitm.Principal(r.Context()).(clientkey.Key); ok {
		r = a.asClient(r, k)
	}
	a.router.ServeHTTP(w, r)
}

// authorize accepts this installation's own secret and any client key, and where none is asked for any other password
// too. The user name is free: it may select a route mode. A key that does not hold is refused in any case: its bearer
// must not get by revocation what the key did not allow.
func (a *App) authorize(_ context.Context, _, password string) (principal any, ok bool) {
	if a.install.ProxySecret.Equal(secret.New(password)) {
		return nil, true
	}
	if k, ok := a.keys.Verify(password); ok && k.Opens(clientkey.ScopeProxy) {
		return k, true
	}
	if strings.HasPrefix(password, clientkey.Prefix) {
		a.opts.Logger.Warn("client key refused", "component", "proxy")
		return nil, false
	}
	return nil, !a.proxyAuth()
}

func (a *App) proxyAuth() bool {
	cfg := a.opts.Config
	return cfg.ProxyMode.LocalAuth || cfg.Server.NeedsKeys(hostOf(a.proxyListener))
}

// door is the API door's handler.
func (a *App) door() http.Handler {
	cfg := a.opts.Config
	o := door.Options{
		Router: http.HandlerFunc(a.serveAPI),
		Hosts:  cfg.Server.AllowedHosts, Origins: cfg.Server.AllowedOrigins,
		Health: func() any { return a.Health() },
		Logger: a.opts.Logger.With("component", "api"), Version: a.opts.Version,
	}
	o.KeysOptional = !a.needsKeys()
	o.Verify = func(key string) (clientkey.Key, bool) {
		k, ok := a.keys.Verify(key)
		return k, ok && k.Opens(clientkey.ScopeAPI)
	}
	for _, l := range []net.Listener{a.apiListener, a.proxyListener} {
		if l != nil {
			o.Hosts = append(o.Hosts, hostOf(l))
		}
	}
	if a.opts.AllowRemote && a.ca != nil {
		o.LAN = &door.LAN{
			CACert: a.ca.RootPEM, KeysNeeded: a.needsKeys(),
			APIURL:   func(host string) string { return doorURL(cfg.Server.TLSCert, host, a.apiListener) },
			ProxyURL: func(host string) string { return doorURL(cfg.ProxyMode.TLSCert, host, a.proxyListener) },
		}
	}
	return door.New(o)
}

func (a *App) needsKeys() bool {
	s := &a.opts.Config.Server
	return s.RequireKeys == "true" || a.apiListener != nil && s.NeedsKeys(hostOf(a.apiListener)) || a.proxyListener != nil && s.NeedsKeys(hostOf(a.proxyListener))
}

// serveAPI notes which key a request came with.
func (a *App) serveAPI(w http.ResponseWriter, r *http.Request) {
	if k, ok := door.Principal(r.Context()); ok {
		r = a.asClient(r, k)
	}
	a.router.ServeHTTP(w, r)
}

// asClient notes whose key r came with, and what that may use.
func (a *App) asClient(r *http.Request, k clientkey.Key) *http.Request {
	c := router.Client{Name: k.Name, Providers: k.Providers, Models: k.Models, Accounts: k.Accounts, Holds: func() bool { return a.keys.Holds(k.ID) }}
	return r.WithContext(router.WithClient(r.Context(), c))
}

// Start begins to serve. Run waits for the end.
func (a *App) Start(ctx context.Context) {
	// Runs when the servers have stopped, which know nothing of connections that became WebSockets.
	a.cleanups.add("websockets", func(ctx context.Context) error { a.router.Drain(ctx); return nil })
	if a.apiListener != nil {
		cfg := a.opts.Config.Limits
		srv := &http.Server{
			Handler: a.guard(a.door()), ReadHeaderTimeout: cfg.HeaderTimeout, IdleTimeout: cfg.IdleTimeout, MaxHeaderBytes: int(cfg.HeaderBytes),
			Protocols: apiProtocols(), ErrorLog: slog.NewLogLogger(a.opts.Logger.Handler(), slog.LevelDebug),
		}
		a.serve("api server", func() error { return srv.Serve(a.apiListener) }, func(ctx context.Context) error {
			if err := srv.Shutdown(ctx); err != nil {
				return srv.Close() // the grace period is over
			}
			return nil
		})
	}
	if a.proxy != nil {
		a.serve("proxy server", func() error { return a.proxy.Serve(a.proxyListener) }, a.proxy.Shutdown)
	}
	a.background("files", a.tendFiles)
	if a.ledger != nil {
		a.background("account states", a.tendStates)
	}
	// Ends before that is waited for, because it may be at a reload, which waits for an upstream's model list.
	a.cleanups.add("model lists", func(context.Context) error { a.router.Close(); return nil })
	if err := a.announce(); err != nil {
		a.opts.Logger.Warn("other commands will not find this detour by themselves", "err", err)
	}
}

// background runs f on a goroutine that the cleanup stops through f's context, and joins.
func (a *App) background(name string, f func(context.Context)) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(ctx)
	}()
	a.cleanups.add(name, func(context.Context) error { cancel(); <-done; return nil })
}

// serve runs one server on a goroutine that the cleanup stops and joins.
func (a *App) serve(name string, run func() error, stop func(context.Context) error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := run(); err != nil && !errors.Is(err, http.ErrServerClosed) {
			a.errs <- fmt.Errorf("serve the %s: %w", name, err)
		}
	}()
	a.cleanups.add(name, func(ctx context.Context) error {
		err := stop(ctx)
		<-done
		if errors.Is(err, context.DeadlineExceeded) {
			return nil // streams that outlived their grace period were ended, as they should be
		}
		return err
	})
}

// Run waits until ctx ends or a server breaks, then stops everything within the grace period.
func (a *App) Run(ctx context.Context) error {
	var err error
	select {
	case <-ctx.Done():
	case err = <-a.errs:
	}
	return errors.Join(err, a.Stop())
}

// Stop ends everything: exchanges get the grace period, then they are cut. It may be called once.
func (a *App) Stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), cmp.Or(a.opts.Config.Server.ShutdownGrace, 10*time.Second))
	defer cancel()
	return a.cleanups.run(ctx)
}

// ConfigError is a mistake of the owner's with a way out.
type ConfigError struct{ What, Hint string }

// Error implements error.
func (e *ConfigError) Error() string { return e.What }
