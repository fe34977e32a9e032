package ledger_test

import (
	"database/sql"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"detour/internal/ledger"
)

// older makes a file as an older detour left it.
func older(t *testing.T, dump string) (path string) {
	t.Helper()
	text, err := os.ReadFile(dump)
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "usage.db")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), string(text)); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestRowsOfOlderFilesStay(t *testing.T) {
	t.Parallel()
	path := older(t, "testdata/schema1.sql")
	at := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	l := open(t, ledger.Options{Path: path, Now: func() time.Time { return at }})
	estimated := exchange("work", at)
	estimated.EstimatedNanoAIU = 1_250_000_000
	l.Record(estimated)
	eventually(t, func() bool { return l.Stats().Written == 1 })
	one := ledger.Sum{Requests: 1, Input: 10, CacheRead: 5, CacheWrite: 2, Output: 7, Reasoning: 3}
	home, work := one, one
	home.Key, home.Credits, home.Priced = "home", 2.5, 1
	work.Key, work.Requests, work.Input, work.CacheRead, work.CacheWrite, work.Output, work.Reasoning = "work", 2, 20, 10, 4, 14, 6
	work.PremiumRequests, work.EstimatedCredits, work.Estimated = 3, 1.25, 1
	if got := sums(t, path, ledger.Query{By: ledger.ByAccount}); !reflect.DeepEqual(got, []ledger.Sum{work, home}) {
		t.Errorf("%+v", got)
	}
	spent, err := l.Spent(t.Context(), at)
	if err != nil || len(spent) != 2 || spent[0].Credits != 2.5 || spent[0].EstimatedCredits != 0 || spent[1].Credits != 0 || spent[1].EstimatedCredits != 1.25 {
		t.Errorf("%+v, %v", spent, err)
	}
	states, err := l.LoadState(t.Context())
	if err != nil || len(states) != 1 || states[0].Account != "work" {
		t.Errorf("%+v, %v", states, err)
	}
}

func TestAbsurdPricesAddUp(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "usage.db")
	l := open(t, ledger.Options{Path: path})
	for range 3 { // more than the integers of the file hold together
		e := exchange("work", time.Now())
		e.Usage.NanoAIU, e.Usage.Priced, e.EstimatedNanoAIU = 1<<62, true, 1<<62
		l.Record(e)
	}
	eventually(t, func() bool { return l.Stats().Written == 3 })
	const want = 3 * (1 << 62) / 1e9
	if got := sums(t, path, ledger.Query{}); len(got) != 1 || got[0].Credits != want || got[0].EstimatedCredits != want {
		t.Errorf("%+v", got)
	}
}
