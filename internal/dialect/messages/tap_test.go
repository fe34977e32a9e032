package messages_test

import (
	"cmp"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"detour/internal/dialect"
	"detour/internal/dialect/dialecttest"
	"detour/internal/dialect/messages"
	"detour/internal/llm"
)

// ev is an event as Anthropic sends it.
func ev(typ, members string) string {
	return "event: " + typ + "\ndata: {\"type\":\"" + typ + "\"" + members + "}\n\n"
}

func start() string {
	return ev("message_start", `,"message":{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"usage":{"input_tokens":10,"cache_read_input_tokens":4,"output_tokens":1}}`)
}

func textBlock(index string) string {
	return ev("content_block_start", `,"index":`+index+`,"content_block":{"type":"text","text":""}`) +
		ev("content_block_delta", `,"index":`+index+`,"delta":{"type":"text_delta","text":"a"}`)
}

func blockStop(index string) string { return ev("content_block_stop", `,"index":`+index) }

func end() string {
	return ev("message_delta", `,"delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":42}`) + ev("message_stop", "")
}

func suite() dialecttest.Suite {
	return dialecttest.Suite{
		Format: messages.Format{},
		Ending: ending,
		Edits: map[string]string{
			"05_no_event_lines":      "event lines are put in",
			"06_done_trailer":        "[DONE] is dropped",
			"07_index_gap":           "indexes without a gap",
			"08_index_from_1":        "indexes from 0",
			"09_no_message_stop":     "message_stop is put in",
			"10_no_message_delta":    "message_delta is put in",
			"11_delta_no_usage":      "usage is put in",
			"12_start_no_usage":      "usage is put in",
			"13_start_no_content":    "content is put in",
			"14_double_start":        "the second message_start is dropped",
			"24_start_input_string":  "input becomes {}",
			"25_start_input_missing": "input becomes {}",
			"29_no_start":            "message_start is put in",
			"31_no_block_stop":       "content_block_stop is put in",
			"36_no_final_newline":    "the last blank line is put in",
		},
		Start: start() + textBlock("0"),
		Delta: ev("content_block_delta", `,"index":0,"delta":{"type":"text_delta","text":"Hello"}`),
	}
}

// event is what a client decodes.
type event struct {
	Type    string           `json:"type"`
	Index   int              `json:"index"`
	Message *json.RawMessage `json:"message"`
	Error   *struct{ Type, Message string }
	Usage   *json.RawMessage
	Delta   struct {
		StopReason *string `json:"stop_reason"`
	}
}

// ending reads a stream as strictly as any client does.
func ending(stream []byte) dialecttest.Ending {
	started, reason, blocks := false, false, map[int]bool{}
	text := strings.TrimPrefix(strings.ReplaceAll(string(stream), "\r\n", "\n"), "\uFEFF")
	for frame := range strings.SplitSeq(text, "\n\n") {
		var name, data string
		for line := range strings.SplitSeq(frame, "\n") {
			field, value, _ := strings.Cut(line, ":")
			value = strings.TrimPrefix(value, " ")
			switch field {
			case "event":
				name = value
			case "data":
				data += value
			}
		}
		if data == "" {
			continue
		}
		var e event
		if err := json.Unmarshal([]byte(data), &e); err != nil {
			return dialecttest.Open
		}
		if e.Type != name && e.Type != "" {
			return dialecttest.Open
		}
		switch e.Type {
		case "error":
			if e.Error == nil || e.Error.Type == "" || e.Error.Message == "" {
				return dialecttest.Open
			}
			return dialecttest.Failed
		case "message_start":
			if started || e.Message == nil {
				return dialecttest.Open
			}
			started = true
		case "content_block_start":
			if e.Index != len(blocks) {
				return dialecttest.Open
			}
			blocks[e.Index] = true
		case "content_block_stop":
			blocks[e.Index] = false
		case "message_delta":
			if e.Usage == nil {
				return dialecttest.Open
			}
			reason = reason || e.Delta.StopReason != nil
		case "message_stop":
			for _, open := range blocks {
				if open {
					return dialecttest.Open
				}
			}
			if !started || !reason {
				return dialecttest.Open
			}
			return dialecttest.Clean
		}
	}
	return dialecttest.Open
}

func TestTapKeepsItsContract(t *testing.T) {
	t.Parallel()
	dialecttest.Run(t, suite())
}

func TestDeltaAllocatesNothing(t *testing.T) { suite().CheckAllocations(t) }

func TestInvariant2_TruncatedUpstreamNeverEndsClean(t *testing.T) {
	t.Parallel()
	files, _ := filepath.Glob("testdata/*.sse")
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			in, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			suite().CheckCuts(t, in, complete)
		})
	}
}

// complete reports whether the upstream itself said that the answer is whole: by a stop reason or message_stop.
func complete(part []byte) bool {
	for line := range strings.Lines(string(part)) {
		data, ok := strings.CutPrefix(strings.TrimRight(line, "\r\n"), "data:")
		var e event
		if !ok || json.Unmarshal([]byte(data), &e) != nil {
			continue
		}
		if e.Type == "message_stop" || e.Delta.StopReason != nil {
			return true
		}
	}
	return false
}

func TestCutFrameIsNotQuoted(t *testing.T) {
	t.Parallel()
	suite().CheckCutFrame(t)
}

func TestTapSurvivesDamagedStreams(t *testing.T) {
	t.Parallel()
	files, _ := filepath.Glob("testdata/*.sse")
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			in, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			suite().CheckDamaged(t, in, 25)
		})
	}
}

func TestInvariant10_UnknownFieldsSurviveByteForByte(t *testing.T) {
	t.Parallel()
	unknown := `"copilot_annotations":[{"a" : 1.0e0,"z":"<é\u00e9>"}],"zzz":{"b":2,"a":1}`
	in := `data: {` + unknown + `,"type":"message_start","message":{` + unknown + `,"id":"m"}}` + "\n\n" +
		`data: {"type":"content_block_start",` + unknown + `,"index":5,"content_block":{"type":"tool_use","id":"t","name":"n",` + unknown + `}}` + "\n\n" +
		"retry: 7\nevent: new_event\ndata:  {\"type\":\"new_event\"," + unknown + "}\n: c\nfoo: bar\n\n" +
		`data: {"type":"message_delta","delta":{"stop_reason":"tool_use",` + unknown + `}}` + "\n\n"
	got := dialecttest.Relay(messages.Format{}, dialecttest.Options(), strings.NewReader(in))
	if n := strings.Count(string(got.Out), unknown); n != 6 || got.Err != nil {
		t.Errorf("%d of 6 left, error %v in\n%s", n, got.Err, got.Out)
	}
	for _, keep := range []string{"retry: 7\n", ": c\nfoo: bar\n\n"} {
		if !strings.Contains(string(got.Out), keep) {
			t.Errorf("%q is gone from\n%s", keep, got.Out)
		}
	}
}

func TestTapMends(t *testing.T) {
	t.Parallel()
	const zeros = `"usage":{"input_tokens":0,"output_tokens":0}`
	toolBlock := ev("content_block_start", `,"index":0,"content_block":{"type":"tool_use","id":"t","name":"n","input":{}}`)
	for _, tc := range []struct{ name, in, want string }{
		{"event line that differs", start() + "event: message\ndata: {\"type\":\"ping\"}\n\n", start() + ev("ping", "")},
		{"type only in the event line", start() + "event: ping\ndata: {}\n\n", start() + "event: ping\ndata: {\"type\":\"ping\"}\n\n"},
		{"byte order mark before an event line that is put in", "\uFEFFdata: {\"type\":\"ping\"}\n\n", ev("ping", "")},
		{"delta without its block", start() + ev("content_block_delta", `,"index":0,"delta":{"type":"text_delta","text":"a"}`) + blockStop("0") + end(),
			start() + textBlock("0") + blockStop("0") + end()},
		{"thinking delta without its block", start() + ev("content_block_delta", `,"index":0,"delta":{"type":"thinking_delta","thinking":"a"}`),
			start() + ev("content_block_start", `,"index":0,"content_block":{"type":"thinking","thinking":"","signature":""}`)},
		{"arguments without their tool", start() + ev("content_block_delta", `,"index":0,"delta":{"type":"input_json_delta","partial_json":"{}"}`) + end(),
			start() + ev("error", `,"error":{"type":"api_error","message":"upstream sent tool arguments without the tool's name"}`)},
		{"index used again without a stop", start() + textBlock("0") + textBlock("0") + blockStop("0") + end(),
			start() + textBlock("0") + blockStop("0") + textBlock("1") + blockStop("1") + end()},
		{"stop twice", start() + textBlock("0") + blockStop("0") + blockStop("0") + end(), start() + textBlock("0") + blockStop("0") + end()},
		{"interleaved blocks stay as they are", start() + textBlock("0") + textBlock("1") + blockStop("0") + blockStop("1") + end(),
			start() + textBlock("0") + textBlock("1") + blockStop("0") + blockStop("1") + end()},
		{"message_stop after a tool without a stop reason", start() + ev("content_block_start", `,"index":0,"content_block":{"type":"tool_use","id":"t","name":"n","input":{}}`) + blockStop("0") + ev("message_stop", ""),
			start() + ev("content_block_start", `,"index":0,"content_block":{"type":"tool_use","id":"t","name":"n","input":{}}`) + blockStop("0") +
				ev("message_delta", `,"delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":1}`) + ev("message_stop", "")},
		{"end of the turn although tools are called", start() + toolBlock + blockStop("0") + textBlock("1") + blockStop("1") + end(),
			start() + toolBlock + blockStop("0") + textBlock("1") + blockStop("1") + strings.Replace(end(), "end_turn", "tool_use", 1)},
		{"limit although tools are called", start() + toolBlock + blockStop("0") + strings.Replace(end(), "end_turn", "max_tokens", 1),
			start() + toolBlock + blockStop("0") + strings.Replace(end(), "end_turn", "max_tokens", 1)},
		{"reason beside the delta", start() + toolBlock + blockStop("0") + ev("message_delta", `,"stop_reason":"end_turn","delta":null,"usage":{"output_tokens":2}`) + ev("message_stop", ""),
			start() + toolBlock + blockStop("0") + ev("message_delta", `,"stop_reason":"end_turn","delta":null,"usage":{"output_tokens":2}`) +
				ev("message_delta", `,"delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":2}`) + ev("message_stop", "")},
		{"end of the turn behind a hosted call", start() + strings.Replace(toolBlock, "tool_use", "server_tool_use", 1) + blockStop("0") + end(),
			start() + strings.Replace(toolBlock, "tool_use", "server_tool_use", 1) + blockStop("0") + end()},
		{"message_start without a message", ev("message_start", "") + end(),
			"event: message_start\ndata: {\"message\":{\"id\":\"minted\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"\",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null," + zeros + "},\"type\":\"message_start\"}\n\n" + end()},
		{"message_stop alone", ev("message_stop", ""), ev("error", `,"error":{"type":"api_error","message":"upstream sent an empty answer"}`)},
		{"error of another dialect", start() + `data: {"error":{"message":"slow down","code":"rate_limited"}}` + "\n\n",
			start() + ev("error", `,"error":{"type":"rate_limit_error","message":"slow down"}`)},
		{"error that is text", start() + `data: {"error":"no"}` + "\n\n", start() + ev("error", `,"error":{"type":"api_error","message":"no"}`)},
		{"context overflow in the stream", start() + ev("error", `,"error":{"type":"invalid_request_error","message":"prompt token count of 9 exceeds the limit of 8"}`),
			start() + ev("error", `,"error":{"type":"invalid_request_error","message":"prompt is too long: 9 tokens > 8 maximum (upstream: prompt token count of 9 exceeds the limit of 8)"}`)},
		{"nothing after the error", start() + ev("error", `,"error":{"type":"overloaded_error","message":"x"}`) + end(),
			start() + ev("error", `,"error":{"type":"overloaded_error","message":"x"}`)},
		{"plain text", start() + "data: rate limit exceeded\n\n" + end(),
			start() + ev("error", `,"error":{"type":"api_error","message":"upstream broke off with: rate limit exceeded"}`)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got := string(dialecttest.Relay(messages.Format{}, dialecttest.Options(), strings.NewReader(tc.in)).Out)
			if !strings.HasPrefix(got, tc.want) {
				t.Errorf("got\n%s\nwant\n%s", got, tc.want)
			}
		})
	}
}

func TestClassesLetTheRelayHoldBack(t *testing.T) {
	t.Parallel()
	in := ": c\n\n" + ev("ping", "") + start() + ev("ping", "") + textBlock("0") + blockStop("0") + end() + "data: [DONE]\n\n"
	const meta, content, terminal = dialect.Meta, dialect.Content, dialect.Terminal
	want := []dialect.Class{meta, meta, meta, meta, meta, content, content, terminal, terminal, meta} // text that is announced only is none yet
	if got := dialecttest.Relay(messages.Format{}, dialecttest.Options(), strings.NewReader(in)).Classes; !slices.Equal(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
}

func TestUsageOfStartAndDeltaIsMerged(t *testing.T) {
	t.Parallel()
	in := start() + ev("message_delta", `,"delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":42,"cache_creation_input_tokens":3,"cache_read_input_tokens":null,"output_tokens_details":{"thinking_tokens":7}},"copilot_usage":{"total_nano_aiu":5}`) + ev("message_stop", "")
	got := dialecttest.Relay(messages.Format{}, dialecttest.Options(), strings.NewReader(in)).Tap.Usage()
	if want := (llm.Usage{Input: 10, CacheRead: 4, CacheWrite: 3, Output: 42, Reasoning: 7, NanoAIU: 5, Priced: true, Reported: true}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestEndlessWhiteSpaceInArgumentsIsGivenUp(t *testing.T) {
	t.Parallel()
	in := start() + ev("content_block_start", `,"index":0,"content_block":{"type":"tool_use","id":"t","name":"n","input":{}}`) +
		strings.Repeat(ev("content_block_delta", `,"index":0,"delta":{"type":"input_json_delta","partial_json":"\n\t "}`), 60) + blockStop("0") + end()
	got := dialecttest.Relay(messages.Format{}, dialecttest.Options(), strings.NewReader(in))
	if ending(got.Out) != dialecttest.Failed || got.Tap.Failure().Code != "degenerate_output" {
		t.Errorf("not given up:\n%s", got.Out)
	}
}

func TestRepairCountsAndChangesNothing(t *testing.T) {
	t.Parallel()
	in := `{"id":"m","usage":{"input_tokens":1,"output_tokens":2},"x" : 1.0}`
	out, u := messages.Format{}.Repair([]byte(in), dialecttest.Options())
	if want := (llm.Usage{Input: 1, Output: 2, Reported: true}); string(out) != in || u != want {
		t.Errorf("got %s, %+v", out, u)
	}
}

func TestRepairMendsTheReasonOfAnswersThatCallTools(t *testing.T) {
	t.Parallel()
	const call = `"content":[{"type":"text","text":"x"},{"type":"tool_use","id":"t","name":"n","input":{"stop_reason":"end_turn"}}]`
	for in, want := range map[string]string{
		`{` + call + `,"stop_reason" : "end_turn","x":1.0}`:                          `{` + call + `,"stop_reason" : "tool_use","x":1.0}`,
		`{"stop_reason":"end_turn",` + call + `}`:                                    `{"stop_reason":"tool_use",` + call + `}`,
		`{"stop_reason":"max_tokens",` + call + `}`:                                  "",
		`{"stop_reason":null,` + call + `}`:                                          "",
		`{"stop_reason":"end_turn","content":[{"type":"text","text":"x"}]}`:          "",
		`{"stop_reason":"end_turn","content":[{"type":"server_tool_use","id":"t"}]}`: "",
		`{"stop_reason":"end_turn","content":[{"type":"tool_use"`:                    "",
		`[{"stop_reason":"end_turn","content":[{"type":"tool_use","name":"n"}]}]`:    "",
	} {
		out, _ := messages.Format{}.Repair([]byte(in), dialecttest.Options())
		if string(out) != cmp.Or(want, in) {
			t.Errorf("got  %s\nwant %s", out, cmp.Or(want, in))
		}
	}
}

func FuzzTap(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.sse")
	for _, file := range files {
		if in, err := os.ReadFile(file); err == nil {
			f.Add(in)
		}
	}
	f.Fuzz(func(t *testing.T, in []byte) { suite().CheckAny(t, in) })
}

func BenchmarkTapDelta(b *testing.B) { suite().Bench(b) }
