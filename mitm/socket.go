package mitm

import (
	"crypto/tls"
	"errors"
	"net"
	"time"
)

// A peer that is gone without a word is found after userTimeout, idle or not; where there is no such option, an idle
// one after two minutes. userTimeout is no shorter because Linux also applies it to a peer that is alive and does not
// read, such as a suspended program.
//
// Probes are also what keeps boxes on the way from dropping a connection on which a model thinks. Those are seen to wait
// for less than a minute.
const (
	keepAliveIdle     = 20 * time.Second
	keepAliveInterval = 20 * time.Second
	keepAliveCount    = 5
	userTimeout       = 5 * time.Minute
)

// watchPeer makes the kernel look for a dead peer of c. Failures are of no consequence: the connection works without.
func watchPeer(c net.Conn) {
	t, ok := underTLS(c).(*net.TCPConn)
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
	c = underTLS(c)
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	_ = c.Close()
}

func underTLS(c net.Conn) net.Conn {
	if t, ok := c.(*tls.Conn); ok {
		return t.NetConn()
	}
	return c
}
