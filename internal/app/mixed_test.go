package app_test

import (
	"fmt"
	"strings"
	"testing"

	"detour/internal/sim"
)

// Clients that take every service for OpenAI's send what they have to the Chat Completions endpoint, whatever dialect it
// is in, and want to be answered in Chat Completions.
func TestMixedRequestsOnTheChatEndpoint(t *testing.T) {
	t.Parallel()
	const schema = `{"type":"object","properties":{"city":{"type":"string"}}}`
	shapes := map[string]struct{ first, then string }{ // what stands behind model and stream; %s is what the user says
		"a body of Responses": {
			`"instructions":"Be brief.","input":[{"role":"user","content":%s}],"reasoning":{"effort":"low"},"tools":[{"type":"function","name":"weather","parameters":` + schema + `}]`,
			`"input":[{"type":"message","role":"user","content":[{"type":"input_text","text":%s}]},{"type":"function_call","call_id":"call_1","name":"weather","arguments":"{\"city\":\"Oslo\"}"},{"type":"function_call_output","call_id":"call_1","output":"rainy"}],"tools":[{"type":"function","name":"weather","parameters":` + schema + `}]`,
		},
		"flat tools": {
			`"messages":[{"role":"user","content":%s}],"tools":[{"type":"function","function":{"name":"other","parameters":` + schema + `}},{"type":"function","name":"weather","parameters":` + schema + `},{"type":"custom","name":"patch","format":{"type":"text"}}]`,
			`"messages":[{"role":"user","content":%s},{"role":"assistant","content":[],"tool_calls":[{"id":"call_1","type":"function","function":{"name":"weather","arguments":"{\"city\":\"Oslo\"}"}}]},{"role":"tool","tool_call_id":"call_1","content":"rainy"}],"tools":[{"type":"function","name":"weather","parameters":` + schema + `}]`,
		},
		"blocks and tools of Messages": {
			`"system":"Be brief.","messages":[{"role":"user","content":[{"type":"text","text":%s}]}],"tools":[{"name":"weather","description":"w","input_schema":` + schema + `}],"tool_choice":{"type":"auto"}`,
			`"messages":[{"role":"user","content":[{"type":"text","text":%s}]},{"role":"assistant","content":[{"type":"text","text":"I look."},{"type":"tool_use","id":"toolu_1","name":"weather","input":{"city":"Oslo"}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"toolu_1","content":"rainy"}]}],"tools":[{"name":"weather","input_schema":` + schema + `}]`,
		},
		"parts of Responses and an empty list": {
			`"messages":[{"role":"user","content":[{"type":"input_text","text":%s}]}],"tools":[{"type":"function","function":{"name":"weather","parameters":` + schema + `}}]`,
			`"messages":[{"role":"user","content":[{"type":"input_text","text":%s}]},{"role":"assistant","content":[],"tool_calls":[{"id":"call_1","type":"function","function":{"name":"weather","arguments":"{\"city\":\"Oslo\"}"}}]},{"role":"tool","tool_call_id":"call_1","content":"rainy"}],"tools":[{"type":"function","function":{"name":"weather","parameters":` + schema + `}}]`,
		},
	}
	w := newWorld(t, &sim.Scenario{Messages: sim.Messages{RejectBetas: true}}, nil, "alice")
	for name, shape := range shapes {
		for _, model := range []string{"gpt-4o", "gemini-3.5-flash", "gpt-5.4", "claude-sonnet-4.6", "gpt-5-mini"} {
			for _, stream := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s on %s stream=%t", name, model, stream), func(t *testing.T) {
					t.Parallel()
					marker := fmt.Sprintf("mixed %s %s %t", strings.ReplaceAll(name, " ", "-"), model, stream)
					say := fmt.Sprintf("%q", marker+` [[sim:tool=weather {"city":"Oslo"}]]`)
					ask := func(rest string) string {
						t.Helper()
						status, body := w.post(t, "/v1/chat/completions", fmt.Sprintf(`{"model":%q,"stream":%t,`, model, stream)+fmt.Sprintf(rest, say)+"}")
						object := `"object":"chat.completion"`
						if stream {
							object = `"object":"chat.completion.chunk"`
						}
						if status != 200 || !strings.Contains(body, object) || stream && !strings.HasSuffix(body, "data: [DONE]\n\n") {
							t.Fatalf("%d %s", status, body)
						}
						return body
					}
					if body := ask(shape.first); !strings.Contains(body, `"tool_calls"`) || !strings.Contains(body, `"weather"`) || !strings.Contains(body, `Oslo`) {
						t.Errorf("no call in %s", body)
					}
					if body := ask(shape.then); !strings.Contains(body, "rainy") {
						t.Errorf("nothing of the result in %s", body)
					}
					for i, r := range w.sim.Requests(func(r sim.Request) bool {
						return r.Plane == sim.PlaneCopilot && strings.Contains(string(r.Body), marker)
					}) {
						if want := []string{"user", "agent"}[min(i, 1)]; r.Status != 200 || r.Initiator != want {
							t.Errorf("request %d: status %d as %s, want 200 as %s: %s", i, r.Status, r.Initiator, want, r.Body)
						}
					}
				})
			}
		}
	}
}

// Elsewhere a body in other words is a mistake, and the answer says where it belongs.
func TestBodiesOfAnotherDialectAreRefusedWithAWordOfHelp(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil, nil, "alice")
	for _, tc := range []struct{ path, body, want string }{
		{"/v1/messages", `{"model":"claude-sonnet-4.6","input":"hi"}`, "/v1/responses"},
		{"/v1/messages", `{"model":"claude-sonnet-4.6","max_tokens":9,"messages":[{"role":"user","content":"a"},{"role":"assistant","content":null,"tool_calls":[{"id":"c"}]}]}`, "/v1/chat/completions"},
		{"/v1/messages", `{"model":"claude-sonnet-4.6","max_tokens":9,"messages":[{"role":"tool","tool_call_id":"c","content":"x"}]}`, "/v1/chat/completions"},
		{"/v1/messages", `{"model":"gpt-4o","max_tokens":9,"messages":[{"role":"user","content":"a"}],"tools":[{"type":"function","function":{"name":"f"}}]}`, "/v1/chat/completions"},
		{"/v1/responses", `{"model":"gpt-5.4","messages":[{"role":"user","content":"a"}]}`, "/v1/chat/completions"},
		{"/v1/responses", `{"model":"gpt-4o","messages":[{"role":"user","content":"a"}],"input":null}`, "/v1/chat/completions"},
	} {
		status, body := w.post(t, tc.path, tc.body)
		if status != 400 || !strings.Contains(body, tc.want) || !strings.Contains(body, "invalid_request_error") {
			t.Errorf("%s %s: %d %s", tc.path, tc.body, status, body)
		}
	}
	if n := len(w.sim.Requests(func(r sim.Request) bool { return r.Plane == sim.PlaneCopilot && r.Method == "POST" })); n != 0 {
		t.Errorf("%d requests went upstream", n)
	}
}
