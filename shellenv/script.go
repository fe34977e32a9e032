package shellenv

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

// Script writes s in the syntax of sh. Statements of shells each stand on a line and end with a semicolon, where the
// shell has one, and there are no comments, so that an eval without quotes works too.
//
// A variable that cannot be expressed is an error; nothing is left out silently:
//
//   - cmd cannot carry double quotes, percent signs and line ends, docker and dotenv no line ends, dotenv no single
//     quotes, and json and pwsh nothing but UTF-8;
//   - dotenv, github and docker cannot remove variables. They get no DETOUR_OLD_ variables either: what reads them
//     starts from its own environment.
//
// nu gets JSON for `from json | load-env`, which takes a variable that is null out of the environment of programs.
//
// PowerShell before 7.5 takes an empty value for removal; so does cmd, always.
func (s Set) Script(sh Shell) ([]byte, error) {
	var write func(*bytes.Buffer, Var) error
	fileOnly := false
	switch sh {
	case Sh, Bash, Zsh, Direnv:
		write = posixVar
	case Fish:
		write = fishVar
	case Pwsh:
		write = pwshVar
	case Cmd:
		return s.cmdScript()
	case JSON, Nu:
		return s.json()
	case Dotenv:
		write, fileOnly = dotenvVar, true
	case GitHubEnv:
		write, fileOnly = githubVar, true
	case Docker:
		write, fileOnly = dockerVar, true
	default:
		return nil, fmt.Errorf("write environment: unknown shell %.40q", string(sh))
	}
	var b bytes.Buffer
	for _, v := range s.Vars {
		if fileOnly && bookkeeping(v.Name) {
			continue
		}
		if err := v.check(); err != nil {
			return nil, err
		}
		if fileOnly && v.Unset {
			return nil, fmt.Errorf("write %s as %s: a variable cannot be removed there", v.Name, sh)
		}
		if err := write(&b, v); err != nil {
			return nil, fmt.Errorf("write %s as %s: %w", v.Name, sh, err)
		}
	}
	return b.Bytes(), nil
}

// check refuses what no environment can hold. A name also stands in scripts unquoted.
func (v Var) check() error {
	if !validName(v.Name) {
		return fmt.Errorf("write environment: %.60q is not the name of a variable", v.Name)
	}
	if strings.ContainsRune(v.Value, 0) {
		return fmt.Errorf("write %s: %w", v.Name, errors.New("the value holds a NUL byte"))
	}
	return nil
}

// cmdScript folds names that differ in case only: Windows does not tell them apart, and the first of ours is enough.
func (s Set) cmdScript() ([]byte, error) {
	var b bytes.Buffer
	seen := map[string]bool{}
	for _, v := range s.Vars {
		if err := v.check(); err != nil {
			return nil, err
		}
		if up := strings.ToUpper(v.Name); seen[up] {
			continue
		} else {
			seen[up] = true
		}
		if strings.ContainsAny(v.Value, "\"%\r\n") {
			return nil, fmt.Errorf("write %s as cmd: %w", v.Name, errors.New(`cmd cannot carry ", % and line ends`))
		}
		fmt.Fprintf(&b, "set \"%s=%s\"\r\n", v.Name, v.Value)
	}
	return b.Bytes(), nil
}
