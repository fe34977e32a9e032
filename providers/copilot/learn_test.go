package copilot_test

import (
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"detour/internal/dialect"
	"detour/providers"
)

// Refusals that concern every request for the model: what is learned from them, and the next request.
func TestLearn(t *testing.T) {
	t.Parallel()
	const chat, responses, messages = dialect.EndpointChat, dialect.EndpointResponses, dialect.EndpointMessages
	const store = `"store":false,`
	for name, tc := range map[string]struct {
		endpoint dialect.Endpoint
		message  string
		in       string
		lessons  []string
		want     string
	}{
		"max_tokens renamed":           {chat, "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.", `{"model":"m", "max_tokens": 5 ,"x":1}`, []string{"rename"}, `{"max_completion_tokens":5,"model":"m" ,"x":1}`},
		"max_tokens that was filled":   {chat, "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.", `{"model":"m"}`, []string{"rename"}, `{"max_completion_tokens":32000,"model":"m"}`},
		"temperature":                  {responses, "Unsupported parameter: 'temperature' is not supported with this model.", `{` + store + `"temperature":1,"model":"m"}`, []string{"omit temperature"}, `{` + store + `"model":"m"}`},
		"nested parameter":             {responses, "Unsupported parameter: 'reasoning.summary' is not supported with this model.", `{` + store + `"include":["reasoning.encrypted_content"],"reasoning":{"effort":"low","summary":"auto"}}`, []string{"omit reasoning.summary"}, `{` + store + `"include":["reasoning.encrypted_content"],"reasoning":{"effort":"low"}}`},
		"unknown parameter":            {responses, "Unknown parameter: 'prompt_cache_options'.", `{` + store + `"prompt_cache_options":{}}`, []string{"omit prompt_cache_options"}, `{"store":false}`},
		"unrecognised argument":        {chat, "Unrecognized request argument supplied: verbosity", `{"max_tokens":1,"verbosity":"low"}`, []string{"omit verbosity"}, `{"max_tokens":1}`},
		"parameter that is not there":  {chat, "Unsupported parameter: 'seed' is not supported", `{"max_tokens":1}`, nil, ""},
		"parameter that must be there": {chat, "Unsupported parameter: 'messages' is not supported", `{"messages":[]}`, nil, ""},
		"value of another level":       {chat, "Unsupported value: 'reasoning_effort' does not support 'xhigh' with this model. Supported values are: 'low', 'medium', and 'high'.", `{"max_tokens":1,"reasoning_effort":"xhigh"}`, []string{"values reasoning_effort low medium high"}, `{"max_tokens":1,"reasoning_effort":"high"}`},
		"value that can be no other":   {responses, "Unsupported value: 'text.verbosity' does not support 'low' with this model. Supported values are: 'medium'.", `{` + store + `"text":{"verbosity":"low"}}`, []string{"values text.verbosity medium"}, `{` + store + `"text":{"verbosity":"medium"}}`},
		"value, only the default":      {chat, "Unsupported value: 'temperature' does not support 0.2 with this model. Only the default (1) value is supported.", `{"max_tokens":1,"temperature":0.2}`, []string{"omit temperature"}, `{"max_tokens":1}`},
		"too many tokens":              {chat, "max_tokens is too large: 99999. This model supports at most 16384 completion tokens", `{"max_tokens":99999}`, []string{"most 16384"}, `{"max_tokens":16384}`},
		"limit is wanted":              {chat, "max_tokens is required for this model", `{"model":"m"}`, nil, ""}, // filled in already
		"limit is wanted and there":    {chat, "max_tokens is required for this model", `{"max_completion_tokens":7}`, nil, ""},
		"web search":                   {responses, "The use of the web search tool is not supported.", `{` + store + `"tools":[{"type":"function"},{"type":"web_search_preview"},{"type":"web_search"}]}`, []string{"nosearch"}, `{` + store + `"tools":[{"type":"function"}]}`},
		"extra in a tool":              {messages, "tools.0.custom.strict: Extra inputs are not permitted", `{"tools":[{"name":"a","strict":true},{"strict":false,"name":"b"}],"strict":1}`, []string{"omit tools.#.custom.strict"}, `{"tools":[{"name":"a"},{"name":"b"}],"strict":1}`},
		"extra at the top":             {messages, "future: Extra inputs are not permitted", `{"future":{},"model":"m"}`, []string{"omit future"}, `{"model":"m"}`},
		"extra deep down":              {messages, "messages.1.content.0.text.cache_control.ttl: Extra inputs are not permitted", `{"messages":[{"content":"s"},{"content":[{"type":"text","text":"t","cache_control":{"type":"ephemeral","ttl":"1h"}}]},{"content":[{"type":"text","text":"u","cache_control":{"ttl":"5m","type":"ephemeral"}}]}]}`, []string{"omit messages.#.content.#.text.cache_control.ttl"}, `{"messages":[{"content":"s"},{"content":[{"type":"text","text":"t","cache_control":{"type":"ephemeral"}}]},{"content":[{"type":"text","text":"u","cache_control":{"type":"ephemeral"}}]}]}`},
		"extra in what was moved":      {messages, "messages.0.content.0.text.cache_control.ttl: Extra inputs are not permitted", `{"messages":[{"content":[{"type":"text","text":"t"}]}],"cache_control":{"type":"ephemeral","ttl":"1h"}}`, []string{"omit messages.#.content.#.text.cache_control.ttl"}, `{"messages":[{"content":[{"cache_control":{"type":"ephemeral"},"type":"text","text":"t"}]}]}`},
		"extra in the tagged form":     {messages, "messages.0.content.0.tool_result.content.0.text.x: Extra inputs are not permitted", `{"messages":[{"content":[{"type":"tool_result","content":[{"type":"text","text":"a","x":1}]}]}]}`, []string{"omit messages.#.content.#.tool_result.content.#.text.x"}, `{"messages":[{"content":[{"type":"tool_result","content":[{"type":"text","text":"a"}]}]}]}`},
		"two extras":                   {messages, "tools.0.custom.a: Extra inputs are not permitted\nsystem.0.b: Extra inputs are not permitted", `{"tools":[{"a":1,"n":2}],"system":[{"b":1}]}`, []string{"omit tools.#.custom.a", "omit system.#.b"}, `{"tools":[{"n":2}],"system":[{}]}`},
		"two extras of one tool":       {messages, "tools.0.custom.a: Extra inputs are not permitted, tools.0.custom.b: Extra inputs are not permitted", `{"tools":[{"a":1,"b":2}]}`, []string{"omit tools.#.custom.a", "omit tools.#.custom.b"}, `{"tools":[{}]}`},
		"extra that is not there":      {messages, "tools.0.custom.strict: Extra inputs are not permitted", `{"tools":[{"name":"a"}]}`, nil, ""},
		"all messages are extra":       {messages, "messages: Extra inputs are not permitted", `{"messages":[]}`, nil, ""},
		"budget to adaptive":           {messages, `"thinking.type.enabled" is not supported for this model. Use thinking.type.adaptive and output_config.effort.`, `{"thinking":{"type":"enabled","budget_tokens":8000,"display":"omitted"}}`, []string{"adaptive"}, `{"output_config":{"effort":"medium"},"thinking":{"type":"adaptive","display":"omitted"}}`},
		"budget, effort already there": {messages, "use thinking.type.adaptive instead of thinking.type.enabled", `{"output_config":{"effort":"low"},"thinking":{"budget_tokens":30000,"type":"enabled"}}`, []string{"adaptive"}, `{"output_config":{"effort":"low"},"thinking":{"type":"adaptive"}}`},
		"budget, other output config":  {messages, "use thinking.type.adaptive instead of thinking.type.enabled", `{"output_config":{"format":{}},"thinking":{"budget_tokens":30000,"type":"enabled"}}`, []string{"adaptive"}, `{"output_config":{"effort":"high","format":{}},"thinking":{"type":"adaptive"}}`},
		"adaptive to budget":           {messages, "adaptive thinking is not supported on this model", `{"max_tokens":9000,"output_config":{"effort":"high"},"thinking":{"type":"adaptive"}}`, []string{"budget"}, `{"max_tokens":9000,"thinking":{"type":"enabled","budget_tokens":7976}}`},
		"kind of thinking to come":     {messages, "thinking: Input tag 'between_tools' found using 'type' does not match any of the expected tags: 'adaptive', 'disabled', 'enabled'", `{"thinking":{"type":"between_tools"}}`, []string{"adaptive"}, `{"thinking":{"type":"adaptive"}}`},
		"effort":                       {messages, "This model does not support the effort parameter.", `{"output_config":{"effort":"high","format":{}}}`, []string{"omit output_config.effort"}, `{"output_config":{"format":{}}}`},
		"temperature is past":          {messages, "`temperature` is deprecated for this model.", `{"temperature":0.5,"model":"m"}`, []string{"omit temperature"}, `{"model":"m"}`},
		"words in the model's mouth":   {messages, "This model does not support assistant message prefill. The conversation must end with a user message.", `{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]}`, []string{"userlast"}, `{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"},{"role":"user","content":"Please continue."}]}`},
		"more than the model can say":  {messages, "max_tokens: 31000 > 8192, which is the maximum allowed number of output tokens for m", `{"max_tokens":31000,"thinking":{"type":"enabled","budget_tokens":30000}}`, []string{"most 8192"}, `{"max_tokens":8192,"thinking":{"type":"enabled","budget_tokens":7168}}`},
		"something else":               {chat, "messages must not be empty", `{"messages":[]}`, nil, ""},
		"no JSON":                      {chat, "max_tokens is required", `{`, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, worldConfig{})
			var l providers.Learner = w.Provider
			c := providers.Call{Endpoint: tc.endpoint, Model: providers.Model{ID: "m", MaxOutput: 32000}, Body: []byte(tc.in)}
			lessons := l.Learn(&c, refusal(tc.message))
			if !reflect.DeepEqual(lessons, tc.lessons) {
				t.Fatalf("learned %q, want %q", lessons, tc.lessons)
			}
			if string(c.Body) != tc.in {
				t.Error("the call was changed")
			}
			for _, other := range []*providers.Error{{Kind: providers.KindAuth, Failure: refusal(tc.message).Failure}, {Kind: providers.KindInvalid, Failure: dialect.Failure{Status: 413, Message: tc.message}}} {
				if l.Learn(&c, other) != nil {
					t.Errorf("%v with status %d taught something", other.Kind, other.Failure.Status)
				}
			}
			if lessons == nil {
				return
			}
			c.Lessons = lessons
			if got, err := edited(t, c); err != nil || got != tc.want {
				t.Errorf("%v\n got %s\nwant %s", err, got, tc.want)
			}
			if again := l.Learn(&c, refusal(tc.message)); again != nil {
				t.Errorf("the same refusal taught %q once more", again)
			}
		})
	}
}

func TestALimitThatIsWantedIsLearnedWhereTheCatalogueKnowsNone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldConfig{})
	c := providers.Call{Endpoint: dialect.EndpointChat, Model: providers.Model{ID: "m"}, Body: []byte(`{"model":"m"}`)}
	c.Lessons = w.Learn(&c, refusal("max_tokens is required for this model"))
	if got, err := edited(t, c); err != nil || got != `{"max_tokens":4096,"model":"m"}` {
		t.Errorf("%q: %s, %v", c.Lessons, got, err)
	}
}

func TestABetaThatIsRefusedGoesWithWhatDependsOnIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldConfig{})
	c := providers.Call{
		Endpoint: dialect.EndpointMessages, Model: providers.Model{ID: "m"},
		Header: http.Header{"Anthropic-Beta": {"advanced-tool-use-2025-11-20,context-management-2025-06-27"}},
		Body:   []byte(`{"tools":[{"name":"a"},{"name":"b","defer_loading":true}]}`),
	}
	c.Lessons = w.Learn(&c, refusal("Unexpected value(s) `advanced-tool-use-2025-11-20` for the `anthropic-beta` header."))
	if len(c.Lessons) != 1 {
		t.Fatalf("learned %q", c.Lessons)
	}
	r := build(t, w, &c)
	body, _ := io.ReadAll(r.Body)
	if r.Header.Get("Anthropic-Beta") != "context-management-2025-06-27" || strings.Contains(string(body), "defer_loading") {
		t.Errorf("sent %q with %s", r.Header.Get("Anthropic-Beta"), body)
	}
}
