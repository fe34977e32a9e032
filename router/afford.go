package router

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"detour/internal/budget"
	"detour/internal/dialect"
	"detour/providers"
)

// afford keeps the wish within the owner's budgets. A spent one leaves the request to the accounts that it does not bind,
// and ends it if there are none.
func (x *exchange) afford() *dialect.Failure {
	b := x.table.Budget
	if b == nil {
		return nil
	}
	var spent *budget.Exceeded
	var left []string
	for _, a := range x.table.Accounts {
		if x.wish.Accounts != nil && !slices.Contains(x.wish.Accounts, a.ID()) {
			continue
		}
		if e := b.Check(x.client.Name, a.ID(), x.costsPremium(a)); e == nil {
			left = append(left, a.ID())
		} else if spent == nil || e.Resets.Before(spent.Resets) {
			spent = e
		}
	}
	if spent == nil {
		return nil
	}
	if x.wish.Accounts = left; len(left) == 0 {
		return x.overBudget(spent)
	}
	return nil
}

// costsPremium tells whether a would have to spend premium requests on the exchange.
func (x *exchange) costsPremium(a *providers.Account) bool {
	m, ok := x.table.Providers[a.Provider()].(providers.Meter)
	if !ok {
		return false
	}
	call := x.call
	call.Model = x.served(a)
	return m.Premium(a, &call) > 0
}

// overBudget is the answer of a budget that is spent. Retrying helps nobody before it begins anew, and clients that
// can be told so are.
func (x *exchange) overBudget(e *budget.Exceeded) *dialect.Failure {
	x.retryAfter(e.Resets.Sub(x.table.Now()))
	x.w.Header().Set("X-Should-Retry", "false")
	return &dialect.Failure{Status: http.StatusTooManyRequests, Code: "budget_exceeded", Message: "detour: " + e.Error()}
}

// Pace bounds how fast requests may follow one another. Zero values do not.
type Pace struct {
	MinInterval time.Duration // between two requests
	PerMinute   int
}

// paces holds the clocks of one Pace: one for each account, or client key.
type paces struct {
	Pace
	what string // "account" or "client"

	mu  sync.Mutex // guards what follows
	all map[string]*pacer
}

// pacer is the clock of one account or client key.
type pacer struct{ interval, minute *rate.Limiter }

func newPaces(what string, p Pace) *paces {
	return &paces{Pace: p, what: what, all: map[string]*pacer{}}
}

// inherit takes over the clocks of old if the pace is the same.
func (p *paces) inherit(old *paces) {
	if p.Pace != old.Pace {
		return
	}
	old.mu.Lock()
	defer old.mu.Unlock()
	p.all = old.all
	old.all = map[string]*pacer{}
}

// wait holds a request of name back until its turn, if that is within the time that r has left for waiting.
func (p *paces) wait(ctx context.Context, name string, r *rounds) *providers.Error {
	if p.MinInterval <= 0 && p.PerMinute <= 0 {
		return nil
	}
	now := time.Now()
	var held []*rate.Reservation
	var delay time.Duration
	of := p.of(name)
	for _, l := range []*rate.Limiter{of.interval, of.minute} {
		if l != nil {
			res := l.ReserveN(now, 1)
			held = append(held, res)
			delay = max(delay, res.DelayFrom(now))
		}
	}
	if delay == 0 || r.sleep(ctx, delay) {
		return nil
	}
	for _, res := range held {
		res.CancelAt(now)
	}
	setting := "limits." + p.what + "_min_interval"
	if p.PerMinute > 0 && (of.minute.TokensAt(now) < 1 || p.MinInterval <= 0) {
		setting = "limits." + p.what + "_per_minute"
	}
	return &providers.Error{Kind: providers.KindRateLimit, RetryAfter: delay, Failure: dialect.Failure{
		Status: http.StatusTooManyRequests, Code: "paced",
		Message: fmt.Sprintf("detour: the %s %s has had its share for now; %s of this detour's configuration says so", p.what, cmp.Or(name, "without a key"), setting),
	}}
}

func (p *paces) of(name string) *pacer {
	p.mu.Lock()
	defer p.mu.Unlock()
	of := p.all[name]
	if of == nil {
		of = &pacer{}
		if p.MinInterval > 0 {
			of.interval = rate.NewLimiter(rate.Every(p.MinInterval), 1)
		}
		if p.PerMinute > 0 {
			of.minute = rate.NewLimiter(rate.Limit(float64(p.PerMinute)/60), p.PerMinute)
		}
		p.all[name] = of
	}
	return of
}
