package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"detour/ca"
	"detour/internal/app"
	"detour/internal/config"
	"detour/internal/ledger"
	"detour/providers"
	"detour/providers/copilot"
)

// statusTimeout bounds what status asks of GitHub for one account.
const statusTimeout = 20 * time.Second

func newStatus(h *host) *cobra.Command {
	var offline, asJSON bool
	c := &cobra.Command{
		Use:   "status",
		Short: "Show configuration, doors, certificate authority and accounts",
		Long: `Status shows where the configuration is, which doors are configured and whether a
detour listens there, the state of the certificate authority, and for each
account its plan, what is left of its quota as GitHub reports it, and whether an
upstream token can be had. A running detour also tells how it sees its accounts,
how the budgets stand, and what of the configuration it could not take up.

Exit codes: 0 it could be told, whatever there was to tell; 2 the configuration
has mistakes.`,
		Example: `  detour status
  detour status --offline --json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return runStatus(c.Context(), h, offline, asJSON) },
	}
	c.Flags().BoolVar(&offline, "offline", false, "do not ask GitHub and other providers about the accounts")
	jsonFlag(c, &asJSON)
	return c
}

// overview is what status tells; its shape is documented in docs/cli-json.md.
type overview struct {
	Version  string          `json:"version"`
	Config   configState     `json:"config"`
	Doors    []doorState     `json:"doors"`
	CA       caState         `json:"ca"`
	Accounts []accountReport `json:"accounts"`
	Usage    *usageRow       `json:"usage_24h,omitempty"` // absent when nothing is recorded
}

type configState struct {
	Path     string   `json:"path"`
	Exists   bool     `json:"exists"`
	Accounts string   `json:"accounts_path"`
	Notices  []string `json:"notices,omitempty"`
}

type caState struct {
	Exists  bool     `json:"exists"`
	Info    *ca.Info `json:"info,omitempty"`
	Problem *problem `json:"problem,omitempty"`
}

// accountReport is one account as GitHub sees it. Token is what a fresh process can get; a running detour has its own.
type accountReport struct {
	listed
	Login       string          `json:"login,omitempty"`
	Plan        string          `json:"plan,omitempty"`
	TokenBilled bool            `json:"token_billed,omitempty"`
	Resets      time.Time       `json:"quota_resets,omitzero"`
	Quotas      []copilot.Quota `json:"quotas,omitempty"`
	QuotaFailed *problem        `json:"quota_problem,omitempty"`
	Token       *tokenState     `json:"token,omitempty"`
}

func runStatus(ctx context.Context, h *host, offline, asJSON bool) error {
	s, err := h.load()
	if invalid, ok := errors.AsType[*config.Invalid](err); ok {
		if r, runs := app.FindRunning(s.paths); runs {
			invalid.Hint = fmt.Sprintf("the detour that runs (process %d) goes on with what it had before", r.PID)
		}
	}
	if err != nil {
		return err
	}
	o := overview{Version: version(), Config: configState{Path: s.paths.Config, Accounts: s.paths.Accounts}, Accounts: []accountReport{}}
	_, err = os.Stat(s.paths.Config)
	o.Config.Exists = err == nil
	for _, n := range s.config.Notices {
		o.Config.Notices = append(o.Config.Notices, n.String())
	}
	if err := o.Config.check(h, s); err != nil {
		return err
	}
	o.Doors = doors(ctx, s)
	o.CA = inspectCA(s)
	list, err := h.accounts()
	if err != nil {
		return err
	}
	for _, l := range list {
		o.Accounts = append(o.Accounts, accountReport{listed: l})
	}
	if !offline {
		if err := h.ask(ctx, s, o.Accounts); err != nil {
			return err
		}
	}
	o.Usage = lastDay(ctx, s)
	if asJSON {
		return h.json(o)
	}
	return o.print(h)
}

// check looks for what the files name and nobody knows.
func (c *configState) check(h *host, s settings) error {
	u, err := app.NewUpstream(h.options(s), nil)
	if err != nil {
		return nil // of an account, which is told with the accounts
	}
	defer u.Close()
	if err := app.CheckPolicy(s.config, s.paths.Config, u); err != nil {
		return err
	}
	c.Notices = append(c.Notices, app.PolicyNotes(s.config, s.paths, u)...)
	return nil
}

// lastDay adds up what was used; nil when there is nothing to add up, or no way to.
func lastDay(ctx context.Context, s settings) *usageRow {
	r, err := ledger.OpenReader(ctx, app.LedgerPath(s.paths))
	if err != nil {
		return nil // the usage verb says why
	}
	defer r.Close()
	sums, err := r.Usage(ctx, ledger.Query{Since: time.Now().Add(-24 * time.Hour)})
	if err != nil || len(sums) == 0 {
		return nil
	}
	row := usageOf(sums[0])
	return &row
}

func inspectCA(s settings) caState {
	a, err := ca.Load(app.CAOptions(s.config, s.paths))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return caState{}
	case err != nil:
		return caState{Exists: true, Problem: problemOf(err)}
	}
	info := a.Info()
	return caState{Exists: true, Info: &info}
}

// ask fills in what GitHub tells about the accounts that are used.
func (h *host) ask(ctx context.Context, s settings, reports []accountReport) error {
	used := map[string]*accountReport{}
	for i := range reports {
		if reports[i].Used {
			used[reports[i].ID] = &reports[i]
		}
	}
	if len(used) == 0 {
		return nil
	}
	u, err := app.NewUpstream(h.options(s), nil) // its notes were told already
	if err != nil {
		return err
	}
	defer u.Close()
	forEach(u.Accounts, func(_ int, a *providers.Account) {
		defer a.Close()
		if r := used[a.ID()]; r != nil {
			ctx, cancel := context.WithTimeout(ctx, statusTimeout)
			defer cancel()
			r.ask(ctx, u, a)
		}
	})
	return ctx.Err()
}

func (r *accountReport) ask(ctx context.Context, u *app.Upstream, a *providers.Account) {
	lease, err := a.Lease(ctx)
	if err == nil {
		err = verifyKey(ctx, u, a)
	}
	token := stateOf(a, lease, err)
	r.Token = &token
	if a.Provider() != u.Copilot.Name() {
		return
	}
	info, err := u.Copilot.User(ctx, a)
	if err != nil {
		r.QuotaFailed = problemOf(err)
		return
	}
	r.Login, r.Plan, r.TokenBilled, r.Resets, r.Quotas = info.Login, info.Plan, info.TokenBilled, info.Resets, info.Quotas
}

func (o *overview) print(h *host) error {
	now := time.Now()
	var f facts
	f.add("detour", "version", text(o.Version))
	there := ""
	if !o.Config.Exists {
		there = " (not there: the defaults hold)"
	}
	f.add("detour", "config", cell{o.Config.Path + there, o.Config.Path})
	for _, n := range o.Config.Notices {
		f.add("detour", "notice", text(n))
	}
	for i := range o.Doors {
		o.Doors[i].print(&f)
	}
	if d := running(o.Doors); d != nil {
		printRunning(&f, d, now)
	}
	o.CA.print(&f, now)
	for i := range o.Accounts {
		o.Accounts[i].print(&f, now)
		for j := range o.Doors {
			o.Doors[j].printAccount(&f, o.Accounts[i].ID, now)
		}
	}
	if u := o.Usage; u != nil {
		requests := strconv.FormatInt(u.Requests, 10)
		f.add("usage", "last_24h", cell{fmt.Sprintf("%s requests, %d errors, ~%s premium requests%s; see `detour usage`", requests, u.Errors, number(u.PremiumEstimated).plain, u.inCredits()), requests})
	}
	if len(o.Accounts) == 0 {
		f.add("accounts", "count", cell{"none yet: sign in with `detour login`", "0"})
	}
	return f.print(h)
}

func (c *caState) print(f *facts, now time.Time) {
	switch {
	case !c.Exists:
		f.add("certificate authority", "state", cell{"not made yet; the proxy makes it", "missing"})
		return
	case c.Problem != nil:
		f.add("certificate authority", "state", text("unusable"))
		f.add("certificate authority", "problem", text(c.Problem.Message))
		if c.Problem.Hint != "" {
			f.add("certificate authority", "hint", text(c.Problem.Hint))
		}
		return
	}
	state := "ok"
	switch {
	case c.Info.Expired:
		state = "expired"
	case c.Info.ExpiresSoon:
		state = "expires soon"
	}
	f.add("certificate authority", "state", text(state))
	f.add("certificate authority", "path", text(c.Info.Path))
	f.add("certificate authority", "sha256", text(c.Info.SHA256))
	f.add("certificate authority", "expires", when(c.Info.NotAfter, now))
	f.add("certificate authority", "trusted_by_system", yesNo(c.Info.TrustedBySystem))
}

func (r *accountReport) print(f *facts, now time.Time) {
	subject := "account " + r.ID
	f.add(subject, "provider", text(r.Provider))
	f.add(subject, "source", text(r.Source))
	f.add(subject, "tier", text(r.Tier))
	if !r.Used {
		f.add(subject, "used", yesNo(false))
	}
	if r.Plan != "" {
		f.add(subject, "plan", text(r.Plan))
	}
	if r.Login != "" && r.Login != r.ID {
		f.add(subject, "login", text(r.Login))
	}
	switch t := r.Token; {
	case t == nil:
	case t.Problem != nil:
		f.add(subject, "token", text("none"))
		f.add(subject, "problem", text(t.Problem.Message))
		if t.Problem.Hint != "" {
			f.add(subject, "hint", text(t.Problem.Hint))
		}
	default:
		expires := when(t.Expires, now)
		f.add(subject, "token", cell{"expires " + expires.human, cmp.Or(expires.plain, "ok")})
		f.add(subject, "endpoint", text(t.Endpoint))
	}
	if r.QuotaFailed != nil && (r.Token == nil || r.Token.Problem == nil) {
		f.add(subject, "quota", cell{"unknown: " + r.QuotaFailed.Message, ""})
	}
	if !r.Resets.IsZero() {
		f.add(subject, "quota_resets", day(r.Resets))
	}
	for _, q := range r.Quotas {
		f.add(subject, "quota", quotaCell(q))
	}
}

// quotaCell shows the figures as they came: on some plans they count other things than on others.
func quotaCell(q copilot.Quota) cell {
	left := number(q.Remaining).plain
	if q.Entitlement >= 0 {
		left += " of " + number(q.Entitlement).plain
	}
	human := q.Name + ": " + left + " left"
	switch {
	case q.Unlimited:
		human = q.Name + ": unlimited"
	case !q.Applicable:
		human = q.Name + ": not part of the plan"
	case q.Remaining < 0:
		human = q.Name + ": not told"
	case q.Percent >= 0:
		human += " (" + number(q.Percent).plain + " %)"
	}
	if q.OverageCount > 0 {
		human += ", " + number(q.OverageCount).plain + " over"
	}
	return text(human)
}
