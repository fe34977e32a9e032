package sim_test

import (
	"fmt"
	"strings"
	"testing"

	"detour/internal/sim"
)

func TestMessagesPlain(t *testing.T) {
	t.Parallel()
	r := start(t, sim.Options{})
	v := r.infer("/v1/messages", `{"model":"claude-sonnet-4.6","max_tokens":100,"system":[{"type":"text","text":"s"}],"messages":[{"role":"user","content":"hello"}]}`).json(t)
	if at(v, "content", 0, "text") != "simulated answer from claude-sonnet-4.6 to: hello" || v["stop_reason"] != "end_turn" || v["type"] != "message" {
		t.Errorf("body = %v", v)
	}
}

const thinkingTurn = `{"model":"claude-sonnet-4.6","stream":%v,"max_tokens":9000,"thinking":{"type":"adaptive"},"tools":[{"name":"Bash","input_schema":{"type":"object"}}],` +
	`"messages":[{"role":"user","content":[{"type":"text","text":"<system-reminder>no</system-reminder>"},{"type":"text","text":"[[sim:text=let me see]][[sim:tool=Bash {\"command\":\"ls\"}]]"}]}]}`

func TestMessagesStream(t *testing.T) {
	t.Parallel()
	r := start(t, sim.Options{Scenario: &sim.Scenario{Messages: sim.Messages{TrailingDone: true}}})
	all := events(t, r.infer("/v1/messages", fmt.Sprintf(thinkingTurn, true)).body)
	var order []string
	parts := map[string]string{}
	for _, e := range all {
		if e.data == "[DONE]" {
			order = append(order, "DONE")
			continue
		}
		v := got{body: e.data}.json(t)
		if v["type"] != e.name {
			t.Errorf("event %s has type %v", e.name, v["type"])
		}
		name := e.name
		if e.name == "content_block_delta" {
			name, _ = at(v, "delta", "type").(string)
			for _, m := range []string{"text", "thinking", "partial_json", "signature"} {
				s, _ := at(v, "delta", m).(string)
				parts[m] += s
			}
		}
		if len(order) == 0 || order[len(order)-1] != name {
			order = append(order, name)
		}
	}
	want := "message_start content_block_start ping thinking_delta signature_delta content_block_stop content_block_start text_delta content_block_stop content_block_start input_json_delta content_block_stop message_delta message_stop DONE"
	if got := strings.Join(order, " "); got != want {
		t.Errorf("order = %s\nwant    %s", got, want)
	}
	if parts["text"] != "let me see" || parts["partial_json"] != `{"command":"ls"}` || parts["thinking"] == "" || parts["signature"] == "" {
		t.Errorf("parts = %v", parts)
	}
}

func TestMessagesUsageBucketsAreDisjoint(t *testing.T) {
	t.Parallel()
	r := start(t, sim.Options{})
	body := `{"model":"claude-haiku-4.5","max_tokens":100,"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"},{"role":"user","content":"c"}]}`
	u := at(r.infer("/v1/messages", body).json(t), "usage")
	count := r.infer("/v1/messages/count_tokens", body).json(t)["input_tokens"].(float64)
	if read := at(u, "cache_read_input_tokens").(float64); read == 0 || at(u, "input_tokens").(float64)+read != count {
		t.Errorf("usage = %v, counted %v", u, count)
	}
}

func TestMessagesSignatures(t *testing.T) {
	t.Parallel()
	r := start(t, sim.Options{})
	v := r.infer("/v1/messages", fmt.Sprintf(thinkingTurn, false)).json(t)
	sig, _ := at(v, "content", 0, "signature").(string)
	call, _ := at(v, "content", 2, "id").(string)
	next := func(sig string) string {
		return `{"model":"claude-sonnet-4.6","max_tokens":9,"messages":[{"role":"user","content":"x"},{"role":"assistant","content":[{"type":"thinking","thinking":"","signature":"` + sig +
			`"},{"type":"tool_use","id":"` + call + `","name":"Bash","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"` + call + `","content":"ok"}]}]}`
	}
	if g := r.infer("/v1/messages", next(sig)); g.status != 200 || !strings.Contains(g.body, "tool Bash") && !strings.Contains(g.body, "simulated answer") {
		t.Errorf("own signature: %d %s", g.status, g.body)
	}
	if g := r.infer("/v1/messages", next(sig+"x")); g.status != 400 || !strings.Contains(g.body, "messages.1.content.0: Invalid `signature` in `thinking` block") {
		t.Errorf("changed signature: %d %s", g.status, g.body)
	}
}

func TestMessagesRefusals(t *testing.T) {
	t.Parallel()
	r := start(t, sim.Options{Scenario: &sim.Scenario{Messages: sim.Messages{RejectBetas: true, RejectTTL: true}}})
	user := `"messages":[{"role":"user","content":"x"}]`
	for _, tc := range []struct{ name, more, want string }{
		{"no max_tokens", user, "max_tokens: Field required"},
		{"no messages", `"max_tokens":9`, "at least one message"},
		{"unknown member", `"max_tokens":9,"service_tier":"auto",` + user, "service_tier: Extra inputs are not permitted"},
		{"context management without its beta", `"max_tokens":9,"context_management":{},` + user, "context_management: Extra inputs are not permitted"},
		{"eager streaming", `"max_tokens":9,"tools":[{"name":"a","eager_input_streaming":true}],` + user, "tools.0.custom.eager_input_streaming: Extra inputs are not permitted"},
		{"cache scope", `"max_tokens":9,"system":[{"type":"text","text":"x","cache_control":{"type":"ephemeral","scope":"global"}}],` + user, "system.0.cache_control.scope: Extra inputs are not permitted"},
		{"cache ttl", `"max_tokens":9,"messages":[{"role":"user","content":[{"type":"text","text":"x","cache_control":{"type":"ephemeral","ttl":"1h"}}]}]`, "messages.0.content.0.cache_control.ttl: Extra inputs"},
		{"server tool", `"max_tokens":9,"tools":[{"type":"web_search_20250305","name":"web_search"}],` + user, "is not supported"},
		{"breakpoints", `"max_tokens":9,"system":[` + strings.TrimSuffix(strings.Repeat(`{"type":"text","text":"x","cache_control":{"type":"ephemeral"}},`, 5), ",") + `],` + user, "maximum of 4 blocks"},
		{"sampling", `"max_tokens":9,"temperature":1,"top_p":1,` + user, "cannot both be specified"},
		{"empty text", `"max_tokens":9,"messages":[{"role":"user","content":[{"type":"text","text":""}]}]`, "text content blocks must be non-empty"},
		{"small budget", `"max_tokens":9,"thinking":{"type":"enabled","budget_tokens":10},` + user, "greater than or equal to 1024"},
		{"big budget", `"max_tokens":2000,"thinking":{"type":"enabled","budget_tokens":2000},` + user, "must be greater than"},
		{"orphan result", `"max_tokens":9,"messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"toolu_1","content":"x"}]}]`, "messages.0.content.0: unexpected `tool_use_id` found in `tool_result` blocks: toolu_1. Each"},
		{"orphan call", `"max_tokens":9,"messages":[{"role":"assistant","content":[{"type":"tool_use","id":"toolu_2","name":"a","input":{}}]},{"role":"user","content":"x"}]`, "messages.0: `tool_use` ids were found without `tool_result` blocks immediately after: toolu_2. Each"},
	} {
		g := r.infer("/v1/messages", `{"model":"claude-sonnet-4.6",`+tc.more+`}`)
		if v := g.json(t); g.status != 400 || !strings.Contains(at(v, "error", "message").(string), tc.want) {
			t.Errorf("%s: %d %s, want %s", tc.name, g.status, g.body, tc.want)
		}
	}
	for _, tc := range []struct{ name, model, more, want string }{
		{"instructions in mid-conversation", "claude-sonnet-4.6", `"max_tokens":9,"messages":[{"role":"user","content":"x"},{"role":"system","content":"s"}]`, "messages.1: use the top-level 'system'"},
		{"instructions behind the model", "claude-opus-4.8", `"max_tokens":9,"messages":[{"role":"user","content":"x"},{"role":"assistant","content":"y"},{"role":"system","content":"s"},{"role":"user","content":"z"}]`, "messages.2: use the top-level 'system'"},
		{"member of a message", "claude-opus-4.8", `"max_tokens":9,"messages":[{"role":"user","content":"x"},{"role":"system","content":"s","output_config":{}}]`, "messages.1.output_config: Extra inputs"},
		{"unknown block", "claude-opus-4.8", `"max_tokens":9,"messages":[{"role":"user","content":[{"type":"tool_addition"}]}]`, "messages.0.content.0: Input tag 'tool_addition'"},
		{"white space", "claude-opus-4.8", `"max_tokens":9,"messages":[{"role":"user","content":[{"type":"text","text":" "}]}]`, "non-whitespace"},
		{"no content", "claude-opus-4.8", `"max_tokens":9,"messages":[{"role":"user","content":[]}]`, "must not be empty"},
		{"metadata", "claude-opus-4.8", `"max_tokens":9,"metadata":{"team":"x"},` + user, "metadata.team: Extra inputs"},
		{"deferred tool", "claude-opus-4.8", `"max_tokens":9,"tools":[{"name":"a","defer_loading":true}],` + user, "tools.0.custom.defer_loading: Extra inputs"},
		{"too many tokens", "claude-sonnet-4.6", `"max_tokens":99999,` + user, "max_tokens: 99999 > 32000"},
		{"effort", "claude-sonnet-4.5", `"max_tokens":9,"output_config":{"effort":"high"},` + user, "does not support the effort parameter"},
		{"level of effort", "claude-sonnet-4.6", `"max_tokens":9,"output_config":{"effort":"max"},` + user, "output_config.effort: Input should be"},
		{"adaptive thinking", "claude-sonnet-4.5", `"max_tokens":9,"thinking":{"type":"adaptive"},` + user, "adaptive thinking is not supported"},
		{"thinking to come", "claude-opus-4.8", `"max_tokens":9,"thinking":{"type":"between_tools"},` + user, "Input tag 'between_tools'"},
		{"form of thoughts", "claude-opus-4.8", `"max_tokens":9,"thinking":{"type":"adaptive","display":"updates"},` + user, "thinking.adaptive.display"},
		{"forced tool", "claude-opus-4.8", `"max_tokens":9,"thinking":{"type":"adaptive"},"tools":[{"name":"a"}],"tool_choice":{"type":"any"},` + user, "tool_choice forces tool use"},
		{"prefill", "claude-opus-4.8", `"max_tokens":9,"messages":[{"role":"user","content":"x"},{"role":"assistant","content":"y"}]`, "does not support assistant message prefill"},
		{"budget after calls", "claude-sonnet-4.5", `"max_tokens":9000,"thinking":{"type":"enabled","budget_tokens":2000},"messages":[{"role":"user","content":"x"},{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"a","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"t"}]}]`, "but found `tool_use`"},
	} {
		if g := r.infer("/v1/messages", `{"model":"`+tc.model+`",`+tc.more+`}`); g.status != 400 || !strings.Contains(g.body, tc.want) {
			t.Errorf("%s: %d %s, want %s", tc.name, g.status, g.body, tc.want)
		}
	}
	cleared := `{"model":"claude-opus-4.8","max_tokens":9,"context_management":{"edits":[{"type":"clear_thinking_20251015"}]},` + user + `}`
	if g := r.infer("/v1/messages", cleared, "Anthropic-Beta", "context-management-2025-06-27"); g.status != 400 || !strings.Contains(g.body, "requires `thinking`") {
		t.Errorf("thoughts to clear: %d %s", g.status, g.body)
	}
	body := `{"model":"claude-sonnet-4.6","max_tokens":9,"context_management":{},` + user + `}`
	if g := r.infer("/v1/messages", body, "Anthropic-Beta", "context-management-2025-06-27"); g.status != 200 {
		t.Errorf("with its beta: %d %s", g.status, g.body)
	}
	if g := r.infer("/v1/messages", body, "Anthropic-Beta", "context-management-2025-06-27, claude-code-20250219"); g.status != 400 || !strings.Contains(g.body, "claude-code-20250219") {
		t.Errorf("unknown beta: %d %s", g.status, g.body)
	}
	if g := r.infer("/v1/messages", `{"model":"gpt-4.1","max_tokens":9,`+user+`}`); g.status != 400 || !strings.Contains(g.body, "unsupported_api_for_model") {
		t.Errorf("other model: %d %s", g.status, g.body)
	}
}

func TestMessagesErrorShapes(t *testing.T) {
	t.Parallel()
	r := start(t, sim.Options{})
	for shape, want := range map[int]string{
		1: `{"error":{"message":"max_tokens: Field required","type":"invalid_request_error"},"request_id":"req_vrtx_`,
		2: `{"error":{"message":"max_tokens: Field required","code":"invalid_request_body"}}`,
		3: `{"message":"max_tokens: Field required"}`,
		4: `max_tokens: Field required`,
	} {
		r.Update(func(sc *sim.Scenario) { sc.Messages.ErrorShape = shape })
		if g := r.infer("/v1/messages", `{"model":"claude-sonnet-4.6","messages":[]}`); g.status != 400 || !strings.HasPrefix(g.body, want) {
			t.Errorf("shape %d: %d %s, want %s", shape, g.status, g.body, want)
		}
	}
}

func TestMessagesSwitches(t *testing.T) {
	t.Parallel()
	r := start(t, sim.Options{Scenario: &sim.Scenario{Messages: sim.Messages{
		Lenient: true, AdaptiveOnly: true, NoPing: true, NoEventLines: true, StopReason: "refusal", CountTokensOff: true,
	}}})
	body := `{"model":"claude-sonnet-4.6","stream":true,"max_tokens":9,"speed":"fast","messages":[{"role":"user","content":"x"}]}`
	g := r.infer("/v1/messages", body)
	if g.status != 200 || strings.Contains(g.body, "ping") || strings.Contains(g.body, "event:") || !strings.Contains(g.body, `"stop_reason":"refusal"`) {
		t.Errorf("%d %s", g.status, g.body)
	}
	if g := r.infer("/v1/messages", strings.Replace(body, `"speed":"fast"`, `"thinking":{"type":"enabled","budget_tokens":1024}`, 1)); g.status != 400 || !strings.Contains(g.body, "thinking.type.adaptive") {
		t.Errorf("adaptive only: %d %s", g.status, g.body)
	}
	if g := r.infer("/v1/messages/count_tokens", body); g.status != 404 {
		t.Errorf("count_tokens: %d", g.status)
	}
}

func TestCountTokensFaults(t *testing.T) {
	t.Parallel()
	r := start(t, sim.Options{Scenario: &sim.Scenario{Faults: []sim.Fault{{On: sim.OpCountTokens, Name: "rate_limited"}}}})
	body := `{"model":"claude-sonnet-4.6","messages":[{"role":"user","content":"x"}]}`
	if g := r.infer("/v1/messages/count_tokens", body); g.status != 429 {
		t.Errorf("first: %d", g.status)
	}
	if g := r.infer("/v1/messages/count_tokens", body); g.status != 200 {
		t.Errorf("second: %d %s", g.status, g.body)
	}
	if n := r.Account("alice").Premium(); n != 0 {
		t.Errorf("counting tokens cost %v", n)
	}
}

func TestWithheldToolArguments(t *testing.T) {
	t.Parallel()
	g := new(sim.Gate)
	r := start(t, sim.Options{Scenario: &sim.Scenario{Messages: sim.Messages{WithholdJSON: g}}})
	done := make(chan got, 1)
	go func() { done <- r.infer("/v1/messages", fmt.Sprintf(thinkingTurn, true)) }()
	if err := g.Arrived(soon(t), 1); err != nil {
		t.Fatal(err)
	}
	g.Open()
	if v := <-done; !strings.Contains(v.body, "message_stop") {
		t.Errorf("body = %s", v.body)
	}
}

func TestEmbeddings(t *testing.T) {
	t.Parallel()
	r := start(t, sim.Options{})
	v := r.infer("/embeddings", `{"model":"text-embedding-3-small","input":["a","b"],"dimensions":8}`).json(t)
	if len(at(v, "data").([]any)) != 2 || len(at(v, "data", 1, "embedding").([]any)) != 8 || at(v, "data", 1, "index") != 1.0 || at(v, "usage", "total_tokens") != 2.0 {
		t.Errorf("body = %v", v)
	}
	for name, body := range map[string]string{
		"string input":   `{"model":"text-embedding-3-small","input":"a"}`,
		"empty input":    `{"model":"text-embedding-3-small","input":[]}`,
		"too many":       `{"model":"text-embedding-3-small","input":[` + strings.TrimSuffix(strings.Repeat(`"a",`, 257), ",") + `]}`,
		"chat model":     `{"model":"gpt-4.1","input":["a"]}`,
		"unknown model":  `{"model":"nothing","input":["a"]}`,
		"malformed body": `[`,
	} {
		if g := r.infer("/embeddings", body); g.status != 400 {
			t.Errorf("%s: %d %s", name, g.status, g.body)
		}
	}
	if r.Account("alice").Premium() != 0 {
		t.Error("embeddings are not premium requests")
	}
}

func TestTokenBilledSeatsReportCost(t *testing.T) {
	t.Parallel()
	r := start(t, sim.Options{})
	dave := []string{"Authorization", "Bearer " + r.token("dave")}
	for path, body := range map[string]string{
		"/chat/completions": `{"model":"claude-sonnet-4.6","stream":%v,"messages":[{"role":"user","content":"x"}]}`,
		"/responses":        `{"model":"gpt-5.4","stream":%v,"input":"x"}`,
		"/v1/messages":      `{"model":"claude-sonnet-4.6","stream":%v,"max_tokens":9,"messages":[{"role":"user","content":"x"}]}`,
	} {
		for _, stream := range []bool{false, true} {
			g := r.send("POST", r.EnterpriseURL()+path, fmt.Sprintf(body, stream), dave...)
			if g.status != 200 || !strings.Contains(g.body, `"copilot_usage":{"token_details":`) {
				t.Errorf("%s stream %v: %d %s", path, stream, g.status, g.body)
			}
		}
	}
}
