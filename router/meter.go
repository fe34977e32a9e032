package router

import (
	"net/http"

	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"

	"detour/internal/dialect"
	"detour/internal/llm"
	"detour/providers"
)

// meter notes what an answer that begins is expected to cost, and what its headers say of the account.
func (x *exchange) meter(p providers.Provider, a *providers.Account, h http.Header) {
	x.rec.Upstream = string(x.call.Endpoint)
	x.told, x.premium = llm.Usage{}, 0
	m, ok := p.(providers.Meter)
	if !ok {
		return
	}
	call := x.call
	call.Model = x.served(a)
	x.premium = m.Premium(a, &call)
	told := m.Allowance(h)
	if told.Known {
		x.rec.Allowance = told
	}
	if told.Session.Known || told.Week.Known {
		x.table.pool.tell(a, told.Session, told.Week)
	}
}

// charge adds up what an answer cost, however it ended. An attempt that failed was charged for all the same, so the
// costs of attempts add up.
func (x *exchange) charge(p providers.Provider, a *providers.Account) {
	u := x.told
	x.rec.Usage.Add(u)
	if m, ok := p.(providers.Meter); ok && !m.ByTokens(a, u) {
		x.rec.Premium += x.premium
		return
	}
	if u.Priced || !u.Reported {
		return
	}
	if n, ok := x.served(a).Cost.Estimate(u); ok {
		x.rec.EstimatedNanoAIU += n
	}
}

// served is the model that a was asked for, as far as it is known.
func (x *exchange) served(a *providers.Account) providers.Model {
	if x.call.Verbatim { // it was not looked for
		if e, known := x.table.models.known().find(x.call.Model.ID, scope{provider: a.Provider()}); known {
			return e.model
		}
	}
	return x.call.Model
}

// asksUsage tells whether a is asked for the usage of a stream though the client did not ask: some upstreams tell it in
// Chat to those alone who do, and what is not told can neither be recorded nor count for a budget. The client does not
// get the frame that it comes in.
func (x *exchange) asksUsage(a *providers.Account) bool {
	if x.call.Endpoint != dialect.EndpointChat || !x.call.Stream || x.call.Verbatim || x.translation != nil {
		return false
	}
	t, ok := x.table.Providers[a.Provider()].(providers.Targeter)
	if !ok || !t.Target(x.call.Model).UsageIfAsked {
		return false
	}
	o := gjson.GetBytes(x.call.Body, "stream_options")
	return (o.IsObject() || o.Type == gjson.Null) && !o.Get("include_usage").Bool()
}

// withUsage is a request in Chat that asks for the usage of its stream.
func withUsage(body []byte) ([]byte, error) {
	if o := gjson.GetBytes(body, "stream_options"); !o.IsObject() {
		return sjson.SetRawBytes(body, "stream_options", []byte(`{"include_usage":true}`))
	}
	return sjson.SetBytes(body, "stream_options.include_usage", true)
}

// embeddingUsage reads the tokens of an answer that is not a stream and no conversation; counted tokens have none.
func embeddingUsage(body []byte) (u llm.Usage) {
	usage := gjson.GetBytes(body, "usage")
	if n := usage.Get("prompt_tokens"); n.Type == gjson.Number && n.Int() >= 0 {
		u.Input, u.Reported = dialect.Tokens([]byte(n.Raw)), true
		dialect.ReadCost(&u, []byte(usage.Raw))
	}
	return u
}
