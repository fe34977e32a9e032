package router

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"detour/internal/llm"
	"detour/providers"
)

// PoolConfig says how accounts are chosen. Zero values mean the documented defaults.
type PoolConfig struct {
	Strategy string // round_robin (default), fill_first, least_used
	// Cooldown is how long an account rests after a failure that names no time itself; 0 means a minute.
	Cooldown time.Duration
	// AffinityTTL is how long a conversation stays with its account after its last request; 0 means an hour.
	AffinityTTL time.Duration
	// FailoverOnLimit lets an exchange go on with another account when one is rate-limited or out of quota.
	FailoverOnLimit bool
}

const (
	// maxAffinities bounds the memory of conversations; the one that was quiet longest is forgotten first.
	maxAffinities = 10_000
	// maxModels bounds the models of an account that rest by themselves.
	maxModels = 1000
	// breakAfter failures in a row that are the upstream's, an account is left alone for breakFor; then one exchange
	// tries whether it is well again.
	breakAfter = 5
	breakFor   = 30 * time.Second
	// longReset is how far away a reset may be without being checked once: an upstream that names a time next month
	// is often wrong, and a person may have bought more meanwhile.
	longReset = 10 * time.Minute
	// lastingLimit is the rest of an account whose limit is one of hours, when the upstream does not say how many.
	lastingLimit = 30 * time.Minute
	// clockSlack is how far clocks are corrected without meaning anything.
	clockSlack = time.Minute
)

// Pool chooses accounts and remembers how they fared. It is safe for concurrent use.
type Pool struct {
	cfg PoolConfig
	now func() time.Time

	mu       sync.Mutex // guards what follows
	members  []*member
	next     int // round robin over new conversations
	affinity map[uint64]*binding
}

type member struct {
	account *providers.Account
	served  int64     // successful exchanges
	active  int       // exchanges under way
	used    time.Time // when an exchange ended last
	state   state
	premium state            // premium requests are spent; models that cost none still work
	models  map[string]state // states that concern one model only
	broken  int              // failures of the upstream's in a row
	session llm.Window       // what the upstream said last of its limits
	week    llm.Window
	trial   uint64 // conversation whose exchange tries whether the account is well again; 0 for none
}

type binding struct {
	account string
	used    time.Time
}

// NewPool makes a pool of accounts, in the order in which they are configured. now is the wall clock.
func NewPool(cfg PoolConfig, accounts []*providers.Account, now func() time.Time) *Pool {
	cfg.Strategy = cmp.Or(cfg.Strategy, "round_robin")
	cfg.Cooldown = cmp.Or(cfg.Cooldown, time.Minute)
	cfg.AffinityTTL = cmp.Or(cfg.AffinityTTL, time.Hour)
	p := &Pool{cfg: cfg, now: now, affinity: map[uint64]*binding{}}
	for _, a := range accounts {
		p.members = append(p.members, &member{account: a, models: map[string]state{}})
	}
	return p
}

// inherit takes over what old knows of the accounts that both have, and its conversations. Exchanges under way report
// to old, which costs at most the news of their ends.
func (p *Pool) inherit(old *Pool) {
	old.mu.Lock()
	defer old.mu.Unlock()
	for _, m := range p.members {
		i := slices.IndexFunc(old.members, func(o *member) bool { return o.account == m.account })
		if i < 0 {
			continue
		}
		o := old.members[i]
		m.served, m.used, m.state, m.premium, m.models, m.broken = o.served, o.used, o.state, o.premium, maps.Clone(o.models), o.broken
		m.session, m.week = o.session, o.week
	}
	for k, b := range old.affinity {
		p.affinity[k] = &binding{b.account, b.used}
	}
	p.next = old.next % max(1, len(p.members))
}

// Wish says what a request needs of an account.
type Wish struct {
	Conversation uint64 // affinity key; 0 for none
	Model        string
	Provider     string   // "" for any
	Accounts     []string // those that list the model; nil for any
	Tried        []string // those that failed in this exchange
	Owner        string   // the account that alone can read what the request carries; "" for none
	Premium      bool     // the model costs premium requests
	Waited       string   // the account whose limit the exchange waited out; "" for none
	// Begun is when the attempt began. What is learned of an account meanwhile outlives the attempt's good end.
	Begun time.Time
}

// NoAccountError says why nobody can serve a request.
type NoAccountError struct {
	Until   time.Time      // the soonest reset, zero when waiting does not help
	Kind    providers.Kind // of the account that comes back first
	Reasons []string       // one per account, for people
}

// Error implements error.
func (e *NoAccountError) Error() string {
	if len(e.Reasons) == 0 {
		return "no account is configured for this: run `detour login`"
	}
	s := "no account can serve this now"
	if len(e.Reasons) > 1 && !e.Until.IsZero() {
		s += "; the first may at " + e.Until.UTC().Format(time.RFC3339)
	}
	return s + ": " + strings.Join(e.Reasons, "; ")
}

// Pick returns the account that should serve w. A conversation that an account served before stays with it for as
// long as that account may serve at all; a new one goes to the next account by the pool's strategy.
func (p *Pool) Pick(w Wish) (*providers.Account, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()

	bound := cmp.Or(w.Owner, p.bound(w.Conversation, now))
	var active, fallback, soft, check []*member
	refusal := &NoAccountError{}
	for _, m := range p.members {
		s, ok := p.fit(m, w, now)
		if !ok {
			continue
		}
		name := m.account.ID()
		switch {
		case s.why == "":
			if name == bound {
				return p.take(m, w), nil
			}
			if m.account.Config().Tier == providers.Fallback {
				fallback = append(fallback, m)
			} else {
				active = append(active, m)
			}
		case s.soft():
			soft = append(soft, m)
		case !s.check.IsZero() && !now.Before(s.check) && m.trial == 0 && (bound == "" || name == bound || p.cfg.FailoverOnLimit):
			check = append(check, m)
		default:
			if name == bound && s.limit() && !p.cfg.FailoverOnLimit {
				return nil, &NoAccountError{Until: s.until, Kind: s.kind, Reasons: []string{reason(m, s)}}
			}
			refusal.add(s, reason(m, s))
		}
	}
	for _, candidates := range [][]*member{active, fallback, soft} {
		if len(candidates) > 0 {
			return p.take(p.choose(candidates), w), nil
		}
	}
	if len(check) > 0 {
		m := check[0]
		m.trial = w.identity()
		return p.take(m, w), nil
	}
	return nil, refusal
}

// identity tells one exchange's Pick and Release from those of others well enough: 0 stands for no conversation.
func (w Wish) identity() uint64 { return cmp.Or(w.Conversation, 1) }

// fit tells whether m may serve w at all, and the state that stands in its way just now.
func (p *Pool) fit(m *member, w Wish, now time.Time) (state, bool) {
	a := m.account
	switch {
	case a.Config().Tier == providers.Disabled,
		w.Provider != "" && a.Provider() != w.Provider,
		w.Accounts != nil && !slices.Contains(w.Accounts, a.ID()),
		slices.Contains(w.Tried, a.ID()):
		return state{}, false
	}
	waited := func(s state) bool { return w.Waited == a.ID() && s.limit() }
	if p.resting(m.state, now) && !waited(m.state) {
		return m.state, true
	}
	if m.state.open && m.trial != 0 { // half open, and somebody is trying already
		return state{kind: m.state.kind, why: m.state.why, until: now.Add(time.Second), open: true}, true
	}
	if w.Premium && p.resting(m.premium, now) && !waited(m.premium) {
		return m.premium, true
	}
	if s, ok := m.models[w.Model]; ok {
		if p.resting(s, now) && !waited(s) {
			return s, true
		}
		delete(m.models, w.Model)
	}
	return state{}, true
}

// resting tells whether s still holds. A clock that was set back must not keep an account out for hours or years: a
// state that was noted in what is the future now holds no longer, and no rest is believed to be longer than a month.
func (p *Pool) resting(s state, now time.Time) bool {
	return s.why != "" && now.Before(s.until) && s.until.Sub(now) < 32*24*time.Hour && s.since.Sub(now) < clockSlack
}

func (p *Pool) bound(key uint64, now time.Time) string {
	b, ok := p.affinity[key]
	if key == 0 || !ok {
		return ""
	}
	if now.Sub(b.used) > p.cfg.AffinityTTL {
		delete(p.affinity, key)
		return ""
	}
	return b.account
}

func (p *Pool) choose(of []*member) *member {
	switch p.cfg.Strategy {
	case "fill_first":
		return of[0]
	case "least_used":
		return slices.MinFunc(of, func(a, b *member) int {
			return cmp.Or(cmp.Compare(a.active, b.active), cmp.Compare(a.served, b.served))
		})
	}
	// Round robin in configured order, whoever is missing from the candidates just now.
	n := len(p.members)
	for i := range n {
		m := p.members[(p.next+i)%n]
		if slices.Contains(of, m) {
			p.next = (p.next + i + 1) % n
			return m
		}
	}
	return of[0]
}

func (p *Pool) take(m *member, w Wish) *providers.Account {
	m.active++
	if m.state.open && m.trial == 0 {
		m.trial = w.identity()
	}
	return m.account
}

// Release says that an attempt at a ended and how: nil for success. It must be called once for every Pick that
// returned an account.
func (p *Pool) Release(a *providers.Account, w Wish, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.IndexFunc(p.members, func(m *member) bool { return m.account == a })
	if i < 0 {
		return
	}
	m := p.members[i]
	m.active--
	m.used = p.now()
	if m.trial == w.identity() {
		m.trial = 0
	}
	if err == nil {
		m.served++
		m.broken = 0
		if m.state.refuted(w.Begun, m.used) {
			m.state = state{}
		}
		if w.Premium && m.premium.refuted(w.Begun, m.used) {
			m.premium = state{}
		}
		if m.models[w.Model].refuted(w.Begun, m.used) {
			delete(m.models, w.Model)
		}
		p.bind(w.Conversation, a.ID())
		return
	}
	p.note(m, w, providers.AsError(err))
}

// tell notes what the upstream of a says of its limits.
func (p *Pool) tell(a *providers.Account, session, week llm.Window) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.IndexFunc(p.members, func(m *member) bool { return m.account == a }); i >= 0 {
		p.members[i].session, p.members[i].week = session, week
	}
}

// Observe notes how an account fared outside an exchange, such as when it listed its models.
func (p *Pool) Observe(a *providers.Account, err error) {
	e := providers.AsError(err)
	switch e.Kind {
	case providers.KindLogin, providers.KindSuspended, providers.KindPolicy:
	default:
		if lease, failed := a.Current(); failed == nil || !lease.Token.IsZero() {
			return // what passes by itself says nothing of the next exchange
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.IndexFunc(p.members, func(m *member) bool { return m.account == a }); i >= 0 {
		p.note(p.members[i], Wish{}, e)
	}
}

func (p *Pool) bind(key uint64, account string) {
	if key == 0 {
		return
	}
	now := p.now()
	if b, ok := p.affinity[key]; ok {
		b.account, b.used = account, now
		return
	}
	if len(p.affinity) >= maxAffinities {
		p.forget(now)
	}
	p.affinity[key] = &binding{account, now}
}

// forget drops the bindings that ran out, or else a tenth of the rest, the quietest first.
func (p *Pool) forget(now time.Time) {
	var used []time.Time
	for k, b := range p.affinity {
		if now.Sub(b.used) > p.cfg.AffinityTTL {
			delete(p.affinity, k)
			continue
		}
		used = append(used, b.used)
	}
	if len(used) < maxAffinities {
		return
	}
	slices.SortFunc(used, time.Time.Compare)
	limit := used[len(used)/10]
	for k, b := range p.affinity {
		if !b.used.After(limit) {
			delete(p.affinity, k)
		}
	}
}
