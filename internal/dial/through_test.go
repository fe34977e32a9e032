package dial_test

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"detour/internal/dial"
)

func TestEveryKindOfProxy(t *testing.T) {
	t.Parallel()
	r := &dns{answer: func(string, int) []string { return []string{"192.0.2.10"} }}
	root := rootFile(t)
	for _, scheme := range []string{"http", "https", "socks5", "socks5h"} {
		for _, auth := range []string{"", "us3r:p%40ss%3Aw%2Frd@"} {
			t.Run(scheme+" auth="+fmt.Sprint(auth != ""), func(t *testing.T) {
				t.Parallel()
				far := serve(t, echo)
				routes := map[string]string{"api.example.com:443": far, "192.0.2.10:443": far}
				plain := ""
				if auth != "" {
					plain = "us3r:p@ss:w/rd"
				}
				hp := &httpProxy{routes: routes, auth: plain}
				sp := &socksProxy{routes: routes, auth: plain}
				var addr, want string
				var seen *record
				switch scheme {
				case "http":
					addr, seen, want = serve(t, hp.handle), &hp.record, "CONNECT api.example.com:443"
				case "https":
					addr, seen, want = serve(t, tlsOver(t, hp.handle)), &hp.record, "CONNECT api.example.com:443"
				case "socks5":
					addr, seen, want = serve(t, sp.handle), &sp.record, "type1 192.0.2.10:443"
				case "socks5h":
					addr, seen, want = serve(t, sp.handle), &sp.record, "type3 api.example.com:443"
				}
				d := newDialer(t, dial.Options{Proxy: scheme + "://" + auth + addr, RootCAs: root, Resolver: r.resolver()})
				conn, err := d.DialContext(t.Context(), "tcp", "api.example.com:443")
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				switch conn.(type) {
				case *net.TCPConn:
					if scheme == "https" {
						t.Error("no TLS to the proxy")
					}
				case *tls.Conn:
					if scheme != "https" {
						t.Errorf("got %T, want a bare *net.TCPConn", conn)
					}
				default:
					t.Errorf("got %T", conn)
				}
				checkEcho(t, conn)
				if got := seen.all(); !slices.Equal(got, []string{want}) {
					t.Errorf("proxy was asked for %q, want %q", got, want)
				}
			})
		}
	}
}

func TestProxyRefusals(t *testing.T) {
	t.Parallel()
	const marker = "mArKeR"
	head := func(s string) func(net.Conn) { return (&httpProxy{answer: s}).handle }
	withAuth := (&httpProxy{auth: "u:right"}).handle
	for _, c := range []struct {
		name   string
		proxy  string // URL with {} for the address
		handle func(net.Conn)
		status int
		want   []string
	}{
		{"407 without credentials", "http://{}", withAuth, 407, []string{"407 Proxy Authentication Required", "put user and password into proxy.url"}},
		{"407 wrong credentials", "http://u:" + marker + "@{}", withAuth, 407, []string{"does not accept user and password of proxy.url"}},
		{"407 wants NTLM", "http://u:" + marker + "@{}", head("HTTP/1.1 407 No\r\nProxy-Authenticate: Negotiate\r\nProxy-Authenticate: NTLM\r\n\r\n"), 407, []string{"offers no Basic"}},
		{"407 repeats credentials", "http://u:" + marker + "@{}", head("HTTP/1.1 407 you sent {auth}\r\n\r\n"), 407, []string{"it answered 407 (it does"}},
		{"403", "http://{}", head("HTTP/1.1 403 Forbidden by policy\r\n\r\n"), 403, []string{"it answered 403 Forbidden by policy"}},
		{"reason is cleaned and cut", "http://{}", head("HTTP/1.1 502 a\x1b[31m\x07b" + strings.Repeat("x", 5000) + "\r\n\r\n"), 502, []string{"502 a[31mb" + strings.Repeat("x", 74)}},
		{"201 is not 200", "http://{}", head("HTTP/1.1 201 Created\r\n\r\n"), 201, []string{"201"}},
		{"101", "http://{}", head("HTTP/1.1 101 Switching\r\n\r\n"), 101, []string{"101"}},
		{"only interim answers", "http://{}", head(strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 100)), 0, []string{"no final answer"}},
		{"not HTTP", "http://{}", head("SSH-2.0-OpenSSH " + marker + "\r\n"), 0, []string{"not an HTTP response"}},
		{"endless head", "http://{}", head("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 1<<20)), 0, []string{"too long a head"}},
		{"closed", "http://{}", func(c net.Conn) { c.Close() }, 0, []string{"read connect answer"}},
		{"socks5h wrong credentials", "socks5h://u:" + marker + "@{}", (&socksProxy{auth: "u:right"}).handle, 0, []string{"authentication failed"}},
		{"socks5h wants credentials", "socks5h://{}", (&socksProxy{auth: "u:right"}).handle, 0, []string{"no acceptable authentication"}},
		{"socks5h refuses", "socks5h://{}", (&socksProxy{fail: 2}).handle, 0, []string{"not allowed by ruleset"}},
		{"socks5h is something else", "socks5h://{}", func(c net.Conn) { io.WriteString(c, "HTTP/1.1 400 Bad\r\n\r\n"+marker); io.Copy(io.Discard, c) }, 0, []string{"unexpected protocol version"}},
		{"https certificate not trusted", "https://{}", tlsOver(t, withAuth), 0, []string{"tls handshake", "unknown authority"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			addr := serve(t, c.handle)
			d := newDialer(t, dial.Options{Proxy: strings.ReplaceAll(c.proxy, "{}", addr)})
			conn, err := d.DialContext(t.Context(), "tcp", "api.example.com:443")
			if err == nil {
				conn.Close()
				t.Fatal("no error")
			}
			pe, ok := errors.AsType[*dial.ProxyError](err)
			if !ok || pe.Status != c.status {
				t.Fatalf("got %#v, want *ProxyError with status %d", err, c.status)
			}
			text := err.Error()
			for _, want := range append(c.want, addr) {
				if !strings.Contains(text, want) {
					t.Errorf("%q is missing in %q", want, text)
				}
			}
			for _, secret := range []string{marker, base64.StdEncoding.EncodeToString([]byte("u:" + marker)), strings.Repeat("x", 100), "\x1b"} {
				if strings.Contains(text, secret) || strings.Contains(fmt.Sprintf("%+v", err), secret) {
					t.Errorf("%q in %q", secret, text)
				}
			}
		})
	}
}

func TestHintNamesTheVariable(t *testing.T) {
	t.Parallel()
	p := &httpProxy{auth: "u:p"}
	addr := serve(t, p.handle)
	d := newDialer(t, dial.Options{System: true, Env: func(k string) string { return map[string]string{"HTTPS_PROXY": addr}[k] }})
	_, err := d.DialContext(t.Context(), "tcp", "api.example.com:443")
	if err == nil || !strings.Contains(err.Error(), "put user and password into HTTPS_PROXY") {
		t.Errorf("got %v", err)
	}
}

func TestProxyThatIsNotThere(t *testing.T) {
	t.Parallel()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	d := newDialer(t, dial.Options{Proxy: "http://u:mArKeR@" + l.Addr().String()})
	_, err = d.DialContext(t.Context(), "tcp", "api.example.com:443")
	if pe, ok := errors.AsType[*dial.ProxyError](err); !ok || pe.Err == nil || strings.Contains(err.Error(), "mArKeR") {
		t.Errorf("got %v", err)
	}
}

func TestHangingProxyEndsByTimeoutAndByCancel(t *testing.T) {
	t.Parallel()
	for _, scheme := range []string{"http", "https", "socks5h"} {
		for _, how := range []string{"timeout", "cancel"} {
			t.Run(scheme+" "+how, func(t *testing.T) {
				t.Parallel()
				connected := make(chan struct{}, 1)
				addr := serve(t, func(c net.Conn) {
					connected <- struct{}{}
					io.Copy(io.Discard, c) // until the dialer gives up
				})
				o := dial.Options{Proxy: scheme + "://" + addr, Timeout: time.Minute}
				want := context.Canceled
				if how == "timeout" {
					o.Timeout, want = 50*time.Millisecond, context.DeadlineExceeded
				}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if how == "cancel" {
					go func() { <-connected; cancel() }()
				}
				_, err := newDialer(t, o).DialContext(ctx, "tcp", "api.example.com:443")
				if !errors.Is(err, want) {
					t.Errorf("got %v, want %v", err, want)
				}
			})
		}
	}
}

func TestBytesThatComeWithTheAnswerAreKept(t *testing.T) {
	t.Parallel()
	p := &httpProxy{routes: map[string]string{"api.example.com:443": serve(t, echo)}, early: "early "}
	d := newDialer(t, dial.Options{Proxy: serve(t, p.handle)})
	conn, err := d.DialContext(t.Context(), "tcp", "api.example.com:443")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	b := make([]byte, 2) // smaller than what was kept
	var got []byte
	for len(got) < len("early ") {
		n, err := conn.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, b[:n]...)
	}
	if string(got) != "early " {
		t.Fatalf("got %q", got)
	}
	checkEcho(t, conn)
}

func TestInterimAnswerBeforeTheTunnel(t *testing.T) {
	t.Parallel()
	p := &httpProxy{answer: "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst"}
	d := newDialer(t, dial.Options{Proxy: serve(t, p.handle)})
	conn, err := d.DialContext(t.Context(), "tcp", "api.example.com:443")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	// A Content-Length on a successful CONNECT is ignored (RFC 9110, section 9.3.6).
	if got, err := io.ReadAll(conn); string(got) != "first" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

// TestEndOfTheDialDoesNotEndTheConnection: the context of the dial ends when DialContext returns.
func TestEndOfTheDialDoesNotEndTheConnection(t *testing.T) {
	t.Parallel()
	for _, scheme := range []string{"http", "socks5h"} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			release := make(chan struct{})
			far := serve(t, func(c net.Conn) { <-release; echo(c) })
			routes := map[string]string{"api.example.com:443": far}
			handle := (&httpProxy{routes: routes}).handle
			if scheme == "socks5h" {
				handle = (&socksProxy{routes: routes}).handle
			}
			d := newDialer(t, dial.Options{Proxy: scheme + "://" + serve(t, handle)})
			ctx, cancel := context.WithCancel(t.Context())
			conn, err := d.DialContext(ctx, "tcp", "api.example.com:443")
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			cancel()
			close(release)
			checkEcho(t, conn)
		})
	}
}

func TestSocks5TriesTheNextAddress(t *testing.T) {
	t.Parallel()
	r := &dns{answer: func(string, int) []string { return []string{"192.0.2.1", "192.0.2.2"} }}
	far := serve(t, echo)
	p := &socksProxy{routes: map[string]string{"192.0.2.2:443": far}}
	d := newDialer(t, dial.Options{Proxy: "socks5://" + serve(t, p.handle), Resolver: r.resolver()})
	conn, err := d.DialContext(t.Context(), "tcp", "two.example:443")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	checkEcho(t, conn)
}

func TestHTTPProxyOfTheEnvironmentServesPort80Only(t *testing.T) {
	t.Parallel()
	far := serve(t, echo)
	p := &socksProxy{routes: map[string]string{"api.example.com:80": far}}
	env := map[string]string{"http_proxy": "socks5h://" + serve(t, p.handle)}
	d := newDialer(t, dial.Options{
		System: true, Env: func(k string) string { return env[k] },
		Resolver: (&dns{answer: func(string, int) []string { return nil }}).resolver(),
	})
	conn, err := d.DialContext(t.Context(), "tcp", "api.example.com:80")
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if _, err := d.DialContext(t.Context(), "tcp", "api.example.com:443"); err == nil || len(p.all()) != 1 {
		t.Errorf("got %v, proxy saw %q", err, p.all())
	}
}
