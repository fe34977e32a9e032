package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"os"
	"time"

	"detour/internal/record"
)

// run is the one writer. It ends when Close is called, with everything written that can be.
func (l *Ledger) run() {
	defer close(l.done)
	ctx := context.Background() // a write is not given up half way; SQLite's own time limit bounds it
	prune := time.NewTimer(firstPrune)
	defer prune.Stop()
	flush := time.NewTimer(0)
	flush.Stop()
	for {
		select {
		case <-l.wake:
			flush.Reset(flushAfter)
		case <-flush.C:
			if l.flush(ctx) != nil {
				flush.Reset(retryAfter)
			}
		case j := <-l.jobs:
			j.result <- l.run1(ctx, j)
		case <-prune.C:
			prune.Reset(l.prune(ctx))
		case <-l.stop:
			err := l.flush(ctx)
			if l.w.db != nil {
				err = errors.Join(err, l.w.db.Close())
			}
			l.w.closed = err
			return
		}
	}
}

func (l *Ledger) run1(ctx context.Context, j job) error {
	if err := l.ready(ctx); err != nil {
		return err
	}
	return j.do(ctx, l.w.db)
}

// ready makes sure that the writer's file is the one at its path: an owner may have moved it away, or another process
// set it aside.
func (l *Ledger) ready(ctx context.Context) error {
	if l.w.db != nil {
		if now, err := os.Stat(l.o.Path); err == nil && os.SameFile(now, l.w.file) {
			return nil
		}
		_ = l.w.db.Close()
		l.w.db = nil
	}
	return l.open(ctx)
}

// flush writes what waits. After an error it waits on.
func (l *Ledger) flush(ctx context.Context) error {
	batch := l.take()
	if len(batch) == 0 {
		return nil
	}
	err := l.ready(ctx)
	if err == nil {
		err = insert(ctx, l.w.db, batch)
	}
	if damaged(err) && l.w.db != nil {
		if err = l.replace(ctx); err == nil {
			err = insert(ctx, l.w.db, batch)
		}
	}
	if err != nil {
		l.putBack(batch)
	} else {
		l.written(batch)
	}
	l.tell(err)
	return err
}

// replace sets the file aside whose damage did not show when it was opened, and begins a new one.
func (l *Ledger) replace(ctx context.Context) error {
	_ = l.w.db.Close() // which may say the same again
	l.w.db = nil
	if err := l.setAside(ctx, nil); err != nil {
		return err
	}
	return l.open(ctx)
}

// tell logs when writing begins to fail, and when it works again.
func (l *Ledger) tell(err error) {
	l.mu.Lock()
	before, dropped := l.stats.Failing, l.stats.Dropped
	l.stats.Failing = err != nil
	l.mu.Unlock()
	switch {
	case err != nil && !before:
		l.o.Logger.Error("the usage ledger cannot be written; records wait in memory", "path", l.o.Path, "err", err)
	case err == nil && before:
		l.o.Logger.Info("the usage ledger is written again", "dropped", dropped)
	}
}

const insertRow = `INSERT INTO exchange (exchange, at, door, client, host, method, path, proto, transport, endpoint, dialect, upstream, mode,
 requested_model, model, provider, account, initiator, stream, status, error, attempts, tries, first_byte_us, total_us,
 reported, tokens_in, cache_read, cache_write, tokens_out, reasoning, nano_aiu, premium, premium_used, premium_left,
 nano_aiu_estimated)
VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)`

const upsertAllowance = `INSERT INTO allowance (account, at, used, left, resets) VALUES (?,?,?,?,?)
ON CONFLICT (account) DO UPDATE SET at = excluded.at, used = excluded.used, left = excluded.left, resets = excluded.resets
WHERE excluded.at >= allowance.at`

// insert writes rows as one transaction.
func insert(ctx context.Context, db *sql.DB, rows []record.Exchange) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	stmt, err := tx.PrepareContext(ctx, insertRow)
	if err != nil {
		return err
	}
	defer stmt.Close()
	last := map[string]*record.Exchange{} // of each account that told its allowance
	for i := range rows {
		e := &rows[i]
		if _, err := stmt.ExecContext(ctx, values(e)...); err != nil {
			return err
		}
		if e.Allowance.Known && (last[e.Account] == nil || !e.Start.Before(last[e.Account].Start)) {
			last[e.Account] = e
		}
	}
	for account, e := range last {
		var resets int64
		if !e.Allowance.Resets.IsZero() {
			resets = e.Allowance.Resets.UnixMilli()
		}
		if _, err := tx.ExecContext(ctx, upsertAllowance, account, e.Start.UnixMilli(), e.Allowance.Used, e.Allowance.Left, resets); err != nil {
			return err
		}
	}
	return tx.Commit()
}

func values(e *record.Exchange) []any {
	var price, estimate, used, left any
	if e.Usage.Priced {
		price = e.Usage.NanoAIU
	}
	if e.EstimatedNanoAIU > 0 {
		estimate = e.EstimatedNanoAIU
	}
	if e.Allowance.Known {
		used, left = e.Allowance.Used, e.Allowance.Left
	}
	u := &e.Usage
	return []any{
		e.ID, e.Start.UnixMilli(), e.Door, e.Client, e.Host, e.Method, clip(e.Path), e.Proto, e.Transport, e.Endpoint, e.Dialect, e.Upstream, e.Mode,
		clip(e.RequestedModel), clip(e.Model), e.Provider, e.Account, string(e.Initiator), e.Stream, e.Status, e.Error, len(e.Attempts), tries(e.Attempts),
		e.FirstByte.Microseconds(), e.Total.Microseconds(),
		u.Reported, u.Input, u.CacheRead, u.CacheWrite, u.Output, u.Reasoning, price, e.Premium, used, left, estimate,
	}
}

// try is one attempt as the ledger keeps it.
type try struct {
	Account string `json:"account"`
	Model   string `json:"model,omitempty"`
	Status  int    `json:"status,omitempty"`
	Error   string `json:"error,omitempty"`
	TookUS  int64  `json:"took_us"`
}

// tries says why there was more than one attempt, or why the only one failed.
func tries(attempts []record.Attempt) string {
	if len(attempts) == 0 || len(attempts) == 1 && attempts[0].Error == "" {
		return ""
	}
	list := make([]try, len(attempts))
	for i, a := range attempts {
		list[i] = try{a.Account, clip(a.Model), a.Status, a.Error, a.Took.Microseconds()}
	}
	b, err := json.Marshal(list)
	if err != nil {
		return "" // strings and numbers
	}
	return string(b)
}

// clip bounds what a client can put into a row.
func clip(s string) string {
	const most = 256
	if len(s) > most {
		return s[:most]
	}
	return s
}
