package router

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	"detour/internal/dialect"
	"detour/internal/dialect/gemini"
)

// Question describes a request that somebody might send.
type Question struct {
	Method string // "" for what the path is served under
	Host   string // that the client calls on the proxy door; "" for the API door
	Path   string
	Alt    string // query parameter of that name, for Gemini
	Model  string // as the client names it, "" for none
	Client Client
	Header string // X-Route-Mode
	User   string // user name of the proxy URL
}

// Explanation is what detour would do with a request, and why.
type Explanation struct {
	Door      string     `json:"door"`
	Operation string     `json:"operation,omitempty"` // "" when detour would not serve it
	Rules     []RuleNote `json:"rules"`               // in order, up to the one that decides
	Mode      Mode       `json:"mode,omitempty"`
	DecidedBy string     `json:"decided_by,omitempty"`
	Outcome   string     `json:"outcome"` // serve, relay, tunnel, refuse
	// Model, Provider, Speaks and Accounts say who would serve it, in which dialect upstream.
	Model    string   `json:"model,omitempty"`
	ModelBy  string   `json:"model_by,omitempty"` // the setting, or else what it was that made it another than the client's
	Provider string   `json:"provider,omitempty"`
	Speaks   string   `json:"speaks,omitempty"`
	Accounts []string `json:"accounts,omitempty"`
	Fallback []string `json:"fallback,omitempty"`         // models that stand in for it
	Missing  []string `json:"fallback_missing,omitempty"` // those of them that no account has
	Why      string   `json:"why,omitempty"`              // it is refused, relayed or tunnelled
}

// RuleNote is a rule that was looked at.
type RuleNote struct {
	Name    string `json:"name"`
	Matches bool   `json:"matches"`
	Refused string `json:"refused,omitempty"` // by which of its conditions
}

// Explain tells what would happen to a request. It asks upstreams for their models if they are not known yet, and
// nothing else.
func (r *Router) Explain(ctx context.Context, q Question) Explanation {
	t := r.table.Load()
	s := t.lookup(q.Host)
	out := Explanation{Door: "api", Rules: []RuleNote{}}
	if q.Host != "" {
		out.Door = "proxy"
	}
	path := q.Path
	var profile *Profile
	if q.Host == "" {
		profile, path = t.profile(path)
	}
	if q.Method == "" {
		q.Method = s.usualMethod(path)
	}
	op, _, ok := s.match(asGet(q.Method), path, q.Alt)
	if ok {
		out.Operation = string(op.endpoint)
	}
	if codec, inPath := op.client.(gemini.Codec); inPath && q.Model == "" {
		q.Model = codec.Model
	}
	asked := question{
		door: out.Door, host: q.Host, path: path, client: q.Client.Name, model: q.Model, named: true,
		header: q.Header, user: q.User, provider: s.provider, profile: profile,
	}
	for i := range t.Rules {
		if profile != nil {
			break
		}
		refused := t.Rules[i].refuses(&asked)
		out.Rules = append(out.Rules, RuleNote{t.ruleName(i), refused == "", refused})
		if refused == "" {
			break
		}
	}
	rt, _, err := t.decide(&asked)
	out.Mode, out.DecidedBy = rt.mode, rt.by
	switch {
	case profile != nil && !profile.admits(q.Client.Name):
		out.refuse(profile.refusal(q.Client.Name))
	case err != nil:
		out.refuse(err.Error())
	case q.Host != "" && (!ok || rt.mode == ModePassthrough):
		out.Outcome, out.Why = "relay", "it goes to "+q.Host+" with the client's own credential"
		if !ok {
			out.Why = "detour does not serve this path, so " + out.Why
		}
	case !ok:
		out.refuse(fmt.Sprintf("the API door has no %s %s", q.Method, path))
	case op.endpoint == dialect.EndpointModels:
		out.Outcome = "serve"
	default:
		t.explainModel(ctx, &out, &exchange{table: t, op: op, client: q.Client, route: rt, name: q.Model}, t.switchesTo(s, path))
	}
	return out
}

// usualMethod is the method that path is served under: POST but for lists of models.
func (s *surface) usualMethod(path string) string {
	if m := s.methods(path); len(m) == 1 {
		return m[0]
	}
	return http.MethodPost
}

func (e *Explanation) refuse(why string) { e.Outcome, e.Why = "refuse", why }

// explainModel finds out who would serve x.
func (t *table) explainModel(ctx context.Context, out *Explanation, x *exchange, hostProvider string) {
	cat := t.models.whole(ctx)
	switch {
	case x.route.mode == ModeSwitch && hostProvider == "":
		out.refuse("route mode switch keeps to the provider whose host was called, and this host is nobody's that detour knows")
		return
	case x.route.mode == ModeSwitch:
		x.wish.Provider, x.wish.Model = hostProvider, x.name
		out.Speaks = string(x.op.endpoint)
	case x.name == "":
		out.refuse("a request must name its model")
		return
	default:
		res, err := t.Models.resolve(x.name, x.route.mode, cat, t.allowed(&x.route, &x.client))
		if err != nil {
			out.refuse(err.Error())
			return
		}
		x.wish.Model, x.wish.Provider, out.ModelBy = res.name, res.provider, res.by
		if e := res.entry; e != nil {
			if len(e.accounts) == 0 {
				out.refuse(switchedOff(res.name))
				return
			}
			x.wish.Provider, x.wish.Accounts = e.provider, e.accounts
			out.Speaks = string(t.speaks(x.op.endpoint, e))
		}
		if f := t.standIns(x.name, res.name); f != nil {
			out.Fallback = f.Then
			for _, name := range f.Then {
				if !t.Models.leads(name, cat) {
					out.Missing = append(out.Missing, name)
				}
			}
		}
	}
	out.Model, out.Provider = x.wish.Model, x.wish.Provider
	if f := x.narrow(); f != nil {
		out.refuse(f.Message)
		return
	}
	for _, a := range t.Accounts {
		if (x.wish.Accounts == nil || slices.Contains(x.wish.Accounts, a.ID())) && (x.wish.Provider == "" || a.Provider() == x.wish.Provider) {
			out.Accounts = append(out.Accounts, a.ID())
		}
	}
	if out.Outcome = "serve"; len(out.Accounts) == 0 {
		out.refuse("there is no account for it")
	}
}

// speaks is the dialect that e would be asked in.
func (t *table) speaks(want dialect.Endpoint, e *entry) dialect.Endpoint {
	if slices.Contains(e.native, want) {
		return want
	}
	for _, endpoint := range preference(want) {
		if slices.Contains(e.native, endpoint) {
			return endpoint
		}
	}
	return want
}
