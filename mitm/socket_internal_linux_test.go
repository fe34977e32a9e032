package mitm

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestWatchPeerSetsSocketOptions(t *testing.T) {
	t.Parallel()
	c, _ := tcpPair(t)
	watchPeer(c)
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	for name, option := range map[string][3]int{
		"keep-alive":   {unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		"idle":         {unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 20},
		"interval":     {unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 20},
		"count":        {unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 5},
		"user timeout": {unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 300_000},
	} {
		if err := raw.Control(func(fd uintptr) {
			if got, err := unix.GetsockoptInt(int(fd), option[0], option[1]); err != nil || got != option[2] {
				t.Errorf("%s: %d, %v; want %d", name, got, err, option[2])
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
}
