package chat_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"detour/internal/dialect"
	"detour/internal/dialect/chat"
)

// agentBody returns a request as coding agents send it: long instructions, 30 tools, and a history of calls with files
// and command output as results, 285 KB in all.
func agentBody(tb testing.TB) []byte {
	tb.Helper()
	code := strings.Repeat("func (s *Server) handle(w http.ResponseWriter, r *http.Request) {\n\tif err := s.check(r); err != nil {\n\t\thttp.Error(w, \"not allowed: \"+err.Error(), 403)\n\t}\n}\n", 9)
	prose := strings.Repeat("You are an agent that works in a terminal. Read files before you change them, and run the tests afterwards. ", 180)
	messages := []any{map[string]any{"role": "system", "content": prose}, map[string]any{"role": "user", "content": []any{
		map[string]any{"type": "text", "text": "<system-reminder>\nToday is Monday.\n</system-reminder>"},
		map[string]any{"type": "text", "text": "Fix the failing test – it says „nil pointer“."},
	}}}
	var tools []any
	for i := range 30 {
		properties := map[string]any{}
		for j := range 8 {
			properties[fmt.Sprintf("argument_%d", j)] = map[string]any{"type": "string", "description": "What the argument means, in one or two sentences."}
		}
		tools = append(tools, map[string]any{"type": "function", "function": map[string]any{
			"name": fmt.Sprintf("tool_%d", i), "description": strings.Repeat("It does something useful. ", 20),
			"parameters": map[string]any{"type": "object", "properties": properties, "required": []string{"argument_0"}},
		}})
	}
	body := map[string]any{"model": "m", "stream": true, "tools": tools, "reasoning_effort": "high", "stream_options": map[string]any{"include_usage": true}}
	size := 0
	for i := 0; size < 285<<10; i++ {
		id := fmt.Sprintf("call_%024d", i)
		messages = append(messages,
			map[string]any{"role": "assistant", "content": "Let me look at the next file.", "tool_calls": []any{map[string]any{
				"id": id, "type": "function", "function": map[string]any{"name": "tool_1", "arguments": `{"argument_0":"internal/server/handle.go","argument_1":"10"}`},
			}}},
			map[string]any{"role": "tool", "tool_call_id": id, "content": code})
		body["messages"] = messages
		if i%20 == 0 || size > 270<<10 {
			b, err := json.Marshal(body)
			if err != nil {
				tb.Fatal(err)
			}
			size = len(b)
		}
	}
	b, err := json.Marshal(body)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func BenchmarkRequest285KB(b *testing.B) {
	body := agentBody(b)
	b.Run("decode", func(b *testing.B) {
		b.SetBytes(int64(len(body)))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := (chat.Codec{}).DecodeRequest(body); err != nil {
				b.Fatal(err)
			}
		}
	})
	r, err := chat.Codec{}.DecodeRequest(body)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("encode", func(b *testing.B) {
		b.SetBytes(int64(len(body)))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := (chat.Codec{}).EncodeRequest(r, dialect.Target{Model: "m", CopilotCache: true}); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkTranslatedDelta(b *testing.B) {
	for name, delta := range deltas() {
		b.Run(name, func(b *testing.B) {
			step := warm(b, delta)
			b.ReportAllocs()
			for b.Loop() {
				step()
			}
		})
	}
}
