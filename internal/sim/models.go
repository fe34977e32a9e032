package sim

import (
	"encoding/json"
	"maps"
	"strings"
)

// Policies of a model.
const (
	PolicyNone         = "" // always on, no policy member
	PolicyEnabled      = "enabled"
	PolicyDisabled     = "disabled"
	PolicyUnconfigured = "unconfigured"
)

// Model is one entry of the catalogue.
type Model struct {
	ID, Name, Vendor, Version string
	Type                      string   // chat, completion, embeddings; "": chat
	Endpoints                 []string // supported_endpoints; nil: member absent, chat only
	Policy                    string   // one of the Policy constants
	Category                  string   // model_picker_category
	Picker, Preview, Default  bool

	Multiplier float64
	NoBilling  bool     // no billing member
	Plans      []string // restricted_to; nil: every plan

	// Context, Prompt and Output are limits in tokens. All 0: no limits member
	// and no check.
	Context, Prompt, Output int
	MaxInputs               int // embeddings

	Vision, NoTools, Structured, Adaptive bool
	Efforts                               []string // supports.reasoning_effort

	RequireMaxTokens bool // chat: 400 without max_tokens
	RejectMaxTokens  bool // chat: 400 with max_tokens, max_completion_tokens wanted
	Compactions      int  // responses: items that a compaction_trigger makes; 0: one
	Thinks           bool // reasons unasked

	Extra map[string]any // further members at the top level
}

// endpoints is what the model can be called on.
func (m *Model) endpoints() []string {
	switch {
	case m.Type == "embeddings":
		return []string{"/embeddings"}
	case m.Endpoints == nil:
		return []string{"/chat/completions"}
	}
	return m.Endpoints
}

// claude says whether the model answers in Anthropic's manner.
func (m *Model) claude() bool { return strings.HasPrefix(m.ID, "claude") }

// gemini says whether the model answers in Google's manner.
func (m *Model) gemini() bool { return strings.HasPrefix(m.ID, "gemini") }

// DefaultModels returns the catalogue of the zero Scenario. It has one of each
// kind that a client must cope with.
func DefaultModels() []Model {
	chatAndMessages := []string{"/chat/completions", "/v1/messages"}
	chatAndResponses := []string{"/chat/completions", "/responses"}
	responsesOnly := []string{"/responses", "ws:/responses"}
	efforts := []string{"low", "medium", "high"}
	paid := []string{"pro", "pro_plus", "business", "enterprise"}
	return []Model{
		{ID: "gpt-4o", Name: "GPT-4o", Vendor: "Azure OpenAI", Version: "gpt-4o-2024-11-20", Picker: true, Category: "versatile", Context: 128000, Prompt: 64000, Output: 4096, Vision: true, Default: true},
		{ID: "gpt-4o-2024-11-20", Name: "GPT-4o", Vendor: "Azure OpenAI", Version: "gpt-4o-2024-11-20", Context: 128000, Prompt: 64000, Output: 16384, Vision: true},
		{ID: "gpt-4o-mini", Name: "GPT-4o mini", Vendor: "Azure OpenAI", Version: "gpt-4o-mini-2024-07-18", NoBilling: true, Context: 128000, Prompt: 64000, Output: 4096},
		{ID: "gpt-4.1", Name: "GPT-4.1", Vendor: "Azure OpenAI", Version: "gpt-4.1-2025-04-14", Picker: true, Category: "versatile", Context: 128000, Prompt: 111616, Output: 16384, Vision: true, Structured: true, Policy: PolicyEnabled},
		{ID: "gpt-5-mini", Name: "GPT-5 mini", Vendor: "Azure OpenAI", Version: "gpt-5-mini", Picker: true, Category: "lightweight", Endpoints: chatAndResponses, Context: 264000, Prompt: 128000, Output: 64000, Vision: true, Structured: true, Policy: PolicyEnabled, Efforts: efforts, RejectMaxTokens: true, Compactions: 2},
		{ID: "gpt-5.4", Name: "GPT-5.4", Vendor: "OpenAI", Version: "gpt-5.4", Picker: true, Category: "powerful", Endpoints: responsesOnly, Multiplier: 1, Plans: paid, Context: 400000, Prompt: 272000, Output: 128000, Vision: true, Structured: true, Policy: PolicyEnabled, Efforts: efforts},
		{ID: "gpt-5.3-codex", Name: "GPT-5.3-Codex", Vendor: "OpenAI", Version: "gpt-5.3-codex", Picker: true, Category: "powerful", Endpoints: responsesOnly, Multiplier: 1, Plans: paid, Context: 400000, Prompt: 272000, Output: 128000, Vision: true, Policy: PolicyEnabled, Efforts: []string{"low", "medium", "high", "xhigh"}},
		{ID: "gpt-5.5", Name: "GPT-5.5", Vendor: "OpenAI", Version: "gpt-5.5", Endpoints: responsesOnly, Multiplier: 1, Plans: []string{"enterprise"}, Context: 1050000, Prompt: 922000, Output: 128000, Policy: PolicyEnabled, Efforts: efforts},
		{ID: "claude-haiku-4.5", Name: "Claude Haiku 4.5", Vendor: "Anthropic", Version: "claude-haiku-4.5", Picker: true, Category: "lightweight", Endpoints: chatAndMessages, Multiplier: 0.33, Context: 200000, Prompt: 128000, Output: 32000, Vision: true, Policy: PolicyEnabled},
		{ID: "claude-sonnet-4.5", Name: "Claude Sonnet 4.5", Vendor: "Anthropic", Version: "claude-sonnet-4.5", Picker: true, Category: "versatile", Endpoints: chatAndMessages, Multiplier: 1, Plans: paid, Context: 200000, Prompt: 128000, Output: 32000, Vision: true, Policy: PolicyEnabled},
		{ID: "claude-sonnet-4.6", Name: "Claude Sonnet 4.6", Vendor: "Anthropic", Version: "claude-sonnet-4.6", Picker: true, Category: "versatile", Endpoints: chatAndMessages, Multiplier: 1, Plans: paid, Context: 200000, Prompt: 128000, Output: 32000, Vision: true, Structured: true, Adaptive: true, Policy: PolicyEnabled, Efforts: efforts},
		{ID: "claude-opus-4.8", Name: "Claude Opus 4.8", Vendor: "Anthropic", Version: "claude-opus-4.8", Picker: true, Category: "powerful", Endpoints: chatAndMessages, Multiplier: 10, Plans: paid, Context: 1000000, Prompt: 936000, Output: 64000, Vision: true, Adaptive: true, Policy: PolicyEnabled, Efforts: efforts, Extra: map[string]any{"new_member_nobody_knows": map[string]any{"a": []int{1, 2}}}},
		{ID: "claude-opus-4.1", Name: "Claude Opus 4.1", Vendor: "Anthropic", Version: "claude-opus-4.1", Endpoints: chatAndMessages, Multiplier: 10, Context: 80000, Prompt: 80000, Output: 16000, Policy: PolicyDisabled},
		{ID: "gemini-3.5-flash", Name: "Gemini 3.5 Flash", Vendor: "Google", Version: "gemini-3.5-flash", Picker: true, Category: "lightweight", Multiplier: 0.33, Context: 1000000, Prompt: 128000, Output: 64000, Vision: true, Policy: PolicyEnabled, Efforts: efforts},
		{ID: "gemini-3.1-pro-preview", Name: "Gemini 3.1 Pro", Vendor: "Google", Version: "gemini-3.1-pro-preview", Picker: true, Preview: true, Category: "powerful", Multiplier: 1, Context: 1000000, Prompt: 128000, Output: 64000, Vision: true, Policy: PolicyUnconfigured},
		{ID: "grok-4.5", Name: "Grok 4.5", Vendor: "xAI", Version: "grok-4.5", Picker: true, Category: "versatile", Multiplier: 0.25, RequireMaxTokens: true},
		{ID: "text-embedding-3-small", Name: "Embedding V3 small", Vendor: "Azure OpenAI", Version: "text-embedding-3-small", Type: "embeddings", NoBilling: true, MaxInputs: 256},
	}
}

// object is a JSON object under construction.
type object = map[string]any

// render returns the catalogue entry of m.
func (m *Model) render() object {
	kind := m.Type
	if kind == "" {
		kind = "chat"
	}
	o := object{
		"id": m.ID, "name": m.Name, "object": "model", "vendor": m.Vendor, "version": m.Version,
		"preview": m.Preview, "model_picker_enabled": m.Picker,
		"is_chat_default": m.Default, "is_chat_fallback": m.Default,
	}
	caps := object{"object": "model_capabilities", "type": kind, "family": m.ID, "tokenizer": "o200k_base"}
	if l := m.limits(); len(l) > 0 {
		caps["limits"] = l
	}
	caps["supports"] = m.supports(kind)
	o["capabilities"] = caps
	if m.Category != "" {
		o["model_picker_category"] = m.Category
	}
	if m.Policy != PolicyNone {
		o["policy"] = object{"state": m.Policy, "terms": "Enable access to the latest " + m.Name + " model."}
	}
	if m.Endpoints != nil {
		o["supported_endpoints"] = m.Endpoints
	}
	if !m.NoBilling {
		billing := object{"is_premium": m.Multiplier > 0, "multiplier": m.Multiplier}
		if m.Plans != nil {
			billing["restricted_to"] = m.Plans
		}
		o["billing"] = billing
	}
	maps.Copy(o, m.Extra)
	return o
}

func (m *Model) limits() object {
	l := object{}
	for name, n := range map[string]int{
		"max_context_window_tokens": m.Context, "max_prompt_tokens": m.Prompt,
		"max_output_tokens": m.Output, "max_inputs": m.MaxInputs,
	} {
		if n > 0 {
			l[name] = n
		}
	}
	if m.Vision {
		l["vision"] = object{"max_prompt_images": 5, "max_prompt_image_size": 3145728, "supported_media_types": []string{"image/jpeg", "image/png", "image/webp"}}
	}
	return l
}

func (m *Model) supports(kind string) object {
	if kind == "embeddings" {
		return object{"dimensions": true}
	}
	s := object{"streaming": true, "tool_calls": !m.NoTools, "parallel_tool_calls": !m.NoTools}
	if m.Vision {
		s["vision"] = true
	}
	if m.Structured {
		s["structured_outputs"] = true
	}
	if m.Adaptive {
		s["adaptive_thinking"] = true
	}
	if m.claude() {
		s["min_thinking_budget"], s["max_thinking_budget"] = 1024, 32000
	}
	if m.Efforts != nil {
		s["reasoning_effort"] = m.Efforts
	}
	return s
}

// renderCatalogue returns the body of GET /models.
func renderCatalogue(models []Model) []byte {
	data := make([]object, len(models))
	for i := range models {
		data[i] = models[i].render()
	}
	return mustJSON(object{"object": "list", "data": data})
}

// mustJSON marshals a value that this package made itself, and that therefore
// can be marshalled.
func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic("sim: marshal own value: " + err.Error())
	}
	return b
}
