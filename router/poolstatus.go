package router

import (
	"cmp"
	"slices"
	"time"

	"detour/internal/llm"
	"detour/providers"
)

// AccountStatus is how an account fares, for people.
type AccountStatus struct {
	ID       string         `json:"id"`
	Provider string         `json:"provider"`
	Tier     providers.Tier `json:"tier"`
	State    string         `json:"state"` // ok, or the kind of failure
	Why      string         `json:"why,omitempty"`
	Until    time.Time      `json:"until,omitzero"`
	Models   []string       `json:"resting_models,omitempty"`
	// Premium says why models that cost premium requests are not served though the account is; PremiumUntil, how long.
	Premium      string    `json:"premium,omitempty"`
	PremiumUntil time.Time `json:"premium_until,omitzero"`
	// Session and Week are the upstream's own limits over some hours and over a week, as it said last; nil when it said
	// nothing, or they have filled up since.
	Session  *LimitStatus `json:"session,omitempty"`
	Week     *LimitStatus `json:"week,omitempty"`
	LastUsed time.Time    `json:"last_used,omitzero"`
	Served   int64        `json:"served"`
	Active   int          `json:"active"`
}

// LimitStatus is how much is left of a limit that fills up again.
type LimitStatus struct {
	Left   float64   `json:"left_percent"`
	Resets time.Time `json:"resets,omitzero"`
}

func limitStatus(w llm.Window, now time.Time) *LimitStatus {
	if !w.Known || !w.Resets.IsZero() && w.Resets.Before(now) {
		return nil
	}
	return &LimitStatus{w.Left, w.Resets}
}

// Status lists all accounts in configured order.
func (p *Pool) Status() []AccountStatus {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	out := make([]AccountStatus, 0, len(p.members))
	for _, m := range p.members {
		s := AccountStatus{
			ID: m.account.ID(), Provider: m.account.Provider(), Tier: cmp.Or(m.account.Config().Tier, providers.Active),
			State: "ok", Served: m.served, Active: m.active, LastUsed: m.used,
			Session: limitStatus(m.session, now), Week: limitStatus(m.week, now),
		}
		if p.resting(m.state, now) {
			s.State, s.Why, s.Until = m.state.kind.String(), m.state.why, m.state.until
		}
		if p.resting(m.premium, now) {
			s.Premium, s.PremiumUntil = m.premium.why, m.premium.until
		}
		for name, st := range m.models {
			if p.resting(st, now) {
				s.Models = append(s.Models, name)
			}
		}
		slices.Sort(s.Models)
		out = append(out, s)
	}
	return out
}
