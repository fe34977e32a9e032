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
// nu gets JSON for `from json | load-env`, which takes a variable that is null out of the environment of programs. nu
// and cmd do not tell HTTPS_PROXY from https_proxy, so they get one of the two: a second name would leave nu with a
// stale value under the first.
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
		s, write = s.folded(), cmdVar
	case Nu:
		return s.folded().json()
	case JSON:
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

// folded returns s for a shell that does not tell the cases of names apart: one change for each name, under the name
// that the environment has, else the lower-case one, which more programs read. Setting wins over removing.
func (s Set) folded() Set {
	var out Set
	at := map[string]int{}
	for _, v := range s.Vars {
		i, ok := at[strings.ToLower(v.Name)]
		if !ok {
			at[strings.ToLower(v.Name)] = len(out.Vars)
			out.Vars = append(out.Vars, v)
			continue
		}
		o := &out.Vars[i]
		if o.Unset && !v.Unset {
			o.Value, o.Unset = v.Value, false
		}
		if !o.present && (v.present || v.Name == strings.ToLower(v.Name)) {
			o.Name, o.present = v.Name, v.present
		}
	}
	return out
}
