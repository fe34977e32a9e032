package shellenv_test

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"detour/shellenv"
)

// how is a way to make a program read a script: argv with {script} and {dump} filled in.
type how struct {
	name    string
	program string
	shell   shellenv.Shell
	argv    []string
	// lossy ways split the output into words and glue them with blanks, which the promise about unquoted eval covers
	// only for values without runs of white space.
	lossy bool
}

func ways() []how {
	var all []how
	for _, p := range []struct {
		program string
		flags   []string
		shell   shellenv.Shell
	}{
		{"sh", nil, shellenv.Sh},
		{"dash", nil, shellenv.Sh},
		{"busybox", []string{"sh"}, shellenv.Sh},
		{"ksh", nil, shellenv.Sh},
		{"bash", []string{"--noprofile", "--norc"}, shellenv.Bash},
		{"zsh", []string{"-f"}, shellenv.Zsh},
		{"bash", []string{"--noprofile", "--norc"}, shellenv.Direnv},
	} {
		for _, eval := range []struct {
			name, text string
			lossy      bool
		}{
			{"eval quoted", `eval "$(cat "$1")"; exec "$2"`, false},
			{"eval unquoted", `eval $(cat "$1"); exec "$2"`, true},
			{"source", `. "$1"; exec "$2"`, false},
			{"eval with -eu", `set -eu; eval "$(cat "$1")"; exec "$2"`, false},
		} {
			argv := append(slices.Clone(p.flags), "-c", eval.text, "x", "{script}", "{dump}")
			all = append(all, how{p.program + " " + string(p.shell) + " " + eval.name, p.program, p.shell, argv, eval.lossy})
		}
	}
	return append(all,
		how{"fish source", "fish", shellenv.Fish, []string{"--no-config", "-c", "cat {script} | source; exec {dump}"}, false},
		how{"fish eval", "fish", shellenv.Fish, []string{"--no-config", "-c", "eval (cat {script} | string collect); exec {dump}"}, false},
		how{"fish eval by lines", "fish", shellenv.Fish, []string{"--no-config", "-c", "eval (cat {script}); exec {dump}"}, true},
		how{"nu", "nu", shellenv.Nu, []string{"--no-config-file", "-c", "open --raw {script} | from json | load-env; ^{dump}"}, false},
		how{"pwsh", "pwsh", shellenv.Pwsh, []string{"-NoProfile", "-Command", "Get-Content -Raw '{script}' | Invoke-Expression; & '{dump}'"}, false},
		how{"node dotenv", "node", shellenv.Dotenv, []string{"--env-file={script}", "-e", "require('child_process').execFileSync('{dump}', {stdio: 'inherit'})"}, false},
	)
}

// eachWay runs f for every way whose program is installed, and skips the other programs visibly.
func eachWay(t *testing.T, f func(t *testing.T, h how)) {
	t.Helper()
	missing := map[string]bool{}
	for _, h := range ways() {
		if _, err := exec.LookPath(h.program); err == nil {
			t.Run(h.name, func(t *testing.T) { t.Parallel(); f(t, h) })
		} else if !missing[h.program] {
			missing[h.program] = true
			t.Run(h.program, func(t *testing.T) { t.Skipf("%s is not installed", h.program) })
		}
	}
}

// evaluate runs script by h in the environment env and returns the environment of a program started afterwards.
func evaluate(t *testing.T, h how, env environ, script []byte) environ {
	t.Helper()
	dump, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "script")
	if err := os.WriteFile(file, script, 0o600); err != nil {
		t.Fatal(err)
	}
	var argv []string
	for _, a := range h.argv {
		argv = append(argv, strings.NewReplacer("{script}", file, "{dump}", dump).Replace(a))
	}
	c := exec.CommandContext(t.Context(), h.program, argv...)
	c.Dir = dir
	c.Env = []string{dumpVar + "=1", "GOCOVERDIR=" + dir, "GORACE=atexit_sleep_ms=0", "HOME=" + dir, "PATH=" + os.Getenv("PATH"), "LC_ALL=C.UTF-8"}
	for k, v := range env {
		c.Env = append(c.Env, k+"="+v)
	}
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	if err := c.Run(); err != nil {
		t.Fatalf("%s: %v\n%s\n%s", h.name, err, stderr.Bytes(), script)
	}
	if stderr.Len() > 0 && h.program != "node" { // Node warns that --env-file is experimental
		t.Errorf("%s complains: %s", h.name, stderr.Bytes())
	}
	got := parseEnviron(strings.Split(stdout.String(), "\x00"))
	maps.DeleteFunc(got, func(k, _ string) bool { // what shells add by themselves, and what this test does
		_, given := env[k]
		return !given && (slices.Contains([]string{dumpVar, "HOME", "PATH", "LC_ALL", "GOCOVERDIR", "GORACE", "PWD", "OLDPWD", "SHLVL", "_", "USER", "LOGNAME"}, k) ||
			strings.HasPrefix(k, "NU_") || slices.Contains([]string{"CMD_DURATION_MS", "DIRS_POSITION", "FILE_PWD", "CURRENT_FILE", "LAST_EXIT_CODE"}, k))
	})
	return got
}

// nasty values; tame ones survive word splitting.
func nasty() map[string]string {
	return map[string]string{
		"X_EMPTY": "", "X_SINGLE": "it's", "X_QUOTES": `'"'"''`, "X_ONLY": "'", "X_DOUBLE": `say "hi"`, "X_BANG": "hi!there!!", "X_BACKTICK": "`id`",
		"X_DOLLAR": "$HOME ${PATH} $(id) $$", "X_TRAILING": `C:\dir\`, "X_BACKSLASH": `a\b\\c\'d\n`, "X_PERCENT": "100%PATH%", "X_GLOB": "*?[a-z]~",
		"X_META": "a;b|c&d<e>f(g)h{i}#j", "X_UNICODE": "grüße 世界 😀", "X_SMART": "\u2018a\u2019b\u201ac\u201bd\u201ce", "X_HASH": "#comment",
		"X_EQUALS": "a=b==", "X_TILDE": "~/x:~root", "X_DASH": "-n -e", "X_CARET": "^a^b", "X_ESC": "a\x1b[31mb\x01c",
		"X_NEWLINE": "a\nb", "X_NEWLINES": "\n\na\n\n", "X_CRLF": "a\r\nb\r", "X_TAB": "\ta\t\tb\t", "X_SPACES": "  a   b  ", "X_LONG": strings.Repeat("x'\\", 2000),
	}
}

func splits(v string) bool {
	return strings.ContainsAny(v, "\n\t") || strings.Contains(v, "  ") || strings.HasPrefix(v, " ") || strings.HasSuffix(v, " ")
}

// script writes those of vars that sh can express and h does not lose, and returns what it wrote.
func script(t *testing.T, h how, vars map[string]string) ([]byte, environ) {
	t.Helper()
	var s shellenv.Set
	want := environ{}
	for _, k := range slices.Sorted(maps.Keys(vars)) {
		one := shellenv.Set{Vars: []shellenv.Var{{Name: k, Value: vars[k]}}}
		if vars[k] == "" && h.shell == shellenv.Pwsh {
			continue // removal before 7.5
		}
		if _, err := one.Script(h.shell); err != nil || h.lossy && splits(vars[k]) {
			continue
		}
		s.Vars = append(s.Vars, one.Vars...)
		want[k] = vars[k]
	}
	b, err := s.Script(h.shell)
	if err != nil {
		t.Fatal(err)
	}
	return b, want
}

func TestNastyValuesInRealShells(t *testing.T) {
	t.Parallel()
	eachWay(t, func(t *testing.T, h how) {
		b, want := script(t, h, nasty())
		if len(want) < 12 {
			t.Errorf("only %d values can be written", len(want))
		}
		compareVars(t, evaluate(t, h, nil, b), want)
	})
}

func TestInvalidUTF8InRealShells(t *testing.T) {
	t.Parallel()
	eachWay(t, func(t *testing.T, h how) {
		b, want := script(t, h, map[string]string{"X_BYTES": "a\xff\xfe'\\b"})
		if len(want) == 0 {
			return // refused, as TestRefusals checks
		}
		compareVars(t, evaluate(t, h, nil, b), want)
	})
}

func TestRandomValuesInRealShells(t *testing.T) {
	t.Parallel()
	const alphabet = "'\"\\`$!%^&;|<>(){}[]*?~#=-, \n\taZ0é\u2019\u201b"
	runes := []rune(alphabet)
	seed := rand.Uint64()
	eachWay(t, func(t *testing.T, h how) {
		r := rand.New(rand.NewPCG(seed, 0))
		vars := map[string]string{}
		for i := range 150 {
			var v strings.Builder
			for range r.IntN(12) {
				v.WriteRune(runes[r.IntN(len(runes))])
			}
			vars[fmt.Sprintf("X_%03d", i)] = v.String()
		}
		b, want := script(t, h, vars)
		compareVars(t, evaluate(t, h, nil, b), want)
		if t.Failed() {
			t.Logf("seed %d", seed)
		}
	})
}

func compareVars(t *testing.T, got, want environ) {
	t.Helper()
	for k, w := range want {
		if g, ok := got[k]; !ok || g != w {
			t.Errorf("%s: got %q (set: %t), want %q", k, g, ok, w)
		}
	}
}

// TestCycleInRealShells does what a user does: eval, eval again in the result, a shell inside, and --unset.
func TestCycleInRealShells(t *testing.T) {
	t.Parallel()
	eachWay(t, func(t *testing.T, h how) {
		if h.shell == shellenv.Dotenv || h.shell == shellenv.Direnv || strings.HasSuffix(h.name, "-eu") {
			return // cannot take back, or does not differ from the others here
		}
		for name, start := range starts() {
			if h.shell == shellenv.Nu && name == "both cases" {
				continue // nu keeps one of the two before any program starts
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				cycle(t, h, start)
			})
		}
	})
}

func cycle(t *testing.T, h how, start environ) {
	t.Helper()
	run := func(env environ, s shellenv.Set) environ {
		t.Helper()
		b, err := s.Script(h.shell)
		if err != nil {
			t.Fatal(err)
		}
		return evaluate(t, h, env, b)
	}
	once := run(start, compute(t, params(start)))
	if want := start.apply(compute(t, params(start))); !sameEnviron(h, once, want) {
		t.Fatalf("eval gave\n%v\nwant\n%v", once, want)
	}
	twice := run(once, compute(t, params(once)))
	if !maps.Equal(once, twice) {
		t.Errorf("second eval changed\n%v\nto\n%v", once, twice)
	}
	want := maps.Clone(start)
	delete(want, "DETOUR_OLD_HTTP_PROXY")
	if back := run(twice, shellenv.Unset(twice.lookup)); !sameEnviron(h, back, want) {
		t.Errorf("unset gave\n%v\nwant\n%v", back, want)
	}
}

// sameEnviron compares as the shell does: nu does not know the case of names, PowerShell may take empty for absent.
func sameEnviron(h how, a, b environ) bool {
	switch h.shell {
	case shellenv.Nu:
		a, b = foldNames(a), foldNames(b)
	case shellenv.Pwsh:
		a, b = maps.Clone(a), maps.Clone(b)
		for _, e := range []environ{a, b} {
			maps.DeleteFunc(e, func(_, v string) bool { return v == "" })
		}
	}
	return maps.Equal(a, b)
}

func foldNames(e environ) environ {
	out := environ{}
	for k, v := range e {
		out[strings.ToLower(k)] = v
	}
	return out
}
