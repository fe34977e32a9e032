package copilot_test

import (
	"encoding/json"
	"io"
	"testing"

	"detour/internal/dialect"
	"detour/providers"
)

// Refusals that say nothing about other requests.
func TestMend(t *testing.T) {
	t.Parallel()
	const chat, responses, messages = dialect.EndpointChat, dialect.EndpointResponses, dialect.EndpointMessages
	const refused = "" // nothing to mend
	const orphan = "messages.1.content.1: unexpected `tool_use_id` found in `tool_result` blocks: toolu_1. Each `tool_result` block must have a corresponding `tool_use` block in the previous message."
	const unanswered = "messages.0: `tool_use` ids were found without `tool_result` blocks immediately after: toolu_1, toolu_2. Each `tool_use` block must have a corresponding `tool_result` block in the next message."
	const calls = `{"role":"assistant","content":[{"type":"tool_use","id":"toolu_1"},{"type":"tool_use","id":"toolu_2"},{"type":"tool_use","id":"toolu_3"}]}`
	const answers = `{"type":"tool_result","tool_use_id":"toolu_1","content":"[no output]"},{"type":"tool_result","tool_use_id":"toolu_2","content":"[no output]"}`
	for name, tc := range map[string]struct {
		endpoint dialect.Endpoint
		message  string
		in, want string
	}{
		"stale reasoning":             {responses, "The encrypted content gAAA could not be verified. Reason: x", `{"input":[{"type":"reasoning","id":"a","encrypted_content":"x"},{"type":"message"},{"type":"reasoning","encrypted_content":"y"}]}`, `{"input":[{"type":"message"}]}`},
		"reasoning of another item":   {responses, "Encrypted content item_id did not match the target item id", `{"input":[{"role":"user"}, {"type":"reasoning","encrypted_content":"x"}]}`, `{"input":[{"role":"user"}]}`},
		"stale reasoning, none there": {responses, "The encrypted content gAAA could not be verified.", `{"input":"x"}`, refused},
		"orphan":                      {messages, orphan, `{"messages":[{"content":[{"type":"text","text":"a"},{"type":"tool_result","tool_use_id":"toolu_1"},{"type":"tool_result","tool_use_id":"toolu_2"}]}]}`, `{"messages":[{"content":[{"type":"text","text":"a"},{"type":"tool_result","tool_use_id":"toolu_2"}]}]}`},
		"orphan alone in its message": {messages, "messages.0.content.0: unexpected tool_use_id found in tool_result blocks: toolu_1, toolu_9.", `{"messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"toolu_1"}]},{"role":"user","content":"b"}]}`, `{"messages":[{"role":"user","content":"b"}]}`},
		"calls at the end":            {messages, unanswered, `{"messages":[` + calls + `]}`, `{"messages":[` + calls + `,{"role":"user","content":[` + answers + `]}]}`},
		"calls before words":          {messages, unanswered, `{"messages":[` + calls + `,{"role":"user","content":"b\n"}]}`, `{"messages":[` + calls + `,{"role":"user","content":[` + answers + `,{"type":"text","text":"b\n"}]}]}`},
		"calls before a result":       {messages, unanswered, `{"messages":[` + calls + `,{"role":"user","content":[{"type":"tool_result","tool_use_id":"toolu_3"}]}]}`, `{"messages":[` + calls + `,{"role":"user","content":[` + answers + `,{"type":"tool_result","tool_use_id":"toolu_3"}]}]}`},
		"something else":              {chat, "messages must not be empty", `{"messages":[]}`, refused},
		"no JSON":                     {messages, orphan, `{`, refused},
		"free-text tools":             {responses, "Custom tools are not supported with this model.", `{"tools":[{"type":"custom","name":"p"}]}`, refused},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, worldConfig{})
			var m providers.Mender = w.Provider
			c := &providers.Call{Endpoint: tc.endpoint, Model: providers.Model{ID: "m", MaxOutput: 32000}, Body: []byte(tc.in)}
			e := refusal(tc.message)
			body, ok := m.Mend(c, e)
			if ok != (tc.want != refused) || ok && string(body) != tc.want {
				t.Errorf("%v\n got %s\nwant %s", ok, body, tc.want)
			}
			if string(c.Body) != tc.in {
				t.Error("the call was changed")
			}
			if learned := w.Learn(c, e); learned != nil {
				t.Errorf("learned %q from what concerns one request", learned)
			}
			for _, other := range []*providers.Error{{Kind: providers.KindAuth, Failure: e.Failure}, {Kind: providers.KindInvalid, Failure: dialect.Failure{Status: 413, Message: tc.message}}} {
				if _, ok := m.Mend(c, other); ok {
					t.Errorf("%v with status %d was mended", other.Kind, other.Failure.Status)
				}
			}
		})
	}
}

func refusal(message string) *providers.Error {
	return &providers.Error{Kind: providers.KindInvalid, Failure: dialect.Failure{Status: 400, Message: message}}
}

func FuzzMend(f *testing.F) {
	f.Add(`{"messages":[{"content":[{"type":"tool_result","tool_use_id":"a"},{"type":"tool_use","id":"b"}]}],"thinking":{"type":"enabled"},"tools":[{"x":1}]}`, "tools.0.x: Extra inputs are not permitted thinking.type.enabled adaptive unexpected tool_use_id found in tool_result blocks: a tool_use ids were found without tool_result blocks immediately after: b")
	f.Add(`{"input":[{"type":"reasoning","encrypted_content":1}]}`, "encrypted could not be")
	f.Add(`{"a":{"a":{"a":[{"a":1}]}}}`, "a.a.a.0.a: Extra inputs are not permitted\na.a: Extra inputs are not permitted")
	f.Add(`{"max_tokens":1}`, "Unsupported parameter: 'max_tokens' 'max_completion_tokens'")
	f.Add(`{"thinking":{"type":"adaptive"},"max_tokens":9000,"output_config":{"effort":"max"}}`, "adaptive thinking is not supported. max_tokens: 9000 > 5000 Unsupported value: 'output_config.effort' does not support 'max'. Supported values are: 'low'.")
	w := newWorld(f, worldConfig{})
	f.Fuzz(func(t *testing.T, body, message string) {
		for _, e := range []dialect.Endpoint{dialect.EndpointChat, dialect.EndpointResponses, dialect.EndpointMessages} {
			call := &providers.Call{Endpoint: e, Body: []byte(body)}
			out, ok := w.Mend(call, refusal(message))
			if ok && (!json.Valid(out) || string(out) == body) {
				t.Errorf("%s: %s\nwith %q became\n%s", e, body, message, out)
			}
			call.Lessons = w.Learn(call, refusal(message))
			if len(call.Lessons) == 0 || !json.Valid([]byte(body)) {
				continue
			}
			if again := w.Learn(call, refusal(message)); len(again) > 0 {
				t.Errorf("%s: %s\nwith %q learned %q and then %q", e, body, message, call.Lessons, again)
			}
			if r, err := w.NewRequest(t.Context(), w.account, call); err == nil {
				if out, _ := io.ReadAll(r.Body); !json.Valid(out) {
					t.Errorf("%s: %s\nwith %q became\n%s", e, body, call.Lessons, out)
				}
			}
		}
	})
}
