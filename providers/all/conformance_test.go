package all_test

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"detour/internal/dialect"
	"detour/providers"
	"detour/providers/all"
	"detour/providers/copilot"
	"detour/providers/keyed"
	"detour/providers/metadata"
	"detour/providers/providertest"
)

// Every provider that takes a key passes the suite with what its service says of itself: its own address, its own way
// to present the key, its own headers.
func TestKeyedProvidersConform(t *testing.T) {
	t.Parallel()
	failures := map[string][]providertest.Failure{
		"openai": {
			{Name: "quota", Status: 429, Body: `{"error":{"message":"You exceeded your current quota","type":"insufficient_quota","code":"insufficient_quota"}}`, Want: providers.KindQuota},
			{Name: "too long", Status: 400, Body: `{"error":{"message":"Your input exceeds the context window of this model.","code":"context_length_exceeded"}}`, Want: providers.KindTooLong},
			{Name: "model", Status: 404, Body: `{"error":{"message":"The model gpt-9 does not exist or you do not have access to it.","code":"model_not_found"}}`, Want: providers.KindModel},
			{Name: "country", Status: 403, Body: `{"error":{"message":"Country not supported","code":"unsupported_country_region_territory"}}`, Want: providers.KindPolicy},
		},
		"anthropic": {
			{Name: "overloaded", Status: 529, Body: `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`, Want: providers.KindOverloaded},
			{Name: "too long", Status: 400, Body: `{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 210000 tokens > 200000 maximum"}}`, Want: providers.KindTooLong},
			{Name: "credit", Status: 400, Body: `{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low to access the Anthropic API."}}`, Want: providers.KindQuota},
			{Name: "model", Status: 404, Body: `{"type":"error","error":{"type":"not_found_error","message":"model: claude-9"}}`, Want: providers.KindModel},
		},
		"zai": {
			{Name: "balance", Status: 429, Body: `{"error":{"code":"1113","message":"Insufficient balance or no resource package."}}`, Want: providers.KindQuota},
			{Name: "concurrency", Status: 429, Body: `{"error":{"code":"1302","message":"High concurrency usage of this API"}}`, Want: providers.KindRateLimit},
			{Name: "five hours", Status: 429, Body: `{"error":{"code":"1308","message":"Usage limit reached for 5 hour."}}`, Want: providers.KindQuota},
			{Name: "model", Status: 400, Body: `{"error":{"code":"1211","message":"Unknown Model, please check the model code."}}`, Want: providers.KindModel},
		},
		"deepseek": {
			{Name: "balance", Status: 402, Body: `{"error":{"message":"Insufficient Balance","type":"unknown_error","code":"invalid_request_error"}}`, Want: providers.KindQuota},
			{Name: "parameters", Status: 422, Body: `{"error":{"message":"bad parameter"}}`, Want: providers.KindInvalid},
		},
		"openrouter": {
			{Name: "credit", Status: 402, Body: `{"error":{"code":402,"message":"Insufficient credits. Add more"}}`, Want: providers.KindQuota},
			{Name: "model", Status: 400, Body: `{"error":{"code":400,"message":"foo/bar is not a valid model ID"}}`, Want: providers.KindModel},
			{Name: "key limit", Status: 403, Body: `{"error":{"code":403,"message":"Key limit exceeded (total limit)."}}`, Want: providers.KindQuota},
		},
		"gemini": {
			{Name: "key", Status: 400, Body: `[{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT"}}]`, Want: providers.KindLogin},
			{Name: "minute", Status: 429, Body: `[{"error":{"code":429,"message":"Resource exhausted","status":"RESOURCE_EXHAUSTED","details":[{"retryDelay":"34s"}]}}]`, Want: providers.KindRateLimit},
			{Name: "day", Status: 429, Body: `[{"error":{"code":429,"message":"quota","details":[{"violations":[{"quotaId":"GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]}]}}]`, Want: providers.KindQuota},
		},
		"openai-compatible": {
			{Name: "llama.cpp window", Status: 400, Body: `{"error":{"code":400,"message":"the request exceeds the available context size","type":"exceed_context_size_error"}}`, Want: providers.KindTooLong},
			{Name: "vLLM model", Status: 404, Body: `{"object":"error","message":"The model ` + "`x`" + ` does not exist.","code":404}`, Want: providers.KindModel},
		},
	}
	data := metadata.Builtin()
	for name, p := range all.Registry(copilot.New(copilot.Options{}), keyed.Options{}) {
		service, ok := p.(*keyed.Provider)
		if !ok {
			continue
		}
		h := providertest.Harness{
			Credential: "sk-" + providertest.Marker,
			Used: func(h http.Header) string {
				if service.Auth == keyed.AuthXKey {
					return h.Get("X-Api-Key")
				}
				token, _ := strings.CutPrefix(h.Get("Authorization"), "Bearer ")
				return token
			},
			Refused:  providers.KindLogin,
			Passes:   canonical(service.Passed),
			Failures: failures[name],
		}
		base := cmp.Or(service.Base, "https://gateway.example/llm/v1/")
		u, err := url.Parse(base)
		if err != nil {
			t.Fatal(err)
		}
		h.Allowed = func(host string) bool { return host == u.Hostname() }
		for e := range service.Paths {
			if e != dialect.EndpointModels {
				h.Endpoints = append(h.Endpoints, e)
			}
		}
		slices.Sort(h.Endpoints)
		h.Endpoints = append(h.Endpoints, dialect.EndpointModels)
		h.Open = func(t testing.TB, e providertest.Env) (providers.Provider, *providers.Account) {
			t.Helper()
			p := all.Registry(copilot.New(copilot.Options{}), keyed.Options{Transport: e.Transport, Metadata: data, Logger: e.Logger})[name]
			a, err := p.Open(providers.AccountConfig{ID: "a", Provider: name, Secret: e.Secret, BaseURL: map[bool]string{true: base}[service.Base == ""]})
			if err != nil {
				t.Fatal(err)
			}
			return p, a
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			providertest.Run(t, h)
		})
	}
}

func canonical(names []string) []string {
	var out []string
	for _, n := range names {
		out = append(out, http.CanonicalHeaderKey(n))
	}
	return out
}
