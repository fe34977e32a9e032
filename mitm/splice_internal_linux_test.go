package mitm

import (
	"io"
	"os"
	"runtime"
	"testing"
	"time"
)

// A tunnel that was busy and is idle gives its pipes back. Not parallel: it counts descriptors of the process.
func TestIdleAfterBulkHoldsNoPipe(t *testing.T) {
	fds := func() int {
		d, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skipf("/proc/self/fd: %v", err)
		}
		return len(d)
	}
	c := newCopier()
	c.bulk, c.spell = 1<<10, 20*time.Millisecond
	in, src := tcpPair(t)
	dst, out := tcpPair(t)
	runtime.GC()
	before := fds()
	done := make(chan error, 1)
	go func() { done <- c.copy(dst, src, func(int64) {}) }()
	spliced := false
	buf := make([]byte, 64<<10)
	for range 50 {
		go func() { _, _ = in.Write(buf) }()
		if _, err := io.ReadFull(out, make([]byte, len(buf))); err != nil {
			t.Fatal(err)
		}
		spliced = spliced || fds() > before
	}
	if !spliced {
		t.Error("no pipe was ever open: the kernel did not move the bytes")
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(10 * time.Second); fds() > before; {
		select {
		case <-tick.C:
			runtime.GC() // the pool of pipes lets go of them then
		case <-deadline:
			t.Fatalf("%d descriptors, %d before", fds(), before)
		}
	}
	_ = in.CloseWrite()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
