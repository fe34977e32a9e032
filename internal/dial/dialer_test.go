package dial_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"detour/internal/dial"
)

func newDialer(t *testing.T, o dial.Options) *dial.Dialer {
	t.Helper()
	d, err := dial.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDirectConnectionIsBare(t *testing.T) {
	t.Parallel()
	addr := serve(t, echo)
	conn, err := newDialer(t, dial.Options{}).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, ok := conn.(*net.TCPConn); !ok {
		t.Errorf("got %T, want *net.TCPConn", conn)
	}
	checkEcho(t, conn)
}

func TestBadTargetsAreRefusedWithoutDialling(t *testing.T) {
	t.Parallel()
	r := &dns{answer: func(string, int) []string { return nil }}
	d := newDialer(t, dial.Options{Resolver: r.resolver()})
	for _, addr := range []string{
		"", ":443", "example.com", "example.com:", "example.com:0", "example.com:65536", "example.com:https", "example.com:-1",
		"exa mple.com:443", "example.com\r\nX: y:443", "a..b:443", ".:443", "user@example.com:443", "example.com/x:443",
		strings.Repeat("a", 64) + ".com:443", strings.Repeat("a.", 200) + "com:443", "\xff\xfe:443", "::1:443", "[::1:443", "xn--\u00fc:443", "%zz:1",
	} {
		conn, err := d.DialContext(t.Context(), "tcp", addr)
		if err == nil {
			conn.Close()
			t.Errorf("%q was dialled", addr)
			continue
		}
		if !strings.HasPrefix(err.Error(), "parse address ") || len(err.Error()) > 400 {
			t.Errorf("%q: %v", addr, err)
		}
	}
	if _, err := d.DialContext(t.Context(), "udp", "127.0.0.1:53"); err == nil {
		t.Error("udp was dialled")
	}
	if len(r.asked) != 0 {
		t.Errorf("resolved %v", r.asked)
	}
}

func TestInternationalNamesAreAskedForInASCII(t *testing.T) {
	t.Parallel()
	p := &httpProxy{routes: map[string]string{"xn--bcher-kva.example:443": serve(t, echo)}}
	d := newDialer(t, dial.Options{Proxy: serve(t, p.handle)})
	for _, addr := range []string{"bücher.example:443", "BÜCHER.example.:443", "xn--bcher-kva.EXAMPLE:443"} {
		conn, err := d.DialContext(t.Context(), "tcp", addr)
		if err != nil {
			t.Fatalf("%s: %v", addr, err)
		}
		conn.Close()
	}
	for _, got := range p.all() {
		if got != "CONNECT xn--bcher-kva.example:443" {
			t.Errorf("proxy was asked to %s", got)
		}
	}
}

func TestPins(t *testing.T) {
	t.Parallel()
	a, b := serve(t, echo), serve(t, echo)
	_, portA, _ := net.SplitHostPort(a)
	p := &httpProxy{}
	d := newDialer(t, dial.Options{
		Hosts: map[string]string{"api.example.com": a, "API.example.com.:8443": b, "same-port.example.com": "127.0.0.1", "192.0.2.1:443": b, "[2001:db8::1]:443": a},
		Proxy: serve(t, p.handle), Guard: true,
	})
	for _, c := range []struct{ addr, want string }{
		{"api.example.com:443", a},
		{"api.example.com.:80", a},
		{"api.example.com:8443", b},
		{"same-port.example.com:" + portA, a},
		{"192.0.2.1:443", b},
		{"[2001:db8::1]:443", a},
	} {
		conn, err := d.DialContext(t.Context(), "tcp", c.addr)
		if err != nil {
			t.Errorf("%s: %v", c.addr, err)
			continue
		}
		if got := conn.RemoteAddr().String(); got != c.want {
			t.Errorf("%s went to %s, want %s", c.addr, got, c.want)
		}
		conn.Close()
	}
	if got := p.all(); len(got) != 0 {
		t.Errorf("pinned targets went through the proxy: %q", got)
	}
}

func TestOwnListenersAreRefused(t *testing.T) {
	t.Parallel()
	r := &dns{answer: func(name string, _ int) []string {
		if name == "rebound.example" {
			return []string{"127.0.0.1"}
		}
		return nil
	}}
	addr := serve(t, echo)
	_, port, _ := net.SplitHostPort(addr)
	for _, c := range []struct {
		name, self string
		target     string
		refused    bool
	}{
		{"same address", "127.0.0.1:" + port, "127.0.0.1:" + port, true},
		{"localhost", "127.0.0.1:" + port, "LOCALHOST.:" + port, true},
		{"name under localhost", "127.0.0.1:" + port, "x.localhost:" + port, true},
		{"unspecified address reaches loopback", "127.0.0.1:" + port, "0.0.0.0:" + port, true},
		{"v4-mapped", "127.0.0.1:" + port, "[::ffff:127.0.0.1]:" + port, true},
		{"name that resolves to us", "127.0.0.1:" + port, "rebound.example:" + port, true},
		{"pin that leads to us", "127.0.0.1:" + port, "pinned.example:443", true},
		{"self given as localhost", "localhost:" + port, "127.0.0.1:" + port, true},
		{"wildcard covers loopback", "0.0.0.0:" + port, "127.0.0.1:" + port, true},
		{"wildcard covers other loopback", ":" + port, "127.0.0.2:" + port, true},
		{"wildcard v6 covers loopback", "[::]:" + port, "127.0.0.1:" + port, true},
		{"self by name", "box.example:" + port, "BOX.example:" + port, true},
		{"other port", "127.0.0.1:1", "127.0.0.1:" + port, false},
		{"wildcard on other port", ":1", "127.0.0.1:" + port, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d := newDialer(t, dial.Options{Self: []string{c.self}, Resolver: r.resolver(), Hosts: map[string]string{"pinned.example": addr}})
			conn, err := d.DialContext(t.Context(), "tcp", c.target)
			if err == nil {
				conn.Close()
			}
			if _, ok := errors.AsType[*dial.SelfError](err); ok != c.refused || (err == nil) == c.refused {
				t.Errorf("got %v, want refused=%t", err, c.refused)
			}
		})
	}
}

func TestNewReportsEveryMistakeByItsKey(t *testing.T) {
	t.Parallel()
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := dial.New(dial.Options{
		Proxy:   "ftp://proxy.example",
		NoProxy: []string{"10.0.0.0/99", "a b", "http://x", "a*b", ""},
		Self:    []string{"nonsense"},
		Hosts:   map[string]string{"a b": "127.0.0.1", "x.example": "127.0.0.1:0", "y.example": ""},
		RootCAs: empty,
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		"proxy.url: scheme must be", `proxy.no_proxy: "10.0.0.0/99": not a CIDR`, `proxy.no_proxy: "a b"`, `proxy.no_proxy: "http://x"`,
		`proxy.no_proxy: "a*b"`, `proxy.no_proxy: ""`, "own listener", `proxy_mode.hosts: key "a b"`, `proxy_mode.hosts."x.example"`,
		`proxy_mode.hosts."y.example"`, "read extra roots: " + empty,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in:\n%v", want, err)
		}
	}
	if _, err := dial.New(dial.Options{RootCAs: empty + ".absent"}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("absent roots: %v", err)
	}
}

func TestOurselvesAsProxy(t *testing.T) {
	t.Parallel()
	self := []string{"127.0.0.1:4142"}
	_, err := dial.New(dial.Options{Proxy: "http://user:marker@localhost:4142", Self: self})
	if e, ok := errors.AsType[*dial.SelfError](err); !ok || !strings.Contains(err.Error(), "proxy.url") || strings.Contains(err.Error(), "marker") {
		t.Errorf("got %v, %v", e, err)
	}

	r := &dns{answer: func(string, int) []string { return []string{"127.0.0.1"} }}
	d := newDialer(t, dial.Options{Proxy: "http://us.example:4142", Self: self, Resolver: r.resolver()})
	if _, err := d.DialContext(t.Context(), "tcp", "api.example.com:443"); err == nil || !isSelf(err) {
		t.Errorf("proxy name that resolves to us: %v", err)
	}
}

func isSelf(err error) bool { _, ok := errors.AsType[*dial.SelfError](err); return ok }

func TestSystemProxies(t *testing.T) {
	t.Parallel()
	self := []string{"127.0.0.1:4142", ":4143"}
	for _, c := range []struct {
		name string
		env  map[string]string
		want string // Upstream
		err  string
	}{
		{"none", nil, "", ""},
		{"upper", map[string]string{"HTTPS_PROXY": "http://p.example:1"}, "http://p.example:1", ""},
		{"lower wins", map[string]string{"HTTPS_PROXY": "http://p.example:1", "https_proxy": "http://q.example:2"}, "http://q.example:2", ""},
		{"no scheme", map[string]string{"HTTPS_PROXY": "p.example:1"}, "http://p.example:1", ""},
		{"all_proxy stands in", map[string]string{"ALL_PROXY": "socks5h://p.example"}, "socks5h://p.example:1080", ""},
		{"https_proxy before all_proxy", map[string]string{"ALL_PROXY": "socks5h://p.example", "https_proxy": "https://q.example"}, "https://q.example:443", ""},
		{"socks as GNOME writes it", map[string]string{"all_proxy": "socks://p.example:9/"}, "socks5://p.example:9", ""},
		{"ourselves", map[string]string{"HTTPS_PROXY": "http://u:p@127.0.0.1:4142", "https_proxy": "http://localhost:4142"}, "", ""},
		{"ourselves by wildcard", map[string]string{"HTTPS_PROXY": "http://127.0.0.1:4143"}, "", ""},
		{"ourselves, then a real one", map[string]string{"https_proxy": "http://127.0.0.1:4142", "ALL_PROXY": "socks5://p.example"}, "socks5://p.example:1080", ""},
		{"http only", map[string]string{"http_proxy": "http://p.example:1"}, "", ""},
		{"bad", map[string]string{"HTTPS_PROXY": "socks4://u:marker@p.example:1"}, "", "HTTPS_PROXY: scheme must be"},
		{"bad but not needed", map[string]string{"HTTPS_PROXY": "http://p.example", "HTTP_PROXY": "http://p.example", "ALL_PROXY": "socks4://p.example"}, "http://p.example:80", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d, err := dial.New(dial.Options{System: true, Self: self, Env: func(k string) string { return c.env[k] }})
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) || strings.Contains(err.Error(), "marker") {
					t.Fatalf("got %v, want %q", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := d.Upstream(); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}

	if d := newDialer(t, dial.Options{Proxy: "http://mine.example:1", System: true, Env: func(string) string { return "http://theirs.example:2" }}); d.Upstream() != "http://mine.example:1" {
		t.Errorf("configured proxy lost to the environment: %s", d.Upstream())
	}
	if d := newDialer(t, dial.Options{Env: func(string) string { return "http://theirs.example:2" }}); d.Upstream() != "" {
		t.Errorf("environment used although System is off: %s", d.Upstream())
	}
}

func TestNoProxy(t *testing.T) {
	t.Parallel()
	const refused = "HTTP/1.1 418 via proxy\r\n\r\n"
	for _, c := range []struct {
		name    string
		noProxy []string
		env     string
		target  string
		direct  bool
	}{
		{"empty list", nil, "", "api.example.com:443", false},
		{"exact", []string{"api.example.com"}, "", "api.example.com:443", true},
		{"case and trailing dot", []string{"API.example.com"}, "", "api.EXAMPLE.com.:443", true},
		{"domain covers sub-domain", []string{"example.com"}, "", "api.example.com:443", true},
		{"domain is not a bare suffix", []string{"ample.com"}, "", "example.com:443", false},
		{"dot covers sub-domain", []string{".example.com"}, "", "api.example.com:443", true},
		{"dot does not cover domain", []string{".example.com"}, "", "example.com:443", false},
		{"star dot", []string{"*.example.com"}, "", "api.example.com:443", true},
		{"port", []string{"example.com:8443"}, "", "example.com:8443", true},
		{"other port", []string{"example.com:8443"}, "", "example.com:443", false},
		{"star", []string{"*"}, "", "anything.example:443", true},
		{"address", []string{"192.0.2.7"}, "", "192.0.2.7:443", true},
		{"cidr", []string{"192.0.2.0/24"}, "", "192.0.2.7:443", true},
		{"cidr v6", []string{"2001:db8::/32"}, "", "[2001:db8::7]:443", true},
		{"outside cidr", []string{"192.0.2.0/24"}, "", "198.51.100.7:443", false},
		{"international", []string{"bücher.example"}, "", "xn--bcher-kva.example:443", true},
		{"environment", nil, "other.example, .example.com", "api.example.com:443", true},
		{"both", []string{"other.example"}, "api.example.com", "other.example:443", true},
		{"loopback", nil, "", "127.0.0.5:443", true},
		{"localhost", nil, "", "localhost:443", true},
		{"zone", nil, "", "[fe80::1%lo]:443", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := &httpProxy{answer: refused}
			d := newDialer(t, dial.Options{
				Proxy: serve(t, p.handle), NoProxy: c.noProxy, System: true,
				Env:      func(k string) string { return map[string]string{"no_proxy": c.env}[k] },
				Resolver: (&dns{answer: func(string, int) []string { return nil }}).resolver(),
			})
			ctx := t.Context()
			if c.direct { // nothing leaves this machine: the dial ends before it starts
				var cancel context.CancelFunc
				ctx, cancel = context.WithCancel(ctx)
				cancel()
			}
			conn, err := d.DialContext(ctx, "tcp", c.target)
			if err == nil {
				conn.Close()
			}
			if pe, ok := errors.AsType[*dial.ProxyError](err); ok == c.direct {
				t.Errorf("got %v (%v), want direct=%t", err, pe, c.direct)
			}
		})
	}
}

func TestOptionsNeverPrintCredentials(t *testing.T) {
	t.Parallel()
	o := dial.Options{Proxy: "http://us3r:marker@p.example:1"}
	d := newDialer(t, o)
	for _, s := range []string{fmt.Sprint(o), fmt.Sprintf("%+v %#v %s %q", o, &o, o, o), fmt.Sprintf("%v %+v %#v", d, d, *d), o.LogValue().String(), d.Upstream()} {
		if strings.Contains(s, "marker") || strings.Contains(s, "us3r") {
			t.Errorf("credentials shown: %s", s)
		}
	}
}

// FuzzProxyURL checks that no proxy URL panics and that no error repeats the password.
func FuzzProxyURL(f *testing.F) {
	for _, s := range []string{"p.example:3128", "socks5h://p.example", "http://p.example:x", "http://a/b@c", "https://[::1", "://", "http://%zz@h", "socks5://only@h"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		_, _ = dial.New(dial.Options{Proxy: s})
		const marker = "mArKeR"
		for _, u := range []string{"http://u:" + marker + "@" + s, "http://" + marker + s + "@h", "socks5://u:" + marker + s} {
			if _, err := dial.New(dial.Options{Proxy: u}); err != nil && strings.Contains(err.Error(), marker) {
				t.Errorf("error for %q repeats the password: %v", u, err)
			}
		}
	})
}
