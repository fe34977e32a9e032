package sim_test

import (
	"fmt"
	"strings"
	"testing"

	"detour/internal/sim"
)

func TestResponsesPlain(t *testing.T) {
	t.Parallel()
	r := start(t, sim.Options{})
	v := r.infer("/responses", `{"model":"gpt-5.4","store":false,"input":"hello"}`).json(t)
	if got := at(v, "output", 0, "content", 0, "text"); got != "simulated answer from gpt-5.4 to: hello" {
		t.Errorf("text = %v", got)
	}
	if v["status"] != "completed" || v["object"] != "response" || at(v, "usage", "total_tokens") == nil {
		t.Errorf("body = %v", v)
	}
}

const reasoningTurn = `{"model":"gpt-5.4","stream":%v,"include":["reasoning.encrypted_content"],"reasoning":{"effort":"low","summary":"auto"},` +
	`"tools":[{"type":"function","name":"shell"},{"type":"custom","name":"patch"}],"input":[{"type":"message","role":"developer","content":[{"type":"input_text","text":"be brief"}]},` +
	`{"type":"message","role":"user","content":[{"type":"input_text","text":"[[sim:text=let me see]][[sim:tool=shell {\"command\":[\"ls\"]}]][[sim:tool=patch {\"x\":1}]]"}]}]}`

func TestResponsesStream(t *testing.T) {
	t.Parallel()
	r := start(t, sim.Options{})
	all := events(t, r.infer("/responses", fmt.Sprintf(reasoningTurn, true)).body)
	var kinds []string
	seen := map[string]bool{}
	text, arguments, input := "", "", ""
	var done, final []any
	for i, e := range all {
		v := got{body: e.data}.json(t)
		if v["type"] != e.name || v["sequence_number"] != float64(i) {
			t.Errorf("event %d is %s %v %v", i, e.name, v["type"], v["sequence_number"])
		}
		kinds = append(kinds, strings.TrimPrefix(e.name, "response."))
		for _, id := range []any{v["item_id"], at(v, "item", "id")} {
			if s, ok := id.(string); ok {
				if seen[s] || len(s) != 400 {
					t.Errorf("id of event %d: %d characters, seen before: %v", i, len(s), seen[s])
				}
				seen[s] = true
			}
		}
		delta, _ := v["delta"].(string)
		switch e.name {
		case "response.output_text.delta":
			text += delta
			if v["obfuscation"] == nil {
				t.Error("no obfuscation")
			}
		case "response.function_call_arguments.delta":
			arguments += delta
		case "response.custom_tool_call_input.delta":
			input += delta
		case "response.output_item.done":
			done = append(done, v["item"])
		case "response.completed":
			final, _ = at(v, "response", "output").([]any)
		}
	}
	if text != "let me see" || arguments != `{"command":["ls"]}` || input != `{"x":1}` {
		t.Errorf("text %q, arguments %q, input %q", text, arguments, input)
	}
	if len(done) != 4 || len(final) != 4 {
		t.Fatalf("%d items done, %d in the end", len(done), len(final))
	}
	for i := range done {
		if at(done[i], "id") == at(final[i], "id") {
			t.Errorf("item %d has the same id at the end", i)
		}
	}
	if at(done[0], "type") != "reasoning" || at(done[0], "encrypted_content") == nil || at(done[0], "encrypted_content") != at(final[0], "encrypted_content") {
		t.Errorf("reasoning = %v", done[0])
	}
	if at(done[3], "type") != "custom_tool_call" || at(done[3], "input") != `{"x":1}` {
		t.Errorf("custom call = %v", done[3])
	}
	want := "created in_progress output_item.added reasoning_summary_part.added reasoning_summary_text.delta"
	if got := strings.Join(kinds[:5], " "); got != want {
		t.Errorf("kinds = %s, want %s", got, want)
	}
}

func TestResponsesReasoningReplay(t *testing.T) {
	t.Parallel()
	r := start(t, sim.Options{})
	v := r.infer("/responses", fmt.Sprintf(reasoningTurn, false)).json(t)
	id, _ := at(v, "output", 0, "id").(string)
	secret, _ := at(v, "output", 0, "encrypted_content").(string)
	replay := func(id, secret string) string {
		return `{"model":"gpt-5.4","input":[{"type":"message","role":"user","content":"x"},{"type":"reasoning","id":"` + id + `","summary":[],"encrypted_content":"` + secret + `"},{"type":"message","role":"user","content":"y"}]}`
	}
	if g := r.infer("/responses", replay(id, secret)); g.status != 200 {
		t.Errorf("own pair: %d %s", g.status, g.body)
	}
	if g := r.infer("/responses", replay("", secret)); g.status != 200 {
		t.Errorf("without id: %d %s", g.status, g.body)
	}
	for name, g := range map[string]got{
		"other id":       r.infer("/responses", replay("rs_1", secret)),
		"changed secret": r.infer("/responses", replay(id, secret+"x")),
		"no secret":      r.infer("/responses", replay(id, "gAAAAxyz")),
		"other account":  r.send("POST", r.CopilotURL()+"/responses", replay(id, secret), "Authorization", "Bearer "+r.token("ivan")),
	} {
		if g.status != 400 || !strings.Contains(g.body, "The encrypted content gAAA... could not be verified. Reason: ") || !strings.Contains(g.body, `"invalid_request_body"`) {
			t.Errorf("%s: %d %s", name, g.status, g.body)
		}
	}
	r.Update(func(sc *sim.Scenario) { sc.Responses.RequireReasoningID = true })
	if g := r.infer("/responses", replay("", secret)); g.status != 400 {
		t.Errorf("without id, ids required: %d %s", g.status, g.body)
	}
	r.Update(func(sc *sim.Scenario) { sc.Responses.NoReplayCheck = true })
	if g := r.infer("/responses", replay("rs_1", "x")); g.status != 200 {
		t.Errorf("without check: %d", g.status)
	}
}

func TestResponsesRefusals(t *testing.T) {
	t.Parallel()
	r := start(t, sim.Options{Scenario: &sim.Scenario{Responses: sim.Responses{RejectCustom: true, RejectFewTokens: true}}})
	for _, tc := range []struct{ name, more, want string }{
		{"store", `"store":true`, `{"error":{"message":"store is not supported","code":"unsupported_value","param":"store"}}`},
		{"service tier", `"service_tier":"auto"`, "service_tier is not supported"},
		{"previous response", `"previous_response_id":"resp_1"`, "previous_response_not_found"},
		{"web search", `"tools":[{"type":"web_search_preview"}]`, "The use of the web search tool is not supported."},
		{"image generation", `"tools":[{"type":"image_generation"}]`, "image generation"},
		{"custom", `"tools":[{"type":"custom","name":"apply_patch"}]`, "Custom tools"},
		{"namespace", `"tools":[{"type":"namespace","name":"n","tools":[{"type":"function","name":"a"}]}]`, "description"},
		{"few tokens", `"max_output_tokens":15`, ">= 16"},
		{"empty input", `"input":[]`, "input must not be empty"},
		{"wrong surface", `"model":"gpt-4.1"`, `model \"gpt-4.1\" is not accessible via the /responses endpoint`},
	} {
		g := r.infer("/responses", `{"model":"gpt-5.4","input":"x",`+tc.more+`}`)
		if g.status != 400 || !strings.Contains(g.body, tc.want) {
			t.Errorf("%s: %d %s, want %s", tc.name, g.status, g.body, tc.want)
		}
	}
	if g := r.infer("/responses", `{"model":"gpt-5.4","input":"x","store":false,"service_tier":null,"previous_response_id":null}`); g.status != 200 {
		t.Errorf("null members: %d %s", g.status, g.body)
	}
}

func TestResponsesSwitches(t *testing.T) {
	t.Parallel()
	r := start(t, sim.Options{Scenario: &sim.Scenario{Responses: sim.Responses{
		StableIDs: true, NoObfuscation: true, AllowWebSearch: true, AllowStore: true, TrailingDone: true, EncryptUnasked: true,
	}}})
	g := r.infer("/responses", `{"model":"gpt-5.4","stream":true,"store":true,"reasoning":{"effort":"high"},"tools":[{"type":"web_search"}],"input":"x"}`)
	if g.status != 200 || strings.Contains(g.body, "obfuscation") || !strings.HasSuffix(g.body, "data: [DONE]\n\n") || !strings.Contains(g.body, "encrypted_content") {
		t.Errorf("%d %s", g.status, g.body)
	}
	ids := map[any]bool{}
	for _, v := range decoded(t, g.body) {
		if v["type"] == "response.output_text.delta" {
			ids[v["item_id"]] = true
		}
	}
	if len(ids) != 1 {
		t.Errorf("%d ids for one item", len(ids))
	}
}

func TestResponsesTerminals(t *testing.T) {
	t.Parallel()
	r := start(t, sim.Options{})
	for _, tc := range []struct{ more, text, event string }{
		{`"max_output_tokens":2,`, "x", "response.incomplete"},
		{``, "[[sim:finish=content_filter]]", "response.incomplete"},
		{``, "[[sim:finish=error]]", "response.failed"},
		{``, "[[sim:fault=error=1:rate_limited]]", "error"},
		{``, "[[sim:fault=eof=1]]", "response.output_text.delta"},
	} {
		all := events(t, r.infer("/responses", `{"model":"gpt-5.4","stream":true,`+tc.more+`"input":"`+tc.text+`"}`).body)
		if last := all[len(all)-1]; last.name != tc.event {
			t.Errorf("%s %s ends with %s, want %s", tc.more, tc.text, last.name, tc.event)
		}
	}
}

func TestResponsesToolRound(t *testing.T) {
	t.Parallel()
	r := start(t, sim.Options{})
	v := r.infer("/responses", `{"model":"gpt-5.4","tools":[{"type":"namespace","name":"n","description":"d","tools":[{"type":"function","name":"shell"}]}],"input":[{"type":"message","role":"user","content":"[[sim:tool=shell]]go"},`+
		`{"type":"function_call","call_id":"c1","name":"shell","arguments":"{}"},{"type":"function_call_output","call_id":"c1","output":"done"}]}`).json(t)
	if got := at(v, "output", 0, "content", 0, "text"); got != "simulated answer from gpt-5.4 to: go (tool shell said: done)" {
		t.Errorf("text = %v", got)
	}
}
