package shellenv_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"detour/shellenv"
)

func TestRefusals(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		shell shellenv.Shell
		v     shellenv.Var
	}{
		{shellenv.Sh, shellenv.Var{Name: "A", Value: "a\x00b"}},
		{shellenv.Sh, shellenv.Var{Name: "A B", Value: "x"}},
		{shellenv.Sh, shellenv.Var{Name: "", Value: "x"}},
		{shellenv.Sh, shellenv.Var{Name: "1A", Value: "x"}},
		{shellenv.Sh, shellenv.Var{Name: "A;id", Unset: true}},
		{shellenv.JSON, shellenv.Var{Name: "A\"", Value: "x"}},
		{shellenv.Cmd, shellenv.Var{Name: "A&B", Value: "x"}},
		{shellenv.Cmd, shellenv.Var{Name: "A", Value: `a"b`}},
		{shellenv.Cmd, shellenv.Var{Name: "A", Value: "%PATH%"}},
		{shellenv.Cmd, shellenv.Var{Name: "A", Value: "a\nb"}},
		{shellenv.Cmd, shellenv.Var{Name: "A", Value: "a\rb"}},
		{shellenv.JSON, shellenv.Var{Name: "A", Value: "\xff"}},
		{shellenv.Nu, shellenv.Var{Name: "A", Value: "\xff"}},
		{shellenv.Pwsh, shellenv.Var{Name: "A", Value: "\xff"}},
		{shellenv.Docker, shellenv.Var{Name: "A", Value: "\xff"}},
		{shellenv.Docker, shellenv.Var{Name: "A", Value: "a\nb"}},
		{shellenv.Docker, shellenv.Var{Name: "A", Unset: true}},
		{shellenv.GitHubEnv, shellenv.Var{Name: "A", Unset: true}},
		{shellenv.Dotenv, shellenv.Var{Name: "A", Unset: true}},
		{shellenv.Dotenv, shellenv.Var{Name: "A", Value: "a\nb"}},
		{shellenv.Dotenv, shellenv.Var{Name: "A", Value: "it's"}},
		{shellenv.Dotenv, shellenv.Var{Name: "A", Value: `a b\`}},
		{shellenv.Shell("csh"), shellenv.Var{Name: "A", Value: "x"}},
	} {
		got, err := shellenv.Set{Vars: []shellenv.Var{{Name: "OK", Value: "ok"}, c.v}}.Script(c.shell)
		if err == nil || got != nil {
			t.Errorf("%s %v: got %q, %v", c.shell, c.v, got, err)
		}
	}
}

func TestErrorsDoNotShowValues(t *testing.T) {
	t.Parallel()
	for _, sh := range shellenv.Shells() {
		_, err := shellenv.Set{Vars: []shellenv.Var{{Name: "A", Value: "mArKeR'\"%\n\x00\xff"}}}.Script(sh)
		if err == nil || strings.Contains(err.Error(), "mArKeR") {
			t.Errorf("%s: %v", sh, err)
		}
	}
}

// FuzzQuote checks each syntax against a reader of our own that follows the rules of the real one.
func FuzzQuote(f *testing.F) {
	for _, v := range nasty() {
		f.Add(v)
	}
	f.Add("\xff\xc0'")
	readers := map[shellenv.Shell]func(string) (string, error){
		shellenv.Sh: readPosix, shellenv.Bash: readPosix, shellenv.Zsh: readPosix, shellenv.Direnv: readPosix,
		shellenv.Fish: readFish, shellenv.Pwsh: readPwsh, shellenv.Cmd: readCmd, shellenv.Nu: readJSON, shellenv.JSON: readJSON,
		shellenv.Dotenv: readDotenv, shellenv.GitHubEnv: readGitHub, shellenv.Docker: readDocker,
	}
	f.Fuzz(func(t *testing.T, v string) {
		for _, sh := range shellenv.Shells() {
			b, err := shellenv.Set{Vars: []shellenv.Var{{Name: "A", Value: v}}}.Script(sh)
			if err != nil {
				if mayRefuse := strings.ContainsRune(v, 0) || !utf8.ValidString(v) || strings.ContainsAny(v, "\"%\r\n'\\"); !mayRefuse {
					t.Errorf("%s refuses %q: %v", sh, v, err)
				}
				continue
			}
			got, err := readers[sh](string(b))
			if err != nil || got != v {
				t.Errorf("%s: %q was written as %q and read as %q, %v", sh, v, b, got, err)
			}
		}
	})
}

var errSyntax = errors.New("syntax")

// frame cuts fixed text off both ends.
func frame(s, head, tail string) (string, error) {
	s, ok1 := strings.CutPrefix(s, head)
	s, ok2 := strings.CutSuffix(s, tail)
	if !ok1 || !ok2 {
		return "", errSyntax
	}
	return s, nil
}

// readPosix reads one word of single-quoted and backslash-escaped parts, and refuses everything else.
func readPosix(s string) (string, error) {
	s, err := frame(s, "export A=", ";\n")
	var out strings.Builder
	for quoted, i := false, 0; err == nil && i < len(s); i++ {
		switch {
		case s[i] == '\'':
			quoted = !quoted
			if i == len(s)-1 && quoted {
				return "", errSyntax
			}
		case quoted:
			out.WriteByte(s[i])
		case s[i] == '\\' && i+1 < len(s):
			i++
			out.WriteByte(s[i])
		default:
			return "", fmt.Errorf("%w: bare %q", errSyntax, s[i])
		}
	}
	return out.String(), err
}

func readFish(s string) (string, error) {
	s, err := frame(s, "set -gx A '", "';\n")
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\'':
			return "", errSyntax
		case s[i] == '\\' && i+1 == len(s):
			return "", errSyntax
		case s[i] == '\\' && (s[i+1] == '\\' || s[i+1] == '\''):
			i++
		}
		out.WriteByte(s[i])
	}
	return out.String(), err
}

func readPwsh(s string) (string, error) {
	s, err := frame(s, "$Env:A = '", "';\n")
	var out strings.Builder
	rs := []rune(s)
	for i := 0; i < len(rs); i++ {
		if strings.ContainsRune("'\u2018\u2019\u201a\u201b", rs[i]) {
			if i+1 == len(rs) || !strings.ContainsRune("'\u2018\u2019\u201a\u201b", rs[i+1]) {
				return "", errSyntax
			}
			i++ // the second of a pair is the one that stays
		}
		out.WriteRune(rs[i])
	}
	return out.String(), err
}

func readCmd(s string) (string, error) {
	s, err := frame(s, `set "A=`, "\"\r\n")
	if strings.ContainsAny(s, "\"%\r\n") {
		return "", errSyntax
	}
	return s, err
}

func readJSON(s string) (string, error) {
	var m map[string]string
	if err := json.Unmarshal([]byte(s), &m); err != nil || len(m) != 1 {
		return "", errSyntax
	}
	return m["A"], nil
}

func readDotenv(s string) (string, error) {
	s, err := frame(s, "A=", "\n")
	if strings.HasPrefix(s, "'") {
		if s, err = frame(s, "'", "'"); strings.Contains(s, "'") {
			return "", errSyntax
		}
	} else if strings.ContainsAny(s, " #'\"\\$`\t") || s == "" {
		return "", errSyntax
	}
	if strings.ContainsAny(s, "\r\n") {
		return "", errSyntax
	}
	return s, err
}

func readGitHub(s string) (string, error) {
	if first, rest, _ := strings.Cut(s, "\n"); strings.HasPrefix(first, "A<<") && rest != "" {
		end := strings.TrimPrefix(first, "A<<")
		v, err := frame(rest, "", "\n"+end+"\n")
		if strings.Contains("\n"+v+"\n", "\n"+end+"\n") {
			return "", errSyntax
		}
		return v, err
	}
	s, err := frame(s, "A=", "\n")
	if strings.ContainsAny(s, "\r\n") {
		return "", errSyntax
	}
	return s, err
}

func readDocker(s string) (string, error) {
	s, err := frame(s, "A=", "\n")
	if strings.ContainsAny(s, "\r\n") {
		return "", errSyntax
	}
	return s, err
}
