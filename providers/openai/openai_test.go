package openai_test

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"detour/internal/dialect"
	"detour/internal/secret"
	"detour/providers"
	"detour/providers/keyed"
	"detour/providers/openai"
)

// list answers every request with one body.
type list string

func (l list) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(string(l))), Request: r}, nil
}

func models(t *testing.T, p *keyed.Provider) map[string]providers.Model {
	t.Helper()
	a, err := p.Open(providers.AccountConfig{ID: "a", Secret: secret.New("sk-x")})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	all, err := p.Models(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]providers.Model{}
	for _, m := range all {
		out[m.ID] = m
	}
	return out
}

func TestOpenAIModels(t *testing.T) {
	t.Parallel()
	p := openai.OpenAI(keyed.Options{Transport: list(`{"data":[{"id":"gpt-5.1-2025-11-13","owned_by":"system"},{"id":"gpt-5-codex"},{"id":"gpt-4o"},{"id":"o3"},{"id":"whisper-1"},
		{"id":"gpt-image-1"},{"id":"gpt-4o-realtime-preview"},{"id":"text-embedding-3-small"},{"id":"gpt-3.5-turbo-instruct"},{"id":"gpt-4o-search-preview"},{"id":"gpt-5-chat-latest"}]}`)})
	got := models(t, p)
	both := []dialect.Endpoint{dialect.EndpointResponses, dialect.EndpointChat}
	for id, want := range map[string][]dialect.Endpoint{
		"gpt-5.1-2025-11-13": both, "gpt-5-codex": both[:1], "gpt-4o": both, "o3": both, "text-embedding-3-small": {dialect.EndpointEmbeddings},
		"gpt-4o-search-preview": both[1:], "gpt-5-chat-latest": both,
	} {
		m, ok := got[id]
		if !ok || !slices.Equal(p.Dialects(m), want) {
			t.Errorf("%s: listed %t, speaks %v, want %v", id, ok, p.Dialects(m), want)
		}
		delete(got, id)
	}
	if len(got) > 0 {
		t.Errorf("listed, but served by nothing here: %v", got)
	}
	m := models(t, p)["gpt-5.1-2025-11-13"]
	if m.ContextWindow != 400000 || m.MaxOutput != 128000 || m.Cost.Input != 1.25 || m.Cost.CacheRead != 0.125 || !m.Reasons || !slices.Contains(m.Input, "image") {
		t.Errorf("the snapshot of a known model has %+v", m)
	}
	for id, reasons := range map[string]bool{"gpt-5.1": true, "o3": true, "gpt-4o": false, "gpt-5-chat-latest": false, "gpt-10": true, "codex-mini-latest": true} {
		target := p.Target(providers.Model{ID: id})
		if target.Reasons != reasons || target.MaxTokensOld || !slices.Equal(target.HostedTools, []string{"web_search"}) {
			t.Errorf("%s: %+v", id, target)
		}
	}
}

func TestOpenAIEdit(t *testing.T) {
	t.Parallel()
	p := openai.OpenAI(keyed.Options{})
	for name, tc := range map[string]struct{ model, body, want string }{
		"a limit":           {"gpt-5", `{"model":"gpt-5","max_tokens":7, "x":1.0}`, `{"model":"gpt-5", "x":1.0,"max_completion_tokens":7}`},
		"both limits":       {"o3", `{"max_tokens":7,"max_completion_tokens":8}`, `{"max_completion_tokens":8}`},
		"no limit":          {"o3", `{"max_tokens":null,"x":1}`, `{"x":1}`},
		"a limit elsewhere": {"gpt-4o", `{"max_tokens":7}`, `{"max_tokens":7}`},
	} {
		got, err := p.Edit(&providers.Call{Endpoint: dialect.EndpointChat, Model: providers.Model{ID: tc.model}, Body: []byte(tc.body)})
		if err != nil || string(got) != tc.want {
			t.Errorf("%s: %v, %s, want %s", name, err, got, tc.want)
		}
	}
	for name, tc := range map[string]struct{ model, body, want string }{
		"a model that reasons": {"gpt-5", `{"include":["reasoning.encrypted_content"]}`, `{"include":["reasoning.encrypted_content"]}`},
		"alone":                {"gpt-4o", `{"model" : "x","include":["reasoning.encrypted_content"],"store":true}`, `{"model" : "x","store":true}`},
		"among others":         {"gpt-4o", `{"include":["a","reasoning.encrypted_content","b"]}`, `{"include":["a","b"]}`},
		"not there":            {"gpt-4o", `{"include":["a"] ,"previous_response_id":"r"}`, `{"include":["a"] ,"previous_response_id":"r"}`},
		"no JSON":              {"gpt-4o", `{"include":[`, `{"include":[`},
	} {
		got, err := p.Edit(&providers.Call{Endpoint: dialect.EndpointResponses, Model: providers.Model{ID: tc.model}, Body: []byte(tc.body)})
		if err != nil || string(got) != tc.want {
			t.Errorf("%s: %v, %s, want %s", name, err, got, tc.want)
		}
	}
}

func TestOpenRouterModels(t *testing.T) {
	t.Parallel()
	p := openai.OpenRouter(keyed.Options{Transport: list(`{"data":[{"id":"anthropic/claude-sonnet-4.5","name":"Anthropic: Claude Sonnet 4.5","context_length":1000000,
		"architecture":{"input_modalities":["text","image","file"],"output_modalities":["text"]},"pricing":{"prompt":"0.000003","completion":"0.000015","input_cache_read":"0.0000003","input_cache_write":"0.00000375"},
		"top_provider":{"max_completion_tokens":64000},"supported_parameters":["tools","reasoning"]},{"id":"openrouter/auto","pricing":{"prompt":"-1","completion":"-1"},"context_length":2000000},
		{"id":"odd/one","pricing":{"prompt":"NaN","completion":"1e300","input_cache_read":"Inf"}}]}`)})
	got := models(t, p)
	m := got["anthropic/claude-sonnet-4.5"]
	near := func(a, b float64) bool { return a-b < 1e-9 && b-a < 1e-9 }
	if m.Vendor != "anthropic" || m.ContextWindow != 1000000 || m.MaxOutput != 64000 || !near(m.Cost.Input, 3) || !near(m.Cost.Output, 15) || !near(m.Cost.CacheRead, 0.3) ||
		!near(m.Cost.CacheWrite, 3.75) || !m.Reasons || !slices.Equal(m.Input, []string{"text", "image", "pdf"}) || len(p.Target(m).Efforts) == 0 {
		t.Errorf("%+v", m)
	}
	if o := got["odd/one"]; o.Cost != (providers.Cost{}) {
		t.Errorf("prices that cannot be true: %+v", o.Cost)
	}
	if a := got["openrouter/auto"]; a.Cost != (providers.Cost{}) || a.Reasons || p.Target(a).Efforts != nil {
		t.Errorf("%+v", a)
	}
}

func TestGeminiModels(t *testing.T) {
	t.Parallel()
	p := openai.Gemini(keyed.Options{Transport: list(`{"data":[{"id":"models/gemini-2.5-flash"},{"id":"models/imagen-4"},{"id":"models/gemini-2.5-flash-preview-tts"},{"id":"models/gemini-embedding-001"}]}`)})
	got := models(t, p)
	if m := got["gemini-2.5-flash"]; len(got) != 2 || m.ContextWindow != 1048576 || m.Cost.Output != 2.5 || len(p.Target(m).Efforts) != 3 {
		t.Errorf("%+v", got)
	}
	if m := got["gemini-embedding-001"]; !slices.Equal(p.Dialects(m), []dialect.Endpoint{dialect.EndpointEmbeddings}) {
		t.Errorf("an embedding model speaks %v", p.Dialects(m))
	}
}

func TestGeminiEdit(t *testing.T) {
	t.Parallel()
	p := openai.Gemini(keyed.Options{})
	const call = `{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}`
	const signed = `,"extra_content":{"google":{"thought_signature":"skip_thought_signature_validator"}}}`
	const own = `,"extra_content":{"google":{"thought_signature":"s"}}}`
	for name, tc := range map[string]struct{ model, body, want string }{
		"unsigned": {
			"gemini-3-pro-preview", `{"messages":[{"role":"user","content":"x"},{"role":"assistant","tool_calls":[` + call + `},` + call + `}]},{"role":"assistant","tool_calls":[` + call + own + `]}]}`,
			`{"messages":[{"role":"user","content":"x"},{"role":"assistant","tool_calls":[` + call + signed + `,` + call + `}]},{"role":"assistant","tool_calls":[` + call + own + `]}]}`,
		},
		"older model": {"gemini-2.5-pro", `{"messages":[{"tool_calls":[{}]}]}`, `{"messages":[{"tool_calls":[{}]}]}`},
		"no calls":    {"gemini-3-pro", `{"messages":[{"tool_calls":[]},{"tool_calls":null},7]}`, `{"messages":[{"tool_calls":[]},{"tool_calls":null},7]}`},
	} {
		got, err := p.Edit(&providers.Call{Endpoint: dialect.EndpointChat, Model: providers.Model{ID: tc.model}, Body: []byte(tc.body)})
		if err != nil || string(got) != tc.want {
			t.Errorf("%s: %v\n got %s\nwant %s", name, err, got, tc.want)
		}
	}
}

func TestDeepSeekThinksAloudAndTakesNoEffort(t *testing.T) {
	t.Parallel()
	p := openai.DeepSeek(keyed.Options{Transport: list(`{"data":[{"id":"deepseek-chat"},{"id":"deepseek-reasoner"}]}`)})
	got := models(t, p)
	if r := p.Target(got["deepseek-reasoner"]); !r.PlainThinking || r.Reasons || r.Efforts != nil || !r.MaxTokensOld || r.MaxOutput != 64000 {
		t.Errorf("%+v", r)
	}
	if c := p.Target(got["deepseek-chat"]); c.PlainThinking || c.MaxOutput != 8192 {
		t.Errorf("%+v", c)
	}
}

func FuzzEdits(f *testing.F) {
	f.Add(`{"include":["reasoning.encrypted_content"],"messages":[{"tool_calls":[{}]}]}`)
	f.Add(`{"messages":[[{"tool_calls":[{}]}]],"include":{}}`)
	services := []*keyed.Provider{openai.OpenAI(keyed.Options{}), openai.Gemini(keyed.Options{})}
	f.Fuzz(func(t *testing.T, body string) {
		for _, p := range services {
			for _, e := range []dialect.Endpoint{dialect.EndpointChat, dialect.EndpointResponses} {
				if _, err := p.Edit(&providers.Call{Endpoint: e, Model: providers.Model{ID: "gemini-3"}, Body: []byte(body)}); err != nil {
					t.Error(err)
				}
			}
		}
	})
}

// Codex is made for this service: its own namespace, its token and its endpoint pass as they are.
func TestOpenAITakesWhatCodexSays(t *testing.T) {
	t.Parallel()
	p := openai.OpenAI(keyed.Options{Transport: list(`{}`)})
	if !p.Target(providers.Model{ID: "gpt-5.1"}).Collaboration {
		t.Error("the reserved namespace would be renamed")
	}
	a, err := p.Open(providers.AccountConfig{ID: "a", Secret: secret.New("sk-x")})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	req, err := p.NewRequest(t.Context(), a, &providers.Call{Endpoint: dialect.EndpointCompact, Header: http.Header{"X-Codex-Turn-State": {"token"}}, Body: []byte(`{"model":"gpt-5.1"}`), Verbatim: true})
	if err != nil {
		t.Fatal(err)
	}
	if req.URL.String() != "https://api.openai.com/v1/responses/compact" || req.Header.Get("X-Codex-Turn-State") != "token" {
		t.Errorf("%s with %q", req.URL, req.Header.Get("X-Codex-Turn-State"))
	}
}
