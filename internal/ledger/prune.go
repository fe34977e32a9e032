package ledger

import (
	"context"
	"database/sql"
	"errors"
	"time"
)

// pruneRows are deleted in one transaction: other processes wait for no more than that.
const pruneRows = 5000

// prune deletes rows that are too old, and the oldest while the data base is too large, some at a time: rows that come
// meanwhile are written in between. It returns when it wants to go on.
func (l *Ledger) prune(ctx context.Context) time.Duration {
	if l.ready(ctx) != nil {
		return pruneEvery // the next flush says why
	}
	n, err := l.pruneSome(ctx)
	if err != nil {
		l.o.Logger.Warn("old rows of the usage ledger cannot be deleted", "err", err)
	}
	if n == 0 || err != nil {
		return pruneEvery
	}
	return time.Millisecond
}

// pruneSome deletes some rows, and gives their room back to the file system.
func (l *Ledger) pruneSome(ctx context.Context) (int64, error) {
	n, err := l.pruneOld(ctx)
	if n == 0 && err == nil {
		n, err = l.pruneLarge(ctx)
	}
	if n == 0 || err != nil {
		return 0, err
	}
	return n, vacuum(ctx, l.w.db)
}

func (l *Ledger) pruneOld(ctx context.Context) (int64, error) {
	if l.o.MaxAge <= 0 {
		return 0, nil
	}
	return deleted(l.w.db.ExecContext(ctx, `DELETE FROM exchange WHERE id IN (SELECT id FROM exchange WHERE at < ? ORDER BY at LIMIT ?)`,
		l.o.Now().Add(-l.o.MaxAge).UnixMilli(), pruneRows))
}

// pruneLarge deletes the oldest rows, in steps of a tenth, while what is in use is more than MaxSize.
func (l *Ledger) pruneLarge(ctx context.Context) (int64, error) {
	if l.o.MaxSize <= 0 {
		return 0, nil
	}
	var used, rows int64
	if err := l.w.db.QueryRowContext(ctx, `SELECT (p.page_count - f.freelist_count) * s.page_size
		FROM pragma_page_count p, pragma_freelist_count f, pragma_page_size s`).Scan(&used); err != nil || used <= l.o.MaxSize {
		return 0, err
	}
	if err := l.w.db.QueryRowContext(ctx, `SELECT COUNT(*) FROM exchange`).Scan(&rows); err != nil {
		return 0, err
	}
	return deleted(l.w.db.ExecContext(ctx, `DELETE FROM exchange WHERE id IN (SELECT id FROM exchange ORDER BY at LIMIT ?)`,
		min(rows/10+1, pruneRows)))
}

func deleted(r sql.Result, err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// vacuum shortens the file by the pages that are free. Each step of the pragma's frees one.
func vacuum(ctx context.Context, db *sql.DB) error {
	rows, err := db.QueryContext(ctx, "PRAGMA incremental_vacuum")
	if err != nil {
		return err
	}
	for rows.Next() {
	}
	return errors.Join(rows.Err(), rows.Close())
}
