package mitm_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"detour/mitm"
)

// patience is how long a test waits for what should happen at once.
const patience = 20 * time.Second

// host is intercepted by every rig; other names are not.
const host = "api.intercepted.test"

// version is the HTTP version that a test's client speaks inside the intercepted connection.
type version struct {
	name  string
	alpn  []string
	major int
}

var (
	http1 = version{"h1", nil, 1}
	http2 = version{"h2", []string{"h2"}, 2}
)

// run executes f once for each HTTP version.
func run(t *testing.T, f func(t *testing.T, v version)) {
	t.Helper()
	for _, v := range []version{http1, http2} {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			f(t, v)
		})
	}
}

// rig is a running proxy with what surrounds it.
type rig struct {
	*mitm.Proxy
	addr string
	ca   *testCA
	logs *logBook
}

// newRig starts a proxy that intercepts *.intercepted.test, dials nothing unless configure says so, and is shut down
// with the test.
func newRig(t testing.TB, configure func(p *mitm.Proxy)) *rig {
	t.Helper()
	r := &rig{ca: sharedCA(), logs: new(logBook)}
	r.Proxy = &mitm.Proxy{
		Intercept:      func(host string, _ int) bool { return strings.HasSuffix(host, ".intercepted.test") },
		GetCertificate: r.ca.certificate,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "handled")
		}),
		DialContext: func(_ context.Context, _, addr string) (net.Conn, error) {
			t.Errorf("dialled %s", addr)
			return nil, fmt.Errorf("unexpected dial")
		},
		Logger: slog.New(slog.NewJSONHandler(r.logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	if configure != nil {
		configure(r.Proxy)
	}
	l := listen(t)
	r.addr = l.Addr().String()
	r.serve(t, l)
	return r
}

// serve runs the proxy on l until the test ends, and checks how it ends.
func (r *rig) serve(t testing.TB, l net.Listener) {
	done := make(chan error, 1)
	go func() { done <- r.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		defer cancel()
		_ = r.Shutdown(ctx)
		if err := <-done; err != http.ErrServerClosed {
			t.Errorf("Serve = %v, want http.ErrServerClosed", err)
		}
		if s := r.Stats(); s.Tunnels != 0 || s.Intercepted != 0 {
			t.Errorf("after Shutdown: %+v", s)
		}
	})
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// client returns an HTTP client of version v that uses the proxy and trusts its CA.
func (r *rig) client(t testing.TB, v version, proxyUser ...string) *http.Client {
	t.Helper()
	proxy := &url.URL{Scheme: "http", Host: r.addr}
	if len(proxyUser) == 2 {
		proxy.User = url.UserPassword(proxyUser[0], proxyUser[1])
	}
	tr := &http.Transport{
		Proxy:                 http.ProxyURL(proxy),
		TLSClientConfig:       r.ca.clientConfig(""),
		ExpectContinueTimeout: patience,
		MaxIdleConnsPerHost:   500,
		Protocols:             new(http.Protocols),
	}
	tr.Protocols.SetHTTP1(v.major == 1)
	tr.Protocols.SetHTTP2(v.major == 2)
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: patience}
}

// dial opens a connection to the proxy that the test closes and that never hangs.
func (r *rig) dial(t testing.TB) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return c.(*net.TCPConn)
}

// connect sends CONNECT and requires the status. The connection is bare: nothing behind the head has been read.
func (r *rig) connect(t testing.TB, authority string, status int, header ...string) *net.TCPConn {
	t.Helper()
	c := r.dial(t)
	fmt.Fprintf(c, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n%s\r\n", authority, authority, strings.Join(header, ""))
	if line := readHead(t, c); !strings.HasPrefix(line, fmt.Sprintf("HTTP/1.1 %d ", status)) {
		t.Fatalf("CONNECT %s: got %q, want status %d", authority, line, status)
	}
	return c
}

// readHead reads byte by byte up to the blank line, and returns the first line.
func readHead(t testing.TB, c io.Reader) string {
	t.Helper()
	var head []byte
	for !bytes.HasSuffix(head, []byte("\r\n\r\n")) {
		b := make([]byte, 1)
		if _, err := io.ReadFull(c, b); err != nil {
			t.Fatalf("read head: %v after %q", err, head)
		}
		head = append(head, b[0])
	}
	line, _, _ := strings.Cut(string(head), "\r\n")
	return line
}

// exchange writes raw to the proxy and returns the answer with its body.
func (r *rig) exchange(t testing.TB, raw string) (*http.Response, string) {
	t.Helper()
	c := r.dial(t)
	if _, err := io.WriteString(c, raw); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatalf("answer to %q: %v", raw, err)
	}
	return resp, readAll(t, resp.Body)
}

func readAll(t testing.TB, r io.Reader) string {
	t.Helper()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("read: %v after %q", err, b)
	}
	return string(b)
}

// get makes a request and requires the status.
func get(t testing.TB, c *http.Client, url string, status int) string {
	t.Helper()
	resp, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body := readAll(t, resp.Body)
	if resp.StatusCode != status {
		t.Fatalf("GET %s: %s %q, want %d", url, resp.Status, body, status)
	}
	return body
}

// dialTo returns a DialContext that reaches addr whatever is asked for.
func dialTo(addr string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
}

// origin starts a TCP server that gives each connection to f and closes it afterwards.
func origin(t testing.TB, f func(c *net.TCPConn)) (addr string) {
	t.Helper()
	l := listen(t)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(patience))
				f(c.(*net.TCPConn))
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		wg.Wait()
	})
	return l.Addr().String()
}

// echo does without splice, whose pipes would be counted as the proxy's.
func echo(c *net.TCPConn) { _, _ = io.Copy(struct{ io.Writer }{c}, struct{ io.Reader }{c}) }

// serveHTTP starts a plain HTTP server and returns its address.
func serveHTTP(t testing.TB, h http.HandlerFunc) (addr string) {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// wait fails the test when nothing comes from c.
func wait[T any](t testing.TB, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("%s: nothing came", what)
		panic("unreachable")
	}
}

// eventually polls, for what announces itself in no other way.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	timeout := time.After(patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-timeout:
			t.Fatalf("%s: did not happen", what)
		}
	}
}

// logBook collects JSON log lines.
type logBook struct {
	mu    sync.Mutex
	lines []map[string]any
	raw   strings.Builder
	grown chan struct{}
}

func (b *logBook) Write(p []byte) (int, error) {
	var line map[string]any
	if err := json.Unmarshal(p, &line); err != nil {
		return 0, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lines = append(b.lines, line)
	b.raw.Write(p)
	if b.grown != nil {
		close(b.grown)
		b.grown = nil
	}
	return len(p), nil
}

func (b *logBook) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.raw.String()
}

// wait returns the first line with the message, as soon as there is one.
func (b *logBook) wait(t testing.TB, msg string) map[string]any {
	t.Helper()
	timeout := time.After(patience)
	for {
		b.mu.Lock()
		for _, line := range b.lines {
			if line["msg"] == msg {
				b.mu.Unlock()
				return line
			}
		}
		if b.grown == nil {
			b.grown = make(chan struct{})
		}
		grown := b.grown
		b.mu.Unlock()
		select {
		case <-grown:
		case <-timeout:
			t.Fatalf("no log line %q in:\n%s", msg, b)
		}
	}
}
