package app_test

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"detour/internal/app"
	"detour/internal/config"
	"detour/router"
)

// What only a provider can tell about an account is a mistake of the file like any other: all at once, with lines.
func TestMistakesInAccountsAreAllReportedWithTheirLines(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	env := func(name string) string { return map[string]string{"DETOUR_HOME": home}[name] }
	paths, err := config.FindPaths(env)
	if err != nil {
		t.Fatal(err)
	}
	const content = `[[accounts]]
id = "one"
provider = "github-copilt"
github_token = "secretmarker"

[[accounts]]
id = "two"
github_token = "secretmarker"
[accounts.settings]
account_type = "team"
user_agnt = "x"

[[accounts]]
id = "three"
github_token = "secretmarker"
`
	if err := os.WriteFile(paths.Config, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := config.SaveAccount(paths.Accounts, config.Account{ID: "three", Provider: "github-copilot"}); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(paths.Config)
	if err != nil {
		t.Fatal(err)
	}
	_, err = app.NewUpstream(app.Options{Config: cfg, Paths: paths, Env: env, Logger: slog.New(slog.DiscardHandler)}, nil)
	invalid, ok := errors.AsType[*config.Invalid](err)
	if !ok {
		t.Fatalf("got %v, want *config.Invalid", err)
	}
	var lines []int
	for _, p := range invalid.Problems {
		lines = append(lines, p.Line)
	}
	slices.Sort(lines)
	if invalid.Path != paths.Config || !slices.Equal(lines, []int{3, 10, 11}) {
		t.Errorf("%s: lines %v", invalid.Path, lines)
	}
	for _, says := range []string{`did you mean "github-copilot"`, `did you mean "user_agent"`, `"team" is none of individual`} {
		if !strings.Contains(err.Error(), says) {
			t.Errorf("%v does not say %s", err, says)
		}
	}
	if strings.Contains(err.Error(), "secretmarker") {
		t.Error("a credential is in the message")
	}

	if err := os.WriteFile(paths.Config, []byte(content[strings.LastIndex(content, "[[accounts]]"):]), 0o600); err != nil {
		t.Fatal(err)
	}
	if cfg, err = config.Load(paths.Config); err != nil {
		t.Fatal(err)
	}
	_, err = app.NewUpstream(app.Options{Config: cfg, Paths: paths, Env: env, Logger: slog.New(slog.DiscardHandler)}, nil)
	invalid, ok = errors.AsType[*config.Invalid](err)
	if !ok || invalid.Path != filepath.Join(home, "accounts.toml") || !strings.Contains(err.Error(), "rename one") {
		t.Errorf("an id in both files: %v", err)
	}
}

func TestConfigurationKnowsWhoseHostsAreIntercepted(t *testing.T) {
	t.Parallel()
	if got, want := config.HostProviders(), router.HostProviders(); !slices.Equal(got, want) {
		t.Errorf("configuration knows %v, the router %v", got, want)
	}
}
