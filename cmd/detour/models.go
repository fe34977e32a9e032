package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"detour/internal/dialect"
	"detour/providers"
	"detour/providers/copilot"
)

func newModels(h *host) *cobra.Command {
	var id string
	var asJSON bool
	c := &cobra.Command{
		Use:   "models",
		Short: "List the models that the accounts can use",
		Long: `Models asks every account that is not disabled for its models and prints one list:
the endpoints that serve each natively, limits in
tokens, how many premium requests one costs at Copilot, the accounts that have
it, and the price of a million tokens in and out, in US dollars, where it is known.
Models that are listed upstream but refused by a plan or policy are marked
disabled.

Exit codes: 0 at least one account answered; 1 none did; 4 there is none, or its
sign-in is dead.`,
		Example: `  detour models
  detour models --account work --json | jq -r '.[].id'`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return runModels(c.Context(), h, id, asJSON) },
	}
	accountFlag(h, c, &id, "only this account (default: all)")
	jsonFlag(c, &asJSON)
	return c
}

// listedModel is a model as the models verb prints it; its shape is documented in docs/cli-json.md.
type listedModel struct {
	ID            string             `json:"id"`
	Name          string             `json:"name,omitempty"`
	Vendor        string             `json:"vendor,omitempty"`
	Provider      string             `json:"provider"`
	Endpoints     []dialect.Endpoint `json:"endpoints"` // native ones, the preferred one first
	ContextWindow int                `json:"context_window,omitempty"`
	MaxPrompt     int                `json:"max_prompt,omitempty"`
	MaxOutput     int                `json:"max_output,omitempty"`
	Multiplier    float64            `json:"multiplier"`
	Reasoning     bool               `json:"reasoning,omitempty"`
	Input         []string           `json:"input,omitempty"` // kinds of content
	Output        []string           `json:"output,omitempty"`
	Cost          providers.Cost     `json:"cost,omitzero"` // US dollars for a million tokens
	Picker        bool               `json:"picker"`
	Disabled      bool               `json:"disabled"` // for every account
	Accounts      []string           `json:"accounts"` // that may use it
}

func runModels(ctx context.Context, h *host, id string, asJSON bool) error {
	_, u, err := h.open()
	if err != nil {
		return err
	}
	defer u.Close()
	accounts, err := pickSome(u, id)
	if err != nil {
		return err
	}
	lists := make([][]providers.Model, len(accounts))
	errs := make([]error, len(accounts))
	forEach(accounts, func(i int, a *providers.Account) {
		defer a.Close()
		if lister, ok := u.Providers[a.Provider()].(providers.ModelLister); ok {
			var err error
			if lists[i], err = lister.Models(ctx, a); err != nil {
				errs[i] = accountError(a.ID(), err)
			}
		}
	})
	merged := mergeModels(u.Providers, accounts, lists)
	if failed := worst(h, errs); failed != nil {
		if len(merged) == 0 || ctx.Err() != nil {
			return failed
		}
		fmt.Fprintf(h.err, "detour: %v\n", failed)
	}
	if asJSON {
		return h.json(merged)
	}
	return printModels(h, merged)
}

// mergeModels makes one list of the accounts' lists, in the order in which the upstreams list them.
func mergeModels(registry providers.Registry, accounts []*providers.Account, lists [][]providers.Model) []*listedModel {
	merged := []*listedModel{}
	known := map[[2]string]*listedModel{}
	for i, a := range accounts {
		for _, m := range lists[i] {
			l := known[[2]string{a.Provider(), m.ID}]
			if l == nil {
				l = &listedModel{
					ID: m.ID, Name: m.Name, Vendor: m.Vendor, Provider: a.Provider(), Endpoints: registry[a.Provider()].Dialects(m),
					ContextWindow: m.ContextWindow, MaxPrompt: m.MaxPrompt, MaxOutput: m.MaxOutput,
					Multiplier: m.Multiplier, Reasoning: m.Reasons, Input: m.Input, Output: m.Output, Cost: m.Cost,
					Picker: m.Picker, Disabled: true, Accounts: []string{},
				}
				known[[2]string{a.Provider(), m.ID}] = l
				merged = append(merged, l)
			}
			if !m.Disabled {
				l.Disabled = false
				l.Accounts = append(l.Accounts, a.ID())
			}
		}
	}
	return merged
}

func printModels(h *host, models []*listedModel) error {
	rows := make([][]cell, len(models))
	for i, m := range models {
		var endpoints []string
		for _, e := range m.Endpoints {
			if e != dialect.EndpointCountTokens { // goes with messages
				endpoints = append(endpoints, string(e))
			}
		}
		multiplier := number(m.Multiplier)
		multiplier.human += "x"
		if m.Provider != copilot.Name {
			multiplier = word("")
		}
		price := word("")
		if m.Cost.Input > 0 || m.Cost.Output > 0 {
			price = text(number(m.Cost.Input).plain + "/" + number(m.Cost.Output).plain)
		}
		state := cell{"", "enabled"}
		if m.Disabled {
			state = text("disabled")
		}
		list, names := strings.Join(endpoints, ","), strings.Join(m.Accounts, ",")
		rows[i] = []cell{
			text(m.ID), word(m.Vendor), word(list), tokens(m.ContextWindow), tokens(m.MaxPrompt), tokens(m.MaxOutput), multiplier, word(names), state, text(m.Provider), price,
		}
	}
	return h.table([]string{"id", "vendor", "endpoints", "context", "prompt", "output", "multiplier", "accounts", "state", "provider", "price"}, rows)
}
