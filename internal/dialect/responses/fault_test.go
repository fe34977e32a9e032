package responses_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"detour/internal/dialect"
	"detour/internal/dialect/responses"
	"detour/internal/llm"
)

// TestDecodedStreamHasNoneOfTheKnownFaults has one case for each fault in reading streams that users of other proxies
// have reported. want is all events but start and usage.
func TestDecodedStreamHasNoneOfTheKnownFaults(t *testing.T) {
	t.Parallel()
	added := func(i int, item string) string {
		return ev("response.output_item.added", 1, fmt.Sprintf(`"output_index":%d,"item":%s`, i, item))
	}
	done := func(i int, item string) string {
		return ev("response.output_item.done", 1, fmt.Sprintf(`"output_index":%d,"item":%s`, i, item))
	}
	delta := func(i int, typ, text string) string {
		return ev("response."+typ+".delta", 1, fmt.Sprintf(`"output_index":%d,"item_id":"other","delta":%q`, i, text))
	}
	fc := func(arguments string) string {
		return fmt.Sprintf(`{"type":"function_call","id":"fc","call_id":"c1","name":"f","arguments":%q}`, arguments)
	}
	const begins = "block 0 call {ID:c1 Kind:0 Type: Namespace: Name:f Arguments:}\n"
	for _, tc := range []struct{ name, stream, want string }{
		{"late arguments after the item is done", added(0, fc("")) + done(0, fc(`{"a":1}`)) + delta(0, "function_call_arguments", "x") + completed(9, "r", "[]"),
			begins + `args 0 "{\"a\":1}"` + "\nstop 0\nfinish 3\n"},
		{"arguments only in the terminal output", added(0, fc("")) + completed(9, "r", "["+fc("{}")+"]"), begins + `args 0 "{}"` + "\nstop 0\nfinish 3\n"},
		{"call only in the terminal output", completed(9, "r", "["+fc("{}")+"]"), begins + `args 0 "{}"` + "\nstop 0\nfinish 3\n"},
		{"end of the arguments only in the done item", added(0, fc("")) + delta(0, "function_call_arguments", `{"a"`) + done(0, fc(`{"a":1}`)) + completed(9, "r", "[]"),
			begins + `args 0 "{\"a\":1}"` + "\nstop 0\nfinish 3\n"},
		{"done item that contradicts the deltas", added(0, fc("")) + delta(0, "function_call_arguments", `{"b":2}`) + done(0, fc(`{"a":1}`)) + completed(9, "r", "[]"),
			begins + `args 0 "{\"b\":2}"` + "\nstop 0\nfinish 3\n"},
		{"announcement without a name", added(0, `{"type":"function_call","id":"x"}`) + delta(0, "function_call_arguments", `{}`) + done(0, fc(`{}`)) + completed(9, "r", "[]"),
			begins + `args 0 "{}"` + "\nstop 0\nfinish 3\n"},
		{"call whose name never comes", added(0, `{"type":"function_call","id":"x"}`) + delta(0, "function_call_arguments", `{}`) + completed(9, "r", "[]"),
			"failure upstream sent a tool call without a name\n"},
		{"text after a tool", added(0, fc("")) + done(0, fc("{}")) + added(1, `{"type":"message"}`) + delta(1, "output_text", "x") + completed(9, "r", "[]"),
			begins + `args 0 "{}"` + "\nstop 0\n" + `block 1 text` + "\n" + `text 1 "x"` + "\nstop 1\nfinish 3\n"},
		{"blob of another event than its id", added(0, `{"type":"reasoning","id":"first","encrypted_content":"early"}`) + done(0, `{"type":"reasoning","id":"second","summary":[],"encrypted_content":"blob"}`) + completed(9, "r", `[{"type":"reasoning","id":"third","encrypted_content":"blob3"}]`),
			"block 0 thinking\nseal 0 {Kind:r Value:blob ID:second}\nstop 0\nfinish 1\n"},
		{"summary only in the done item", added(0, `{"type":"reasoning"}`) + done(0, `{"type":"reasoning","summary":[{"text":"a"},{"text":"b"}]}`) + completed(9, "r", "[]"),
			"block 0 thinking\n" + `thinking 0 "a\n\nb"` + "\nstop 0\nfinish 1\n"},
		{"summaries run together", added(0, `{"type":"reasoning"}`) + delta(0, "reasoning_summary_text", "a") + ev("response.reasoning_summary_text.delta", 1, `"output_index":0,"summary_index":1,"delta":"b"`) + completed(9, "r", "[]"),
			"block 0 thinking\n" + `thinking 0 "a\n\nb"` + "\nstop 0\nfinish 1\n"},
		{"empty reasoning", added(0, `{"type":"reasoning"}`) + done(0, `{"type":"reasoning","summary":[]}`) + completed(9, "r", "[]"), "finish 1\n"},
		{"empty text block", added(0, `{"type":"message"}`) + ev("response.content_part.added", 1, `"output_index":0,"content_index":0,"part":{"type":"output_text","text":""}`) + done(0, `{"type":"message","content":[{"type":"output_text","text":""}]}`) + completed(9, "r", "[]"), "finish 1\n"},
		{"citation", done(0, `{"type":"message","content":[{"type":"output_text","text":"a","annotations":[{"type":"url_citation","url":"u"}]}]}`) + completed(9, "r", "[]"),
			"block 0 text\n" + `text 0 "a"` + "\n" + `citation 0 {"type":"url_citation","url":"u"}` + "\nstop 0\nfinish 1\n"},
		{"shell call", added(0, `{"type":"local_shell_call"}`) + done(0, `{"type":"local_shell_call","call_id":"c1","action":{"type":"exec","command":["ls"]}}`) + completed(9, "r", "[]"),
			"block 0 call {ID:c1 Kind:2 Type:local_shell Namespace: Name:local_shell Arguments:}\n" + `args 0 "{\"command\":[\"ls\"]}"` + "\nstop 0\nfinish 3\n"},
		{"namespace", added(0, `{"type":"function_call","call_id":"c1","name":"f","namespace":"n"}`) + completed(9, "r", "[]"),
			"block 0 call {ID:c1 Kind:0 Type: Namespace:n Name:f Arguments:}\nstop 0\nfinish 3\n"},
		{"compaction", done(0, `{"type":"compaction","id":"cmp","encrypted_content":"b"}`) + completed(9, "r", "[]"),
			"block 0 compaction\nseal 0 {Kind:r Value:b ID:cmp}\nstop 0\nfinish 1\n"},
		{"hosted tool", done(0, `{"type":"web_search_call","id":"ws"}`) + completed(9, "r", "[]"), `block 0 opaque {"type":"web_search_call","id":"ws"}` + "\nstop 0\nfinish 1\n"},
		{"completed although the status says incomplete", ev("response.completed", 1, `"response":{"status":"incomplete","incomplete_details":{"reason":"content_filter"},"output":[]}`), "finish 6\n"},
		{"completed although the status says failed", ev("response.completed", 1, `"response":{"status":"failed","error":{"message":"boom"},"output":[]}`), "failure boom\n"},
		{"error of another dialect", "data: {\"error\":{\"message\":\"boom\",\"code\":\"x\"}}\n\n", "failure boom (x)\n"},
		{"words in the place of an event", "data: upstream connect error\n\n", "failure upstream broke off with: upstream connect error\n"},
		{"white space without end", added(0, fc("")) + delta(0, "function_call_arguments", strings.Repeat("\n", 200)), begins + "failure the model repeats white space inside tool arguments without end (degenerate_output)\n"},
		{"events behind the end", completed(1, "r", "[]") + added(0, fc("")) + completed(2, "r", "[]"), "finish 1\n"},
		{"[DONE] before the end", created("r") + "data: [DONE]\n\n", "failure unexpected EOF\n"},
		{"CRLF and no space", strings.ReplaceAll(strings.ReplaceAll(completed(1, "r", "[]"), "data: ", "data:"), "\n", "\r\n"), "finish 1\n"},
		{"no line break at the end", strings.TrimRight(completed(1, "r", "[]"), "\n"), "finish 1\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			events := slices.DeleteFunc(decode(strings.NewReader(tc.stream)), func(e llm.Event) bool { return e.Kind == llm.EventStart || e.Kind == llm.EventUsage })
			if got := show(events); got != tc.want {
				t.Errorf("got\n%swant\n%s", got, tc.want)
			}
		})
	}
}

func TestAnswerWithoutBoundIsGivenUp(t *testing.T) {
	t.Parallel()
	var calls, items strings.Builder
	for i := range 1100 {
		item := ev("response.output_item.added", 1, fmt.Sprintf(`"output_index":%d,"item":{"type":"function_call","call_id":"c%d","name":"f"}`, i, i))
		if i < 200 {
			calls.WriteString(item)
		}
		items.WriteString(strings.ReplaceAll(item, "function_call", "message"))
	}
	for name, stream := range map[string]string{"calls": calls.String(), "items": items.String()} {
		events := decode(strings.NewReader(stream + completed(1, "r", "[]")))
		if last := events[len(events)-1]; last.Kind != llm.EventFailure || !strings.Contains(last.Err.Error(), "more than") {
			t.Errorf("%s: %s", name, show(events[len(events)-1:]))
		}
	}
}

func TestUsageIsReadOnce(t *testing.T) {
	t.Parallel()
	a, err := fold(decode(strings.NewReader(created("r") + completed(1, "r", "[]"))))
	want := llm.Usage{Input: 8, CacheRead: 4, CacheWrite: 2, Output: 9, Reasoning: 2, Reported: true}
	if err != nil || a.Usage != want {
		t.Errorf("%v, %+v", err, a.Usage)
	}
	more := strings.Replace(completed(1, "r", "[]"), `"cached_tokens":4`, `"cached_tokens":400`, 1)
	if a, err = fold(decode(strings.NewReader(more))); err != nil || a.Usage.Input != 0 {
		t.Errorf("cached tokens beyond the input: %v, %+v", err, a.Usage)
	}
}

// restored sends events through the Restorer for a request's tools, as the router does.
func restored(t *testing.T, tools string, events []llm.Event) (observed, []byte) {
	t.Helper()
	r := decodeRequest(t, `{"model":"m","input":"x","tools":`+tools+`}`)
	names := dialect.NewToolNames(r.Tools, 64, func(tool *llm.Tool) bool { return tool.Kind != llm.ToolFunction })
	restorer := dialect.Restorer{Tools: names}
	o := options()
	o.Request = r
	e := responses.Codec{}.NewEncoder(o)
	var out []byte
	var step []llm.Event
	for _, ev := range events {
		for _, ev := range restorer.Step(step[:0], ev) {
			out = e.Encode(out, ev)
		}
	}
	return observe(t, out), out
}

func called(name string, fragments ...string) []llm.Event {
	events := []llm.Event{{Kind: llm.EventStart, ID: "a"}, {Kind: llm.EventBlock, Part: &llm.Part{Kind: llm.PartCall, Call: &llm.Call{ID: "c1", Name: name}}}}
	for _, f := range fragments {
		events = append(events, llm.Event{Kind: llm.EventArgs, Delta: []byte(f)})
	}
	return append(events, llm.Event{Kind: llm.EventStop}, llm.Event{Kind: llm.EventFinish, Stop: llm.StopTool})
}

func TestCallsComeBackAsTheClientDeclaredThem(t *testing.T) {
	t.Parallel()
	t.Run("custom tool call returned as function call", func(t *testing.T) {
		t.Parallel()
		o, _ := restored(t, `[{"type":"custom","name":"apply_patch"}]`, called("apply_patch", `{"inp`, `ut":"*** Begin`, ` Patch\n"}`))
		c := o.response.Output[0]
		if c.Type != "custom_tool_call" || c.AsCustomToolCall().Input != "*** Begin Patch\n" || o.arguments[0] != "*** Begin Patch\n" || c.Status != "completed" {
			t.Errorf("%s", c.RawJSON())
		}
	})
	t.Run("namespace dropped", func(t *testing.T) {
		t.Parallel()
		o, _ := restored(t, `[{"type":"namespace","name":"mcp__fs","tools":[{"type":"function","name":"read"}]}]`, called("mcp__fs__read", `{}`))
		var c struct{ Name, Namespace string }
		if err := json.Unmarshal([]byte(o.response.Output[0].RawJSON()), &c); err != nil || c.Name != "read" || c.Namespace != "mcp__fs" {
			t.Errorf("%+v", c)
		}
	})
	for _, tc := range []struct{ name, tool, arguments, want string }{
		{"local_shell", "local_shell", `{"command":["ls"],"timeout_ms":5}`, `"action":{"type":"exec","command":["ls"],"timeout_ms":5,"env":{}}`},
		{"local_shell in words", "local_shell", `{"input":"ls -l"}`, `"action":{"type":"exec","command":["bash","-lc","ls -l"],"env":{}}`},
		{"shell", "shell", `{"commands":["ls"]}`, `"action":{"commands":["ls"]}`},
		{"apply_patch", "apply_patch", `{"operation":{"type":"delete_file","path":"a"}}`, `"operation":{"type":"delete_file","path":"a"}`},
		{"apply_patch in words", "apply_patch", `{"input":"*** Begin Patch\n*** Update File: a.go\n@@\n-a\n+b\n*** End Patch"}`, `"operation":{"type":"update_file","path":"a.go","diff":"@@\n-a\n+b"}`},
		{"arguments on several lines", "shell", "{\n\"commands\":[\"ls\"]\n}", `"action":{ "commands":["ls"] }`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			o, _ := restored(t, `[{"type":"`+tc.tool+`"}]`, called(tc.tool, tc.arguments))
			if c := o.response.Output[0].RawJSON(); !strings.Contains(c, tc.want) || o.response.Output[0].Type != tc.tool+"_call" {
				t.Errorf("got %s, want %s", c, tc.want)
			}
		})
	}
}

func TestCallThatWasCutOffIsNotCompleted(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, arguments string
		kind            llm.ToolKind
		more            []llm.Event
		want            []string
	}{
		{"half a call", `{"a":`, llm.ToolFunction, nil, []string{"incomplete"}},
		{"whole call", `{"a":1}`, llm.ToolFunction, nil, []string{"completed"}},
		{"half a call before more", `{"a":`, llm.ToolFunction, []llm.Event{{Kind: llm.EventBlock, Block: 1, Part: &llm.Part{}}, {Kind: llm.EventText, Block: 1, Delta: []byte("x")}}, []string{"incomplete", "incomplete"}},
		{"free text", `*** Begin`, llm.ToolCustom, nil, []string{"incomplete"}},
		{"free text before more", `*** Begin`, llm.ToolCustom, []llm.Event{{Kind: llm.EventBlock, Block: 1, Part: &llm.Part{}}, {Kind: llm.EventText, Block: 1, Delta: []byte("x")}}, []string{"completed", "incomplete"}},
	} {
		events := []llm.Event{
			{Kind: llm.EventBlock, Part: &llm.Part{Kind: llm.PartCall, Call: &llm.Call{ID: "c", Kind: tc.kind, Name: "f"}}},
			{Kind: llm.EventArgs, Delta: []byte(tc.arguments)}, {Kind: llm.EventStop},
		}
		events = append(append(events, tc.more...), llm.Event{Kind: llm.EventFinish, Stop: llm.StopLength})
		o := observe(t, encode(events, options()))
		var got []string
		for _, item := range o.response.Output {
			got = append(got, item.Status)
		}
		if o.status != "incomplete" || o.reason != "max_output_tokens" || !slices.Equal(got, tc.want) {
			t.Errorf("%s: %s %v, want %v", tc.name, o.status, got, tc.want)
		}
	}
}

func TestBlobThatComesLateIsKept(t *testing.T) {
	t.Parallel()
	a := llm.Answer{Parts: []llm.Part{{Kind: llm.PartThinking, Text: "t"}, {Kind: llm.PartText, Text: "x"}}, Stop: llm.StopEnd}
	events := a.Replay(nil)
	late := llm.Event{Kind: llm.EventSeal, Part: &llm.Part{Opaque: llm.Opaque{Kind: llm.OpaqueCarrier, Value: "dtr1.c.x"}}}
	events = slices.Insert(events, len(events)-2, late, late)
	o := observe(t, encode(events, options()))
	if out := o.response.Output; len(out) != 3 || out[2].AsReasoning().EncryptedContent != "dtr1.c.x" {
		t.Errorf("%+v", out)
	}
}

func TestCompactionGivesOneItem(t *testing.T) {
	t.Parallel()
	r := decodeRequest(t, `{"model":"m","input":[{"role":"user","content":"x"},{"type":"compaction_trigger"}]}`)
	part := func(v string) llm.Part {
		return llm.Part{Kind: llm.PartCompaction, Opaque: llm.Opaque{Kind: llm.OpaqueCarrier, Value: v}}
	}
	o := answerTo(t, r, []llm.Part{part("dtr1.a"), part("dtr1.b")}, llm.StopEnd)
	if out := o.response.Output; len(out) != 1 || out[0].AsCompaction().EncryptedContent != "dtr1.b" {
		t.Errorf("%+v", out)
	}
}

func TestInterleavedBlocksStayApart(t *testing.T) {
	t.Parallel()
	begin := func(i int) llm.Event {
		return llm.Event{Kind: llm.EventBlock, Block: i, Part: &llm.Part{Kind: llm.PartCall, Call: &llm.Call{ID: fmt.Sprint("c", i), Name: "f"}}}
	}
	args := func(i int, s string) llm.Event { return llm.Event{Kind: llm.EventArgs, Block: i, Delta: []byte(s)} }
	o := observe(t, encode([]llm.Event{begin(0), begin(1), args(1, `{"b":`), args(0, `{"a":1`), args(1, `2}`), {Kind: llm.EventStop, Block: 1},
		args(0, `}`), {Kind: llm.EventStop}, {Kind: llm.EventFinish, Stop: llm.StopTool}}, options()))
	if o.response.Output[0].AsFunctionCall().Arguments != `{"a":1}` || o.response.Output[1].AsFunctionCall().Arguments != `{"b":2}` || o.arguments[1] != `{"b":2}` {
		t.Errorf("%+v", o.response.Output)
	}
}

func TestPingIsAComment(t *testing.T) {
	t.Parallel()
	e := responses.Codec{}.NewEncoder(options())
	if got := e.Ping(nil); string(got) != ": ping\n\n" {
		t.Errorf("%q", got)
	}
}

func TestEchoRepeatsTheRequest(t *testing.T) {
	t.Parallel()
	r := decodeRequest(t, "{\"model\":\"m\",\"input\":\"x\",\"instructions\":\"be\",\n\"tools\":[\n{\"type\":\"function\",\"name\":\"f\"}],\"temperature\":0.5,\"metadata\":{\"a\":\"b\"},\"reasoning\":null,\"store\":true}")
	out := encode((&llm.Answer{Stop: llm.StopEnd}).Replay(nil), dialect.AnswerOptions{Request: r, ID: "x"})
	observe(t, out)
	for _, want := range []string{`"instructions":"be"`, `"tools":[ {"type":"function","name":"f"}]`, `"temperature":0.5`, `"metadata":{"a":"b"}`, `"reasoning":{"effort":null,"summary":null}`, `"store":false`, `"top_p":1`} {
		if !bytes.Contains(out, []byte(want)) {
			t.Errorf("no %s in %s", want, out)
		}
	}
}

func FuzzDecodeStream(f *testing.F) {
	for _, in := range streams(f) {
		f.Add(in)
	}
	f.Fuzz(func(t *testing.T, in []byte) { checkAny(t, in) })
}

// checkAny asserts what holds for any bytes.
func checkAny(t *testing.T, in []byte) {
	t.Helper()
	events := decode(bytes.NewReader(in))
	ends := 0
	begun := map[int]bool{}
	for i, e := range events {
		switch e.Kind {
		case llm.EventFinish, llm.EventFailure:
			if ends++; i != len(events)-1 || e.Kind == llm.EventFailure && e.Err == nil {
				t.Fatalf("%q:\n%s", in, show(events))
			}
		case llm.EventBlock:
			if e.Block != len(begun) {
				t.Fatalf("block %d of %d: %q", e.Block, len(begun), in)
			}
			begun[e.Block] = true
		case llm.EventText, llm.EventThinking, llm.EventArgs, llm.EventStop, llm.EventSeal, llm.EventCitation:
			if !begun[e.Block] {
				t.Fatalf("event for block %d, which never began: %q", e.Block, in)
			}
		case llm.EventUsage:
			if u := e.Usage; min(u.Input, u.CacheRead, u.CacheWrite, u.Output, u.Reasoning) < 0 || u.Reasoning > u.Output {
				t.Fatalf("usage %+v: %q", u, in)
			}
		}
	}
	if ends != 1 {
		t.Fatalf("%d ends: %q\n%s", ends, in, show(events))
	}
	out := encode(events, options())
	checkStream(t, out)
	if bytes.Contains(in, []byte("\xff")) || t.Failed() {
		return
	}
	again := decode(bytes.NewReader(out))
	if (again[len(again)-1].Kind == llm.EventFailure) != (events[len(events)-1].Kind == llm.EventFailure) {
		t.Fatalf("%q became another ending", in)
	}
}

func TestDamagedStreamsEndHonestly(t *testing.T) {
	t.Parallel()
	for name, in := range streams(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(3, uint64(len(in))))
			for range 60 {
				frames := bytes.SplitAfter(in, []byte("\n\n"))
				i, j := r.IntN(len(frames)), r.IntN(len(frames))
				switch r.IntN(4) {
				case 0:
					frames[i] = nil
				case 1:
					frames[i] = append(bytes.Clone(frames[i]), frames[j]...)
				case 2:
					frames[i], frames[j] = frames[j], frames[i]
				case 3:
					if n := len(frames[i]); n > 0 {
						k := r.IntN(n)
						frames[i] = append(bytes.Clone(frames[i][:k]), frames[i][k+1:]...)
					}
				}
				checkAny(t, bytes.Join(frames, nil))
			}
		})
	}
}
