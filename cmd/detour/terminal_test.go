package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"detour/internal/config"
	"detour/internal/secret"
	"detour/internal/sim"
)

// console runs command lines in this process with terminals at both ends.
type console struct {
	t        *testing.T
	environ  []string
	out, err bytes.Buffer
}

func newConsole(t *testing.T) (*console, *sim.Sim) {
	t.Helper()
	s, err := sim.Start(sim.Options{Scenario: &sim.Scenario{AnyHost: true, Login: sim.Login{Interval: 1}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	c := &console{t: t, environ: []string{"DETOUR_HOME=" + t.TempDir(), "HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH")}}
	for k, v := range s.Env() {
		c.environ = append(c.environ, k+"="+v)
	}
	return c, s
}

func (c *console) path(name string) string {
	return filepath.Join(strings.TrimPrefix(c.environ[0], "DETOUR_HOME="), name)
}

// account saves an account that the Sim knows.
func (c *console) account(id, token string) {
	c.t.Helper()
	a := config.Account{ID: id, Provider: "github-copilot", GitHubToken: secret.New(token)}
	if err := config.SaveAccount(c.path("accounts.toml"), a); err != nil {
		c.t.Fatal(err)
	}
}

// run checks the exit code and that no secret was printed.
func (c *console) run(code int, input string, args ...string) (out, err string) {
	c.t.Helper()
	c.out.Reset()
	c.err.Reset()
	in, typed, perr := os.Pipe() // a file, as a terminal is: children take it over instead of a copy of what is in it
	if perr != nil {
		c.t.Fatal(perr)
	}
	defer in.Close()
	if _, werr := typed.WriteString(input); werr != nil || typed.Close() != nil {
		c.t.Fatal("type the input: ", werr)
	}
	got := run(args, &host{in: in, out: &c.out, err: &c.err, environ: c.environ, outTTY: true, inTTY: true})
	if got != code {
		c.t.Errorf("detour %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), got, code, c.out.String(), c.err.String())
	}
	if all := c.out.String() + c.err.String(); strings.Contains(all, sim.Marker) && !strings.Contains(strings.Join(args, " "), "--show") {
		c.t.Errorf("detour %s printed a secret:\n%s", strings.Join(args, " "), all)
	}
	return c.out.String(), c.err.String()
}

func wantMatch(t *testing.T, text string, patterns ...string) {
	t.Helper()
	for _, p := range patterns {
		if !regexp.MustCompile("(?m)" + p).MatchString(text) {
			t.Errorf("no match for %q in:\n%s", p, text)
		}
	}
}

func TestTerminalStatusIsAPageForPeople(t *testing.T) {
	t.Parallel()
	c, _ := newConsole(t)
	c.account("alice", "ghu_sim_alice_"+sim.Marker)
	c.account("erin", "ghu_sim_erin_"+sim.Marker)
	out, _ := c.run(exitOK, "", "status")
	t.Log("\n" + out)
	wantMatch(t, out,
		`^api door$`, `^  address +127.0.0.1:4141$`,
		`^certificate authority\n  state +not made yet; the proxy makes it$`,
		`^account alice$`, `^  token +expires in (29m\d\ds|30m00s)$`, `^  quota +chat: unlimited$`, `^ +premium_interactions: 1400 of 1500 left \(93`,
		`^account erin$`, `^  token +none$`, `^  problem +policy: .*403`, `^  hint +Signup for GitHub Copilot: No access`,
	)
}

func TestTerminalTablesHaveHeads(t *testing.T) {
	t.Parallel()
	c, _ := newConsole(t)
	_, e := c.run(exitOK, "", "account", "list")
	wantMatch(t, e, "There is no account yet: sign in with `detour login`")
	_, e = c.run(exitOK, "", "key", "list")
	wantMatch(t, e, "There is no key yet")
	c.account("alice", "ghu_sim_alice_"+sim.Marker)
	c.account("free", "ghu_sim_carol_"+sim.Marker)
	for _, row := range []struct {
		args []string
		want []string
	}{
		{[]string{"account", "list"}, []string{`^ID +PROVIDER +TIER +AUTH +SOURCE +USED +STATE +UNTIL +LAST USED +PREMIUM LEFT +WHY$`, `^alice +github-copilot +active +exchange +accounts.toml +yes +- +- +- +- +-$`}},
		{[]string{"models"}, []string{`^ID +VENDOR +ENDPOINTS +CONTEXT`, `^claude-sonnet-4.5 .* \d+k .* 1x +alice,free +github-copilot +-$`, ` disabled +github-copilot +-$`}},
		{[]string{"headers", "--account", "alice", "--kind", "models"}, []string{`^models$`, `^  Authorization +Bearer \*\*\*$`}},
		{[]string{"refresh", "--all"}, []string{`^ACCOUNT +RESULT +EXPIRES`, `^alice +renewed +in \d+m\d\ds +plus`}},
		{[]string{"token", "--account", "free"}, []string{`^expires +in `, `^sku +free_limited_copilot$`}},
		{[]string{"config", "list"}, []string{`^KEY +VALUE +DEFAULT +LINE +DOC$`, `^server.port +4141 +4141 +- +Port of`}},
	} {
		out, _ := c.run(exitOK, "", row.args...)
		t.Log("\n" + out)
		wantMatch(t, out, row.want...)
		if strings.Contains(out, "\t") || regexp.MustCompile(`(?m) $`).MatchString(out) {
			t.Errorf("detour %s: tabs, or space at the end of a line:\n%q", strings.Join(row.args, " "), out)
		}
	}
}

func TestTerminalIsNotShownATokenUnasked(t *testing.T) {
	t.Parallel()
	c, _ := newConsole(t)
	c.account("alice", "ghu_sim_alice_"+sim.Marker)
	out, e := c.run(exitUsage, "", "token", "--show")
	if strings.Contains(out+e, sim.Marker) {
		t.Errorf("the token was shown:\n%s%s", out, e)
	}
	wantMatch(t, e, "^detour: show token: standard output is a terminal", "^hint: .*--yes$")
	out, _ = c.run(exitOK, "", "token", "--show", "--yes")
	wantMatch(t, out, "^tid=[^\n]*"+sim.Marker)
}

func TestTerminalEditsAgainUntilThereAreNoMistakes(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("the editor is a shell script")
	}
	c, _ := newConsole(t)
	// Spoils the file at the first call and mends it at the second.
	editor := filepath.Join(t.TempDir(), "editor")
	script := "#!/bin/sh\nif grep -q prot \"$1\"; then echo 'server.port = 9' > \"$1\"; else echo 'server.prot = 9' > \"$1\"; fi\n"
	if err := os.WriteFile(editor, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	c.environ = append(c.environ, "VISUAL="+editor)
	_, e := c.run(exitUsage, "n\n", "config", "edit")
	wantMatch(t, e, `line 1: server.prot: `, `Edit again\? \[Y/n\]`, `your edit is kept in .*config.edit`)
	if _, err := os.Stat(c.path("config.toml")); err == nil {
		t.Error("a file with mistakes was put in place")
	}
	_, e = c.run(exitOK, "\n", "config", "edit")
	wantMatch(t, e, `changed .*config.toml`)
	data, err := os.ReadFile(c.path("config.toml"))
	if err != nil || string(data) != "server.port = 9\n" {
		t.Errorf("config.toml is %q, %v", data, err)
	}
}

func TestEditKeepsWhatAnotherProgramChanged(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("the editor is a shell script")
	}
	c, _ := newConsole(t)
	editor := filepath.Join(t.TempDir(), "editor")
	script := "#!/bin/sh\necho 'server.port = 1' > '" + c.path("config.toml") + "'\necho 'server.port = 2' > \"$1\"\n"
	if err := os.WriteFile(editor, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	c.environ = append(c.environ, "EDITOR="+editor)
	_, e := c.run(exitFailure, "", "config", "edit")
	wantMatch(t, e, `was changed by another program meanwhile`, `your edit is kept in`)
	data, err := os.ReadFile(c.path("config.toml"))
	if err != nil || string(data) != "server.port = 1\n" {
		t.Errorf("config.toml is %q, %v", data, err)
	}
}

func TestCells(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for _, row := range []struct {
		name string
		got  cell
		want cell
	}{
		{"nothing", word(""), cell{"-", ""}},
		{"never", when(time.Time{}, now), cell{"never", ""}},
		{"soon", when(now.Add(90*time.Second), now), cell{"in 1m30s", "2026-11-21T12:01:30Z"}},
		{"past", when(now.Add(-3*time.Hour), now), cell{"3h00m ago", "2026-11-21T09:00:00Z"}},
		{"far", when(now.AddDate(10, 0, 0), now), cell{"in 3653 days", "2036-11-21T12:00:00Z"}},
		{"few tokens", tokens(8192), cell{"8192", "8192"}},
		{"many tokens", tokens(200_000), cell{"200k", "200000"}},
		{"no tokens", tokens(0), cell{"-", ""}},
		{"fraction", number(0.33), cell{"0.33", "0.33"}},
	} {
		if row.got != row.want {
			t.Errorf("%s: %q, want %q", row.name, row.got, row.want)
		}
	}
}

func TestTableCellsCannotBreakOut(t *testing.T) {
	t.Parallel()
	for _, tty := range []bool{false, true} {
		var out bytes.Buffer
		h := &host{out: &out, outTTY: tty}
		if err := h.table([]string{"a", "b"}, [][]cell{{text("x\ty\nz\x1b[31m"), text("\u0085\u2028w")}}); err != nil {
			t.Fatal(err)
		}
		if lines := strings.Count(out.String(), "\n"); lines != 2 {
			t.Errorf("tty %v: %d lines, want 2: %q", tty, lines, out.String())
		}
		if strings.ContainsAny(out.String(), "\x1b\u0085\u2028") || !tty && strings.Count(out.String(), "\t") != 2 {
			t.Errorf("tty %v: %q", tty, out.String())
		}
	}
}

func TestTerminalAsksForAKey(t *testing.T) {
	t.Parallel()
	c, s := newConsole(t)
	out, e := c.run(exitOK, "sk-sim-anthropic-"+sim.Marker+"\n", "login", "--provider", "anthropic", "--base-url", s.ServiceURL(sim.ServiceAnthropic))
	wantMatch(t, e, `^API key for anthropic \(not shown\): $`, `account anthropic was saved`)
	wantMatch(t, out, `^verified +yes$`)
	_, e = c.run(exitOK, "\n", "login", "--provider", "openai-compatible", "--base-url", s.ServiceURL(sim.ServiceLocal))
	wantMatch(t, e, `or nothing if it needs none: $`)
	_, e = c.run(exitUsage, "\n", "login", "--provider", "deepseek")
	wantMatch(t, e, `no key was given`)
	_, e = c.run(exitUsage, "sk-a sk-b\n", "login", "--provider", "deepseek")
	wantMatch(t, e, `the key holds a space: paste the key alone`)
	out, _ = c.run(exitOK, "", "models")
	wantMatch(t, out, `^claude-opus-4-6 .* anthropic +anthropic +5/25$`)
}
