package zai_test

import (
	"net/http"
	"strings"
	"testing"

	"detour/internal/dialect"
	"detour/internal/secret"
	"detour/providers"
	"detour/providers/keyed"
	"detour/providers/zai"
)

func TestFourServicesAtFourAddresses(t *testing.T) {
	t.Parallel()
	want := map[string]string{
		"zai": "https://api.z.ai/api/paas/v4", "zai-coding-plan": "https://api.z.ai/api/coding/paas/v4",
		"zhipuai": "https://open.bigmodel.cn/api/paas/v4", "zhipuai-coding-plan": "https://open.bigmodel.cn/api/coding/paas/v4",
	}
	for _, p := range zai.Providers(keyed.Options{}) {
		if want[p.Name()] != p.Base {
			t.Errorf("%s is at %s", p.Name(), p.Base)
		}
		delete(want, p.Name())
	}
	if len(want) > 0 {
		t.Errorf("missing: %v", want)
	}
}

func TestAnthropicsDialectIsBesideTheirOwn(t *testing.T) {
	t.Parallel()
	for _, p := range zai.Providers(keyed.Options{}) {
		for base, want := range map[string]string{
			"": p.Base[:strings.Index(p.Base, "/api/")] + "/api/anthropic/v1/messages", "https://gateway.example/glm/": "https://gateway.example/glm/anthropic/v1/messages",
		} {
			a, err := p.Open(providers.AccountConfig{ID: "a", Secret: secret.New("k"), BaseURL: base})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(a.Close)
			req, err := p.NewRequest(t.Context(), a, &providers.Call{Endpoint: dialect.EndpointMessages, Header: http.Header{}, Verbatim: true})
			if err != nil || req.URL.String() != want {
				t.Errorf("%s: %v, to %s, want %s", p.Name(), err, req.URL, want)
			}
		}
	}
}

func TestThinkingIsInjected(t *testing.T) {
	t.Parallel()
	p := zai.Providers(keyed.Options{})[0]
	const enabled = `"thinking":{"type":"enabled","clear_thinking":false}`
	for name, tc := range map[string]struct {
		endpoint          dialect.Endpoint
		model, body, want string
	}{
		"reasoning model":       {dialect.EndpointChat, "glm-4.7", `{"model":"glm-4.7", "x": 1.50}`, `{"model":"glm-4.7", "x": 1.50,` + enabled + `}`},
		"the first of them":     {dialect.EndpointChat, "glm-4.5-air", `{}`, `{` + enabled + `}`},
		"the next generation":   {dialect.EndpointChat, "glm-5", `{"thinking":null}`, `{` + enabled + `}`},
		"older model":           {dialect.EndpointChat, "glm-4-plus", `{"a":1}`, `{"a":1}`},
		"what the client says":  {dialect.EndpointChat, "glm-4.7", `{"thinking":{"type":"disabled"}}`, `{"thinking":{"type":"disabled"}}`},
		"no effort":             {dialect.EndpointChat, "glm-4.7", `{"reasoning_effort":"none"}`, `{"reasoning_effort":"none","thinking":{"type":"disabled"}}`},
		"embeddings":            {dialect.EndpointEmbeddings, "glm-4.7", `{"a":1}`, `{"a":1}`},
		"no JSON":               {dialect.EndpointChat, "glm-4.7", `{"a":`, `{"a":`},
		"no object":             {dialect.EndpointChat, "glm-4.7", `[1]`, `[1]`},
		"the same bytes always": {dialect.EndpointChat, "glm-4.7", `{"a":1}`, `{"a":1,` + enabled + `}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := p.Edit(&providers.Call{Endpoint: tc.endpoint, Model: providers.Model{ID: tc.model}, Body: []byte(tc.body)})
			if err != nil || string(got) != tc.want {
				t.Errorf("%v, %s, want %s", err, got, tc.want)
			}
		})
	}
	if target := p.Target(providers.Model{ID: "glm-4.7"}); !target.PlainThinking || !target.MaxTokensOld {
		t.Errorf("%+v", target)
	}
}
