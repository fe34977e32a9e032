package mitm

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// tcpPair returns the two ends of a loopback connection.
func tcpPair(t *testing.T) (a, b *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	for _, conn := range []net.Conn{c, s} {
		t.Cleanup(func() { _ = conn.Close() })
		_ = conn.SetWriteDeadline(time.Now().Add(20 * time.Second))
	}
	return c.(*net.TCPConn), s.(*net.TCPConn)
}

// A direction goes from user space to the kernel and back, again and again, and not one byte is lost, doubled or moved.
func TestCopierChangesBetweenUserSpaceAndKernel(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]*copier{
		"spells end at once":      {bulk: 10_000, spell: time.Microsecond},
		"short spells":            {bulk: 20_000, spell: 2 * time.Millisecond},
		"kernel after first byte": {bulk: 1, spell: 5 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.buffers.New = newCopier().buffers.New
			in, src := tcpPair(t)
			dst, out := tcpPair(t)
			payload := make([]byte, 2<<20)
			for i := range payload {
				payload[i] = byte(rand.Uint32())
			}
			go func() {
				tick := time.NewTicker(time.Millisecond) // pauses, in which spells end
				defer tick.Stop()
				for rest := payload; len(rest) > 0; {
					n := min(len(rest), 1+rand.IntN(100_000))
					_, _ = in.Write(rest[:n])
					rest = rest[n:]
					<-tick.C
				}
				_ = in.CloseWrite()
			}()
			var counted atomic.Int64
			done := make(chan error, 1)
			go func() {
				done <- c.copy(dst, src, func(n int64) { counted.Add(n) })
				_ = dst.CloseWrite()
			}()
			got, err := io.ReadAll(out)
			if err != nil || !bytes.Equal(got, payload) {
				t.Errorf("got %d bytes of %d, %v", len(got), len(payload), err)
			}
			if err := <-done; err != nil || counted.Load() != int64(len(payload)) {
				t.Errorf("copy: %v, counted %d", err, counted.Load())
			}
		})
	}
}

func TestCopierReportsResets(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]*copier{
		"user space": {bulk: bulk, spell: spliceSpell},
		"kernel":     {bulk: 1, spell: spliceSpell},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.buffers.New = newCopier().buffers.New
			in, src := tcpPair(t)
			dst, out := tcpPair(t)
			done := make(chan error, 1)
			go func() { done <- c.copy(dst, src, func(int64) {}) }()
			_, _ = in.Write([]byte("xy"))
			if _, err := io.ReadFull(out, make([]byte, 2)); err != nil {
				t.Fatal(err)
			}
			_ = in.SetLinger(0)
			_ = in.Close()
			if err := <-done; !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestMemoryListener(t *testing.T) {
	t.Parallel()
	l := newMemoryListener()
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	go l.deliver(a)
	if c, err := l.Accept(); c != a || err != nil {
		t.Errorf("Accept = %v, %v", c, err)
	}
	for range 2 {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
	if l.deliver(b) {
		t.Error("delivered to a closed listener")
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept = %v", err)
	}
}
