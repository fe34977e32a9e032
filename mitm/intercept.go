package mitm

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// recordTypeHandshake is the first byte of a TLS connection (RFC 8446 section 5.1). No HTTP method starts with it.
const recordTypeHandshake = 0x16

// interceptedConn is a client's connection behind an intercepted CONNECT. Its type is how the inner server knows what
// was asked for.
type interceptedConn struct {
	earlyConn
	target *target
	hello  hello // touched by the handshake only
	closed func()
}

// Close implements net.Conn.
func (c *interceptedConn) Close() error {
	c.closed()
	return c.Conn.Close()
}

// CloseWrite lets the inner server end an answer before it closes, so that a client still sending sees the answer.
func (c *interceptedConn) CloseWrite() error { return closeWrite(c.Conn) }

func (c *interceptedConn) abort() {
	c.closed()
	abortConn(c.Conn)
}

// intercept accepts the CONNECT, waits for the client's first byte, does the TLS handshake if it is one, and hands the
// connection to the inner server. It works on the goroutine of the front server's connection, so a slow client holds up
// nobody else.
func (s *server) intercept(w http.ResponseWriter, t *target) {
	conn, early, err := takeOver(w)
	if err != nil {
		s.log.Debug("connect not answered", "host", t.host, "port", t.port, "err", err)
		return
	}
	c := &interceptedConn{earlyConn: earlyConn{Conn: conn, early: early}, target: t}
	s.counters.intercepted.Add(1)
	s.counters.interceptedTotal.Add(1)
	c.closed = sync.OnceFunc(func() {
		s.counters.intercepted.Add(-1)
		s.live.remove(c)
	})
	handed := false
	defer func() {
		if !handed {
			_ = c.Close()
		}
	}()
	if !s.live.add(c) {
		return
	}
	ready, err := s.terminator.terminate(c, s.handshakeTimeout)
	if err != nil {
		s.logHandshake(t, &c.hello, err)
		return
	}
	handed = s.intercepted.deliver(ready)
}

// terminator ends the client's TLS. One tls.Config serves all connections, so that its session tickets do.
type terminator struct {
	config  *tls.Config
	refusal *tls.Config // has no certificate: crypto/tls answers unrecognized_name (RFC 6066 section 3)
}

func newTerminator(certificate func(host string) (*tls.Certificate, error)) *terminator {
	t := &terminator{refusal: &tls.Config{MinVersion: tls.VersionTLS12, SessionTicketsDisabled: true}}
	t.config = &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"},
		// Called for resumed sessions too, which GetCertificate is not.
		GetConfigForClient: func(info *tls.ClientHelloInfo) (*tls.Config, error) {
			c, ok := info.Conn.(*interceptedConn)
			if !ok {
				return nil, errors.New("connection without target")
			}
			if c.hello.read(info, c.target.host); c.hello.mismatch {
				return t.refusal, nil
			}
			return nil, nil //nolint:nilnil // crypto/tls: keep the configuration
		},
		GetCertificate: func(info *tls.ClientHelloInfo) (*tls.Certificate, error) {
			c, ok := info.Conn.(*interceptedConn)
			if !ok {
				return nil, errors.New("connection without target")
			}
			cert, err := certificate(c.target.host)
			if err != nil {
				return nil, fmt.Errorf("get certificate: %w", err)
			}
			return cert, nil
		},
	}
	return t
}

// errNoBytes is a CONNECT that the client gave up, or never used, before it sent anything.
var errNoBytes = errors.New("client sent nothing")

// terminate returns the connection that the inner server is to serve: the *tls.Conn after its handshake, or c itself
// when the client speaks no TLS. It takes timeout at most.
func (t *terminator) terminate(c *interceptedConn, timeout time.Duration) (net.Conn, error) {
	if c.target.local {
		return c, nil
	}
	if err := c.SetDeadline(time.Now().Add(timeout)); err != nil {
		return nil, fmt.Errorf("set deadline: %w", err)
	}
	if len(c.early) == 0 {
		first := make([]byte, 1)
		if _, err := io.ReadFull(c.Conn, first); err != nil {
			return nil, fmt.Errorf("%w: %w", errNoBytes, err)
		}
		c.early = first
	}
	ready := net.Conn(c)
	if c.early[0] == recordTypeHandshake {
		tlsConn := tls.Server(c, t.config)
		// Bounded by the deadline: a context would cost a goroutine each.
		if err := tlsConn.Handshake(); err != nil { //nolint:noctx // see above
			return nil, fmt.Errorf("tls handshake: %w", err)
		}
		ready = tlsConn
	}
	if err := c.SetDeadline(time.Time{}); err != nil {
		return nil, fmt.Errorf("clear deadline: %w", err)
	}
	return ready, nil
}

type targetKey struct{}

// withTarget is the ConnContext of the inner server.
func withTarget(ctx context.Context, conn net.Conn) context.Context {
	ctx = withConn(ctx, conn)
	if c, ok := underTLS(conn).(*interceptedConn); ok {
		ctx = context.WithValue(ctx, targetKey{}, c.target)
		if c.target.principal != nil {
			ctx = context.WithValue(ctx, principalKey{}, c.target.principal)
		}
	}
	return ctx
}
