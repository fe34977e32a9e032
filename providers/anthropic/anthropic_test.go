package anthropic_test

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"detour/internal/dialect"
	"detour/internal/secret"
	"detour/providers"
	"detour/providers/anthropic"
	"detour/providers/keyed"
)

func TestTarget(t *testing.T) {
	t.Parallel()
	p := anthropic.Provider(keyed.Options{})
	for id, want := range map[string]dialect.ThinkingMode{
		"claude-3-5-sonnet-20241022": dialect.ThinkingNone, "claude-3-7-sonnet-20250219": dialect.ThinkingEnabled,
		"claude-opus-4-20250514": dialect.ThinkingEnabled, "claude-sonnet-4-5-20250929": dialect.ThinkingEnabled, "claude-haiku-4-5": dialect.ThinkingEnabled,
		"claude-opus-4-6": dialect.ThinkingAdaptive, "claude-opus-5": dialect.ThinkingAdaptive, "claude-opus-4-10": dialect.ThinkingAdaptive, "other": dialect.ThinkingNone,
	} {
		target := p.Target(providers.Model{ID: id, MaxOutput: 7})
		if target.Thinking != want || (len(target.Efforts) > 0) != (want == dialect.ThinkingAdaptive) || target.MaxOutput != 7 || target.CopilotCache {
			t.Errorf("%s: %+v", id, target)
		}
	}
	if !p.Target(providers.Model{ID: "claude-opus-4-8"}).MidSystem || p.Target(providers.Model{ID: "claude-opus-4-5"}).MidSystem {
		t.Error("system turns in mid-conversation came with 4.8")
	}
}

type list string

func (l list) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(string(l))), Request: r}, nil
}

func TestModels(t *testing.T) {
	t.Parallel()
	p := anthropic.Provider(keyed.Options{Transport: list(`{"data":[{"type":"model","id":"claude-sonnet-4-5-20250929","display_name":"Claude Sonnet 4.5"},{"type":"model","id":"claude-new-9","max_input_tokens":500000,"max_tokens":99}],"has_more":false}`)})
	a, err := p.Open(providers.AccountConfig{ID: "a", Secret: secret.New("sk-x")})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	got, err := p.Models(t.Context(), a)
	if err != nil || len(got) != 2 {
		t.Fatalf("%v, %v", got, err)
	}
	if m := got[0]; m.Name != "Claude Sonnet 4.5" || m.ContextWindow != 200000 || m.MaxOutput != 64000 || m.Cost.CacheWrite != 3.75 || m.Vendor != "Anthropic" {
		t.Errorf("a known model: %+v", m)
	}
	if m := got[1]; m.ContextWindow != 500000 || m.MaxOutput != 99 {
		t.Errorf("what the list tells: %+v", m)
	}
	if want := []dialect.Endpoint{dialect.EndpointMessages, dialect.EndpointCountTokens}; !slices.Equal(p.Dialects(got[0]), want) {
		t.Errorf("speaks %v", p.Dialects(got[0]))
	}
}

// Everything that Claude Code says goes upstream as it is: nothing that Copilot needs is done here.
func TestNothingIsEdited(t *testing.T) {
	t.Parallel()
	p := anthropic.Provider(keyed.Options{})
	a, err := p.Open(providers.AccountConfig{ID: "a", Secret: secret.New("sk-x")})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	const body = `{"model":"claude-sonnet-4-5","cache_control":{"type":"ephemeral","scope":"global"},"service_tier":"auto","context_management":{},"messages":[{"role":"user","content":[{"type":"text","text":""}]}]}`
	h := http.Header{"Anthropic-Beta": {"context-1m-2025-08-07,anything"}, "Anthropic-Version": {"2024-01-01"}}
	for _, e := range []dialect.Endpoint{dialect.EndpointMessages, dialect.EndpointCountTokens} {
		req, err := p.NewRequest(t.Context(), a, &providers.Call{Endpoint: e, Header: h, Body: []byte(body), Stream: true})
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(req.Body)
		if string(b) != body || req.Header.Get("Anthropic-Beta") != "context-1m-2025-08-07,anything" || req.Header.Get("Anthropic-Version") != "2024-01-01" || req.Header.Get("X-Api-Key") != "sk-x" {
			t.Errorf("%s: %s with %v", e, b, req.Header)
		}
		if req.URL.String() != "https://api.anthropic.com/v1/"+string(e) {
			t.Errorf("%s goes to %s", e, req.URL)
		}
	}
}
