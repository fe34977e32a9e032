package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"detour/internal/config"
	"detour/internal/secret"
	"detour/providers"
	"detour/providers/copilot"
	"detour/router"
)

func newAccount(h *host) *cobra.Command {
	return group(&cobra.Command{
		Use:   "account",
		Short: "List, show, test, remove, enable and disable accounts",
		Long: `Account looks after the accounts in accounts.toml, which 'login' and 'import'
write, and in config.toml. None of its verbs shows a credential, and only 'test'
asks a provider anything.`,
		Example: `  detour account list
  detour account disable work`,
	}, newAccountList(h), newAccountShow(h), newAccountRemove(h), newAccountSwitch(h, true), newAccountSwitch(h, false), newAccountTest(h))
}

// listed is an account as account list and show print it; its shape is documented in docs/cli-json.md.
type listed struct {
	ID         string            `json:"id"`
	Provider   string            `json:"provider"`
	Tier       string            `json:"tier"`
	Auth       string            `json:"auth,omitempty"`
	Source     string            `json:"source"`
	Credential string            `json:"credential"`
	BaseURL    string            `json:"base_url,omitempty"`
	Models     []string          `json:"models,omitempty"` // the only ones to use
	Settings   map[string]string `json:"settings"`
	// Live is how it fares in the detour that runs; left out when none does.
	Live *router.AccountStatus `json:"live,omitempty"`
	// PremiumLeft is what the upstream said last of its premium requests; left out when it did not.
	PremiumLeft *float64 `json:"premium_left,omitempty"`
	// Used is false for an account that is disabled, or that a variable of the environment stands in for.
	Used bool `json:"used"`
}

// accounts lists what the files hold, and what the environment puts in its place.
func (h *host) accounts() ([]listed, error) {
	s, err := h.load()
	if err != nil {
		return nil, err
	}
	saved, err := config.LoadAccounts(s.paths.Accounts)
	if err != nil {
		return nil, err
	}
	var list []listed
	for _, a := range s.config.Accounts {
		a.Source = cmp.Or(a.Source, filepath.Base(s.paths.Config))
		list = append(list, describe(a))
	}
	for _, a := range saved {
		list = append(list, describe(a))
	}
	u, err := h.upstream(s, false)
	if err != nil {
		fmt.Fprintf(h.err, "detour: these accounts cannot be used: %v\n", err)
		for i := range list {
			list[i].Used = false
		}
		return list, nil
	}
	defer u.Close()
	for _, a := range u.Accounts {
		c := a.Config()
		if !slices.ContainsFunc(list, func(l listed) bool { return l.ID == c.ID && l.Source == c.Source }) {
			list = slices.Insert(list, 0, describe(config.Account{
				ID: c.ID, Provider: c.Provider, GitHubToken: c.Secret, BaseURL: c.BaseURL, Settings: c.Settings, Tier: string(c.Tier), Source: c.Source,
			}))
		}
	}
	for i, l := range list {
		list[i].Used = l.Tier != string(providers.Disabled) && slices.ContainsFunc(u.Accounts, func(a *providers.Account) bool {
			return a.ID() == l.ID && a.Config().Source == l.Source
		})
	}
	return list, nil
}

func describe(a config.Account) listed {
	l := listed{
		ID: a.ID, Provider: a.Provider, Tier: cmp.Or(a.Tier, string(providers.Active)), Source: a.Source,
		Credential: credential(a), BaseURL: redacted(a.BaseURL), Models: a.Models, Settings: a.Settings,
	}
	if a.Disabled {
		l.Tier = string(providers.Disabled)
	}
	if l.Settings == nil {
		l.Settings = map[string]string{}
	}
	l.Auth = authOf(a)
	return l
}

// authOf is how the account's credential is used: exchange or direct for Copilot's; for others key, the way it is
// presented, or none.
func authOf(a config.Account) string {
	switch {
	case a.Provider == copilot.Name:
		return cmp.Or(a.Settings["auth"], "exchange")
	case credential(a) == "none":
		return "none"
	}
	return cmp.Or(a.AuthType, "key")
}

// credential names the kind of the account's credential.
func credential(a config.Account) string {
	for _, c := range []struct {
		name  string
		value secret.String
	}{{"GitHub token", a.GitHubToken}, {"refresh token", a.RefreshToken}, {"API key", a.APIKey}, {"access token", a.AccessToken}} {
		if !c.value.IsZero() {
			return c.name
		}
	}
	return "none"
}

func redacted(raw string) string {
	if u, err := url.Parse(raw); err == nil {
		return u.Redacted()
	}
	return "***"
}

func newAccountList(h *host) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List accounts",
		Long: `List prints every account with its provider, tier, source and whether it is
used; what its upstream said last of premium requests; and while detour runs how
each fares there: its state, why and until when, and when it served last. What is
left of GitHub's five-hour and weekly limits is in account show and status. With
no account it prints none and succeeds.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			list, err := h.accounts()
			if err != nil {
				return err
			}
			s, err := h.load()
			if err != nil {
				return err
			}
			live, left := liveStates(c.Context(), s), premiumLeft(c.Context(), s)
			for i := range list {
				if n, ok := left[list[i].ID]; ok {
					list[i].PremiumLeft = &n
				}
				if st, ok := live[list[i].ID]; ok && list[i].Used {
					list[i].Live = &st
				}
			}
			if asJSON {
				return h.json(append([]listed{}, list...))
			}
			if len(list) == 0 && h.outTTY {
				fmt.Fprintln(h.err, "There is no account yet: sign in with `detour login`, or take over a sign-in with `detour import --from gh`.")
				return nil
			}
			rows := make([][]cell, len(list))
			for i, l := range list {
				rows[i] = append([]cell{text(l.ID), text(l.Provider), text(l.Tier), word(l.Auth), text(l.Source), yesNo(l.Used)}, liveCells(&l)...)
			}
			return h.table([]string{"id", "provider", "tier", "auth", "source", "used", "state", "until", "last_used", "premium_left", "why"}, rows)
		},
	}
	jsonFlag(c, &asJSON)
	return c
}

// liveCells says how an account fares, with dashes where no detour runs.
func liveCells(l *listed) []cell {
	left := word("")
	if l.PremiumLeft != nil {
		left = number(math.Floor(*l.PremiumLeft*10) / 10)
	}
	st := l.Live
	if st == nil {
		return []cell{word(""), word(""), word(""), left, word("")}
	}
	now, state, until := time.Now(), st.State, st.Until
	if state == "ok" && st.Premium != "" {
		state, until = "ok, no premium requests", st.PremiumUntil
	}
	ends := word("")
	if !until.IsZero() {
		ends = when(until, now)
	}
	used := word("")
	if !st.LastUsed.IsZero() {
		used = cell{span(now.Sub(st.LastUsed)) + " ago", st.LastUsed.UTC().Format(time.RFC3339)}
	}
	return []cell{text(state), ends, used, left, word(cmp.Or(st.Why, st.Premium))}
}

func newAccountShow(h *host) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "show ID", Short: "Show one account and its settings", Args: cobra.ExactArgs(1),
		ValidArgsFunction: completeAccounts(h),
		RunE: func(c *cobra.Command, args []string) error {
			l, err := h.find(args[0])
			if err != nil {
				return err
			}
			s, err := h.load()
			if err != nil {
				return err
			}
			if st, ok := liveStates(c.Context(), s)[l.ID]; ok && l.Used {
				l.Live = &st
			}
			if n, ok := premiumLeft(c.Context(), s)[l.ID]; ok {
				l.PremiumLeft = &n
			}
			if asJSON {
				return h.json(l)
			}
			var f facts
			f.add("", "id", text(l.ID))
			f.add("", "provider", text(l.Provider))
			f.add("", "tier", text(l.Tier))
			f.add("", "used", yesNo(l.Used))
			if l.Live != nil {
				cells := liveCells(&l)
				f.add("", "state", cells[0])
				f.add("", "until", cells[1])
				f.add("", "why", cells[4])
				f.add("", "last_used", cells[2])
				printLimits(&f, "", l.Live, time.Now())
			}
			if l.PremiumLeft != nil {
				f.add("", "premium_left", liveCells(&l)[3])
			}
			f.add("", "auth", word(l.Auth))
			f.add("", "credential", text(l.Credential))
			f.add("", "source", text(l.Source))
			f.add("", "base_url", word(l.BaseURL))
			if len(l.Models) > 0 {
				f.add("", "models", text(strings.Join(l.Models, ",")))
			}
			for _, k := range sortedKeys(l.Settings) {
				f.add("", "settings."+k, text(l.Settings[k]))
			}
			return f.print(h)
		},
	}
	jsonFlag(c, &asJSON)
	return c
}

// find returns the listed account with the id; of two with one id the one that is used.
func (h *host) find(id string) (listed, error) {
	list, err := h.accounts()
	if err != nil {
		return listed{}, err
	}
	var ids []string
	best := -1
	for i, l := range list {
		ids = append(ids, l.ID)
		if l.ID == id && (best < 0 || l.Used) {
			best = i
		}
	}
	if best < 0 {
		return listed{}, missing(id, ids)
	}
	return list[best], nil
}

func missing(id string, ids []string) error {
	if len(ids) == 0 {
		return noAccount(fmt.Errorf("there is no account %q, nor any other", id))
	}
	return noAccount(providers.UnknownName("account", id, ids))
}

func newAccountRemove(h *host) *cobra.Command {
	return &cobra.Command{
		Use: "remove ID", Aliases: []string{"rm"}, Short: "Forget an account",
		Long: `Remove deletes the account and its credential from accounts.toml. What you
granted at GitHub stays granted until you revoke it there. Accounts that you
wrote into config.toml yourself are left to you.`,
		Args: cobra.ExactArgs(1), ValidArgsFunction: completeAccounts(h),
		RunE: func(_ *cobra.Command, args []string) error {
			s, err := h.load()
			if err != nil {
				return err
			}
			id := args[0]
			saved, err := config.LoadAccounts(s.paths.Accounts)
			if err != nil {
				return err
			}
			err = config.RemoveAccount(s.paths.Accounts, id)
			if errors.Is(err, fs.ErrNotExist) {
				return h.notSaved(s, id, "remove", "delete its [[accounts]] block with `detour config edit`")
			}
			if err != nil {
				return err
			}
			fmt.Fprintf(h.err, "removed %s from %s\n", id, s.paths.Accounts)
			if i := byID(saved, id); i >= 0 && saved[i].Provider != copilot.Name {
				return nil
			}
			fmt.Fprintln(h.err, "What it was granted can be revoked at https://github.com/settings/apps/authorizations and https://github.com/settings/applications.")
			return nil
		},
	}
}

// notSaved explains why an account that is not in accounts.toml cannot be changed there.
func (h *host) notSaved(s settings, id, verb, byHand string) error {
	if byID(s.config.Accounts, id) >= 0 {
		return &exitError{code: exitFailure, err: fmt.Errorf("%s account %s: it is in %s", verb, id, s.paths.Config), hint: byHand}
	}
	l, err := h.find(id)
	if err != nil {
		return err
	}
	return &exitError{code: exitFailure, err: fmt.Errorf("%s account %s: it comes from the variable %s", verb, id, l.Source), hint: "unset " + l.Source}
}

func newAccountSwitch(h *host, on bool) *cobra.Command {
	verb, short := "enable", "Use an account again"
	if !on {
		verb, short = "disable", "Keep an account but do not use it"
	}
	return &cobra.Command{
		Use: verb + " ID", Short: short, Args: cobra.ExactArgs(1), ValidArgsFunction: completeAccounts(h),
		Long: short + `. A detour that is running takes it up at once.`,
		RunE: func(_ *cobra.Command, args []string) error {
			s, err := h.load()
			if err != nil {
				return err
			}
			id := args[0]
			saved, err := config.LoadAccounts(s.paths.Accounts)
			if err != nil {
				return err
			}
			file, list := s.paths.Accounts, saved
			if byID(saved, id) < 0 {
				file, list = s.paths.Config, s.config.Accounts
			}
			i := byID(list, id)
			if i < 0 {
				return h.notSaved(s, id, verb, "")
			}
			if err := switchAccount(file, list[i], on); err != nil {
				return err
			}
			fmt.Fprintf(h.err, "%sd %s in %s\n", verb, id, file)
			return nil
		},
	}
}

// switchAccount writes enabled, and takes back a tier that says the same as enabled = false.
func switchAccount(file string, a config.Account, on bool) error {
	if !on {
		return config.SetAccount(file, a.ID, "enabled", "false")
	}
	for _, key := range []string{"enabled", "tier"} {
		if key == "tier" && a.Tier != string(providers.Disabled) {
			continue
		}
		if err := config.UnsetAccount(file, a.ID, key); err != nil && !errors.Is(err, config.ErrNotSet) {
			return err
		}
	}
	return nil
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
