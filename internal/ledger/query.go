package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sort"
	"strings"
	"time"
)

// By is what rows are added up by.
type By string

// The groupings.
const (
	ByNone    By = "" // everything in one row
	ByAccount By = "account"
	ByModel   By = "model"
	ByKey     By = "key"     // client key
	ByDay     By = "day"     // in the zone of the query
	ByDialect By = "dialect" // the client's
)

// column is what the rows of a grouping have in common. Days are put together from quarters of an hour, because only
// Go knows the zone, and no zone is off by less.
func (b By) column() (string, error) {
	switch b {
	case ByNone:
		return "''", nil
	case ByAccount, ByModel, ByDialect:
		return string(b), nil
	case ByKey:
		return "client", nil
	case ByDay:
		return "at / 900000", nil
	}
	return "", fmt.Errorf("nothing can be added up by %q", string(b))
}

// Query says which exchanges to add up.
type Query struct {
	Since, Until time.Time // of their beginnings; zero for no bound, and Until itself is left out
	By           By
	// Account, Model and Client narrow the choice; "" for any.
	Account, Model, Client string
	Zone                   *time.Location // of days; nil means time.Local
}

// Sum is what the exchanges of one group add up to. Tokens and Credits are what upstreams reported; PremiumRequests and
// EstimatedCredits are estimates.
type Sum struct {
	Key             string // "" with ByNone, and for what has no name
	Requests        int64
	Errors          int64 // that failed for another reason than that the client left
	Canceled        int64 // that the client left
	Unreported      int64 // that an account answered without telling the tokens
	Input           int64
	CacheRead       int64
	CacheWrite      int64
	Output          int64
	Reasoning       int64 // part of Output
	PremiumRequests float64
	Credits         float64
	Priced          int64 // requests that Credits is of
	// EstimatedCredits is what answers cost at list prices whose upstreams told no price; it is not part of Credits.
	EstimatedCredits float64
	Estimated        int64 // requests that EstimatedCredits is of
}

func (s *Sum) add(o *Sum) {
	s.Requests += o.Requests
	s.Errors += o.Errors
	s.Canceled += o.Canceled
	s.Unreported += o.Unreported
	s.Input += o.Input
	s.CacheRead += o.CacheRead
	s.CacheWrite += o.CacheWrite
	s.Output += o.Output
	s.Reasoning += o.Reasoning
	s.PremiumRequests += o.PremiumRequests
	s.Credits += o.Credits
	s.Priced += o.Priced
	s.EstimatedCredits += o.EstimatedCredits
	s.Estimated += o.Estimated
}

// Reader reads a ledger, whether or not a detour writes it. It is safe for concurrent use.
type Reader struct{ db *sql.DB }

// OpenReader opens the ledger at path. The error is fs.ErrNotExist when there is none. It changes nothing in the file.
func OpenReader(ctx context.Context, path string) (*Reader, error) {
	wrap := func(err error) error { return fmt.Errorf("open the usage ledger: %w", err) }
	if err := check(path); err != nil {
		return nil, wrap(err)
	}
	db, err := sql.Open("sqlite", dsn(path, "ro", "busy_timeout(5000)", "query_only(1)", "cache_size(-2048)"))
	if err != nil {
		return nil, wrap(err)
	}
	db.SetMaxOpenConns(2)
	have, err := userVersion(ctx, db)
	switch known := len(migrations()); {
	case err != nil:
	case have > known:
		err = &NewerError{path, have, known}
	case have < known:
		err = fmt.Errorf("%s was made by an older detour (schema %d, this one needs %d); the next start of detour updates it", path, have, known)
	}
	if err != nil {
		return nil, wrap(errors.Join(err, db.Close()))
	}
	return &Reader{db}, nil
}

// Close ends the use of the ledger.
func (r *Reader) Close() error { return r.db.Close() }

// Usage adds up the exchanges that q asks for: days in their order, other groups with the most requests first.
func (r *Reader) Usage(ctx context.Context, q Query) ([]Sum, error) {
	column, err := q.By.column()
	if err != nil {
		return nil, err
	}
	where, args := q.where()
	rows, err := r.db.QueryContext(ctx, `SELECT `+column+` AS k, COUNT(*), SUM(error NOT IN ('', 'canceled')), SUM(error = 'canceled'),
 SUM(NOT reported AND account <> '' AND endpoint <> 'count_tokens'), SUM(tokens_in), SUM(cache_read), SUM(cache_write), SUM(tokens_out), SUM(reasoning),
 SUM(premium), TOTAL(nano_aiu) / 1e9, COUNT(nano_aiu), TOTAL(nano_aiu_estimated) / 1e9, COUNT(nano_aiu_estimated)
FROM exchange`+where+` GROUP BY k ORDER BY COUNT(*) DESC, k`, args...)
	if err != nil {
		return nil, fmt.Errorf("read the usage ledger: %w", err)
	}
	defer rows.Close()
	var sums []Sum
	for rows.Next() {
		var s Sum
		if err := rows.Scan(&s.Key, &s.Requests, &s.Errors, &s.Canceled, &s.Unreported, &s.Input, &s.CacheRead, &s.CacheWrite,
			&s.Output, &s.Reasoning, &s.PremiumRequests, &s.Credits, &s.Priced, &s.EstimatedCredits, &s.Estimated); err != nil {
			return nil, fmt.Errorf("read the usage ledger: %w", err)
		}
		sums = append(sums, s)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read the usage ledger: %w", err)
	}
	if q.By == ByDay {
		return days(sums, q.zone())
	}
	return sums, nil
}

func (q *Query) zone() *time.Location {
	if q.Zone == nil {
		return time.Local
	}
	return q.Zone
}

func (q *Query) where() (string, []any) {
	var conditions []string
	var args []any
	add := func(condition string, arg any) {
		conditions, args = append(conditions, condition), append(args, arg)
	}
	if !q.Since.IsZero() {
		add("at >= ?", q.Since.UnixMilli())
	}
	if !q.Until.IsZero() {
		add("at < ?", q.Until.UnixMilli())
	}
	for column, value := range map[string]string{"account": q.Account, "model": q.Model, "client": q.Client} {
		if value != "" {
			add(column+" = ?", value)
		}
	}
	if conditions == nil {
		return "", nil
	}
	return " WHERE " + strings.Join(conditions, " AND "), args
}

// days adds quarters of an hour up to days.
func days(quarters []Sum, zone *time.Location) ([]Sum, error) {
	byDay := map[string]*Sum{}
	for i := range quarters {
		var n int64
		if _, err := fmt.Sscan(quarters[i].Key, &n); err != nil {
			return nil, fmt.Errorf("read the usage ledger: %w", err)
		}
		name := time.Unix(n*900, 0).In(zone).Format(time.DateOnly)
		if byDay[name] == nil {
			byDay[name] = &Sum{Key: name}
		}
		byDay[name].add(&quarters[i])
	}
	out := make([]Sum, 0, len(byDay))
	for _, s := range byDay {
		out = append(out, *s)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Key < out[j].Key })
	return out, nil
}

// Allowance is how the premium requests of an account stand, as its upstream said last.
type Allowance struct {
	Account    string
	At         time.Time
	Used, Left float64
	Resets     time.Time // zero when it did not say
}

// Allowances lists what upstreams said last, by account.
func (r *Reader) Allowances(ctx context.Context) ([]Allowance, error) {
	rows, err := r.db.QueryContext(ctx, `SELECT account, at, used, left, resets FROM allowance ORDER BY account`)
	if err != nil {
		return nil, fmt.Errorf("read the usage ledger: %w", err)
	}
	defer rows.Close()
	var list []Allowance
	for rows.Next() {
		var a Allowance
		var at, resets int64
		if err := rows.Scan(&a.Account, &at, &a.Used, &a.Left, &resets); err != nil {
			return nil, fmt.Errorf("read the usage ledger: %w", err)
		}
		a.At = time.UnixMilli(at)
		if resets > 0 {
			a.Resets = time.UnixMilli(resets)
		}
		list = append(list, a)
	}
	return list, rows.Err()
}
