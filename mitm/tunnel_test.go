package mitm_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"detour/mitm"

	"github.com/coder/websocket"
)

// The client of a host that is not intercepted sees the origin's own certificate and exactly its bytes.
func TestInvariant5_NotInterceptedIsNeverDecrypted(t *testing.T) {
	t.Parallel()
	payload := make([]byte, 3<<20) // through user space and splice
	for i := range payload {
		payload[i] = byte(rand.Uint32())
	}
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		_, _ = w.Write(b)
	}))
	t.Cleanup(s.Close)
	r := newRig(t, func(p *mitm.Proxy) {
		p.DialContext = dialTo(s.Listener.Addr().String())
		p.GetCertificate = func(host string) (*tls.Certificate, error) {
			t.Errorf("certificate wanted for %s", host)
			return nil, errors.New("no")
		}
		p.Handler = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("request seen") })
	})
	run(t, func(t *testing.T, v version) {
		c := r.client(t, v)
		tr := c.Transport.(*http.Transport)
		tr.TLSClientConfig = s.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
		tr.TLSClientConfig.NextProtos = v.alpn
		tr.Protocols.SetHTTP1(true) // the origin speaks HTTP/1.1 only
		resp, err := c.Post("https://example.com/", "application/octet-stream", bytes.NewReader(payload))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if got := resp.TLS.PeerCertificates[0]; !got.Equal(s.Certificate()) {
			t.Errorf("certificate of %v", got.Subject)
		}
		if got := readAll(t, resp.Body); got != string(payload) {
			t.Errorf("%d bytes came back changed", len(got))
		}
	})
}

// Bytes that are not TLS at all pass too, both ways, the first of them in the same packet as the CONNECT.
func TestInvariant5_TunnelPassesAnyBytes(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(p *mitm.Proxy) { p.DialContext = dialTo(origin(t, echo)) })
	payload := make([]byte, 5<<20)
	for i := range payload {
		payload[i] = byte(rand.Uint32())
	}
	c := r.dial(t)
	head := "CONNECT o.test:80 HTTP/1.1\r\nHost: o.test:80\r\n\r\n"
	var wg sync.WaitGroup
	wg.Go(func() {
		_, _ = c.Write(append([]byte(head), payload...))
		_ = c.CloseWrite()
	})
	readHead(t, c)
	got := readAll(t, c)
	wg.Wait()
	if sha256.Sum256([]byte(got)) != sha256.Sum256(payload) {
		t.Errorf("got %d bytes, want %d", len(got), len(payload))
	}
	line := r.logs.wait(t, "tunnel closed")
	if line["bytes_up"] != float64(len(payload)) || line["bytes_down"] != float64(len(payload)) || line["err"] != nil {
		t.Errorf("log: %v", line)
	}
	if s := r.Stats(); s.BytesUp != uint64(len(payload)) || s.BytesDown != uint64(len(payload)) || s.TunnelsTotal != 1 {
		t.Errorf("stats: %+v", s)
	}
}

func TestTunnelHalfClose(t *testing.T) {
	t.Parallel()
	t.Run("client first", func(t *testing.T) {
		t.Parallel()
		addr := origin(t, func(c *net.TCPConn) {
			b, _ := io.ReadAll(c) // returns only at the client's end
			fmt.Fprintf(c, "got %d", len(b))
		})
		r := newRig(t, func(p *mitm.Proxy) { p.DialContext = dialTo(addr) })
		c := r.connect(t, "o.test:443", http.StatusOK)
		io.WriteString(c, "12345")
		_ = c.CloseWrite()
		if got := readAll(t, c); got != "got 5" {
			t.Errorf("got %q", got)
		}
	})
	t.Run("origin first", func(t *testing.T) {
		t.Parallel()
		received := make(chan string, 1)
		addr := origin(t, func(c *net.TCPConn) {
			io.WriteString(c, "bye")
			_ = c.CloseWrite()
			b, _ := io.ReadAll(c)
			received <- string(b)
		})
		r := newRig(t, func(p *mitm.Proxy) { p.DialContext = dialTo(addr) })
		c := r.connect(t, "o.test:443", http.StatusOK)
		if got := readAll(t, c); got != "bye" {
			t.Errorf("client got %q", got)
		}
		io.WriteString(c, "still here")
		_ = c.CloseWrite()
		if got := wait(t, received, "origin"); got != "still here" {
			t.Errorf("origin got %q", got)
		}
	})
}

// A dialled connection that cannot be half-closed is closed when the client ends, rather than kept for ever.
func TestTunnelToConnWithoutHalfClose(t *testing.T) {
	t.Parallel()
	received := make(chan string, 1)
	addr := origin(t, func(c *net.TCPConn) {
		b, _ := io.ReadAll(c)
		received <- string(b)
	})
	r := newRig(t, func(p *mitm.Proxy) {
		p.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
			c, err := new(net.Dialer).DialContext(ctx, network, addr)
			return struct{ net.Conn }{c}, err
		}
	})
	c := r.connect(t, "o.test:443", http.StatusOK)
	io.WriteString(c, "all")
	_ = c.CloseWrite()
	if got := wait(t, received, "origin"); got != "all" {
		t.Errorf("origin got %q", got)
	}
	r.logs.wait(t, "tunnel closed")
}

// A cut answer must not look complete: the client sees the reset, not an end.
func TestTunnelPassesOnAReset(t *testing.T) {
	t.Parallel()
	for _, size := range []int{10, 2 << 20} { // in user space; in the kernel
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			t.Parallel()
			cut := make(chan struct{})
			addr := origin(t, func(c *net.TCPConn) {
				_, _ = c.Write(make([]byte, size))
				<-cut
				_ = c.SetLinger(0)
			})
			r := newRig(t, func(p *mitm.Proxy) { p.DialContext = dialTo(addr) })
			c := r.connect(t, "o.test:443", http.StatusOK)
			if _, err := io.ReadFull(c, make([]byte, size)); err != nil {
				t.Fatal(err)
			}
			close(cut)
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("got %v, want a reset", err)
			}
			if line := r.logs.wait(t, "tunnel closed"); line["err"] == nil {
				t.Errorf("log: %v", line)
			}
		})
	}
}

// The same when the other direction has ended already.
func TestTunnelPassesOnAResetAfterHalfClose(t *testing.T) {
	t.Parallel()
	cut := make(chan struct{})
	addr := origin(t, func(c *net.TCPConn) {
		_, _ = io.Copy(io.Discard, c)
		io.WriteString(c, "half")
		<-cut
		_ = c.SetLinger(0)
	})
	r := newRig(t, func(p *mitm.Proxy) { p.DialContext = dialTo(addr) })
	c := r.connect(t, "o.test:443", http.StatusOK)
	_ = c.CloseWrite()
	if _, err := io.ReadFull(c, make([]byte, 4)); err != nil {
		t.Fatal(err)
	}
	close(cut)
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %v, want a reset", err)
	}
}

// An origin may refuse an upload, answer and reset. The answer gets through.
func TestTunnelDeliversTheAnswerBeforeTheReset(t *testing.T) {
	t.Parallel()
	answer := strings.Repeat("no", 2000)
	addr := origin(t, func(c *net.TCPConn) {
		_, _ = io.ReadFull(c, make([]byte, 1<<20))
		io.WriteString(c, answer) // and close with unread bytes, which the kernel makes a reset
	})
	r := newRig(t, func(p *mitm.Proxy) { p.DialContext = dialTo(addr) })
	for range 20 {
		c := r.connect(t, "o.test:443", http.StatusOK)
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = c.Write(make([]byte, 8<<20)) })
		got := make([]byte, len(answer))
		_, err := io.ReadFull(c, got)
		c.Close()
		wg.Wait()
		if err != nil || string(got) != answer {
			t.Fatalf("got %d bytes, %v", len(got), err)
		}
	}
}

func TestTunnelEndsTheOriginWhenTheClientIsGone(t *testing.T) {
	t.Parallel()
	gone := make(chan error, 1)
	addr := origin(t, func(c *net.TCPConn) {
		io.WriteString(c, "x")
		_, err := io.Copy(io.Discard, c)
		gone <- err
	})
	r := newRig(t, func(p *mitm.Proxy) { p.DialContext = dialTo(addr) })
	c := r.connect(t, "o.test:443", http.StatusOK)
	_, _ = c.Read(make([]byte, 1))
	_ = c.SetLinger(0)
	c.Close()
	wait(t, gone, "origin's end")
	r.logs.wait(t, "tunnel closed")
}

// The proxy may be reached, and may reach its origins, over TLS: neither side can be spliced then.
func TestTunnelOverTLSOnBothSides(t *testing.T) {
	t.Parallel()
	ca := sharedCA()
	serverConfig := &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return ca.certificate(host) }}
	addr := origin(t, func(c *net.TCPConn) {
		s := tls.Server(c, serverConfig)
		_, _ = io.Copy(s, s)
		_ = s.Close()
	})
	r := newRig(t, func(p *mitm.Proxy) {
		p.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&tls.Dialer{Config: ca.clientConfig(host)}).DialContext(ctx, network, addr)
		}
	})
	l := tls.NewListener(listen(t), serverConfig)
	r.serve(t, l)
	c, err := tls.Dial("tcp", l.Addr().String(), ca.clientConfig(host))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	payload := strings.Repeat("0123456789abcdef", 64<<10)
	var wg sync.WaitGroup
	wg.Go(func() {
		io.WriteString(c, "CONNECT o.test:443 HTTP/1.1\r\nHost: o.test:443\r\n\r\n"+payload)
		_ = c.CloseWrite()
	})
	readHead(t, c)
	got := readAll(t, c)
	wg.Wait()
	if got != payload {
		t.Errorf("got %d bytes, want %d", len(got), len(payload))
	}
}

func TestWebSocketThroughTunnel(t *testing.T) {
	t.Parallel()
	s := httptest.NewTLSServer(http.HandlerFunc(echoWebSocket))
	t.Cleanup(s.Close)
	r := newRig(t, func(p *mitm.Proxy) { p.DialContext = dialTo(s.Listener.Addr().String()) })
	tr := s.Client().Transport.(*http.Transport).Clone()
	tr.Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: r.addr})
	t.Cleanup(tr.CloseIdleConnections)
	checkWebSocket(t, "wss://example.com/", &http.Client{Transport: tr})
}

func echoWebSocket(w http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer c.CloseNow()
	for {
		typ, b, err := c.Read(context.Background())
		if err != nil {
			return
		}
		if err := c.Write(context.Background(), typ, b); err != nil {
			return
		}
	}
}

func checkWebSocket(t *testing.T, url string, client *http.Client) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{HTTPClient: client})
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseNow()
	for i := range 5 {
		want := strings.Repeat(fmt.Sprint(i), 1000)
		if err := c.Write(ctx, websocket.MessageText, []byte(want)); err != nil {
			t.Fatal(err)
		}
		if _, got, err := c.Read(ctx); err != nil || string(got) != want {
			t.Fatalf("got %d bytes, %v", len(got), err)
		}
	}
	if err := c.Close(websocket.StatusNormalClosure, ""); err != nil {
		t.Errorf("close: %v", err)
	}
}
