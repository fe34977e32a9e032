package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"detour/internal/app"
	"detour/internal/config"
	"detour/internal/ledger"
)

func newUsage(h *host) *cobra.Command {
	var f usageFlags
	c := &cobra.Command{
		Use:   "usage",
		Short: "Add up what was used: requests, tokens, premium requests, credits",
		Long: `Usage adds up the exchanges that detour has recorded, whether or not it runs just
now. Tokens and credits are what the upstreams reported; a credit is a US cent.
Figures with ~ are estimates. Premium requests: what a person's request costs at
the model's multiplier; what GitHub itself counts is told beside it. Estimated
credits: what the tokens cost at the model's list prices, where the upstream
named no price; they are not part of the credits beside them. Requests whose
answer named no tokens are counted, and their tokens are not.

--since and --until take a span back from now (90m, 24h, 7d, 2w), a day
(2026-11-01, from its beginning here), a time (RFC 3339), or "all".`,
		Example: `  detour usage
  detour usage --since 7d --by day
  detour usage --since 2026-11-01 --by model --account work --json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return runUsage(c.Context(), h, f) },
	}
	c.Flags().StringVar(&f.since, "since", "24h", "count from then on")
	c.Flags().StringVar(&f.until, "until", "", "count up to then (default: now)")
	c.Flags().StringVar(&f.by, "by", "account", "add up by account, model, key, day or dialect")
	c.Flags().StringVar(&f.model, "model", "", "only this model, as it is named upstream")
	c.Flags().StringVar(&f.key, "key", "", "only this client key, by name")
	accountFlag(h, c, &f.account, "only this account")
	jsonFlag(c, &f.json)
	if err := c.RegisterFlagCompletionFunc("by", cobra.FixedCompletions([]string{"account", "model", "key", "day", "dialect"}, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // the flag was defined above
	}
	return c
}

type usageFlags struct {
	since, until, by, account, model, key string
	json                                  bool
}

// usageReport is what usage tells; its shape is documented in docs/cli-json.md.
type usageReport struct {
	Path       string            `json:"path"`
	Since      time.Time         `json:"since,omitzero"`
	Until      time.Time         `json:"until,omitzero"`
	By         string            `json:"by"`
	Rows       []usageRow        `json:"rows"`
	Total      usageRow          `json:"total"`
	Allowances []usageAllowances `json:"allowances"`
}

type usageRow struct {
	Key              string  `json:"key"`
	Requests         int64   `json:"requests"`
	Errors           int64   `json:"errors"`
	Canceled         int64   `json:"canceled"`
	TokensUnknown    int64   `json:"requests_without_tokens"`
	Input            int64   `json:"tokens_in"`
	CacheRead        int64   `json:"tokens_cache_read"`
	CacheWrite       int64   `json:"tokens_cache_write"`
	Output           int64   `json:"tokens_out"`
	Reasoning        int64   `json:"tokens_reasoning"`
	PremiumEstimated float64 `json:"premium_requests_estimated"`
	Credits          float64 `json:"credits"`
	Priced           int64   `json:"requests_with_credits"`
	CreditsEstimated float64 `json:"credits_estimated"`
	Estimated        int64   `json:"requests_with_credits_estimated"`
}

type usageAllowances struct {
	Account string    `json:"account"`
	Used    float64   `json:"premium_requests_used"`
	Left    float64   `json:"premium_requests_left"`
	Resets  time.Time `json:"resets,omitzero"`
	At      time.Time `json:"at"`
}

func runUsage(ctx context.Context, h *host, f usageFlags) error {
	now := time.Now()
	q, err := f.query(now)
	if err != nil {
		return err
	}
	paths, err := config.FindPaths(h.env)
	if err != nil {
		return err
	}
	report := usageReport{Path: app.LedgerPath(paths), Since: q.Since.UTC(), Until: q.Until.UTC(), By: f.by, Rows: []usageRow{}, Allowances: []usageAllowances{}}
	r, err := ledger.OpenReader(ctx, report.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		fmt.Fprintf(h.err, "nothing is recorded yet: there is no %s\n", report.Path)
	case err != nil:
		return err
	default:
		defer r.Close()
		if err := report.fill(ctx, r, q); err != nil {
			return err
		}
	}
	if f.json {
		return h.json(report)
	}
	return report.print(h, now)
}

func (f *usageFlags) query(now time.Time) (q ledger.Query, err error) {
	q = ledger.Query{By: ledger.By(f.by), Account: f.account, Model: f.model, Client: f.key}
	switch q.By {
	case ledger.ByAccount, ledger.ByModel, ledger.ByKey, ledger.ByDay, ledger.ByDialect:
	default:
		return q, usageError("--by %s: it can be account, model, key, day or dialect", f.by)
	}
	if q.Since, err = parseWhen(f.since, now); err != nil {
		return q, usageError("--since %w", err)
	}
	if f.until != "" {
		if q.Until, err = parseWhen(f.until, now); err != nil {
			return q, usageError("--until %w", err)
		}
	}
	return q, nil
}

// parseWhen reads a time that a person names.
func parseWhen(s string, now time.Time) (time.Time, error) {
	if s == "all" {
		return time.Time{}, nil
	}
	if t, err := time.ParseInLocation(time.DateOnly, s, now.Location()); err == nil {
		return t, nil
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, nil
	}
	for unit, days := range map[string]int{"d": 1, "w": 7} {
		if n, ok := strings.CutSuffix(s, unit); ok {
			if n, err := strconv.Atoi(n); err == nil && n >= 0 && n <= 36500 {
				return now.AddDate(0, 0, -n*days), nil
			}
		}
	}
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	return time.Time{}, fmt.Errorf("%q is no time: write a span (24h, 7d, 2w), a day (2026-11-01), a time (RFC 3339) or all", s)
}

func (r *usageReport) fill(ctx context.Context, l *ledger.Reader, q ledger.Query) error {
	sums, err := l.Usage(ctx, q)
	if err != nil {
		return err
	}
	for _, s := range sums {
		r.Rows = append(r.Rows, usageOf(s))
	}
	q.By = ledger.ByNone
	total, err := l.Usage(ctx, q)
	if err != nil {
		return err
	}
	if len(total) > 0 {
		r.Total = usageOf(total[0])
	}
	allowances, err := l.Allowances(ctx)
	if err != nil {
		return err
	}
	for _, a := range allowances {
		if q.Account == "" || q.Account == a.Account {
			r.Allowances = append(r.Allowances, usageAllowances{a.Account, a.Used, a.Left, a.Resets.UTC(), a.At.UTC()})
		}
	}
	return nil
}

func usageOf(s ledger.Sum) usageRow {
	return usageRow{
		Key: s.Key, Requests: s.Requests, Errors: s.Errors, Canceled: s.Canceled, TokensUnknown: s.Unreported,
		Input: s.Input, CacheRead: s.CacheRead, CacheWrite: s.CacheWrite, Output: s.Output, Reasoning: s.Reasoning,
		PremiumEstimated: rounded(s.PremiumRequests), Credits: s.Credits, Priced: s.Priced,
		CreditsEstimated: s.EstimatedCredits, Estimated: s.Estimated,
	}
}

// rounded takes away what adding up fractions leaves behind.
func rounded(f float64) float64 { return math.Round(f*1e6) / 1e6 }

func (r *usageReport) print(h *host, now time.Time) error {
	columns := []string{r.By, "requests", "errors", "canceled", "in", "cache_read", "cache_write", "out", "reasoning", "premium_estimated", "credits", "credits_estimated"}
	var rows [][]cell
	for i := range r.Rows {
		rows = append(rows, r.Rows[i].cells(word(r.Rows[i].Key)))
	}
	if h.outTTY && len(rows) > 1 {
		rows = append(rows, r.Total.cells(text("total")))
	}
	if err := h.table(columns, rows); err != nil {
		return err
	}
	if n := r.Total.TokensUnknown; n > 0 {
		fmt.Fprintf(h.err, "%d of the requests got an answer that named no tokens; they are in no sum\n", n)
	}
	for _, a := range r.Allowances {
		fmt.Fprintf(h.err, "%s: %s premium requests used and %s left, as the upstream said %s", a.Account, number(rounded(a.Used)).plain, number(rounded(a.Left)).plain, when(a.At, now).human)
		if !a.Resets.IsZero() {
			fmt.Fprintf(h.err, "; it begins anew %s", when(a.Resets, now).human)
		}
		fmt.Fprintln(h.err)
	}
	return nil
}

// inCredits tells people what was spent in credits, if anything.
func (r *usageRow) inCredits() (s string) {
	if r.Priced > 0 {
		s = ", " + number(rounded(r.Credits)).plain + " credits"
	}
	if r.Estimated > 0 {
		s += ", ~" + number(rounded(r.CreditsEstimated)).plain + " credits estimated"
	}
	return s
}

func (r *usageRow) cells(key cell) []cell {
	count := func(n int64) cell { return text(strconv.FormatInt(n, 10)) }
	estimate := func(f float64) cell {
		c := number(f)
		if f > 0 {
			c.human = "~" + c.human
		}
		return c
	}
	credits, estimated := number(rounded(r.Credits)), estimate(rounded(r.CreditsEstimated))
	if r.Priced == 0 {
		credits = word("")
	}
	if r.Estimated == 0 {
		estimated = word("")
	}
	return []cell{
		key, count(r.Requests), count(r.Errors), count(r.Canceled), count(r.Input), count(r.CacheRead), count(r.CacheWrite),
		count(r.Output), count(r.Reasoning), estimate(r.PremiumEstimated), credits, estimated,
	}
}
