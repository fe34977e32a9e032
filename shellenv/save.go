package shellenv

import (
	"slices"
	"strings"
)

// The variables that carry the state. They travel with the environment, so that nested shells inherit it.
const (
	// ActiveVar is set to the generation of the certificate authority while detour's variables are.
	ActiveVar = "DETOUR_PROXY_ACTIVE"

	varsVar   = "DETOUR_PROXY_VARS" // names that detour set, comma-separated
	oldPrefix = "DETOUR_OLD_"       // + name: the value it had; absent if it was not set
)

// bookkeeping reports whether a variable only serves to restore others.
func bookkeeping(name string) bool { return name == varsVar || strings.HasPrefix(name, oldPrefix) }

// Original returns a view of env as it was before detour's variables were set; env itself if they are not.
func Original(env func(string) (string, bool)) func(string) (string, bool) {
	ours := active(env)
	return func(name string) (string, bool) {
		switch {
		case slices.Contains(ours, name):
			return env(oldPrefix + name)
		case name == ActiveVar || bookkeeping(name):
			return "", false
		}
		return env(name)
	}
}

// active returns the names that detour has set, none if it has not. Names that it cannot have written are dropped:
// they come from the environment and are about to be part of a script.
func active(env func(string) (string, bool)) []string {
	if generation, _ := env(ActiveVar); generation == "" {
		return nil
	}
	list, _ := env(varsVar)
	var names []string
	for n := range strings.SplitSeq(list, ",") {
		if validName(n) && n != ActiveVar && !bookkeeping(n) && !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	return names
}

// Unset returns the changes that put env back to what it was: each variable that detour set gets its old value, empty
// ones included, or goes away. If detour's variables are not set there is nothing to change.
func Unset(env func(string) (string, bool)) Set {
	if _, ok := env(ActiveVar); !ok {
		return Set{}
	}
	var s Set
	s.restore(env, active(env))
	if _, ok := env(varsVar); ok {
		s.Vars = append(s.Vars, Var{Name: varsVar, Unset: true, present: true})
	}
	s.Vars = append(s.Vars, Var{Name: ActiveVar, Unset: true, present: true})
	return s
}

// restore appends the changes that give names their saved values back and drop the saved copies.
func (s *Set) restore(env func(string) (string, bool), names []string) {
	var saved []Var
	for _, n := range names {
		_, present := env(n)
		old, ok := env(oldPrefix + n)
		if ok {
			saved = append(saved, Var{Name: oldPrefix + n, Unset: true, present: true})
		} else if !present {
			continue
		}
		s.Vars = append(s.Vars, Var{Name: n, Value: old, Unset: !ok, present: present})
	}
	s.Vars = append(s.Vars, saved...)
}
