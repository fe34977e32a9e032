package dial

import (
	"strings"
	"testing"
)

// FuzzTarget checks that an accepted target is canonical, and can stand in the request line of CONNECT as it is.
func FuzzTarget(f *testing.F) {
	for _, s := range []string{"example.com:443", "[fe80::1%lo]:1", "bücher.example:80", "a\r\nb:1", "x_y.example.:1", "1.2.3.4:5", "[::ffff:1.2.3.4]:6", "\xff:1", "[::1%a b]:1", "ﾡ.example:1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := parseTarget(s)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\r\n") || len(err.Error()) > 1000 {
				t.Errorf("%q: %q", s, err)
			}
			return
		}
		line := got.String()
		if strings.ContainsFunc(line, func(r rune) bool { return r <= ' ' || r > '~' }) {
			t.Errorf("%q became %q", s, line)
		}
		if again, err := parseTarget(line); err != nil || again != got {
			t.Errorf("%q became %q, which becomes %q, %v", s, line, again, err)
		}
	})
}
