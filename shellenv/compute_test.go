package shellenv_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"detour/shellenv"
)

// environ is an environment as a map.
type environ map[string]string

func (e environ) lookup(name string) (string, bool) { v, ok := e[name]; return v, ok }

// apply returns e with the changes of s.
func (e environ) apply(s shellenv.Set) environ {
	var base []string
	for k, v := range e {
		base = append(base, k+"="+v)
	}
	return parseEnviron(s.Environ(base))
}

func parseEnviron(list []string) environ {
	e := environ{}
	for _, kv := range list {
		k, v, _ := strings.Cut(kv, "=")
		e[k] = v
	}
	return e
}

// params are complete, with bundles whose names show what went into them.
func params(env environ) shellenv.Params {
	return shellenv.Params{
		ProxyURL: "http://127.0.0.1:4142",
		CACert:   "/home/u/.config/detour/ca/ca.crt",
		Bundle: func(_ string, existing []string) (string, error) {
			return bundleName("/bundle/", existing, "public"), nil
		},
		Extra:      func(existing []string) (string, error) { return bundleName("/extra/", existing, "ours"), nil },
		Env:        env.lookup,
		Generation: "g1",
	}
}

func bundleName(dir string, existing []string, none string) string {
	if len(existing) == 0 {
		return dir + none
	}
	return dir + strings.ReplaceAll(strings.Join(existing, "+"), "/", "_")
}

func compute(t *testing.T, p shellenv.Params) shellenv.Set {
	t.Helper()
	s, err := shellenv.Compute(p)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, v := range s.Vars {
		if seen[v.Name] {
			t.Errorf("%s occurs twice", v.Name)
		}
		seen[v.Name] = true
	}
	return s
}

func TestGolden(t *testing.T) {
	t.Parallel()
	fresh := environ{}
	used := environ{
		"HTTPS_PROXY": "http://corp:3128", "no_proxy": "intranet,.corp", "NO_PROXY": "", "SSL_CERT_FILE": "/etc/corp's.pem",
		"NODE_EXTRA_CA_CERTS": "/etc/corp root.pem", "PIP_CERT": "/etc/pip.pem",
	}
	sets := map[string]shellenv.Set{"fresh": compute(t, params(fresh))}
	p := params(used)
	p.ProxyURL = "http://detour:s%27cret@127.0.0.1:4142"
	p.NoProxy = []string{"detour.lan", ".local"}
	p.Wget, p.NodeShim, p.Java = "/home/u/wgetrc", "/home/u/a shim.js", &shellenv.Java{TrustStore: "/home/u/my store.p12", Password: "changeit"}
	sets["used"] = compute(t, p)
	sets["unset"] = shellenv.Unset(used.apply(sets["used"]).lookup)
	for name, s := range sets {
		for _, sh := range shellenv.Shells() {
			t.Run(name+" "+string(sh), func(t *testing.T) {
				t.Parallel()
				got, err := s.Script(sh)
				if err != nil {
					got = []byte("error: " + err.Error() + "\n")
				}
				golden(t, filepath.Join("testdata", name+"."+string(sh)), got)
			})
		}
	}
}

func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", path, got, want)
	}
}

func TestComputeValues(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		env  environ
		edit func(*shellenv.Params)
		want environ  // values that must be there
		not  []string // names that must not be
	}{
		{
			name: "nothing set before",
			want: environ{
				"HTTPS_PROXY": "http://127.0.0.1:4142", "HTTP_PROXY": "http://127.0.0.1:4142", "https_proxy": "http://127.0.0.1:4142", "http_proxy": "http://127.0.0.1:4142",
				"NO_PROXY": "localhost,127.0.0.1,::1", "no_proxy": "localhost,127.0.0.1,::1", "NODE_USE_ENV_PROXY": "1",
				"NODE_EXTRA_CA_CERTS": "/extra/ours", "DENO_CERT": "/extra/ours", "SSL_CERT_FILE": "/bundle/public", "REQUESTS_CA_BUNDLE": "/bundle/public",
				"CURL_CA_BUNDLE": "/bundle/public", "GIT_SSL_CAINFO": "/bundle/public", "CODEX_CA_CERTIFICATE": "/bundle/public", "DETOUR_PROXY_ACTIVE": "g1",
			},
			not: []string{
				"ALL_PROXY", "all_proxy", "NODE_OPTIONS", "NODE_TLS_REJECT_UNAUTHORIZED", "GIT_SSL_NO_VERIFY", "NODE_USE_SYSTEM_CA", "SSL_CERT_DIR",
				"PIP_CERT", "npm_config_cafile", "CONDA_SSL_VERIFY", "JAVA_TOOL_OPTIONS", "WGETRC", "DETOUR_OLD_HTTPS_PROXY",
			},
		},
		{
			name: "each variable merges what its program trusts today",
			env: environ{
				"SSL_CERT_FILE": "/s.pem", "CURL_CA_BUNDLE": "/c.pem", "NODE_EXTRA_CA_CERTS": "/n.pem", "AWS_CA_BUNDLE": "/a.pem", "npm_config_cafile": "/npm.pem",
				"CONDA_SSL_VERIFY": "/conda.pem",
			},
			want: environ{
				"SSL_CERT_FILE": "/bundle/_s.pem", "CURL_CA_BUNDLE": "/bundle/_c.pem", "REQUESTS_CA_BUNDLE": "/bundle/_c.pem", "NODE_EXTRA_CA_CERTS": "/extra/_n.pem",
				"DENO_CERT": "/extra/ours", "AWS_CA_BUNDLE": "/bundle/_a.pem", "npm_config_cafile": "/bundle/_npm.pem", "CODEX_CA_CERTIFICATE": "/bundle/_s.pem",
				"GIT_SSL_CAINFO": "/bundle/public", "CONDA_SSL_VERIFY": "/bundle/_conda.pem", "DETOUR_OLD_SSL_CERT_FILE": "/s.pem", "DETOUR_OLD_AWS_CA_BUNDLE": "/a.pem",
			},
			not: []string{"DETOUR_OLD_REQUESTS_CA_BUNDLE", "PIP_CERT"},
		},
		{
			name: "curl falls back to SSL_CERT_FILE",
			env:  environ{"SSL_CERT_FILE": "/s.pem"},
			want: environ{"CURL_CA_BUNDLE": "/bundle/_s.pem", "REQUESTS_CA_BUNDLE": "/bundle/public"},
		},
		{
			name: "a word is not a file",
			env:  environ{"CONDA_SSL_VERIFY": "False", "SSL_CERT_FILE": ""},
			want: environ{"SSL_CERT_FILE": "/bundle/public", "DETOUR_OLD_SSL_CERT_FILE": ""},
			not:  []string{"CONDA_SSL_VERIFY"},
		},
		{
			name: "a program's own configuration",
			edit: func(p *shellenv.Params) { p.Configured = map[string]string{"GIT_SSL_CAINFO": "/git.pem"} },
			want: environ{"GIT_SSL_CAINFO": "/bundle/_git.pem"},
		},
		{
			name: "the variable beats the program's own configuration",
			env:  environ{"GIT_SSL_CAINFO": "/env.pem"},
			edit: func(p *shellenv.Params) { p.Configured = map[string]string{"GIT_SSL_CAINFO": "/git.pem"} },
			want: environ{"GIT_SSL_CAINFO": "/bundle/_env.pem"},
		},
		{
			name: "without Extra the root itself",
			edit: func(p *shellenv.Params) { p.Extra = nil },
			want: environ{"NODE_EXTRA_CA_CERTS": "/home/u/.config/detour/ca/ca.crt"},
		},
		{
			name: "no_proxy of both cases and forms",
			env:  environ{"NO_PROXY": "a.example, b.example", "no_proxy": "c.example b.example"},
			edit: func(p *shellenv.Params) { p.NoProxy = []string{".lan", "box:8080"} },
			want: environ{"NO_PROXY": "localhost,127.0.0.1,::1,.lan,lan,box:8080,a.example,b.example,c.example", "DETOUR_OLD_NO_PROXY": "a.example, b.example"},
		},
		{
			name: "our own proxy in an environment that lost its bookkeeping",
			env:  environ{"HTTPS_PROXY": "http://127.0.0.1:4142", "https_proxy": "http://corp"},
			want: environ{"DETOUR_OLD_https_proxy": "http://corp"},
			not:  []string{"DETOUR_OLD_HTTPS_PROXY"},
		},
		{
			name: "extras keep what was there",
			env:  environ{"NODE_OPTIONS": "--max-old-space-size=4096", "JAVA_TOOL_OPTIONS": "-Xmx1g"},
			edit: func(p *shellenv.Params) {
				p.NodeShim = `/a "b"/s.js`
				p.Java = &shellenv.Java{TrustStore: "/a b/it's.p12"}
			},
			want: environ{
				"NODE_OPTIONS":      `--max-old-space-size=4096 --require "/a \"b\"/s.js"`,
				"JAVA_TOOL_OPTIONS": `-Xmx1g -Dhttps.proxyHost=127.0.0.1 -Dhttps.proxyPort=4142 -Dhttp.proxyHost=127.0.0.1 -Dhttp.proxyPort=4142 "-Dhttp.nonProxyHosts=localhost|127.*|[::1]" "-Djavax.net.ssl.trustStore=/a b/it's.p12" -Djavax.net.ssl.trustStoreType=PKCS12`,
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := params(c.env)
			if c.edit != nil {
				c.edit(&p)
			}
			got := environ{}.apply(compute(t, p))
			for k, want := range c.want {
				if v, ok := got[k]; !ok || v != want {
					t.Errorf("%s: got %q, %t, want %q", k, v, ok, want)
				}
			}
			for _, k := range c.not {
				if v, ok := got[k]; ok {
					t.Errorf("%s is set to %q", k, v)
				}
			}
		})
	}
}

func TestBundleIsBuiltOnceForEachList(t *testing.T) {
	t.Parallel()
	p := params(environ{"SSL_CERT_FILE": "/s.pem"})
	var calls []string
	p.Bundle = func(variable string, existing []string) (string, error) {
		calls = append(calls, variable+fmt.Sprint(existing))
		return "/b", nil
	}
	compute(t, p)
	if want := []string{"SSL_CERT_FILE[/s.pem]", "REQUESTS_CA_BUNDLE[]"}; !slices.Equal(calls, want) {
		t.Errorf("got %q, want %q", calls, want)
	}
}

func TestNoProxyWarnings(t *testing.T) {
	t.Parallel()
	hosts := []string{"api.openai.com", "*.githubcopilot.com", "detour.test"}
	for _, c := range []struct {
		entry string
		want  []string // hosts named
	}{
		{"*", []string{`"*"`}},
		{"openai.com", []string{"api.openai.com"}},
		{".OpenAI.com", []string{"api.openai.com"}},
		{"*.openai.com", []string{"api.openai.com"}},
		{"api.openai.com:443", []string{"api.openai.com"}},
		{"api.openai.com:80", nil},
		{"com", []string{"api.openai.com", "githubcopilot.com"}},
		{"githubcopilot.com", []string{"*.githubcopilot.com"}},
		{"api.individual.githubcopilot.com", []string{"*.githubcopilot.com"}},
		{"pi.openai.com", nil},
		{"10.0.0.0/8", nil},
		{"", nil},
		{".", nil},
	} {
		p := params(environ{"no_proxy": c.entry})
		p.Intercepted = hosts
		got := compute(t, p).Warnings
		if len(got) != len(c.want) {
			t.Errorf("%q: got %q, want %d", c.entry, got, len(c.want))
			continue
		}
		for i, w := range c.want {
			if !strings.Contains(got[i], w) {
				t.Errorf("%q: %q does not name %s", c.entry, got[i], w)
			}
		}
	}
}

func TestComputeRefuses(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken file")
	for name, c := range map[string]struct {
		edit func(*shellenv.Params)
		want string
	}{
		"no bundle":          {func(p *shellenv.Params) { p.Bundle = nil }, "required"},
		"no environment":     {func(p *shellenv.Params) { p.Env = nil }, "required"},
		"empty URL":          {func(p *shellenv.Params) { p.ProxyURL = "" }, "proxy URL"},
		"URL with bad port":  {func(p *shellenv.Params) { p.ProxyURL = "http://u:mArKeR@h:x" }, "proxy URL"},
		"socks URL":          {func(p *shellenv.Params) { p.ProxyURL = "socks5://u:mArKeR@h" }, "proxy URL"},
		"control in URL":     {func(p *shellenv.Params) { p.ProxyURL = "http://h/\n" }, "proxy URL"},
		"control in path":    {func(p *shellenv.Params) { p.Extra, p.CACert = nil, "/a\nb" }, "control characters"},
		"no root":            {func(p *shellenv.Params) { p.Extra, p.CACert = nil, "" }, "empty"},
		"control generation": {func(p *shellenv.Params) { p.Generation = "a\x00" }, "generation"},
		"bundle fails":       {func(p *shellenv.Params) { p.Bundle = func(string, []string) (string, error) { return "", broken } }, "SSL_CERT_FILE: broken file"},
		"java store":         {func(p *shellenv.Params) { p.Java = &shellenv.Java{TrustStore: `a"b'c`} }, "javax.net.ssl.trustStore"},
	} {
		p := params(environ{})
		c.edit(&p)
		_, err := shellenv.Compute(p)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "mArKeR") {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

func TestValuesAreNotPrinted(t *testing.T) {
	t.Parallel()
	p := params(environ{})
	p.ProxyURL = "http://detour:mArKeR@127.0.0.1:4142"
	s := compute(t, p)
	if got := fmt.Sprintf("%v %+v %#v %s %q %s", s, s, s, s, &s, s.LogValue()); strings.Contains(got, "mArKeR") || !strings.Contains(got, "HTTPS_PROXY") {
		t.Errorf("got %s", got)
	}
}

func TestEnvironLeavesTheBaseAlone(t *testing.T) {
	t.Parallel()
	base := []string{"A=1", "B=2", "=C:=odd", "C=3"}
	keep := slices.Clone(base)
	s := shellenv.Set{Vars: []shellenv.Var{{Name: "B", Value: "new"}, {Name: "C", Unset: true}, {Name: "D"}}}
	if got, want := s.Environ(base), []string{"A=1", "=C:=odd", "B=new", "D="}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if !slices.Equal(base, keep) {
		t.Errorf("base became %q", base)
	}
}
