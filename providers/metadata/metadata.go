// Package metadata knows what upstreams do not tell of their models: limits, prices, kinds of content. The data is a
// file that comes with detour; `detour update --models` gets a newer one. Its form is that of the public catalogue at
// models.dev, of which it keeps the providers and members that matter here.
package metadata

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"

	"detour/providers"
)

//go:embed models.json
var builtin []byte

// DefaultURL is where newer data comes from.
const DefaultURL = "https://models.dev/api.json"

// Data is what is known of models, by provider and model. It is read-only and safe for concurrent use.
type Data struct {
	providers map[string]provider
}

// provider and entry have the form of the file.
type provider struct {
	Models map[string]entry `json:"models"`
}

type entry struct {
	Name      string `json:"name,omitempty"`
	Reasoning bool   `json:"reasoning,omitempty"`
	Limit     struct {
		Context float64 `json:"context,omitempty"`
		Output  float64 `json:"output,omitempty"`
	} `json:"limit,omitzero"`
	Cost       providers.Cost `json:"cost,omitzero"`
	Modalities struct {
		Input  []string `json:"input,omitempty"`
		Output []string `json:"output,omitempty"`
	} `json:"modalities,omitzero"`
}

// known lists the providers that are kept of a catalogue.
func known() []string {
	return []string{"openai", "anthropic", "zai", "zai-coding-plan", "zhipuai", "zhipuai-coding-plan", "deepseek", "openrouter", "google"}
}

// Builtin returns the data that comes with detour.
func Builtin() *Data {
	d, err := Parse(builtin)
	if err != nil {
		panic("metadata: built-in data: " + err.Error()) // a mistake in the program
	}
	return d
}

// Parse reads a catalogue. Entries that cannot be true are left out. It is an error when these are more than a tenth, or
// when it holds none of the known providers: whatever answered then was not the catalogue, and what is known already is
// better.
func Parse(data []byte) (*Data, error) {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(data, &all); err != nil {
		return nil, fmt.Errorf("read model catalogue: %w", err)
	}
	d := &Data{providers: map[string]provider{}}
	kept, left := 0, 0
	var why error
	for _, name := range known() {
		raw, ok := all[name]
		if !ok {
			continue
		}
		var listed struct {
			Models map[string]json.RawMessage `json:"models"`
		}
		if err := json.Unmarshal(raw, &listed); err != nil {
			return nil, fmt.Errorf("read model catalogue: %s: %w", name, err)
		}
		p := provider{Models: map[string]entry{}}
		for _, id := range slices.Sorted(maps.Keys(listed.Models)) {
			var m entry
			err := json.Unmarshal(listed.Models[id], &m)
			if wrong := m.wrong(); err == nil && wrong != "" {
				err = errors.New(wrong)
			}
			if err != nil {
				left++
				why = fmt.Errorf("read model catalogue: %s/%.100s: %w", name, id, err)
				continue
			}
			kept++
			p.Models[id] = m
		}
		if len(p.Models) > 0 {
			d.providers[name] = p
		}
	}
	if left > 0 && kept < 9*left {
		return nil, why
	}
	if len(d.providers) == 0 {
		return nil, errors.New("read model catalogue: it holds no provider that detour knows")
	}
	return d, nil
}

// wrong says what cannot be true of an entry.
func (e *entry) wrong() string {
	for what, limit := range map[string]float64{"context": e.Limit.Context, "output limit": e.Limit.Output} {
		if limit < 0 || limit > 1e9 || math.Trunc(limit) != limit {
			return fmt.Sprintf("a %s of %v tokens", what, limit)
		}
	}
	for _, c := range []float64{e.Cost.Input, e.Cost.Output, e.Cost.CacheRead, e.Cost.CacheWrite} {
		if c < 0 || c > providers.MaxPrice {
			return fmt.Sprintf("a cost of %v for a million tokens", c)
		}
	}
	return ""
}

// Over returns d, and of base what d does not have.
func (d *Data) Over(base *Data) *Data {
	out := &Data{providers: maps.Clone(base.providers)}
	for name, p := range d.providers {
		merged := provider{Models: maps.Clone(out.providers[name].Models)}
		if merged.Models == nil {
			merged.Models = map[string]entry{}
		}
		maps.Copy(merged.Models, p.Models)
		out.providers[name] = merged
	}
	return out
}

// Encode writes what Parse reads.
func (d *Data) Encode() ([]byte, error) {
	b, err := json.MarshalIndent(d.providers, "", " ")
	if err != nil {
		return nil, fmt.Errorf("write model catalogue: %w", err)
	}
	return append(b, '\n'), nil
}

// Count returns how many providers and models are known.
func (d *Data) Count() (providers, models int) {
	for _, p := range d.providers {
		models += len(p.Models)
	}
	return len(d.providers), models
}

// date is what the ids of snapshots end in.
var date = regexp.MustCompile(`-(?:\d{8}|\d{4}-\d{2}-\d{2}|latest)$`)

// Fill completes m with what is known of it at the provider. What m says already stays.
func (d *Data) Fill(name string, m *providers.Model) {
	models := d.providers[name].Models
	e, ok := models[m.ID]
	if !ok {
		e, ok = models[date.ReplaceAllString(m.ID, "")]
	}
	if id, free := strings.CutSuffix(m.ID, ":free"); free && !ok {
		e, ok = models[id]
		e.Cost = providers.Cost{} // which is the other's
	}
	if !ok {
		return
	}
	if m.Name == "" {
		m.Name = e.Name
	}
	if m.ContextWindow == 0 {
		m.ContextWindow = int(e.Limit.Context)
	}
	if m.MaxOutput == 0 {
		m.MaxOutput = int(e.Limit.Output)
	}
	if m.Cost == (providers.Cost{}) {
		m.Cost = e.Cost
	}
	if m.Input == nil {
		m.Input = slices.Clone(e.Modalities.Input)
	}
	if m.Output == nil {
		m.Output = slices.Clone(e.Modalities.Output)
	}
	m.Reasons = m.Reasons || e.Reasoning
}
