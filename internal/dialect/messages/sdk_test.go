package messages_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/anthropics/anthropic-sdk-go"
	"github.com/anthropics/anthropic-sdk-go/option"

	"detour/internal/dialect"
	"detour/internal/dialect/messages"
	"detour/internal/llm"
)

// sdk reads a stream with the official SDK and prints what it makes of it.
func sdk(t *testing.T, stream []byte) (string, error) {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		_, _ = w.Write(stream)
	}))
	defer srv.Close()
	client := anthropic.NewClient(option.WithBaseURL(srv.URL), option.WithAPIKey("none"), option.WithMaxRetries(0))
	s := client.Messages.NewStreaming(t.Context(), anthropic.MessageNewParams{
		Model: "m", MaxTokens: 1, Messages: []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock("hi"))},
	})
	var m anthropic.Message
	for s.Next() {
		if err := m.Accumulate(s.Current()); err != nil {
			return "", fmt.Errorf("accumulate: %w", err)
		}
	}
	return printMessage(&m), s.Err()
}

func printMessage(m *anthropic.Message) string {
	var out strings.Builder
	for _, b := range m.Content {
		switch b.Type {
		case "text":
			fmt.Fprintf(&out, "text %q", b.Text)
			for _, c := range b.Citations {
				fmt.Fprintf(&out, " cites %s", c.CitedText)
			}
		case "thinking":
			fmt.Fprintf(&out, "thinking %q %s", b.Thinking, b.Signature)
		case "redacted_thinking":
			fmt.Fprintf(&out, "redacted %s", b.Data)
		case "tool_use":
			fmt.Fprintf(&out, "tool %s %s %s", b.ID, b.Name, b.Input)
		default:
			fmt.Fprintf(&out, "%s", b.Type)
		}
		out.WriteByte('\n')
	}
	fmt.Fprintf(&out, "%s %q in=%d read=%d write=%d out=%d", m.StopReason, m.StopSequence,
		m.Usage.InputTokens, m.Usage.CacheReadInputTokens, m.Usage.CacheCreationInputTokens, m.Usage.OutputTokens)
	return out.String()
}

func signature(value string) llm.Opaque { return llm.Opaque{Kind: llm.OpaqueSignature, Value: value} }

func carrier(value string) llm.Opaque { return llm.Opaque{Kind: llm.OpaqueCarrier, Value: value} }

func part(block int, p llm.Part) llm.Event {
	return llm.Event{Kind: llm.EventBlock, Block: block, Part: &p}
}

func call(block int, id, name string) llm.Event {
	return part(block, llm.Part{Kind: llm.PartCall, Call: &llm.Call{ID: id, Name: name}})
}

func text(block int, s string) llm.Event {
	return llm.Event{Kind: llm.EventText, Block: block, Delta: []byte(s)}
}

func thought(block int, s string) llm.Event {
	return llm.Event{Kind: llm.EventThinking, Block: block, Delta: []byte(s)}
}

func args(block int, s string) llm.Event {
	return llm.Event{Kind: llm.EventArgs, Block: block, Delta: []byte(s)}
}

func seal(block int, o llm.Opaque) llm.Event {
	return llm.Event{Kind: llm.EventSeal, Block: block, Part: &llm.Part{Opaque: o}}
}

func stop(block int) llm.Event { return llm.Event{Kind: llm.EventStop, Block: block} }

func finish(s llm.Stop) llm.Event { return llm.Event{Kind: llm.EventFinish, Stop: s} }

var begin = llm.Event{Kind: llm.EventStart, ID: "msg_1", Model: "m"}

var figures = llm.Event{Kind: llm.EventUsage, Usage: llm.Usage{Reported: true, Input: 7, CacheRead: 5, CacheWrite: 3, Output: 9, Reasoning: 2}}

// TestClientUnderstandsStream has the official SDK read what is written. Each case is a way in which upstreams' answers
// come, and is what a client must make of it.
func TestClientUnderstandsStream(t *testing.T) {
	t.Parallel()
	thinkingPart, textPart := llm.Part{Kind: llm.PartThinking}, llm.Part{Kind: llm.PartText}
	const tail = ` in=7 read=5 write=3 out=9`
	for name, c := range map[string]struct {
		o      dialect.AnswerOptions
		events []llm.Event
		want   string
	}{
		"text": {
			events: []llm.Event{part(0, textPart), text(0, "He\"l"), text(0, "lo\n\u2028é"), stop(0), figures, finish(llm.StopEnd)},
			want:   `text "He\"llo\n\u2028é"` + "\n" + `end_turn ""` + tail,
		},
		"empty answer has no blocks": {
			events: []llm.Event{figures, finish(llm.StopEnd)},
			want:   `end_turn ""` + tail,
		},
		"spurious empty text block before thinking": {
			events: []llm.Event{part(0, textPart), part(1, thinkingPart), thought(1, "hm"), seal(1, signature("S")), stop(1), text(0, "a"), stop(0), figures, finish(llm.StopEnd)},
			want:   "thinking \"hm\" S\ntext \"a\"\n" + `end_turn ""` + tail,
		},
		"last of several signatures goes out once": {
			events: []llm.Event{part(0, thinkingPart), thought(0, "hm"), seal(0, signature("A")), seal(0, signature("B")), stop(0), figures, finish(llm.StopEnd)},
			want:   "thinking \"hm\" B\n" + `end_turn ""` + tail,
		},
		"signature-only thinking is kept": {
			events: []llm.Event{part(0, thinkingPart), seal(0, carrier("dtr1.r.x")), stop(0), part(1, textPart), text(1, "a"), stop(1), figures, finish(llm.StopEnd)},
			want:   "thinking \"\" dtr1.r.x\ntext \"a\"\n" + `end_turn ""` + tail,
		},
		"late seal gets a thinking block of its own": {
			events: []llm.Event{part(0, thinkingPart), thought(0, "hm"), stop(0), part(1, textPart), text(1, "a"), seal(0, carrier("dtr1.c.x")), stop(1), figures, finish(llm.StopEnd)},
			want:   "thinking \"hm\" \ntext \"a\"\nthinking \"\" dtr1.c.x\n" + `end_turn ""` + tail,
		},
		"thinking without any state": {
			events: []llm.Event{part(0, thinkingPart), thought(0, "hm"), stop(0), figures, finish(llm.StopEnd)},
			want:   "thinking \"hm\" \n" + `end_turn ""` + tail,
		},
		"redacted thinking": {
			events: []llm.Event{part(0, llm.Part{Kind: llm.PartThinking, Redacted: true}), seal(0, llm.Opaque{Kind: llm.OpaqueRedacted, Value: "XX"}), stop(0), part(1, textPart), text(1, "a"), stop(1), figures, finish(llm.StopEnd)},
			want:   "redacted XX\ntext \"a\"\n" + `end_turn ""` + tail,
		},
		"foreign state never becomes a signature": {
			events: []llm.Event{part(0, thinkingPart), thought(0, "hm"), seal(0, llm.Opaque{Kind: llm.OpaqueEncrypted, Value: "gAAAA"}), stop(0), figures, finish(llm.StopEnd)},
			want:   "thinking \"hm\" \n" + `end_turn ""` + tail,
		},
		"interleaved parallel calls come one after another": {
			events: []llm.Event{
				call(0, "c1", "Read"), call(1, "c2", "Bash"), args(0, `{"a`), args(1, `{"b"`), part(2, textPart), args(0, `":1}`), text(2, "hi"),
				args(1, `:2}`), stop(1), stop(0), stop(2), figures, finish(llm.StopTool),
			},
			want: "tool c1 Read {\"a\":1}\ntool c2 Bash {\"b\":2}\ntext \"hi\"\n" + `tool_use ""` + tail,
		},
		"calls that never end are closed": {
			events: []llm.Event{call(0, "c1", "Read"), args(0, `{}`), call(1, "c2", "Read"), args(1, `{"x":[]}`), figures, finish(llm.StopEnd)},
			want:   "tool c1 Read {}\ntool c2 Read {\"x\":[]}\n" + `tool_use ""` + tail,
		},
		"text after a tool is not dropped": {
			events: []llm.Event{call(0, "c1", "Read"), args(0, `{}`), stop(0), part(1, textPart), text(1, "then"), stop(1), figures, finish(llm.StopTool)},
			want:   "tool c1 Read {}\ntext \"then\"\n" + `tool_use ""` + tail,
		},
		"late arguments after the end of a call": {
			events: []llm.Event{call(0, "c1", "Read"), args(0, `{}`), stop(0), args(0, `{"late":1}`), figures, finish(llm.StopTool)},
			want:   "tool c1 Read {}\n" + `tool_use ""` + tail,
		},
		"call without arguments": {
			events: []llm.Event{call(0, "c1", "Read"), stop(0), figures, finish(llm.StopTool)},
			want:   "tool c1 Read {}\n" + `tool_use ""` + tail,
		},
		"arguments that are no JSON": {
			events: []llm.Event{call(0, "c1", "Read"), args(0, "sorry, "), args(0, "no"), stop(0), figures, finish(llm.StopTool)},
			want:   "tool c1 Read {}\n" + `tool_use ""` + tail,
		},
		"a second object behind the arguments": {
			events: []llm.Event{call(0, "c1", "Read"), args(0, ` {"a":"}"`), args(0, `}{"b":2}`), stop(0), figures, finish(llm.StopTool)},
			want:   "tool c1 Read {\"a\":\"}\"}\n" + `tool_use ""` + tail,
		},
		"free text becomes an object": {
			events: []llm.Event{
				part(0, llm.Part{Kind: llm.PartCall, Call: &llm.Call{ID: "c1", Name: "patch", Kind: llm.ToolCustom}}),
				args(0, "*** \"Begin\"\n"), args(0, `\end`), stop(0), figures, finish(llm.StopTool),
			},
			want: `tool c1 patch {"input":"*** \"Begin\"\n\\end"}` + "\n" + `tool_use ""` + tail,
		},
		"ids that are illegal or used twice": {
			events: []llm.Event{call(0, "Read:0", "Read"), stop(0), call(1, "Read:0", "Read"), stop(1), call(2, "", "Read"), stop(2), figures, finish(llm.StopTool)},
			want: "tool " + dialect.CallID("Read:0") + " Read {}\ntool " + dialect.CallID("Read:0#2") + " Read {}\ntool " +
				dialect.CallID("msg_1#2") + " Read {}\n" + `tool_use ""` + tail,
		},
		"refusal": {
			events: []llm.Event{part(0, llm.Part{Kind: llm.PartRefusal}), text(0, "I can't."), stop(0), figures, finish(llm.StopFilter)},
			want:   "text \"I can't.\"\n" + `refusal ""` + tail,
		},
		"stop at the limit keeps its reason although tools were called": {
			events: []llm.Event{call(0, "c1", "Read"), args(0, `{"a":1}`), stop(0), figures, finish(llm.StopLength)},
			want:   "tool c1 Read {\"a\":1}\n" + `max_tokens ""` + tail,
		},
		"a call that waits when the limit comes is dropped": {
			events: []llm.Event{call(0, "c1", "Read"), args(0, `{"a":1}`), call(1, "c2", "Read"), args(1, `{"b`), figures, finish(llm.StopLength)},
			want:   "tool c1 Read {\"a\":1}\n" + `max_tokens ""` + tail,
		},
		"matched stop sequence": {
			events: []llm.Event{part(0, textPart), text(0, "a"), stop(0), figures, {Kind: llm.EventFinish, Stop: llm.StopMatch, StopSequence: "END"}},
			want:   "text \"a\"\n" + `stop_sequence "END"` + tail,
		},
		"stray stop sequence": {
			events: []llm.Event{part(0, textPart), text(0, "a"), stop(0), figures, {Kind: llm.EventFinish, Stop: llm.StopEnd, StopSequence: "END"}},
			want:   "text \"a\"\n" + `end_turn ""` + tail,
		},
		"thoughts are omitted, their state is not": {
			o:      dialect.AnswerOptions{Request: &llm.Request{Reasoning: llm.Reasoning{Display: "omitted"}}},
			events: []llm.Event{part(0, thinkingPart), thought(0, "hm"), seal(0, signature("S")), stop(0), part(1, textPart), text(1, "a"), stop(1), figures, finish(llm.StopEnd)},
			want:   "thinking \"\" S\ntext \"a\"\n" + `end_turn ""` + tail,
		},
		"a script that did not ask for thinking reads the text first": {
			o:      dialect.AnswerOptions{Request: &llm.Request{Reasoning: llm.Reasoning{Hidden: true}}},
			events: []llm.Event{part(0, thinkingPart), thought(0, "hm"), seal(0, signature("S")), stop(0), part(1, textPart), text(1, "a"), stop(1), figures, finish(llm.StopEnd)},
			want:   "text \"a\"\n" + `end_turn ""` + tail,
		},
		"hosted calls of the provider are not the client's to run": {
			events: []llm.Event{part(0, llm.Part{Kind: llm.PartCall, Call: &llm.Call{ID: "w", Kind: llm.ToolHosted, Name: "web_search"}}), stop(0), part(1, textPart), text(1, "a"), stop(1), figures, finish(llm.StopEnd)},
			want:   "text \"a\"\n" + `end_turn ""` + tail,
		},
		"negative counts": {
			events: []llm.Event{{Kind: llm.EventUsage, Usage: llm.Usage{Input: -5, Output: -1}}, finish(llm.StopEnd)},
			want:   `end_turn "" in=0 read=0 write=0 out=0`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stream := encode(c.o, append([]llm.Event{begin}, c.events...)...)
			got, err := sdk(t, stream)
			if err != nil || got != c.want {
				t.Errorf("got  %s, %v\nwant %s\nfrom %s", got, err, c.want, stream)
			}
			if e := ending(stream); e != "clean" {
				t.Errorf("a strict client sees the ending %s", e)
			}
			if n := bytes.Count(stream, []byte("signature_delta")); n > bytes.Count(stream, []byte(`"thinking","thinking":""`)) {
				t.Errorf("%d signatures in %s", n, stream)
			}
			// A whole answer says the same.
			var f llm.Folder
			for _, e := range append([]llm.Event{begin}, c.events...) {
				f.Add(e)
			}
			a, _ := f.Answer()
			body := messages.Codec{}.EncodeAnswer(nil, a, c.o)
			var m anthropic.Message
			if err := json.Unmarshal(body, &m); err != nil {
				t.Fatalf("%v: %s", err, body)
			}
			if whole := printMessage(&m); whole != got && !wholeDiffers(name) {
				t.Errorf("whole answer\n%s\nstream\n%s", whole, got)
			}
		})
	}
}

// wholeDiffers says where a whole answer is better than a stream can be: its parts are in order and complete.
func wholeDiffers(name string) bool {
	switch name {
	case "late seal gets a thinking block of its own", "late arguments after the end of a call", "spurious empty text block before thinking":
		return true
	}
	return false
}

func TestFailureEndsTheStreamWithAnError(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err  error
		want []string
	}{
		"cut off":                 {io.ErrUnexpectedEOF, []string{`"api_error"`, "ended early"}},
		"overloaded":              {&dialect.Failure{Status: 529, Message: "busy"}, []string{`"overloaded_error"`, "busy"}},
		"rate limit":              {&dialect.Failure{Status: 429, Message: "slow"}, []string{`"rate_limit_error"`, "slow"}},
		"prompt that is too long": {&dialect.Failure{Code: "context_length_exceeded", Message: "no"}, []string{`"invalid_request_error"`, "prompt is too long", "no"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out := encode(dialect.AnswerOptions{}, begin, call(0, "c", "Read"), args(0, `{"a`),
				llm.Event{Kind: llm.EventFailure, Err: c.err}, finish(llm.StopEnd), text(0, "more"))
			if ending(out) != "failed" || bytes.Contains(out, []byte("message_stop")) {
				t.Errorf("got %s", out)
			}
			_, err := sdk(t, out)
			for _, want := range c.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("the client sees %v, want %s", err, want)
				}
			}
		})
	}
}

func TestPingMayComeBetweenAnyEvents(t *testing.T) {
	t.Parallel()
	e := messages.Codec{}.NewEncoder(dialect.AnswerOptions{})
	out := e.Ping(nil)
	for _, ev := range []llm.Event{begin, call(0, "c", "Read"), args(0, `{"a":`), args(0, `1}`), stop(0), figures, finish(llm.StopTool)} {
		out = e.Ping(e.Encode(out, ev))
	}
	got, err := sdk(t, out)
	if want := "tool c Read {\"a\":1}\n" + `tool_use "" in=7 read=5 write=3 out=9`; err != nil || got != want {
		t.Errorf("got %s, %v", got, err)
	}
	if bytes.HasSuffix(out, []byte("ping\"}\n\n")) {
		t.Error("a ping behind the end")
	}
}

func TestSDKUnderstandsReencodedFixtures(t *testing.T) {
	t.Parallel()
	fixtures(t, func(t *testing.T, name string, in []byte) {
		out := encode(dialect.AnswerOptions{}, decode(bytes.NewReader(in))...)
		got, err := sdk(t, out)
		if failed := bytes.Contains(out, []byte("event: error")); failed != (err != nil) {
			t.Fatalf("got %s, %v from %s", got, err, out)
		}
		if e := ending(out); e == "open" {
			t.Errorf("open end: %s", out)
		}
	})
}
