package mitm_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"detour/mitm"

	"github.com/coder/websocket"
)

func TestShutdownLetsExchangesFinish(t *testing.T) {
	t.Parallel()
	run(t, func(t *testing.T, v version) {
		started, finish := make(chan struct{}), make(chan struct{})
		r := newRig(t, func(p *mitm.Proxy) {
			p.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				close(started)
				<-finish
				_, _ = io.WriteString(w, "finished")
			})
		})
		var wg sync.WaitGroup
		c := r.client(t, v)
		wg.Go(func() {
			if got := get(t, c, "https://"+host+"/", 200); got != "finished" {
				t.Errorf("got %q", got)
			}
			c.CloseIdleConnections()
		})
		wait(t, started, "request")
		down := make(chan error, 1)
		go func() { down <- r.Shutdown(t.Context()) }()
		eventually(t, "new connections are refused", func() bool {
			conn, err := net.Dial("tcp", r.addr)
			if err == nil {
				conn.Close()
			}
			return err != nil
		})
		close(finish)
		wg.Wait()
		if err := wait(t, down, "Shutdown"); err != nil {
			t.Errorf("Shutdown = %v", err)
		}
	})
}

func TestShutdownEndsWhatDoesNotFinish(t *testing.T) {
	t.Parallel()
	run(t, func(t *testing.T, v version) {
		ended := make(chan struct{})
		r := newRig(t, func(p *mitm.Proxy) {
			p.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.WriteString(w, "half")
				_ = http.NewResponseController(w).Flush()
				<-r.Context().Done()
				close(ended) // and return as if all had been sent
			})
		})
		resp, err := r.client(t, v).Get("https://" + host + "/")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		if err := r.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Shutdown = %v", err)
		}
		select {
		case <-ended:
		default:
			t.Error("Shutdown returned before the handler did")
		}
		if b, err := io.ReadAll(resp.Body); err == nil {
			t.Errorf("a clean end after %q", b)
		}
	})
}

func TestShutdownEndsTunnels(t *testing.T) {
	t.Parallel()
	addr := origin(t, echo)
	r := newRig(t, func(p *mitm.Proxy) { p.DialContext = dialTo(addr) })
	idle := r.connect(t, "o.test:443", 200)
	finishing := r.connect(t, "o.test:443", 200)
	ctx, cancel := context.WithCancel(t.Context())
	down := make(chan error, 1)
	go func() { down <- r.Shutdown(ctx) }()
	// Still running: Shutdown waits for them.
	io.WriteString(finishing, "last words")
	_ = finishing.CloseWrite()
	if got := readAll(t, finishing); got != "last words" {
		t.Errorf("got %q", got)
	}
	eventually(t, "one tunnel ends", func() bool { return r.Stats().Tunnels == 1 })
	cancel()
	if err := wait(t, down, "Shutdown"); !errors.Is(err, context.Canceled) {
		t.Errorf("Shutdown = %v", err)
	}
	if _, err := idle.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("read: %v, want a reset", err)
	}
	if s := r.Stats(); s.Tunnels != 0 {
		t.Errorf("%+v", s)
	}
}

func TestShutdownEndsHijackedConnections(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(p *mitm.Proxy) { p.Handler = http.HandlerFunc(echoWebSocket) })
	c, _, err := websocket.Dial(t.Context(), "wss://"+host+"/", &websocket.DialOptions{HTTPClient: r.client(t, http1)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseNow()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := r.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown = %v", err)
	}
	if _, _, err := c.Read(t.Context()); err == nil {
		t.Error("still open")
	}
}

// net/http does not watch a hijacked connection, so only Shutdown can end its context.
func TestShutdownEndsTheContextOfHijackers(t *testing.T) {
	t.Parallel()
	cause := make(chan error, 1)
	r := newRig(t, func(p *mitm.Proxy) {
		p.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\n\r\n")
			<-r.Context().Done()
			cause <- context.Cause(r.Context())
		})
	})
	c := r.connect(t, host+":80", 200)
	fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", host)
	readHead(t, c)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := r.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown = %v", err)
	}
	select {
	case err := <-cause:
		if err == context.Canceled {
			t.Error("the context does not say why it ended")
		}
	default:
		t.Error("Shutdown returned before the handler did")
	}
}

func TestShutdownEndsHandshakesAndDials(t *testing.T) {
	t.Parallel()
	dialling := make(chan struct{})
	r := newRig(t, func(p *mitm.Proxy) {
		p.HandshakeTimeout, p.DialTimeout = time.Hour, time.Hour
		p.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			close(dialling)
			<-ctx.Done()
			return nil, context.Cause(ctx)
		}
	})
	r.connect(t, host+":443", 200) // and no ClientHello
	fmt.Fprint(r.dial(t), "CONNECT o.test:443 HTTP/1.1\r\nHost: o.test:443\r\n\r\n")
	wait(t, dialling, "dial")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := r.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown = %v", err)
	}
}

func TestShutdownTwiceAndBeforeServe(t *testing.T) {
	t.Parallel()
	p := new(mitm.Proxy)
	for range 2 {
		if err := p.Shutdown(t.Context()); err != nil {
			t.Errorf("Shutdown = %v", err)
		}
	}
	if err := p.Serve(listen(t)); err != http.ErrServerClosed {
		t.Errorf("Serve = %v", err)
	}
}

func TestServeSeveralListeners(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	l := listen(t)
	r.serve(t, l)
	for _, addr := range []string{r.addr, l.Addr().String()} {
		at := &rig{Proxy: r.Proxy, addr: addr, ca: r.ca, logs: r.logs}
		c := tls.Client(at.connect(t, host+":443", 200), r.ca.clientConfig(host))
		fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", host)
		if b, err := io.ReadAll(bufio.NewReader(c)); err != nil || !strings.HasSuffix(string(b), "handled") {
			t.Errorf("%s: %q, %v", addr, b, err)
		}
	}
}

func TestServeReturnsWhatTheListenerFailsWith(t *testing.T) {
	t.Parallel()
	l := listen(t)
	_ = l.Close()
	p := new(mitm.Proxy)
	if err := p.Serve(l); err == nil || errors.Is(err, http.ErrServerClosed) {
		t.Errorf("Serve = %v", err)
	}
	if err := p.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}
