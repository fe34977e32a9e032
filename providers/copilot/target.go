package copilot

import (
	"regexp"
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"detour/internal/dialect"
	"detour/internal/llm"
	"detour/providers"
)

// reasoningModels refuse sampling parameters: OpenAI's o-series and GPT-5 and later.
var reasoningModels = regexp.MustCompile(`^(?:o\d|gpt-(?:[5-9]|\d\d))`)

// Target implements providers.Targeter: what the catalogue says of a model, and what is known of its family.
func (p *Provider) Target(m providers.Model) dialect.Target {
	supports := gjson.GetBytes(m.Raw, "capabilities.supports")
	t := dialect.Target{
		Model: m.ID, MaxOutput: m.MaxOutput, Reasons: reasoningModels.MatchString(m.ID),
		ToolImages: true, CopilotCache: true,
		MaxTokensOld: !reasoningModels.MatchString(m.ID),
	}
	for _, e := range supports.Get("reasoning_effort").Array() {
		t.Efforts = append(t.Efforts, llm.Effort(e.Str))
	}
	switch {
	case supports.Get("adaptive_thinking").Bool():
		t.Thinking = dialect.ThinkingAdaptive
	case supports.Get("max_thinking_budget").Int() > 0, strings.HasPrefix(m.ID, "claude-") && m.MaxOutput > 0:
		t.Thinking = dialect.ThinkingEnabled
	}
	// Claude 4.8 and later take system turns in mid-conversation; free-text tools are taken by GPT on its own dialect.
	t.MidSystem = claudeAtLeast(m.ID, 4, 8)
	t.CustomTools = strings.HasPrefix(m.ID, "gpt-") && slices.Contains(m.Endpoints, dialect.EndpointResponses) && !p.learned.refuses(m.ID, customTools)
	return t
}
