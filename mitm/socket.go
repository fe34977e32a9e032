package mitm

import (
	"crypto/tls"
	"errors"
	"net"
	"time"
)

// A peer that is gone without a word is found after about two minutes, idle (keep-alive) or not (user timeout).
const (
	keepAliveIdle     = 60 * time.Second
	keepAliveInterval = 15 * time.Second
	keepAliveCount    = 4
	userTimeout       = 2 * time.Minute
)

// watchPeer makes the kernel look for a dead peer of c. Failures are of no consequence: the connection works without.
func watchPeer(c net.Conn) {
	t, ok := c.(*net.TCPConn)
	if !ok {
		return
	}
	_ = t.SetKeepAliveConfig(net.KeepAliveConfig{
		Enable: true, Idle: keepAliveIdle, Interval: keepAliveInterval, Count: keepAliveCount,
	})
	setUserTimeout(t, userTimeout)
}

// closeWrite ends what c sends and leaves open what it receives.
func closeWrite(c net.Conn) error {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// abortConn closes c without a clean end: the peer sees a TCP reset and no TLS close_notify, so that it cannot take
// what it has for the whole.
func abortConn(c net.Conn) {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	_ = c.Close()
}
