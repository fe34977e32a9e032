package copilot

import (
	"net/http"

	"github.com/tidwall/gjson"

	"detour/internal/dialect"
	"detour/internal/llm"
	"detour/providers"
)

// Premium implements providers.Meter: what a person asks costs the model's multiplier, what an agent does by itself
// nothing, and neither do embeddings and counted tokens.
func (p *Provider) Premium(a *providers.Account, c *providers.Call) float64 {
	switch c.Endpoint {
	case dialect.EndpointChat, dialect.EndpointResponses, dialect.EndpointMessages:
	default:
		return 0
	}
	st, err := stateOf(a)
	if err != nil || c.Model.Multiplier == 0 || st.initiator(c) != llm.InitiatorUser {
		return 0
	}
	return c.Model.Multiplier
}

// ByTokens implements providers.Meter. GitHub says it of an account where it tells about the account's use, and by the
// prices in answers. An account of which it said neither counts as one that has premium requests.
func (p *Provider) ByTokens(a *providers.Account, u llm.Usage) bool {
	st, err := stateOf(a)
	if err != nil {
		return false
	}
	if u.NanoAIU > 0 {
		st.byTokens.Store(true)
	}
	return st.byTokens.Load()
}

// noteBilling keeps what an answer of the management plane says of how the account is charged, if it says it.
func (st *state) noteBilling(answer gjson.Result) {
	if v := answer.Get("token_based_billing"); v.IsBool() {
		st.byTokens.Store(v.Bool())
	}
}

// Allowance implements providers.Meter. Accounts whose premium requests are unlimited, or that have none, tell nothing of
// them that is worth keeping.
func (p *Provider) Allowance(h http.Header) llm.Allowance {
	out := premium(h)
	out.Session, out.Week = window(h, "X-Usage-Ratelimit-Session"), window(h, "X-Usage-Ratelimit-Weekly")
	return out
}

func window(h http.Header, key string) llm.Window {
	v := h[key]
	if len(v) == 0 {
		return llm.Window{}
	}
	q, ok := quotaHeader("", v[0])
	if !ok || q.Percent < 0 || q.Percent > 100 {
		return llm.Window{}
	}
	return llm.Window{Left: q.Percent, Resets: q.Resets, Known: true}
}

func premium(h http.Header) llm.Allowance {
	for _, key := range []string{"X-Quota-Snapshot-Premium_models", "X-Quota-Snapshot-Premium_interactions"} {
		v := h[key]
		if len(v) == 0 {
			continue
		}
		q, ok := quotaHeader("premium", v[0])
		if !ok || q.Entitlement <= 0 {
			continue
		}
		left := q.Remaining
		if left < 0 { // older answers tell the share alone
			if q.Percent < 0 {
				continue
			}
			left = q.Entitlement * q.Percent / 100
		}
		return llm.Allowance{Used: max(0, q.Entitlement-left) + q.OverageCount, Left: left, Resets: q.Resets, Known: true}
	}
	return llm.Allowance{}
}
