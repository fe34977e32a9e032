package providers_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"detour/providers"
)

func TestRefreshIsDueInTime(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ lives, renew, due time.Duration }{
		"at the time that was asked for":  {30 * time.Minute, 25*time.Minute - 70*time.Second, 25*time.Minute - 70*time.Second},
		"with a fifth of the life left":   {30 * time.Minute, 29 * time.Minute, 24 * time.Minute},
		"although no time was asked for":  {10 * time.Minute, 0, 8 * time.Minute},
		"although it never expires":       {0, time.Hour, time.Hour},
		"although it was asked for late":  {time.Minute, time.Hour, 48 * time.Second},
		"early, when that was asked for":  {time.Hour, time.Second, time.Second},
		"of a short life, proportionally": {10 * time.Second, 0, 8 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := &mint{lives: tc.lives, renew: tc.renew}
				a := account(m)
				lease(t, a)
				time.Sleep(tc.due - time.Millisecond)
				wantToken(t, lease(t, a), "token-1")
				time.Sleep(time.Millisecond)
				wantToken(t, lease(t, a), "token-2")
				wantCalls(t, m, 2)
			})
		})
	}
}

func TestTokenWithoutEndIsNeverExchangedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &mint{}
		a := account(m)
		lease(t, a)
		time.Sleep(10 * 365 * 24 * time.Hour)
		lease(t, a)
		wantCalls(t, m, 1)
	})
}

type clock struct{ offset atomic.Int64 }

func (c *clock) now() time.Time       { return time.Now().Add(time.Duration(c.offset.Load())) }
func (c *clock) jump(d time.Duration) { c.offset.Add(int64(d)) }

func TestSleepOfEightHoursCausesOneRefresh(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var c clock
		m := &mint{takes: time.Second, lives: 30 * time.Minute, now: c.now}
		a := account(m)
		lease(t, a)
		c.jump(8 * time.Hour) // the monotonic clock stood still
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() { wantToken(t, lease(t, a), "token-2") })
		}
		wg.Wait()
		wantCalls(t, m, 2)
	})
}

func TestClockSetBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var c clock
		m := &mint{lives: 30 * time.Minute, now: c.now}
		a := account(m)
		lease(t, a)
		c.jump(-30 * time.Second) // an ordinary correction
		wantToken(t, lease(t, a), "token-1")
		c.jump(-8 * time.Hour) // the times in the lease mean nothing any more
		wantToken(t, lease(t, a), "token-2")
		wantToken(t, lease(t, a), "token-2")
		wantCalls(t, m, 2)
	})
}

func TestClockSetBackEndsABackoff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var c clock
		m := &mint{lives: 30 * time.Minute, now: c.now, failed: failing(providers.KindServer)}
		a := account(m)
		if _, err := a.Lease(t.Context()); kindOf(err) != "server" {
			t.Fatalf("Lease: %v", err)
		}
		m.failed = nil
		c.jump(-8 * time.Hour)
		wantToken(t, lease(t, a), "token-2")
	})
}

func TestFailingRefreshKeepsTheOldTokenUntilItExpires(t *testing.T) {
	t.Parallel()
	for _, kind := range []providers.Kind{providers.KindNetwork, providers.KindServer, providers.KindRateLimit, providers.KindStalled} {
		t.Run(kind.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := &mint{lives: 30 * time.Minute, renew: 20 * time.Minute}
				a := account(m)
				lease(t, a)
				m.failed = failing(kind)
				time.Sleep(20 * time.Minute)
				for range 600 { // ten minutes less a second of one request a second
					wantToken(t, lease(t, a), "token-1")
					if t.Failed() {
						return
					}
					time.Sleep(time.Second - time.Millisecond)
				}
				// 1, 2, 4, … 60 s apart: six to reach a minute, nine minutes of one each.
				if n := m.calls.Load() - 1; n < 10 || n > 17 {
					t.Errorf("%d tries to refresh in ten minutes, want about 15", n)
				}
				if _, err := a.Current(); kindOf(err) != kind.String() {
					t.Errorf("Current reports %v, want %v", err, kind)
				}
				time.Sleep(time.Second)
				if l, err := a.Lease(t.Context()); kindOf(err) != kind.String() {
					t.Errorf("after expiry: %v, %v, want %v", l.Token.Reveal(), err, kind)
				}
				m.failed = nil
				time.Sleep(time.Minute)
				lease(t, a)
				if _, err := a.Current(); err != nil {
					t.Errorf("Current still reports %v", err)
				}
			})
		})
	}
}

func TestRefusalOfTheAccountDropsTheTokenAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &mint{lives: 30 * time.Minute, renew: time.Minute}
		a := account(m)
		lease(t, a)
		m.failed = failing(providers.KindPolicy)
		time.Sleep(time.Minute)
		if l, err := a.Lease(t.Context()); kindOf(err) != "policy" {
			t.Errorf("Lease = %v, %v, want a policy error", l.Token.Reveal(), err)
		}
	})
}

func TestRefusedAccountIsNotAskedForWithEachRequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &mint{failed: failing(providers.KindLogin)}
		a := account(m)
		for range 600 {
			if _, err := a.Lease(t.Context()); kindOf(err) != "login" {
				t.Fatalf("Lease: %v", err)
			}
			time.Sleep(time.Second)
		}
		if n := m.calls.Load(); n > 17 {
			t.Errorf("%d exchanges in ten minutes of refusal", n)
		}
		before := m.calls.Load()
		m.failed = nil
		if _, err := a.Refresh(t.Context()); err != nil { // a person who mended it does not wait
			t.Errorf("Refresh: %v", err)
		}
		wantCalls(t, m, before+1)
	})
}

func TestNetworkThatComesBackIsNoticedSoon(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &mint{failed: failing(providers.KindNetwork)}
		a := account(m)
		for range 250 {
			_, _ = a.Lease(t.Context())
			time.Sleep(time.Second)
		}
		m.failed = nil
		time.Sleep(5 * time.Second)
		lease(t, a)
	})
}

func TestRateLimitOfTheExchangeIsHonoured(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &mint{failed: func(int64) error {
			return &providers.Error{Kind: providers.KindRateLimit, RetryAfter: 5 * time.Minute}
		}}
		a := account(m)
		for range 299 {
			_, _ = a.Lease(t.Context())
			time.Sleep(time.Second)
		}
		wantCalls(t, m, 1)
		m.failed = nil
		time.Sleep(time.Second)
		lease(t, a)
		wantCalls(t, m, 2)
	})
}
