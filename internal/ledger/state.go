package ledger

import (
	"context"
	"database/sql"
	"time"
)

// AccountState is why an account rests, or does for one model or for those that cost premium requests.
type AccountState struct {
	Account string
	Scope   string // "account", "premium" or "model"
	Model   string // with scope "model"
	Kind    string
	Until   time.Time
}

// SaveState replaces the states that the ledger holds of the accounts named in accounts. Those of others, which
// another detour may serve, stay.
func (l *Ledger) SaveState(ctx context.Context, accounts []string, states []AccountState) error {
	return l.do(ctx, func(ctx context.Context, db *sql.DB) error {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback() }()
		for _, a := range accounts {
			if _, err := tx.ExecContext(ctx, `DELETE FROM account_state WHERE account = ?`, a); err != nil {
				return err
			}
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM account_state WHERE until <= ?`, l.o.Now().UnixMilli()); err != nil {
			return err
		}
		for _, s := range states {
			if _, err := tx.ExecContext(ctx, `INSERT OR REPLACE INTO account_state (account, scope, model, kind, until) VALUES (?,?,?,?,?)`,
				s.Account, s.Scope, clip(s.Model), s.Kind, s.Until.UnixMilli()); err != nil {
				return err
			}
		}
		return tx.Commit()
	})
}

// LoadState returns the states that have not run out.
func (l *Ledger) LoadState(ctx context.Context) (states []AccountState, err error) {
	err = l.do(ctx, func(ctx context.Context, db *sql.DB) error {
		rows, err := db.QueryContext(ctx, `SELECT account, scope, model, kind, until FROM account_state WHERE until > ? ORDER BY account, scope, model`, l.o.Now().UnixMilli())
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var s AccountState
			var until int64
			if err := rows.Scan(&s.Account, &s.Scope, &s.Model, &s.Kind, &until); err != nil {
				return err
			}
			s.Until = time.UnixMilli(until)
			states = append(states, s)
		}
		return rows.Err()
	})
	return states, err
}

// Spending is what one client spent at one account in a quarter of an hour.
type Spending struct {
	Client, Account          string
	At                       time.Time
	Credits, Premium, Tokens float64
	EstimatedCredits         float64 // beside Credits
}

// Spent lists what was spent since a time, for budgets to begin from.
func (l *Ledger) Spent(ctx context.Context, since time.Time) (list []Spending, err error) {
	err = l.do(ctx, func(ctx context.Context, db *sql.DB) error {
		list, err = spent(ctx, db, since)
		return err
	})
	return list, err
}

const spentSince = `SELECT client, account, at / 900000 AS quarter, MIN(at),
 TOTAL(nano_aiu) / 1e9, TOTAL(nano_aiu_estimated) / 1e9, SUM(premium), SUM(tokens_in + cache_read + cache_write + tokens_out)
FROM exchange WHERE at >= ? GROUP BY client, account, quarter`

func spent(ctx context.Context, db *sql.DB, since time.Time) (list []Spending, err error) {
	rows, err := db.QueryContext(ctx, spentSince, since.UnixMilli())
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var s Spending
		var quarter, at int64
		if err := rows.Scan(&s.Client, &s.Account, &quarter, &at, &s.Credits, &s.EstimatedCredits, &s.Premium, &s.Tokens); err != nil {
			return nil, err
		}
		s.At = time.UnixMilli(at)
		list = append(list, s)
	}
	return list, rows.Err()
}
