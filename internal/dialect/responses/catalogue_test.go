package responses_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"detour/internal/dialect"
	"detour/internal/dialect/responses"
	"detour/internal/llm"
)

// request makes a request of another dialect with the turns.
func request(turns ...llm.Turn) *llm.Request {
	return &llm.Request{Model: "m", Source: "messages", Turns: turns}
}

func user(parts ...llm.Part) llm.Turn      { return llm.Turn{Role: llm.RoleUser, Parts: parts} }
func assistant(parts ...llm.Part) llm.Turn { return llm.Turn{Role: llm.RoleAssistant, Parts: parts} }
func text(s string) llm.Part               { return llm.Part{Kind: llm.PartText, Text: s} }

func call(id, name, arguments string) llm.Part {
	return llm.Part{Kind: llm.PartCall, Call: &llm.Call{ID: id, Name: name, Arguments: arguments}}
}

func result(id string, parts ...llm.Part) llm.Part {
	return llm.Part{Kind: llm.PartResult, Result: &llm.Result{ID: id, Parts: parts}}
}

// TestInputHasNoneOfTheKnownFaults has one case for each fault in translated histories that users of other proxies
// have reported.
func TestInputHasNoneOfTheKnownFaults(t *testing.T) {
	t.Parallel()
	const message, out = `{"type":"message","role":"`, `{"type":"function_call_output","call_id":"`
	image := llm.Part{Kind: llm.PartImage, Media: &llm.Media{Type: "image/png", Data: "AAAA", Detail: "auto"}}
	for _, tc := range []struct {
		name  string
		turns []llm.Turn
		want  string
	}{
		{"assistant text moved after tool calls", []llm.Turn{assistant(text("a"), call("c1", "f", "{}"), text("b")), user(result("c1", text("r")))},
			message + `assistant","content":[{"type":"output_text","text":"a","annotations":[]}]},{"type":"function_call","call_id":"c1","name":"f","arguments":"{}"},` +
				message + `assistant","content":[{"type":"output_text","text":"b","annotations":[]}]},` + out + `c1","output":"r"}`},
		{"system turn between call and result", []llm.Turn{assistant(call("c1", "f", "{}")), {Role: llm.RoleSystem, Parts: []llm.Part{text("s")}}, user(result("c1", text("r")), text("u"))},
			`{"type":"function_call","call_id":"c1","name":"f","arguments":"{}"},` + out + `c1","output":"r"},` + message + `developer","content":[{"type":"input_text","text":"s"}]},` +
				message + `user","content":[{"type":"input_text","text":"u"}]}`},
		{"user text before the result", []llm.Turn{assistant(call("c1", "f", "{}")), user(text("u"), result("c1", text("r")))},
			`{"type":"function_call","call_id":"c1","name":"f","arguments":"{}"},` + out + `c1","output":"r"},` + message + `user","content":[{"type":"input_text","text":"u"}]}`},
		{"empty tool result", []llm.Turn{assistant(call("c1", "f", "")), user(result("c1"))},
			`{"type":"function_call","call_id":"c1","name":"f","arguments":"{}"},` + out + `c1","output":""}`},
		{"tool result array flattened", []llm.Turn{assistant(call("c1", "f", "{}")), user(result("c1", text("a"), text("b")))},
			`{"type":"function_call","call_id":"c1","name":"f","arguments":"{}"},` + out + `c1","output":"a\nb"}`},
		{"image in tool result lost", []llm.Turn{assistant(call("c1", "f", "{}")), user(result("c1", text("a"), image))},
			`{"type":"function_call","call_id":"c1","name":"f","arguments":"{}"},` + out + `c1","output":[{"type":"input_text","text":"a"},{"type":"input_image","image_url":"data:image/png;base64,AAAA"}]}`},
		{"document in tool result lost", []llm.Turn{assistant(call("c1", "f", "{}")), user(result("c1", llm.Part{Kind: llm.PartFile, Media: &llm.Media{Type: "application/pdf", Data: "AA"}}))},
			`{"type":"function_call","call_id":"c1","name":"f","arguments":"{}"},` + out + `c1","output":[{"type":"input_file","filename":"document.pdf","file_data":"data:application/pdf;base64,AA"}]}`},
		{"url image lost", []llm.Turn{user(llm.Part{Kind: llm.PartImage, Media: &llm.Media{URL: "https://e.com/a.png", Detail: "low"}})},
			message + `user","content":[{"type":"input_image","image_url":"https://e.com/a.png","detail":"low"}]}`},
		{"plain text document", []llm.Turn{user(llm.Part{Kind: llm.PartFile, Media: &llm.Media{Name: "notes", Text: "x"}})},
			message + `user","content":[{"type":"input_text","text":"notes\n\nx"}]}`},
		{"error of a tool lost", []llm.Turn{assistant(call("c1", "f", "{}")), user(llm.Part{Kind: llm.PartResult, Result: &llm.Result{ID: "c1", IsError: true, Parts: []llm.Part{text("bad")}}})},
			`{"type":"function_call","call_id":"c1","name":"f","arguments":"{}"},` + out + `c1","output":"Error: bad"}`},
		{"error marked twice", []llm.Turn{assistant(call("c1", "f", "{}")), user(llm.Part{Kind: llm.PartResult, Result: &llm.Result{ID: "c1", IsError: true, Parts: []llm.Part{text("<tool_use_error>bad")}}})},
			`{"type":"function_call","call_id":"c1","name":"f","arguments":"{}"},` + out + `c1","output":"<tool_use_error>bad"}`},
		{"orphaned result", []llm.Turn{user(result("c9", text("r")), text("u"))},
			message + `user","content":[{"type":"input_text","text":"[tool result c9] r"}]},` + message + `user","content":[{"type":"input_text","text":"u"}]}`},
		{"orphaned empty result", []llm.Turn{user(result("c9"), text("u"))}, message + `user","content":[{"type":"input_text","text":"u"}]}`},
		{"unanswered call", []llm.Turn{assistant(call("c1", "f", "{}")), user(text("u"))},
			`{"type":"function_call","call_id":"c1","name":"f","arguments":"{}"},` + out + `c1","output":"[no output]"},` + message + `user","content":[{"type":"input_text","text":"u"}]}`},
		{"unanswered call at the end", []llm.Turn{assistant(call("c1", "f", "{}"))}, `{"type":"function_call","call_id":"c1","name":"f","arguments":"{}"}`},
		{"result sent twice", []llm.Turn{assistant(call("c1", "f", "{}")), user(result("c1", text("old")), result("c1", text("new")))},
			`{"type":"function_call","call_id":"c1","name":"f","arguments":"{}"},` + out + `c1","output":"new"}`},
		{"id with dot and colon", []llm.Turn{assistant(call("functions.Read:0", "f", "{}")), user(result("functions.Read:0", text("r")))},
			`{"type":"function_call","call_id":"` + dialect.CallID("functions.Read:0") + `","name":"f","arguments":"{}"},` + out + dialect.CallID("functions.Read:0") + `","output":"r"}`},
		{"duplicate ids merged", []llm.Turn{assistant(call("c", "f", "{}")), user(result("c", text("1"))), assistant(call("c", "f", "{}")), user(result("c", text("2")))},
			`{"type":"function_call","call_id":"c","name":"f","arguments":"{}"},` + out + `c","output":"1"},` +
				`{"type":"function_call","call_id":"` + dialect.CallID("c#2") + `","name":"f","arguments":"{}"},` + out + dialect.CallID("c#2") + `","output":"2"}`},
		{"number in arguments rewritten", []llm.Turn{assistant(call("c1", "f", `{"b":1.0,"a":12345678901234567890}`))},
			`{"type":"function_call","call_id":"c1","name":"f","arguments":"{\"b\":1.0,\"a\":12345678901234567890}"}`},
		{"signature of another family replayed", []llm.Turn{assistant(llm.Part{Kind: llm.PartThinking, Text: "t", Opaque: llm.Opaque{Kind: llm.OpaqueSignature, Value: "EqQ"}}, text("a"))},
			message + `assistant","content":[{"type":"output_text","text":"a","annotations":[]}]}`},
		{"blob separated from its id", []llm.Turn{assistant(llm.Part{Kind: llm.PartThinking, Text: "t", Opaque: llm.Opaque{Kind: llm.OpaqueEncrypted, Value: "gAAA", ID: strings.Repeat("i", 400)}}, text("a"))},
			`{"type":"reasoning","id":"` + strings.Repeat("i", 400) + `","summary":[],"encrypted_content":"gAAA"},` + message + `assistant","content":[{"type":"output_text","text":"a","annotations":[]}]}`},
		{"one reasoning item replayed twice", []llm.Turn{assistant(
			llm.Part{Kind: llm.PartThinking, Text: "t", Opaque: llm.Opaque{Kind: llm.OpaqueEncrypted, Value: "gA", ID: "rs"}},
			llm.Part{Kind: llm.PartThinking, Text: "u", Opaque: llm.Opaque{Kind: llm.OpaqueEncrypted, Value: "gA", ID: "rs"}})},
			`{"type":"reasoning","id":"rs","summary":[],"encrypted_content":"gA"}`},
		{"refusal", []llm.Turn{assistant(llm.Part{Kind: llm.PartRefusal, Text: "No."})}, message + `assistant","content":[{"type":"refusal","refusal":"No."}]}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if got := in(t, encodeRequest(t, request(tc.turns...), dialect.Target{}), "input"); got != "["+tc.want+"]" {
				t.Errorf("got  %s\nwant [%s]", got, tc.want)
			}
		})
	}
}

// TestRequestHasNoneOfTheKnownFaults is about all but the history.
func TestRequestHasNoneOfTheKnownFaults(t *testing.T) {
	t.Parallel()
	tool := func(name, schema string) llm.Tool { return llm.Tool{Name: name, Schema: json.RawMessage(schema)} }
	yes, no, half := true, false, 0.5
	for _, tc := range []struct {
		name   string
		r      llm.Request
		t      dialect.Target
		member string
		want   string
		lost   string
	}{
		{name: "strict by default", r: llm.Request{Tools: []llm.Tool{tool("f", `{"type":"object","properties":{}}`)}}, member: "tools",
			want: `[{"type":"function","name":"f","parameters":{"type":"object","properties":{}},"strict":false}]`},
		{name: "strict with a schema that is not", r: llm.Request{Tools: []llm.Tool{{Name: "f", Strict: &yes, Schema: json.RawMessage(`{"type":"object","properties":{"a":{}}}`)}}}, member: "tools",
			want: `[{"type":"function","name":"f","parameters":{"type":"object","properties":{"a":{}}},"strict":false}]`},
		{name: "strict as asked", r: llm.Request{Tools: []llm.Tool{{Name: "f", Strict: &yes, Schema: json.RawMessage(`{"type":"object","properties":{"a":{}},"required":["a"],"additionalProperties":false}`)}}}, member: "tools",
			want: `[{"type":"function","name":"f","parameters":{"type":"object","properties":{"a":{}},"required":["a"],"additionalProperties":false},"strict":true}]`},
		{name: "tool without parameters", r: llm.Request{Tools: []llm.Tool{tool("f", ``), tool("g", `null`)}}, member: "tools",
			want: `[{"type":"function","name":"f","parameters":{"type":"object","properties":{}},"strict":false},{"type":"function","name":"g","parameters":{"type":"object","properties":{}},"strict":false}]`},
		{name: "union at the root of a schema", r: llm.Request{Tools: []llm.Tool{tool("f", `{"$schema":"x","anyOf":[{"properties":{"a":{"type":"string"},"b":{}},"required":["a","b"]},{"properties":{"a":{"type":"number"}},"required":["a"]}],"required":["z"]}`)}}, member: "tools",
			want: `[{"type":"function","name":"f","parameters":{"type":"object","properties":{"a":{"type":"string"},"b":{}},"required":["a","z"]},"strict":false}]`},
		{name: "order of keys in a schema", r: llm.Request{Tools: []llm.Tool{tool("f", `{"properties":{"z":{"default":1.0},"a":{}},"type":"object"}`)}}, member: "tools",
			want: `[{"type":"function","name":"f","parameters":{"properties":{"z":{"default":1.0},"a":{}},"type":"object"},"strict":false}]`},
		{name: "parallel calls switched off without a choice", r: llm.Request{Parallel: &no, Tools: []llm.Tool{tool("f", ``)}}, member: "parallel_tool_calls", want: "false"},
		{name: "parallel calls without tools", r: llm.Request{Parallel: &no}, member: "parallel_tool_calls"},
		{name: "tool_choice none becomes auto", r: llm.Request{Choice: llm.Choice{Mode: llm.ChoiceNone}, Tools: []llm.Tool{tool("f", ``)}}, member: "tool_choice", want: `"none"`},
		{name: "allowed tools force a call", r: llm.Request{Choice: llm.Choice{Mode: llm.ChoiceSubset, Names: []string{"f"}}, Tools: []llm.Tool{tool("f", ``), tool("g", ``)}}, member: "tool_choice",
			want: `{"type":"allowed_tools","mode":"auto","tools":[{"type":"function","name":"f"}]}`},
		{name: "choice without tools", r: llm.Request{Choice: llm.Choice{Mode: llm.ChoiceAuto}}, member: "tool_choice"},
		{name: "long name in the choice", r: llm.Request{Choice: llm.Choice{Mode: llm.ChoiceOne, Names: []string{strings.Repeat("n", 70)}}, Tools: []llm.Tool{tool(strings.Repeat("n", 70), ``)}}, member: "tool_choice",
			want: `{"type":"function","name":"` + dialect.NewToolNames(nil, 64, nil).Wire("", strings.Repeat("n", 70)) + `"}`},
		{name: "custom tool where there is none", r: llm.Request{Choice: llm.Choice{Mode: llm.ChoiceOne, Names: []string{"p"}}, Tools: []llm.Tool{{Kind: llm.ToolCustom, Name: "p"}}}, member: "tool_choice",
			want: `{"type":"function","name":"p"}`},
		{name: "custom tool", t: dialect.Target{CustomTools: true}, r: llm.Request{Choice: llm.Choice{Mode: llm.ChoiceOne, Names: []string{"p"}}, Tools: []llm.Tool{{Kind: llm.ToolCustom, Name: "p"}}}, member: "tool_choice",
			want: `{"type":"custom","name":"p"}`},
		{name: "hosted tool", r: llm.Request{Tools: []llm.Tool{{Kind: llm.ToolHosted, Type: "web_search_20250305", Name: "web_search"}}}, member: "tools", lost: "tool web_search_20250305"},
		{name: "web search of another dialect", t: dialect.Target{HostedTools: []string{"web_search"}}, member: "tools",
			r:    llm.Request{Tools: []llm.Tool{{Kind: llm.ToolHosted, Type: "web_search_20250305", Name: "web_search", Raw: json.RawMessage(`{"allowed_domains":["a.b"],"user_location":{"type":"approximate"}}`)}}},
			want: `[{"type":"web_search","filters":{"allowed_domains":["a.b"]},"user_location":{"type":"approximate"}}]`},
		{name: "attribution in the prompt", r: llm.Request{System: []llm.Part{text("x-anthropic-billing-header: cc_version=1"), text("a"), text("b")}}, member: "instructions", want: `"a\n\nb"`},
		{name: "fewer tokens than the API takes", r: llm.Request{MaxOutput: 1}, member: "max_output_tokens", want: "16"},
		{name: "more tokens than the model has", t: dialect.Target{MaxOutput: 100}, r: llm.Request{MaxOutput: 4000}, member: "max_output_tokens", want: "100"},
		{name: "sampling of a reasoning model", t: dialect.Target{Reasons: true}, r: llm.Request{Temperature: &half}, member: "temperature", lost: "temperature"},
		{name: "sampling", r: llm.Request{Temperature: &half}, member: "temperature", want: "0.5"},
		{name: "stop sequences", r: llm.Request{Stop: []string{"x"}}, member: "stop"},
		{name: "top_k", r: llm.Request{TopK: new(3)}, member: "top_k", lost: "top_k"},
		{name: "budget", r: llm.Request{Reasoning: llm.Reasoning{Budget: 8192}}, member: "reasoning", want: `{"effort":"medium","summary":"auto"}`},
		{name: "effort above the model's", t: dialect.Target{Efforts: []llm.Effort{"low", "medium"}}, r: llm.Request{Reasoning: llm.Reasoning{Effort: "max"}}, member: "reasoning", want: `{"effort":"medium","summary":"auto"}`},
		{name: "effort below the model's", t: dialect.Target{Efforts: []llm.Effort{"medium", "high"}}, r: llm.Request{Reasoning: llm.Reasoning{Effort: "low"}}, member: "reasoning", want: `{"effort":"medium","summary":"auto"}`},
		{name: "thoughts that nobody wants to see", r: llm.Request{Reasoning: llm.Reasoning{Effort: "low", Display: "omitted"}}, member: "reasoning", want: `{"effort":"low"}`},
		{name: "thinking switched off", t: dialect.Target{Reasons: true, Efforts: []llm.Effort{"none", "low"}}, r: llm.Request{Reasoning: llm.Reasoning{Disabled: true}}, member: "reasoning", want: `{"effort":"none"}`},
		{name: "thinking that cannot be switched off", t: dialect.Target{Reasons: true, Efforts: []llm.Effort{"low"}}, r: llm.Request{Reasoning: llm.Reasoning{Disabled: true}}, member: "reasoning"},
		{name: "state is not asked for", r: llm.Request{}, member: "include", want: `["reasoning.encrypted_content"]`},
		{name: "stored", r: llm.Request{}, member: "store", want: "false"},
		{name: "prompt_cache_options forwarded", r: llm.Request{Source: "responses", Extras: map[string]json.RawMessage{"prompt_cache_options": json.RawMessage(`{"mode":"implicit"}`)}}, member: "prompt_cache_options", lost: "prompt_cache_options"},
		{name: "metadata refused", r: llm.Request{Source: "responses", Extras: map[string]json.RawMessage{"metadata": json.RawMessage(`{"a":"b"}`)}}, member: "metadata", want: `{"a":"b"}`},
		{name: "user in clear", r: llm.Request{User: "someone@example.com"}, member: "safety_identifier", want: `"72497f475e4f76d0b28f57c73a084ece"`},
		{name: "session", r: llm.Request{Session: "thread"}, member: "prompt_cache_key", want: `"thread"`},
		{name: "schema of the output", r: llm.Request{Output: llm.Output{Format: "json_schema", Schema: json.RawMessage(`{"type":"object"}`), Strict: &yes}}, member: "text",
			want: `{"format":{"type":"json_schema","name":"structured_output","schema":{"type":"object"},"strict":false}}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if tc.r.Source == "" {
				tc.r.Source = "messages"
			}
			e := encodeRequest(t, &tc.r, tc.t)
			if got := in(t, e, tc.member); got != tc.want || strings.Join(e.Lost, ",") != tc.lost {
				t.Errorf("got  %s lost %q\nwant %s lost %q", got, e.Lost, tc.want, tc.lost)
			}
		})
	}
}

func TestWhatCannotBeHadIsRefused(t *testing.T) {
	t.Parallel()
	search := llm.Tool{Kind: llm.ToolHosted, Type: "web_search", Name: "web_search"}
	for name, r := range map[string]llm.Request{
		"several answers":       {Candidates: 2},
		"forced hosted tool":    {Tools: []llm.Tool{search, {Name: "f"}}, Choice: llm.Choice{Mode: llm.ChoiceOne, Names: []string{"web_search"}}},
		"required, but no tool": {Tools: []llm.Tool{search}, Choice: llm.Choice{Mode: llm.ChoiceRequired}},
		"output by grammar":     {Output: llm.Output{Format: "grammar"}},
	} {
		_, err := responses.Codec{}.EncodeRequest(&r, dialect.Target{Model: "m"})
		if f, ok := errors.AsType[*dialect.Failure](err); !ok || f.Status != 400 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestStopSequencesAreLeftToTheRelay(t *testing.T) {
	t.Parallel()
	r := request(user(text("u")))
	r.Stop = []string{"a", "b"}
	if e := encodeRequest(t, r, dialect.Target{}); !slices.Equal(e.Stop, r.Stop) || len(e.Lost) > 0 {
		t.Errorf("left %q, lost %q", e.Stop, e.Lost)
	}
}

func TestMoreToolsThanTheAPITakes(t *testing.T) {
	t.Parallel()
	r := request()
	for i := range 200 {
		r.Tools = append(r.Tools, llm.Tool{Name: "t" + strings.Repeat("x", i)})
	}
	e := encodeRequest(t, r, dialect.Target{})
	if n := strings.Count(in(t, e, "tools"), `"type":"function"`); n != 128 || len(e.Lost) != 1 {
		t.Errorf("%d tools, lost %q", n, e.Lost)
	}
}
