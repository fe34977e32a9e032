package copilot_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"detour/internal/dialect"
	"detour/providers"
)

// Models as the catalogue has them: one that thinks by a budget, one that can do both, one that only thinks by itself,
// and one that it does not know.
func claudes() map[string]providers.Model {
	entry := func(id string, output int, supports string) providers.Model {
		return providers.Model{ID: id, MaxOutput: output, ContextWindow: 200_000, Raw: []byte(`{"id":"` + id + `","capabilities":{"supports":{` + supports + `}}}`)}
	}
	opus := entry("claude-opus-4.8", 64000, `"adaptive_thinking":true,"max_thinking_budget":32000,"reasoning_effort":["low","medium","high"]`)
	opus.ContextWindow = 1_000_000
	return map[string]providers.Model{
		"sonnet-4.5": entry("claude-sonnet-4.5", 32000, `"min_thinking_budget":1024,"max_thinking_budget":32000`),
		"sonnet-4.6": entry("claude-sonnet-4.6", 32000, `"adaptive_thinking":true,"max_thinking_budget":32000,"reasoning_effort":["low","medium","high"]`),
		"opus-4.8":   opus,
		"unknown":    {ID: "claude-next-9"},
	}
}

// adapted is what becomes of a Messages request and its betas on the way to a model.
func adapted(t *testing.T, model, betas, body string) (sent, header string) {
	t.Helper()
	m, ok := claudes()[model]
	if !ok {
		t.Fatalf("no model %s", model)
	}
	w := newWorld(t, worldConfig{})
	c := &providers.Call{Endpoint: dialect.EndpointMessages, Model: m, Body: []byte(body), Header: http.Header{}}
	if betas != "" {
		c.Header.Set("Anthropic-Beta", betas)
	}
	r := build(t, w, c)
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b), r.Header.Get("Anthropic-Beta")
}

func TestClaudeCode(t *testing.T) {
	t.Parallel()
	const keep = "" // the body stays as it is
	type row struct{ model, in, want string }
	const user, model = `{"role":"user","content":"a"}`, `{"role":"assistant","content":"b"}`
	for name, rows := range map[string][]row{
		"the attribution block never goes upstream": {
			{"opus-4.8", `{"system":[{"type":"text","text":"x-anthropic-billing-header: cc_version=1;"},{"type":"text","text":"s"}]}`, `{"system":[{"type":"text","text":"s"}]}`},
			{"unknown", `{"model":"m","system":[{"type":"text","text":"x-anthropic-billing-header: cc_version=1;"}]}`, `{"model":"m"}`},
			{"unknown", `{"system":[{"type":"text","text":"say x-anthropic-billing-header: please"}]}`, keep},
		},
		"instructions in mid-conversation stay where the model takes them": {
			{"opus-4.8", `{"messages":[` + user + `,{"role":"system","content":"s"}]}`, keep},
			{"opus-4.8", `{"messages":[` + user + `,{"role":"system","content":[{"type":"text","text":"s","cache_control":{"type":"ephemeral"}}]},` + model + `,` + user + `]}`, keep},
		},
		"instructions in mid-conversation become marked words of the user everywhere else": {
			{"sonnet-4.6", `{"messages":[` + user + `,{"role":"system","content":"s\"1"}]}`, `{"messages":[` + user + `,{"role":"user","content":"<system-reminder>\ns\"1\n</system-reminder>"}]}`},
			{"sonnet-4.6", `{"messages":[` + user + `,{"role":"system","content":[{"type":"text","text":"s","cache_control":{"type":"ephemeral"}}]}]}`, `{"messages":[` + user + `,{"role":"user","content":[{"type":"text","text":"<system-reminder>\ns\n</system-reminder>","cache_control":{"type":"ephemeral"}}]}]}`},
			{"opus-4.8", `{"messages":[` + user + `,` + model + `,{"role":"system","content":"s"},` + user + `]}`, `{"messages":[` + user + `,` + model + `,{"role":"user","content":"<system-reminder>\ns\n</system-reminder>"},` + user + `]}`},
			{"opus-4.8", `{"messages":[` + user + `,{"role":"system","content":"s"},` + user + `]}`, `{"messages":[` + user + `,{"role":"user","content":"<system-reminder>\ns\n</system-reminder>"},` + user + `]}`},
			{"opus-4.8", `{"messages":[` + user + `,{"role":"system","content":"s"},{"role":"system","content":"t"}]}`, `{"messages":[` + user + `,{"role":"user","content":"<system-reminder>\ns\n</system-reminder>"},{"role":"system","content":"t"}]}`},
			{"opus-4.8", `{"messages":[` + user + `,{"role":"developer","content":"s"}]}`, `{"messages":[` + user + `,{"role":"user","content":"<system-reminder>\ns\n</system-reminder>"}]}`},
		},
		"nothing comes between a call and its result": {
			{"sonnet-4.6", `{"messages":[` + user + `,{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"f","input":{}}]},{"role":"system","content":"s"},{"role":"user","content":[{"type":"tool_result","tool_use_id":"t"},{"type":"text","text":"c"}]}]}`, `{"messages":[` + user + `,{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"f","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"t"},{"type":"text","text":"<system-reminder>\ns\n</system-reminder>"},{"type":"text","text":"c"}]}]}`},
			{"opus-4.8", `{"messages":[` + user + `,{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"f","input":{}}]},{"role":"system","content":[{"type":"text","text":"s","cache_control":{"type":"ephemeral","scope":"x"}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"t"},{"type":"text","text":" "}]}]}`, `{"messages":[` + user + `,{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"f","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"t"},{"type":"text","text":"<system-reminder>\ns\n</system-reminder>","cache_control":{"type":"ephemeral"}}]}]}`},
		},
		"instructions in front of the conversation go into the system prompt": {
			{"opus-4.8", `{"messages":[{"role":"system","content":"s"},` + user + `]}`, `{"system":[{"type":"text","text":"s"}],"messages":[` + user + `]}`},
			{"opus-4.8", `{"system":"r","messages":[{"role":"system","content":"s"},` + user + `]}`, `{"system":[{"type":"text","text":"r"},{"type":"text","text":"s"}],"messages":[` + user + `]}`},
			{"opus-4.8", `{"messages":[{"role":"system","content":"s"}],"system":[{"type":"text","text":"r"}]}`, `{"messages":[{"role":"user","content":"Begin."}],"system":[{"type":"text","text":"r"},{"type":"text","text":"s"}]}`},
		},
		"what a message says for its own turn is brought to what the service knows": {
			{"opus-4.8", `{"output_config":{"effort":"high"},"messages":[` + user + `,{"role":"system","content":"s","output_config":{"effort":"low"}}]}`, `{"output_config":{"effort":"low"},"messages":[` + user + `,{"role":"system","content":"s"}]}`},
			{"opus-4.8", `{"messages":[` + user + `,{"role":"system","content":[],"output_config":{"effort":"low"}}]}`, `{"output_config":{"effort":"low"},"messages":[` + user + `]}`},
			{"sonnet-4.6", `{"messages":[` + user + `,{"role":"system","content":"old","clear_at":"next_user_message"},` + model + `,` + user + `,{"role":"system","content":"new","clear_at":"next_user_message"}]}`, `{"messages":[` + user + `,` + model + `,` + user + `,{"role":"user","content":"<system-reminder>\nnew\n</system-reminder>"}]}`},
		},
		"tools that come and go in mid-conversation are offered from the start": {
			{"opus-4.8", `{"tools":[{"name":"a","defer_loading":true}],"messages":[` + user + `,{"role":"system","content":[{"type":"text","text":"s"},{"type":"tool_addition","tool":{"type":"tool_reference","name":"a"}},{"type":"tool_addition","tool":{"type":"tool_definition","definition":{"name":"b","input_schema":{}}}}]}]}`, `{"tools":[{"name":"a"},{"name":"b","input_schema":{}}],"messages":[` + user + `,{"role":"system","content":[{"type":"text","text":"s"}]}]}`},
		},
		"thinking takes the form that the model knows": {
			{"opus-4.8", `{"max_tokens":9000,"thinking":{"type":"enabled","budget_tokens":8000}}`, `{"output_config":{"effort":"medium"},"max_tokens":9000,"thinking":{"type":"adaptive"}}`},
			{"sonnet-4.6", `{"max_tokens":9000,"thinking":{"type":"enabled","budget_tokens":8000}}`, keep},
			{"sonnet-4.5", `{"max_tokens":32000,"output_config":{"effort":"high"},"thinking":{"type":"adaptive","display":"omitted"}}`, `{"max_tokens":32000,"thinking":{"type":"enabled","budget_tokens":24576,"display":"omitted"}}`},
			{"sonnet-4.5", `{"max_tokens":32000,"thinking":{"type":"between_tools"}}`, `{"max_tokens":32000,"thinking":{"type":"enabled","budget_tokens":8192}}`},
			{"opus-4.8", `{"max_tokens":9000,"thinking":{"type":"adaptive","display":"updates","budget_tokens":5}}`, `{"max_tokens":9000,"thinking":{"type":"adaptive"}}`},
			{"opus-4.8", `{"max_tokens":9000,"output_config":{"effort":"high","format":{"type":"json_schema","schema":{}}},"thinking":{"type":"adaptive","display":"omitted"}}`, keep},
			{"opus-4.8", `{"max_tokens":9000,"thinking":{"type":"adaptive","display":"summarized"}}`, keep},
			{"unknown", `{"max_tokens":128000,"output_config":{"effort":"max"},"thinking":{"type":"between_tools"}}`, keep},
			{"sonnet-4.5", `{"max_tokens":500,"thinking":{"type":"adaptive"}}`, `{"max_tokens":500}`},
		},
		"limits and efforts are brought to what the model has": {
			{"sonnet-4.5", `{"max_tokens":128000}`, `{"max_tokens":32000}`},
			{"sonnet-4.5", `{"max_tokens":128000,"thinking":{"type":"enabled","budget_tokens":63999}}`, `{"max_tokens":32000,"thinking":{"type":"enabled","budget_tokens":30976}}`},
			{"opus-4.8", `{"max_tokens":5,"output_config":{"effort":"xhigh","task_budget":{}}}`, `{"max_tokens":5,"output_config":{"effort":"high"}}`},
			{"sonnet-4.5", `{"output_config":{"effort":"high"},"max_tokens":5}`, `{"max_tokens":5}`},
			{"sonnet-4.5", `{"output_config":{"effort":"high","format":{"type":"json_schema"}}}`, `{"output_config":{"format":{"type":"json_schema"}}}`},
		},
		"a forced tool counts for more than thinking": {
			{"opus-4.8", `{"thinking":{"type":"adaptive"},"tool_choice":{"type":"tool","name":"f"},"tools":[{"name":"f"}]}`, `{"tool_choice":{"type":"tool","name":"f"},"tools":[{"name":"f"}]}`},
			{"sonnet-4.5", `{"tools":[{"name":"f"}],"tool_choice":{"type":"any"},"thinking":{"type":"enabled","budget_tokens":2000}}`, `{"tools":[{"name":"f"}],"tool_choice":{"type":"any"}}`},
			{"sonnet-4.6", `{"tool_choice":{"type":"auto"},"tools":[{"name":"f"}],"thinking":{"type":"adaptive"}}`, keep},
		},
		"a turn that called tools without thinking cannot be gone on from with a budget": {
			{"sonnet-4.5", `{"max_tokens":9000,"thinking":{"type":"enabled","budget_tokens":2000},"messages":[` + user + `,{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"f","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"t"}]}]}`, `{"max_tokens":9000,"messages":[` + user + `,{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"f","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"t"}]}]}`},
			{"opus-4.8", `{"max_tokens":9000,"thinking":{"type":"adaptive"},"messages":[` + user + `,{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"f","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"t"}]}]}`, keep},
		},
		"thinking that nobody signed is not sent back": {
			{"opus-4.8", `{"messages":[` + user + `,{"role":"assistant","content":[{"type":"thinking","thinking":"x","signature":""},{"type":"text","text":"b"}]},{"role":"user","content":"c"}]}`, `{"messages":[` + user + `,{"role":"assistant","content":[{"type":"text","text":"b"}]},{"role":"user","content":"c"}]}`},
			{"opus-4.8", `{"messages":[` + user + `,{"role":"assistant","content":[{"type":"thinking","thinking":"x","signature":"gAAAAABo"}]},{"role":"user","content":"c"}]}`, `{"messages":[` + user + `,{"role":"user","content":"c"}]}`},
			{"opus-4.8", `{"messages":[` + user + `,{"role":"assistant","content":[{"type":"thinking","thinking":"","signature":"Eq"}]},{"role":"user","content":"c"}]}`, keep},
		},
		"thoughts are cleared only where there are some": {
			{"sonnet-4.6", `{"context_management":{"edits":[{"type":"clear_thinking_20251015","keep":"all"}]},"thinking":{"type":"adaptive"}}`, keep},
			{"sonnet-4.6", `{"context_management":{"edits":[{"type":"clear_thinking_20251015"},{"type":"clear_tool_uses_20250919"},{"type":"compact_20260112"}]},"model":"m"}`, `{"context_management":{"edits":[{"type":"clear_tool_uses_20250919"}]},"model":"m"}`},
			{"sonnet-4.6", `{"context_management":{"edits":[{"type":"clear_thinking_20251015"}]},"model":"m"}`, `{"model":"m"}`},
		},
		"words put into the model's mouth": {
			{"sonnet-4.5", `{"messages":[` + user + `,{"role":"assistant","content":"b \n"}]}`, `{"messages":[` + user + `,{"role":"assistant","content":"b"}]}`},
			{"sonnet-4.5", `{"messages":[` + user + `,{"role":"assistant","content":[{"type":"text","text":"{ "}]}]}`, `{"messages":[` + user + `,{"role":"assistant","content":[{"type":"text","text":"{"}]}]}`},
			{"opus-4.8", `{"messages":[` + user + `,` + model + `]}`, `{"messages":[` + user + `,` + model + `,{"role":"user","content":"Please continue."}]}`},
			{"sonnet-4.6", `{"messages":[` + user + `,` + model + `]}`, `{"messages":[` + user + `,` + model + `,{"role":"user","content":"Please continue."}]}`},
			{"opus-4.8", `{"messages":[` + user + `,{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"f","input":{}}]}]}`, keep},
		},
		"messages of nothing but white space go": {
			{"opus-4.8", `{"messages":[` + user + `,{"role":"assistant","content":[{"type":"text","text":"\n"}]},{"role":"user","content":"  "},` + user + `]}`, `{"messages":[` + user + `,` + user + `]}`},
		},
		"sampling parameters that are refused go": {
			{"opus-4.8", `{"temperature":1,"top_k":5,"top_p":0.9,"model":"m"}`, `{"model":"m"}`},
			{"sonnet-4.5", `{"temperature":0.5,"top_p":0.9,"top_k":4}`, `{"temperature":0.5,"top_k":4}`},
			{"sonnet-4.5", `{"max_tokens":9000,"thinking":{"type":"enabled","budget_tokens":2000},"temperature":0.5,"top_p":0.96,"top_k":4}`, `{"max_tokens":9000,"thinking":{"type":"enabled","budget_tokens":2000},"top_p":0.96}`},
			{"sonnet-4.5", `{"max_tokens":9000,"thinking":{"type":"enabled","budget_tokens":2000},"temperature":1}`, keep},
		},
		"metadata holds the user and no more": {
			{"opus-4.8", `{"metadata":{"user_id":"{\"session_id\":\"x\"}"}}`, keep},
			{"opus-4.8", `{"metadata":{"team":"x","user_id":"u"},"model":"m"}`, `{"metadata":{"user_id":"u"},"model":"m"}`},
			{"opus-4.8", `{"metadata":{"user_id":"` + strings.Repeat("x", 300) + `"},"model":"m"}`, `{"model":"m"}`},
		},
		"members that the service does not know go": {
			{"opus-4.8", `{"speed":"fast","container":"x","mcp_servers":[],"inference_geo":"us","fallbacks":[],"model":"m","diagnostics":{},"thread":{},"compaction":{},"service_tier":"auto"}`, `{"model":"m"}`},
			{"opus-4.8", `{"output_format":{"type":"json_schema","schema":{}},"model":"m"}`, `{"output_config":{"format":{"type":"json_schema","schema":{}}},"model":"m"}`},
			{"opus-4.8", `{"output_config":{"effort":"low"},"output_format":{"type":"json_schema","schema":{}}}`, `{"output_config":{"format":{"type":"json_schema","schema":{}},"effort":"low"}}`},
		},
		"tools that only Anthropic executes go": {
			{"opus-4.8", `{"tools":[{"type":"web_search_20250305","name":"web_search"},{"name":"f"}]}`, `{"tools":[{"name":"f"}]}`},
			{"opus-4.8", `{"model":"m","tools":[{"type":"web_search_20250305","name":"web_search"}],"tool_choice":{"type":"auto"}}`, `{"model":"m"}`},
		},
		"tools lose what belongs to betas that do not go upstream": {
			{"opus-4.8", `{"tools":[{"name":"f","defer_loading":true,"eager_input_streaming":true,"input_examples":[],"allowed_callers":["x"]}]}`, `{"tools":[{"name":"f"}]}`},
		},
		"more cache breakpoints than are allowed lose the oldest": {
			{"opus-4.8", `{"system":[{"type":"text","text":"s","cache_control":{"type":"ephemeral"}}],"messages":[{"role":"user","content":[{"type":"text","text":"a","cache_control":{"type":"ephemeral"}},{"type":"text","text":"b","cache_control":{"type":"ephemeral"}},{"type":"text","text":"c","cache_control":{"type":"ephemeral"}},{"type":"text","text":"d","cache_control":{"type":"ephemeral"}}]}]}`, `{"system":[{"type":"text","text":"s","cache_control":{"type":"ephemeral"}}],"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b","cache_control":{"type":"ephemeral"}},{"type":"text","text":"c","cache_control":{"type":"ephemeral"}},{"type":"text","text":"d","cache_control":{"type":"ephemeral"}}]}]}`},
		},
		"what nothing is wrong with keeps its bytes": {
			{"opus-4.8", ` { "model" : "m" ,"max_tokens": 10, "messages":[ {"role" : "user","content":[{"type":"text","text":"\u0041","x":1.0}]} ],"future":{"b":1,"a":2} }`, keep},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, r := range rows {
				want := r.want
				if want == keep {
					want = r.in
				}
				if got, _ := adapted(t, r.model, "", r.in); got != want {
					t.Errorf("%s\n  in %s\n got %s\nwant %s", r.model, r.in, got, want)
				}
			}
		})
	}
}

func TestClaudeCodeBetas(t *testing.T) {
	t.Parallel()
	const real = "claude-code-20250219,interleaved-thinking-2025-05-14,context-management-2025-06-27,per-turn-control-2026-07-01,mid-conversation-tool-changes-2026-07-01,thinking-token-count-2026-05-13,advanced-tool-use-2025-11-20,effort-2025-11-24"
	const kept = "interleaved-thinking-2025-05-14,context-management-2025-06-27,advanced-tool-use-2025-11-20"
	for name, tc := range map[string]struct {
		model, requested, betas, body, setting, want string
	}{
		"only those that are known go upstream":              {model: "opus-4.8", betas: real, body: `{}`, want: kept},
		"a member that needs one brings it along":            {model: "opus-4.8", body: `{"context_management":{"edits":[]}}`, want: "context-management-2025-06-27"},
		"thinking by a budget brings one along":              {model: "sonnet-4.5", body: `{"thinking":{"type":"enabled","budget_tokens":2000}}`, want: "interleaved-thinking-2025-05-14"},
		"but not for a client that chose its betas":          {model: "sonnet-4.5", betas: "effort-2025-11-24", body: `{"thinking":{"type":"enabled","budget_tokens":2000}}`, want: ""},
		"adaptive thinking needs none":                       {model: "opus-4.8", body: `{"thinking":{"type":"adaptive"}}`, want: ""},
		"[1m] asks for the long context":                     {model: "opus-4.8", requested: "claude-opus-4-8[1m]", body: `{}`, want: "context-1m-2025-08-07"},
		"and so does the client's own beta":                  {model: "opus-4.8", betas: "context-1m-2025-08-07", body: `{}`, want: "context-1m-2025-08-07"},
		"which a model without one is not asked for":         {model: "sonnet-4.5", requested: "sonnet[1M]", betas: "context-1m-2025-08-07", body: `{}`, want: ""},
		"nor is any where the owner rules it out":            {model: "opus-4.8", requested: "opus[1m]", body: `{}`, setting: "false", want: ""},
		"and an owner may trust in it beyond the catalogue":  {model: "sonnet-4.5", requested: "sonnet[1m]", body: `{}`, setting: "true", want: "context-1m-2025-08-07"},
		"nobody gets the long context without asking for it": {model: "opus-4.8", requested: "claude-opus-4.8", body: `{}`, setting: "true", want: ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, worldConfig{settings: map[string]string{"long_context": tc.setting}})
			c := &providers.Call{Endpoint: dialect.EndpointMessages, Model: claudes()[tc.model], Requested: tc.requested, Body: []byte(tc.body), Header: http.Header{}}
			if tc.betas != "" {
				c.Header.Set("Anthropic-Beta", tc.betas)
			}
			if got := build(t, w, c).Header.Get("Anthropic-Beta"); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestAForcedToolThatOnlyAnthropicExecutesIsAnError(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		`{"tools":[{"type":"web_search_20250305","name":"web_search"},{"name":"f"}],"tool_choice":{"type":"tool","name":"web_search"}}`,
		`{"tools":[{"type":"web_search_20250305","name":"web_search"}],"tool_choice":{"type":"any"}}`,
	} {
		_, err := edited(t, providers.Call{Endpoint: dialect.EndpointMessages, Body: []byte(body)})
		if e := asError(t, err); e.Kind != providers.KindInvalid || e.Failure.Status != 400 || e.Failure.Param != "tool_choice" || !strings.Contains(e.Failure.Message, "web_search_20250305") {
			t.Errorf("%s: %+v", body, e)
		}
	}
}

func TestCountedRequestsHaveNothingOfTheAnswer(t *testing.T) {
	t.Parallel()
	got, err := edited(t, providers.Call{
		Endpoint: dialect.EndpointCountTokens, Model: claudes()["sonnet-4.6"],
		Body: []byte(`{"model":"m","max_tokens":5,"stream":true,"temperature":1,"stop_sequences":["x"],"metadata":{"user_id":"u"},"messages":[{"role":"user","content":"a"},{"role":"system","content":"s"}]}`),
	})
	if want := `{"model":"m","messages":[{"role":"user","content":"a"},{"role":"user","content":"<system-reminder>\ns\n</system-reminder>"}]}`; err != nil || got != want {
		t.Errorf("%v\n got %s\nwant %s", err, got, want)
	}
}
