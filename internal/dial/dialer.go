package dial

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"
)

// Dialer opens connections by the rules of its Options. It is immutable and safe for concurrent use.
type Dialer struct {
	https    *upstream // nil: direct
	http     *upstream // for port 80 and http:// URLs; nil: direct
	bypass   bypassRules
	pins     pinSet
	self     selfSet
	guard    *guard // nil: off
	tls      *tls.Config
	timeout  time.Duration
	resolver *net.Resolver
}

// New checks o, reports all mistakes at once, each with the configuration key or variable it comes from, and never
// touches the network. A proxy that is one of our own listeners is a *SelfError.
func New(o Options) (*Dialer, error) {
	d := &Dialer{timeout: o.Timeout, resolver: o.Resolver}
	if d.timeout <= 0 {
		d.timeout = defaultTimeout
	}
	if d.resolver == nil {
		d.resolver = net.DefaultResolver
	}
	if o.Guard {
		d.guard = newGuard(o.AllowPrivate)
	}
	var errs [5]error
	d.self, errs[0] = newSelfSet(o.Self)
	d.pins, errs[1] = newPinSet(o.Hosts)
	d.tls, errs[2] = tlsConfig(o.RootCAs)
	environment := ""
	if environment, errs[3] = d.setProxies(o); errs[3] == nil {
		for _, up := range []*upstream{d.https, d.http} {
			if up != nil && up.scheme == "https" {
				up.tls = d.tls.Clone()
				up.tls.ServerName = up.addr.host
				up.tls.NextProtos = []string{"http/1.1"} // CONNECT is spoken in HTTP/1.1
			}
		}
	}
	d.bypass, errs[4] = newBypassRules(o.NoProxy, environment)
	if err := errors.Join(errs[:]...); err != nil {
		return nil, err
	}
	return d, nil
}

// setProxies fills https and http, and returns the environment's no_proxy.
func (d *Dialer) setProxies(o Options) (noProxy string, err error) {
	if o.System {
		env := o.Env
		if env == nil {
			env = os.Getenv
		}
		if o.Proxy == "" {
			d.https, d.http, noProxy, err = systemProxies(env, d.self)
			return noProxy, err
		}
		if noProxy = env("no_proxy"); noProxy == "" {
			noProxy = env("NO_PROXY")
		}
	}
	if o.Proxy == "" {
		return "", nil
	}
	up, err := parseUpstream(keyProxy, o.Proxy)
	if err != nil {
		return "", err
	}
	if d.self.has(up.addr) {
		return "", fmt.Errorf("%s: %w", keyProxy, &SelfError{Addr: up.addr.String()})
	}
	d.https, d.http = up, up
	return noProxy, nil
}

// tlsConfig returns the settings for every TLS connection made here.
func tlsConfig(rootFile string) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ClientSessionCache: tls.NewLRUClientSessionCache(0)}
	if rootFile == "" {
		return c, nil
	}
	pem, err := os.ReadFile(rootFile)
	if err != nil {
		return nil, fmt.Errorf("read extra roots: %w", err)
	}
	if c.RootCAs, err = x509.SystemCertPool(); err != nil {
		c.RootCAs = x509.NewCertPool()
	}
	if !c.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("read extra roots: %s holds no certificate", rootFile)
	}
	return c, nil
}

// Upstream names the proxy that reaches https hosts, as "scheme://host:port" without credentials; "" if they are
// reached directly.
func (d *Dialer) Upstream() string {
	if d.https == nil {
		return ""
	}
	return d.https.String()
}

// DialContext connects to addr, "host:port" with a numeric port, over network tcp, tcp4 or tcp6, within
// Options.Timeout. The caller closes the connection.
//
// A direct connection is a bare *net.TCPConn, and so is one through an http or socks5 proxy unless the far side's
// first bytes came together with the proxy's answer; through an https proxy it is a *tls.Conn. All of them have
// CloseWrite. A proxy that the environment names for http only is used for port 80.
//
// Errors: *SelfError, *GuardError, *ProxyError, or a *net.OpError of the connection itself.
func (d *Dialer) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	switch network {
	case "tcp", "tcp4", "tcp6":
	default:
		return nil, fmt.Errorf("dial %s: network must be tcp, tcp4 or tcp6", quote(network))
	}
	t, err := parseTarget(addr)
	if err != nil {
		return nil, err
	}
	if d.self.has(t) {
		return nil, &SelfError{Addr: t.String()}
	}
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	if pinned, ok := d.pins.lookup(t); ok {
		return d.direct(ctx, network, pinned, nil)
	}
	if up := d.proxyFor(t); up != nil {
		return d.through(ctx, up, t)
	}
	return d.direct(ctx, network, t, d.guard)
}

// proxyFor returns the proxy for t, nil if t is dialled directly.
func (d *Dialer) proxyFor(t target) *upstream {
	up := d.https
	if t.port == 80 {
		up = d.http
	}
	if up == nil || d.bypass.direct(t) {
		return nil
	}
	return up
}

// direct connects to t. Self and guard are asked about each address right before it is connected to.
func (d *Dialer) direct(ctx context.Context, network string, t target, g *guard) (net.Conn, error) {
	nd := net.Dialer{
		Resolver:        d.resolver,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 20 * time.Second, Interval: 20 * time.Second, Count: 3},
		ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
			ap, err := netip.ParseAddrPort(address)
			if err != nil {
				return fmt.Errorf("check address: %w", err)
			}
			return d.check(t, ap, g)
		},
	}
	conn, err := nd.DialContext(ctx, network, t.String())
	if err == nil {
		return conn, nil
	}
	// Who refuses is more telling than which of several addresses it was.
	if e, ok := errors.AsType[*GuardError](err); ok {
		return nil, e
	}
	if e, ok := errors.AsType[*SelfError](err); ok {
		return nil, e
	}
	return nil, err
}

// check decides about one address of t.
func (d *Dialer) check(t target, ap netip.AddrPort, g *guard) error {
	at := t.at(ap.Addr())
	if d.self.has(at) {
		return &SelfError{Addr: t.String()}
	}
	if g != nil {
		if name := g.refuse(at.addr); name != "" {
			return &GuardError{Host: t.host, Addr: at.addr, Class: name}
		}
	}
	return nil
}
