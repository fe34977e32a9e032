//go:build e2e

package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"testing"
	"time"
)

// TestHTTP2Conformance runs h2spec through an intercepted CONNECT of the detour binary and against net/http alone,
// which is what terminates HTTP/2 in detour: nothing that we put around it may cost a case.
func TestHTTP2Conformance(t *testing.T) {
	dir := t.TempDir()
	h2spec, binary := filepath.Join(dir, "h2spec"), filepath.Join(dir, "detour-binary")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", h2spec, "github.com/summerwind/h2spec/cmd/h2spec")
	build.Dir = "peers"
	if out, err := build.CombinedOutput(); err != nil {
		t.Skipf("h2spec cannot be built: %v\n%s", err, out)
	}
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "detour/cmd/detour").CombinedOutput(); err != nil {
		t.Fatalf("build detour: %v\n%s", err, out)
	}
	exe := filepath.Join(dir, "bench-binary")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", exe, "detour/internal/bench").CombinedOutput(); err != nil {
		t.Fatalf("build bench: %v\n%s", err, out)
	}
	r := &rig{o: options{detour: binary}, dir: dir, exe: exe, log: os.Stderr}
	t.Cleanup(r.Close)
	var err error
	if r.certs, err = makeCerts(dir); err != nil {
		t.Fatal(err)
	}
	if r.upstream, err = r.own(t.Context(), "upstream", "", "upstream", "-cert", r.certs.leaf, "-key", r.certs.leafKey); err != nil {
		t.Fatal(err)
	}
	if r.simTLS, err = r.own(t.Context(), "sim", "https\n", "sim"); err != nil {
		t.Fatal(err)
	}
	d, err := r.startDetour(t.Context(), "detour", r.simTLS)
	if err != nil {
		t.Fatal(err)
	}

	// Whether h2spec still reads a GOAWAY before it notices that the connection was closed is a race that it loses
	// now and then, with any server.
	var alone, through verdicts
	for range 3 {
		var runs sync.WaitGroup
		runs.Go(func() { alone = alone.better(conformance(t, h2spec, r.upstream.Addr)) })
		runs.Go(func() { through = through.better(conformance(t, h2spec, forwardTo(t, d.proxy, interceptedHost))) })
		runs.Wait()
		if through.passed >= max(alone.passed, 141) {
			break
		}
	}
	t.Logf("net/http alone: %v", alone)
	t.Logf("through detour: %v", through)
	if through.passed < alone.passed || through.passed == 0 {
		t.Errorf("detour passes %d of %d cases, net/http alone %d", through.passed, through.total, alone.passed)
	}
}

type verdicts struct{ total, passed, failed int }

// better returns the one of which more passed.
func (v verdicts) better(o verdicts) verdicts {
	if o.passed > v.passed {
		return o
	}
	return v
}

func (v verdicts) String() string {
	return fmt.Sprintf("%d of %d cases passed, %d failed", v.passed, v.total, v.failed)
}

// conformance runs h2spec against addr.
func conformance(t *testing.T, h2spec, addr string) verdicts {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Error(err)
		return verdicts{}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	// It exits with an error when a case fails; the counts are in its last line.
	out, _ := exec.CommandContext(ctx, h2spec, "-h", host, "-p", port, "-t", "-k", "-o", "2").CombinedOutput()
	m := regexp.MustCompile(`(\d+) tests, (\d+) passed, \d+ skipped, (\d+) failed`).FindSubmatch(out)
	if m == nil {
		t.Errorf("h2spec gave no counts for %s:\n%s", addr, out[max(0, len(out)-2000):])
		return verdicts{}
	}
	if os.Getenv("H2SPEC_OUTPUT") != "" {
		t.Logf("%s", out)
	}
	n := func(b []byte) int { v, _ := strconv.Atoi(string(b)); return v }
	return verdicts{n(m[1]), n(m[2]), n(m[3])}
}

// forwardTo returns an address whose connections go to host by CONNECT through proxy.
func forwardTo(t *testing.T, proxy, host string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	t.Cleanup(func() {
		_ = l.Close()
		running.Wait()
	})
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() { forwardOne(c, proxy, host) })
		}
	})
	return l.Addr().String()
}

func forwardOne(c net.Conn, proxy, host string) {
	defer c.Close()
	up, err := net.DialTimeout("tcp", proxy, 5*time.Second)
	if err != nil {
		return
	}
	defer up.Close()
	if connect(up, host) != nil {
		return
	}
	// Whichever side ends first ends both: h2spec looks at how connections are closed.
	done := make(chan struct{}, 2)
	for _, pair := range [][2]net.Conn{{up, c}, {c, up}} {
		go func() { // ends when either connection is closed, at the latest by our return
			_, _ = io.Copy(pair[0], pair[1])
			done <- struct{}{}
		}()
	}
	<-done
}
