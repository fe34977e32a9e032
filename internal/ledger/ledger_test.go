package ledger_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"bufio"

	"detour/internal/ledger"
	"detour/internal/llm"
	"detour/internal/record"
)

func TestUsageAddsUp(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a b?c#d%e", "usage.db") // names that mean something in an address
	l := open(t, ledger.Options{Path: path})
	zone := time.FixedZone("", 5*3600+45*60) // Kathmandu's
	at := time.Date(2026, 11, 1, 23, 50, 0, 0, zone)
	l.Record(exchange("work", at))
	l.Record(exchange("work", at.Add(20*time.Minute))) // the next day, there
	failed := exchange("", at)
	failed.Error, failed.Status, failed.Usage, failed.Premium, failed.Allowance, failed.Client = "rate_limit", 429, llm.Usage{}, 0, llm.Allowance{}, ""
	l.Record(failed)
	left := exchange("home", at)
	left.Error, left.Usage, left.Dialect, left.Model = "canceled", llm.Usage{}, "messages", "claude"
	left.Allowance = llm.Allowance{Used: 1, Left: 2, Resets: at.Add(time.Hour), Known: true}
	l.Record(left)
	priced := exchange("home", at)
	priced.Usage.NanoAIU, priced.Usage.Priced, priced.Premium = 2_500_000_000, true, 0
	priced.EstimatedNanoAIU = 500_000_000 // of another attempt
	priced.Allowance = llm.Allowance{}
	l.Record(priced)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}

	one := ledger.Sum{Requests: 1, Input: 10, CacheRead: 5, CacheWrite: 2, Output: 7, Reasoning: 3}
	with := func(key string, n int64, change func(*ledger.Sum)) ledger.Sum {
		s := ledger.Sum{Key: key, Requests: n, Input: one.Input * n, CacheRead: one.CacheRead * n, CacheWrite: one.CacheWrite * n, Output: one.Output * n, Reasoning: one.Reasoning * n}
		if change != nil {
			change(&s)
		}
		return s
	}
	work := with("work", 2, func(s *ledger.Sum) { s.PremiumRequests = 3 })
	home := with("home", 1, func(s *ledger.Sum) {
		s.Requests, s.Canceled, s.Unreported, s.PremiumRequests, s.Credits, s.Priced = 2, 1, 1, 1.5, 2.5, 1
		s.EstimatedCredits, s.Estimated = 0.5, 1
	})
	nobody := ledger.Sum{Requests: 1, Errors: 1}
	for name, c := range map[string]struct {
		q    ledger.Query
		want []ledger.Sum
	}{
		"account": {ledger.Query{By: ledger.ByAccount}, []ledger.Sum{home, work, nobody}},
		"key":     {ledger.Query{By: ledger.ByKey, Account: "work"}, []ledger.Sum{with("laptop", 2, func(s *ledger.Sum) { s.PremiumRequests = 3 })}},
		"day": {ledger.Query{By: ledger.ByDay, Account: "work", Zone: zone}, []ledger.Sum{
			with("2026-11-01", 1, func(s *ledger.Sum) { s.PremiumRequests = 1.5 }), with("2026-11-02", 1, func(s *ledger.Sum) { s.PremiumRequests = 1.5 })}},
		"day elsewhere": {ledger.Query{By: ledger.ByDay, Account: "work", Zone: time.UTC}, []ledger.Sum{with("2026-11-01", 2, func(s *ledger.Sum) { s.PremiumRequests = 3 })}},
		"dialect":       {ledger.Query{By: ledger.ByDialect, Account: "work"}, []ledger.Sum{with("chat", 2, func(s *ledger.Sum) { s.PremiumRequests = 3 })}},
		"model":         {ledger.Query{By: ledger.ByModel, Model: "claude"}, []ledger.Sum{{Key: "claude", Requests: 1, Canceled: 1, Unreported: 1, PremiumRequests: 1.5}}},
		"since":         {ledger.Query{Since: at.Add(time.Minute)}, []ledger.Sum{with("", 1, func(s *ledger.Sum) { s.PremiumRequests = 1.5 })}},
		"until":         {ledger.Query{Since: at, Until: at}, nil},
		"client":        {ledger.Query{Client: "nobody"}, nil},
	} {
		if got := sums(t, path, c.q); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s:\n got %+v\nwant %+v", name, got, c.want)
		}
	}

	r, err := ledger.OpenReader(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	allowances, err := r.Allowances(t.Context())
	if err != nil || len(allowances) != 2 || allowances[0].Account != "home" || allowances[0].Left != 2 || !allowances[0].Resets.Equal(at.Add(time.Hour)) ||
		allowances[1].Used != 100.5 || !allowances[1].Resets.IsZero() {
		t.Errorf("%+v, %v", allowances, err)
	}
	if _, err := r.Usage(t.Context(), ledger.Query{By: "path"}); err == nil {
		t.Error("added up by anything")
	}
}

func TestSpentIsWhatBudgetsBeginFrom(t *testing.T) {
	t.Parallel()
	l := open(t, ledger.Options{})
	at := time.Date(2026, 11, 1, 12, 1, 0, 0, time.UTC)
	for i := range 3 {
		l.Record(exchange("work", at.Add(time.Duration(i)*10*time.Minute))) // two of one quarter, one of the next
	}
	l.Record(exchange("work", at.Add(-time.Hour)))
	eventually(t, func() bool { return l.Stats().Written == 4 })
	got, err := l.Spent(t.Context(), at.Add(-time.Minute))
	want := []ledger.Spending{
		{Client: "laptop", Account: "work", At: at, Premium: 3, Tokens: 48},
		{Client: "laptop", Account: "work", At: at.Add(20 * time.Minute), Premium: 1.5, Tokens: 24},
	}
	for i := range got {
		got[i].At = got[i].At.UTC()
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
}

// eventually waits for what another goroutine does with a real file.
func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it does not happen")
		}
	}
}

func TestRowsAreWrittenTogetherAndSoon(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "usage.db")
	synctest.Test(t, func(t *testing.T) {
		l := open(t, ledger.Options{Path: path})
		start := time.Now()
		for range 10 {
			l.Record(exchange("work", time.Now()))
		}
		if s := l.Stats(); s.Waiting != 10 || s.Written != 0 {
			t.Errorf("at once: %+v", s)
		}
		for l.Stats().Written == 0 {
			time.Sleep(time.Millisecond)
		}
		if took := time.Since(start); took < 200*time.Millisecond || took > time.Second {
			t.Errorf("written after %s", took)
		}
		if s := l.Stats(); s.Waiting != 0 || s.Written != 10 {
			t.Errorf("then: %+v", s)
		}
	})
	if n := requests(t, path); n != 10 {
		t.Errorf("%d rows", n)
	}
}

func TestCloseWritesWhatWaits(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "usage.db")
	l := open(t, ledger.Options{Path: path})
	l.Record(exchange("work", time.Now()))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Errorf("again: %v", err)
	}
	l.Record(exchange("work", time.Now())) // too late, and no panic
	if _, err := l.LoadState(t.Context()); err == nil {
		t.Error("a closed ledger answers")
	}
	if n := requests(t, path); n != 1 {
		t.Errorf("%d rows", n)
	}
}

func TestStatesAreOfTheirAccounts(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "usage.db")
	until := time.Now().Add(time.Hour).Truncate(time.Millisecond)
	l := open(t, ledger.Options{Path: path})
	home := ledger.AccountState{Account: "home", Scope: "account", Kind: "quota", Until: until}
	work := ledger.AccountState{Account: "work", Scope: "model", Model: "gpt-5", Kind: "rate_limit", Until: until}
	over := ledger.AccountState{Account: "work", Scope: "premium", Kind: "quota", Until: time.Now().Add(-time.Hour)}
	if err := l.SaveState(t.Context(), []string{"home"}, []ledger.AccountState{home}); err != nil {
		t.Fatal(err)
	}
	if err := l.SaveState(t.Context(), []string{"work"}, []ledger.AccountState{work, over}); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = open(t, ledger.Options{Path: path})
	got, err := l.LoadState(t.Context())
	if err != nil || len(got) != 2 || !got[0].Until.Equal(until) || got[0].Account != "home" || got[1].Model != "gpt-5" {
		t.Errorf("%+v, %v", got, err)
	}
	if err := l.SaveState(t.Context(), []string{"work"}, nil); err != nil {
		t.Fatal(err)
	}
	if got, err := l.LoadState(t.Context()); err != nil || len(got) != 1 || got[0].Account != "home" {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestTwoWritersAndAReader(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "usage.db")
	a, b := open(t, ledger.Options{Path: path}), open(t, ledger.Options{Path: path})
	var wg sync.WaitGroup
	const each = 600
	for _, l := range []*ledger.Ledger{a, b} {
		for range 3 {
			wg.Go(func() {
				for range each / 3 {
					l.Record(exchange("work", time.Now()))
				}
			})
		}
	}
	reads := 0
	for a.Stats().Written+b.Stats().Written < 2*each {
		requests(t, path)
		if reads++; reads > 2000 {
			t.Fatal("it does not end")
		}
	}
	wg.Wait()
	if n := requests(t, path); n != 2*each || a.Stats().Dropped+b.Stats().Dropped > 0 {
		t.Errorf("%d rows", n)
	}
}

func TestFileThatWasMovedAwayIsBegunAnew(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "usage.db")
	l := open(t, ledger.Options{Path: path})
	l.Record(exchange("work", time.Now()))
	eventually(t, func() bool { return l.Stats().Written == 1 })
	for _, name := range []string{"", "-wal", "-shm"} {
		if err := os.Rename(path+name, path+".old"+name); err != nil {
			t.Skipf("open files cannot be moved here: %v", err)
		}
	}
	l.Record(exchange("work", time.Now()))
	l.Record(exchange("work", time.Now()))
	eventually(t, func() bool { return l.Stats().Written == 3 })
	if n := requests(t, path); n != 2 {
		t.Errorf("%d rows in the new file", n)
	}
	if n := requests(t, path+".old"); n != 1 {
		t.Errorf("%d rows in the old file", n)
	}
}

func TestKilledWriterLeavesASoundFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "usage.db")
	for round := range 3 {
		before := int64(0)
		if round > 0 {
			before = requests(t, path)
		}
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), killedEnv+"="+path)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var said int64
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if said, err = strconv.ParseInt(lines.Text(), 10, 64); err != nil {
				t.Fatalf("%s", lines.Text())
			}
			if said >= 1000 {
				break
			}
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // killed
		if said < 1000 {
			t.Fatalf("it wrote %d rows", said)
		}
		if got := requests(t, path); got < before+said {
			t.Errorf("round %d: %d rows were said to be written on top of %d, and %d are there", round, said, before, got)
		}
	}
	l := open(t, ledger.Options{Path: path}) // and it goes on
	before := requests(t, path)
	l.Record(exchange("work", time.Now()))
	eventually(t, func() bool { return l.Stats().Written == 1 })
	if n := requests(t, path); n != before+1 {
		t.Errorf("%d rows after %d", n, before)
	}
}

func TestReaderOfNothing(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "usage.db")
	if _, err := ledger.OpenReader(context.Background(), path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("a reader made the file")
	}
}

func TestNamesFromOutsideAreBounded(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "usage.db")
	l := open(t, ledger.Options{Path: path})
	e := exchange("work", time.Now())
	long := strings.Repeat("m", 1<<20)
	e.Path, e.RequestedModel, e.Model = "/"+long, long, long
	e.Attempts = []record.Attempt{{Account: "work", Model: long, Error: "model"}, {Account: "work", Model: long}}
	l.Record(e)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Size() > 200<<10 {
		t.Errorf("%v, %v", info.Size(), err)
	}
}
