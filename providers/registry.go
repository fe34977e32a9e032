package providers

import (
	"fmt"
	"maps"
	"slices"
	"strings"
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
	if near := Nearest(name, known); near != "" {
		return fmt.Errorf("unknown %s %q: did you mean %q?", what, name, near)
	}
	return fmt.Errorf("unknown %s %q: known are %s", what, name, strings.Join(known, ", "))
}

// Nearest returns the one of known that name is most likely a slip of, or "".
func Nearest(name string, known []string) string {
	best, bestAt := "", max(1, len(name)/3)+1
	for _, k := range known {
		if d := distance(fold(name), fold(k)); d < bestAt {
			best, bestAt = k, d
		}
	}
	return best
}

func fold(s string) string { return strings.ReplaceAll(strings.ToLower(s), "-", "_") }

// distance counts the single-byte insertions, deletions and substitutions between a and b. Names longer than any
// real one are far from everything.
func distance(a, b string) int {
	const longest = 64
	if len(a) > longest || len(b) > longest {
		return longest
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			next := min(row[j]+1, row[j+1]+1, diagonal+cost)
			diagonal, row[j+1] = row[j+1], next
		}
	}
	return row[len(b)]
}
