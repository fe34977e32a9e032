package router

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"detour/internal/dialect"
	"detour/providers"
)

// named is a provider that is nothing but a name.
type named string

func (n named) Name() string { return string(n) }
func (n named) Open(c providers.AccountConfig) (*providers.Account, error) {
	return providers.NewAccount(c, nil), nil
}
func (n named) Dialects(providers.Model) []dialect.Endpoint {
	return []dialect.Endpoint{dialect.EndpointChat}
}
func (n named) Check(*http.Response) error { return nil }
func (n named) NewRequest(context.Context, *providers.Account, *providers.Call) (*http.Request, error) {
	return nil, http.ErrNotSupported
}

// pictured merges listings, written "account@provider: id id -disabled".
func pictured(t *testing.T, lines ...string) *catalogue {
	t.Helper()
	c := &catalogues{providers: providers.Registry{}, listings: map[string]listing{}}
	for _, line := range lines {
		head, ids, _ := strings.Cut(line, ":")
		id, provider, _ := strings.Cut(head, "@")
		c.providers[provider] = named(provider)
		a, err := named(provider).Open(providers.AccountConfig{ID: id, Provider: provider})
		if err != nil {
			t.Fatal(err)
		}
		c.accounts = append(c.accounts, a)
		var l listing
		for m := range strings.FieldsSeq(ids) {
			name, disabled := strings.CutPrefix(m, "-")
			l.models = append(l.models, providers.Model{ID: name, Disabled: disabled, Picker: true})
		}
		c.listings[id] = l
	}
	return c.merge()
}

func TestResolveAmongSeveralProviders(t *testing.T) {
	t.Parallel()
	cat := pictured(t,
		"work@github-copilot: gpt-4o claude-sonnet-4.5 -o3",
		"mine@openai: gpt-4o o3 gpt-5.4",
		"too@openai: gpt-4o",
		"paid@anthropic: claude-sonnet-4-5-20250929 claude-haiku-4-5",
		"pool@openrouter: anthropic/claude-sonnet-4.5 openai/gpt-5.4 openai/only-here anthropic/claude-opus-4.1",
		"down@deepseek:",
	)
	for _, tc := range []struct {
		name     string
		mode     Mode
		accounts []string // that may serve
		want     string   // provider and id, "" for none
	}{
		{"gpt-4o", ModeRoute, nil, "github-copilot gpt-4o"},
		{"gpt-4o", ModeRoute, []string{"too"}, "openai gpt-4o"},
		{"gpt-4o", ModeRoute, []string{"paid"}, "github-copilot gpt-4o"}, // whose refusal says which may
		{"openai/gpt-4o", ModeRoute, nil, "openai gpt-4o"},
		{"openai/gpt-4o", ModeExact, nil, "openai gpt-4o"},
		{"gpt-4o", ModeExact, nil, ""},
		{"o3", ModeRoute, nil, "openai o3"}, // the first provider that lists it may not use it
		{"github-copilot/o3", ModeRoute, nil, "github-copilot o3"},
		{"claude-sonnet-4-5", ModeRoute, nil, "github-copilot claude-sonnet-4.5"},
		{"claude-sonnet-4-5-20250929", ModeRoute, nil, "anthropic claude-sonnet-4-5-20250929"},
		{"claude-sonnet-4-5", ModeRoute, []string{"pool"}, "openrouter anthropic/claude-sonnet-4.5"},
		{"anthropic/claude-sonnet-4-5", ModeRoute, nil, "anthropic claude-sonnet-4-5-20250929"},
		{"anthropic/claude-sonnet-4-5", ModeExact, nil, ""},
		{"anthropic/claude-sonnet-4.5", ModeRoute, nil, "openrouter anthropic/claude-sonnet-4.5"}, // its very id
		{"openai/gpt-5.4", ModeRoute, nil, "openai gpt-5.4"},
		{"openrouter/openai/gpt-5.4", ModeRoute, nil, "openrouter openai/gpt-5.4"},
		{"openrouter/openai/gpt-5.4", ModeExact, nil, "openrouter openai/gpt-5.4"},
		{"openai/only-here", ModeRoute, nil, "openrouter openai/only-here"},
		{"claude-opus-4-1", ModeRoute, nil, "openrouter anthropic/claude-opus-4.1"},
		{"openai/claude-haiku-4-5", ModeRoute, nil, ""},                // OpenAI has none, and nobody else was asked for
		{"deepseek/some-model", ModeExact, nil, "deepseek some-model"}, // nobody knows better
		{"some-model", ModeRoute, nil, ""},
		{"claude-haiku-9", ModeFuzzy, nil, "anthropic claude-haiku-4-5"},
		{"openai/claude-haiku-9", ModeFuzzy, nil, ""},
	} {
		res, err := new(Models).resolve(tc.name, tc.mode, cat, tc.accounts)
		got := ""
		if err == nil {
			got = res.provider + " " + res.name
			if got == tc.want && res.provider == "deepseek" && res.entry == nil {
				continue
			}
			if res.entry == nil || res.entry.provider != res.provider || res.entry.model.ID != res.name {
				t.Errorf("%s: entry %+v is not what was resolved", tc.name, res.entry)
			}
		}
		if got != tc.want {
			t.Errorf("%s in mode %s among %v: %q (%v), want %q", tc.name, tc.mode, tc.accounts, got, err, tc.want)
		}
	}
	var listed []string
	for _, e := range cat.entries {
		listed = append(listed, e.id())
	}
	const want = "gpt-4o claude-sonnet-4.5 github-copilot/o3 openai/gpt-4o o3 gpt-5.4 claude-sonnet-4-5-20250929 claude-haiku-4-5 anthropic/claude-sonnet-4.5 openrouter/openai/gpt-5.4 openai/only-here anthropic/claude-opus-4.1"
	if got := strings.Join(listed, " "); got != want {
		t.Errorf("listed as\n%s, want\n%s", got, want)
	}
}
