package mitm_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"detour/mitm"
)

// forwardRig is a rig whose absolute-form requests reach h, whatever host they name.
func forwardRig(t *testing.T, h http.HandlerFunc) *rig {
	t.Helper()
	addr := serveHTTP(t, h)
	return newRig(t, func(p *mitm.Proxy) { p.DialContext = dialTo(addr) })
}

func TestForwardPassesRequestAndAnswerOn(t *testing.T) {
	t.Parallel()
	r := forwardRig(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "text/x-test")
		w.Header()["Set-Cookie"] = []string{"a=1", "b=2"}
		w.WriteHeader(http.StatusTeapot)
		fmt.Fprintf(w, "%s %s %s %s", r.Method, r.RequestURI, r.Host, b)
	})
	c := r.client(t, http1)
	resp, err := c.Post("http://plain.test/path?q=%20;&&x", "text/plain", strings.NewReader("body"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got, want := readAll(t, resp.Body), "POST /path?q=%20;&&x plain.test body"; got != want || resp.StatusCode != http.StatusTeapot {
		t.Errorf("got %s %q, want %q", resp.Status, got, want)
	}
	if got := resp.Header["Set-Cookie"]; !slices.Equal(got, []string{"a=1", "b=2"}) {
		t.Errorf("Set-Cookie: %q", got)
	}
}

// Only what the client sent arrives, less what concerns its own connection; and likewise back.
func TestForwardScrubsHeaders(t *testing.T) {
	t.Parallel()
	got := make(chan string, 1)
	addr := origin(t, func(c *net.TCPConn) {
		br := bufio.NewReader(c)
		var head []string
		for {
			line, err := br.ReadString('\n')
			if line = strings.TrimSpace(line); err != nil || line == "" {
				break
			}
			head = append(head, line)
		}
		slices.Sort(head)
		got <- strings.Join(head, "\n")
		io.WriteString(c, "HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n"+
			"Proxy-Authenticate: Basic\r\nX-End: 1\r\nContent-Length: 0\r\n\r\n")
	})
	r := newRig(t, func(p *mitm.Proxy) { p.DialContext = dialTo(addr) })
	resp, _ := r.exchange(t, "GET http://plain.test/ HTTP/1.1\r\nHost: ignored.test\r\nProxy-Connection: keep-alive\r\n"+
		"Connection: keep-alive, X-Mine\r\nX-Mine: 1\r\nKeep-Alive: 5\r\nTE: trailers, deflate\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n"+
		basic("u", "s3cret")+"Proxy-Authenticate: x\r\nAuthorization: Bearer mine\r\nAccept-Encoding: br\r\nX-Kept: 1\r\n\r\n")
	want := strings.Join([]string{
		"Accept-Encoding: br", "Authorization: Bearer mine", "GET / HTTP/1.1", "Host: plain.test", "Te: trailers", "X-Kept: 1",
	}, "\n")
	if got := wait(t, got, "request"); got != want {
		t.Errorf("origin got\n%s\nwant\n%s", got, want)
	}
	for name := range resp.Header {
		if name != "X-End" && name != "Content-Length" && name != "Date" {
			t.Errorf("the client got %s: %q", name, resp.Header[name])
		}
	}
	if resp.Header.Get("X-End") != "1" || resp.Close {
		t.Errorf("answer: %v, close %v", resp.Header, resp.Close)
	}
	if strings.Contains(r.logs.String(), "s3cret") {
		t.Error("the log holds the password")
	}
}

func TestInvariant4_ForwardedEventReachesClientBeforeTheNextIsWritten(t *testing.T) {
	t.Parallel()
	next := make(chan struct{})
	r := forwardRig(t, eventStream(next))
	checkEvents(t, r.client(t, http1), "http://plain.test/", next)
}

// The same for a body that is no event stream and has a length.
func TestInvariant4_ForwardedBytesAreNotHeldBack(t *testing.T) {
	t.Parallel()
	next := make(chan struct{})
	r := forwardRig(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "2")
		io.WriteString(w, "a")
		_ = http.NewResponseController(w).Flush()
		<-next
		io.WriteString(w, "b")
	})
	resp, err := r.client(t, http1).Get("http://plain.test/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	first := make([]byte, 1)
	if _, err := io.ReadFull(resp.Body, first); err != nil || first[0] != 'a' {
		t.Fatal(err)
	}
	close(next)
	if got := readAll(t, resp.Body); got != "b" {
		t.Errorf("got %q", got)
	}
}

// An answer that breaks off must not look complete, in neither framing.
func TestForwardedAnswerThatBreaksOffBreaksOff(t *testing.T) {
	t.Parallel()
	for name, head := range map[string]string{
		"chunked": "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
		"length":  "Content-Length: 8\r\n\r\nhalf",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			addr := origin(t, func(c *net.TCPConn) {
				_, _ = c.Read(make([]byte, 4096))
				io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"+head)
			})
			r := newRig(t, func(p *mitm.Proxy) { p.DialContext = dialTo(addr) })
			resp, err := r.client(t, http1).Get("http://plain.test/")
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if b, err := io.ReadAll(resp.Body); err == nil {
				t.Errorf("a clean end after %q", b)
			}
		})
	}
}

func TestForwardTrailers(t *testing.T) {
	t.Parallel()
	r := forwardRig(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		copyBody(w, r)
		w.Header().Set("X-Sum", "of "+r.Trailer.Get("X-Sum"))
	})
	req, _ := http.NewRequest("POST", "http://plain.test/", io.MultiReader(strings.NewReader("body")))
	req.Trailer = http.Header{"X-Sum": {"17"}}
	resp, err := r.client(t, http1).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got := readAll(t, resp.Body); got != "body" || resp.Trailer.Get("X-Sum") != "of 17" {
		t.Errorf("got %q, trailer %v", got, resp.Trailer)
	}
}

func TestForwardHead(t *testing.T) {
	t.Parallel()
	r := forwardRig(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "12345") })
	resp, err := r.client(t, http1).Head("http://plain.test/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.ContentLength != 12345 || len(resp.TransferEncoding) > 0 {
		t.Errorf("length %d, %v", resp.ContentLength, resp.TransferEncoding)
	}
}

func TestForwardCancelReachesOrigin(t *testing.T) {
	t.Parallel()
	started, ended := make(chan struct{}), make(chan struct{})
	r := forwardRig(t, func(_ http.ResponseWriter, r *http.Request) {
		close(started)
		<-r.Context().Done()
		close(ended)
	})
	ctx, cancel := context.WithCancel(t.Context())
	req, _ := http.NewRequestWithContext(ctx, "GET", "http://plain.test/", nil)
	client := r.client(t, http1)
	failed := make(chan error, 1)
	go func() {
		_, err := client.Do(req)
		failed <- err
	}()
	wait(t, started, "request")
	cancel()
	wait(t, ended, "end of the origin's context")
	if err := wait(t, failed, "client"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

type roundTripFunc func(*http.Request) (*http.Response, error)

func (f roundTripFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestForwardFailureIsAnswered(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err    error
		status int
		reason string
	}{
		{&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, 502, "connection refused"},
		{context.DeadlineExceeded, 504, "timed out"},
		{io.ErrUnexpectedEOF, 502, "unexpected EOF"},
	} {
		r := newRig(t, func(p *mitm.Proxy) {
			p.Forward = roundTripFunc(func(*http.Request) (*http.Response, error) { return nil, tt.err })
		})
		resp, body := r.exchange(t, "GET http://plain.test:81/?token=s3cret HTTP/1.1\r\nHost: plain.test:81\r\n\r\n")
		if want := "detour: forward to plain.test:81: " + tt.reason + "\n"; resp.StatusCode != tt.status || body != want {
			t.Errorf("got %s %q, want %d %q", resp.Status, body, tt.status, want)
		}
		if strings.Contains(r.logs.String(), "s3cret") {
			t.Error("the log holds the query")
		}
	}
}

func TestForwardRefusesWhatIsNotHTTP(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	for _, target := range []string{"https://a.test/", "ftp://a.test/x", "http:a", "http://127.1/", "http://a:0/", "https:///"} {
		resp, body := r.exchange(t, "GET "+target+" HTTP/1.1\r\nHost: a.test\r\n\r\n")
		if resp.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: got %s %q", target, resp.Status, body)
		}
	}
	_, body := r.exchange(t, "GET https://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n")
	if !strings.Contains(body, "CONNECT") {
		t.Errorf("no reason: %q", body)
	}
}

// The proxy variables of its own environment usually name the proxy itself.
func TestForwardIgnoresTheEnvironment(t *testing.T) {
	l := listen(t)
	defer l.Close()
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY"} {
		t.Setenv(name, "http://"+l.Addr().String())
	}
	r := forwardRig(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "origin") })
	if got := get(t, r.client(t, http1), "http://plain.test/", 200); got != "origin" {
		t.Errorf("got %q", got)
	}
}

// The first frame may come in the packet of the upgrade request, and must not be lost.
func TestForwardUpgrade(t *testing.T) {
	t.Parallel()
	t.Run("websocket client", func(t *testing.T) {
		t.Parallel()
		r := forwardRig(t, echoWebSocket)
		// A Go client sends ws:// in absolute form.
		checkWebSocket(t, "ws://plain.test/", r.client(t, http1))
	})
	t.Run("early frame and half-close", func(t *testing.T) {
		t.Parallel()
		addr := origin(t, func(c *net.TCPConn) {
			readUntilBlank(c)
			io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-End: 1\r\n\r\n")
			b, _ := io.ReadAll(c)
			_, _ = c.Write(append([]byte("got "), b...))
		})
		r := newRig(t, func(p *mitm.Proxy) { p.DialContext = dialTo(addr) })
		c := r.dial(t)
		io.WriteString(c, "GET http://plain.test/ws HTTP/1.1\r\nHost: plain.test\r\nConnection: keep-alive, Upgrade\r\n"+
			"Upgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\nearly")
		if line := readHead(t, c); line != "HTTP/1.1 101 Switching Protocols" {
			t.Fatal(line)
		}
		io.WriteString(c, " late")
		_ = c.CloseWrite()
		if got := readAll(t, c); got != "got early late" {
			t.Errorf("got %q", got)
		}
	})
	t.Run("refused", func(t *testing.T) {
		t.Parallel()
		r := forwardRig(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUpgradeRequired) })
		resp, _ := r.exchange(t, "GET http://plain.test/ws HTTP/1.1\r\nHost: plain.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		if resp.StatusCode != http.StatusUpgradeRequired {
			t.Errorf("got %s", resp.Status)
		}
	})
}

func readUntilBlank(c io.Reader) {
	var head []byte
	b := make([]byte, 1)
	for !strings.HasSuffix(string(head), "\r\n\r\n") {
		if _, err := io.ReadFull(c, b); err != nil {
			return
		}
		head = append(head, b[0])
	}
}

func TestForwardedUpgradeEndsWithShutdown(t *testing.T) {
	t.Parallel()
	addr := origin(t, func(c *net.TCPConn) {
		readUntilBlank(c)
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		_, _ = io.Copy(io.Discard, c)
	})
	r := newRig(t, func(p *mitm.Proxy) { p.DialContext = dialTo(addr) })
	c := r.dial(t)
	io.WriteString(c, "GET http://plain.test/ HTTP/1.1\r\nHost: plain.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	readHead(t, c)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := r.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown = %v", err)
	}
	if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("read: %v, want a reset", err)
	}
}
