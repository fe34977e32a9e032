package copilot_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"detour/providers/copilot"
)

// home is a throw-away home folder with files in it.
func home(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func show(dir string, list []copilot.Candidate) string {
	var b strings.Builder
	for _, c := range list {
		fmt.Fprintf(&b, "%s %q %s %s %v\n", strings.TrimPrefix(c.Token.Reveal(), marker), c.User, c.Host, strings.ReplaceAll(filepath.ToSlash(strings.TrimPrefix(c.Source, dir)), "\\", "/"), c.Direct)
	}
	return b.String()
}

func noGH(context.Context, string, ...string) ([]byte, error) {
	return nil, errors.New("not installed")
}

func TestImport(t *testing.T) {
	t.Parallel()
	const hosts = "github.com:\n    user: octocat\n    oauth_token: " + marker + "active\n    git_protocol: https\n    users:\n        octocat:\n            oauth_token: " + marker + "active\n        hubot:\n            oauth_token: " + marker + "second\nacme.ghe.com:\n    user: worker\n    git_protocol: ssh\n"
	ghAnswers := func(_ context.Context, name string, args ...string) ([]byte, error) {
		switch strings.Join(append([]string{name}, args...), " ") {
		case "gh auth token --hostname github.com":
			return []byte(marker + "active\n"), nil
		case "gh auth token --hostname acme.ghe.com":
			return []byte(marker + "keyring\n"), nil
		}
		return nil, errors.New("no oauth token")
	}
	for name, tc := range map[string]struct {
		source copilot.ImportSource
		files  map[string]string
		env    map[string]string // ~ stands for the home folder
		goos   string
		run    func(context.Context, string, ...string) ([]byte, error)
		o      copilot.ImportOptions
		want   string
		err    string // part of it; "" means none
	}{
		"gh, file only": {source: copilot.ImportGH, files: map[string]string{".config/gh/hosts.yml": hosts},
			want: `active "octocat" github.com /.config/gh/hosts.yml true` + "\n" + `second "hubot" github.com /.config/gh/hosts.yml true` + "\n"},
		"gh, program and file": {source: copilot.ImportGH, files: map[string]string{".config/gh/hosts.yml": hosts}, run: ghAnswers,
			want: `keyring "worker" acme.ghe.com gh auth token true` + "\n" + `active "octocat" github.com gh auth token true` + "\n" + `second "hubot" github.com /.config/gh/hosts.yml true` + "\n"},
		"gh, program only":     {source: copilot.ImportGH, run: ghAnswers, want: `active "" github.com gh auth token true` + "\n"},
		"gh, one host":         {source: copilot.ImportGH, run: ghAnswers, o: copilot.ImportOptions{Host: "https://Acme.ghe.com/"}, want: `keyring "" acme.ghe.com gh auth token true` + "\n"},
		"gh, own folder":       {source: copilot.ImportGH, files: map[string]string{"x/hosts.yml": hosts}, env: map[string]string{"GH_CONFIG_DIR": "~/x"}, o: copilot.ImportOptions{Host: "github.com"}, want: `active "octocat" github.com /x/hosts.yml true` + "\n" + `second "hubot" github.com /x/hosts.yml true` + "\n"},
		"gh, XDG":              {source: copilot.ImportGH, files: map[string]string{"c/gh/hosts.yml": "github.com:\n  oauth_token: " + marker + "x\n"}, env: map[string]string{"XDG_CONFIG_HOME": "~/c"}, want: `x "" github.com /c/gh/hosts.yml true` + "\n"},
		"gh, windows":          {source: copilot.ImportGH, goos: "windows", files: map[string]string{"r/GitHub CLI/hosts.yml": "github.com:\n  oauth_token: " + marker + "x\n"}, env: map[string]string{"AppData": "~/r"}, want: `x "" github.com /r/GitHub CLI/hosts.yml true` + "\n"},
		"gh, nothing":          {source: copilot.ImportGH},
		"gh, empty file":       {source: copilot.ImportGH, files: map[string]string{".config/gh/hosts.yml": ""}},
		"gh, corrupt":          {source: copilot.ImportGH, files: map[string]string{".config/gh/hosts.yml": "github.com:\n\t- " + marker + ": [\n"}, err: "gh/hosts.yml: it is not the YAML"},
		"gh, list":             {source: copilot.ImportGH, files: map[string]string{".config/gh/hosts.yml": "- " + marker + "\n"}, err: "gh/hosts.yml: it is not the YAML"},
		"gh, corrupt but runs": {source: copilot.ImportGH, files: map[string]string{".config/gh/hosts.yml": "{"}, run: ghAnswers, want: `active "" github.com gh auth token true` + "\n", err: "gh/hosts.yml"},
		"plugin": {source: copilot.ImportPlugin, files: map[string]string{
			".config/github-copilot/apps.json":  `{"github.com:Iv1.b507a08c87ecfe98":{"user":"u","oauth_token":"` + marker + `app","githubAppId":"Iv1"},"acme.ghe.com:Iv1":{"token":"` + marker + `ghe"},"github.com:x":{"user":"nobody"},"github.com:y":7}`,
			".config/github-copilot/hosts.json": `{"github.com":{"user":"u","oauth_token":"` + marker + `old"},"github.com:z":{"oauth_token":"` + marker + `app"}}`,
		}, want: `app "u" github.com /.config/github-copilot/apps.json false` + "\n" + `ghe "" acme.ghe.com /.config/github-copilot/apps.json false` + "\n" + `old "u" github.com /.config/github-copilot/hosts.json false` + "\n"},
		"plugin, windows": {source: copilot.ImportPlugin, goos: "windows", files: map[string]string{"l/github-copilot/hosts.json": `{"github.com":{"oauth_token":"` + marker + `w"}}`}, env: map[string]string{"LOCALAPPDATA": "~/l"}, want: `w "" github.com /l/github-copilot/hosts.json false` + "\n"},
		"plugin, one corrupt": {source: copilot.ImportPlugin, files: map[string]string{".config/github-copilot/apps.json": `{"a":` + marker, ".config/github-copilot/hosts.json": `{"github.com":{"oauth_token":"` + marker + `old"}}`},
			want: `old "" github.com /.config/github-copilot/hosts.json false` + "\n", err: "apps.json: it is not a JSON object"},
		"plugin, too large":       {source: copilot.ImportPlugin, files: map[string]string{".config/github-copilot/apps.json": `{"a":"` + strings.Repeat("x", 2<<20) + `"}`}, err: "apps.json: larger than"},
		"plugin, nothing":         {source: copilot.ImportPlugin},
		"plugin, token no header": {source: copilot.ImportPlugin, files: map[string]string{".config/github-copilot/apps.json": `{"github.com":{"oauth_token":"a\nb"},"not a host!":{"oauth_token":"x"}}`}},
		"opencode":                {source: copilot.ImportOpenCode, files: map[string]string{".local/share/opencode/auth.json": `{"github-copilot":{"type":"oauth","refresh":"` + marker + `r","access":"` + marker + `a","expires":0},"anthropic":{"type":"api","key":"` + marker + `k"}}`}, want: `r "" github.com /.local/share/opencode/auth.json true` + "\n"},
		"opencode, enterprise":    {source: copilot.ImportOpenCode, files: map[string]string{"d/opencode/auth.json": `{"github-copilot":{"access":"` + marker + `a","enterpriseUrl":"https://acme.ghe.com"}}`}, env: map[string]string{"XDG_DATA_HOME": "~/d"}, want: `a "" acme.ghe.com /d/opencode/auth.json true` + "\n"},
		"opencode, corrupt":       {source: copilot.ImportOpenCode, files: map[string]string{".local/share/opencode/auth.json": `[]`}, err: "opencode/auth.json: it is not a JSON object"},
		"opencode, nothing":       {source: copilot.ImportOpenCode},
		"env, the first wins":     {source: copilot.ImportEnv, env: map[string]string{"COPILOT_GITHUB_TOKEN": marker + "c", "GH_TOKEN": marker + "g", "GITHUB_TOKEN": marker + "h"}, want: `c "" github.com COPILOT_GITHUB_TOKEN false` + "\n"},
		"env, blank is unset":     {source: copilot.ImportEnv, env: map[string]string{"COPILOT_GITHUB_TOKEN": " ", "GH_TOKEN": marker + "g\n", "GITHUB_TOKEN": marker + "h"}, want: `g "" github.com GH_TOKEN false` + "\n"},
		"env, last":               {source: copilot.ImportEnv, env: map[string]string{"GITHUB_TOKEN": marker + "h"}, want: `h "" github.com GITHUB_TOKEN false` + "\n"},
		"env, a named one":        {source: copilot.ImportEnv, env: map[string]string{"MINE": marker + "m", "GH_TOKEN": marker + "g"}, o: copilot.ImportOptions{Variable: "MINE"}, want: `m "" github.com MINE false` + "\n"},
		"env, a named one unset":  {source: copilot.ImportEnv, o: copilot.ImportOptions{Variable: "MINE"}, err: "variable MINE is not set"},
		"env, none":               {source: copilot.ImportEnv},
		"unknown":                 {source: "copilot-plugins", err: `did you mean "copilot-plugin"?`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := home(t, tc.files)
			i := copilot.Importer{GOOS: tc.goos, Run: tc.run, Env: func(name string) string {
				if v, ok := tc.env[name]; ok {
					return strings.Replace(v, "~", dir, 1)
				}
				if name == "HOME" && tc.goos != "windows" {
					return dir
				}
				return ""
			}}
			if i.GOOS == "" {
				i.GOOS = "linux"
			}
			if i.Run == nil {
				i.Run = noGH
			}
			list, err := i.Candidates(t.Context(), tc.source, tc.o)
			if got := show(dir, list); got != tc.want {
				t.Errorf("found\n%swant\n%s", got, tc.want)
			}
			if (err == nil) != (tc.err == "") || !strings.Contains(fmt.Sprint(err), tc.err) {
				t.Errorf("error %v, want %q", err, tc.err)
			}
			if strings.Contains(fmt.Sprintf("%v %+v", err, list), marker) {
				t.Errorf("a secret is shown: %v", err)
			}
		})
	}
}

func TestImportReadsNoPipe(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "opencode", "auth.json"), 0o700); err != nil { // a folder will do for a pipe
		t.Fatal(err)
	}
	i := copilot.Importer{GOOS: "linux", Env: func(name string) string {
		return map[string]string{"XDG_DATA_HOME": dir}[name]
	}}
	if _, err := i.Candidates(t.Context(), copilot.ImportOpenCode, copilot.ImportOptions{}); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("error %v", err)
	}
}

// The GitHub CLI answers with GH_TOKEN when that is set, which is not the sign-in that it saved.
func TestImportRunsGHWithoutTheVariables(t *testing.T) {
	dir := t.TempDir()
	script := "#!/bin/sh\n[ \"$1 $2\" = \"auth token\" ] && echo \"" + marker + "saved$GH_TOKEN$GITHUB_TOKEN\"\n"
	if err := os.WriteFile(filepath.Join(dir, "gh"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	t.Setenv("HOME", dir)
	t.Setenv("XDG_CONFIG_HOME", "")
	t.Setenv("GH_CONFIG_DIR", "")
	t.Setenv("GH_TOKEN", "wrong")
	t.Setenv("GITHUB_TOKEN", "wrong")
	if filepath.Separator != '/' {
		t.Skip("needs a Unix shell")
	}
	list, err := (copilot.Importer{}).Candidates(t.Context(), copilot.ImportGH, copilot.ImportOptions{})
	if err != nil || show(dir, list) != `saved "" github.com gh auth token true`+"\n" {
		t.Errorf("found %s, %v", show(dir, list), err)
	}
}

func FuzzImport(f *testing.F) {
	f.Add("github.com:\n  oauth_token: x\n  users: {a: {oauth_token: b}}\n", `{"github.com":{"oauth_token":"x"}}`)
	f.Add("a: &a [*a]\n", `{"github-copilot":{"refresh":7}}`)
	f.Add("a: &a {b: &b {c: 1}}\nd: [*a, *a, *b]\n", `{"":{"token":""}}`)
	f.Fuzz(func(t *testing.T, yml, js string) {
		dir := home(t, map[string]string{"gh/hosts.yml": yml, "github-copilot/apps.json": js, "github-copilot/hosts.json": js, "opencode/auth.json": js})
		i := copilot.Importer{GOOS: "linux", Run: noGH, Env: func(name string) string {
			return map[string]string{"XDG_DATA_HOME": dir, "XDG_CONFIG_HOME": dir}[name]
		}}
		for _, source := range []copilot.ImportSource{copilot.ImportGH, copilot.ImportPlugin, copilot.ImportOpenCode} {
			list, _ := i.Candidates(t.Context(), source, copilot.ImportOptions{})
			for _, c := range list {
				if c.Token.IsZero() || strings.ContainsAny(c.Token.Reveal(), " \r\n\x00") || c.Host == "" {
					t.Errorf("%s: %q at %q", source, c.Token.Reveal(), c.Host)
				}
			}
		}
	})
}
