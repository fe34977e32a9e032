package chat_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"detour/internal/dialect/chat"
	"detour/internal/llm"
	"detour/internal/sse"
)

// eachFixture runs a test for each recorded stream.
func eachFixture(t *testing.T, run func(t *testing.T, name string, in []byte)) {
	t.Helper()
	files, err := filepath.Glob("testdata/*.sse")
	if err != nil || len(files) == 0 {
		t.Fatalf("no streams: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			in, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			run(t, filepath.Base(file), in)
		})
	}
}

// checkEvents asserts what holds for the events of any stream.
func checkEvents(t *testing.T, events []llm.Event) {
	t.Helper()
	blocks := map[int]bool{} // open
	for i, e := range events {
		last := i == len(events)-1
		switch e.Kind {
		case llm.EventBlock:
			if e.Block != len(blocks) || e.Part == nil {
				t.Fatalf("block %d begins after %d others", e.Block, len(blocks))
			}
			if e.Part.Kind == llm.PartCall && (e.Part.Call.ID == "" || e.Part.Call.Name == "") {
				t.Fatalf("call without id or name: %+v", e.Part.Call)
			}
			blocks[e.Block] = true
		case llm.EventText, llm.EventThinking, llm.EventArgs, llm.EventSeal, llm.EventCitation:
			if !blocks[e.Block] {
				t.Fatalf("event %d for block %d, which is not open", e.Kind, e.Block)
			}
		case llm.EventStop:
			if !blocks[e.Block] {
				t.Fatalf("block %d ends twice", e.Block)
			}
			blocks[e.Block] = false
		case llm.EventFinish, llm.EventFailure:
			if !last {
				t.Fatalf("the end is not the end:\n%s", printEvents(events))
			}
			for n, open := range blocks {
				if open && e.Kind == llm.EventFinish {
					t.Fatalf("block %d is open at the end", n)
				}
			}
		case llm.EventUsage:
			if u := e.Usage; min(u.Input, u.CacheRead, u.CacheWrite, u.Output, u.Reasoning) < 0 || u.Reasoning > u.Output {
				t.Fatalf("odd usage %+v", u)
			}
		case llm.EventStart:
			if i > 0 && events[i-1].Kind != llm.EventPing {
				t.Fatalf("start is event %d", i)
			}
		}
	}
	if len(events) == 0 || events[len(events)-1].Kind != llm.EventFinish && events[len(events)-1].Kind != llm.EventFailure {
		t.Fatalf("no end:\n%s", printEvents(events))
	}
}

func TestEventsAreTheSameHoweverTheBytesArrive(t *testing.T) {
	t.Parallel()
	eachFixture(t, func(t *testing.T, _ string, in []byte) {
		whole := decodeStream(bytes.NewReader(in))
		checkEvents(t, whole)
		bytewise := decodeStream(iotest.OneByteReader(bytes.NewReader(in)))
		if got, want := printEvents(bytewise), printEvents(whole); got != want {
			t.Errorf("byte by byte\n%s\nat once\n%s", got, want)
		}
		crlf := decodeStream(bytes.NewReader(bytes.ReplaceAll(in, []byte("\n"), []byte("\r\n"))))
		if got, want := printEvents(crlf), printEvents(whole); got != want {
			t.Errorf("with CRLF\n%s\nwith LF\n%s", got, want)
		}
	})
}

func TestTruncatedStreamIsAFailure(t *testing.T) {
	t.Parallel()
	eachFixture(t, func(t *testing.T, _ string, in []byte) {
		frames := bytes.SplitAfter(in, []byte("\n\n"))
		for n := range frames {
			part := bytes.Join(frames[:n], nil)
			events := decodeStream(bytes.NewReader(part))
			checkEvents(t, events)
			finished := events[len(events)-1].Kind == llm.EventFinish
			if finished && !complete(part) {
				t.Errorf("cut after %d frames: ends well\n%s", n, printEvents(events))
			}
			if out := encodeStream(events, options()); finished != (ending(out) == "clean") || ending(out) == "open" {
				t.Errorf("cut after %d frames: a client sees the ending %s of\n%s", n, ending(out), out)
			}
		}
		if complete(in) {
			return
		}
		if last := decodeStream(bytes.NewReader(in)); last[len(last)-1].Kind != llm.EventFailure {
			t.Errorf("ends well though the upstream never said so:\n%s", printEvents(last))
		}
	})
}

func TestCutInsideAFrameIsAFailure(t *testing.T) {
	t.Parallel()
	in := []byte(hello + stop)
	for n := len(hello) + 1; n < len(in)-3; n++ {
		events := decodeStream(bytes.NewReader(in[:n]))
		if last := events[len(events)-1]; last.Kind != llm.EventFailure || !errors.Is(last.Err, io.ErrUnexpectedEOF) {
			t.Fatalf("cut behind byte %d: %s", n, printEvents(events))
		}
	}
}

// TestStreamIsAFixedPoint encodes what a stream says and reads it again.
func TestStreamIsAFixedPoint(t *testing.T) {
	t.Parallel()
	eachFixture(t, func(t *testing.T, _ string, in []byte) {
		events := decodeStream(bytes.NewReader(in))
		o := options()
		o.Request.Tools = []llm.Tool{{Kind: llm.ToolCustom, Name: "apply_patch"}}
		out := encodeStream(events, o)
		again := decodeStream(bytes.NewReader(out))
		checkEvents(t, again)
		if events[len(events)-1].Kind == llm.EventFailure {
			if again[len(again)-1].Kind != llm.EventFailure {
				t.Errorf("the failure is gone from\n%s", out)
			}
			return
		}
		want, got := fold(t, events), fold(t, again)
		want.ID, want.Model = got.ID, got.Model
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v\nwant %+v\nfrom\n%s", got, want, out)
		}
		if third := encodeStream(again, o); !bytes.Equal(third, out) {
			t.Errorf("encoded again\n%s\nwant\n%s", third, out)
		}
	})
}

// answers returns answers as models give them. What Chat Completions cannot say is left out of them: the place of text
// between calls, several replay states, stop sequences.
func answers() map[string]llm.Answer {
	usage := llm.Usage{Input: 10, CacheRead: 4, CacheWrite: 3, Output: 9, Reasoning: 2, Reported: true}
	text := func(s string) llm.Part { return llm.Part{Kind: llm.PartText, Text: s} }
	call := func(id, name, arguments string) llm.Part {
		return llm.Part{Kind: llm.PartCall, Call: &llm.Call{ID: id, Name: name, Arguments: arguments}}
	}
	return map[string]llm.Answer{
		"text":           {Parts: []llm.Part{text("hi \"<&>\" \u2028 é 😀\n\t")}, Usage: usage, Stop: llm.StopEnd},
		"empty":          {Usage: usage, Stop: llm.StopEnd},
		"length":         {Parts: []llm.Part{text("half a")}, Usage: usage, Stop: llm.StopLength},
		"refusal":        {Parts: []llm.Part{{Kind: llm.PartRefusal, Text: "I will not"}}, Usage: usage, Stop: llm.StopFilter},
		"parallel calls": {Parts: []llm.Part{text("look"), call("a", "f", `{"x":"\n"}`), call("b", "f", "{}")}, Usage: usage, Stop: llm.StopTool},
		"cut call":       {Parts: []llm.Part{call("a", "f", `{"x":`)}, Usage: usage, Stop: llm.StopLength},
		"thinking": {Parts: []llm.Part{
			{Kind: llm.PartThinking, Text: "hm", Opaque: llm.Opaque{Kind: llm.OpaqueChat, Value: "blob"}}, text("so"), call("a", "f", "{}"),
		}, Usage: usage, Stop: llm.StopTool},
		"sealed only": {Parts: []llm.Part{
			{Kind: llm.PartThinking, Opaque: llm.Opaque{Kind: llm.OpaqueChat, Value: "blob"}}, text("so"),
		}, Usage: usage, Stop: llm.StopEnd},
		"no usage": {Parts: []llm.Part{text("x")}, Stop: llm.StopEnd},
		"cited": {Parts: []llm.Part{{Kind: llm.PartText, Text: "x", Citations: raw(
			`{"type":"url_citation","url_citation":{"url":"https://example.com","title":"t","start_index":0,"end_index":1}}`)}}, Stop: llm.StopEnd},
	}
}

func raw(s string) (list []json.RawMessage) { return append(list, json.RawMessage(s)) }

func TestAnswersComeBackAsTheyWere(t *testing.T) {
	t.Parallel()
	for name, want := range answers() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want.ID, want.Model = "chatcmpl-1", "asked-for"
			stream := encodeStream(want.Replay(nil), options())
			got := fold(t, decodeStream(bytes.NewReader(stream)))
			if !reflect.DeepEqual(*got, want) {
				t.Errorf("streamed: got %+v\nwant %+v\nin\n%s", *got, want, stream)
			}
			body := chat.Codec{}.EncodeAnswer(nil, &want, options())
			events, err := chat.Codec{}.DecodeAnswer(nil, body)
			if err != nil {
				t.Fatalf("%v in %s", err, body)
			}
			checkEvents(t, events)
			if got := fold(t, events); !reflect.DeepEqual(*got, want) {
				t.Errorf("whole: got %+v\nwant %+v\nin\n%s", *got, want, body)
			}
			if again := encodeStream(want.Replay(nil), options()); !bytes.Equal(again, stream) {
				t.Error("streamed differently again")
			}
		})
	}
}

// TestTranslatedDeltaAllocatesNothing measures a decoder and an encoder that are warm.
func TestTranslatedDeltaAllocatesNothing(t *testing.T) {
	for name, delta := range deltas() {
		t.Run(name, func(t *testing.T) {
			step := warm(t, delta)
			if n := testing.AllocsPerRun(100, step); n != 0 {
				t.Errorf("%v allocations", n)
			}
		})
	}
}

// deltas returns frames in the middle of an answer.
func deltas() map[string]string {
	part := func(s string) string {
		return prefix + `[{"index":0,"delta":{` + s + `},"finish_reason":null}]}` + "\n\n"
	}
	return map[string]string{
		"text":      part(`"content":" wor\nld \u00e9"`),
		"thinking":  part(`"content":null,"reasoning_text":"because \"x\""`),
		"arguments": part(`"tool_calls":[{"index":0,"function":{"arguments":"{\"path\":"}}]`),
	}
}

// warm returns a step that takes delta through a decoder and an encoder in the middle of an answer.
func warm(t testing.TB, delta string) func() {
	t.Helper()
	d := chat.Codec{}.NewDecoder()
	e := chat.Codec{}.NewEncoder(options())
	begin := prefix + `[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"c","type":"function","function":{"name":"f","arguments":""}}]}}]}` + "\n\n"
	if !strings.Contains(delta, "tool_calls") {
		begin = hello
	}
	var events []llm.Event
	var out []byte
	feed := func(f sse.Frame) {
		events = d.Decode(events[:0], f)
		out = out[:0]
		for _, ev := range events {
			out = e.Encode(out, ev)
		}
	}
	r := sse.NewReader(strings.NewReader(begin + delta + delta))
	var last sse.Frame
	for {
		f, err := r.Next()
		if err != nil {
			break
		}
		feed(f)
		last = sse.Frame{Data: bytes.Clone(f.Data), HasData: true, Raw: bytes.Clone(f.Raw)}
	}
	return func() {
		feed(last)
		if len(events) != 1 || !bytes.HasPrefix(out, []byte("data: {")) {
			t.Fatalf("events %v, out %q", events, out)
		}
	}
}

func FuzzDecodeStream(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.sse")
	for _, file := range files {
		in, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(in)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		events := decodeStream(bytes.NewReader(in))
		checkEvents(t, events)
		if got, want := printEvents(decodeStream(iotest.OneByteReader(bytes.NewReader(in)))), printEvents(events); got != want {
			t.Fatalf("byte by byte\n%s\nat once\n%s", got, want)
		}
		out := encodeStream(events, options())
		if end := ending(out); end == "open" || (end == "clean") != (events[len(events)-1].Kind == llm.EventFinish) {
			t.Fatalf("a client sees the ending %s of\n%s", end, out)
		}
		checkEvents(t, decodeStream(bytes.NewReader(out)))
	})
}

func FuzzDecodeAnswer(f *testing.F) {
	for _, a := range answers() {
		f.Add(chat.Codec{}.EncodeAnswer(nil, &a, options()))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		events, err := chat.Codec{}.DecodeAnswer(nil, in)
		if err != nil {
			return
		}
		checkEvents(t, events)
		body := chat.Codec{}.EncodeAnswer(nil, fold(t, events), options())
		if _, err := (chat.Codec{}).DecodeAnswer(nil, body); err != nil {
			t.Fatalf("%v in %s", err, body)
		}
	})
}
