package ledger

import (
	"context"
	"database/sql"
	"fmt"
)

// migrations are the steps from an empty file to the present schema; user_version counts those that were made. A step
// that was released is never changed.
func migrations() []string {
	return []string{`
CREATE TABLE exchange (
  id              INTEGER PRIMARY KEY,
  exchange        TEXT NOT NULL,    -- its id in the log
  at              INTEGER NOT NULL, -- when it began, in Unix milliseconds
  door            TEXT NOT NULL,
  client          TEXT NOT NULL,    -- name of the client key, '' for none
  host            TEXT NOT NULL,    -- that the client called, '' on the API door
  method          TEXT NOT NULL,
  path            TEXT NOT NULL,
  proto           TEXT NOT NULL,
  transport       TEXT NOT NULL,    -- 'websocket', or '' for an HTTP request
  endpoint        TEXT NOT NULL,    -- what the client called
  dialect         TEXT NOT NULL,    -- the client's
  upstream        TEXT NOT NULL,    -- the endpoint that was called upstream, '' for none
  mode            TEXT NOT NULL,
  requested_model TEXT NOT NULL,
  model           TEXT NOT NULL,
  provider        TEXT NOT NULL,
  account         TEXT NOT NULL,
  initiator       TEXT NOT NULL,
  stream          INTEGER NOT NULL,
  status          INTEGER NOT NULL,
  error           TEXT NOT NULL,    -- kind, '' for none
  attempts        INTEGER NOT NULL,
  tries           TEXT NOT NULL,    -- attempts as JSON, '' for one that went well
  first_byte_us   INTEGER NOT NULL,
  total_us        INTEGER NOT NULL,
  reported        INTEGER NOT NULL, -- whether the upstream gave the tokens; else they are 0 and unknown
  tokens_in       INTEGER NOT NULL,
  cache_read      INTEGER NOT NULL,
  cache_write     INTEGER NOT NULL,
  tokens_out      INTEGER NOT NULL,
  reasoning       INTEGER NOT NULL, -- part of tokens_out
  nano_aiu        INTEGER,          -- price that the upstream named, in 1e-9 credits; NULL for none
  premium         REAL NOT NULL,    -- premium requests, estimated
  premium_used    REAL,             -- of the account's period, as the upstream counts; NULL when it did not say
  premium_left    REAL
);
CREATE INDEX exchange_at ON exchange (at);
CREATE INDEX exchange_account ON exchange (account, at);
CREATE INDEX exchange_client ON exchange (client, at);

CREATE TABLE allowance ( -- what the upstream said last
  account TEXT PRIMARY KEY,
  at      INTEGER NOT NULL,
  used    REAL NOT NULL,
  left    REAL NOT NULL,
  resets  INTEGER NOT NULL -- Unix milliseconds, 0 when it did not say
) WITHOUT ROWID;

CREATE TABLE account_state (
  account TEXT NOT NULL,
  scope   TEXT NOT NULL, -- 'account', 'premium' or 'model'
  model   TEXT NOT NULL,
  kind    TEXT NOT NULL,
  until   INTEGER NOT NULL, -- Unix milliseconds
  PRIMARY KEY (account, scope, model)
) WITHOUT ROWID;
`, `
ALTER TABLE exchange ADD COLUMN nano_aiu_estimated INTEGER; -- at list prices, of answers without one of the upstream's; NULL for none
`}
}

// NewerError says that a file was made by a newer detour.
type NewerError struct {
	Path        string
	Have, Known int
}

// Error implements error.
func (e *NewerError) Error() string {
	return fmt.Sprintf("%s was made by a newer detour (schema %d, this one knows %d); update detour, or move the file away", e.Path, e.Have, e.Known)
}

// migrate brings the file up to the present schema, all or nothing.
func migrate(ctx context.Context, db *sql.DB, path string) error {
	have, err := userVersion(ctx, db)
	steps := migrations()
	switch {
	case err != nil:
		return err
	case have == len(steps):
		return nil
	}
	tx, err := db.BeginTx(ctx, nil) // immediate: another process may be at the same
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	if have, err = userVersion(ctx, tx); err != nil {
		return err
	}
	if have > len(steps) {
		return &NewerError{path, have, len(steps)}
	}
	for _, step := range steps[have:] {
		if _, err := tx.ExecContext(ctx, step); err != nil {
			return fmt.Errorf("migrate schema: %w", err)
		}
	}
	if _, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", len(steps))); err != nil {
		return err
	}
	return tx.Commit()
}

type querier interface {
	QueryRowContext(context.Context, string, ...any) *sql.Row
}

func userVersion(ctx context.Context, q querier) (n int, err error) {
	err = q.QueryRowContext(ctx, "PRAGMA user_version").Scan(&n)
	return n, err
}
