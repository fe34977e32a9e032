package router

import (
	"net/http"

	"github.com/tidwall/gjson"

	"detour/internal/dialect"
	"detour/internal/llm"
	"detour/providers"
)

// meter notes what an answer that begins is expected to cost, and what its headers say of the account.
func (x *exchange) meter(p providers.Provider, a *providers.Account, h http.Header) {
	x.rec.Upstream = string(x.call.Endpoint)
	x.told, x.asks = llm.Usage{}, 0
	m, ok := p.(providers.Meter)
	if !ok {
		return
	}
	call := x.call
	call.Model = x.served(a)
	x.asks = m.Premium(a, &call)
	if told := m.Allowance(h); told.Known {
		x.rec.Allowance = told
	}
}

// charge adds up what an answer cost, however it ended. An attempt that failed was charged for all the same, so the
// costs of attempts add up.
func (x *exchange) charge(p providers.Provider, a *providers.Account) {
	u := x.told
	x.rec.Usage.Add(u)
	if m, ok := p.(providers.Meter); ok && !m.ByTokens(a, u) {
		x.rec.Premium += x.asks
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

// embeddingUsage reads the tokens of an answer that is not a stream and no conversation; counted tokens have none.
func embeddingUsage(body []byte) (u llm.Usage) {
	usage := gjson.GetBytes(body, "usage")
	if n := usage.Get("prompt_tokens"); n.Type == gjson.Number && n.Int() >= 0 {
		u.Input, u.Reported = dialect.Tokens([]byte(n.Raw)), true
		dialect.ReadCost(&u, []byte(usage.Raw))
	}
	return u
}
