package mitm

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// Defaults of the zero values in Proxy.
const (
	defaultMaxTunnels       = 4096
	defaultHeaderTimeout    = 10 * time.Second
	defaultHandshakeTimeout = 10 * time.Second
	defaultDialTimeout      = 10 * time.Second
	defaultIdleTimeout      = 2 * time.Minute
	defaultMaxHeaderBytes   = 64 << 10
)

// Proxy is a forward proxy. Set the fields, call Serve once per listener, end it with Shutdown. All fields are read-only
// after the first call of a method. The functions and handlers are called concurrently. The zero value is a plain
// forward proxy that tunnels everything. A Proxy must not be copied after first use.
type Proxy struct {
	// Intercept says whether the CONNECT target is decrypted and given to Handler; otherwise it is tunnelled blindly.
	// host is in the form that ParseAuthority returns. nil: nothing is intercepted.
	Intercept func(host string, port int) bool

	// GetCertificate returns the certificate that an intercepted connection is answered with. host is the one of the
	// CONNECT request: a ClientHello without server name is fine, one with a different name fails. Required with Intercept.
	GetCertificate func(host string) (*tls.Certificate, error)

	// Handler serves every request of an intercepted connection, decrypted or, when the client spoke plain HTTP inside
	// CONNECT, as it came. r.URL is absolute: Scheme is "https" or "http", Host is the "host:port" of the CONNECT, User is
	// the proxy user name if the client gave one and never holds the password. r.Host equals the CONNECT target (others
	// got 421). Handler must return soon after r.Context() is done. It may hijack (HTTP/1.1 only); Shutdown ends what it
	// hijacked. Required with Intercept.
	Handler http.Handler

	// Forward carries absolute-form http:// requests. Hop-by-hop headers have been removed. nil: an http.Transport over
	// DialContext that ignores the proxy variables of the environment.
	Forward http.RoundTripper

	// DialContext opens the origin's side of a tunnel. A tunnel is cheapest when this returns a *net.TCPConn.
	// nil: net.Dialer.
	DialContext func(ctx context.Context, network, addr string) (net.Conn, error)

	// Local serves origin-form requests to the proxy, and requests for one of our own listeners (see IsLocal), whether by
	// CONNECT or in absolute form. r.URL is in origin form then. nil: 404 with a line of help.
	Local http.Handler

	// IsLocal reports whether the target is one of our own listeners. A CONNECT to it is served by Local as plain HTTP
	// inside the tunnel and never dialled, whatever AllowPort says. nil: none is.
	IsLocal func(host string, port int) bool

	// Authorize checks the user and password of Proxy-Authorization: Basic (RFC 7617) of CONNECT and absolute-form
	// requests. Requests without well-formed credentials, or for which it returns false, get 407. principal is whatever
	// the caller knows the client by; Principal returns it to Handler. nil: no authentication.
	Authorize func(ctx context.Context, user, password string) (principal any, ok bool)

	// AuthorizeOptional lets requests without well-formed credentials pass; those that have some are still checked.
	AuthorizeOptional bool

	// AllowPort limits the ports that CONNECT and absolute-form requests may reach; others get 403. nil: any.
	AllowPort func(port int) bool

	// MaxTunnels is how many tunnels may be open at once; a CONNECT beyond it gets 503. 0: 4096.
	MaxTunnels int

	// HeaderTimeout bounds the reading of a request head. 0: 10 s.
	HeaderTimeout time.Duration

	// HandshakeTimeout bounds the time from the answer to an intercepted CONNECT to the end of the TLS handshake. 0: 10 s.
	HandshakeTimeout time.Duration

	// DialTimeout bounds DialContext for a tunnel. 0: 10 s.
	DialTimeout time.Duration

	// IdleTimeout closes keep-alive connections without a request. It does not apply to tunnels, whose dead peers are
	// found by TCP. 0: 2 min.
	IdleTimeout time.Duration

	// MaxHeaderBytes bounds a request head; longer ones get 431. 0: 64 KiB.
	MaxHeaderBytes int

	// Logger receives what happens. Host names appear in it, at level Debug for ordinary traffic; paths, headers and
	// credentials never do. nil: nothing is logged.
	Logger *slog.Logger

	once   sync.Once
	server *server
}

// Serve accepts connections from l until Shutdown, when it returns http.ErrServerClosed, or until l fails. It closes l.
// It may be called for several listeners at once. l may be a TLS listener; only HTTP/1.1 is spoken on it.
func (p *Proxy) Serve(l net.Listener) error {
	if p.Intercept != nil && (p.Handler == nil || p.GetCertificate == nil) {
		_ = l.Close()
		return errors.New("serve proxy: Intercept needs Handler and GetCertificate")
	}
	return p.running().serve(l)
}

// Shutdown stops accepting connections at once, lets exchanges, upgraded connections and tunnels finish until ctx ends,
// and then ends them. It returns nil when all finished by themselves, and ctx's error when some had to be ended. In
// both cases every goroutine of the proxy has been joined, except those of a Handler that ignored the end of its
// context for some seconds, which is an error of its own.
func (p *Proxy) Shutdown(ctx context.Context) error {
	return p.running().shutdown(ctx)
}

// Stats returns the counters of this moment.
func (p *Proxy) Stats() Stats {
	return p.running().stats()
}

func (p *Proxy) running() *server {
	p.once.Do(func() { p.server = newServer(p) })
	return p.server
}
