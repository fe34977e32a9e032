package providers_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"detour/internal/secret"
	"detour/providers"
)

// mint is an exchange under a test's control. Each success gives another token.
type mint struct {
	calls  atomic.Int64
	takes  time.Duration
	lives  time.Duration // 0: for ever
	renew  time.Duration // RefreshAt after the exchange; 0: not said
	same   bool          // give the same token each time
	failed func(n int64) error
	now    func() time.Time
}

func (m *mint) exchange(ctx context.Context) (providers.Lease, error) {
	n := m.calls.Add(1)
	select {
	case <-time.After(m.takes):
	case <-ctx.Done():
		return providers.Lease{}, ctx.Err()
	}
	if m.failed != nil {
		if err := m.failed(n); err != nil {
			return providers.Lease{}, err
		}
	}
	now := time.Now()
	if m.now != nil {
		now = m.now()
	}
	l := providers.Lease{Token: secret.New(fmt.Sprint("token-", n)), Base: "https://upstream.test"}
	if m.same {
		l.Token = secret.New("token-1")
	}
	if m.lives > 0 {
		l.Expires = now.Add(m.lives)
	}
	if m.renew > 0 {
		l.RefreshAt = now.Add(m.renew)
	}
	return l, nil
}

func account(m *mint) *providers.Account {
	return providers.NewAccount(providers.AccountConfig{ID: "a", Provider: "p", Now: m.now}, m.exchange)
}

func lease(t *testing.T, a *providers.Account) providers.Lease {
	t.Helper()
	l, err := a.Lease(t.Context())
	if err != nil {
		t.Errorf("Lease: %v", err)
	}
	return l
}

func wantCalls(t *testing.T, m *mint, want int64) {
	t.Helper()
	if got := m.calls.Load(); got != want {
		t.Errorf("%d exchanges, want %d", got, want)
	}
}

func wantToken(t *testing.T, l providers.Lease, want string) {
	t.Helper()
	if got := l.Token.Reveal(); got != want {
		t.Errorf("token %s, want %s", got, want)
	}
}

func kindOf(err error) string {
	if err == nil {
		return "nil"
	}
	return providers.AsError(err).Kind.String()
}

func failing(kind providers.Kind) func(int64) error {
	return func(int64) error { return &providers.Error{Kind: kind} }
}

func TestManyCallersShareOneExchange(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &mint{takes: time.Second, lives: time.Hour}
		a := account(m)
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				if l, err := a.Lease(t.Context()); err != nil || l.Token.Reveal() != "token-1" {
					t.Errorf("Lease = %v, %v", l.Token.Reveal(), err)
				}
			})
		}
		wg.Wait()
		wantCalls(t, m, 1)
	})
}

func TestManyRefusedCallersCauseOneExchange(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &mint{takes: time.Second, lives: time.Hour}
		a := account(m)
		old := lease(t, a).Token
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * 30 * time.Millisecond) // before, during and after the exchange
				a.Expire(old)
				l, err := a.Lease(t.Context())
				if err != nil || l.Token.Reveal() != "token-2" {
					t.Errorf("Lease = %v, %v", l.Token.Reveal(), err)
				}
			})
		}
		wg.Wait()
		wantCalls(t, m, 2)
	})
}

func TestExpireOfAnOlderTokenChangesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &mint{lives: time.Hour}
		a := account(m)
		lease(t, a)
		for _, other := range []string{"", "token-0", "token-10"} {
			a.Expire(secret.New(other))
		}
		wantToken(t, lease(t, a), "token-1")
		wantCalls(t, m, 1)
	})
}

// A refresh is under way when the old token is refused. Its result is awaited and nothing more is exchanged.
func TestExpireDuringARefreshThatBeganBefore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &mint{takes: 3 * time.Second, lives: 30 * time.Minute, renew: 10 * time.Minute}
		a := account(m)
		old := lease(t, a).Token
		time.Sleep(11 * time.Minute)
		go lease(t, a) // begins the refresh
		synctest.Wait()
		a.Expire(old)
		wantToken(t, lease(t, a), "token-2")
		wantCalls(t, m, 2)
	})
}

// The same, but the refresh fails: the refused token must not come back, although its time is not over.
func TestRefusedTokenDoesNotOutliveAFailedRefresh(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &mint{takes: 3 * time.Second, lives: 30 * time.Minute, renew: 10 * time.Minute}
		a := account(m)
		old := lease(t, a).Token
		m.failed = failing(providers.KindNetwork)
		time.Sleep(11 * time.Minute)
		var wg sync.WaitGroup
		wg.Go(func() { // waits since before the refusal
			if l, err := a.Lease(t.Context()); err == nil {
				t.Errorf("got %s, which was refused meanwhile", l.Token.Reveal())
			}
		})
		synctest.Wait()
		a.Expire(old)
		if _, err := a.Lease(t.Context()); kindOf(err) != "network" {
			t.Errorf("Lease after the refusal: %v, want a network error", err)
		}
		wg.Wait()
		wantCalls(t, m, 2)
	})
}

// A slow refresh lets callers go on with the old token, unless it is refused while they wait.
func TestSlowRefreshDoesNotHoldUpCallers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &mint{lives: 30 * time.Minute, renew: 10 * time.Minute}
		a := account(m)
		lease(t, a)
		m.takes = 40 * time.Second
		time.Sleep(11 * time.Minute)
		start := time.Now()
		wantToken(t, lease(t, a), "token-1")
		if waited := time.Since(start); waited != 5*time.Second {
			t.Errorf("the first waited %v, want 5s", waited)
		}
		start = time.Now()
		wantToken(t, lease(t, a), "token-1")
		if waited := time.Since(start); waited != 0 {
			t.Errorf("the second waited %v: the exchange had its time already", waited)
		}
		time.Sleep(time.Minute)
		wantToken(t, lease(t, a), "token-2")
		wantCalls(t, m, 2)
	})
}

// clock is a wall clock that can be set without time passing.
// A clock that is set back during a pause must not stretch the pause.
func TestImpatientWaiterLeavesTheExchangeToOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &mint{takes: 10 * time.Second, lives: time.Hour}
		a := account(m)
		gone := errors.New("client went away")
		ctx, cancel := context.WithCancelCause(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := a.Lease(ctx)
			if kindOf(err) != "canceled" || !errors.Is(err, gone) {
				t.Errorf("Lease: %v, want canceled with its cause", err)
			}
		})
		wg.Go(func() { wantToken(t, lease(t, a), "token-1") })
		synctest.Wait()
		time.Sleep(time.Second)
		cancel(gone)
		wg.Wait()
		wantCalls(t, m, 1)
	})
}

func TestExchangeThatHangsIsEnded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &mint{takes: 1000 * time.Hour}
		a := account(m)
		start := time.Now()
		if _, err := a.Lease(t.Context()); kindOf(err) != "stalled" {
			t.Errorf("Lease: %v, want stalled", err)
		}
		if d := time.Since(start); d != time.Minute {
			t.Errorf("ended after %v, want 1m", d)
		}
	})
}

func TestExchangeWithoutTokenIsAnError(t *testing.T) {
	t.Parallel()
	a := providers.NewAccount(providers.AccountConfig{}, func(context.Context) (providers.Lease, error) {
		return providers.Lease{Base: "https://upstream.test"}, nil
	})
	if _, err := a.Lease(t.Context()); kindOf(err) != "server" {
		t.Errorf("Lease: %v, want server", err)
	}
}

func TestRefreshKeepsTheOldLeaseWhenItFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &mint{lives: time.Hour}
		a := account(m)
		lease(t, a)
		m.failed = failing(providers.KindNetwork)
		if _, err := a.Refresh(t.Context()); kindOf(err) != "network" {
			t.Errorf("Refresh: %v, want its own failure", err)
		}
		wantToken(t, lease(t, a), "token-1")
		m.failed = nil
		if l, err := a.Refresh(t.Context()); err != nil || l.Token.Reveal() != "token-3" {
			t.Errorf("Refresh = %v, %v", l.Token.Reveal(), err)
		}
	})
}

// A GitHub token used directly is its own lease: refusing it gives the same one again. Each refused request must not
// cause an exchange, and the account must not run in circles.
func TestCredentialThatIsItsOwnLease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &mint{same: true}
		a := account(m)
		for range 100 {
			a.Expire(lease(t, a).Token)
			lease(t, a)
		}
		wantCalls(t, m, 2)
		time.Sleep(time.Minute) // later it is worth another look, at the host for one
		a.Expire(lease(t, a).Token)
		lease(t, a)
		wantCalls(t, m, 3)
	})
}

func TestCloseEndsTheExchangeAndWaiters(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &mint{takes: time.Hour}
		a := account(m)
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := a.Lease(t.Context()); kindOf(err) != "canceled" {
				t.Errorf("waiter got %v, want canceled", err)
			}
		})
		synctest.Wait()
		start := time.Now()
		a.Close()
		a.Close()
		wg.Wait()
		if d := time.Since(start); d != 0 {
			t.Errorf("Close took %v", d)
		}
		for name, call := range map[string]func(context.Context) (providers.Lease, error){"Lease": a.Lease, "Refresh": a.Refresh} {
			if _, err := call(t.Context()); kindOf(err) != "canceled" {
				t.Errorf("%s after Close: %v, want canceled", name, err)
			}
		}
		wantCalls(t, m, 1)
	})
}

func TestAccountShowsNoSecret(t *testing.T) {
	t.Parallel()
	cfg := providers.AccountConfig{ID: "work", Provider: "p", Secret: secret.New("ghu_marker"), Settings: map[string]string{"k": "v"}}
	a := providers.NewAccount(cfg, func(context.Context) (providers.Lease, error) {
		return providers.Lease{Token: secret.New("tid=marker")}, nil
	})
	l := lease(t, a)
	for _, s := range []string{fmt.Sprintf("%v %+v %#v", a.Config(), a.Config(), a.Config()), fmt.Sprintf("%v %+v %#v", l, l, l), a.LogValue().String()} {
		if strings.Contains(s, "marker") {
			t.Errorf("secret shown: %s", s)
		}
	}
	if got := a.Setting("k", "f") + a.Setting("other", "f"); got != "vf" {
		t.Errorf("Setting = %q", got)
	}
}

func TestAPanicInAnExchangeCostsNoMoreThanTheExchange(t *testing.T) {
	t.Parallel()
	a := providers.NewAccount(providers.AccountConfig{ID: "a"}, func(context.Context) (providers.Lease, error) { panic("bug") })
	defer a.Close()
	_, err := a.Lease(t.Context())
	if e := providers.AsError(err); err == nil || e.Kind != providers.KindServer {
		t.Errorf("got %v", err)
	}
}
