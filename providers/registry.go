package providers

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"detour/internal/suggest"
)

// Registry maps the names that configuration uses to providers. It is filled once and only read after that.
type Registry map[string]Provider

// NewRegistry registers each provider under its own name. Two of the same name are a mistake in the program.
func NewRegistry(list ...Provider) Registry {
	r := make(Registry, len(list))
	for _, p := range list {
		if _, dup := r[p.Name()]; dup {
			panic("providers: two providers are named " + p.Name())
		}
		r[p.Name()] = p
	}
	return r
}

// Names lists the names in order.
func (r Registry) Names() []string { return slices.Sorted(maps.Keys(r)) }

// Lookup finds a provider by name. Its error names the ones that exist, the nearest first if one is near.
func (r Registry) Lookup(name string) (Provider, error) {
	if p, ok := r[name]; ok {
		return p, nil
	}
	return nil, UnknownName("provider", name, r.Names())
}

// UnknownName is the error for a name that is none of known: it proposes the nearest, or lists them all.
func UnknownName(what, name string, known []string) error {
	if near := suggest.Nearest(name, known); near != "" {
		return fmt.Errorf("unknown %s %q: did you mean %q?", what, name, near)
	}
	return fmt.Errorf("unknown %s %q: known are %s", what, name, strings.Join(known, ", "))
}
