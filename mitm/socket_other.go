//go:build !linux

package mitm

import (
	"net"
	"time"
)

// setUserTimeout has no portable form; keep-alive and the system's own retransmission limit remain.
func setUserTimeout(*net.TCPConn, time.Duration) {}
