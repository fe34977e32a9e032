package ledger_test

import (
	"testing"
	"time"

	"detour/internal/ledger"
)

// BenchmarkWriter is how fast rows get into the file.
func BenchmarkWriter(b *testing.B) {
	l, e := benchLedger(b), exchange("work", time.Now())
	var sent uint64
	for b.Loop() {
		for l.Stats().Waiting >= 8000 {
			time.Sleep(time.Millisecond)
		}
		l.Record(e)
		sent++
	}
	for l.Stats().Written < sent {
		time.Sleep(time.Millisecond)
	}
	b.ReportMetric(float64(sent)/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkOpen is what a start pays.
func BenchmarkOpen(b *testing.B) {
	path := b.TempDir() + "/usage.db"
	for b.Loop() {
		l, err := ledger.Open(b.Context(), ledger.Options{Path: path, Logger: logger(&output{})})
		if err != nil {
			b.Fatal(err)
		}
		if err := l.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func benchLedger(b *testing.B) *ledger.Ledger {
	b.Helper()
	l, err := ledger.Open(b.Context(), ledger.Options{Path: b.TempDir() + "/usage.db", Logger: logger(&output{})})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = l.Close() })
	return l
}
