package router

import (
	"slices"
	"time"

	"detour/providers"
)

// AccountState is a limit that an account has met: what of a pool is worth more than the life of a process.
type AccountState struct {
	Account string
	Scope   string // "account", "premium" for models that cost premium requests, or "model"
	Model   string // with scope "model"
	Kind    string
	Until   time.Time
}

// outlasting are the kinds of states that a new process would only find out by running into them again. Failures that
// a person can mend are not among them: starting detour again is how people try whether they did.
func outlasting() []providers.Kind {
	return []providers.Kind{providers.KindRateLimit, providers.KindQuota, providers.KindModel}
}

// States lists the limits that hold now, in an order that is always the same.
func (r *Router) States() []AccountState { return r.table.Load().pool.states() }

// Restore puts back what States listed in another process. It is for the time before the first request.
func (r *Router) Restore(states []AccountState) { r.table.Load().pool.restore(states) }

func (p *Pool) states() []AccountState {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	var out []AccountState
	add := func(m *member, scope, model string, s state) {
		if p.resting(s, now) && slices.Contains(outlasting(), s.kind) {
			out = append(out, AccountState{m.account.ID(), scope, model, s.kind.String(), s.until})
		}
	}
	for _, m := range p.members {
		add(m, "account", "", m.state)
		add(m, "premium", "", m.premium)
		from := len(out)
		for name, s := range m.models {
			add(m, "model", name, s)
		}
		slices.SortFunc(out[from:], func(a, b AccountState) int {
			if a.Model < b.Model {
				return -1
			}
			return 1
		})
	}
	return out
}

// restore notes states that still hold. A reset that is far away is checked once, as if it had just been said: a
// person may have bought more meanwhile.
func (p *Pool) restore(states []AccountState) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	for _, st := range states {
		i := slices.IndexFunc(p.members, func(m *member) bool { return m.account.ID() == st.Account })
		k := slices.IndexFunc(outlasting(), func(k providers.Kind) bool { return k.String() == st.Kind })
		if i < 0 || k < 0 {
			continue
		}
		m, s := p.members[i], state{kind: outlasting()[k], why: "met before detour was started", until: st.Until}
		if !p.resting(s, now) {
			continue
		}
		if s.limit() && s.until.Sub(now) > longReset {
			s.check = now
		}
		switch st.Scope {
		case "account":
			m.state = s
		case "premium":
			m.premium = s
		case "model":
			m.models[st.Model] = s
		}
	}
}
