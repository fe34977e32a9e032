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
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	// settle returns the count once the pool of pipes, which the garbage collector empties, has stopped shrinking.
	settle := func() int {
		count := fds()
		for same := 0; same < 10; same++ {
			runtime.GC()
			<-tick.C
			if now := fds(); now != count {
				count, same = now, 0
			}
		}
		return count
	}
	c := newCopier()
	c.bulk, c.spell = 1<<10, 20*time.Millisecond
	in, src := tcpPair(t)
	dst, out := tcpPair(t)
	before := settle()
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
	for deadline := time.Now().Add(10 * time.Second); settle() > before; {
		if time.Now().After(deadline) {
			t.Fatalf("%d descriptors, %d before", fds(), before)
		}
	}
	_ = in.CloseWrite()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
