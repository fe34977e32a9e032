package config_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"detour/internal/config"
	"detour/internal/privfile"
	"detour/internal/secret"
)

func full() config.Account {
	return config.Account{
		ID: "me", Provider: "github-copilot", AuthType: "bearer", RefreshToken: secret.New("gho_marker\"\\\n"), AccessToken: secret.New("tid=marker;exp"),
		AccessTokenExpiresAt: time.Unix(1730000000, 0), RefreshURL: "https://api.github.com/x", APIKey: secret.New("sk-marker"),
		GitHubToken: secret.New("ghu_marker"), BaseURL: "https://api.example.com", Tier: "fallback", Disabled: true,
		Settings: map[string]string{"user_agent": "x/1", "a.b": "c d", "empty": ""}, Source: "accounts.toml",
	}
}

// same compares accounts with their credentials.
func same(a, b config.Account) bool {
	show := func(a config.Account) string {
		return strings.Join([]string{a.RefreshToken.Reveal(), a.AccessToken.Reveal(), a.APIKey.Reveal(), a.GitHubToken.Reveal()}, "|")
	}
	if show(a) != show(b) {
		return false
	}
	for _, x := range []*config.Account{&a, &b} {
		x.RefreshToken, x.AccessToken, x.APIKey, x.GitHubToken = secret.String{}, secret.String{}, secret.String{}, secret.String{}
	}
	return reflect.DeepEqual(a, b)
}

func TestSavedAccountComesBack(t *testing.T) {
	t.Parallel()
	f := filepath.Join(t.TempDir(), "new", "accounts.toml")
	if got, err := config.LoadAccounts(f); err != nil || got != nil {
		t.Fatalf("missing file: %v, %v", got, err)
	}
	a := full()
	b := config.Account{ID: "other"}
	for _, x := range []config.Account{b, a, a} {
		if err := config.SaveAccount(f, x); err != nil {
			t.Fatal(err)
		}
	}
	got, err := config.LoadAccounts(f)
	if err != nil || len(got) != 2 {
		t.Fatalf("%v, %v", got, err)
	}
	if !same(got[1], a) {
		t.Errorf("got %+v\nwant %+v", got[1], a)
	}
	if got[0].ID != "other" || got[0].Tier != "active" || got[0].Provider != "github-copilot" || got[0].Disabled {
		t.Errorf("%+v", got[0])
	}
	if info, err := os.Stat(f); runtime.GOOS != "windows" && (err != nil || info.Mode().Perm() != 0o600) {
		t.Errorf("mode %v", info.Mode())
	}
	small := config.Account{ID: "me", Provider: "openai", APIKey: secret.New("sk-2"), Settings: map[string]string{"user_agent": "y"}, Tier: "active", Source: "accounts.toml"}
	if err := config.SaveAccount(f, small); err != nil {
		t.Fatal(err)
	}
	if got, err = config.LoadAccounts(f); err != nil || !same(got[1], small) {
		t.Errorf("replaced: %+v, %v", got, err)
	}
	if strings.Contains(read(t, f), "marker") {
		t.Error("an old credential stays in the file")
	}
}

func TestAccountsKeepCommentsAndEachOther(t *testing.T) {
	t.Parallel()
	const before = "# my accounts\n\n[[accounts]] # work\nid = \"work\"\napi_key = 'k' # from the vault\n\n[accounts.settings]\nx = \"1\"\n\n# at home\n[[accounts]]\nid = \"home\"\n"
	f := file(t, before)
	if err := config.SetAccountEnabled(f, "work", false); err != nil {
		t.Fatal(err)
	}
	if got, want := read(t, f), strings.Replace(before, "vault\n", "vault\nenabled = false\n", 1); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	if err := config.SetAccountEnabled(f, "work", true); err != nil || read(t, f) != before {
		t.Errorf("%v\n%s", err, read(t, f))
	}
	if err := config.RemoveAccount(f, "work"); err != nil || read(t, f) != "# my accounts\n\n# at home\n[[accounts]]\nid = \"home\"\n" {
		t.Errorf("%v\n%s", err, read(t, f))
	}
	if err := config.RemoveAccount(f, "home"); err != nil {
		t.Error(err)
	}
	if got, err := config.LoadAccounts(f); err != nil || len(got) != 0 {
		t.Errorf("%v, %v", got, err)
	}
	if err := config.RemoveAccount(f, "home"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("remove twice: %v", err)
	}
	if err := config.SetAccountEnabled(f, "home", true); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("enable a missing one: %v", err)
	}
}

func TestAccountsFileThatCannotBeTrusted(t *testing.T) {
	t.Parallel()
	const good = "[[accounts]]\nid = \"a\"\napi_key = \"secretmarker\"\n"
	dir := t.TempDir()
	for _, test := range []struct {
		name, content string
		mode          os.FileMode
		says          string
	}{
		{"loose", good, 0o644, "chmod 600"},
		{"writable by the group", good, 0o620, "chmod 600"},
		{"half written", good + "[[acc", 0o600, "move it away"},
		{"unknown key", good + "tokn = \"secretmarker\"\n", 0o600, "move it away"},
		{"other section", good + "[server]\nport = 1\n", 0o600, "config.toml"},
		{"binary", "\x00\x01\xff", 0o600, "move it away"},
		{"bare token", good + "refresh_token = secretmarker\n", 0o600, "move it away"},
	} {
		if runtime.GOOS == "windows" && test.mode != 0o600 {
			continue
		}
		f := filepath.Join(dir, strings.ReplaceAll(test.name, " ", "-")+".toml")
		if err := os.WriteFile(f, []byte(test.content), test.mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(f, test.mode); err != nil {
			t.Fatal(err)
		}
		_, load := config.LoadAccounts(f)
		for verb, err := range map[string]error{
			"load": load, "save": config.SaveAccount(f, config.Account{ID: "b"}), "remove": config.RemoveAccount(f, "a"), "disable": config.SetAccountEnabled(f, "a", false),
		} {
			if err == nil || !strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), f) {
				t.Errorf("%s, %s: %v", test.name, verb, err)
			} else if strings.Contains(err.Error(), "secretmarker") {
				t.Errorf("%s, %s: the message shows a credential: %v", test.name, verb, err)
			}
		}
		if got := read(t, f); got != test.content {
			t.Errorf("%s: changed to %q", test.name, got)
		}
	}
}

func TestAccountsFileMustNotBeALink(t *testing.T) {
	t.Parallel()
	target := file(t, "[[accounts]]\nid = \"a\"\n")
	link := filepath.Join(t.TempDir(), "accounts.toml")
	if err := os.Symlink(target, link); err != nil {
		t.Skipf("no symbolic links here: %v", err)
	}
	if _, err := config.LoadAccounts(link); err == nil || !strings.Contains(err.Error(), "symbolic link") {
		t.Errorf("load: %v", err)
	}
	if err := config.SaveAccount(link, config.Account{ID: "b"}); err == nil {
		t.Error("saved through a link")
	}
	if got := read(t, target); got != "[[accounts]]\nid = \"a\"\n" {
		t.Errorf("target changed: %s", got)
	}
}

func TestSaveAccountRefusesWhatItCannotKeep(t *testing.T) {
	t.Parallel()
	for name, a := range map[string]config.Account{
		"no id":             {},
		"space in id":       {ID: "a b"},
		"tier":              {ID: "a", Tier: "gold"},
		"URL":               {ID: "a", BaseURL: "https://u:secretmarker@h"},
		"token not UTF-8":   {ID: "a", APIKey: secret.New("secretmarker\xff")},
		"setting not UTF-8": {ID: "a", Settings: map[string]string{"k": "\xff"}},
		"setting's name":    {ID: "a", Settings: map[string]string{"": "x"}},
	} {
		f := filepath.Join(t.TempDir(), "accounts.toml")
		if err := config.SaveAccount(f, a); err == nil || strings.Contains(err.Error(), "secretmarker") {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(f); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: a file was written", name)
		}
	}
}

func TestConcurrentSavesAllHappen(t *testing.T) {
	t.Parallel()
	f := filepath.Join(t.TempDir(), "accounts.toml")
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			if err := config.SaveAccount(f, config.Account{ID: fmt.Sprint("a", i), APIKey: secret.New("k"), Settings: map[string]string{"i": fmt.Sprint(i)}}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	got, err := config.LoadAccounts(f)
	if err != nil || len(got) != 16 {
		t.Errorf("%d accounts, %v", len(got), err)
	}
	for _, a := range got {
		if "a"+a.Settings["i"] != a.ID {
			t.Errorf("%s has the settings of a%s", a.ID, a.Settings["i"])
		}
	}
}

func TestInstall(t *testing.T) {
	t.Parallel()
	f := filepath.Join(t.TempDir(), "new", "install.json")
	var wg sync.WaitGroup
	made := make([]*config.Install, 8)
	for i := range made {
		wg.Go(func() {
			in, err := config.LoadInstall(f)
			if err != nil {
				t.Error(err)
			}
			made[i] = in
		})
	}
	wg.Wait()
	first := made[0]
	for _, in := range made {
		if in.DeviceID != first.DeviceID || in.MachineID != first.MachineID || !in.ProxySecret.Equal(first.ProxySecret) || !in.CarrierKey.Equal(first.CarrierKey) {
			t.Error("two identities were made at once")
		}
	}
	if len(first.CarrierKey.Reveal()) != 32 || len(first.MachineID) != 64 || len(first.ProxySecret.Reveal()) != 32 || first.DeviceID[14] != '4' {
		t.Errorf("%+v", first)
	}
	if s := fmt.Sprintf("%+v", first); strings.Contains(s, first.ProxySecret.Reveal()) {
		t.Error("the secret can be printed")
	}
	if info, err := os.Stat(f); runtime.GOOS != "windows" && (err != nil || info.Mode().Perm() != 0o600) {
		t.Errorf("mode %v", info.Mode())
	}
	other, err := config.LoadInstall(filepath.Join(t.TempDir(), "install.json"))
	if err != nil || other.MachineID == first.MachineID || other.CarrierKey.Equal(first.CarrierKey) {
		t.Errorf("two installations are alike: %v", err)
	}
}

func TestDamagedInstallIsLeftAlone(t *testing.T) {
	t.Parallel()
	f := filepath.Join(t.TempDir(), "install.json")
	if _, err := config.LoadInstall(f); err != nil {
		t.Fatal(err)
	}
	whole := read(t, f)
	for _, content := range []string{"", "{}", whole[:len(whole)/2], strings.Replace(whole, `"carrier_key": "`, `"carrier_key": "AA`, 1), strings.Replace(whole, `"device_id": "`, `"device_id": "x`, 1)} {
		if err := os.WriteFile(f, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := config.LoadInstall(f); err == nil || !strings.Contains(err.Error(), f) || !strings.Contains(err.Error(), "move it away") {
			t.Errorf("%q: %v", content, err)
		}
		if read(t, f) != content {
			t.Errorf("%q was overwritten", content)
		}
	}
	if runtime.GOOS == "windows" {
		return
	}
	if err := os.WriteFile(f, []byte(whole), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(f, 0o604); err != nil {
		t.Fatal(err)
	}
	if _, err := config.LoadInstall(f); err == nil {
		t.Error("a loose file was read")
	} else if _, ok := errors.AsType[*privfile.LooseError](err); !ok {
		t.Errorf("%v", err)
	}
}

func TestFindPaths(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("the cases are for Unix")
	}
	at := func(home, cfg, data, state string) config.Paths {
		return config.Paths{
			Home: home, Config: cfg, Accounts: home + "/accounts.toml", Keys: home + "/keys.json", Install: home + "/install.json", CADir: home + "/ca", Data: data, State: state,
		}
	}
	for _, test := range []struct {
		name string
		env  map[string]string
		want config.Paths
	}{
		{"home", map[string]string{"HOME": "/h"}, at("/h/.config/detour", "/h/.config/detour/config.toml", "/h/.local/share/detour", "/h/.local/state/detour")},
		{"XDG", map[string]string{"HOME": "/h", "XDG_CONFIG_HOME": "/c", "XDG_DATA_HOME": "/d", "XDG_STATE_HOME": "/s"}, at("/c/detour", "/c/detour/config.toml", "/d/detour", "/s/detour")},
		{"relative XDG", map[string]string{"HOME": "/h", "XDG_CONFIG_HOME": "c"}, at("/h/.config/detour", "/h/.config/detour/config.toml", "/h/.local/share/detour", "/h/.local/state/detour")},
		{"DETOUR_CONFIG", map[string]string{"HOME": "/h", "DETOUR_CONFIG": "/x/my.toml", "XDG_CONFIG_HOME": "/c"}, at("/x", "/x/my.toml", "/h/.local/share/detour", "/h/.local/state/detour")},
		{"DETOUR_HOME", map[string]string{"DETOUR_HOME": "/x/", "DETOUR_CONFIG": "/y/my.toml"}, at("/x", "/x/config.toml", "/x/data", "/x/state")},
	} {
		got, err := config.FindPaths(func(k string) string { return test.env[k] })
		if err != nil || got != test.want {
			t.Errorf("%s: %v\n got %+v\nwant %+v", test.name, err, got, test.want)
		}
	}
	if _, err := config.FindPaths(func(string) string { return "" }); err == nil || !strings.Contains(err.Error(), "DETOUR_HOME") {
		t.Errorf("without a home: %v", err)
	}
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := config.FindPaths(func(k string) string { return map[string]string{"DETOUR_HOME": "rel"}[k] }); err != nil || got.Home != filepath.Join(wd, "rel") {
		t.Errorf("relative: %+v, %v", got, err)
	}
}
