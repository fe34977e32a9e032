package router

import (
	"cmp"
	"fmt"
	"maps"
	"time"

	"detour/providers"
)

// state is why an account rests. The zero state means that it does not.
type state struct {
	kind  providers.Kind
	why   string
	since time.Time // when that was noted
	until time.Time
	// check is when one exchange may test a reset that is far away; the zero time when nothing is left to test.
	check time.Time
	// open says that the circuit is broken: nobody is sent there before until, and then one exchange at first.
	open bool
}

// soft states make an account the last choice instead of none: the next try may well succeed.
func (s state) soft() bool {
	if s.open {
		return false
	}
	switch s.kind {
	case providers.KindNetwork, providers.KindServer, providers.KindStalled, providers.KindIncomplete, providers.KindOverloaded, providers.KindUnknown:
		return true
	}
	return false
}

// refuted tells whether the good end of an attempt shows that s holds no longer: not if s was noted while the attempt
// was under way, such as a limit that others met during a long answer.
func (s state) refuted(begun, ended time.Time) bool {
	return !s.since.After(begun) || s.since.After(ended)
}

func (s state) limit() bool {
	return s.kind == providers.KindRateLimit || s.kind == providers.KindQuota
}

// note records a failure as a state. Failures that are nobody's, or the client's, leave none.
func (p *Pool) note(m *member, w Wish, e *providers.Error) {
	now := p.now()
	s := state{kind: e.Kind, why: describe(e), since: now}
	rest := e.RetryAfter
	switch e.Kind {
	case providers.KindInvalid, providers.KindTooLong, providers.KindCanceled, providers.KindEndpoint:
		return
	case providers.KindModel:
		s.until = now.Add(max(rest, 10*time.Minute))
		p.restModel(m, w.Model, s)
		return
	case providers.KindOverloaded:
		s.until = now.Add(cmp.Or(rest, p.cfg.Cooldown))
		if e.PerModel {
			p.restModel(m, w.Model, s) // the account's other models are as well as ever
		} else {
			m.state = s
		}
		return
	case providers.KindRateLimit, providers.KindQuota:
		p.limit(m, w, e, s, now)
		return
	case providers.KindLogin, providers.KindSuspended, providers.KindPolicy, providers.KindAuth:
		rest = cmp.Or(rest, 10*time.Minute) // only its owner can help; look again now and then
	case providers.KindNetwork, providers.KindServer, providers.KindStalled, providers.KindIncomplete:
		if m.broken++; m.broken >= breakAfter {
			s.open = true
			rest = max(rest, breakFor)
			break
		}
		rest = cmp.Or(rest, p.cfg.Cooldown)
	default:
		rest = cmp.Or(rest, p.cfg.Cooldown)
	}
	s.until = now.Add(rest)
	m.state = s
}

// restModel notes a state of one model. Clients name models as they like, so those that are well again are forgotten.
func (p *Pool) restModel(m *member, model string, s state) {
	if len(m.models) >= maxModels {
		maps.DeleteFunc(m.models, func(_ string, old state) bool { return !p.resting(old, s.since) })
	}
	if len(m.models) < maxModels {
		m.models[model] = s
	}
}

// limit notes a limit: of one model, of the models that cost premium requests, or of the account. A reset that is far
// away is checked once before it is believed.
func (p *Pool) limit(m *member, w Wish, e *providers.Error, s state, now time.Time) {
	rest := p.restOf(e)
	s.until = now.Add(rest)
	before := m.state
	store := func(s state) { m.state = s }
	switch {
	case e.Kind == providers.KindRateLimit && e.PerModel:
		before, store = m.models[w.Model], func(s state) { p.restModel(m, w.Model, s) }
	case e.Kind == providers.KindQuota && w.Premium:
		before, store = m.premium, func(s state) { m.premium = s }
	}
	known := before.kind == e.Kind && p.resting(before, now)
	switch {
	case rest <= longReset:
	case !known:
		s.check = now.Add(p.cfg.Cooldown)
	case now.Before(before.check): // said by an exchange that began before; the check is still to come
		s.check = before.check
	}
	store(s)
}

// restOf is how long an account rests that met the limit e.
func (p *Pool) restOf(e *providers.Error) time.Duration {
	switch {
	case e.RetryAfter > 0:
		return e.RetryAfter
	case e.Kind == providers.KindQuota:
		return time.Hour
	case e.Lasting:
		return max(p.cfg.Cooldown, lastingLimit)
	}
	return p.cfg.Cooldown
}

// back is how long it takes until w can be served after it met the limit e: until the account is asked again, or with
// FailoverOnLimit the soonest of all that may serve. A spent allowance may be filled up at any time, so of that only
// what the upstream says is told.
func (p *Pool) back(w Wish, e *providers.Error) time.Duration {
	wait := e.RetryAfter
	if e.Kind == providers.KindRateLimit {
		wait = p.restOf(e)
	}
	if !p.cfg.FailoverOnLimit {
		return wait
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	w.Tried, w.Waited = nil, ""
	for _, m := range p.members {
		if s, ok := p.fit(m, w, now); ok && s.limit() && wait > 0 {
			wait = min(wait, max(s.until.Sub(now), 0))
		}
	}
	return wait
}

func describe(e *providers.Error) string {
	return cmp.Or(e.Hint, e.Failure.Message, e.Error())
}

func reason(m *member, s state) string {
	return fmt.Sprintf("%s: %s, until %s (%s)", m.account.ID(), s.kind, s.until.UTC().Format(time.RFC3339), clip(s.why))
}

func (e *NoAccountError) add(s state, reason string) {
	if e.Until.IsZero() || s.until.Before(e.Until) {
		e.Until, e.Kind = s.until, s.kind
	}
	e.Reasons = append(e.Reasons, reason)
}
