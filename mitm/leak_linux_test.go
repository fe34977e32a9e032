package mitm_test

import (
	"context"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"syscall"
	"testing"

	"detour/mitm"

	"go.uber.org/goleak"
)

func countFDs(t *testing.T) int {
	t.Helper()
	d, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skipf("/proc/self/fd: %v", err)
	}
	return len(d)
}

func needFDs(t *testing.T, n uint64) {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || limit.Cur < n {
		t.Skipf("needs %d file descriptors, the limit is %d (%v)", n, limit.Cur, err)
	}
}

// openTunnels opens n tunnels to an echo server and sends size bytes through each.
func openTunnels(t *testing.T, r *rig, n, size int) []*net.TCPConn {
	t.Helper()
	conns := make([]*net.TCPConn, n)
	var wg sync.WaitGroup
	limit := make(chan struct{}, 16)
	for i := range conns {
		conns[i] = r.connect(t, "o.test:443", 200)
		limit <- struct{}{}
		wg.Go(func() {
			defer func() { <-limit }()
			var sending sync.WaitGroup
			sending.Go(func() { _, _ = conns[i].Write(make([]byte, size)) })
			if _, err := io.ReadFull(conns[i], make([]byte, size)); err != nil {
				t.Error(err)
			}
			sending.Wait()
		})
	}
	wg.Wait()
	return conns
}

// Not parallel: it counts descriptors and goroutines of the process.
func TestThousandTunnelsLeaveNothing(t *testing.T) {
	needFDs(t, 2000)
	addr := origin(t, echo)
	l := listen(t)
	r := &rig{Proxy: &mitm.Proxy{DialContext: dialTo(addr)}, addr: l.Addr().String(), logs: new(logBook)}
	served := make(chan error, 1)
	ignore := goleak.IgnoreCurrent()
	before := countFDs(t)
	go func() { served <- r.Serve(l) }()
	for range 10 {
		for i, c := range openTunnels(t, r, 100, 1000) {
			if i%2 == 0 { // some end well, some do not
				_ = c.SetLinger(0)
			}
			_ = c.Close()
		}
	}
	eventually(t, "all tunnels end", func() bool { return r.Stats().Tunnels == 0 })
	if s := r.Stats(); s.TunnelsTotal != 1000 || s.BytesUp != 1000*1000 || s.BytesDown != 1000*1000 {
		t.Errorf("%+v", s)
	}
	left := openTunnels(t, r, 50, 1000) // these end with the proxy
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_ = r.Shutdown(ctx)
	<-served
	for _, c := range left {
		_ = c.Close()
	}
	eventually(t, "all descriptors are closed", func() bool {
		runtime.GC()                   // closes the pipes that splice keeps for later
		return countFDs(t) <= before-1 // the listener is gone too
	})
	if err := goleak.Find(ignore); err != nil {
		t.Error(err)
	}
}

// Each tunnel is four sockets in this process: the client's, the proxy's two, the origin's. More would be pipes.
func TestIdleTunnelHoldsTwoDescriptors(t *testing.T) {
	const n = 200
	needFDs(t, 4*n+200)
	r := newRig(t, func(p *mitm.Proxy) { p.DialContext = dialTo(origin(t, echo)) })
	before := countFDs(t)
	openTunnels(t, r, n, 100<<10) // less than makes it splice
	if got := countFDs(t) - before; got > 4*n+2 {
		t.Errorf("%d descriptors for %d tunnels, of which %d are the ends", got, n, 2*n)
	}
}
