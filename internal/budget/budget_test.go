package budget_test

import (
	"strings"
	"testing"
	"time"

	"detour/internal/budget"
)

// clock is a wall clock that tests set.
type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }

func newClock() *clock {
	return &clock{time.Date(2026, 11, 27, 12, 0, 0, 0, time.FixedZone("here", 2*3600))}
}

func TestLimitsBindThoseTheyAreFor(t *testing.T) {
	t.Parallel()
	premium := func(n float64) budget.Amount { return budget.Amount{PremiumRequests: n} }
	tests := map[string]struct {
		limit   budget.Limit
		client  string // who asks after laptop spent 10 at alice
		account string
		spent   bool
	}{
		"all together":               {budget.Limit{}, "other", "", true},
		"an account":                 {budget.Limit{Account: "alice"}, "other", "alice", true},
		"another account":            {budget.Limit{Account: "alice"}, "laptop", "bob", false},
		"before an account is known": {budget.Limit{Account: "alice"}, "laptop", "", false},
		"each account":               {budget.Limit{Account: "*"}, "", "alice", true},
		"each account, another":      {budget.Limit{Account: "*"}, "", "bob", false},
		"a client":                   {budget.Limit{Client: "laptop"}, "laptop", "", true},
		"another client":             {budget.Limit{Client: "laptop"}, "phone", "", false},
		"each client":                {budget.Limit{Client: "lap*"}, "laptop", "", true},
		"each client, no key":        {budget.Limit{Client: "*"}, "", "", false},
		"both":                       {budget.Limit{Client: "*", Account: "*"}, "laptop", "alice", true},
		"both, one other":            {budget.Limit{Client: "*", Account: "*"}, "phone", "alice", false},
		"another unit":               {budget.Limit{Unit: budget.Tokens}, "laptop", "", false},
		"not yet all":                {budget.Limit{Most: 10.5}, "laptop", "", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClock()
			l := tt.limit
			l.Name, l.Period = "b", budget.Day
			if l.Most == 0 {
				l.Most = 10
			}
			if l.Unit == "" {
				l.Unit = budget.PremiumRequests
			}
			tr := budget.New([]budget.Limit{l}, c.now, nil)
			tr.Spend("laptop", "alice", c.t, premium(10))
			if e := tr.Check(tt.client, tt.account, true); (e != nil) != tt.spent {
				t.Errorf("check: %v, want spent %t", e, tt.spent)
			}
		})
	}
}

func TestWhatCostsNoPremiumRequestsIsLetThroughWhenTheyAreSpent(t *testing.T) {
	t.Parallel()
	c := newClock()
	tr := budget.New([]budget.Limit{
		{Name: "premium", Period: budget.Day, Unit: budget.PremiumRequests, Most: 1},
		{Name: "tokens", Period: budget.Day, Unit: budget.Tokens, Most: 100},
	}, c.now, nil)
	tr.Spend("", "a", c.t, budget.Amount{PremiumRequests: 1, Tokens: 50})
	if e := tr.Check("", "a", true); e == nil || e.Limit.Name != "premium" {
		t.Errorf("a premium request: %v", e)
	}
	if e := tr.Check("", "a", false); e != nil {
		t.Errorf("a free one: %v", e)
	}
	tr.Spend("", "a", c.t, budget.Amount{Tokens: 50})
	if e := tr.Check("", "a", false); e == nil || e.Limit.Name != "tokens" {
		t.Errorf("a free one that costs tokens: %v", e)
	}
}

func TestPeriodsBeginAnewAtMidnightHere(t *testing.T) {
	t.Parallel()
	c := newClock()
	tr := budget.New([]budget.Limit{
		{Name: "day", Period: budget.Day, Unit: budget.Tokens, Most: 5},
		{Name: "month", Period: budget.Month, Unit: budget.Tokens, Most: 100},
	}, c.now, nil)
	tr.Spend("", "a", c.t, budget.Amount{Tokens: 60})
	e := tr.Check("", "", true)
	if e == nil || e.Limit.Name != "day" || !e.Resets.Equal(time.Date(2026, 11, 28, 0, 0, 0, 0, c.t.Location())) {
		t.Fatalf("%v", e)
	}
	if s := e.Error(); !strings.Contains(s, "the budget day is spent: 60 of 5 tokens this day") || !strings.Contains(s, "2026-11-28T00:00:00+02:00") {
		t.Errorf("%s", s)
	}
	c.t = c.t.Add(12 * time.Hour)
	if e := tr.Check("", "", true); e != nil {
		t.Errorf("after midnight: %v", e)
	}
	tr.Spend("", "a", c.t, budget.Amount{Tokens: 40})
	c.t = c.t.Add(24 * time.Hour)
	if e := tr.Check("", "", true); e == nil || e.Limit.Name != "month" || e.Spent != 100 {
		t.Errorf("the month's sum: %v", e)
	}
	c.t = time.Date(2026, 12, 1, 0, 0, 0, 0, c.t.Location())
	if e := tr.Check("", "", true); e != nil {
		t.Errorf("in December: %v", e)
	}
}

func TestWarnsOnceAtItsShareAndOnceAtTheEnd(t *testing.T) {
	t.Parallel()
	c := newClock()
	var told []float64
	tr := budget.New([]budget.Limit{{Name: "b", Period: budget.Day, Unit: budget.Credits, Most: 10, Warn: 0.5}}, c.now, func(e *budget.Exceeded) { told = append(told, e.Spent) })
	for range 12 {
		tr.Spend("", "a", c.t, budget.Amount{Credits: 1})
	}
	if len(told) != 2 || told[0] != 5 || told[1] != 10 {
		t.Errorf("warned at %v, want 5 and 10", told)
	}
}

func TestHistoryCountsForLimitsThatComeLater(t *testing.T) {
	t.Parallel()
	c := newClock()
	tr := budget.New(nil, c.now, nil)
	tr.Spend("", "a", c.t.AddDate(0, 0, -3), budget.Amount{Credits: 7}) // from the ledger
	tr.Spend("", "a", c.t.AddDate(0, -2, 0), budget.Amount{Credits: 70})
	tr.Spend("", "a", c.t, budget.Amount{Credits: 2})
	tr.SetLimits([]budget.Limit{
		{Name: "month", Period: budget.Month, Unit: budget.Credits, Most: 9},
		{Name: "day", Period: budget.Day, Unit: budget.Credits, Most: 2.5},
	})
	if e := tr.Check("", "", true); e == nil || e.Limit.Name != "month" || e.Spent != 9 {
		t.Errorf("%v", e)
	}
	for _, s := range tr.Status() {
		if want := map[string]float64{"month": 9, "day": 2}[s.Name]; s.Spent != want {
			t.Errorf("%s: %v spent, want %v", s.Name, s.Spent, want)
		}
	}
}

func TestCreditsCountWhoeverNamedThem(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		unit   budget.Unit
		amount budget.Amount
		want   string
	}{
		"the upstream":       {budget.Credits, budget.Amount{Credits: 10.5}, "10.5 of 10 credits this day; "},
		"nobody":             {budget.Credits, budget.Amount{EstimatedCredits: 12}, "12 of 10 credits this day (estimated); "},
		"in part":            {budget.Credits, budget.Amount{Credits: 9.1, EstimatedCredits: 1.2}, "10.3 of 10 credits this day (1.2 of them estimated); "},
		"not yet all":        {budget.Credits, budget.Amount{Credits: 5, EstimatedCredits: 4.9}, ""},
		"no other unit":      {budget.Tokens, budget.Amount{Credits: 50, EstimatedCredits: 50, Tokens: 9}, ""},
		"rounded for people": {budget.Credits, budget.Amount{Credits: 10.1 + 0.2}, "10.3 of 10 credits this day; "},
	} {
		clk := newClock()
		var warned *budget.Exceeded
		tr := budget.New([]budget.Limit{{Name: "b", Period: budget.Day, Unit: c.unit, Most: 10}}, clk.now, func(e *budget.Exceeded) { warned = e })
		tr.Spend("", "alice", clk.t, c.amount)
		later := budget.New(nil, clk.now, nil)
		later.Spend("", "alice", clk.t, c.amount)
		later.SetLimits([]budget.Limit{{Name: "b", Period: budget.Day, Unit: c.unit, Most: 10}})
		for _, e := range []*budget.Exceeded{warned, tr.Check("", "", true), later.Check("", "", true)} {
			if (e != nil) != (c.want != "") || e != nil && !strings.Contains(e.Error(), c.want) {
				t.Errorf("%s: %v, want %s", name, e, c.want)
			}
		}
		if s := tr.Status(); len(s) != 1 || c.unit == budget.Credits && s[0].Estimated != c.amount.EstimatedCredits {
			t.Errorf("%s: %+v", name, s)
		}
	}
}
