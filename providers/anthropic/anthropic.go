// Package anthropic is api.anthropic.com, reached with a key. Bodies are not changed: its clients say what it
// understands, cache marks and betas included.
package anthropic

import (
	"regexp"
	"strconv"

	"github.com/tidwall/gjson"

	"detour/internal/dialect"
	"detour/internal/llm"
	"detour/providers"
	"detour/providers/keyed"
)

// Name is the provider's id in configuration.
const Name = "anthropic"

// Provider returns the provider.
func Provider(o keyed.Options) *keyed.Provider {
	return keyed.New(keyed.Service{
		Name: Name, Title: "Anthropic", Base: "https://api.anthropic.com",
		Paths: map[dialect.Endpoint]string{
			dialect.EndpointMessages: "/v1/messages", dialect.EndpointCountTokens: "/v1/messages/count_tokens",
			dialect.EndpointModels: "/v1/models",
		},
		Auth:      keyed.AuthXKey,
		Variables: []string{"ANTHROPIC_API_KEY"}, KeyPage: "https://console.anthropic.com/settings/keys",
		Headers: map[string]string{"Anthropic-Version": "2023-06-01"},
		Passed:  []string{"Anthropic-Version", "Anthropic-Beta"},
		Dialects: func(providers.Model) []dialect.Endpoint {
			return []dialect.Endpoint{dialect.EndpointMessages, dialect.EndpointCountTokens}
		},
		Target: target, Parse: parse,
		Codes: map[string]providers.Kind{
			"authentication_error": providers.KindLogin, "billing_error": providers.KindQuota, "permission_error": providers.KindPolicy,
			"rate_limit_error": providers.KindRateLimit, "overloaded_error": providers.KindOverloaded, "api_error": providers.KindServer,
			"timeout_error": providers.KindServer,
		},
	}, o)
}

// parse reads limits where the list tells them.
func parse(entry gjson.Result, m *providers.Model) bool {
	m.Vendor = "Anthropic"
	m.MaxPrompt = keyed.Tokens(entry.Get("max_input_tokens"))
	m.ContextWindow = m.MaxPrompt
	m.MaxOutput = keyed.Tokens(entry.Get("max_tokens"))
	return true
}

// version finds the version in both orders that names come in: claude-3-7-sonnet and claude-sonnet-4-5.
var version = regexp.MustCompile(`^claude-(?:[a-z]+-)?(\d{1,2})(?:[-.](\d{1,2}))?(?:-|$)`)

func atLeast(id string, major, minor int) bool {
	v := version.FindStringSubmatch(id)
	if v == nil {
		return false
	}
	a, _ := strconv.Atoi(v[1])
	b, _ := strconv.Atoi(v[2])
	return a > major || a == major && b >= minor
}

// target is what is known of Claude: models think by a budget since 3.7, and by themselves, at an effort, since 4.6.
func target(m providers.Model) dialect.Target {
	t := dialect.Target{Model: m.ID, MaxOutput: m.MaxOutput, ToolImages: true, MidSystem: atLeast(m.ID, 4, 8), HostedTools: []string{"web_search"}}
	switch {
	case atLeast(m.ID, 4, 6):
		t.Thinking = dialect.ThinkingAdaptive
		t.Efforts = []llm.Effort{llm.EffortLow, llm.EffortMedium, llm.EffortHigh, llm.EffortMax}
	case atLeast(m.ID, 3, 7):
		t.Thinking = dialect.ThinkingEnabled
	}
	return t
}
