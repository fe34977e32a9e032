package router

import (
	"net/http"

	"github.com/tidwall/gjson"

	"detour/internal/llm"
	"detour/providers"
)

// meter notes what an answer that begins is expected to cost, and what its headers say of the account. An attempt that
// fails later was charged for all the same, so the costs of attempts add up.
func (x *exchange) meter(p providers.Provider, a *providers.Account, h http.Header) {
	x.rec.Upstream = string(x.call.Endpoint)
	m, ok := p.(providers.Meter)
	if !ok {
		return
	}
	call := x.call
	if call.Verbatim { // its model was not looked for
		if e, known := x.table.models.known().find(call.Model.ID, scope{provider: a.Provider()}); known {
			call.Model = e.model
		}
	}
	x.rec.Premium += m.Premium(a, &call)
	if told := m.Allowance(h); told.Known {
		x.rec.Allowance = told
	}
}

// embeddingUsage reads the tokens of an answer that is not a stream and no conversation; counted tokens have none.
func embeddingUsage(body []byte) llm.Usage {
	n := gjson.GetBytes(body, "usage.prompt_tokens")
	if n.Type != gjson.Number || n.Int() < 0 {
		return llm.Usage{}
	}
	return llm.Usage{Input: n.Int(), Reported: true}
}
