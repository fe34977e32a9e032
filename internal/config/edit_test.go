package config_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"detour/internal/config"
)

func read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestEditsTouchNothingElse(t *testing.T) {
	t.Parallel()
	set := func(key, value string) func(string) error {
		return func(f string) error { return config.Set(f, key, value) }
	}
	account := func(id, key, value string) func(string) error {
		return func(f string) error { return config.SetAccount(f, id, key, value) }
	}
	unset := func(key string) func(string) error { return func(f string) error { return config.Unset(f, key) } }
	add := func(key, value string) func(string) error {
		return func(f string) error { return config.Add(f, key, value) }
	}
	const two = "# mine\n[[accounts]] # first\nid = \"a\"\n  tier = 'active' # t\n\n[accounts.settings]\nx = \"1\"\n\n# second\n[[accounts]]\nid = \"b\"\n\n# door\n[server]\nport = 1\n"
	for _, test := range []struct {
		name         string
		edit         func(string) error
		before, want string
	}{
		{"value in place", set("server.port", "8080"), "# a\n[server] # b\n  port   =  4141   # c\n# d\n", "# a\n[server] # b\n  port   =  8080   # c\n# d\n"},
		{"string form is kept around", set("log.level", "debug"), "[log]\nlevel = 'info'# c", "[log]\nlevel = \"debug\"# c"},
		{"new key in its section", set("server.host", "::1"), "[server]\n  port = 1 # c\n\n# about the log\n[log]\nlevel = \"info\"\n", "[server]\n  port = 1 # c\n  host = \"::1\"\n\n# about the log\n[log]\nlevel = \"info\"\n"},
		{"new key in an empty section", set("server.port", "1"), "[server]\n# nothing yet\n\n[log]\n", "[server]\nport = 1\n# nothing yet\n\n[log]\n"},
		{"new section", set("server.port", "1"), "[log]\nlevel = \"info\"", "[log]\nlevel = \"info\"\n\n[server]\nport = 1\n"},
		{"new section in an empty file", set("server.port", "1"), "", "[server]\nport = 1\n"},
		{"new section after comments only", set("server.port", "1"), "# mine\n", "# mine\n\n[server]\nport = 1\n"},
		{"new section beside its parent", set("proxy_mode.provider_modes.openai", "switch"), "[proxy_mode]\nport = 1\n\n# log\n[log]\nlevel = \"info\"\n", "[proxy_mode]\nport = 1\n\n[proxy_mode.provider_modes]\nopenai = \"switch\"\n\n# log\n[log]\nlevel = \"info\"\n"},
		{"quoted name", set(`models.alias."gpt-4.1"`, "x"), "[models.alias]\na = \"b\"\n", "[models.alias]\na = \"b\"\n\"gpt-4.1\" = \"x\"\n"},
		{"unquoted name with dots", set("proxy_mode.hosts.api.openai.com:443", "127.0.0.1:1"), "[proxy_mode.hosts]\n", "[proxy_mode.hosts]\n\"api.openai.com:443\" = \"127.0.0.1:1\"\n"},
		{"name in other quotes", set("models.alias.'a b'", "x"), "[models]\n[models.alias]\n\"a b\" = 'y' # c\n", "[models]\n[models.alias]\n\"a b\" = \"x\" # c\n"},
		{"dotted keys", set("server.host", "::1"), "log.level = \"info\"\nserver.port = 1\n[pool]\n", "log.level = \"info\"\nserver.port = 1\nserver.host = \"::1\"\n[pool]\n"},
		{"dotted keys below a header", set("proxy_mode.ca.key", "/k"), "[proxy_mode]\nca.cert = \"/c\"\nca.key = \"/x\"\n", "[proxy_mode]\nca.cert = \"/c\"\nca.key = \"/k\"\n"},
		{"new dotted key below a header", set("proxy_mode.provider_modes.zai", "route"), "[proxy_mode]\nprovider_modes.openai = \"route\"\nport = 1\n", "[proxy_mode]\nprovider_modes.openai = \"route\"\nprovider_modes.zai = \"route\"\nport = 1\n"},
		{"inline table", set("server.port", "2"), "server = { port = 1, host = \"::1\" } # c\n", "server = { port = 2, host = \"::1\" } # c\n"},
		{"new key in an inline table", set("server.port", "2"), "server = { host = \"::1\" }\n", "server = { host = \"::1\", port = 2 }\n"},
		{"new key in an empty inline table", set("models.alias.a", "b"), "[models]\nalias = {}\n", "[models]\nalias = { a = \"b\" }\n"},
		{"new deep key in an inline table", set("models.alias.a", "b"), "models = { }\n", "models = { alias.a = \"b\"  }\n"},
		{"list over lines", set("proxy_mode.allowed_ports", "443"), "[proxy_mode]\nallowed_ports = [\n 1, # c\n 2,\n] # d\nport = 3\n", "[proxy_mode]\nallowed_ports = [443] # d\nport = 3\n"},
		{"list as a list", set("proxy.no_proxy", `["a", 'b' ]`), "[proxy]\n", "[proxy]\nno_proxy = [\"a\", \"b\"]\n"},
		{"empty list", set("proxy.no_proxy", ""), "[proxy]\nno_proxy = [\"a\"]\n", "[proxy]\nno_proxy = []\n"},
		{"add", add("proxy.no_proxy", "b"), "[proxy]\nno_proxy = ['a'] # c\n", "[proxy]\nno_proxy = ['a', \"b\"] # c\n"},
		{"add to an empty list", add("proxy.no_proxy", "b"), "[proxy]\nno_proxy = [ ] # c\n", "[proxy]\nno_proxy = [\"b\" ] # c\n"},
		{"add behind a comma", add("proxy.no_proxy", "b"), "[proxy]\nno_proxy = ['a',]\n", "[proxy]\nno_proxy = ['a', \"b\",]\n"},
		{
			"add keeps comments in the list", add("proxy.no_proxy", "b"),
			"[proxy]\nno_proxy = [ # one\n  'a', # two, [three]\n  # four\n]\n", "[proxy]\nno_proxy = [ # one\n  'a', # two, [three]\n  \"b\",\n  # four\n]\n",
		},
		{"add without a comma", add("proxy.no_proxy", "b"), "[proxy]\nno_proxy = [\n\t'a' # two\n]\n", "[proxy]\nno_proxy = [\n\t'a', # two\n\t\"b\"\n]\n"},
		{"add without a comma before a comment's comma", add("proxy.no_proxy", "b"), "[proxy]\nno_proxy = [\n'a' # two,\n]\n", "[proxy]\nno_proxy = [\n'a', # two,\n\"b\"\n]\n"},
		{"add where a comma begins the line", add("proxy.no_proxy", "b"), "[proxy]\nno_proxy = [ 'x'\n  , 'a'\n  ]\n", "[proxy]\nno_proxy = [ 'x'\n  , 'a',\n  \"b\"\n  ]\n"},
		{"add where a comma stands alone", add("proxy.no_proxy", "b"), "[proxy]\nno_proxy = [ 'a'\n  ,\n  ]\n", "[proxy]\nno_proxy = [ 'a'\n  ,\n\"b\",\n  ]\n"},
		{"add after a bracket and a comma in text", add("proxy.no_proxy", "b"), "[proxy]\nno_proxy = [\"]#,\\\"\"]\n", "[proxy]\nno_proxy = [\"]#,\\\"\", \"b\"]\n"},
		{"add after long text", add("proxy.no_proxy", "b"), "[proxy]\nno_proxy = [" + `'''a'''''` + "]\n", "[proxy]\nno_proxy = [" + `'''a'''''` + ", \"b\"]\n"},
		{"add with line ends of Windows", add("proxy.no_proxy", "b"), "[proxy]\r\nno_proxy = [\r\n  'a',\r\n]\r\n", "[proxy]\r\nno_proxy = [\r\n  'a',\r\n  \"b\",\r\n]\r\n"},
		{"add what is there", add("proxy.no_proxy", "a"), "[proxy]\nno_proxy = [ 'a' ] # c\n", "[proxy]\nno_proxy = [ 'a' ] # c\n"},
		{"add to nothing", add("proxy_mode.allowed_ports", "443"), "", "[proxy_mode]\nallowed_ports = [443]\n"},
		{"switch to true", set("server.require_keys", "true"), "[server]\nrequire_keys = \"auto\"\n", "[server]\nrequire_keys = true\n"},
		{"CRLF", set("server.host", "::1"), "[server]\r\nport = 1\r\n", "[server]\r\nport = 1\r\nhost = \"::1\"\r\n"},
		{"byte order mark", set("server.port", "2"), "\xef\xbb\xbf[server]\nport = 1\n", "\xef\xbb\xbf[server]\nport = 2\n"},
		{"same value", set("server.port", "1"), "[server]\nport = 1\n", "[server]\nport = 1\n"},
		{"account in place", account("a", "tier", "fallback"), two, strings.Replace(two, "'active'", `"fallback"`, 1)},
		{"new key of an account", account("b", "tier", "fallback"), two, strings.Replace(two, "id = \"b\"\n", "id = \"b\"\ntier = \"fallback\"\n", 1)},
		{"setting of an account", account("a", "settings.x", "2"), two, strings.Replace(two, `x = "1"`, `x = "2"`, 1)},
		{"new setting of an account", account("a", "settings.y", "2"), two, strings.Replace(two, "x = \"1\"\n", "x = \"1\"\ny = \"2\"\n", 1)},
		{"first setting of an account", account("b", "settings.y", "2"), two, strings.Replace(two, "id = \"b\"\n", "id = \"b\"\n\n[accounts.settings]\ny = \"2\"\n", 1)},
		{"unset", unset("server.port"), "[server]\n# about the port\n  port = 1 # c\nhost = \"::1\"\n", "[server]\n# about the port\nhost = \"::1\"\n"},
		{"unset over lines", unset("proxy.no_proxy"), "[proxy]\nno_proxy = [\n'a',\n]\nsystem = true\n", "[proxy]\nsystem = true\n"},
		{"unset an entry", unset("models.alias.gpt-4.1"), "[models.alias]\n\"gpt-4.1\" = \"x\"\na = \"b\"\n", "[models.alias]\na = \"b\"\n"},
		{"unset a table", unset("models.alias"), "[models.alias]\n\"gpt-4.1\" = \"x\"\n\n[log]\nlevel = \"info\"\n", "[log]\nlevel = \"info\"\n"},
		{"unset a section", unset("proxy_mode"), "[server]\nport = 1\n\n[proxy_mode]\nport = 2\n[proxy_mode.ca]\ncert = \"a\"\nkey = \"b\"\n[log]\n", "[server]\nport = 1\n\n[log]\n"},
		{"unset first of an inline table", unset("server.port"), "server = { port = 1, host = \"::1\" }\n", "server = { host = \"::1\" }\n"},
		{"unset last of an inline table", unset("server.host"), "server = { port = 1, host = \"::1\" }\n", "server = { port = 1 }\n"},
		{"unset all of an inline table", unset("server.port"), "server = { port = 1 }\n", "server = { }\n"},
		{"unset a section that is none", unset("sever"), "[sever]\nport = 1\n[server]\nport = 2\n", "[server]\nport = 2\n"},
		{"unset a setting of an account", func(f string) error { return config.UnsetAccount(f, "a", "tier") }, two, strings.Replace(two, "  tier = 'active' # t\n", "", 1)},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := file(t, test.before)
			err := test.edit(f)
			if err != nil {
				t.Fatal(err)
			}
			if got := read(t, f); got != test.want {
				t.Errorf("got:\n%s\nwant:\n%s", got, test.want)
			}
		})
	}
}

func TestRefusedEditsChangeNothing(t *testing.T) {
	t.Parallel()
	const before = "[server]\nport = 1 # c\n[models.alias]\na = \"b\"\n[[accounts]]\nid = \"a\"\n[[accounts]]\nid = \"b\"\n"
	for _, test := range []struct {
		name string
		edit func(string) error
		says string
	}{
		{"wrong type", func(f string) error { return config.Set(f, "server.port", "many") }, "must be an integer"},
		{"out of range", func(f string) error { return config.Set(f, "server.port", "70000") }, "from 0 to 65535"},
		{"collision", func(f string) error { return config.Set(f, "proxy_mode.port", "1") }, "cannot both listen"},
		{"loop", func(f string) error { return config.Set(f, "models.alias.b", "a") }, "a → b → a"},
		{"no such setting", func(f string) error { return config.Set(f, "server.prot", "1") }, "did you mean server.port?"},
		{"section forgotten", func(f string) error { return config.Set(f, "strategy", "x") }, "did you mean pool.strategy?"},
		{"section", func(f string) error { return config.Set(f, "server", "1") }, "no setting"},
		{"account without its id", func(f string) error { return config.Set(f, "accounts.tier", "active") }, "name the account"},
		{"no such account", func(f string) error { return config.SetAccount(f, "c", "tier", "active") }, `no account "c"`},
		{"id of another account", func(f string) error { return config.SetAccount(f, "b", "id", "a") }, "another account"},
		{"no such setting of an account", func(f string) error { return config.SetAccount(f, "b", "teir", "active") }, "did you mean tier?"},
		{"not a list", func(f string) error { return config.Add(f, "server.port", "1") }, "not a list"},
		{"bad element", func(f string) error { return config.Add(f, "server.allowed_origins", "*") }, "entry 1"},
		{"not UTF-8", func(f string) error { return config.Set(f, "models.alias.x", "\xff") }, "UTF-8"},
		{"quotes that do not match", func(f string) error { return config.Set(f, `models.alias."x`, "y") }, "quotes"},
		{"nothing to remove", func(f string) error { return config.Unset(f, "log.level") }, "not set"},
		{"nothing such to remove", func(f string) error { return config.Unset(f, "server.prot") }, "no setting"},
		{"needed by another", func(f string) error { return config.UnsetAccount(f, "b", "id") }, "has no id"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := file(t, before)
			err := test.edit(f)
			if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v, want %q", err, test.says)
			}
			if got := read(t, f); got != before {
				t.Errorf("changed to:\n%s", got)
			}
		})
	}
}

func TestEditOfAFileWithMistakes(t *testing.T) {
	t.Parallel()
	f := file(t, "[server]\nport = \"x\"\nprot = 1\n")
	if err := config.Set(f, "log.level", "debug"); err == nil {
		t.Error("an edit that repairs nothing was accepted")
	}
	if err := config.Set(f, "server.port", "1"); err != nil {
		t.Errorf("repair of one of two mistakes: %v", err)
	}
	if err := config.Unset(f, "server.prot"); err != nil {
		t.Errorf("repair of the other: %v", err)
	}
	if _, err := config.Load(f); err != nil {
		t.Error(err)
	}
	broken := file(t, "[server\n")
	if err := config.Set(broken, "server.port", "1"); err == nil || read(t, broken) != "[server\n" {
		t.Errorf("a file with wrong syntax was edited: %v", err)
	}
}

func TestSetMakesAPrivateFileAndKeepsLinks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	name := filepath.Join(dir, "new", "config.toml")
	if err := config.Set(name, "server.port", "1"); err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode %v, %v", info.Mode(), err)
		}
		if info, err := os.Stat(filepath.Dir(name)); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("mode of the folder %v, %v", info.Mode(), err)
		}
	}
	link := filepath.Join(dir, "config.toml")
	if err := os.Symlink(name, link); err != nil {
		t.Skipf("no symbolic links here: %v", err)
	}
	if err := config.Set(link, "server.port", "2"); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Error("the link was replaced by a file")
	}
	if got := read(t, name); got != "[server]\nport = 2\n" {
		t.Errorf("got %q", got)
	}
}

func TestConcurrentEditsAllHappen(t *testing.T) {
	t.Parallel()
	f := filepath.Join(t.TempDir(), "config.toml")
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			if err := config.Set(f, fmt.Sprintf("models.alias.m%d", i), "x"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	c, err := config.Load(f)
	if err != nil || len(c.Models.Alias) != 20 {
		t.Errorf("%d aliases, %v", len(c.Models.Alias), err)
	}
	left, err := filepath.Glob(filepath.Join(filepath.Dir(f), "*"))
	if err != nil || len(left) != 2 {
		t.Errorf("files left: %v", left)
	}
}

func TestGetAndList(t *testing.T) {
	t.Parallel()
	f := file(t, "[server]\nallowed_hosts = ['a.b', \"c\"]\nrequire_keys = true\n[proxy]\nurl = \"http://u:secretmarker@h\"\n[models.alias]\n\"x.y\" = \"z\"\n[retry]\nmultiplier = 2.5\n[[accounts]]\nid = \"me\"\nrefresh_token = \"secretmarker\"\ntier = \"fallback\"\n")
	for key, want := range map[string]config.Value{
		"server.port":          {Value: "4141"},
		"server.allowed_hosts": {Value: `["a.b", "c"]`, Set: true, Line: 2},
		"server.require_keys":  {Value: "true", Set: true, Line: 3},
		"server.tls_cert":      {},
		"proxy.url":            {Value: "***", Set: true, Line: 5, Secret: true},
		"models.alias":         {Value: `{ "x.y" = "z" }`, Set: true, Line: 6},
		"models.alias.x.y":     {Value: "z", Set: true, Line: 7},
		`models.alias."x.y"`:   {Value: "z", Set: true, Line: 7},
		"models.alias.none":    {},
		"retry.multiplier":     {Value: "2.5", Set: true, Line: 9},
		"proxy.no_proxy":       {Value: "[]"},
	} {
		want.Key = key
		if got, err := config.Get(f, key); err != nil || got != want {
			t.Errorf("got %+v, %v\nwant %+v", got, err, want)
		}
	}
	if _, err := config.Get(f, "server.prot"); err == nil {
		t.Error("no error for a name that is no setting")
	}
	if got, err := config.GetAccount(f, "me", "tier"); err != nil || got.Value != "fallback" {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := config.GetAccount(f, "me", "refresh_token"); err != nil || got.Value != "***" {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := config.GetAccount(f, "you", "tier"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
	list, err := config.List(f)
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("%+v", list)
	for _, want := range []string{`Key:models.alias."x.y" Value:z`, "Key:accounts[0].tier Value:fallback", "Key:server.port Value:4141 Set:false", "Key:accounts[0].refresh_token Value:***"} {
		if !strings.Contains(text, want) {
			t.Errorf("list lacks %s", want)
		}
	}
	if strings.Contains(text, "secretmarker") {
		t.Error("list shows a credential")
	}
}
