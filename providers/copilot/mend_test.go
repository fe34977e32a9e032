package copilot_test

import (
	"encoding/json"
	"testing"

	"detour/internal/dialect"
	"detour/providers"
)

func TestMend(t *testing.T) {
	t.Parallel()
	const chat, responses, messages = dialect.EndpointChat, dialect.EndpointResponses, dialect.EndpointMessages
	const refused = "" // nothing to mend
	for name, tc := range map[string]struct {
		endpoint dialect.Endpoint
		message  string
		in, want string
	}{
		"max_tokens renamed":           {chat, "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.", `{"model":"m", "max_tokens": 5 ,"x":1}`, `{"max_completion_tokens":5,"model":"m" ,"x":1}`},
		"max_tokens that was filled":   {chat, "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.", `{"model":"m"}`, `{"max_completion_tokens":32000,"model":"m"}`},
		"temperature":                  {responses, "Unsupported parameter: 'temperature' is not supported with this model.", `{"temperature":1,"model":"m"}`, `{"model":"m"}`},
		"parameter that is not there":  {chat, "Unsupported parameter: 'seed' is not supported", `{"model":"m"}`, refused},
		"parameter that must be there": {chat, "Unsupported parameter: 'messages' is not supported", `{"messages":[]}`, refused},
		"limit is wanted":              {chat, "max_tokens is required for this model", `{"model":"m"}`, `{"max_tokens":32000,"model":"m"}`},
		"limit is wanted and there":    {chat, "max_tokens is required for this model", `{"max_completion_tokens":7}`, refused},
		"stale reasoning":              {responses, "The encrypted content gAAA could not be verified. Reason: x", `{"input":[{"type":"reasoning","id":"a","encrypted_content":"x"},{"type":"message"},{"type":"reasoning","encrypted_content":"y"}]}`, `{"input":[{"type":"message"}]}`},
		"reasoning of another item":    {responses, "Encrypted content item_id did not match the target item id", `{"input":[{"role":"user"}, {"type":"reasoning","encrypted_content":"x"}]}`, `{"input":[{"role":"user"}]}`},
		"stale reasoning, none there":  {responses, "The encrypted content gAAA could not be verified.", `{"input":"x"}`, refused},
		"web search":                   {responses, "The use of the web search tool is not supported.", `{"tools":[{"type":"function"},{"type":"web_search_preview"},{"type":"web_search"}]}`, `{"tools":[{"type":"function"}]}`},
		"web search that rides along":  {responses, "The use of the web search tool is not supported.", `{"input":[{"role":"user","content":"x"},{"type":"additional_tools","tools":[{"type":"web_search"},{"type":"function"}]}],"tools":[]}`, `{"input":[{"role":"user","content":"x"},{"type":"additional_tools","tools":[{"type":"function"}]}],"tools":[]}`},
		"web search that is a must":    {responses, "The use of the web search tool is not supported.", `{"tools":[{"type":"web_search"}],"tool_choice":{"type":"web_search"}}`, refused},
		"free-text tools":              {responses, "Custom tools are not supported with this model.", `{"tools":[{"type":"custom","name":"p"}]}`, refused},
		"extra in a tool":              {messages, "tools.0.custom.strict: Extra inputs are not permitted", `{"tools":[{"name":"a","strict":true},{"strict":false,"name":"b"}],"strict":1}`, `{"tools":[{"name":"a"},{"name":"b"}],"strict":1}`},
		"extra at the top":             {messages, "output_format: Extra inputs are not permitted", `{"output_format":{},"model":"m"}`, `{"model":"m"}`},
		"extra deep down":              {messages, "messages.1.content.0.text.cache_control.ttl: Extra inputs are not permitted", `{"messages":[{"content":"s"},{"content":[{"type":"text","text":"t","cache_control":{"type":"ephemeral","ttl":"1h"}}]},{"content":[{"type":"text","cache_control":{"ttl":"5m","type":"ephemeral"}}]}]}`, `{"messages":[{"content":"s"},{"content":[{"type":"text","text":"t","cache_control":{"type":"ephemeral"}}]},{"content":[{"type":"text","cache_control":{"type":"ephemeral"}}]}]}`},
		"extra in the tagged form":     {messages, "messages.0.content.0.tool_result.content.0.text.x: Extra inputs are not permitted", `{"messages":[{"content":[{"type":"tool_result","content":[{"type":"text","text":"a","x":1}]}]}]}`, `{"messages":[{"content":[{"type":"tool_result","content":[{"type":"text","text":"a"}]}]}]}`},
		"two extras":                   {messages, "tools.0.custom.a: Extra inputs are not permitted\nsystem.0.b: Extra inputs are not permitted", `{"tools":[{"a":1,"n":2}],"system":[{"b":1}]}`, `{"tools":[{"n":2}],"system":[{}]}`},
		"two extras of one tool":       {messages, "tools.0.custom.a: Extra inputs are not permitted, tools.0.custom.b: Extra inputs are not permitted", `{"tools":[{"a":1,"b":2}]}`, `{"tools":[{}]}`},
		"extra that is not there":      {messages, "tools.0.custom.strict: Extra inputs are not permitted", `{"tools":[{"name":"a"}]}`, refused},
		"all messages are extra":       {messages, "messages: Extra inputs are not permitted", `{"messages":[]}`, refused},
		"orphan":                       {messages, "messages.0.content.1: unexpected `tool_use_id` found in `tool_result` blocks: toolu_1. Each `tool_result` block must have a corresponding `tool_use` block in the previous message.", `{"messages":[{"content":[{"type":"text","text":"a"},{"type":"tool_result","tool_use_id":"toolu_1"},{"type":"tool_result","tool_use_id":"toolu_2"}]}]}`, `{"messages":[{"content":[{"type":"text","text":"a"},{"type":"tool_result","tool_use_id":"toolu_2"}]}]}`},
		"orphan alone in its message":  {messages, "messages.0.content.0: unexpected tool_use_id found in tool_result blocks: toolu_1, toolu_9.", `{"messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"toolu_1"}]},{"role":"user","content":"b"}]}`, `{"messages":[{"role":"user","content":"b"}]}`},
		"budget to adaptive":           {messages, `"thinking.type.enabled" is not supported for this model. Use thinking.type.adaptive and output_config.effort.`, `{"thinking":{"type":"enabled","budget_tokens":8000,"display":"omitted"}}`, `{"output_config":{"effort":"medium"},"thinking":{"type":"adaptive","display":"omitted"}}`},
		"budget, effort already there": {messages, "use thinking.type.adaptive instead of thinking.type.enabled", `{"output_config":{"effort":"low"},"thinking":{"budget_tokens":30000,"type":"enabled"}}`, `{"output_config":{"effort":"low"},"thinking":{"type":"adaptive"}}`},
		"budget, other output config":  {messages, "use thinking.type.adaptive instead of thinking.type.enabled", `{"output_config":{"format":{}},"thinking":{"budget_tokens":30000,"type":"enabled"}}`, `{"output_config":{"effort":"high","format":{}},"thinking":{"type":"adaptive"}}`},
		"something else":               {chat, "messages must not be empty", `{"messages":[]}`, refused},
		"no JSON":                      {chat, "max_tokens is required", `{`, refused},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, worldConfig{})
			var m providers.Mender = w.Provider
			c := &providers.Call{Endpoint: tc.endpoint, Model: providers.Model{ID: "m", MaxOutput: 32000}, Body: []byte(tc.in)}
			e := &providers.Error{Kind: providers.KindInvalid, Failure: dialect.Failure{Status: 400, Message: tc.message}}
			body, ok := m.Mend(c, e)
			if ok != (tc.want != refused) || ok && string(body) != tc.want {
				t.Errorf("%v\n got %s\nwant %s", ok, body, tc.want)
			}
			if string(c.Body) != tc.in {
				t.Error("the call was changed")
			}
			for _, other := range []*providers.Error{{Kind: providers.KindAuth, Failure: e.Failure}, {Kind: providers.KindInvalid, Failure: dialect.Failure{Status: 413, Message: tc.message}}} {
				if _, ok := m.Mend(c, other); ok {
					t.Errorf("%v with status %d was mended", other.Kind, other.Failure.Status)
				}
			}
		})
	}
}

func FuzzMend(f *testing.F) {
	f.Add(`{"messages":[{"content":[{"type":"tool_result","tool_use_id":"a"}]}],"thinking":{"type":"enabled"},"tools":[{"x":1}]}`, "tools.0.x: Extra inputs are not permitted thinking.type.enabled adaptive unexpected tool_use_id found in tool_result blocks: a")
	f.Add(`{"input":[{"type":"reasoning","encrypted_content":1}]}`, "encrypted could not be")
	f.Add(`{"a":{"a":{"a":[{"a":1}]}}}`, "a.a.a.0.a: Extra inputs are not permitted\na.a: Extra inputs are not permitted")
	f.Add(`{"max_tokens":1}`, "Unsupported parameter: 'max_tokens' 'max_completion_tokens'")
	w := newWorld(f, worldConfig{})
	f.Fuzz(func(t *testing.T, body, message string) {
		for _, e := range []dialect.Endpoint{dialect.EndpointChat, dialect.EndpointResponses, dialect.EndpointMessages} {
			out, ok := w.Mend(&providers.Call{Endpoint: e, Body: []byte(body)}, &providers.Error{Kind: providers.KindInvalid, Failure: dialect.Failure{Status: 400, Message: message}})
			if ok && (!json.Valid(out) || string(out) == body) {
				t.Errorf("%s: %s\nwith %q became\n%s", e, body, message, out)
			}
		}
	})
}
