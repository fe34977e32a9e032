package router

import (
	"reflect"
	"testing"
	"time"

	"detour/internal/llm"
	"detour/providers"
)

func pooled(t *testing.T, now func() time.Time, ids ...string) (*Pool, []*providers.Account) {
	t.Helper()
	var accounts []*providers.Account
	for _, id := range ids {
		a := providers.NewAccount(providers.AccountConfig{ID: id, Provider: "p"}, nil)
		t.Cleanup(a.Close)
		accounts = append(accounts, a)
	}
	return NewPool(PoolConfig{}, accounts, now), accounts
}

func TestLimitsOutlastAPool(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	old, accounts := pooled(t, clock, "a", "b", "c", "d", "e")
	fail := func(i int, w Wish, e providers.Error) {
		t.Helper()
		old.members[i].active++
		old.Release(accounts[i], w, &e)
	}
	fail(0, Wish{}, providers.Error{Kind: providers.KindRateLimit, RetryAfter: 5 * time.Minute})
	fail(1, Wish{Premium: true}, providers.Error{Kind: providers.KindQuota, RetryAfter: 72 * time.Hour})
	fail(2, Wish{Model: "m2"}, providers.Error{Kind: providers.KindRateLimit, PerModel: true, RetryAfter: 5 * time.Minute})
	fail(2, Wish{Model: "m1"}, providers.Error{Kind: providers.KindModel})
	fail(3, Wish{}, providers.Error{Kind: providers.KindLogin}) // a person may have signed in meanwhile
	fail(4, Wish{}, providers.Error{Kind: providers.KindServer})
	saved := old.states()
	want := []AccountState{
		{"a", "account", "", "rate_limit", now.Add(5 * time.Minute)},
		{"b", "premium", "", "quota", now.Add(72 * time.Hour)},
		{"c", "model", "m1", "model", now.Add(10 * time.Minute)},
		{"c", "model", "m2", "rate_limit", now.Add(5 * time.Minute)},
	}
	if !reflect.DeepEqual(saved, want) {
		t.Fatalf("got  %+v\nwant %+v", saved, want)
	}

	again, _ := pooled(t, clock, "a", "b", "c", "d") // e is gone
	again.restore(append(saved, AccountState{"e", "account", "", "quota", now.Add(time.Hour)}, AccountState{"d", "account", "", "no such kind", now.Add(time.Hour)},
		AccountState{"d", "account", "", "quota", now.Add(-time.Second)}, AccountState{"d", "nothing", "", "quota", now.Add(time.Hour)}))
	if got := again.states(); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	may := func(id string, w Wish) bool {
		w.Accounts = []string{id}
		a, err := again.Pick(w)
		if err == nil {
			again.Release(a, w, &providers.Error{Kind: providers.KindCanceled})
		}
		return err == nil
	}
	for _, c := range []struct {
		id   string
		wish Wish
		may  bool
	}{
		{"a", Wish{}, false}, {"b", Wish{}, true}, {"c", Wish{Model: "m1"}, false}, {"c", Wish{Model: "m2"}, false}, {"c", Wish{Model: "m3"}, true}, {"d", Wish{}, true},
		{"b", Wish{Premium: true}, true}, // a reset that is far away is checked once
	} {
		if got := may(c.id, c.wish); got != c.may {
			t.Errorf("%s for %+v: %t", c.id, c.wish, got)
		}
	}
	a, err := again.Pick(Wish{Accounts: []string{"b"}, Premium: true})
	if err != nil {
		t.Fatal(err)
	}
	again.Release(a, Wish{Premium: true}, &providers.Error{Kind: providers.KindQuota, RetryAfter: 72 * time.Hour})
	if may("b", Wish{Premium: true}) {
		t.Error("the check was answered, and it is asked again")
	}
	now = now.Add(6 * time.Minute)
	if !may("a", Wish{}) {
		t.Error("a rests for longer than its upstream said")
	}
}

func TestLimitsOfTheUpstreamAreToldUntilTheyBeginAnew(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	a := providers.NewAccount(providers.AccountConfig{ID: "a"}, nil)
	p := NewPool(PoolConfig{}, []*providers.Account{a}, func() time.Time { return now })
	if s := p.Status()[0]; s.Session != nil || s.Week != nil {
		t.Errorf("before anything was said: %+v", s)
	}
	p.tell(a, llm.Window{Left: 12.5, Resets: now.Add(time.Hour), Known: true}, llm.Window{Left: 80, Known: true})
	next := NewPool(PoolConfig{}, []*providers.Account{a}, func() time.Time { return now })
	next.inherit(p)
	if s := next.Status()[0]; s.Session == nil || s.Session.Left != 12.5 || s.Week == nil || s.Week.Left != 80 {
		t.Errorf("after a reload: %+v", s)
	}
	now = now.Add(2 * time.Hour)
	if s := next.Status()[0]; s.Session != nil || s.Week == nil {
		t.Errorf("after the session's end: %+v", s)
	}
}
