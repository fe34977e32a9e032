package messages_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"detour/internal/dialect"
	"detour/internal/dialect/messages"
	"detour/internal/llm"
	"detour/internal/sse"
)

// agentRequest is a request of 285 KB as agents send it: long instructions, 30 tools, many turns with source code.
func agentRequest(tb testing.TB) []byte {
	tb.Helper()
	source := strings.Repeat("func add(a, b int) int {\n\treturn a + b // \"sum\"\n}\n", 80)
	type object map[string]any
	var tools, turns []object
	for i := range 30 {
		tools = append(tools, object{
			"name": fmt.Sprintf("tool_%d", i), "description": strings.Repeat("Does what it says. ", 40),
			"input_schema": object{"type": "object", "properties": object{"path": object{"type": "string", "description": "A path."}, "n": object{"type": "integer"}}, "required": []string{"path"}},
		})
	}
	turns = append(turns, object{"role": "user", "content": []object{{"type": "text", "text": "fix it"}}})
	for i := range 50 {
		id := fmt.Sprintf("toolu_%d", i)
		turns = append(turns,
			object{"role": "assistant", "content": []object{
				{"type": "thinking", "thinking": "Let me see.", "signature": strings.Repeat("QUJD", 60)},
				{"type": "text", "text": "I read the file."},
				{"type": "tool_use", "id": id, "name": "tool_1", "input": object{"path": "/src/a.go"}},
			}},
			object{"role": "user", "content": []object{{"type": "tool_result", "tool_use_id": id, "content": source}}})
	}
	body, err := json.Marshal(object{
		"model": "claude", "max_tokens": 32000, "stream": true, "tools": tools, "messages": turns,
		"system":   []object{{"type": "text", "text": strings.Repeat("Be careful.\n", 1000), "cache_control": object{"type": "ephemeral"}}},
		"thinking": object{"type": "adaptive"},
	})
	if err != nil {
		tb.Fatal(err)
	}
	return body
}

func BenchmarkRequest(b *testing.B) {
	body := agentRequest(b)
	target := dialect.Target{Model: "m", Thinking: dialect.ThinkingAdaptive}
	b.Run("decode", func(b *testing.B) {
		b.SetBytes(int64(len(body)))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := (messages.Codec{}).DecodeRequest(body); err != nil {
				b.Fatal(err)
			}
		}
	})
	r, err := messages.Codec{}.DecodeRequest(body)
	if err != nil {
		b.Fatal(err)
	}
	r.Source = "responses"
	b.Run("encode", func(b *testing.B) {
		b.SetBytes(int64(len(body)))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := (messages.Codec{}).EncodeRequest(r, target); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// deltas are the frames of content that make up nearly all of a stream, by the state that they need.
var deltas = map[string]struct{ start, delta string }{
	"text": {
		`{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`,
		`{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hello \"wide\" world\n"}}`,
	},
	"thinking": {
		`{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}`,
		`{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"Let me see"}}`,
	},
	"arguments": {
		`{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"a","name":"f","input":{}}}`,
		`{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{\"path"}}`,
	},
}

// warm returns a decoder and an encoder that have seen the start, and the frame of the delta.
func warm(start, delta string) (dialect.Decoder, dialect.Encoder, sse.Frame) {
	d, e := messages.Codec{}.NewDecoder(), messages.Codec{}.NewEncoder(dialect.AnswerOptions{})
	frame := func(data string) sse.Frame {
		f, _ := sse.NewReader(strings.NewReader("data: " + data + "\n\n")).Next()
		f.Raw, f.Data = []byte(string(f.Raw)), []byte(string(f.Data))
		return f
	}
	var out []byte
	for _, ev := range d.Decode(nil, frame(start)) {
		out = e.Encode(out, ev)
	}
	return d, e, frame(delta)
}

func BenchmarkTranslatedDelta(b *testing.B) {
	for name, c := range deltas {
		d, e, f := warm(c.start, c.delta)
		var events []llm.Event
		var out []byte
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				events, out = d.Decode(events[:0], f), out[:0]
				for i := range events {
					out = e.Encode(out, events[i])
				}
			}
		})
	}
}

func TestTranslatedDeltaAllocatesNothing(t *testing.T) {
	for name, c := range deltas {
		d, e, f := warm(c.start, c.delta)
		events, out := make([]llm.Event, 0, 4), make([]byte, 0, 1024)
		n := testing.AllocsPerRun(100, func() {
			events, out = d.Decode(events[:0], f), out[:0]
			for i := range events {
				out = e.Encode(out, events[i])
			}
			if len(out) == 0 {
				t.Fatalf("%s: nothing came out", name)
			}
		})
		if n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
