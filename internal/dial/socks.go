package dial

import (
	"context"
	"errors"
	"fmt"
	"net"

	"golang.org/x/net/proxy"
)

// socks asks a SOCKS5 proxy for a connection to t (RFC 1928, RFC 1929).
func (u *upstream) socks(ctx context.Context, conn net.Conn, t target) (net.Conn, error) {
	var auth *proxy.Auth
	if !u.user.IsZero() {
		auth = &proxy.Auth{User: u.user.Reveal(), Password: u.password.Reveal()}
	}
	sd, err := proxy.SOCKS5("tcp", u.addr.String(), auth, nil)
	if err != nil {
		return nil, fmt.Errorf("prepare socks5: %w", err)
	}
	// The interface of package proxy hides the one method that leaves the connection bare.
	d, ok := sd.(interface {
		DialWithConn(ctx context.Context, c net.Conn, network, address string) (net.Addr, error)
	})
	if !ok {
		return nil, errors.New("prepare socks5: no dialling over an open connection")
	}
	// The caller ends the handshake when ctx ends; here it would be a race for the deadline.
	if _, err := d.DialWithConn(context.WithoutCancel(ctx), conn, "tcp", t.String()); err != nil {
		if oe, ok := errors.AsType[*net.OpError](err); ok && oe.Err != nil {
			err = oe.Err // the addresses are in ProxyError already
		}
		return nil, fmt.Errorf("socks5: %w", err)
	}
	return conn, nil
}
