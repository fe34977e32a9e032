package mitm_test

import (
	"net"
	"strconv"
	"strings"
	"testing"

	"detour/mitm"
)

func TestParseAuthority(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 63)
	tests := []struct {
		name, in string
		host     string
		port     int
	}{
		{"plain", "api.openai.com:443", "api.openai.com", 443},
		{"upper case", "API.OpenAI.com:443", "api.openai.com", 443},
		{"trailing dot", "api.openai.com.:443", "api.openai.com", 443},
		{"single label", "localhost:1", "localhost", 1},
		{"highest port", "a:65535", "a", 65535},
		{"zeros before the port", "a:00443", "a", 443},
		{"underscore", "my_bucket.s3.test:443", "my_bucket.s3.test", 443},
		{"hyphens in third and fourth place", "r3---sn-4g5e.example.com:443", "r3---sn-4g5e.example.com", 443},
		{"digits first", "1password.com:443", "1password.com", 443},
		{"a-label", "XN--bcher-kva.example:443", "xn--bcher-kva.example", 443},
		{"u-label", "bücher.example:443", "xn--bcher-kva.example", 443},
		{"u-label upper case", "BÜCHER.example:443", "xn--bcher-kva.example", 443},
		{"wide letters", "ｇｏｏｇｌｅ.com:443", "google.com", 443},
		{"ideographic full stop", "bücher。example。:443", "xn--bcher-kva.example", 443},
		{"wide digits are an address", "１２７.０.０.１:80", "127.0.0.1", 80},
		{"ipv4", "127.0.0.1:80", "127.0.0.1", 80},
		{"ipv4 with trailing dot", "127.0.0.1.:80", "127.0.0.1", 80},
		{"ipv6", "[::1]:443", "::1", 443},
		{"ipv6 long form", "[0:0:0:0:0:0:0:1]:443", "::1", 443},
		{"ipv6 upper case", "[2001:DB8::A]:443", "2001:db8::a", 443},
		{"ipv4 in ipv6", "[::ffff:127.0.0.1]:443", "127.0.0.1", 443},
		{"longest label", long + ".test:443", long + ".test", 443},

		{"empty", "", "", 0},
		{"no port", "api.openai.com", "", 0},
		{"empty port", "api.openai.com:", "", 0},
		{"port 0", "a:0", "", 0},
		{"port too high", "a:65536", "", 0},
		{"port with sign", "a:+443", "", 0},
		{"port name", "a:https", "", 0},
		{"port too long", "a:000443", "", 0},
		{"no host", ":443", "", 0},
		{"only a dot", ".:443", "", 0},
		{"two trailing dots", "a..:443", "", 0},
		{"empty label", "a..b:443", "", 0},
		{"user information", "user:secret@a:443", "", 0},
		{"user", "user@a:443", "", 0},
		{"path", "a:443/", "", 0},
		{"only a path", "/a:443", "", 0},
		{"scheme", "https://a:443", "", 0},
		{"space", "a b:443", "", 0},
		{"control character", "a\x00b:443", "", 0},
		{"percent", "a%2e:443", "", 0},
		{"invalid utf-8", "\xff\xfe.test:443", "", 0},
		{"label too long", long + "a.test:443", "", 0},
		{"name too long", strings.Repeat(long+".", 4) + "test:443", "", 0},
		{"input too long", strings.Repeat("ü", 600) + ":443", "", 0},
		{"bare ipv6", "::1:443", "", 0},
		{"ipv6 without port", "[::1]", "", 0},
		{"ipv6 zone", "[fe80::1%eth0]:443", "", 0},
		{"ipv6 not closed", "[::1:443", "", 0},
		{"ipv6 text behind", "[::1]x:443", "", 0},
		{"ipv4 in brackets", "[127.0.0.1]:443", "", 0},
		{"name in brackets", "[a]:443", "", 0},
		{"short ipv4", "127.1:443", "", 0},
		{"decimal ipv4", "2130706433:443", "", 0},
		{"hexadecimal ipv4", "0x7f.0.0.1:443", "", 0},
		{"hexadecimal last", "127.0.0.0x1:443", "", 0},
		{"octal ipv4", "0177.0.0.1:443", "", 0},
		{"numeric last label", "a.123:443", "", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			host, port, err := mitm.ParseAuthority(tt.in)
			if host != tt.host || port != tt.port || (err != nil) != (tt.port == 0) {
				t.Errorf("ParseAuthority(%q) = %q, %d, %v; want %q, %d", tt.in, host, port, err, tt.host, tt.port)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("the error repeats the input: %v", err)
			}
		})
	}
}

func FuzzParseAuthority(f *testing.F) {
	for _, s := range []string{
		"api.openai.com:443", "A.:1", "bücher.example:443", "[::ffff:1.2.3.4]:80", "[fe80::1%25x]:1", "0x7f.1:80", "a。b:9",
		"xn--a:1", "ß.test:5", "u:p@h:1", "\u200d.test:1", "١.test:1", "a.१:1",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		host, port, err := mitm.ParseAuthority(s)
		if err != nil {
			if host != "" || port != 0 {
				t.Fatalf("ParseAuthority(%q) = %q, %d with error %v", s, host, port, err)
			}
			return
		}
		if port < 1 || port > 65535 || host == "" || len(host) > 253 || strings.ContainsAny(host, " @/[]%\x00") {
			t.Fatalf("ParseAuthority(%q) = %q, %d", s, host, port)
		}
		canonical := net.JoinHostPort(host, strconv.Itoa(port))
		again, samePort, err := mitm.ParseAuthority(canonical)
		if err != nil || again != host || samePort != port {
			t.Fatalf("%q became %q, which parses to %q, %d, %v", s, canonical, again, samePort, err)
		}
	})
}
