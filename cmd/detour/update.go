package main

import (
	"cmp"
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"detour/internal/app"
)

func newUpdate(h *host) *cobra.Command {
	var models, asJSON bool
	c := &cobra.Command{
		Use:   "update --models",
		Short: "Get newer limits and prices of models",
		Long: `Update --models gets what providers do not tell of their models: context windows,
output limits, prices, kinds of content. It keeps the part that matters in the data
folder, where it goes before what came with detour. The source is the public
catalogue that models.catalogue_url, or DETOUR_MODELS_URL, names. An answer that is
not such a catalogue changes nothing. Nothing is ever fetched without being asked
for; a detour that is running takes the new data up when it is started again.

Detour does not update itself: that is up to how you installed it.

Exit codes: 0 done; 1 the catalogue could not be had, and what was there stays; 2
wrong usage.`,
		Example: `  detour update --models`,
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if !models {
				return usageError("say what to update: --models")
			}
			return runUpdateModels(c.Context(), h, asJSON)
		},
	}
	c.Flags().BoolVar(&models, "models", false, "get the model catalogue")
	jsonFlag(c, &asJSON)
	return c
}

// updatedModels is what update --models reports; its shape is documented in docs/cli-json.md.
type updatedModels struct {
	URL       string `json:"url"`
	SavedTo   string `json:"saved_to"`
	Providers int    `json:"providers"`
	Models    int    `json:"models"`
}

func runUpdateModels(ctx context.Context, h *host, asJSON bool) error {
	s, err := h.load()
	if err != nil {
		return err
	}
	u, err := app.NewUpstream(h.options(s.withoutAccounts()), nil)
	if err != nil {
		return err
	}
	defer u.Close()
	r := updatedModels{URL: cmp.Or(h.env("DETOUR_MODELS_URL"), s.config.Models.CatalogueURL)}
	file, data, err := u.UpdateModels(ctx, r.URL, s.paths)
	if err != nil {
		return &exitError{code: exitFailure, err: err, hint: "nothing was changed; check models.catalogue_url, or try again later"}
	}
	r.SavedTo = file
	r.Providers, r.Models = data.Count()
	if asJSON {
		return h.json(r)
	}
	fmt.Fprintf(h.err, "%d models of %d providers were saved to %s\n", r.Models, r.Providers, r.SavedTo)
	return nil
}
