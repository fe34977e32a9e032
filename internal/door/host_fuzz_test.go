package door

import (
	"net/url"
	"strings"
	"testing"
)

func FuzzHostname(f *testing.F) {
	for _, s := range []string{"localhost:4141", "[::1]:80", "127.0.0.1", "a.b.", "::1", "[fe80::1%25eth0]", "x'y", "[", ":", "a:1:2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		name, ok := hostname(s)
		if !ok {
			return
		}
		if name == "" || strings.ContainsAny(name, "'\"`$\\;&|<>()[]{} \t\r\n/?#@%") {
			t.Errorf("%q gives %q", s, name)
		}
		if again, ok := hostname(name); !ok || again != name {
			t.Errorf("%q gives %q, which gives %q", s, name, again)
		}
		if strings.Contains(name, ":") {
			name = "[" + name + "]"
		}
		if u, err := url.Parse("http://" + name + "/"); err != nil || u.Host != name {
			t.Errorf("%q is no host of a URL: %v", name, err)
		}
	})
}
