package router

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"detour/internal/dialect"
	"detour/providers"
)

// Rule sends the requests that match it to a mode and to some accounts. Empty conditions match everything; in the
// others * stands for any text. A rule that names a model matches only requests that do.
type Rule struct {
	// Name is told in X-Detour-Route and in errors; it must be fit for a header.
	Name                            string
	Door, Host, Path, Model, Client string
	// Mode is "" to leave it to what comes after the rules.
	Mode                Mode
	Providers, Accounts []string // that may serve; empty for all
}

// Profile is what holds for requests whose path begins with its name on the API door.
type Profile struct {
	Name                         string
	Mode                         Mode // "" for the door's
	Providers, Accounts, Clients []string
}

// Client is the client key that a request came with, and what it may use. Empty lists allow everything.
type Client struct {
	Name                        string
	Providers, Models, Accounts []string // * in a model stands for any text
	// Holds tells whether the key is still in force. It is asked before each message of a WebSocket; nil: always.
	Holds func() bool
}

// route is what was decided of a request before its model was looked for.
type route struct {
	mode                Mode
	by                  string // what decided the mode, for people and X-Detour-Route
	providers, accounts []string
	limitedBy           string // what brought providers and accounts, or ""
}

// question is what a route is decided from.
type question struct {
	door, host, path, client string
	model                    string // as the client names it
	named                    bool   // model is known
	header, user             string // the request's own wish: X-Route-Mode, the proxy's user name
	provider                 string // whose host was called
	profile                  *Profile
}

// decide asks the rules in order, then applies the precedence: the request's own wish, the provider's mode, the door's.
// A profile takes the place of both. unsure says that the answer depends on the model, which q does not have.
func (t *table) decide(q *question) (rt route, unsure bool, err error) {
	if q.profile != nil {
		p := q.profile
		rt = route{mode: p.Mode, by: "profile=" + p.Name, providers: p.Providers, accounts: p.Accounts, limitedBy: "profile " + p.Name}
		if rt.mode == "" {
			rt.mode = t.APIMode
		}
		return rt, false, nil
	}
	for i := range t.Rules {
		r := &t.Rules[i]
		if r.refuses(q) != "" {
			continue
		}
		if r.Model != "" && !q.named {
			unsure = true
			continue
		}
		if unsure {
			return route{}, true, nil
		}
		rt = route{mode: r.Mode, by: "rule=" + t.ruleName(i), providers: r.Providers, accounts: r.Accounts, limitedBy: "rule " + t.ruleName(i)}
		break
	}
	if unsure {
		return route{}, true, nil
	}
	if rt.mode != "" {
		if q.host == "" && (rt.mode == ModePassthrough || rt.mode == ModeSwitch) {
			err = fmt.Errorf("%s wants route mode %q, which needs an original host, and only the proxy door has one", rt.limitedBy, rt.mode)
		}
		return rt, false, err
	}
	mode, by, err := t.precedence(q)
	rt.mode = mode
	if rt.by == "" {
		rt.by = by
	}
	return rt, false, err
}

// ruleName is the name of rule i, or else its place.
func (t *table) ruleName(i int) string {
	if n := t.Rules[i].Name; n != "" {
		return n
	}
	return fmt.Sprintf("#%d", i+1)
}

// refuses names the condition of r that q does not meet, "" when there is none. A model that is not known is none.
func (r *Rule) refuses(q *question) string {
	switch {
	case r.Door != "" && r.Door != q.door:
		return "door"
	case r.Host != "" && !glob(r.Host, q.host):
		return "host"
	case r.Path != "" && !glob(r.Path, q.path):
		return "path"
	case r.Client != "" && !glob(r.Client, q.client):
		return "client"
	case r.Model != "" && q.named && (q.model == "" || !glob(r.Model, q.model)):
		return "model"
	}
	return ""
}

// precedence is what decides where no rule does.
func (t *table) precedence(q *question) (Mode, string, error) {
	if q.header != "" {
		m, err := ParseMode(strings.ToLower(q.header))
		if err == nil && q.host == "" && (m == ModePassthrough || m == ModeSwitch) {
			err = fmt.Errorf("route mode %q needs an original host, which only the proxy door has", m)
		}
		return m, "header", err
	}
	if q.host == "" {
		return t.APIMode, "door", nil
	}
	if m, err := ParseMode(q.user); err == nil {
		return m, "proxy-user", nil
	}
	if m, ok := t.ProviderModes[q.provider]; ok {
		return m, "provider=" + q.provider, nil
	}
	return t.ProxyMode, "door", nil
}

// glob tells whether s fits pattern, in which * stands for any text.
func glob(pattern, s string) bool {
	first, rest, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == s
	}
	if !strings.HasPrefix(s, first) {
		return false
	}
	s = s[len(first):]
	for {
		part, more, star := strings.Cut(rest, "*")
		if !star {
			return strings.HasSuffix(s, part)
		}
		i := strings.Index(s, part)
		if i < 0 {
			return false
		}
		s, rest = s[i+len(part):], more
	}
}

// profile returns the profile that a path on the API door begins with, and the path below it.
func (t *table) profile(path string) (*Profile, string) {
	if len(t.Profiles) == 0 {
		return nil, path
	}
	name, rest, ok := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	if !ok {
		return nil, path
	}
	for i := range t.Profiles {
		if t.Profiles[i].Name == name {
			return &t.Profiles[i], "/" + rest
		}
	}
	return nil, path
}

// admits tells whether a client key may use the profile.
func (p *Profile) admits(client string) bool {
	return len(p.Clients) == 0 || slices.ContainsFunc(p.Clients, func(c string) bool { return client != "" && glob(c, client) })
}

// refusal says why a client key may not use the profile.
func (p *Profile) refusal(client string) string {
	if client == "" {
		return fmt.Sprintf("the profile %s asks for a client key, and the request came with none", p.Name)
	}
	return fmt.Sprintf("the profile %s is not for the client key %s", p.Name, client)
}

// allowed lists the accounts that both rt and c leave; nil for all of them.
func (t *table) allowed(rt *route, c *Client) []string {
	if len(rt.providers)+len(rt.accounts)+len(c.Providers)+len(c.Accounts) == 0 {
		return nil
	}
	has := func(list []string, s string) bool { return len(list) == 0 || slices.Contains(list, s) }
	out := []string{}
	for _, a := range t.Accounts {
		if has(rt.providers, a.Provider()) && has(rt.accounts, a.ID()) && has(c.Providers, a.Provider()) && has(c.Accounts, a.ID()) {
			out = append(out, a.ID())
		}
	}
	return out
}

// narrow keeps the wish within what the route and the client key allow.
func (x *exchange) narrow() *dialect.Failure { return x.narrowTo(x.name) }

// narrowTo is narrow for a model that is called name: by the client, or by the owner who lets it stand in.
func (x *exchange) narrowTo(name string) *dialect.Failure {
	if c := &x.client; len(c.Models) > 0 {
		fits := func(model string) bool {
			return slices.ContainsFunc(c.Models, func(p string) bool { return glob(p, model) })
		}
		if !fits(name) && !fits(x.wish.Model) {
			return &dialect.Failure{Status: http.StatusForbidden, Code: "key_scope", Param: "model",
				Message: fmt.Sprintf("detour: the client key %s may not use the model `%s`; it may use %s.", c.Name, clip(name), strings.Join(c.Models, ", "))}
		}
	}
	allowed := x.table.allowed(&x.route, &x.client)
	if allowed == nil {
		return nil
	}
	left := allowed
	if x.wish.Accounts != nil {
		left = slices.DeleteFunc(slices.Clone(x.wish.Accounts), func(id string) bool { return !slices.Contains(allowed, id) })
	}
	if x.wish.Provider != "" {
		left = slices.DeleteFunc(slices.Clone(left), func(id string) bool {
			return !slices.ContainsFunc(x.table.Accounts, func(a *providers.Account) bool { return a.ID() == id && a.Provider() == x.wish.Provider })
		})
	}
	if x.wish.Accounts = left; len(left) > 0 {
		return nil
	}
	by, code := x.route.limitedBy, "route_excludes_model"
	if len(x.client.Providers)+len(x.client.Accounts) > 0 {
		by, code = "client key "+x.client.Name, "key_scope"
	}
	what := "no account that is there"
	if len(allowed) > 0 {
		what = "only " + strings.Join(allowed, ", ")
	}
	return &dialect.Failure{Status: http.StatusForbidden, Code: code, Param: "model",
		Message: fmt.Sprintf("detour: the %s allows %s, and the model `%s` cannot be served by that.", by, what, clip(name))}
}
