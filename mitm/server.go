package mitm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"sync"
	"time"
)

// joinTimeout bounds the wait for goroutines that have been told to end. Only a Handler that ignores its context
// reaches it.
const joinTimeout = 10 * time.Second

var errShutdown = errors.New("proxy shut down")

// server is the running part of a Proxy.
type server struct {
	proxy            *Proxy
	log              *slog.Logger
	dial             func(ctx context.Context, network, addr string) (net.Conn, error)
	forward          http.RoundTripper
	dialTimeout      time.Duration
	handshakeTimeout time.Duration
	maxTunnels       int64

	front       *http.Server // proxy requests from the network
	inner       *http.Server // requests in intercepted connections
	intercepted *memoryListener
	terminator  *terminator
	forwarder   http.Handler
	copier      *copier

	startInner sync.Once
	cancel     context.CancelCauseFunc // ends the base context of both servers
	live       live
	counters   counters
}

func newServer(p *Proxy) *server {
	s := &server{
		proxy:            p,
		log:              cmp.Or(p.Logger, slog.New(slog.DiscardHandler)),
		dial:             p.DialContext,
		forward:          p.Forward,
		dialTimeout:      cmp.Or(p.DialTimeout, defaultDialTimeout),
		handshakeTimeout: cmp.Or(p.HandshakeTimeout, defaultHandshakeTimeout),
		maxTunnels:       int64(cmp.Or(p.MaxTunnels, defaultMaxTunnels)),
		intercepted:      newMemoryListener(),
		terminator:       newTerminator(p.GetCertificate),
		copier:           newCopier(),
	}
	if s.dial == nil {
		s.dial = new(net.Dialer).DialContext
	}
	if s.forward == nil {
		s.forward = &http.Transport{DialContext: s.dial, DisableCompression: true, IdleConnTimeout: defaultIdleTimeout}
	}
	s.forwarder = newForwarder(s.forward, s.log)

	base, cancel := context.WithCancelCause(context.Background())
	s.cancel = cancel
	s.front = s.newHTTPServer(base, s.serveFront)
	s.front.Protocols.SetHTTP1(true)
	s.inner = s.newHTTPServer(base, s.serveInner)
	s.inner.ConnContext = withTarget
	s.inner.Protocols.SetHTTP1(true)
	s.inner.Protocols.SetHTTP2(true)
	return s
}

// newHTTPServer makes a server without WriteTimeout, because answers may stream for as long as they like.
func (s *server) newHTTPServer(base context.Context, serve http.HandlerFunc) *http.Server {
	return &http.Server{
		Handler:                      s.guard(serve),
		DisableGeneralOptionsHandler: true, // "OPTIONS *" is the handlers' to answer
		ReadHeaderTimeout:            cmp.Or(s.proxy.HeaderTimeout, defaultHeaderTimeout),
		IdleTimeout:                  cmp.Or(s.proxy.IdleTimeout, defaultIdleTimeout),
		MaxHeaderBytes:               cmp.Or(s.proxy.MaxHeaderBytes, defaultMaxHeaderBytes),
		ErrorLog:                     newErrorLog(s.log),
		BaseContext:                  func(net.Listener) context.Context { return base },
		ConnContext:                  withConn,
		ConnState:                    s.live.connState,
		Protocols:                    new(http.Protocols),
	}
}

// guard counts the goroutine of a handler and turns its panic into a log line and an aborted exchange.
func (s *server) guard(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !s.live.enter() {
			panic(http.ErrAbortHandler)
		}
		defer s.live.leave()
		defer func() {
			v := recover()
			if v == nil {
				return
			}
			if v != http.ErrAbortHandler { //nolint:errorlint // the sentinel is a panic value, compared as net/http does
				s.log.Error("handler panicked", "host", r.Host, "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
			}
			cutUnframed(w, r)
			panic(http.ErrAbortHandler)
		}()
		next(w, r)
	}
}

func (s *server) serve(l net.Listener) error {
	s.startInner.Do(func() {
		if !s.live.enter() {
			return
		}
		// Owned by the server, stopped by inner.Shutdown, joined by live.wait.
		go func() {
			defer s.live.leave()
			if err := s.inner.Serve(s.intercepted); !errors.Is(err, http.ErrServerClosed) {
				s.log.Error("serve intercepted connections", "err", err)
			}
		}()
	})
	if err := s.front.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve proxy: %w", err)
	}
	return http.ErrServerClosed
}

func (s *server) shutdown(ctx context.Context) error {
	var draining sync.WaitGroup
	draining.Go(func() { _ = s.front.Shutdown(ctx) })
	draining.Go(func() { _ = s.inner.Shutdown(ctx) })
	draining.Wait()
	_ = s.intercepted.Close() // inner never served it when Serve was not called
	drained := s.live.wait(ctx)

	// Connections before contexts: a handler that returns because its context ended must not be able to make what it
	// has sent so far look complete.
	s.live.end()
	_ = s.front.Close()
	_ = s.inner.Close()
	s.cancel(errShutdown)
	join, stop := context.WithTimeout(context.WithoutCancel(ctx), joinTimeout)
	defer stop()
	if err := s.live.wait(join); err != nil {
		return fmt.Errorf("join proxy: a handler does not return: %w", err)
	}
	if t, ok := s.forward.(*http.Transport); ok && s.proxy.Forward == nil {
		t.CloseIdleConnections()
	}
	if drained != nil {
		return fmt.Errorf("drain proxy: %w", drained)
	}
	return nil
}

// serveFront answers what comes in on the proxy's own port.
func (s *server) serveFront(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method == http.MethodConnect:
		s.serveConnect(w, r)
	case r.URL.Scheme != "" || r.URL.Host != "":
		s.serveAbsolute(w, r)
	default:
		s.serveLocal(w, r)
	}
}

// serveLocal gives r to Local in origin form.
func (s *server) serveLocal(w http.ResponseWriter, r *http.Request) {
	delete(r.Header, proxyAuthorization)
	if r.URL.Scheme != "" || r.URL.Host != "" {
		r.URL.Scheme, r.URL.Host, r.URL.User = "", "", nil
		r.RequestURI = r.URL.RequestURI()
	}
	if s.proxy.Local == nil {
		http.Error(w, "detour: this is an HTTP proxy: set it as HTTPS_PROXY and HTTP_PROXY", http.StatusNotFound)
		return
	}
	s.proxy.Local.ServeHTTP(w, r)
}

// refuse answers a proxy request that is not carried out. The connection is closed because a client may have sent the
// first bytes for its target behind the request.
func refuse(w http.ResponseWriter, status int, reason string) {
	w.Header().Set("Connection", "close")
	http.Error(w, "detour: "+reason, status)
}
