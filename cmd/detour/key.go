package main

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"detour/internal/app"
	"detour/internal/clientkey"
	"detour/internal/config"
	"detour/providers"
)

func newKey(h *host) *cobra.Command {
	return group(&cobra.Command{
		Use:   "key",
		Short: "Make and revoke the keys that clients present to detour",
		Long: `Key looks after the keys that detour itself gives to tools and to other devices.
They are needed when a door is open to other machines, or when
server.require_keys says so; elsewhere they tell tools apart, for rules and
budgets. Tools send a key as their API key, or as the password of the proxy URL.
Only hashes are kept.`,
		Example: `  detour key create laptop
  OPENAI_API_KEY=$(detour key create ci --scope api)
  detour key revoke laptop`,
	}, newKeyCreate(h), newKeyList(h), newKeyRevoke(h))
}

func (h *host) keysFile() (string, error) {
	paths, err := config.FindPaths(h.env)
	return paths.Keys, err
}

func newKeyCreate(h *host) *cobra.Command {
	var scope string
	var limits clientkey.Limits
	var asJSON bool
	c := &cobra.Command{
		Use: "create NAME", Short: "Make a key and show it, this once",
		Long: `Create prints a new key to standard output. It cannot be shown again. What it
may use can be limited to some providers, models and accounts; a model may hold
* for any text. How much it may spend is a [[budget]] of config.toml.`,
		Example: `  detour key create laptop
  detour key create ci --scope api --model 'gpt-*' --account work`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			file, err := h.keysFile()
			if err != nil {
				return err
			}
			if err := h.checkLimits(limits); err != nil {
				return err
			}
			key, plain, err := clientkey.Create(file, args[0], clientkey.Scope(scope), limits)
			if err != nil {
				return err
			}
			if asJSON {
				return h.json(struct {
					clientkey.Key
					Secret string `json:"key"`
				}{key, plain.Reveal()})
			}
			if _, err := fmt.Fprintln(h.out, plain.Reveal()); err != nil {
				return err
			}
			fmt.Fprintf(h.err, "This is key %s (%s). It is shown this once: keep it, or revoke it with `detour key revoke %s`.\n", key.Name, key.ID, key.ID)
			return nil
		},
	}
	c.Flags().StringVar(&scope, "scope", string(clientkey.ScopeAll), "door that it opens: all, api or proxy")
	c.Flags().StringSliceVar(&limits.Providers, "provider", nil, "only accounts of this provider (may be repeated)")
	c.Flags().StringSliceVar(&limits.Models, "model", nil, "only this model, * for any text (may be repeated)")
	c.Flags().StringSliceVar(&limits.Accounts, "account", nil, "only this account (may be repeated)")
	jsonFlag(c, &asJSON)
	return c
}

// checkLimits refuses limits that name what is not there: the key would open nothing, and be shown only once.
func (h *host) checkLimits(l clientkey.Limits) error {
	if len(l.Providers)+len(l.Accounts) == 0 {
		return nil
	}
	s, err := h.load()
	if err != nil {
		return err
	}
	u, err := app.NewUpstream(h.options(s), nil)
	if err != nil {
		return err
	}
	defer u.Close()
	for _, name := range l.Providers {
		if _, err := u.Providers.Lookup(name); err != nil {
			return usageError("--provider: %w", err)
		}
	}
	for _, id := range l.Accounts {
		if !slices.ContainsFunc(u.Accounts, func(a *providers.Account) bool { return a.ID() == id }) {
			var ids []string
			for _, a := range u.Accounts {
				ids = append(ids, a.ID())
			}
			return missing(id, ids)
		}
	}
	return nil
}

func newKeyList(h *host) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List keys", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			file, err := h.keysFile()
			if err != nil {
				return err
			}
			keys, err := clientkey.List(file)
			if err != nil {
				return err
			}
			if asJSON {
				return h.json(append([]clientkey.Key{}, keys...))
			}
			if len(keys) == 0 && h.outTTY {
				fmt.Fprintln(h.err, "There is no key yet: make one with `detour key create NAME`.")
				return nil
			}
			rows := make([][]cell, len(keys))
			for i, k := range keys {
				rows[i] = []cell{text(k.ID), text(k.Name), text(string(k.Scope)), day(k.Created), {"…" + k.Last4, k.Last4}, word(limitsOf(k))}
			}
			return h.table([]string{"id", "name", "scope", "created", "ends_in", "limited_to"}, rows)
		},
	}
	jsonFlag(c, &asJSON)
	return c
}

// limitsOf lists what a key is limited to, "" when it may use everything.
func limitsOf(k clientkey.Key) string {
	return strings.Join(slices.Concat(k.Providers, k.Accounts, k.Models), ",")
}

func newKeyRevoke(h *host) *cobra.Command {
	return &cobra.Command{
		Use: "revoke ID", Aliases: []string{"rm", "remove"}, Short: "End a key, by its id or name",
		Long: `Revoke ends a key. A detour that is running refuses it from the next request on.`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			file, err := h.keysFile()
			if err != nil {
				return err
			}
			key, err := clientkey.Revoke(file, args[0])
			if errors.Is(err, fs.ErrNotExist) {
				return &exitError{code: exitFailure, err: fmt.Errorf("revoke key: there is no key %q", args[0]), hint: "`detour key list` lists them"}
			}
			if err != nil {
				return err
			}
			fmt.Fprintf(h.err, "revoked key %s (%s)\n", key.Name, key.ID)
			return nil
		},
	}
}
