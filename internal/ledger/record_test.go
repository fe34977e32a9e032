package ledger

import (
	"context"
	"database/sql"
	"testing"
	"time"

	"detour/internal/record"
)

// held keeps the writer busy until free is called, so that only what Record itself does is seen.
func held(t testing.TB, l *Ledger) (free func()) {
	busy, end, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		done <- l.do(context.Background(), func(context.Context, *sql.DB) error {
			close(busy)
			<-end
			return nil
		})
	}()
	<-busy
	return func() {
		close(end)
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func TestRecordAllocatesNothing(t *testing.T) { // not parallel: allocations are counted for the whole process
	l, _, _ := troubled(t, Options{})
	free := held(t, l)
	l.mu.Lock()
	l.queue = make([]record.Exchange, 0, keptQueue) // as after a first batch
	l.mu.Unlock()
	e := row(time.Now())
	if n := testing.AllocsPerRun(keptQueue-10, func() { l.Record(e) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	free()
}

// BenchmarkRecord is what a request pays.
func BenchmarkRecord(b *testing.B) {
	l, err := Open(b.Context(), Options{Path: b.TempDir() + "/usage.db"})
	if err != nil {
		b.Fatal(err)
	}
	free := held(b, l)
	e := row(time.Now())
	b.ReportAllocs()
	for b.Loop() {
		if len(l.queue) >= keptQueue {
			l.mu.Lock()
			l.queue = l.queue[:0]
			l.mu.Unlock()
		}
		l.Record(e)
	}
	l.queue = nil
	free()
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
}
