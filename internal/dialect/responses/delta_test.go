package responses_test

import (
	"bytes"
	"strings"
	"testing"

	"detour/internal/dialect/rawjson"
	"detour/internal/dialect/responses"
	"detour/internal/llm"
	"detour/internal/sse"
)

// deltas are events in the middle of an answer, by name, with all that comes before each.
func deltas() map[string][2]string {
	item := func(typ, members string) string {
		return created("resp_1") + ev("response.output_item.added", 1, `"output_index":0,"item":{"id":"x_1","type":"`+typ+`"`+members+`}`)
	}
	delta := func(typ, members string) string {
		return ev("response."+typ+".delta", 3, `"item_id":"x_1","output_index":0,`+members+`"delta":"Hello \"there\"\n","obfuscation":"abc"`)
	}
	return map[string][2]string{
		"text":      {item("message", `,"content":[]`), delta("output_text", `"content_index":0,"logprobs":[],`)},
		"thinking":  {item("reasoning", `,"summary":[]`), delta("reasoning_summary_text", `"summary_index":0,`)},
		"arguments": {item("function_call", `,"call_id":"c","name":"f","arguments":""`), delta("function_call_arguments", ``)},
		"input":     {item("custom_tool_call", `,"call_id":"c","name":"f","input":""`), delta("custom_tool_call_input", ``)},
	}
}

// step returns what takes one delta from the upstream's frame to the client's.
func step(t testing.TB, before, delta string) func() {
	d := responses.Codec{}.NewDecoder()
	e := responses.Codec{}.NewEncoder(options())
	events := make([]llm.Event, 0, 8)
	out := make([]byte, 0, 1<<16)
	feed := func(f sse.Frame) {
		events = d.Decode(events[:0], f)
		out = out[:0]
		for i := range events {
			out = e.Encode(out, events[i])
		}
	}
	var last sse.Frame
	r := sse.NewReader(strings.NewReader(before + delta))
	for {
		f, err := r.Next()
		if err != nil {
			break
		}
		last = f
		feed(f)
	}
	frame := sse.Frame{Event: []byte(string(last.Event)), Data: []byte(string(last.Data)), HasData: true, Raw: []byte(string(last.Raw))}
	for range 2000 {
		feed(frame) // the text that is kept for the end has room for more then
	}
	return func() {
		feed(frame)
		if !bytes.Contains(out, []byte(".delta")) {
			t.Fatalf("got %q", out)
		}
	}
}

func TestTranslatedDeltaAllocatesNothing(t *testing.T) {
	for name, d := range deltas() {
		take := step(t, d[0], d[1])
		if n := testing.AllocsPerRun(100, take); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func BenchmarkTranslatedDelta(b *testing.B) {
	for name, d := range deltas() {
		b.Run(name, func(b *testing.B) {
			take := step(b, d[0], d[1])
			for b.Loop() {
				take()
			}
		})
	}
}

// BenchmarkCheck is what looking at the same request once costs: the measure for BenchmarkRequest on a busy machine.
func BenchmarkCheck(b *testing.B) {
	body := codexBody(54)
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		if !rawjson.Valid(body) {
			b.Fatal("not valid")
		}
	}
}
