package chat_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"detour/internal/dialect"
	"detour/internal/dialect/chat"
	"detour/internal/llm"
	"detour/internal/sse"
)

// The tests of this file are named after faults that translating proxies are known for.

// chunkOf returns one chunk with the members of a delta.
func chunkOf(delta string) string {
	return prefix + `[{"index":0,"delta":{` + delta + `},"finish_reason":null}]}` + "\n\n"
}

// callOf returns a chunk with a fragment of a call.
func callOf(fragments string) string { return chunkOf(`"tool_calls":[` + fragments + `]`) }

func answerTo(t *testing.T, stream string) *llm.Answer {
	t.Helper()
	events := decodeStream(strings.NewReader(stream))
	checkEvents(t, events)
	return fold(t, events)
}

// wire returns what a request becomes; decode and encode must both succeed.
func wire(t *testing.T, body string, target dialect.Target) (string, []string) {
	t.Helper()
	r, err := chat.Codec{}.DecodeRequest([]byte(body))
	if err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	return wireOf(t, r, target)
}

func wireOf(t *testing.T, r *llm.Request, target dialect.Target) (string, []string) {
	t.Helper()
	out, err := chat.Codec{}.EncodeRequest(r, target)
	if err != nil {
		t.Fatal(err)
	}
	if !json.Valid(out.Body) {
		t.Fatalf("not JSON: %s", out.Body)
	}
	return string(out.Body), out.Lost
}

// TestAnswerFaults feeds a stream and asserts on the answer that it makes.
func TestAnswerFaults(t *testing.T) {
	t.Parallel()
	end := prefix + `[{"index":0,"delta":{},"finish_reason":"stop"}]}` + "\n\n" + done
	two := `{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":"{}"}},{"index":1,"id":"b","type":"function","function":{"name":"g","arguments":"{}"}}`
	usage := func(s string) string { return prefix + `[],"usage":{` + s + `}}` + "\n\n" }
	for _, tc := range []struct {
		name, stream string
		ok           func(a *llm.Answer) bool
	}{
		{"only the first of several calls in a chunk is taken", callOf(two) + end,
			func(a *llm.Answer) bool { return len(a.Parts) == 2 && a.Parts[1].Call.Name == "g" }},
		{"finish stop with tools", callOf(two) + end, func(a *llm.Answer) bool { return a.Stop == llm.StopTool }},
		{"text after a tool is dropped", callOf(two) + chunkOf(`"content":"x"`) + end,
			func(a *llm.Answer) bool { return len(a.Parts) == 3 && a.Parts[2].Text == "x" }},
		{"late arguments after the end of the call", callOf(two) +
			callOf(`{"index":2,"id":"c","type":"function","function":{"name":"h","arguments":"{}"}}`) +
			callOf(`{"index":0,"function":{"arguments":"{}"}}`) + end,
			func(a *llm.Answer) bool { return len(a.Parts) == 3 && a.Parts[0].Call.Arguments == "{}" }},
		{"stream of reasoning_content only is dropped", chunkOf(`"reasoning_content":"hm"`) + end,
			func(a *llm.Answer) bool {
				return len(a.Parts) == 1 && a.Parts[0].Kind == llm.PartThinking && a.Parts[0].Text == "hm"
			}},
		{"reasoning in two words is doubled", chunkOf(`"reasoning":"hm","reasoning_content":"hm"`) + end,
			func(a *llm.Answer) bool { return a.Parts[0].Text == "hm" }},
		{"replay state without text is dropped", chunkOf(`"content":"","reasoning_opaque":"o"`) + chunkOf(`"content":"x"`) + end,
			func(a *llm.Answer) bool { return a.Parts[0].Opaque.Value == "o" && a.Parts[1].Text == "x" }},
		{"spurious empty text block before thinking", chunkOf(`"role":"assistant","content":""`) + chunkOf(`"reasoning_text":"hm"`) + end,
			func(a *llm.Answer) bool { return len(a.Parts) == 1 && a.Parts[0].Kind == llm.PartThinking }},
		{"several replay values in one answer", chunkOf(`"reasoning_text":"a"`) + chunkOf(`"reasoning_opaque":"1"`) + chunkOf(`"reasoning_opaque":"2"`) + end,
			func(a *llm.Answer) bool {
				return len(a.Parts) == 2 && a.Parts[0].Opaque.Value == "1" && a.Parts[1].Opaque.Value == "2"
			}},
		{"cached tokens are counted twice", hello + stop + usage(`"prompt_tokens":14,"completion_tokens":9,"prompt_tokens_details":{"cached_tokens":4}`) + done,
			func(a *llm.Answer) bool { return a.Usage.Input == 10 && a.Usage.CacheRead == 4 }},
		{"negative input", hello + stop + usage(`"prompt_tokens":1,"completion_tokens":-5,"prompt_tokens_details":{"cached_tokens":4}`) + done,
			func(a *llm.Answer) bool { return a.Usage.Input == 0 && a.Usage.Output == 0 }},
		{"usage on every chunk is summed", strings.ReplaceAll(hello+stop, `"choices":`, `"usage":{"prompt_tokens":5,"completion_tokens":2},"choices":`) + done,
			func(a *llm.Answer) bool { return a.Usage.Input == 5 && a.Usage.Output == 2 }},
		{"reasoning of Gemini models is left out", hello + stop + usage(`"prompt_tokens":5,"completion_tokens":2,"reasoning_tokens":3,"total_tokens":10`) + done,
			func(a *llm.Answer) bool { return a.Usage.Output == 5 && a.Usage.Reasoning == 3 }},
		{"usage that nobody reported is zero, not measured", hello + stop + done, func(a *llm.Answer) bool { return !a.Usage.Reported }},
		{"length with a partial call is run", callOf(`{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":"{"}}`) +
			strings.ReplaceAll(stop, `"stop"`, `"length"`) + done, func(a *llm.Answer) bool { return a.Stop == llm.StopLength }},
		{"length before the arguments makes an empty call", callOf(`{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":""}}`) +
			strings.ReplaceAll(stop, `"stop"`, `"length"`) + done, func(a *llm.Answer) bool { return a.Parts[0].Call.Arguments == "" }},
		{"refusal becomes an ordinary end", chunkOf(`"refusal":"no"`) + end, func(a *llm.Answer) bool { return a.Stop == llm.StopFilter }},
		{"missing [DONE] after finish_reason is an error", hello + stop, func(a *llm.Answer) bool { return a.Stop == llm.StopEnd }},
		{"last event without a line end is lost", hello + strings.TrimRight(stop, "\n"), func(a *llm.Answer) bool { return a.Stop == llm.StopEnd }},
		{"data without a space", strings.ReplaceAll(hello+stop+done, "data: ", "data:"), func(a *llm.Answer) bool { return a.Parts[0].Text == "hi" }},
		{"error null is an error", strings.ReplaceAll(hello+stop, `{"id"`, `{"error":null,"id"`) + done, func(a *llm.Answer) bool { return a.Stop == llm.StopEnd }},
		{"arguments that are an object", callOf(`{"index":0,"id":"a","function":{"name":"f","arguments":{"a":1.0}}}`) + end,
			func(a *llm.Answer) bool { return a.Parts[0].Call.Arguments == `{"a":1.0}` }},
		{"an index is used again for another call", callOf(`{"index":0,"id":"a","function":{"name":"f","arguments":"{}"}}`) +
			callOf(`{"index":0,"id":"b","function":{"name":"f","arguments":"{}"}}`) + end, func(a *llm.Answer) bool { return len(a.Parts) == 2 }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if a := answerTo(t, tc.stream); !tc.ok(a) {
				t.Errorf("got %+v", a)
			}
		})
	}
}

// TestStreamFaultsFail feeds streams that must not end well.
func TestStreamFaultsFail(t *testing.T) {
	t.Parallel()
	var calls strings.Builder
	for i := range 129 {
		fmt.Fprintf(&calls, "%s", callOf(fmt.Sprintf(`{"index":%d,"id":"c%d","function":{"name":"f","arguments":"{}"}}`, i, i)))
	}
	big := strings.Repeat("x", 600<<10)
	nameless := callOf(`{"index":0,"function":{"arguments":"` + big + `"}}`)
	for name, tc := range map[string]struct{ stream, want string }{
		"an error of status 200 is an answer":   {`data: {"error":{"message":"quota","code":"quota_exceeded"}}` + "\n\n", "quota (quota_exceeded)"},
		"an error in plain words is an answer":  {"data: upstream connect error\n\n", "upstream broke off with: upstream connect error"},
		"finish_reason error is an end":         {hello + strings.ReplaceAll(stop, `"stop"`, `"error"`) + done, "upstream aborted the answer"},
		"an empty answer is an end":             {done, "upstream sent an empty answer"},
		"nothing is an end":                     {"", io.ErrUnexpectedEOF.Error()},
		"calls without end":                     {calls.String() + stop + done, "upstream sent more than 128 tool calls"},
		"arguments of a nameless call are kept": {nameless + nameless, "upstream sent a tool call without a name"},
		"one of two choices is cut off":         {hello + strings.ReplaceAll(hello, `"index":0`, `"index":1`) + stop, io.ErrUnexpectedEOF.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			events := decodeStream(strings.NewReader(tc.stream))
			checkEvents(t, events)
			if last := events[len(events)-1]; last.Kind != llm.EventFailure || last.Err.Error() != tc.want {
				t.Errorf("ends with %+v", last)
			}
		})
	}
}

func TestErrorBodyIsNoAnswer(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"error":{"message":"no","code":"c"}}`: "no (c)",
		`{"choices":[]}`:                        "decode answer: it has no choices",
		`<html>`:                                "decode answer: it is not a JSON object",
		``:                                      "decode answer: it is not a JSON object",
	} {
		events, err := chat.Codec{}.DecodeAnswer(nil, []byte(body))
		if err == nil || err.Error() != want || len(events) > 0 {
			t.Errorf("%q: %v, %v", body, events, err)
		}
	}
}

func TestSplitChoicesAreOneMessage(t *testing.T) {
	t.Parallel()
	const call = `{"role":"assistant","tool_calls":[{"id":"t","type":"function","function":{"name":"read","arguments":"{}"}}]}`
	for _, second := range []string{"0", "1"} {
		events, err := chat.Codec{}.DecodeAnswer(nil, []byte(`{"id":"x","choices":[
			{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":"I'll look."}},
			{"index":`+second+`,"finish_reason":"tool_calls","message":`+call+`}]}`))
		if err != nil {
			t.Fatal(err)
		}
		if a := fold(t, events); len(a.Parts) != 2 || a.Parts[0].Text != "I'll look." || a.Parts[1].Call.Name != "read" || a.Stop != llm.StopTool {
			t.Errorf("index %s: %+v", second, a)
		}
	}
}

// TestRequestFaults encodes a request and asserts on what is in it and what is not.
func TestRequestFaults(t *testing.T) {
	t.Parallel()
	const ask = `{"model":"m","messages":[{"role":"user","content":"hi"}]`
	const tools = `,"tools":[{"type":"function","function":{"name":"f"}},{"type":"function","function":{"name":"g"}}]`
	result := func(content string) string {
		return `{"model":"m","messages":[{"role":"user","content":"hi"},{"role":"assistant","tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"a","content":` + content + `}]}`
	}
	for _, tc := range []struct {
		name, body, want, not string
	}{
		{"parallel_tool_calls false without tool_choice is ignored", ask + tools + `,"parallel_tool_calls":false}`, `"parallel_tool_calls":false`, `"tool_choice"`},
		{"parallel_tool_calls without tools is refused", ask + `,"parallel_tool_calls":false}`, `"hi"`, "parallel"},
		{"tool_choice without tools is refused", ask + `,"tool_choice":"required"}`, `"hi"`, "tool_choice"},
		{"tool_choice none becomes auto", ask + tools + `,"tool_choice":"none"}`, `"tool_choice":"none"`, "auto"},
		{"allowed_tools forces a call", ask + tools + `,"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[{"type":"function","function":{"name":"g"}}]}}}`,
			`"mode":"auto","tools":[{"type":"function","function":{"name":"g"}}]`, "required"},
		{"strict is on by default", ask + tools + `}`, `"name":"f"`, "strict"},
		{"result in parts becomes [object Object]", result(`[{"type":"text","text":"x"},{"type":"text","text":"y"}]`), `"content":"x\ny"`, "object Object"},
		{"empty result breaks the message", result(`""`), `"tool_call_id":"a","content":""`, "omitted"},
		{"empty parts break the message", result(`[]`), `"tool_call_id":"a","content":""`, "[]"},
		{"image in a result is lost", result(`[{"type":"image_url","image_url":{"url":"data:image/png;base64,aGk="}}]`), `"url":"data:image/png;base64,aGk="`, "omitted"},
		{"URL image is lost", `{"model":"m","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://e.com/a.png"}}]}]}`, `"url":"https://e.com/a.png"`, "omitted"},
		{"document in a result is lost", result(`[{"type":"document","title":"T","source":{"type":"text","data":"words"}}]`), `T\nwords`, "omitted"},
		{"PDF is dropped silently", result(`[{"type":"file","file":{"filename":"a.pdf","file_data":"aGk="}}]`), "[document a.pdf omitted: not supported by this model]", "aGk="},
		{"metadata is refused", ask + `,"metadata":{"user_id":"u"},"prompt_cache_options":{"mode":"implicit"},"store":true}`, `"hi"`, "metadata"},
		{"prompt_cache_options is forwarded", ask + `,"prompt_cache_options":{"mode":"implicit"}}`, `"hi"`, "prompt_cache_options"},
		{"answer is streamed without usage", ask + `,"stream":true}`, `"stream_options":{"include_usage":true}`, "false"},
		{"HTML is escaped", `{"model":"m","messages":[{"role":"user","content":"<a> & 'b'"}]}`, `"<a> & 'b'"`, `\u003c`},
		{"unknown detail is refused", `{"model":"m","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,aGk=","detail":"original"}}]}]}`, "aGk=", "detail"},
		{"nested free text is escaped twice for nothing", `{"model":"m","messages":[{"role":"user","content":"x"},{"role":"assistant","tool_calls":[{"id":"a","type":"custom","custom":{"name":"p","input":"<x>"}}]},{"role":"tool","tool_call_id":"a","content":"r"}]}`, `"arguments":"{\"input\":\"<x>\"}"`, `\\u003c`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got, _ := wire(t, tc.body, dialect.Target{Model: "m"})
			if !strings.Contains(got, tc.want) || strings.Contains(got, tc.not) {
				t.Errorf("want %s, not %s, in %s", tc.want, tc.not, got)
			}
		})
	}
}

// TestStopSequencesBeyondTheLimit leaves to the relay what the API does not take.
func TestStopSequencesBeyondTheLimit(t *testing.T) {
	t.Parallel()
	r := &llm.Request{Stop: []string{"a", "b", "c", "d", "e", "f"}}
	out, err := chat.Codec{}.EncodeRequest(r, dialect.Target{Model: "m"})
	if err != nil || !bytes.Contains(out.Body, []byte(`"stop":["a","b","c","d"]`)) || !slices.Equal(out.Stop, r.Stop[4:]) || len(out.Lost) > 0 {
		t.Errorf("left %q, lost %q, %v in %s", out.Stop, out.Lost, err, out.Body)
	}
	r.Stop = r.Stop[:1]
	if out, err = (chat.Codec{}).EncodeRequest(r, dialect.Target{Model: "m"}); err != nil || len(out.Stop) > 0 {
		t.Errorf("left %q, %v", out.Stop, err)
	}
}

// TestHostedCallsAreNotTheClients leaves out what the provider itself has run.
func TestHostedCallsAreNotTheClients(t *testing.T) {
	t.Parallel()
	a := llm.Answer{Parts: []llm.Part{
		{Kind: llm.PartCall, Call: &llm.Call{ID: "ws", Kind: llm.ToolHosted, Type: "web_search", Name: "web_search", Arguments: "{}"}}, {Text: "found"},
	}, Stop: llm.StopEnd}
	for _, out := range [][]byte{encodeStream(a.Replay(nil), options()), chat.Codec{}.EncodeAnswer(nil, &a, options())} {
		if bytes.Contains(out, []byte("tool_calls")) || !bytes.Contains(out, []byte("found")) {
			t.Errorf("got %s", out)
		}
	}
}

// TestCustomCallsComeBackAsDeclared lets a function-calling model use a free-text tool.
func TestCustomCallsComeBackAsDeclared(t *testing.T) {
	t.Parallel()
	r, err := chat.Codec{}.DecodeRequest([]byte(`{"model":"m","messages":[{"role":"user","content":"x"}],"tools":[{"type":"custom","custom":{"name":"apply_patch"}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	out, err := chat.Codec{}.EncodeRequest(r, dialect.Target{Model: "m"})
	if err != nil {
		t.Fatal(err)
	}
	restorer := dialect.Restorer{Tools: out.Tools}
	o := options()
	o.Request = r
	e := chat.Codec{}.NewEncoder(o)
	var stream []byte
	for _, ev := range decodeStream(strings.NewReader(callOf(`{"index":0,"id":"a","type":"function","function":{"name":"apply_patch","arguments":"{\"input\":\"*** Begin\\n\"}"}}`) + stop + done)) {
		for _, restored := range restorer.Step(nil, ev) {
			stream = e.Encode(stream, restored)
		}
	}
	if a := answerTo(t, string(stream)); len(a.Parts) != 1 || a.Parts[0].Call.Kind != llm.ToolCustom || a.Parts[0].Call.Arguments != "*** Begin\n" {
		t.Errorf("got %+v in\n%s", a.Parts, stream)
	}
}

// TestLegacyClientsGetLegacyCalls answers a request that declares functions.
func TestLegacyClientsGetLegacyCalls(t *testing.T) {
	t.Parallel()
	r, err := chat.Codec{}.DecodeRequest([]byte(`{"model":"m","messages":[{"role":"user","content":"x"}],"functions":[{"name":"f"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	o := options()
	o.Request = r
	a := answers()["parallel calls"]
	for _, out := range [][]byte{encodeStream(a.Replay(nil), o), chat.Codec{}.EncodeAnswer(nil, &a, o)} {
		if bytes.Contains(out, []byte("tool_calls")) || !bytes.Contains(out, []byte(`"function_call":{"name":"f"`)) ||
			!bytes.Contains(out, []byte(`"finish_reason":"function_call"`)) {
			t.Errorf("got %s", out)
		}
	}
}

// TestUsageIsSentOnlyWhenAskedFor counts usage chunks: clients sum them.
func TestUsageIsSentOnlyWhenAskedFor(t *testing.T) {
	t.Parallel()
	a := answers()["text"]
	silent := options()
	silent.Request = &llm.Request{}
	for name, tc := range map[string]struct {
		o    dialect.AnswerOptions
		want int
	}{"asked for": {options(), 1}, "not asked for": {silent, 0}, "without a request": {dialect.AnswerOptions{}, 0}} {
		if got := bytes.Count(encodeStream(a.Replay(nil), tc.o), []byte(`"usage"`)); got != tc.want {
			t.Errorf("%s: %d usage chunks", name, got)
		}
	}
}

// TestNothingFollowsTheEnd sends events to an encoder that has ended.
func TestNothingFollowsTheEnd(t *testing.T) {
	t.Parallel()
	for name, last := range map[string]llm.Event{
		"finish":  {Kind: llm.EventFinish, Stop: llm.StopEnd},
		"failure": {Kind: llm.EventFailure, Err: errors.New("read tcp 10.0.0.1: reset")},
	} {
		e := chat.Codec{}.NewEncoder(options())
		out := e.Encode(nil, last)
		if bytes.Contains(out, []byte("10.0.0.1")) {
			t.Errorf("%s: names an address: %s", name, out)
		}
		for _, ev := range []llm.Event{{Kind: llm.EventStart}, {Kind: llm.EventPing}, {Kind: llm.EventBlock, Part: &llm.Part{}}, last} {
			if more := e.Encode(nil, ev); len(more) > 0 {
				t.Errorf("%s: followed by %s", name, more)
			}
		}
		if more := e.Ping(nil); len(more) > 0 {
			t.Errorf("%s: followed by %s", name, more)
		}
	}
}

// TestPingIsAComment keeps the stream of any client whole.
func TestPingIsAComment(t *testing.T) {
	t.Parallel()
	ping := chat.Codec{}.NewEncoder(options()).Ping(nil)
	f, err := sse.NewReader(bytes.NewReader(ping)).Next()
	if err != nil || f.HasData || !dialect.Terminated(f) {
		t.Errorf("ping is %q: %+v, %v", ping, f, err)
	}
}
