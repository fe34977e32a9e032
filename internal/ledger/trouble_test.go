package ledger

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"detour/internal/record"
)

type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) count(s string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), s)
}

func troubled(t *testing.T, o Options) (*Ledger, *lines, string) {
	t.Helper()
	logged := &lines{}
	o.Logger = slog.New(slog.NewTextHandler(logged, nil))
	if o.Path == "" {
		o.Path = filepath.Join(t.TempDir(), "usage.db")
	}
	l, err := Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l, logged, o.Path
}

func until(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it does not happen")
		}
	}
}

func pragma(t *testing.T, l *Ledger, text string) (value string) {
	t.Helper()
	if err := l.do(t.Context(), func(ctx context.Context, db *sql.DB) error {
		return db.QueryRowContext(ctx, "PRAGMA "+text).Scan(&value)
	}); err != nil {
		t.Fatal(err)
	}
	return value
}

func row(at time.Time) *record.Exchange {
	return &record.Exchange{ID: "x", Start: at, Endpoint: "chat", Path: "/" + strings.Repeat("p", 200), Account: "work"}
}

func rowsOf(t *testing.T, path string) int64 {
	t.Helper()
	r, err := OpenReader(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	sums, err := r.Usage(context.Background(), Query{})
	if err != nil {
		t.Fatal(err)
	}
	if len(sums) == 0 {
		return 0
	}
	return sums[0].Requests
}

func TestFilesAreAsTheyShouldBe(t *testing.T) {
	t.Parallel()
	l, _, path := troubled(t, Options{Path: filepath.Join(t.TempDir(), "data", "usage.db")})
	l.Record(row(time.Now()))
	until(t, func() bool { return l.Stats().Written == 1 })
	for what, want := range map[string]string{"journal_mode": "wal", "auto_vacuum": "2", "synchronous": "1", "busy_timeout": "5000"} {
		if got := pragma(t, l, what); got != want {
			t.Errorf("%s is %s", what, got)
		}
	}
	if runtime.GOOS == "windows" {
		t.Skip("modes mean nothing here")
	}
	for _, name := range beside(path) {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	if info, err := os.Stat(filepath.Dir(path)); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("folder: %v, %v", info, err)
	}
}

func TestLooseFilesAreRefused(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("modes mean nothing here")
	}
	refused := func(path, want string) {
		t.Helper()
		_, err := Open(t.Context(), Options{Path: path, Logger: slog.New(slog.DiscardHandler)})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("open: %v", err)
		}
		if _, err = OpenReader(t.Context(), path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("read: %v", err)
		}
	}
	l, _, path := troubled(t, Options{})
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	refused(path, "chmod 600 "+path)
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	link := path + "2"
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	refused(link, "not a regular file")
	if err := os.Chmod(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	refused(path, "chmod 700")
}

func TestNewerFilesAreLeftAlone(t *testing.T) {
	t.Parallel()
	l, _, path := troubled(t, Options{})
	if err := l.do(t.Context(), func(ctx context.Context, db *sql.DB) error {
		_, err := db.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", len(migrations())+1))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Open(t.Context(), Options{Path: path, Logger: slog.New(slog.DiscardHandler)})
	if newer, ok := errors.AsType[*NewerError](err); !ok || newer.Have != newer.Known+1 {
		t.Errorf("open: %v", err)
	}
	_, err = OpenReader(t.Context(), path)
	if _, ok := errors.AsType[*NewerError](err); !ok {
		t.Errorf("read: %v", err)
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the file was changed, %v", err)
	}
}

func setAsideFiles(t *testing.T, path string) []string {
	t.Helper()
	names, err := filepath.Glob(path + ".damaged-*")
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestDamagedFileIsKeptAndANewOneBegun(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "usage.db")
	rubbish := bytes.Repeat([]byte("no data base "), 1000)
	if err := os.WriteFile(path, rubbish, 0o600); err != nil {
		t.Fatal(err)
	}
	l, logged, _ := troubled(t, Options{Path: path})
	l.Record(row(time.Now()))
	until(t, func() bool { return l.Stats().Written == 1 })
	kept := setAsideFiles(t, path)
	if len(kept) != 1 || logged.count("is damaged") != 1 {
		t.Fatalf("kept %v", kept)
	}
	if data, err := os.ReadFile(kept[0]); err != nil || !bytes.Equal(data, rubbish) {
		t.Errorf("the old file was changed, %v", err)
	}
	if n := rowsOf(t, path); n != 1 {
		t.Errorf("%d rows", n)
	}
}

func TestDamageThatShowsLater(t *testing.T) {
	t.Parallel()
	first, _, path := troubled(t, Options{})
	for i := range 1000 {
		first.Record(row(time.Unix(int64(i), 0)))
	}
	until(t, func() bool { return first.Stats().Written == 1000 })
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(bytes.Repeat([]byte{0xff}, int(info.Size())-8192), 8192); err != nil { // all but the schema
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	l, logged, _ := troubled(t, Options{Path: path})
	l.Record(row(time.Now()))
	l.Record(row(time.Now()))
	until(t, func() bool { return l.Stats().Written == 2 })
	if kept := setAsideFiles(t, path); len(kept) == 0 || logged.count("is damaged") != 1 {
		t.Errorf("kept %v, logged %d times", kept, logged.count("is damaged"))
	}
	if n := rowsOf(t, path); n != 2 {
		t.Errorf("%d rows", n)
	}
}

func TestFullDiskLosesNothingThatFitsInMemory(t *testing.T) {
	t.Parallel()
	l, logged, path := troubled(t, Options{})
	pragma(t, l, "max_page_count = 40")
	const rows = 3000
	for range rows {
		l.Record(row(time.Now()))
	}
	until(t, func() bool { return l.Stats().Failing })
	if s := l.Stats(); s.Waiting != rows || s.Dropped != 0 {
		t.Errorf("%+v", s)
	}
	for range maxQueue {
		l.Record(row(time.Now()))
	}
	if s := l.Stats(); s.Waiting != maxQueue || s.Dropped != rows {
		t.Errorf("%+v", s)
	}
	pragma(t, l, "max_page_count = 1073741823")
	until(t, func() bool { return l.Stats().Written == maxQueue })
	if n := rowsOf(t, path); n != maxQueue || l.Stats().Failing {
		t.Errorf("%d rows", n)
	}
	for text, want := range map[string]int{"cannot be written": 1, "drops records": 1, "written again": 1, fmt.Sprintf("dropped=%d", rows): 1} {
		if n := logged.count(text); n != want {
			t.Errorf("%q was logged %d times", text, n)
		}
	}
}

func TestFolderThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), Options{Path: filepath.Join(dir, "file", "usage.db"), Logger: slog.New(slog.DiscardHandler)}); err == nil {
		t.Error("opened below a file")
	}
	if os.Geteuid() == 0 || runtime.GOOS == "windows" {
		t.Skip("nothing is read-only for this user")
	}
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), Options{Path: filepath.Join(dir, "usage.db"), Logger: slog.New(slog.DiscardHandler)}); err == nil {
		t.Error("opened in a read-only folder")
	}
}

func TestOldRowsGo(t *testing.T) {
	t.Parallel()
	now := time.Now()
	l, _, path := troubled(t, Options{MaxAge: time.Hour, Now: func() time.Time { return now }})
	for i := range 5500 { // more than one step
		l.Record(row(now.Add(-2*time.Hour - time.Duration(i)*time.Second)))
	}
	for range 10 {
		l.Record(row(now.Add(-30 * time.Minute)))
	}
	until(t, func() bool { return l.Stats().Written == 5510 })
	pruneAll(t, l)
	if n := rowsOf(t, path); n != 10 {
		t.Errorf("%d rows are left", n)
	}
	if free := pragma(t, l, "freelist_count"); free != "0" {
		t.Errorf("%s pages are kept for nothing", free)
	}
}

func TestLargeFileShrinks(t *testing.T) {
	t.Parallel()
	const most = 512 << 10
	l, _, path := troubled(t, Options{MaxSize: most})
	start := time.Now().Add(-time.Hour)
	for i := range 4000 {
		l.Record(row(start.Add(time.Duration(i) * time.Millisecond)))
	}
	until(t, func() bool { return l.Stats().Written == 4000 })
	pruneAll(t, l)
	left := rowsOf(t, path)
	if left < 500 || left == 4000 {
		t.Errorf("%d rows are left", left)
	}
	r, err := OpenReader(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if newest, err := r.Usage(t.Context(), Query{Since: start.Add(3999 * time.Millisecond)}); err != nil || len(newest) != 1 {
		t.Errorf("the newest went: %v, %v", newest, err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Size() > most {
		t.Errorf("%d bytes, %v", info.Size(), err)
	}
}

// pruneAll runs the writer's own pruning to its end, on its goroutine.
func pruneAll(t *testing.T, l *Ledger) {
	t.Helper()
	if err := l.do(t.Context(), func(ctx context.Context, _ *sql.DB) error {
		for l.prune(ctx) != pruneEvery {
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

func TestQuestionsOfBudgetsUseIndexes(t *testing.T) {
	t.Parallel()
	l, _, _ := troubled(t, Options{})
	for name, question := range map[string]string{
		"spent":   spentSince,
		"account": "SELECT SUM(premium) FROM exchange WHERE at >= ? AND account = 'work'",
		"client":  "SELECT SUM(premium) FROM exchange WHERE at >= ? AND client = 'laptop'",
		"prune":   "SELECT id FROM exchange WHERE at < ? ORDER BY at LIMIT 5",
	} {
		var plan []string
		if err := l.do(t.Context(), func(ctx context.Context, db *sql.DB) error {
			rows, err := db.QueryContext(ctx, "EXPLAIN QUERY PLAN "+question, 1)
			if err != nil {
				return err
			}
			defer rows.Close()
			for rows.Next() {
				var id, parent, unused int
				var detail string
				if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
					return err
				}
				plan = append(plan, detail)
			}
			return rows.Err()
		}); err != nil {
			t.Fatal(err)
		}
		if text := strings.Join(plan, "; "); !strings.Contains(text, "SEARCH") || !strings.Contains(text, "INDEX") {
			t.Errorf("%s: %s", name, text)
		}
	}
}
