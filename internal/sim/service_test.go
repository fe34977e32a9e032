package sim_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"detour/internal/sim"
)

// The services take their own keys in their own way and nothing else.
func TestServicesAreStrictAboutKeys(t *testing.T) {
	t.Parallel()
	s, err := sim.Start(sim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	key := func(name string) string { return s.Account(name).Token() }
	for name, tc := range map[string]struct {
		service, path string
		header        map[string]string
		status        int
		body          string
	}{
		"bearer":                  {sim.ServiceOpenAI, "/models", map[string]string{"Authorization": "Bearer " + key("openai")}, 200, `"gpt-5.4"`},
		"second account":          {sim.ServiceOpenAI, "/models", map[string]string{"Authorization": "Bearer " + key("openai-2")}, 200, `"gpt-5.4"`},
		"another service's key":   {sim.ServiceOpenAI, "/models", map[string]string{"Authorization": "Bearer " + key("deepseek")}, 401, `"invalid_api_key"`},
		"a Copilot account's":     {sim.ServiceOpenAI, "/models", map[string]string{"Authorization": "Bearer " + key("alice")}, 401, `"invalid_api_key"`},
		"none":                    {sim.ServiceOpenAI, "/models", nil, 401, `"invalid_api_key"`},
		"in the wrong header":     {sim.ServiceOpenAI, "/models", map[string]string{"X-Api-Key": key("openai")}, 400, `X-Api-Key`},
		"one too many":            {sim.ServiceOpenAI, "/models", map[string]string{"Authorization": "Bearer " + key("openai"), "Cookie": "a=b"}, 400, `Cookie`},
		"x-api-key":               {sim.ServiceAnthropic, "/v1/models", map[string]string{"X-Api-Key": key("anthropic"), "Anthropic-Version": "2023-06-01"}, 200, `"has_more":false`},
		"without a version":       {sim.ServiceAnthropic, "/v1/models", map[string]string{"X-Api-Key": key("anthropic")}, 400, `anthropic-version`},
		"bearer at Anthropic's":   {sim.ServiceAnthropic, "/v1/models", map[string]string{"Authorization": "Bearer " + key("anthropic"), "Anthropic-Version": "x"}, 400, `Authorization`},
		"OpenRouter on a key":     {sim.ServiceOpenRouter, "/key", map[string]string{"Authorization": "Bearer " + key("openrouter")}, 200, `"usage"`},
		"Google's way to say no":  {sim.ServiceGemini, "/models", map[string]string{"Authorization": "Bearer x"}, 400, `API key not valid`},
		"a local server, keyless": {sim.ServiceLocal, "/models", nil, 200, `qwen3:8b`},
		"no such path":            {sim.ServiceDeepSeek, "/responses", map[string]string{"Authorization": "Bearer " + key("deepseek")}, 404, ``},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.ServiceURL(tc.service)+tc.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			for k, v := range tc.header {
				req.Header.Set(k, v)
			}
			resp, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			b, err := io.ReadAll(resp.Body)
			if err != nil || resp.StatusCode != tc.status || !strings.Contains(string(b), tc.body) {
				t.Errorf("%v %d %s, want %d and %s", err, resp.StatusCode, b, tc.status, tc.body)
			}
		})
	}
}
