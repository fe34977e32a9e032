package dial

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// maxProxyTries bounds how many addresses of one name are tried through a proxy that does not resolve names.
const maxProxyTries = 4

// through connects to t through up.
func (d *Dialer) through(ctx context.Context, up *upstream, t target) (net.Conn, error) {
	targets, err := d.forProxy(ctx, up, t)
	if err != nil {
		return nil, err
	}
	var first error
	for _, at := range targets {
		conn, err := d.dialUpstream(ctx, up)
		if err != nil {
			return nil, err
		}
		conn, err = up.handshake(ctx, conn, at)
		if err == nil {
			return conn, nil
		}
		if first == nil {
			first = err
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, first
}

// forProxy returns what the proxy is asked for: t itself if the proxy may resolve names, else its addresses. With the
// guard on they are checked here and the proxy gets no name to resolve a second time.
func (d *Dialer) forProxy(ctx context.Context, up *upstream, t target) ([]target, error) {
	if up.resolvesNames() && d.guard == nil {
		return []target{t}, nil
	}
	addrs := []netip.Addr{t.addr}
	if !t.addr.IsValid() {
		var err error
		if addrs, err = d.resolver.LookupNetIP(ctx, "ip", t.host); err != nil {
			return nil, fmt.Errorf("resolve %s for proxy %s: %w", t.host, up, err)
		}
	}
	var targets []target
	var refused error
	for _, a := range addrs {
		if err := d.check(t, netip.AddrPortFrom(a, t.port), d.guard); err != nil {
			if refused == nil {
				refused = err
			}
			continue
		}
		if len(targets) < maxProxyTries {
			targets = append(targets, t.at(a))
		}
	}
	if len(targets) > 0 {
		return targets, nil
	}
	if refused == nil {
		refused = fmt.Errorf("resolve %s for proxy %s: no address", t.host, up)
	}
	return nil, refused
}

// dialUpstream connects to the proxy itself, TLS included.
func (d *Dialer) dialUpstream(ctx context.Context, up *upstream) (net.Conn, error) {
	conn, err := d.direct(ctx, "tcp", up.addr, nil)
	if err != nil {
		if e, ok := errors.AsType[*SelfError](err); ok {
			return nil, e
		}
		return nil, &ProxyError{Proxy: up.String(), Err: err}
	}
	if up.tls == nil {
		return conn, nil
	}
	tc := tls.Client(conn, up.tls)
	if err := tc.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, &ProxyError{Proxy: up.String(), Err: fmt.Errorf("tls handshake: %w", err)}
	}
	return tc, nil
}

// handshake asks the proxy at the other end of conn for t. It returns the connection to use from then on, and closes
// conn if it fails or ctx ends first.
func (u *upstream) handshake(ctx context.Context, conn net.Conn, t target) (net.Conn, error) {
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	var out net.Conn
	var err error
	if u.isHTTP() {
		out, err = u.connect(conn, t)
	} else {
		out, err = u.socks(ctx, conn, t)
	}
	if !stop() { // ctx ended: the deadline is, or is about to be, in the past
		_ = conn.Close()
		return nil, &ProxyError{Proxy: u.String(), Target: t.String(), Err: context.Cause(ctx)}
	}
	if err != nil {
		_ = conn.Close()
		if pe, ok := errors.AsType[*ProxyError](err); ok {
			return nil, pe
		}
		return nil, &ProxyError{Proxy: u.String(), Target: t.String(), Err: err}
	}
	return out, nil
}
