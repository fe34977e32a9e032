package sim_test

import (
	"fmt"
	"strings"
	"testing"

	"detour/internal/sim"
)

func TestChatPlain(t *testing.T) {
	t.Parallel()
	r := start(t, sim.Options{Seed: 7})
	g := r.infer("/chat/completions", chatHello)
	v := g.json(t)
	if got, want := at(v, "choices", 0, "message", "content"), "simulated answer from gpt-4.1 to: hello there"; got != want {
		t.Errorf("content = %q, want %q", got, want)
	}
	if at(v, "object") != nil {
		t.Error("object must be missing, as Copilot leaves it out")
	}
	if at(v, "usage", "completion_tokens") != 7.0 || at(v, "choices", 0, "finish_reason") != "stop" {
		t.Errorf("body = %s", g.body)
	}
	if at(v, "choices", 0, "content_filter_results") == nil || at(v, "prompt_filter_results") == nil {
		t.Error("filter results are missing")
	}
}

// chatText joins the content deltas of a stream.
func chatText(t *testing.T, body string) string {
	t.Helper()
	text := ""
	for _, v := range decoded(t, body) {
		s, _ := at(v, "choices", 0, "delta", "content").(string)
		text += s
	}
	return text
}

func TestChatStream(t *testing.T) {
	t.Parallel()
	r := start(t, sim.Options{})
	g := r.infer("/chat/completions", `{"model":"gpt-4.1","stream":true,"messages":[{"role":"user","content":[{"type":"text","text":"grüße, \"welt\""}]}]}`)
	if ct := g.header.Get("Content-Type"); ct != "text/event-stream" {
		t.Errorf("content type %q", ct)
	}
	if got, want := chatText(t, g.body), `simulated answer from gpt-4.1 to: grüße, "welt"`; got != want {
		t.Errorf("text = %q, want %q", got, want)
	}
	all := decoded(t, g.body)
	first, last, usage := all[0], all[len(all)-3], all[len(all)-2]
	if at(first, "id") != "" || at(first, "prompt_filter_results") == nil || len(at(first, "choices").([]any)) != 0 {
		t.Errorf("filter chunk = %v", first)
	}
	if at(last, "choices", 0, "finish_reason") != "stop" {
		t.Errorf("last chunk = %v", last)
	}
	if at(usage, "usage", "total_tokens") == nil || len(at(usage, "choices").([]any)) != 0 {
		t.Errorf("usage chunk = %v", usage)
	}
	if all[len(all)-1] != nil {
		t.Error("no [DONE]")
	}
	if strings.Contains(g.body, `"object"`) {
		t.Error("object must be missing")
	}
}

func TestChatSwitches(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name     string
		chat     sim.Chat
		with     string
		without  string
		streamed bool
	}{
		{"no filter chunk", sim.Chat{NoFilterChunk: true}, `"choices"`, `prompt_filter_results`, true},
		{"no filter results", sim.Chat{NoFilterResults: true, NoFilterChunk: true}, `"choices"`, `content_filter_results`, true},
		{"with object", sim.Chat{WithObject: true}, `"object":"chat.completion.chunk"`, "\x00", true},
		{"with object, plain", sim.Chat{WithObject: true}, `"object":"chat.completion"`, "\x00", false},
		{"no usage", sim.Chat{NoUsage: true}, `"choices"`, `"usage"`, true},
		{"no usage, plain", sim.Chat{NoUsage: true}, `"choices"`, `"usage"`, false},
		{"no done", sim.Chat{NoDone: true}, `"finish_reason":"stop"`, `[DONE]`, true},
		{"comments", sim.Chat{Comments: true}, ": a comment\n\ndata: \n\n", "\x00", true},
		{"null choices", sim.Chat{NullChoices: true}, `"choices":null`, "\x00", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := start(t, sim.Options{Scenario: &sim.Scenario{Chat: tc.chat}})
			g := r.infer("/chat/completions", fmt.Sprintf(`{"model":"gpt-4.1","stream":%v,"messages":[{"role":"user","content":"x"}]}`, tc.streamed))
			if !strings.Contains(g.body, tc.with) || strings.Contains(g.body, tc.without) {
				t.Errorf("want %q and not %q in %s", tc.with, tc.without, g.body)
			}
		})
	}
}

const weather = `"tools":[{"type":"function","function":{"name":"weather","parameters":{"type":"object"}}}]`

func TestChatToolCallsOfOpenAIModels(t *testing.T) {
	t.Parallel()
	r := start(t, sim.Options{})
	body := `{"model":"gpt-4.1","stream":%v,` + weather + `,"messages":[{"role":"user","content":"[[sim:text=two calls]][[sim:tool=weather {\"city\":\"[[Köln]]\"}]][[sim:tool=weather {\"n\":2}]]"}]}`
	v := r.infer("/chat/completions", fmt.Sprintf(body, false)).json(t)
	if got := at(v, "choices", 0, "message", "tool_calls", 0, "function", "arguments"); got != `{"city":"[[Köln]]"}` {
		t.Errorf("arguments = %v", got)
	}
	if len(at(v, "choices").([]any)) != 1 || at(v, "choices", 0, "finish_reason") != "tool_calls" {
		t.Errorf("body = %v", v)
	}
	args := map[float64]string{}
	for _, e := range decoded(t, r.infer("/chat/completions", fmt.Sprintf(body, true)).body) {
		if call := at(e, "choices", 0, "delta", "tool_calls", 0); call != nil {
			s, _ := at(call, "function", "arguments").(string)
			args[at(call, "index").(float64)] += s
		}
	}
	if args[0] != `{"city":"[[Köln]]"}` || args[1] != `{"n":2}` {
		t.Errorf("streamed arguments = %v", args)
	}
}

func TestChatDeviationsOfClaude(t *testing.T) {
	t.Parallel()
	r := start(t, sim.Options{})
	body := `{"model":"claude-sonnet-4.6","stream":%v,"thinking_budget":2000,` + weather + `,"messages":[{"role":"user","content":"[[sim:text=I will look now]][[sim:tool=weather {\"city\":\"Paris, France\"}]]"}]}`

	v := r.infer("/chat/completions", fmt.Sprintf(body, false)).json(t)
	if at(v, "choices", 0, "message", "content") != "I will look now" || at(v, "choices", 0, "message", "tool_calls") != nil {
		t.Errorf("first choice = %v", at(v, "choices", 0))
	}
	if at(v, "choices", 1, "message", "tool_calls", 0, "function", "name") != "weather" {
		t.Errorf("second choice = %v", at(v, "choices", 1))
	}
	if at(v, "choices", 0, "message", "reasoning_text") == nil || at(v, "choices", 0, "message", "reasoning_opaque") == nil {
		t.Error("reasoning is missing")
	}

	order := ""
	all := decoded(t, r.infer("/chat/completions", fmt.Sprintf(body, true)).body)
	for _, e := range all {
		d := at(e, "choices", 0, "delta")
		switch {
		case at(d, "reasoning_text") != nil:
			order += "r"
		case at(d, "reasoning_opaque") != nil:
			order += "o"
		case at(d, "tool_calls") != nil:
			order += "c"
			if at(d, "tool_calls", 0, "type") != "function" || at(d, "content") != nil {
				t.Errorf("tool delta = %v", d)
			}
		case at(d, "content") != nil:
			order += "t"
		}
	}
	if !strings.HasPrefix(strings.TrimLeft(order, "r"), "otctc") {
		t.Errorf("order of deltas = %s, want reasoning, opaque, then text and calls interleaved", order)
	}
	if last := all[len(all)-2]; at(last, "usage") == nil || at(last, "choices", 0, "finish_reason") != "tool_calls" {
		t.Errorf("last chunk = %v, want usage together with the finish reason", last)
	}
}

func TestChatReasoningReplay(t *testing.T) {
	t.Parallel()
	r := start(t, sim.Options{})
	v := r.infer("/chat/completions", `{"model":"claude-sonnet-4.6","reasoning_effort":"high","messages":[{"role":"user","content":"x"}]}`).json(t)
	opaque, _ := at(v, "choices", 0, "message", "reasoning_opaque").(string)
	body := func(o string) string {
		return `{"model":"claude-sonnet-4.6","messages":[{"role":"user","content":"x"},{"role":"assistant","content":"y","reasoning_opaque":"` + o + `"},{"role":"user","content":"z"}]}`
	}
	if g := r.infer("/chat/completions", body(opaque)); g.status != 200 {
		t.Errorf("own reasoning: %d %s", g.status, g.body)
	}
	if g := r.infer("/chat/completions", body(opaque+"x")); g.status != 400 {
		t.Errorf("changed reasoning: %d %s", g.status, g.body)
	}
	other := r.send("POST", r.CopilotURL()+"/chat/completions", body(opaque), "Authorization", "Bearer "+r.token("ivan"))
	if other.status != 400 {
		t.Errorf("reasoning of another account: %d %s", other.status, other.body)
	}
}

func TestChatGeminiCountsReasoningOutside(t *testing.T) {
	t.Parallel()
	r := start(t, sim.Options{})
	v := r.infer("/chat/completions", `{"model":"gemini-3.5-flash","reasoning_effort":"low","messages":[{"role":"user","content":"x"}]}`).json(t)
	u := at(v, "usage")
	outside := at(u, "reasoning_tokens").(float64)
	if outside == 0 || at(u, "prompt_tokens").(float64)+at(u, "completion_tokens").(float64)+outside != at(u, "total_tokens") {
		t.Errorf("usage = %v", u)
	}
}

func TestChatRefusals(t *testing.T) {
	t.Parallel()
	r := start(t, sim.Options{})
	tools := strings.Repeat(`{"type":"function","function":{"name":"a"}},`, 129)
	for _, tc := range []struct{ name, body, want string }{
		{"malformed", `{"model":`, "bad request: "},
		{"no messages", `{"model":"gpt-4.1"}`, "invalid_request_body"},
		{"unknown model", `{"model":"gpt-nothing","messages":[{"role":"user","content":"x"}]}`, "model_not_supported"},
		{"disabled model", `{"model":"claude-opus-4.1","messages":[{"role":"user","content":"x"}]}`, "model_not_supported"},
		{"unconfigured model", `{"model":"gemini-3.1-pro-preview","messages":[{"role":"user","content":"x"}]}`, "model_not_supported"},
		{"responses only", `{"model":"gpt-5.4","messages":[{"role":"user","content":"x"}]}`, `model \"gpt-5.4\" is not accessible via the /chat/completions endpoint`},
		{"prompt too long", `{"model":"gpt-4o","messages":[{"role":"user","content":"` + strings.Repeat("long ", 60000) + `"}]}`, "model_max_prompt_tokens_exceeded"},
		{"image without header", `{"model":"gpt-4o","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,AA=="}}]}]}`, "Copilot-Vision-Request"},
		{"max_tokens", `{"model":"gpt-5-mini","max_tokens":5,"messages":[{"role":"user","content":"x"}]}`, "Use 'max_completion_tokens' instead"},
		{"no max_tokens", `{"model":"grok-4.5","messages":[{"role":"user","content":"x"}]}`, "max_tokens is required"},
		{"too many tools", `{"model":"gpt-4.1","messages":[{"role":"user","content":"x"}],"tools":[` + strings.TrimSuffix(tools, ",") + `]}`, "129 exceeds the limit of 128"},
		{"tool type", `{"model":"gpt-4.1","messages":[{"role":"user","content":"x"}],"tools":[{"type":"web_search"}]}`, "only function"},
		{"tool name", `{"model":"gpt-4.1","messages":[{"role":"user","content":"x"}],"tools":[{"type":"function","function":{"name":"a b"}}]}`, "does not match"},
		{"tool content", `{"model":"gpt-4.1","messages":[{"role":"tool","tool_call_id":"1","content":[{"type":"input_text","text":"x"}]}]}`, "type has to be either 'image_url' or 'text'"},
		{"n", `{"model":"gpt-4.1","n":9,"messages":[{"role":"user","content":"x"}]}`, "n must be"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			g := r.infer("/chat/completions", tc.body)
			if g.status != 400 || !strings.Contains(g.body, tc.want) {
				t.Errorf("got %d %s, want 400 %s", g.status, g.body, tc.want)
			}
			if ct := g.header.Get("Content-Type"); !strings.HasPrefix(ct, "text/plain") {
				t.Errorf("content type %q, errors are sent as text", ct)
			}
			if g.header.Get("X-Quota-Snapshot-Chat") != "" {
				t.Error("errors carry no quota")
			}
		})
	}
}

func TestChatNAndMaxTokens(t *testing.T) {
	t.Parallel()
	r := start(t, sim.Options{})
	v := r.infer("/chat/completions", `{"model":"gpt-4.1","n":2,"max_tokens":2,"messages":[{"role":"user","content":"x"}]}`).json(t)
	if len(at(v, "choices").([]any)) != 2 || at(v, "choices", 1, "message", "content") != "simulated answer " || at(v, "choices", 0, "finish_reason") != "length" {
		t.Errorf("body = %v", v)
	}
	v = r.infer("/chat/completions", `{"model":"claude-haiku-4.5","n":2,"messages":[{"role":"user","content":"x"}]}`).json(t)
	if len(at(v, "choices").([]any)) != 1 {
		t.Error("Claude models ignore n")
	}
}

func TestChatAgentTurns(t *testing.T) {
	t.Parallel()
	r := start(t, sim.Options{Scenario: &sim.Scenario{Brain: sim.ShellBrain("echo hi")}})
	shell := `"tools":[{"type":"function","function":{"name":"Bash","parameters":{"type":"object","properties":{"command":{"type":"string"},"description":{"type":"string"}},"required":["command","description"]}}}]`
	v := r.infer("/chat/completions", `{"model":"gpt-4.1",`+shell+`,"messages":[{"role":"user","content":"go"}]}`).json(t)
	call := at(v, "choices", 0, "message", "tool_calls", 0)
	if at(call, "function", "arguments") != `{"command":"echo hi","description":"run a command"}` {
		t.Fatalf("call = %v", call)
	}
	v = r.infer("/chat/completions", `{"model":"gpt-4.1",`+shell+`,"messages":[{"role":"user","content":"go"},{"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"Bash","arguments":"{}"}}]},{"role":"tool","tool_call_id":"c1","content":"hi\n"}]}`).json(t)
	if got := at(v, "choices", 0, "message", "content"); got != "simulated answer from gpt-4.1 to: go (tool Bash said: hi)" {
		t.Errorf("final text = %q", got)
	}
}
