package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
	"time"

	"detour/internal/record"
)

const (
	// flushAfter is how long the first row of a batch waits for others.
	flushAfter = 200 * time.Millisecond
	// retryAfter is how long the writer leaves a file alone that it could not write.
	retryAfter = 5 * time.Second
	// firstPrune is when old rows are looked for first, and pruneEvery how often afterwards.
	firstPrune = 10 * time.Second
	pruneEvery = time.Hour
	// maxQueue rows wait at most, each of half a kilobyte; a writer in order takes as many within a second.
	maxQueue = 8192
	// keptQueue is the room that is kept for a next batch.
	keptQueue = 512
)

// Options say where a ledger is and how long its rows stay.
type Options struct {
	Path    string
	MaxAge  time.Duration // of a row; 0 for ever
	MaxSize int64         // of the data base, in bytes; 0 for any
	Logger  *slog.Logger
	Now     func() time.Time // nil means time.Now
}

// Ledger is the one writer of this process. It is safe for concurrent use.
type Ledger struct {
	o    Options
	jobs chan job
	wake chan struct{} // has room for one
	stop chan struct{} // closed by Close
	done chan struct{} // closed when the writer has ended
	end  sync.Once

	mu    sync.Mutex // guards what follows; never held over I/O
	queue []record.Exchange
	spare []record.Exchange // an empty queue, for the next batch
	stats Stats
	lost  bool // the log says that records are dropped

	w writer // the writer's own
}

// Stats tells how a ledger fares.
type Stats struct {
	Waiting int    `json:"waiting"`           // rows in memory
	Written uint64 `json:"written"`           // rows in the file, since it was opened
	Dropped uint64 `json:"dropped"`           // rows that found no room in memory, since it was opened
	Failing bool   `json:"failing,omitempty"` // the file cannot be written just now; the log says why
}

// Open opens the ledger at o.Path, makes it if it is not there, and sets a damaged one aside. Close must be called.
func Open(ctx context.Context, o Options) (*Ledger, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	l := &Ledger{o: o, jobs: make(chan job), wake: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{})}
	if err := l.open(ctx); err != nil {
		return nil, fmt.Errorf("open the usage ledger: %w", err)
	}
	go l.run()
	return l, nil
}

// open opens the file, and begins a new one when it is damaged.
func (l *Ledger) open(ctx context.Context) error {
	db, info, err := openFile(ctx, l.o.Path)
	if damaged(err) {
		if err = l.setAside(ctx, err); err == nil {
			db, info, err = openFile(ctx, l.o.Path)
		}
	}
	if err != nil {
		return err
	}
	l.w.db, l.w.file = db, info
	return nil
}

// setAside keeps a damaged file under another name and says so.
func (l *Ledger) setAside(ctx context.Context, why error) error {
	moved, err := setAside(ctx, l.o.Path, l.o.Now())
	if err != nil {
		return fmt.Errorf("set the damaged file aside: %w", errors.Join(err, why))
	}
	if moved != "" {
		l.o.Logger.Error("the usage ledger is damaged; a new one was begun, and the old one kept", "moved_to", moved)
	}
	return nil
}

// Record takes a copy of e into the ledger. It does no I/O and never waits for any; see the package comment for what
// happens when the file cannot be written. Records after Close are dropped.
func (l *Ledger) Record(e *record.Exchange) {
	l.mu.Lock()
	first, news := len(l.queue) == 0, false
	if len(l.queue) < maxQueue {
		l.queue = append(l.queue, *e)
	} else {
		news = l.drop(1)
	}
	l.mu.Unlock()
	l.tellLoss(news)
	if first {
		select {
		case l.wake <- struct{}{}:
		default:
		}
	}
}

// drop counts rows that found no room. It tells whether they are the first. The caller holds mu.
func (l *Ledger) drop(n int) (news bool) {
	l.stats.Dropped += uint64(n)
	news = !l.lost
	l.lost = true
	return news
}

func (l *Ledger) tellLoss(news bool) {
	if news {
		l.o.Logger.Error("the usage ledger drops records: more wait than fit in memory", "most", maxQueue)
	}
}

// Stats tells how the ledger fares.
func (l *Ledger) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.stats
	s.Waiting = len(l.queue)
	return s
}

// Close writes what waits, and ends the writer. It may be called several times.
func (l *Ledger) Close() error {
	l.end.Do(func() { close(l.stop) })
	<-l.done
	return l.w.closed
}

// take hands the queue to the writer.
func (l *Ledger) take() []record.Exchange {
	l.mu.Lock()
	defer l.mu.Unlock()
	batch := l.queue
	l.queue, l.spare = l.spare, nil
	return batch
}

// written ends a batch that is in the file.
func (l *Ledger) written(batch []record.Exchange) {
	n := len(batch)
	clear(batch) // lets go of what rows point to
	l.mu.Lock()
	defer l.mu.Unlock()
	if cap(batch) <= keptQueue {
		l.spare = batch[:0]
	}
	l.stats.Written += uint64(n)
}

// putBack keeps a batch for later, before what came meanwhile.
func (l *Ledger) putBack(batch []record.Exchange) {
	l.mu.Lock()
	l.queue = append(batch, l.queue...)
	news := false
	if over := len(l.queue) - maxQueue; over > 0 {
		clear(l.queue[maxQueue:])
		l.queue = l.queue[:maxQueue]
		news = l.drop(over)
	}
	l.mu.Unlock()
	l.tellLoss(news)
}

// writer is what belongs to the writer's goroutine alone.
type writer struct {
	db     *sql.DB // nil after it could not be opened again
	file   fs.FileInfo
	closed error
}

// job is work for the writer beside rows.
type job struct {
	do     func(context.Context, *sql.DB) error
	result chan error // has room for one
}

// do runs f on the writer's goroutine.
func (l *Ledger) do(ctx context.Context, f func(context.Context, *sql.DB) error) error {
	j := job{f, make(chan error, 1)}
	select {
	case l.jobs <- j:
	case <-l.done:
		return errors.New("the usage ledger is closed")
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-j.result:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
