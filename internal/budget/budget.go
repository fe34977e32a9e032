// Package budget holds an owner to limits of their own: so many credits, premium requests or tokens in a day or a month,
// for an account, a client key or everything together. What is spent is known when an exchange ends, so a limit can be
// passed by what is under way when it is reached, and by no more.
package budget

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Unit is what a limit counts.
type Unit string

// The units.
const (
	Credits         Unit = "credits"
	PremiumRequests Unit = "premium_requests"
	Tokens          Unit = "tokens"
)

// Period is the calendar period after which a limit begins anew, in the time zone of the clock.
type Period string

// The periods.
const (
	Day   Period = "day"
	Month Period = "month"
)

// Limit is one budget.
type Limit struct {
	Name string
	// Account and Client say whose spending counts: "" everybody's together, a name that one's, and with * in it the
	// spending of each that fits, by itself.
	Account, Client string
	Period          Period
	Unit            Unit
	Most            float64
	Warn            float64 // share of Most at which Tracker warns; 0 for never
}

// Amount is what an exchange cost.
type Amount struct {
	Credits, PremiumRequests, Tokens float64
	EstimatedCredits                 float64 // beside Credits, where an upstream named no price
}

// of is what counts in a unit. Premium requests are estimates, all of them; nothing sets those apart.
func (a Amount) of(u Unit) spending {
	switch u {
	case Credits:
		return spending{a.Credits + a.EstimatedCredits, a.EstimatedCredits}
	case Tokens:
		return spending{all: a.Tokens}
	}
	return spending{all: a.PremiumRequests}
}

// spending is an amount in one unit.
type spending struct{ all, estimated float64 }

func (s spending) plus(o spending) spending {
	return spending{s.all + o.all, s.estimated + o.estimated}
}

func (a *Amount) add(b Amount) {
	a.Credits += b.Credits
	a.EstimatedCredits += b.EstimatedCredits
	a.PremiumRequests += b.PremiumRequests
	a.Tokens += b.Tokens
}

// Exceeded says that a budget is spent. It implements error.
type Exceeded struct {
	Limit     Limit
	Spent     float64
	Estimated float64 // part of Spent, of a limit in credits
	Resets    time.Time
}

// Error implements error.
func (e *Exceeded) Error() string {
	part := ""
	switch {
	case e.Estimated <= 0:
	case e.Estimated < e.Spent:
		part = " (" + number(e.Estimated) + " of them estimated)"
	default:
		part = " (estimated)"
	}
	return fmt.Sprintf("the budget %s is spent: %s of %s %s this %s%s; it begins anew at %s",
		e.Limit.Name, number(e.Spent), number(e.Limit.Most), strings.ReplaceAll(string(e.Limit.Unit), "_", " "), e.Limit.Period, part, e.Resets.Format(time.RFC3339))
}

// number leaves out what adding up fractions leaves behind.
func number(f float64) string { return strconv.FormatFloat(math.Round(f*1e6)/1e6, 'f', -1, 64) }

// Tracker adds up what is spent. It is safe for concurrent use.
type Tracker struct {
	now  func() time.Time
	warn func(*Exceeded) // told once when a limit's share to warn at is passed, and once when all is spent

	mu     sync.Mutex // guards what follows
	limits []state
	days   map[day]Amount // of this month
	month  time.Time      // that days is of
}

// day is what one client spent at one account in a day.
type day struct {
	start           time.Time
	client, account string
}

// state is a limit with what was spent of it.
type state struct {
	Limit
	start time.Time // of the period that spent is of
	spent map[key]spending
	told  map[key]float64 // share of the limit that was warned of
}

type key struct{ client, account string }

// New makes a Tracker. now is the wall clock; warn may be nil and must not block.
func New(limits []Limit, now func() time.Time, warn func(*Exceeded)) *Tracker {
	t := &Tracker{now: now, warn: warn, days: map[day]Amount{}}
	t.SetLimits(limits)
	return t
}

// SetLimits replaces the limits; what was spent counts for the new ones too.
func (t *Tracker) SetLimits(limits []Limit) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.limits = make([]state, len(limits))
	for i, l := range limits {
		s := state{Limit: l}
		s.begin(startOf(l.Period, t.now()))
		for d, a := range t.days {
			if k, ok := l.covers(d.client, d.account); ok && !d.start.Before(s.start) {
				s.spent[k] = s.spent[k].plus(a.of(l.Unit))
			}
		}
		for k, v := range s.spent { // said before, by whoever held the limits then
			s.told[k] = v.all / l.Most
		}
		t.limits[i] = s
	}
}

func (s *state) begin(start time.Time) {
	s.start, s.spent, s.told = start, map[key]spending{}, map[key]float64{}
}

// startOf is the beginning of the period that t is in.
func startOf(p Period, t time.Time) time.Time {
	y, m, d := t.Date()
	if p == Month {
		d = 1
	}
	return time.Date(y, m, d, 0, 0, 0, 0, t.Location())
}

func endOf(p Period, start time.Time) time.Time {
	if p == Month {
		return start.AddDate(0, 1, 0)
	}
	return start.AddDate(0, 0, 1)
}

// covers tells whether spending of client at account counts for l, and whose sum it belongs to.
func (l *Limit) covers(client, account string) (key, bool) {
	a, okA := part(l.Account, account)
	c, okC := part(l.Client, client)
	return key{c, a}, okA && okC
}

func part(pattern, name string) (string, bool) {
	if pattern == "" {
		return "", true
	}
	prefix, suffix, star := strings.Cut(pattern, "*")
	if !star {
		return name, pattern == name
	}
	return name, name != "" && len(name) >= len(prefix)+len(suffix) && strings.HasPrefix(name, prefix) && strings.HasSuffix(name, suffix)
}

// Spend adds what client ("" for none) spent at account at a time. Times of other months than this are passed over.
func (t *Tracker) Spend(client, account string, at time.Time, a Amount) {
	if a == (Amount{}) {
		return
	}
	var warnings []*Exceeded
	t.mu.Lock()
	now := t.now()
	at = at.In(now.Location())
	if m := startOf(Month, now); !m.Equal(t.month) {
		t.month = m
		clear(t.days)
	}
	if startOf(Month, at).Equal(t.month) {
		d := day{startOf(Day, at), client, account}
		sum := t.days[d]
		sum.add(a)
		t.days[d] = sum
		for i := range t.limits {
			if w := t.limits[i].spend(client, account, at, now, a); w != nil {
				warnings = append(warnings, w)
			}
		}
	}
	t.mu.Unlock()
	for _, w := range warnings {
		if t.warn != nil {
			t.warn(w)
		}
	}
}

// spend adds to one limit and returns what is to be warned of, if anything.
func (s *state) spend(client, account string, at, now time.Time, a Amount) *Exceeded {
	k, ok := s.covers(client, account)
	amount := a.of(s.Unit)
	if !ok || amount.all == 0 {
		return nil
	}
	s.turn(now)
	if at.Before(s.start) {
		return nil
	}
	s.spent[k] = s.spent[k].plus(amount)
	share := s.spent[k].all / s.Most
	for _, mark := range []float64{1, s.Warn} {
		if mark > 0 && share >= mark {
			told := s.told[k]
			s.told[k] = max(told, share)
			if told < mark {
				return s.exceeded(k)
			}
			return nil
		}
	}
	return nil
}

// turn begins a new period when the last one is over.
func (s *state) turn(now time.Time) {
	if start := startOf(s.Period, now); !start.Equal(s.start) {
		s.begin(start)
	}
}

func (s *state) exceeded(k key) *Exceeded {
	v := s.spent[k]
	return &Exceeded{Limit: s.Limit, Spent: v.all, Estimated: v.estimated, Resets: endOf(s.Period, s.start)}
}

// Check returns the limit that lets client spend no more at account, nil when it may. premium tells whether what it wants
// to do costs premium requests: what costs none is let through when those are spent.
func (t *Tracker) Check(client, account string, premium bool) *Exceeded {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.limits) == 0 {
		return nil
	}
	now := t.now()
	for i := range t.limits {
		s := &t.limits[i]
		if s.Unit == PremiumRequests && !premium {
			continue
		}
		s.turn(now)
		if k, ok := s.covers(client, account); ok && s.spent[k].all >= s.Most {
			return s.exceeded(k)
		}
	}
	return nil
}

// Status is how one limit stands.
type Status struct {
	Limit
	Of        string // whose sum it is, "" for everybody's
	Spent     float64
	Estimated float64 // part of Spent, of a limit in credits
	Resets    time.Time
}

// Status lists the limits, and of those that are kept for each account or client by itself every one that spent.
func (t *Tracker) Status() []Status {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	var out []Status
	for i := range t.limits {
		s := &t.limits[i]
		s.turn(now)
		if len(s.spent) == 0 {
			out = append(out, Status{s.Limit, "", 0, 0, endOf(s.Period, s.start)})
		}
		for k, v := range s.spent {
			out = append(out, Status{s.Limit, strings.Trim(k.client+" "+k.account, " "), v.all, v.estimated, endOf(s.Period, s.start)})
		}
	}
	slices.SortStableFunc(out, func(a, b Status) int { return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Of, b.Of)) })
	return out
}
