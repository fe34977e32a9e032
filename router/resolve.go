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
	// Roles says which model serves as "opus", "sonnet" or "haiku": for every name of a Claude model of that size which
	// no account has.
	Roles map[string]string
	// Families maps a family name ("opus") to the model that stands for it in fuzzy mode.
	Families map[string]string
}

// resolution is the outcome of resolving a client's model name.
type resolution struct {
	name     string // what to send upstream
	provider string // "" for any
	entry    *entry // nil while nothing is listed
	// by is what led from the client's name to this one: a setting, or words; "" when it is the client's name.
	by string
}

// because says what led from wanted, which setting gave, to e.
func because(setting, wanted string, e *entry) string {
	id, want := canonical(e.model.ID), canonical(wanted)
	switch {
	case setting != "":
		return setting
	case wanted == e.model.ID, wanted == e.provider+"/"+e.model.ID:
		return ""
	case want == id, want+longModel == id:
		return "another spelling"
	}
	return "newest of its kind"
}

// unknownModelError says that no account has the model.
type unknownModelError struct {
	name    string
	near    []string
	role    string // that an owner could give to a model, "" for none
	exact   bool   // route mode exact, and no provider in front
	setting string // that gave wanted in place of name, "" for none
	wanted  string
}

func (e *unknownModelError) Error() string {
	if e.exact {
		s := fmt.Sprintf("Route mode exact wants the model as provider/model, with a provider that has an account; `%s` is not.", clip(e.name))
		if len(e.near) > 0 {
			s += " It would be " + strings.Join(e.near, " or ") + "."
		}
		return s
	}
	s := fmt.Sprintf("The model `%s` does not exist or none of your accounts has access to it.", clip(e.name))
	if e.setting != "" {
		s = fmt.Sprintf("`%s` stands for the model `%s` by the setting %s of this detour, and none of your accounts has that.", clip(e.name), e.wanted, e.setting)
	}
	if len(e.near) > 0 {
		s += " Near names: " + strings.Join(e.near, ", ") + "."
	}
	if e.role != "" {
		s += fmt.Sprintf(" The owner of this detour can choose what serves such names: %s below [models.roles].", e.role)
	}
	return s
}

func (e *unknownModelError) failure() dialect.Failure {
	return dialect.Failure{Status: 404, Type: "invalid_request_error", Code: "model_not_found", Param: "model", Message: e.Error()}
}

// resolve follows the order: alias, prefix, the id as it is, normalised name, role, family (fuzzy mode), error. A name that
// several providers have is the first account's of those that may serve; provider/model names the others. An empty
// catalogue (no account could tell yet) lets every name through as it is, and a provider without a list every name that
// is asked of it.
func (m *Models) resolve(name string, mode Mode, cat *catalogue, accounts []string) (resolution, *unknownModelError) {
	wanted, setting := name, ""
	if mode != ModeExact {
		wanted, setting = m.configured(name, mode)
	}
	if base := strings.TrimSuffix(name, longMark); mode != ModeExact && setting == "" && base != name {
		if to, by := m.configured(base, mode); by != "" { // what the owner says of a model holds for its larger window too
			wanted, setting = to+longMark, by
		}
	}
	unknown := &unknownModelError{name: name, setting: setting, wanted: wanted}
	provider, id, found := strings.Cut(wanted, "/")
	found = found && cat.hasProvider(provider)
	if mode == ModeExact && !found {
		unknown.exact, unknown.near = true, cat.qualifiedNames(name)
		return resolution{}, unknown
	}
	if found {
		if !cat.lists(provider) {
			return resolution{id, provider, nil, setting}, nil
		}
		at := scope{provider, accounts}
		e, ok := cat.find(id, at)
		if !ok && mode != ModeExact { // ids of some providers begin with the name of another
			if e, ok = cat.find(wanted, scope{"", accounts}); !ok {
				e, ok = cat.search(id, mode, at)
			}
		}
		if ok {
			return resolution{e.model.ID, e.provider, e, because(setting, wanted, e)}, nil
		}
		unknown.near = cat.near(id, nil)
		return resolution{}, unknown
	}
	if cat.empty() {
		return resolution{wanted, "", nil, setting}, nil
	}
	if e, ok := cat.search(wanted, mode, scope{"", accounts}); ok {
		return resolution{e.model.ID, e.provider, e, because(setting, wanted, e)}, nil
	}
	role := roleOf(wanted)
	if to := m.Roles[role]; to != "" && to != wanted {
		return m.play(role, name, to, cat, accounts)
	}
	if role != "" && mode == ModeFuzzy {
		if e, ok := cat.bestOfRole(role, scope{"", accounts}); ok {
			return resolution{e.model.ID, e.provider, e, because(setting, wanted, e)}, nil
		}
	}
	unknown.near, unknown.role = cat.near(wanted, nil), role
	return resolution{}, unknown
}

// play resolves the model that the owner gave to a role.
func (m *Models) play(role, name, to string, cat *catalogue, accounts []string) (resolution, *unknownModelError) {
	plain := *m
	plain.Roles = nil // a role that has no model must not lead to another role
	setting := "models.roles." + role
	res, err := plain.resolve(to, ModeRoute, cat, accounts)
	if err != nil {
		return resolution{}, &unknownModelError{name: name, setting: setting, wanted: to, near: cat.near(to, nil)}
	}
	res.by = setting
	return res, nil
}

// leads tells whether a name of the owner's leads to a model that some account has.
func (m *Models) leads(name string, cat *catalogue) bool {
	_, err := m.resolve(name, ModeRoute, cat, nil)
	return err == nil
}

// qualifiedNames lists the models that have the id, each as provider/id.
func (c *catalogue) qualifiedNames(id string) []string {
	var out []string
	for _, e := range c.byID[id] {
		out = append(out, e.provider+"/"+e.model.ID)
	}
	return out
}

// roleOf is the size of the Claude model that name means, "" for other names: "claude-opus-5-5", "opus".
func roleOf(name string) string {
	words := strings.Split(canonical(name), "-")
	for _, role := range []string{"opus", "sonnet", "haiku"} {
		if slices.Contains(words, role) && (len(words) == 1 || words[0] == "claude") {
			return role
		}
	}
	return ""
}

// bestOfRole finds the newest usable Claude model of a size.
func (c *catalogue) bestOfRole(role string, in scope) (*entry, bool) {
	var best *entry
	var bestVersion []int
	for _, e := range c.entries {
		if e.model.Disabled || !in.usable(e) || roleOf(e.model.ID) != role {
			continue
		}
		if _, v := family(e.model.ID); best == nil || slices.Compare(v, bestVersion) > 0 {
			best, bestVersion = e, v
		}
	}
	return best, best != nil
}

// search finds a model by its id, by a name that means the same, or in fuzzy mode by its family.
func (c *catalogue) search(id string, mode Mode, in scope) (*entry, bool) {
	e, ok := c.find(id, in)
	if !ok {
		key := canonical(id)
		if strings.HasSuffix(strings.ToLower(id), longMark) {
			e, ok = in.pick(c.byCanonical[key+longModel])
		}
		if !ok {
			e, ok = in.pick(c.byCanonical[key])
		}
	}
	if !ok && mode == ModeFuzzy {
		e, ok = c.bestOfFamily(id, in)
	}
	return e, ok
}

// configured applies the owner's own words for models: aliases, which may name one another, then the longest prefix,
// then in fuzzy mode families. setting is the last one that was applied, "" for none.
func (m *Models) configured(name string, mode Mode) (to, setting string) {
	for range len(m.Alias) { // a loop of aliases ends here; configuration refuses it
		to, ok := m.Alias[name]
		if !ok {
			break
		}
		setting = "models.alias." + name
		if name = to; m.Alias[name] == "" {
			return name, setting
		}
	}
	longest, out := "", name
	for prefix, to := range m.Prefix {
		if len(prefix) >= len(longest) && strings.HasPrefix(name, prefix) {
			longest, out = prefix, to
		}
	}
	if longest != "" {
		return out, "models.prefix." + longest
	}
	family := strings.ToLower(strings.TrimSuffix(name, longMark))
	if to, ok := m.Families[family]; ok && mode == ModeFuzzy {
		return to, "models.families." + family
	}
	return name, setting
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

// longMark stands behind the name of a model whose larger window is wanted. Some catalogues list that as a model of its
// own, with longModel behind the name.
const (
	longMark  = "[1m]"
	longModel = "-1m"
)

// bestOfFamily finds the newest usable model whose name without version equals name's.
func (c *catalogue) bestOfFamily(name string, in scope) (*entry, bool) {
	want, _ := family(name)
	var best *entry
	var bestVersion []int
	for _, e := range c.entries {
		if e.model.Disabled || e.model.Embeddings || !in.has(e) {
			continue
		}
		if f, v := family(e.model.ID); f == want && (best == nil || slices.Compare(v, bestVersion) > 0) {
			best, bestVersion = e, v
		}
	}
	return best, best != nil
}

// near lists up to five names that a person may have meant, of models that they may know of; nil: of all.
func (c *catalogue) near(name string, may func(*entry) bool) []string {
	type scored struct {
		id   string
		dist int
	}
	want := canonical(name)
	var all []scored
	for _, e := range c.entries {
		if e.model.Disabled || may != nil && !may(e) {
			continue
		}
		d := suggest.Distance(want, canonical(e.model.ID))
		if d <= max(3, len(want)/2) {
			all = append(all, scored{e.id(), d})
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

// sortByPreference puts what can be used first, then what the first account's provider has; of its models those that
// are offered to people, then the shorter names.
func sortByPreference(list []*entry) {
	slices.SortFunc(list, func(a, b *entry) int {
		return cmp.Or(
			-cmp.Compare(min(rank(a.model), 1), min(rank(b.model), 1)),
			cmp.Compare(a.order, b.order),
			-cmp.Compare(rank(a.model), rank(b.model)),
			cmp.Compare(len(a.model.ID), len(b.model.ID)),
			cmp.Compare(a.model.ID, b.model.ID))
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
