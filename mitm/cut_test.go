package mitm_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"detour/mitm"
)

// An answer that ends with its connection has no other mark of its end. When it is cut, neither TLS nor TCP may end it
// in an orderly way, or the client takes what it has for the whole.
func TestACutAnswerThatEndsByClosingIsNoCleanEnd(t *testing.T) {
	t.Parallel()
	cut := func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoAtLeast(1, 1) {
			w.Header().Set("Transfer-Encoding", "identity")
		}
		_, _ = io.WriteString(w, "part")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	origin := origin(t, func(c *net.TCPConn) {
		readHead(t, c)
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n")
	})
	r := newRig(t, func(p *mitm.Proxy) {
		p.Handler = http.HandlerFunc(cut)
		p.DialContext = dialTo(origin)
	})
	for _, tc := range []struct {
		name string
		open func(t *testing.T) net.Conn
		head string
	}{
		{"intercepted, HTTP/1.0", func(t *testing.T) net.Conn {
			return tls.Client(r.connect(t, host+":443", 200), r.ca.clientConfig(host))
		}, "GET / HTTP/1.0\r\n\r\n"},
		{"intercepted, HTTP/1.1", func(t *testing.T) net.Conn {
			return tls.Client(r.connect(t, host+":443", 200), r.ca.clientConfig(host))
		}, "GET / HTTP/1.1\r\nHost: " + host + "\r\n\r\n"},
		{"plain inside CONNECT", func(t *testing.T) net.Conn { return r.connect(t, host+":80", 200) }, "GET / HTTP/1.0\r\n\r\n"},
		{"forwarded", func(t *testing.T) net.Conn { return r.dial(t) }, "GET http://plain.test/ HTTP/1.0\r\n\r\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			conn := tc.open(t)
			if _, err := fmt.Fprint(conn, tc.head); err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(conn)
			if err == nil {
				t.Errorf("a clean end after %q", got)
			}
			if !strings.HasSuffix(string(got), "part") && len(got) > 0 {
				t.Errorf("got %q", got)
			}
		})
	}
}

func TestAForwardedAnswerThatEndsByClosingStaysOne(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"GET", "HEAD"} {
		addr := origin(t, func(c *net.TCPConn) {
			readHead(t, c)
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
			if method == "GET" {
				_, _ = io.WriteString(c, "perhaps all")
			}
		})
		r := newRig(t, func(p *mitm.Proxy) { p.DialContext = dialTo(addr) })
		c := r.dial(t)
		_, _ = io.WriteString(c, method+" http://plain.test/ HTTP/1.1\r\nHost: plain.test\r\nConnection: close\r\n\r\n")
		got := readAll(t, c)
		if head, body, _ := strings.Cut(got, "\r\n\r\n"); strings.Contains(strings.ToLower(head), "transfer-encoding") || method == "GET" && body != "perhaps all" || method == "HEAD" && body != "" {
			t.Errorf("%s: got %q", method, got)
		}
	}
}

// An origin may answer before it has read everything. Were the client's body drained at the first byte of the answer,
// as net/http does by default, the transport would find it closed under its hands and cut the answer now and then.
func TestForwardedAnswerMayComeBeforeTheBodyIsRead(t *testing.T) {
	t.Parallel()
	addr := serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		_, _ = io.ReadFull(r.Body, make([]byte, 1))
		_, _ = io.WriteString(w, "early ")
		_ = http.NewResponseController(w).Flush()
		rest, _ := io.ReadAll(r.Body)
		_, _ = fmt.Fprint(w, len(rest))
	})
	r := newRig(t, func(p *mitm.Proxy) { p.DialContext = dialTo(addr) })
	c := r.dial(t)
	_, _ = io.WriteString(c, "POST http://plain.test/ HTTP/1.1\r\nHost: plain.test\r\nContent-Length: 5\r\n\r\nx")
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatalf("no answer before the rest of the body: %v", err)
	}
	defer resp.Body.Close()
	_, _ = io.WriteString(c, "yyyy")
	if got := readAll(t, resp.Body); got != "early 4" {
		t.Errorf("got %q", got)
	}
}
