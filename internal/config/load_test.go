package config_test

import (
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"detour/internal/config"
)

var update = flag.Bool("update", false, "write the golden files anew")

// file writes a private file and returns its name.
func file(t *testing.T, content string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func problems(t *testing.T, err error) []config.Problem {
	t.Helper()
	invalid, ok := errors.AsType[*config.Invalid](err)
	if !ok {
		t.Fatalf("got %v, want *Invalid", err)
	}
	return invalid.Problems
}

func TestMissingFileGivesTheDefaults(t *testing.T) {
	t.Parallel()
	c, err := config.Load(filepath.Join(t.TempDir(), "none", "config.toml"))
	if err != nil {
		t.Fatal(err)
	}
	want := &config.Config{
		Server:    config.Server{Host: "127.0.0.1", Port: 4141, RouteMode: "route", RequireKeys: "auto", ShutdownGrace: 10 * time.Second},
		ProxyMode: config.ProxyMode{Host: "127.0.0.1", Port: 4142, RouteMode: "route", MaxTunnels: 4096, ProviderModes: map[string]string{}, Hosts: map[string]string{}},
		Pool:      config.Pool{Strategy: "round_robin", FailureCooldown: time.Minute, AffinityTTL: time.Hour},
		Models:    config.Models{Alias: map[string]string{}, Prefix: map[string]string{}, Families: map[string]string{}, Roles: map[string]string{}, CatalogueURL: "https://models.dev/api.json"},
		Limits: config.Limits{
			RequestBody: 64 << 20, HeaderBytes: 64 << 10, HeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
			StallTimeout: 15 * time.Minute, SSEEvent: 64 << 20, ResponseMemory: 64 << 20,
		},
		Retry: config.Retry{MaxAttempts: 3, MaxConnectionRetries: 3, MaxWait: 20 * time.Second, MaxSingleWait: 10 * time.Second, InitialBackoff: time.Second, Multiplier: 2},
		Log:   config.Log{Level: "info", Format: "text"},
		Usage: config.Usage{Enabled: true, MaxAge: 400 * 24 * time.Hour, MaxSize: 256 << 20},
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
}

// TestEveryKey sets each setting to something else than its default, so that a row that points at the wrong field, or
// a default that is not accepted, shows.
func TestEveryKeyHasAPlaceOfItsOwn(t *testing.T) {
	t.Parallel()
	other := map[string]string{
		"integer": "77", "boolean": "true", "duration": "1m5s", "size": "1MiB", "number": "3.5", "list of integers": "8443", "list of CIDRs": "10.0.0.0/8",
	}
	byName := map[string]string{
		"server.host": "0.0.0.0", "proxy_mode.host": "::1", "server.allowed_origins": "https://a.example", "proxy.url": "socks5h://h:1",
		"server.allowed_hosts": "box.lan", "proxy_mode.intercept_hosts": "x.example", "proxy_mode.passthrough_hosts": "*.example", "proxy.no_proxy": ".internal",
		"server.require_keys": "true", "pool.strategy": "least_used", "log.level": "debug", "log.format": "json", "retry.max_wait": "10m",
		"limits.header_bytes": "8KiB", "models.catalogue_url": "https://models.example/api.json", "usage.enabled": "false",
		"filters.system_prompt_remove": "re:a+", "filters.system_prompt_add": "b", "filters.tool_result_suffix_remove": "c", "filters.models": "m*",
	}
	tables := map[string][2]string{
		"proxy_mode.provider_modes": {"openai", "switch"}, "proxy_mode.hosts": {"h.example", "127.0.0.1:1"},
		"models.alias": {"a", "b"}, "models.prefix": {"a", "b"}, "models.families": {"a", "b"}, "models.roles": {"opus", "b"},
	}
	seen := map[string]string{}
	for _, k := range config.Keys() {
		section, _, _ := strings.Cut(k.Name, ".")
		if slices.Contains([]string{"accounts", "rules", "profiles", "fallback", "budget"}, section) {
			continue // blocks have their own test
		}
		if k.Doc == "" || !strings.HasSuffix(k.Doc, ".") {
			t.Errorf("%s has no proper sentence: %q", k.Name, k.Doc)
		}
		name, value := k.Name, byName[k.Name]
		switch {
		case tables[k.Name] != [2]string{}:
			name, value = k.Name+"."+tables[k.Name][0], tables[k.Name][1]
		case value != "":
		case strings.HasSuffix(k.Name, "route_mode"):
			value = "exact"
		case k.Type == "string":
			value = "/x/" + k.Name
		default:
			value = other[k.Type]
		}
		f := filepath.Join(t.TempDir(), "config.toml")
		pairs := map[string]string{ // settings that must come in twos
			"server.tls_cert": "server.tls_key", "proxy_mode.tls_cert": "proxy_mode.tls_key", "proxy_mode.ca.cert": "proxy_mode.ca.key",
		}
		content := ""
		for a, b := range pairs {
			if k.Name == a {
				content = b + ` = "/x/b"` + "\n"
			}
			if k.Name == b || k.Name == "proxy_mode.ca.chain" && b == "proxy_mode.ca.key" {
				content = a + ` = "/x/a"` + "\n"
			}
		}
		if k.Name == "proxy_mode.ca.chain" {
			content += `proxy_mode.ca.key = "/x/b"` + "\n"
		}
		if err := os.WriteFile(f, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		before, err := config.Load(f)
		if content != "" {
			before = config.Default(filepath.Dir(f))
		} else if err != nil {
			t.Fatal(err)
		}
		if err := config.Set(f, name, value); err != nil {
			t.Errorf("set %s: %v", name, err)
			continue
		}
		after, err := config.Load(f)
		if err != nil {
			t.Errorf("load with %s: %v", name, err)
			continue
		}
		if reflect.DeepEqual(before, after) {
			t.Errorf("%s = %s changes nothing", name, value)
		}
		shape := fmt.Sprintf("%+v %s", after, after.Proxy.URL.Reveal())
		if twin, ok := seen[shape]; ok {
			t.Errorf("%s and %s have the same effect", name, twin)
		}
		seen[shape] = name
		if got, err := config.Get(f, k.Name); err != nil || (!got.Set && content == "" && tables[k.Name] == [2]string{}) {
			t.Errorf("get %s: %+v, %v", k.Name, got, err)
		}
	}
}

func TestConfigurationOfARelatedProgram(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("testdata/router.toml")
	if err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(file(t, string(data)))
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Accounts) != 2 || c.Proxy.URL.Reveal() != "http://user:pass@proxy.example.com:8080" {
		t.Fatalf("%+v", c)
	}
	a := c.Accounts[0]
	if a.ID != "personal" || a.Provider != "github-copilot" || a.AuthType != "bearer" || a.RefreshToken.Reveal() != "gho_marker1" ||
		a.AccessToken.Reveal() != "tid=marker2" || !a.AccessTokenExpiresAt.Equal(time.Unix(1730000000, 0)) || a.Disabled || a.Tier != "active" ||
		a.RefreshURL != "https://api.github.com/copilot_internal/v2/token" || len(a.Settings) != 6 || a.Settings["user_agent"] != "GitHubCopilotChat/0.20.0" || a.Source != "config.toml" {
		t.Errorf("%+v", a)
	}
	if b := c.Accounts[1]; b.APIKey.Reveal() != "sk-marker3" || b.BaseURL != "https://open.bigmodel.cn/api/paas/v4" || !b.AccessTokenExpiresAt.IsZero() {
		t.Errorf("%+v", b)
	}
	if c.ProxyMode.ProviderModes["openai"] != "switch" || c.ProxyMode.CADir != "/some/path" {
		t.Errorf("%+v", c.ProxyMode)
	}
	if len(c.Notices) != 0 || !c.Usage.Enabled || c.Usage.MaxAge != 400*24*time.Hour || c.Usage.MaxSize != 256<<20 {
		t.Errorf("notices %v, usage %+v", c.Notices, c.Usage)
	}
	if text := fmt.Sprintf("%+v %#v", c, *c); strings.Contains(text, "marker") || strings.Contains(text, "user:pass") {
		t.Error("a credential can be printed")
	}
}

func TestAllMistakesAtOnce(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("testdata/wrong.toml")
	if err != nil {
		t.Fatal(err)
	}
	_, err = config.Load(file(t, string(data)))
	var b strings.Builder
	for _, p := range problems(t, err) {
		b.WriteString(p.String() + "\n")
	}
	if *update {
		if err := os.WriteFile("testdata/wrong.golden", []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/wrong.golden")
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("got:\n%s\nwant:\n%s", b.String(), want)
	}
	if strings.Contains(b.String(), "secretmarker") {
		t.Error("a credential is in a message")
	}
}

func TestSyntaxMistakesHaveALineAndShowNoCredential(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, content string
		line          int
	}{
		{"bare token", "[[accounts]]\nid = \"a\"\nrefresh_token = gho_secretmarker\n", 3},
		{"open string", "[[accounts]]\napi_key = \"sk-secretmarker\n", 2},
		{"single quote open", "[[accounts]]\napi_key = 'sk-secretmarker\n", 2},
		{"no equals sign", "[server]\ngho_secretmarker\n", 2},
		{"two values", "[[accounts]]\napi_key = \"secretmarker\" \"secretmarker\"\n", 2},
		{"number with letters", "[[accounts]]\napi_key = 12_secretmarker\n", 2},
		{"bad number", "[[accounts]]\napi_key = 1__2\n", 2},
		{"leading zero", "[[accounts]]\napi_key = 0123456789\n", 2},
		{"out of range", "[[accounts]]\napi_key = 12345678901234567890123456789\n", 2},
		{"underscores", "[[accounts]]\napi_key = 123456789_\n", 2},
		{"fraction", "[[accounts]]\napi_key = 123456789.\n", 2},
		{"date that is none", "[[accounts]]\napi_key = 1234-56-78T90:12:34Z\n", 2},
		{"float", "[[accounts]]\napi_key = 1.secretmarker\n", 2},
		{"wrong escape", "[[accounts]]\napi_key = \"\\usecretmarker\"\n", 2},
		{"date", "[[accounts]]\napi_key = 2020-13-45secretmarker\n", 2},
		{"bare word in list", "[proxy]\nno_proxy = [secretmarker]\n", 2},
		{"not UTF-8", "[server]\n# fine\nhost = \"\xff\"\n", 3},
		{"twice", "[server]\nport = 1\nport = 2\n", 3},
		{"table twice", "[server]\nport = 1\n[server]\n", 3},
		{"UTF-16", "\xff\xfe[\x00s\x00", 1},
		{"deep list", "[proxy]\nno_proxy = " + strings.Repeat("[", 100000), 2},
		{"deep key", "[server]\n" + strings.Repeat("a.", 100000) + "a = 1", 2},
		{"deep table", "\n[" + strings.Repeat("a.", 100000) + "a]", 2},
		{"deep inline", "\nx = " + strings.Repeat("{a=", 60000), 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := config.Load(file(t, test.content))
			ps := problems(t, err)
			if len(ps) != 1 || ps[0].Line != test.line {
				t.Errorf("got %v, want one problem at line %d", ps, test.line)
			}
			text := strings.TrimPrefix(err.Error(), err.(*config.Invalid).Path) // the path has digits
			if strings.Contains(text, "secretmarker") || strings.Contains(text, "123456") || strings.Contains(text, "1234-56") || len(err.Error()) > 500 {
				t.Errorf("the message shows the file: %.500s", err)
			}
		})
	}
}

func TestSyntaxMistakesCanBeUnderstood(t *testing.T) {
	t.Parallel()
	for content, says := range map[string]string{
		"[server":                       `line 1: expected '.' or ']' to end table name, but the file ends`,
		"port 4141":                     `line 1: expected '.' or '=', but got '4' instead`,
		"a = [1 2]":                     `line 1: expected a comma (',') or array terminator (']'), but got '2'`,
		"\nport = 4141 # x\nport = '":   `line 3: unexpected EOF; expected "'"`,
		"[[server]]\nport = 1\n":        "line 1: server: must be a table, not a list of tables (write [server])",
		"\n[[server]]\n[[server]]\n":    "line 2: server: must be a table, not a list of tables (write [server])",
		"[server]\nroute_mode='switch'": `line 2: server.route_mode: "switch" is not one of route, exact, fuzzy`,
	} {
		_, err := config.Load(file(t, content))
		if got := problems(t, err)[0].String(); got != says {
			t.Errorf("%q: got %s, want %s", content, got, says)
		}
	}
}

func TestManyMistakesTakeLinearTime(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for i := range 20000 {
		fmt.Fprintf(&b, "k%d=1\n", i)
	}
	_, err := config.Load(file(t, b.String()))
	if n := len(problems(t, err)); n != 20000 {
		t.Errorf("%d problems", n)
	}
}

func TestLoosePermissionsMatterWithCredentialsOnly(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no permission bits")
	}
	for _, test := range []struct {
		name, content string
		mode          os.FileMode
		refused       bool
	}{
		{"no credentials", "[server]\nport = 1\n", 0o644, false},
		{"proxy without password", "[proxy]\nurl = \"http://h:1\"\n", 0o644, false},
		{"proxy with password", "[proxy]\nurl = \"http://u:p@h:1\"\n", 0o644, true},
		{"account without credentials", "[[accounts]]\nid = \"a\"\n", 0o644, false},
		{"token", "[[accounts]]\nid = \"a\"\nrefresh_token = \"x\"\n", 0o640, true},
		{"token for everybody to change", "[[accounts]]\nid = \"a\"\napi_key = \"x\"\n", 0o602, true},
		{"private token", "[[accounts]]\nid = \"a\"\ngithub_token = \"x\"\n", 0o600, false},
		{"read-only token", "[[accounts]]\nid = \"a\"\naccess_token = \"x\"\n", 0o400, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			name := filepath.Join(t.TempDir(), "my config.toml")
			if err := os.WriteFile(name, []byte(test.content), test.mode); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(name, test.mode); err != nil {
				t.Fatal(err)
			}
			_, err := config.Load(name)
			if !test.refused {
				if err != nil {
					t.Error(err)
				}
				return
			}
			ps := problems(t, err)
			if len(ps) != 1 || ps[0].Suggestion != "run: chmod 600 '"+name+"'" {
				t.Errorf("%+v", ps)
			}
		})
	}
}

func TestUnreadableFileIsAnErrorAndNotTheDefaults(t *testing.T) {
	t.Parallel()
	if _, err := config.Load(t.TempDir()); err == nil {
		t.Error("a folder was read as a file")
	}
}

func TestFileNamesAreMadeAbsolute(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("USERPROFILE", home)
	name := file(t, "[server]\ntls_cert = \"~/a.pem\"\ntls_key = \"sub/b.pem\"\n[proxy_mode]\nca_dir = \"/abs\"\n")
	c, err := config.Load(name)
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(home, "a.pem"); c.Server.TLSCert != want {
		t.Errorf("got %s, want %s", c.Server.TLSCert, want)
	}
	if want := filepath.Join(filepath.Dir(name), "sub", "b.pem"); c.Server.TLSKey != want {
		t.Errorf("got %s, want %s", c.Server.TLSKey, want)
	}
	if runtime.GOOS != "windows" && c.ProxyMode.CADir != "/abs" {
		t.Errorf("got %s", c.ProxyMode.CADir)
	}
}

func TestListenersThatCollide(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		server, proxy string
		port          int
		collide       bool
	}{
		{"127.0.0.1", "127.0.0.1", 4142, true},
		{"127.0.0.1", "127.0.0.1", 0, false},
		{"127.0.0.1", "127.0.0.2", 4142, false},
		{"0.0.0.0", "127.0.0.1", 4142, true},
		{"0.0.0.0", "10.0.0.1", 4142, true},
		{"::", "10.0.0.1", 4142, true},
		{"localhost", "127.0.0.1", 4142, true},
		{"::1", "127.0.0.1", 4142, false},
		{"0.0.0.0", "::1", 4142, false},
		{"box.lan", "0.0.0.0", 4142, true},
		{"box.lan", "10.0.0.1", 4142, false},
	} {
		c, err := config.Load(file(t, fmt.Sprintf("[server]\nhost=%q\nport=%d\n[proxy_mode]\nhost=%q\nport=%d\n", test.server, test.port, test.proxy, test.port)))
		if (err != nil) != test.collide {
			t.Errorf("%s and %s at %d: %v", test.server, test.proxy, test.port, err)
		}
		if err == nil && c == nil {
			t.Error("neither error nor configuration")
		}
	}
	_, err := config.Load(file(t, "\n[server]\nport = 4142\n"))
	if ps := problems(t, err); ps[0].Line != 3 || ps[0].Key != "server.port" {
		t.Errorf("%v", ps)
	}
}

func TestValuesAsPeopleWriteThem(t *testing.T) {
	t.Parallel()
	c, err := config.Load(file(t, `
server = { port = 1, require_keys = true }
proxy_mode.allowed_ports = [
  443, # usual
  8443,
]
proxy_mode.allow_private = ["10.1.2.3/8", "fd00::/8"]
limits.request_body = 1048576
limits.sse_event = "2 MB"
"models".'alias'."gpt-4.1" = """a"""
retry.multiplier = 3
accounts = [{ id = "x", enabled = false, settings = { a = "b" } }]
`))
	if err != nil {
		t.Fatal(err)
	}
	if c.Server.Port != 1 || c.Server.RequireKeys != "true" || !c.Server.NeedsKeys("127.0.0.1") ||
		!slices.Equal(c.ProxyMode.AllowedPorts, []int{443, 8443}) ||
		!slices.Equal(c.ProxyMode.AllowPrivate, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}) ||
		c.Limits.RequestBody != 1<<20 || c.Limits.SSEEvent != 2e6 || c.Models.Alias["gpt-4.1"] != "a" || c.Retry.Multiplier != 3 ||
		len(c.Accounts) != 1 || !c.Accounts[0].Disabled || c.Accounts[0].Settings["a"] != "b" || c.Accounts[0].Provider != "github-copilot" {
		t.Errorf("%+v", c)
	}
}

func TestNeedsKeys(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		setting, host string
		want          bool
	}{
		{"auto", "127.0.0.1", false}, {"auto", "::1", false}, {"auto", "localhost", false}, {"auto", "[::1]", false},
		{"auto", "0.0.0.0", true}, {"auto", "::", true}, {"auto", "", true}, {"auto", "192.168.1.5", true}, {"auto", "box.lan", true},
		{"true", "127.0.0.1", true}, {"false", "0.0.0.0", false},
	} {
		s := config.Server{RequireKeys: test.setting}
		if got := s.NeedsKeys(test.host); got != test.want {
			t.Errorf("%s at %s: %v", test.setting, test.host, got)
		}
	}
}
