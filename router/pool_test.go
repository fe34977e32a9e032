package router_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"detour/internal/dialect"
	"detour/providers"
	"detour/router"
)

// clock is a wall clock that tests set.
type clock struct{ t time.Time }

func newClock() *clock               { return &clock{time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)} }
func (c *clock) now() time.Time      { return c.t }
func (c *clock) add(d time.Duration) { c.t = c.t.Add(d) }

func accounts(ids ...string) []*providers.Account {
	var out []*providers.Account
	for _, id := range ids {
		tier := providers.Active
		if name, ok := strings.CutSuffix(id, "~fallback"); ok {
			id, tier = name, providers.Fallback
		}
		if name, ok := strings.CutSuffix(id, "~disabled"); ok {
			id, tier = name, providers.Disabled
		}
		out = append(out, providers.NewAccount(providers.AccountConfig{ID: id, Provider: "fake", Tier: tier}, nil))
	}
	return out
}

func pick(t *testing.T, p *router.Pool, w router.Wish, outcome error) string {
	t.Helper()
	a, err := p.Pick(w)
	if err != nil {
		t.Fatalf("pick %+v: %v", w, err)
	}
	p.Release(a, w, outcome)
	return a.ID()
}

func failure(k providers.Kind, after time.Duration) *providers.Error {
	return &providers.Error{Kind: k, RetryAfter: after, Failure: dialect.Failure{Message: "because"}}
}

func TestRoundRobinBalancesConversationsAndKeepsThem(t *testing.T) {
	t.Parallel()
	p := router.NewPool(router.PoolConfig{}, accounts("a", "b", "c", "d"), newClock().now)
	home, count := map[uint64]string{}, map[string]int{}
	for turn := range 5 {
		for conv := range uint64(500) {
			id := pick(t, p, router.Wish{Conversation: conv + 1, Model: "m"}, nil)
			if turn == 0 {
				home[conv] = id
				count[id]++
			} else if home[conv] != id {
				t.Fatalf("conversation %d moved from %s to %s without cause", conv, home[conv], id)
			}
		}
	}
	for id, n := range count {
		if n < 113 || n > 137 {
			t.Errorf("account %s got %d of 500 conversations, want 125 ± 10 %%", id, n)
		}
	}
}

func TestStrategies(t *testing.T) {
	t.Parallel()
	t.Run("fill_first stays with the first that can", func(t *testing.T) {
		t.Parallel()
		p := router.NewPool(router.PoolConfig{Strategy: "fill_first"}, accounts("a", "b"), newClock().now)
		for i := range uint64(4) {
			if id := pick(t, p, router.Wish{Conversation: i + 1}, nil); id != "a" {
				t.Errorf("pick %d went to %s, want a", i, id)
			}
		}
	})
	t.Run("least_used prefers the idle one", func(t *testing.T) {
		t.Parallel()
		p := router.NewPool(router.PoolConfig{Strategy: "least_used"}, accounts("a", "b"), newClock().now)
		first, err := p.Pick(router.Wish{Conversation: 1})
		if err != nil {
			t.Fatal(err)
		}
		if id := pick(t, p, router.Wish{Conversation: 2}, nil); id == first.ID() {
			t.Errorf("second pick went to the busy account %s", id)
		}
	})
	t.Run("fallback tier waits for the active one to fail, disabled never serves", func(t *testing.T) {
		t.Parallel()
		p := router.NewPool(router.PoolConfig{}, accounts("off~disabled", "spare~fallback", "main"), newClock().now)
		if id := pick(t, p, router.Wish{}, failure(providers.KindPolicy, 0)); id != "main" {
			t.Errorf("first pick went to %s, want main", id)
		}
		if id := pick(t, p, router.Wish{}, failure(providers.KindPolicy, 0)); id != "spare" {
			t.Errorf("second pick went to %s, want spare", id)
		}
		if _, err := p.Pick(router.Wish{}); err == nil {
			t.Error("third pick found an account, want none: the disabled one must not serve")
		}
	})
}

func TestInvariant7_AffinityComesBeforeLoad(t *testing.T) {
	t.Parallel()
	p := router.NewPool(router.PoolConfig{Strategy: "least_used"}, accounts("a", "b"), newClock().now)
	w := router.Wish{Conversation: 7}
	home := pick(t, p, w, nil)
	var held []*providers.Account
	for range 10 { // load the home account
		a, err := p.Pick(w)
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, a)
	}
	for _, a := range held {
		if a.ID() != home {
			t.Errorf("conversation went to %s under load, want %s", a.ID(), home)
		}
	}
}

func TestCooldown(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		fail  *providers.Error
		model string        // of the second request
		rests time.Duration // 0: the account may serve at once
	}{
		{"rate limit rests as long as the upstream says", failure(providers.KindRateLimit, 90*time.Second), "m", 90 * time.Second},
		{"rate limit without a time rests for the configured one", failure(providers.KindRateLimit, 0), "m", time.Minute},
		{"quota rests", failure(providers.KindQuota, 3*time.Hour), "m", 3 * time.Hour},
		{"dead login is looked at again after a while", failure(providers.KindLogin, 0), "m", 10 * time.Minute},
		{"a model that the account lacks rests alone", failure(providers.KindModel, 0), "other", 0},
		{"a model that the account lacks rests", failure(providers.KindModel, 0), "m", 10 * time.Minute},
		{"per-model limit leaves other models", &providers.Error{Kind: providers.KindRateLimit, PerModel: true, RetryAfter: time.Hour}, "other", 0},
		{"per-model limit rests that model", &providers.Error{Kind: providers.KindRateLimit, PerModel: true, RetryAfter: time.Hour}, "m", time.Hour},
		{"a wrong request penalises nobody", failure(providers.KindInvalid, 0), "m", 0},
		{"a client that left penalises nobody", failure(providers.KindCanceled, 0), "m", 0},
		{"a broken upstream is the last choice, not none", failure(providers.KindServer, 0), "m", 0},
		{"a network failure is the last choice, not none", failure(providers.KindNetwork, 0), "m", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			clk := newClock()
			p := router.NewPool(router.PoolConfig{}, accounts("a"), clk.now)
			pick(t, p, router.Wish{Model: "m"}, tc.fail)
			w := router.Wish{Model: tc.model}
			a, err := p.Pick(w)
			if tc.rests == 0 {
				if err != nil {
					t.Fatalf("pick: %v, want the account", err)
				}
				p.Release(a, w, nil)
				return
			}
			none, ok := errors.AsType[*router.NoAccountError](err)
			if !ok {
				t.Fatalf("pick gave %v, %v; want a NoAccountError", a, err)
			}
			if got := none.Until.Sub(clk.now()); got != tc.rests {
				t.Errorf("rests for %v, want %v", got, tc.rests)
			}
			if !strings.Contains(err.Error(), "a: ") {
				t.Errorf("reason does not name the account: %v", err)
			}
			clk.add(tc.rests)
			if _, err := p.Pick(w); err != nil {
				t.Errorf("after the rest: %v", err)
			}
		})
	}
}

func TestABoundConversationDoesNotMoveBecauseOfALimit(t *testing.T) {
	t.Parallel()
	for _, failover := range []bool{false, true} {
		t.Run(fmt.Sprintf("failover_on_limit=%t", failover), func(t *testing.T) {
			t.Parallel()
			p := router.NewPool(router.PoolConfig{FailoverOnLimit: failover}, accounts("a", "b"), newClock().now)
			w := router.Wish{Conversation: 3, Model: "m"}
			home := pick(t, p, w, nil)
			pick(t, p, w, failure(providers.KindRateLimit, time.Hour))
			a, err := p.Pick(w)
			if failover && (err != nil || a.ID() == home) {
				t.Errorf("got %v, %v; want the other account", a, err)
			}
			if !failover && err == nil {
				t.Errorf("moved to %s, want the limit handed down", a.ID())
			}
		})
	}
}

func TestClockJumps(t *testing.T) {
	t.Parallel()
	t.Run("forward over the reset", func(t *testing.T) {
		t.Parallel()
		clk := newClock()
		p := router.NewPool(router.PoolConfig{}, accounts("a"), clk.now)
		pick(t, p, router.Wish{}, failure(providers.KindRateLimit, time.Hour))
		clk.add(8 * time.Hour)
		if _, err := p.Pick(router.Wish{}); err != nil {
			t.Error(err)
		}
	})
	t.Run("back by a year does not lock an account out", func(t *testing.T) {
		t.Parallel()
		clk := newClock()
		p := router.NewPool(router.PoolConfig{}, accounts("a"), clk.now)
		pick(t, p, router.Wish{}, failure(providers.KindRateLimit, time.Hour))
		clk.add(-365 * 24 * time.Hour)
		if _, err := p.Pick(router.Wish{}); err != nil {
			t.Error(err)
		}
	})
	t.Run("back by hours does not make a minute's rest one of hours", func(t *testing.T) {
		t.Parallel()
		clk := newClock()
		p := router.NewPool(router.PoolConfig{}, accounts("a"), clk.now)
		pick(t, p, router.Wish{}, failure(providers.KindRateLimit, time.Minute))
		clk.add(-8 * time.Hour)
		if _, err := p.Pick(router.Wish{}); err != nil {
			t.Error(err)
		}
	})
	t.Run("a small correction changes nothing", func(t *testing.T) {
		t.Parallel()
		clk := newClock()
		p := router.NewPool(router.PoolConfig{}, accounts("a"), clk.now)
		pick(t, p, router.Wish{}, failure(providers.KindRateLimit, time.Minute))
		clk.add(-time.Second)
		if _, err := p.Pick(router.Wish{}); err == nil {
			t.Error("the account is served before its time")
		}
	})
}

func TestNoAccountNamesTheOneThatIsBackFirst(t *testing.T) {
	t.Parallel()
	clk := newClock()
	p := router.NewPool(router.PoolConfig{}, accounts("a", "b"), clk.now)
	pick(t, p, router.Wish{}, failure(providers.KindRateLimit, 5*time.Minute))
	loud := failure(providers.KindRateLimit, time.Minute)
	loud.Failure.Message = strings.Repeat("very long ", 200)
	pick(t, p, router.Wish{}, loud)
	_, err := p.Pick(router.Wish{})
	none, ok := errors.AsType[*router.NoAccountError](err)
	if !ok || !none.Until.Equal(clk.now().Add(time.Minute)) {
		t.Fatalf("got %v", err)
	}
	want := "no account can serve this now; the first may at " + none.Until.UTC().Format(time.RFC3339) + ": a: rate_limit, until "
	if got := err.Error(); !strings.HasPrefix(got, want) || len(got) > 700 {
		t.Errorf("got %s\nwant %s…", got, want)
	}
}

// A long answer that began before others met a limit says nothing against the limit.
func TestAnOldSuccessDoesNotEndANewLimit(t *testing.T) {
	t.Parallel()
	for name, limit := range map[string]*providers.Error{
		"of the account": failure(providers.KindRateLimit, time.Hour),
		"of a model":     {Kind: providers.KindRateLimit, PerModel: true, RetryAfter: time.Hour},
		"of premium":     {Kind: providers.KindQuota, RetryAfter: time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clk := newClock()
			p := router.NewPool(router.PoolConfig{}, accounts("a"), clk.now)
			long := router.Wish{Conversation: 1, Model: "m", Premium: true, Begun: clk.now()}
			a, err := p.Pick(long)
			if err != nil {
				t.Fatal(err)
			}
			clk.add(time.Second)
			short := router.Wish{Conversation: 2, Model: "m", Premium: true, Begun: clk.now()}
			pick(t, p, short, limit)
			clk.add(time.Second)
			p.Release(a, long, nil)
			if _, err := p.Pick(short); err == nil {
				t.Error("the limit is forgotten")
			}
			clk.add(time.Second)
			later := short
			later.Begun = clk.now()
			p.Release(a, later, nil) // whoever began after it was told otherwise
			if _, err := p.Pick(short); err != nil {
				t.Errorf("the limit outlives a proof to the contrary: %v", err)
			}
		})
	}
}

func TestAffinityIsBoundedAndEnds(t *testing.T) {
	t.Parallel()
	clk := newClock()
	p := router.NewPool(router.PoolConfig{AffinityTTL: time.Minute}, accounts("a", "b"), clk.now)
	first := pick(t, p, router.Wish{Conversation: 1}, nil) // a
	clk.add(2 * time.Minute)
	if id := pick(t, p, router.Wish{Conversation: 1}, nil); id == first {
		t.Errorf("conversation still bound to %s after its time", id)
	}
	for i := range uint64(25_000) { // must not grow without bound; the race and memory are watched by the bound itself
		pick(t, p, router.Wish{Conversation: i + 10}, nil)
	}
}

func TestStatusTellsWhatPeopleNeed(t *testing.T) {
	t.Parallel()
	clk := newClock()
	p := router.NewPool(router.PoolConfig{}, accounts("a", "b"), clk.now)
	pick(t, p, router.Wish{Model: "m"}, failure(providers.KindRateLimit, time.Hour))
	pick(t, p, router.Wish{Model: "m"}, &providers.Error{Kind: providers.KindModel})
	got := p.Status()
	if got[0].State != "rate_limit" || got[0].Why != "because" || !got[0].Until.Equal(clk.now().Add(time.Hour)) {
		t.Errorf("status of a: %+v", got[0])
	}
	if got[1].State != "ok" || len(got[1].Models) != 1 || got[1].Models[0] != "m" {
		t.Errorf("status of b: %+v", got[1])
	}
}

func BenchmarkPoolPick(b *testing.B) {
	for _, n := range []int{1, 10, 1000} {
		b.Run(fmt.Sprintf("accounts=%d", n), func(b *testing.B) {
			var ids []string
			for i := range n {
				ids = append(ids, fmt.Sprintf("a%d", i))
			}
			p := router.NewPool(router.PoolConfig{}, accounts(ids...), time.Now)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				w := router.Wish{Conversation: 42, Model: "m"}
				for pb.Next() {
					a, err := p.Pick(w)
					if err != nil {
						b.Error(err)
						return
					}
					p.Release(a, w, nil)
				}
			})
		})
	}
}

func TestCircuitBreaksAfterFiveFailuresAndOneExchangeTriesAgain(t *testing.T) {
	t.Parallel()
	c := newClock()
	p := router.NewPool(router.PoolConfig{}, accounts("a"), c.now)
	w := router.Wish{Conversation: 1, Model: "m"}
	for i := range 5 {
		if id := pick(t, p, w, failure(providers.KindServer, 0)); id != "a" {
			t.Fatalf("failure %d went to %q", i, id)
		}
	}
	_, err := p.Pick(w)
	refused, ok := errors.AsType[*router.NoAccountError](err)
	if !ok || refused.Kind != providers.KindServer || refused.Until.Sub(c.t) != 30*time.Second {
		t.Fatalf("after five failures: %v", err)
	}
	c.add(31 * time.Second)
	trial, err := p.Pick(w)
	if err != nil {
		t.Fatalf("nobody tries again: %v", err)
	}
	other := router.Wish{Conversation: 2, Model: "m"}
	if _, err := p.Pick(other); err == nil {
		t.Fatal("two exchanges try at once")
	}
	a := p.Status()[0]
	if a.Active != 1 {
		t.Fatalf("%+v", a)
	}
	p.Release(trial, w, failure(providers.KindServer, 0))
	if _, err := p.Pick(other); err == nil {
		t.Fatal("the circuit closed though the trial failed")
	}
	c.add(31 * time.Second)
	pick(t, p, other, nil)
	for i := range uint64(20) {
		pick(t, p, router.Wish{Conversation: i + 10, Model: "m"}, nil)
	}
}

func TestLongResetIsCheckedOnceBeforeItIsBelieved(t *testing.T) {
	t.Parallel()
	for name, still := range map[string]bool{"it holds": true, "it does not": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClock()
			p := router.NewPool(router.PoolConfig{}, accounts("a"), c.now)
			w := router.Wish{Conversation: 1, Model: "m"}
			pick(t, p, w, failure(providers.KindQuota, 20*24*time.Hour))
			if _, err := p.Pick(w); err == nil {
				t.Fatal("the limit is not believed at all")
			}
			c.add(2 * time.Minute)
			var outcome error
			if still {
				outcome = failure(providers.KindQuota, 20*24*time.Hour)
			}
			pick(t, p, w, outcome)
			c.add(2 * time.Hour)
			if _, err := p.Pick(w); (err != nil) != still {
				t.Errorf("after the check: %v", err)
			}
		})
	}
}

func TestSpentPremiumRequestsLeaveFreeModels(t *testing.T) {
	t.Parallel()
	p := router.NewPool(router.PoolConfig{}, accounts("a"), newClock().now)
	dear, free := router.Wish{Conversation: 1, Model: "opus", Premium: true}, router.Wish{Conversation: 2, Model: "mini"}
	pick(t, p, dear, failure(providers.KindQuota, time.Hour))
	if _, err := p.Pick(dear); err == nil {
		t.Error("a premium model is served by an account whose premium requests are spent")
	}
	pick(t, p, free, nil)
	if s := p.Status()[0]; s.State != "ok" || s.Premium == "" || s.PremiumUntil.IsZero() || s.LastUsed.IsZero() {
		t.Errorf("%+v", s)
	}
}
