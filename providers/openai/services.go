package openai

import (
	"strings"

	"github.com/tidwall/gjson"

	"detour/internal/dialect"
	"detour/internal/llm"
	"detour/providers"
	"detour/providers/keyed"
)

// The ids of the services in configuration.
const (
	NameDeepSeek   = "deepseek"
	NameOpenRouter = "openrouter"
	NameGemini     = "gemini"
	NameCompatible = "openai-compatible"
)

// chatOr lists what the model itself names, or else chat/completions.
func chatOr(m providers.Model) []dialect.Endpoint {
	if len(m.Endpoints) > 0 {
		return m.Endpoints
	}
	return []dialect.Endpoint{dialect.EndpointChat}
}

// DeepSeek is api.deepseek.com.
func DeepSeek(o keyed.Options) *keyed.Provider {
	// Anthropic's dialect is for clients that were made for it there, in route mode switch.
	at := paths(dialect.EndpointChat)
	at[dialect.EndpointMessages] = "/anthropic/v1/messages"
	return keyed.New(keyed.Service{
		Name: NameDeepSeek, Title: "DeepSeek", Base: "https://api.deepseek.com",
		Paths: at, Passed: []string{"Anthropic-Version", "Anthropic-Beta"},
		Variables: []string{"DEEPSEEK_API_KEY"}, KeyPage: "https://platform.deepseek.com/api_keys",
		Dialects: chatOr,
		// A thinking model wants its reasoning back within a round of tool calls, and takes no effort.
		Target: func(m providers.Model) dialect.Target {
			return dialect.Target{Model: m.ID, MaxOutput: m.MaxOutput, MaxTokensOld: true, UsageIfAsked: true, PlainThinking: m.Reasons}
		},
	}, o)
}

// OpenRouter is openrouter.ai. Its list of models needs no key, so that a key is verified by asking about the key. It is
// spoken to in Chat, which it translates least; the other dialects are for clients that were made for it, in route mode
// switch.
func OpenRouter(o keyed.Options) *keyed.Provider {
	return keyed.New(keyed.Service{
		Name: NameOpenRouter, Title: "OpenRouter", Base: "https://openrouter.ai/api/v1",
		Paths:      paths(dialect.EndpointChat, dialect.EndpointResponses, dialect.EndpointMessages, dialect.EndpointEmbeddings),
		VerifyPath: "/key",
		Variables:  []string{"OPENROUTER_API_KEY"}, KeyPage: "https://openrouter.ai/settings/keys",
		Passed:   []string{"HTTP-Referer", "X-Title", "Anthropic-Version", "Anthropic-Beta"}, // the first two name an application there
		Dialects: chatOr,
		Target: func(m providers.Model) dialect.Target {
			t := dialect.Target{Model: m.ID, MaxOutput: m.MaxOutput, MaxTokensOld: true, UsageIfAsked: true, Files: true}
			if m.Reasons {
				t.Efforts = []llm.Effort{llm.EffortMinimal, llm.EffortLow, llm.EffortMedium, llm.EffortHigh}
			}
			return t
		},
		Parse: parseOpenRouter,
		Codes: map[string]providers.Kind{"408": providers.KindNetwork, "502": providers.KindServer, "503": providers.KindOverloaded},
	}, o)
}

// parseOpenRouter reads prices, which are in dollars for one token, limits and kinds of content.
func parseOpenRouter(entry gjson.Result, m *providers.Model) bool {
	m.ContextWindow = keyed.Tokens(entry.Get("context_length"))
	m.MaxOutput = keyed.Tokens(entry.Get("top_provider.max_completion_tokens"))
	m.Vendor, _, _ = strings.Cut(m.ID, "/")
	price := func(name string) float64 { return providers.Price(entry.Get("pricing."+name).Float() * 1e6) } // -1 where it varies
	m.Cost = providers.Cost{Input: price("prompt"), Output: price("completion"), CacheRead: price("input_cache_read"), CacheWrite: price("input_cache_write")}
	m.Input, m.Output = texts(entry.Get("architecture.input_modalities")), texts(entry.Get("architecture.output_modalities"))
	for _, p := range entry.Get("supported_parameters").Array() {
		m.Reasons = m.Reasons || p.Str == "reasoning"
	}
	return true
}

func texts(list gjson.Result) []string {
	var out []string
	for _, v := range list.Array() {
		if v.Type == gjson.String {
			out = append(out, strings.Replace(v.Str, "file", "pdf", 1))
		}
	}
	return out
}

// Compatible is any server that speaks OpenAI's dialects, at an address that the owner gives: llama.cpp, Ollama, vLLM, a
// company's gateway.
func Compatible(o keyed.Options) *keyed.Provider {
	return keyed.New(keyed.Service{
		Name: NameCompatible, Title: "the server",
		Paths: paths(dialect.EndpointChat, dialect.EndpointResponses, dialect.EndpointMessages, dialect.EndpointCountTokens, dialect.EndpointEmbeddings),
		// llama.cpp and Ollama take any key, and most have none.
		KeyOptional: true, Variables: []string{"OPENAI_COMPATIBLE_API_KEY"},
		Passed:   []string{"Anthropic-Version", "Anthropic-Beta", "OpenAI-Beta"},
		Metadata: "-", // a server's models are its own, whatever they are called
		Dialects: chatOr,
		Target: func(m providers.Model) dialect.Target {
			return dialect.Target{Model: m.ID, MaxOutput: m.MaxOutput, MaxTokensOld: true}
		},
		Parse: parseCompatible,
	}, o)
}

// parseCompatible reads what vLLM and llama.cpp tell of a model's window.
func parseCompatible(entry gjson.Result, m *providers.Model) bool {
	for _, name := range []string{"max_model_len", "meta.n_ctx", "meta.n_ctx_train", "context_length"} {
		if m.ContextWindow == 0 {
			m.ContextWindow = keyed.Tokens(entry.Get(name))
		}
	}
	return true
}
