package messages_test

import (
	"strconv"
	"strings"
	"testing"

	"detour/internal/llm"
)

// TestDecoderSeesThroughFaultsOfUpstreams has a stream for each fault that is not among the files of testdata.
func TestDecoderSeesThroughFaultsOfUpstreams(t *testing.T) {
	t.Parallel()
	tool := func(index, id string) string {
		return ev("content_block_start", `,"index":`+index+`,"content_block":{"type":"tool_use","id":"`+id+`","name":"f","input":{}}`)
	}
	fragment := func(index, s string) string {
		return ev("content_block_delta", `,"index":`+index+`,"delta":{"type":"input_json_delta","partial_json":`+strconv.Quote(s)+`}`)
	}
	reason := func(s, more string) string {
		return ev("message_delta", `,"delta":{"stop_reason":"`+s+`"`+more+`},"usage":{"output_tokens":2}`) + ev("message_stop", "")
	}
	for name, c := range map[string]struct{ in, want string }{
		"end_turn although tools were called": {
			start() + tool("0", "a") + fragment("0", "{}") + blockStop("0") + reason("end_turn", ""),
			"finish tool",
		},
		"tool_use although none was called": {start() + textBlock("0") + blockStop("0") + reason("tool_use", ""), "finish end"},
		"length with a partial tool":        {start() + tool("0", "a") + fragment("0", `{"a`) + reason("max_tokens", ""), "finish length"},
		"refusal is not the end":            {start() + reason("refusal", `,"stop_details":{"type":"refusal","category":"cyber","explanation":"No."}`), "block 0 refusal\ntext 0 \"No.\"\nstop 0\nusage in=10 read=4 write=0 out=2 think=0\nfinish filter"},
		"matched sequence":                  {start() + textBlock("0") + reason("stop_sequence", `,"stop_sequence":"END"`), `finish match "END"`},
		"pause":                             {start() + textBlock("0") + reason("pause_turn", ""), "finish pause"},
		"parallel calls in interleaved blocks": {
			start() + tool("0", "a") + tool("1", "b") + fragment("1", `{"b":1}`) + fragment("0", `{"a":1}`) + blockStop("0") + blockStop("1") + reason("tool_use", ""),
			"block 0 call id=a name=f \nblock 1 call id=b name=f \nargs 1 \"{\\\"b\\\":1}\"\nargs 0 \"{\\\"a\\\":1}\"\nstop 0\nstop 1",
		},
		"negative usage":            {start() + ev("message_delta", `,"delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":-5,"input_tokens":-1}`) + ev("message_stop", ""), "usage in=0 read=4 write=0 out=0"},
		"more thinking than output": {start() + ev("message_delta", `,"delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":5,"output_tokens_details":{"thinking_tokens":9}}`) + ev("message_stop", ""), "out=5 think=5"},
		"[DONE] inside":             {start() + "data: [DONE]\n\n" + textBlock("0") + reason("end_turn", ""), "finish end"},
		"words instead of JSON":     {start() + "data: upstream overloaded\n\n", "failure upstream broke off with: upstream overloaded"},
		"error of another dialect":  {start() + `data: {"error":{"message":"slow down","code":"rate_limited"}}` + "\n\n", "failure slow down (rate_limited)"},
		"arguments without a name":  {start() + fragment("0", "{}"), "failure upstream sent tool arguments without the tool's name"},
		"call without a name":       {start() + ev("content_block_start", `,"index":0,"content_block":{"type":"tool_use","id":"a"}`), "failure upstream calls a tool without naming it"},
		"white space without end":   {start() + tool("0", "a") + fragment("0", "{"+strings.Repeat("\n", 200)), "failure the model repeats white space"},
		"text without a start":      {start() + ev("content_block_delta", `,"index":0,"delta":{"type":"text_delta","text":"a"}`) + reason("end_turn", ""), "block 0 text\ntext 0 \"a\"\nstop 0"},
		"too many calls": {
			start() + func() (s string) {
				for i := range 129 {
					s += tool(strconv.Itoa(i), "a") + blockStop(strconv.Itoa(i))
				}
				return s
			}() + reason("tool_use", ""),
			"failure upstream calls too many tools in one answer",
		},
		"hosted call in fragments": {
			start() + ev("content_block_start", `,"index":0,"content_block":{"type":"server_tool_use","id":"s","name":"web_search","input":{}}`) + fragment("0", `{"query":"x"}`) + blockStop("0") + textBlock("1") + blockStop("1") + reason("end_turn", ""),
			`block 0 opaque {"type":"server_tool_use","id":"s","name":"web_search","input":{"query":"x"}}`,
		},
		"empty answer":      {ev("message_stop", ""), "failure upstream sent an empty answer"},
		"nothing at all":    {"", "failure unexpected EOF"},
		"ping":              {ev("ping", "") + start() + reason("end_turn", ""), "ping\nstart"},
		"cut in last frame": {start() + textBlock("0") + `event: message_delta` + "\n" + `data: {"type":"message_delta","delta":{"stop_reason":"end_t`, "failure unexpected EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			events := decode(strings.NewReader(c.in))
			if got := show(events); !strings.Contains(got, c.want) {
				t.Errorf("got\n%s\nwant in it\n%s", got, c.want)
			}
			for i, e := range events {
				if (e.Kind == llm.EventFinish || e.Kind == llm.EventFailure) && i != len(events)-1 {
					t.Errorf("events behind the end:\n%s", show(events))
				}
			}
		})
	}
}
