package config

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/BurntSushi/toml"
)

func corpus(f *testing.F) []string {
	f.Helper()
	out := []string{
		"", "[", "a", "a=", "accounts=1", "accounts=[1]", "[accounts]\nid=1", "accounts=[{}]", "[[server]]", "[[models.alias]]",
		"\xef\xbb\xbf[log]\r\nlevel='info'\r\n", "x={a={b=[{}]}}", "[log] # c\n  level = \"info\" # d", "log.level='info'", "log = {level='info',}",
		"[models.alias]\n'a.b' = '''x\ny'''\n\"c\\td\" = \"\"\"z\"\"\"\"\"\n", "[proxy]\nno_proxy=[ # c ]\n 'a' , \"b]\" ]\n", "d = 1979-05-27 07:32:00\nf=1e3\n",
		"[[accounts]]\nid='a'\n[accounts.settings]\nk='v'\n[[accounts]]\nid='b'\n", "[a]\n[[a.b]]\nx=1\n[a.b.c]\ny=2\n[[a.b]]\n", "x=[[[1],{a=[{b=1}]}]]\n",
	}
	for _, name := range []string{"testdata/router.toml", "testdata/wrong.toml"} {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		out = append(out, string(data))
	}
	return out
}

func FuzzLoad(f *testing.F) {
	for _, s := range corpus(f) {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := parse([]byte(s), "/x")
		if got.config == nil || got.config.Server.ShutdownGrace == 0 && len(got.problems) == 0 && !strings.Contains(s, "shutdown_grace") {
			t.Error("no configuration")
		}
		if got.doc == nil && len(got.problems) != 1 {
			t.Errorf("wrong syntax has %d problems", len(got.problems))
		}
		if !slices.IsSortedFunc(got.problems, func(a, b Problem) int { return a.Line - b.Line }) {
			t.Error("problems are not in order")
		}
	})
}

// FuzzDocument compares what the scanner finds in valid texts with what the TOML library finds.
func FuzzDocument(f *testing.F) {
	for _, s := range corpus(f) {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		doc, scan := newDocument([]byte(s))
		if scan != nil && scan.err == errDeep || !utf8.ValidString(s) || strings.HasPrefix(s, "\xff\xfe") || strings.HasPrefix(s, "\xfe\xff") {
			return
		}
		values := map[string]any{}
		if _, err := toml.Decode(s, &values); err != nil {
			return
		}
		if scan != nil {
			t.Fatalf("valid text, but %v at line %d", scan, scan.line)
		}
		want := flatten(values, nil, map[string]string{})
		got := map[string]string{}
		for _, it := range doc.items {
			if it.kind == header {
				continue
			}
			v, err := literalValue(s[it.val:it.valEnd])
			if err != nil {
				t.Fatalf("the value of %s is %q: %v", it.path, s[it.val:it.valEnd], err)
			}
			flatten(v, it.path, got)
			if n := 1 + strings.Count(s[:it.start], "\n"); n != it.line {
				t.Errorf("%s is at line %d, not %d", it.path, n, it.line)
			}
		}
		if !maps.Equal(got, want) {
			t.Errorf("found %v\nwant  %v", got, want)
		}
	})
}

// FuzzSet checks that what was set is what is there then, and that every other line is as it was.
func FuzzSet(f *testing.F) {
	for _, content := range append(corpus(f),
		"# c\n[models.families]\na = \"b\" # d\n", "models = { families = { } }\n", "models.families.x = 'y'\n[log]\n",
		"[models]\nfamilies.x = 'y'\n[log]\n", "[models.families]\r\n'q' = '''\nx'''\r\n", "[[accounts]]\nid='a'\n[server]",
	) {
		for _, kv := range [][2]string{{"a", "c"}, {"gpt-4.1", "x\"y"}, {"\x00", "\\"}, {"ü", "v w"}} {
			f.Add(content, kv[0], kv[1])
		}
	}
	f.Fuzz(func(t *testing.T, content, name, value string) {
		if !utf8.ValidString(name) || !utf8.ValidString(value) || strings.HasPrefix(name, `"`) || strings.HasPrefix(name, "'") {
			return
		}
		after, err := edited("x", []byte(content), func(e *editor, f *parsed) (sameRest, error) {
			p, err := e.setKey(f, "", "models.families."+name, value)
			return func(before, after map[string]any) bool { return onlyChanged(before, after, p) }, err
		})
		if err != nil {
			if strings.Contains(err.Error(), "would touch other settings") {
				t.Error(err)
			}
			return
		}
		got, _ := lookup(parse(after, "/x").values, path{{"models", -1}, {"families", -1}, {name, -1}}).(string)
		if got != value {
			t.Fatalf("set %q, got %q in\n%s", value, got, after)
		}
		if strings.Contains(content, "families") {
			return // a line of the file may be the one that changed
		}
		rest := strings.Split(string(after), "\n")
		for line := range strings.SplitSeq(content, "\n") {
			i := slices.IndexFunc(rest, func(l string) bool {
				return strings.TrimSuffix(l, "\r") == strings.TrimSuffix(line, "\r") || strings.HasPrefix(l, "models") && strings.HasPrefix(line, "models")
			})
			if i < 0 && !strings.Contains(line, "models") {
				t.Fatalf("the line %q is gone from\n%s", line, after)
			}
			rest = rest[i+1:]
		}
	})
}

// FuzzAdd checks that a list has one element more then, and that no line of the file is gone.
func FuzzAdd(f *testing.F) {
	for _, inside := range []string{
		"", " ", "'a'", "'a',", "\n 'a', # b\n # c\n", "\n'a' # ,\n", "'a'\n,\n", "\"]#,\\\"\"", "\"\"\"a\"\"\"\"\"", "'''\n]'''", "# ]\n", "\r\n'a',\r\n",
	} {
		f.Add(inside, "b")
	}
	f.Fuzz(func(t *testing.T, inside, value string) {
		content := "[proxy]\nno_proxy = [" + inside + "]\n[log]\nlevel = 'debug'\n"
		if !utf8.ValidString(content) || checked(value) != "" || len(parse([]byte(content), "/x").problems) > 0 {
			return
		}
		before := parse([]byte(content), "/x").config.Proxy.NoProxy
		name := filepath.Join(t.TempDir(), "config.toml")
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := Add(name, "proxy.no_proxy", value); err != nil {
			t.Fatalf("%v in\n%s", err, content)
		}
		after, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		c := parse(after, "/x").config
		if want := append(before, value); !slices.Contains(before, value) && !slices.Equal(c.Proxy.NoProxy, want) || c.Log.Level != "debug" {
			t.Fatalf("got %q, want %q in\n%s", c.Proxy.NoProxy, want, after)
		}
		if a, b := strings.Count(content, "#"), strings.Count(string(after), "#"); b < a {
			t.Fatalf("a comment is gone from\n%s", after)
		}
	})
}

func checked(value string) string {
	if !utf8.ValidString(value) {
		return "not text"
	}
	wrong, _ := checkWord(value)
	return wrong
}
