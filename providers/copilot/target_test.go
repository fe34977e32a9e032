package copilot_test

import (
	"testing"

	"detour/internal/dialect"
	"detour/internal/llm"
	"detour/providers"
	"detour/providers/copilot"
)

func TestTarget(t *testing.T) {
	t.Parallel()
	p := copilot.New(copilot.Options{})
	adaptive := []byte(`{"capabilities":{"supports":{"adaptive_thinking":true,"reasoning_effort":["low","high"]}}}`)
	for _, tc := range []struct {
		name  string
		model providers.Model
		check func(dialect.Target) bool
	}{
		{"GPT-5 refuses sampling and the old limit", providers.Model{ID: "gpt-5.4"}, func(t dialect.Target) bool { return t.Reasons && !t.MaxTokensOld && t.Thinking == dialect.ThinkingNone }},
		{"GPT-4 takes both", providers.Model{ID: "gpt-4o"}, func(t dialect.Target) bool { return !t.Reasons && t.MaxTokensOld }},
		{"the o-series reasons", providers.Model{ID: "o3-mini"}, func(t dialect.Target) bool { return t.Reasons }},
		{"GPT-12 would reason", providers.Model{ID: "gpt-12"}, func(t dialect.Target) bool { return t.Reasons }},
		{"adaptive thinking and efforts come from the catalogue", providers.Model{ID: "claude-sonnet-4.6", Raw: adaptive}, func(t dialect.Target) bool {
			return t.Thinking == dialect.ThinkingAdaptive && len(t.Efforts) == 2 && t.Efforts[1] == llm.EffortHigh && !t.MidSystem
		}},
		{"an older Claude thinks by budget", providers.Model{ID: "claude-sonnet-4.5", MaxOutput: 32000}, func(t dialect.Target) bool { return t.Thinking == dialect.ThinkingEnabled && !t.MidSystem }},
		{"Claude 4.8 takes system turns", providers.Model{ID: "claude-opus-4.8"}, func(t dialect.Target) bool { return t.MidSystem }},
		{"so does Claude 5", providers.Model{ID: "claude-sonnet-5"}, func(t dialect.Target) bool { return t.MidSystem }},
		{"free-text tools only on Responses", providers.Model{ID: "gpt-5.4", Endpoints: []dialect.Endpoint{dialect.EndpointResponses}}, func(t dialect.Target) bool { return t.CustomTools }},
		{"Gemini has none of it", providers.Model{ID: "gemini-3.5-flash"}, func(t dialect.Target) bool {
			return t.Thinking == dialect.ThinkingNone && !t.CustomTools && !t.MidSystem
		}},
	} {
		if got := p.Target(tc.model); !tc.check(got) {
			t.Errorf("%s: %+v", tc.name, got)
		}
	}
}
