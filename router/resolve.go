package router

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"detour/internal/dialect"
	"detour/internal/suggest"
	"detour/providers"
)

// Models configures how a name that a client sends becomes the name of a model that an account has.
type Models struct {
	// Alias maps a whole name, to another alias perhaps. It comes first: what the owner configured always wins.
	Alias map[string]string
	// Prefix maps every name that starts with a key; the longest key wins.
	Prefix map[string]string
	// Families maps a family name ("opus") to the model that stands for it in fuzzy mode.
	Families map[string]string
}

// resolution is the outcome of resolving a client's model name.
type resolution struct {
	name     string // what to send upstream
	provider string // "" for any
	known    bool   // the catalogue has it
}

// unknownModelError says that no account has the model.
type unknownModelError struct {
	name  string
	near  []string
	exact bool // route mode exact, and no provider in front
}

func (e *unknownModelError) Error() string {
	if e.exact {
		return fmt.Sprintf("Route mode exact wants the model as provider/model, with a provider that has an account; `%s` is not.", clip(e.name))
	}
	s := fmt.Sprintf("The model `%s` does not exist or none of your accounts has access to it.", clip(e.name))
	if len(e.near) > 0 {
		s += " Near names: " + strings.Join(e.near, ", ") + "."
	}
	return s
}

func (e *unknownModelError) failure() dialect.Failure {
	return dialect.Failure{Status: 404, Type: "invalid_request_error", Code: "model_not_found", Param: "model", Message: e.Error()}
}

// resolve follows the order: alias, prefix, the id as it is, normalised name, family (fuzzy mode), error. An empty
// catalogue (no account could tell yet) lets every name through as it is.
func (m *Models) resolve(name string, mode Mode, cat *catalogue) (resolution, error) {
	if mode == ModeExact {
		provider, id, found := strings.Cut(name, "/")
		if !found || !cat.hasProvider(provider) {
			return resolution{}, &unknownModelError{name: name, exact: true}
		}
		if _, ok := cat.find(id); !ok && !cat.empty() {
			return resolution{}, &unknownModelError{name: name, near: cat.near(id)}
		}
		return resolution{id, provider, true}, nil
	}
	wanted := m.configured(name, mode)
	provider := ""
	if p, id, found := strings.Cut(wanted, "/"); found && cat.hasProvider(p) {
		provider, wanted = p, id
	}
	if cat.empty() {
		return resolution{wanted, provider, false}, nil
	}
	if _, ok := cat.find(wanted); ok {
		return resolution{wanted, provider, true}, nil
	}
	if id, ok := cat.normalised(wanted); ok {
		return resolution{id, provider, true}, nil
	}
	if mode == ModeFuzzy {
		if id, ok := cat.bestOfFamily(wanted); ok {
			return resolution{id, provider, true}, nil
		}
	}
	return resolution{}, &unknownModelError{name: name, near: cat.near(wanted)}
}

// configured applies the owner's own words for models: aliases, which may name one another, then the longest prefix,
// then in fuzzy mode families.
func (m *Models) configured(name string, mode Mode) string {
	for range len(m.Alias) { // a loop of aliases ends here; configuration refuses it
		to, ok := m.Alias[name]
		if !ok {
			break
		}
		if name = to; m.Alias[name] == "" {
			return name
		}
	}
	longest, out := "", name
	for prefix, to := range m.Prefix {
		if len(prefix) >= len(longest) && strings.HasPrefix(name, prefix) {
			longest, out = prefix, to
		}
	}
	if longest != "" {
		return out
	}
	if to, ok := m.Families[strings.ToLower(strings.TrimSuffix(name, "[1m]"))]; ok && mode == ModeFuzzy {
		return to
	}
	return name
}

// clip bounds the room that a name which a client made up takes in logs and answers.
func clip(name string) string {
	const most = 200
	if len(name) <= most {
		return name
	}
	return strings.ToValidUTF8(name[:most], "") + "…"
}

var (
	dateSuffix = regexp.MustCompile(`-(?:\d{8}|\d{4}-\d{2}-\d{2}|latest)$`)
)

// canonical brings the spellings of one model together: lower case, no vendor, no date, no [1m], dashes for dots.
func canonical(name string) string {
	s := strings.ToLower(strings.TrimSpace(name))
	if i := strings.LastIndexByte(s, '/'); i >= 0 {
		s = s[i+1:]
	}
	s = strings.TrimSuffix(s, "[1m]")
	s = dateSuffix.ReplaceAllString(s, "")
	return strings.ReplaceAll(s, ".", "-")
}

// family is the canonical name without its version numbers, and the version.
func family(name string) (string, []int) {
	s := strings.ToLower(name)
	if i := strings.LastIndexByte(s, '/'); i >= 0 {
		s = s[i+1:]
	}
	s = dateSuffix.ReplaceAllString(strings.TrimSuffix(s, "[1m]"), "")
	var words []string
	var ver []int
	for w := range strings.FieldsFuncSeq(s, func(r rune) bool { return r == '-' || r == '.' || r == '_' }) {
		if n, err := strconv.Atoi(w); err == nil {
			ver = append(ver, n)
			continue
		}
		words = append(words, w)
	}
	return strings.Join(words, "-"), ver
}

// normalised finds the catalogue's spelling of name. Of several, the one offered to people wins, then the shortest.
func (c *catalogue) normalised(name string) (string, bool) {
	ids := c.byCanonical[canonical(name)]
	if len(ids) == 0 {
		return "", false
	}
	return ids[0], true
}

// bestOfFamily finds the newest usable model whose name without version equals name's.
func (c *catalogue) bestOfFamily(name string) (string, bool) {
	want, _ := family(name)
	var best string
	var bestVersion []int
	for _, e := range c.entries {
		if e.model.Disabled || e.model.Embeddings {
			continue
		}
		if f, v := family(e.model.ID); f == want && (best == "" || slices.Compare(v, bestVersion) > 0) {
			best, bestVersion = e.model.ID, v
		}
	}
	return best, best != ""
}

// near lists up to five names that a person may have meant.
func (c *catalogue) near(name string) []string {
	type scored struct {
		id   string
		dist int
	}
	want := canonical(name)
	var all []scored
	for _, e := range c.entries {
		if e.model.Disabled {
			continue
		}
		d := suggest.Distance(want, canonical(e.model.ID))
		if d <= max(3, len(want)/2) {
			all = append(all, scored{e.model.ID, d})
		}
	}
	slices.SortFunc(all, func(a, b scored) int {
		return cmp.Or(cmp.Compare(a.dist, b.dist), cmp.Compare(a.id, b.id))
	})
	var out []string
	for _, s := range all[:min(5, len(all))] {
		out = append(out, s.id)
	}
	return out
}

// sortByPreference puts the ids that are offered to people first, then the shorter ones.
func sortByPreference(ids []string, of map[string]*entry) {
	slices.SortFunc(ids, func(a, b string) int {
		return cmp.Or(
			-cmp.Compare(rank(of[a].model), rank(of[b].model)),
			cmp.Compare(len(a), len(b)),
			cmp.Compare(a, b))
	})
}

func rank(m providers.Model) int {
	switch {
	case m.Disabled:
		return 0
	case m.Picker:
		return 2
	}
	return 1
}
