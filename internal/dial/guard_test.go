package dial_test

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"detour/internal/dial"
)

// guarded is the table for both ways out: class "" means allowed.
var guarded = []struct{ addr, class string }{
	{"8.8.8.8", ""},
	{"1.1.1.1", ""},
	{"172.15.255.255", ""},
	{"172.32.0.1", ""},
	{"100.63.255.255", ""},
	{"100.128.0.0", ""},
	{"223.255.255.255", ""},
	{"2606:4700::1111", ""},
	{"2a00:1450::1", ""},
	{"64:ff9b::808:808", ""}, // NAT64 of a public address

	{"0.0.0.0", "unspecified"},
	{"0.1.2.3", "this-network"},
	{"10.1.2.3", "private"},
	{"172.16.0.1", "private"},
	{"172.31.255.255", "private"},
	{"192.168.1.1", "private"},
	{"100.64.0.1", "shared"},
	{"127.0.0.1", "loopback"},
	{"127.255.255.254", "loopback"},
	{"169.254.1.1", "link-local"},
	{"169.254.169.254", "metadata"},
	{"169.254.170.2", "metadata"},
	{"168.63.129.16", "metadata"},
	{"100.100.100.200", "metadata"},
	{"192.0.0.1", "special-purpose"},
	{"192.0.2.1", "documentation"},
	{"198.18.0.1", "benchmarking"},
	{"198.51.100.1", "documentation"},
	{"203.0.113.1", "documentation"},
	{"224.0.0.1", "multicast"},
	{"239.255.255.255", "multicast"},
	{"240.0.0.1", "reserved"},
	{"255.255.255.255", "broadcast"},

	{"::", "unspecified"},
	{"::1", "loopback"},
	{"fc00::1", "private"},
	{"fd12:3456::1", "private"},
	{"fd00:ec2::254", "metadata"},
	{"fe80::1", "link-local"},
	{"fec0::1", "site-local"},
	{"ff02::1", "multicast"},
	{"2001:db8::1", "documentation"},
	{"3fff::1", "documentation"},
	{"2001:0:4136:e378:8000:63bf:3fff:fdd2", "special-purpose"}, // Teredo
	{"100::1", "reserved"},                                      // discard
	{"5f00::1", "reserved"},
	{"64:ff9b:1::a00:1", "reserved"}, // NAT64 prefix of local choice
	{"64:ff9b::7f00:1", "loopback"},  // NAT64
	{"64:ff9b::a9fe:a9fe", "metadata"},
	{"64:ff9b::a01:203", "private"},
	{"2002:7f00:1::", "loopback"}, // 6to4
	{"2002:c0a8:101::1", "private"},
	{"::ffff:127.0.0.1", "loopback"}, // v4-mapped
	{"::ffff:169.254.169.254", "metadata"},
	{"::127.0.0.1", "loopback"}, // v4-compatible
	{"::808:808", "reserved"},
	{"2606:4700::5efe:c0a8:101", "private"}, // ISATAP
	{"fe80::5efe:808:808", "link-local"},
}

// TestGuardClasses goes through a proxy, so that allowed addresses can be seen without being dialled.
func TestGuardClasses(t *testing.T) {
	t.Parallel()
	p := &httpProxy{answer: "HTTP/1.1 418 asked\r\n\r\n"}
	r := &dns{answer: func(name string, _ int) []string {
		for _, g := range guarded {
			if nameFor(g.addr) == name {
				return []string{g.addr}
			}
		}
		return nil
	}}
	viaProxy := newDialer(t, dial.Options{Guard: true, Proxy: serve(t, p.handle), Resolver: r.resolver()})
	direct := newDialer(t, dial.Options{Guard: true, Resolver: r.resolver()})
	for _, g := range guarded {
		hosts := []string{net.JoinHostPort(g.addr, "443")}
		if !strings.HasPrefix(g.addr, "::ffff:") { // DNS has no v4-mapped answers
			hosts = append(hosts, nameFor(g.addr)+":443")
		}
		for _, host := range hosts {
			_, err := viaProxy.DialContext(t.Context(), "tcp", host)
			if g.class == "" {
				if pe, ok := errors.AsType[*dial.ProxyError](err); !ok || pe.Status != 418 {
					t.Errorf("%s (%s): %v, want it to reach the proxy", host, g.addr, err)
				}
				continue
			}
			wantGuard(t, host, g.addr, g.class, err)
			_, err = direct.DialContext(t.Context(), "tcp", host)
			wantGuard(t, host, g.addr, g.class, err)
		}
	}
	for _, asked := range p.all() {
		if strings.Contains(asked, "example") {
			t.Errorf("the proxy was given a name to resolve: %s", asked)
		}
	}
	want := []string{"CONNECT 8.8.8.8:443", "CONNECT [2606:4700::1111]:443"}
	for _, w := range want {
		if !slices.Contains(p.all(), w) {
			t.Errorf("%q is missing in %q", w, p.all())
		}
	}
}

func nameFor(addr string) string {
	return "n" + strings.NewReplacer(":", "-", ".", "-").Replace(addr) + "x.example"
}

func wantGuard(t *testing.T, host, addr, class string, err error) {
	t.Helper()
	ge, ok := errors.AsType[*dial.GuardError](err)
	if !ok || ge.Class != class || ge.Addr != netip.MustParseAddr(addr).Unmap() {
		t.Errorf("%s (%s): got %v, want class %q", host, addr, err, class)
	}
}

func TestGuardAllowsListedNetworks(t *testing.T) {
	t.Parallel()
	addr := serve(t, echo)
	_, port, _ := net.SplitHostPort(addr)
	r := &dns{answer: func(string, int) []string { return []string{"10.0.0.1", "127.0.0.1"} }}
	for _, allow := range []string{"127.0.0.1/32", "127.0.0.0/8", "127.1.2.3/8", "::ffff:127.0.0.0/104"} {
		d := newDialer(t, dial.Options{Guard: true, AllowPrivate: []netip.Prefix{netip.MustParsePrefix(allow)}, Resolver: r.resolver()})
		// Of the two answers the first is refused, the second allowed: only the second is ever dialled.
		conn, err := d.DialContext(t.Context(), "tcp", "both.example:"+port)
		if err != nil {
			t.Errorf("%s: %v", allow, err)
			continue
		}
		if conn.RemoteAddr().String() != addr {
			t.Errorf("%s: dialled %s", allow, conn.RemoteAddr())
		}
		conn.Close()
	}
}

func TestRebindingGainsNothing(t *testing.T) {
	t.Parallel()
	// First answer public, every later one loopback.
	rebind := func(_ string, n int) []string {
		if n == 0 {
			return []string{"8.8.8.8"}
		}
		return []string{"127.0.0.1"}
	}
	t.Run("through a proxy", func(t *testing.T) {
		t.Parallel()
		for _, scheme := range []string{"http", "socks5", "socks5h"} {
			r := &dns{answer: rebind}
			far := serve(t, echo)
			routes := map[string]string{"8.8.8.8:443": far}
			hp, sp := &httpProxy{routes: routes}, &socksProxy{routes: routes}
			handle, want := sp.handle, "type1 8.8.8.8:443"
			if scheme == "http" {
				handle, want = hp.handle, "CONNECT 8.8.8.8:443"
			}
			d := newDialer(t, dial.Options{Guard: true, Proxy: scheme + "://" + serve(t, handle), Resolver: r.resolver()})
			conn, err := d.DialContext(t.Context(), "tcp", "rebind.example:443")
			if err != nil {
				t.Fatal(err)
			}
			conn.Close()
			if got := append(hp.all(), sp.all()...); !slices.Equal(got, []string{want}) {
				t.Errorf("%s: proxy was asked for %q, want %q", scheme, got, want)
			}
			if _, err = d.DialContext(t.Context(), "tcp", "rebind.example:443"); !isGuard(err) {
				t.Errorf("%s: second dial: %v", scheme, err)
			}
		}
	})
	t.Run("direct", func(t *testing.T) {
		t.Parallel()
		addr := serve(t, echo)
		_, port, _ := net.SplitHostPort(addr)
		r := &dns{answer: func(_ string, n int) []string {
			if n == 0 {
				return []string{"127.0.0.1"}
			}
			return []string{"127.0.0.2"}
		}}
		d := newDialer(t, dial.Options{Guard: true, AllowPrivate: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, Resolver: r.resolver()})
		conn, err := d.DialContext(t.Context(), "tcp", "rebind.example:"+port)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if conn.RemoteAddr().String() != addr || r.questions("rebind.example") != 1 {
			t.Errorf("dialled %s after %d questions", conn.RemoteAddr(), r.questions("rebind.example"))
		}
		if _, err := d.DialContext(t.Context(), "tcp", "rebind.example:"+port); !isGuard(err) {
			t.Errorf("second dial: %v", err)
		}
	})
}

func isGuard(err error) bool { _, ok := errors.AsType[*dial.GuardError](err); return ok }

func TestGuardHoldsForPlainHTTPThroughAProxy(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(srv.Close)
	p := &httpProxy{routes: map[string]string{"8.8.8.8:80": srv.Listener.Addr().String()}}
	r := &dns{answer: func(name string, _ int) []string {
		if name == "inside.example" {
			return []string{"10.0.0.1"}
		}
		return []string{"8.8.8.8"}
	}}
	tr := newDialer(t, dial.Options{Guard: true, Proxy: serve(t, p.handle), Resolver: r.resolver()}).Transport(nil)
	defer tr.CloseIdleConnections()
	if _, err := roundTrip(t, tr, "http://inside.example/"); !isGuard(err) {
		t.Errorf("inside: %v", err)
	}
	if _, err := roundTrip(t, tr, "http://outside.example/"); err != nil {
		t.Errorf("outside: %v", err)
	}
	if got := p.all(); !slices.Equal(got, []string{"CONNECT 8.8.8.8:80"}) {
		t.Errorf("proxy was asked for %q", got)
	}
}

func TestProxyItselfMayBePrivate(t *testing.T) {
	t.Parallel()
	far := serve(t, echo)
	p := &httpProxy{routes: map[string]string{"8.8.8.8:443": far}}
	d := newDialer(t, dial.Options{Guard: true, Proxy: serve(t, p.handle)}) // the proxy is on loopback
	conn, err := d.DialContext(t.Context(), "tcp", "8.8.8.8:443")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	checkEcho(t, conn)
}
