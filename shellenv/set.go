package shellenv

import (
	"fmt"
	"log/slog"
	"strings"
)

// Var is one change to an environment.
type Var struct {
	Name  string
	Value string
	Unset bool // remove the variable; Value is empty then

	present bool // the environment that the change was computed for has a variable of exactly this name
}

// Set is a list of changes in the order they are written. A name occurs once.
type Set struct {
	Vars     []Var
	Warnings []string // one sentence each, for stderr; no values of variables that may hold a credential
}

// Environ returns base, "NAME=value" entries as from os.Environ, with the changes of s applied. base is left alone.
func (s Set) Environ(base []string) []string {
	changed := make(map[string]bool, len(s.Vars))
	for _, v := range s.Vars {
		changed[v.Name] = true
	}
	out := make([]string, 0, len(base)+len(s.Vars))
	for _, e := range base {
		if name, _, _ := strings.Cut(e, "="); !changed[name] {
			out = append(out, e)
		}
	}
	for _, v := range s.Vars {
		if !v.Unset {
			out = append(out, v.Name+"="+v.Value)
		}
	}
	return out
}

// Format implements fmt.Formatter: it shows names only, because values may hold credentials.
func (s Set) Format(f fmt.State, _ rune) {
	names := make([]string, 0, len(s.Vars))
	for _, v := range s.Vars {
		if v.Unset {
			names = append(names, "-"+v.Name)
		} else {
			names = append(names, v.Name)
		}
	}
	_, _ = fmt.Fprintf(f, "shellenv.Set%s", names)
}

// LogValue implements slog.LogValuer.
func (s Set) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(s)) }

// validName accepts what every shell takes for the name of a variable.
func validName(s string) bool {
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', c == '_', '0' <= c && c <= '9' && i > 0:
		default:
			return false
		}
	}
	return s != ""
}
