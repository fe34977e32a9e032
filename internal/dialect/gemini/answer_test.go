package gemini_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"detour/internal/dialect"
	"detour/internal/dialect/gemini"
	"detour/internal/llm"
	"detour/internal/sse"
)

// The shape of an answer on the wire, as the API documents it. It shares no code with the package.
type (
	wireAnswer struct {
		Candidates []struct {
			Content struct {
				Role  string     `json:"role"`
				Parts []wirePart `json:"parts"`
			} `json:"content"`
			FinishReason  string `json:"finishReason"`
			FinishMessage string `json:"finishMessage"`
		} `json:"candidates"`
		UsageMetadata *wireUsage `json:"usageMetadata"`
		ModelVersion  string     `json:"modelVersion"`
		ResponseID    string     `json:"responseId"`
		Error         *wireError `json:"error"`
	}
	wirePart struct {
		Text             *string         `json:"text,omitempty"`
		Thought          bool            `json:"thought,omitempty"`
		ThoughtSignature []byte          `json:"thoughtSignature,omitempty"`
		FunctionCall     *wireCall       `json:"functionCall,omitempty"`
		InlineData       json.RawMessage `json:"inlineData,omitempty"`
	}
	wireCall struct {
		ID   string          `json:"id"`
		Name string          `json:"name"`
		Args json.RawMessage `json:"args"`
	}
	wireUsage struct{ PromptTokenCount, CandidatesTokenCount, ThoughtsTokenCount, CachedContentTokenCount, TotalTokenCount int }
	wireError struct {
		Code    int
		Message string
		Status  string
		Details []json.RawMessage
	}
)

// streamed is what a client makes of a stream.
type streamed struct {
	parts   []wirePart
	finish  string
	message string
	usage   *wireUsage
	model   string
	id      string
	err     *wireError
}

// readStream reads a stream strictly: nothing but data lines and blank ones, a chunk on one line, nothing behind the end.
func readStream(t *testing.T, stream []byte, array bool) streamed {
	t.Helper()
	var chunks []wireAnswer
	if array {
		if err := json.Unmarshal(stream, &chunks); err != nil {
			t.Fatalf("%v in %s", err, stream)
		}
	} else {
		for frame := range strings.SplitSeq(string(stream), "\n\n") {
			if frame == "" {
				continue
			}
			data, ok := strings.CutPrefix(frame, "data: ")
			if !ok || strings.ContainsAny(data, "\r\n") {
				t.Fatalf("frame %q", frame)
			}
			var c wireAnswer
			if err := json.Unmarshal([]byte(data), &c); err != nil {
				t.Fatalf("%v in %q", err, frame)
			}
			chunks = append(chunks, c)
		}
	}
	var s streamed
	for i, c := range chunks {
		if s.err != nil || s.finish != "" && (c.UsageMetadata == nil || c.Candidates[0].FinishReason != "") {
			t.Fatalf("chunk %d behind the end of\n%s", i, stream)
		}
		s.err = c.Error
		if c.UsageMetadata != nil {
			s.usage = c.UsageMetadata
		}
		if c.Error == nil {
			s.model, s.id = c.ModelVersion, c.ResponseID
		}
		for _, cand := range c.Candidates {
			if cand.Content.Role != "model" || cand.Content.Parts == nil {
				t.Fatalf("chunk %d without role or parts in\n%s", i, stream)
			}
			for _, p := range cand.Content.Parts {
				if p.Text == nil || *p.Text != "" || p.ThoughtSignature != nil {
					s.parts = append(s.parts, p)
				}
			}
			if cand.FinishReason != "" {
				s.finish, s.message = cand.FinishReason, cand.FinishMessage
			}
		}
	}
	return s
}

func encode(c gemini.Codec, o dialect.AnswerOptions, events []llm.Event) []byte {
	e := c.NewEncoder(o)
	var out []byte
	for _, ev := range events {
		out = e.Encode(out, ev)
	}
	return out
}

// echo sends parts back as history and returns what they are decoded to.
func echo(t *testing.T, parts ...wirePart) []llm.Part {
	t.Helper()
	body := mustJSON(map[string]any{"contents": []any{
		map[string]any{"role": "user", "parts": []any{map[string]any{"text": "hi"}}},
		map[string]any{"role": "model", "parts": parts},
		map[string]any{"role": "user", "parts": []any{map[string]any{"text": "go on"}}},
	}})
	r, err := gemini.Codec{Model: "m"}.DecodeRequest(body)
	if err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	if len(r.Turns) != 3 {
		return nil
	}
	return r.Turns[1].Parts
}

// generate makes an answer at random. Its carriers are what the router makes of foreign state.
func generate(r *rand.Rand) *llm.Answer {
	a := &llm.Answer{ID: "id1", Model: "up", Stop: llm.StopEnd, Usage: llm.Usage{Input: 5, CacheRead: 3, CacheWrite: 2, Output: 9, Reasoning: 4, Reported: true}}
	texts := []string{"a", "grüße \U0001f600\n\"x\"\\", "\u2028<b>&", strings.Repeat("long ", 50)}
	for i := range r.IntN(6) {
		switch r.IntN(4) {
		case 0:
			p := llm.Part{Kind: llm.PartThinking, Text: texts[r.IntN(len(texts))]}
			if r.IntN(3) > 0 {
				p.Opaque = llm.Opaque{Kind: llm.OpaqueCarrier, Value: fmt.Sprintf("dtr1.a.x.%d", i)}
			}
			if p.Opaque.Kind != "" && r.IntN(3) == 0 {
				p.Text = ""
			}
			a.Parts = append(a.Parts, p)
		case 1:
			a.Parts = append(a.Parts, llm.Part{Kind: llm.PartText, Text: texts[r.IntN(len(texts))]})
		default:
			args := []string{`{}`, `{"a":1.50,"b":[null,"x\ny"]}`, `{"big":12345678901234567890}`}[r.IntN(3)]
			a.Parts = append(a.Parts, llm.Part{Kind: llm.PartCall, Call: &llm.Call{ID: fmt.Sprintf("c%d", i), Name: "f", Arguments: args}})
			a.Stop = llm.StopTool
		}
	}
	return a
}

// wanted is what comes back of an answer: neighbouring texts are one, and so are thoughts up to the one with state.
func wanted(a *llm.Answer) []llm.Part {
	var out []llm.Part
	for _, p := range a.Parts {
		if n := len(out); n > 0 && p.Text != "" && out[n-1].Kind == p.Kind && out[n-1].Opaque.Kind == "" && p.Kind != llm.PartCall {
			out[n-1].Text += p.Text
			out[n-1].Opaque = p.Opaque
			continue
		} else if n > 0 && p.Kind == llm.PartThinking && p.Text == "" && out[n-1].Kind == p.Kind && out[n-1].Opaque.Kind == "" {
			out[n-1].Opaque = p.Opaque
			continue
		}
		out = append(out, p)
	}
	return out
}

func TestAnswersComeBackAsTheyWere(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for range 400 {
		a := generate(r)
		want := wanted(a)
		events := a.Replay(nil)
		for _, array := range []bool{false, true} {
			stream := encode(gemini.Codec{Array: array}, dialect.AnswerOptions{}, events)
			got := readStream(t, stream, array)
			if bytes.Contains(stream, []byte(`"parts":[]`)) {
				t.Fatalf("a chunk without parts makes chats forget the turn:\n%s", stream)
			}
			if parts := echo(t, got.parts...); !reflect.DeepEqual(parts, want) {
				t.Fatalf("streamed (array %v)\n%s\ncame back as\n%s\nwant\n%s", array, stream, show(parts), show(want))
			}
			if again := encode(gemini.Codec{Array: array}, dialect.AnswerOptions{}, events); !bytes.Equal(again, stream) {
				t.Fatal("the same events became other bytes")
			}
		}
		whole := gemini.Codec{}.EncodeAnswer(nil, a, dialect.AnswerOptions{})
		var w wireAnswer
		if err := json.Unmarshal(whole, &w); err != nil {
			t.Fatal(err)
		}
		if parts := echo(t, w.Candidates[0].Content.Parts...); !reflect.DeepEqual(parts, want) {
			t.Fatalf("whole\n%s\ncame back as\n%s\nwant\n%s", whole, show(parts), show(want))
		}
	}
}

func show(parts []llm.Part) string {
	var b strings.Builder
	for _, p := range parts {
		fmt.Fprintln(&b, printPart(p))
	}
	return b.String()
}

func TestFinishReasons(t *testing.T) {
	t.Parallel()
	call := llm.Part{Kind: llm.PartCall, Call: &llm.Call{ID: "c", Name: "f", Arguments: `{"a":1}`}}
	cut := llm.Part{Kind: llm.PartCall, Call: &llm.Call{ID: "d", Name: "g", Arguments: `{"a":`}}
	for name, tc := range map[string]struct {
		parts  []llm.Part
		stop   llm.Stop
		finish string
		calls  int
	}{
		"end":                              {nil, llm.StopEnd, "STOP", 0},
		"unknown is end":                   {nil, llm.StopUnknown, "STOP", 0},
		"stop sequence":                    {nil, llm.StopMatch, "STOP", 0},
		"pause":                            {nil, llm.StopPause, "STOP", 0},
		"tools finish with STOP":           {[]llm.Part{call}, llm.StopTool, "STOP", 1},
		"length":                           {nil, llm.StopLength, "MAX_TOKENS", 0},
		"context window":                   {nil, llm.StopWindow, "MAX_TOKENS", 0},
		"filter":                           {nil, llm.StopFilter, "SAFETY", 0},
		"refusal that ended well":          {[]llm.Part{{Kind: llm.PartRefusal, Text: "no"}}, llm.StopEnd, "SAFETY", 0},
		"length with partial tool":         {[]llm.Part{call, cut}, llm.StopLength, "MAX_TOKENS", 1},
		"arguments that are no object":     {[]llm.Part{call, cut}, llm.StopTool, "MALFORMED_FUNCTION_CALL", 1},
		"arguments that are another value": {[]llm.Part{{Kind: llm.PartCall, Call: &llm.Call{Name: "h", Arguments: `[1]`}}}, llm.StopTool, "MALFORMED_FUNCTION_CALL", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := &llm.Answer{Parts: tc.parts, Stop: tc.stop}
			got := readStream(t, encode(gemini.Codec{}, dialect.AnswerOptions{}, a.Replay(nil)), false)
			var w wireAnswer
			if err := json.Unmarshal(gemini.Codec{}.EncodeAnswer(nil, a, dialect.AnswerOptions{}), &w); err != nil {
				t.Fatal(err)
			}
			calls := 0
			for _, p := range got.parts {
				if p.FunctionCall != nil {
					calls++
				}
			}
			if got.finish != tc.finish || w.Candidates[0].FinishReason != tc.finish || calls != tc.calls {
				t.Errorf("streamed %s, whole %s, %d calls; want %s, %d", got.finish, w.Candidates[0].FinishReason, calls, tc.finish, tc.calls)
			}
			if (got.message != "") != (tc.finish == "MALFORMED_FUNCTION_CALL") {
				t.Errorf("finishMessage %q", got.message)
			}
		})
	}
}

func TestUsageArithmetic(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		usage llm.Usage
		want  *wireUsage
	}{
		"reasoning is not among the candidates, cache is part of the prompt": {
			llm.Usage{Input: 10, CacheRead: 4, CacheWrite: 2, Output: 9, Reasoning: 3, Reported: true}, &wireUsage{16, 6, 3, 4, 25},
		},
		"negative and odd figures are clamped": {
			llm.Usage{Input: -10, CacheRead: -1, Output: 2, Reasoning: 5, Reported: true}, &wireUsage{0, 0, 2, 0, 2},
		},
		"none reported": {llm.Usage{}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := &llm.Answer{Usage: tc.usage, Stop: llm.StopEnd}
			got := readStream(t, encode(gemini.Codec{}, dialect.AnswerOptions{}, a.Replay(nil)), false)
			var w wireAnswer
			if err := json.Unmarshal(gemini.Codec{}.EncodeAnswer(nil, a, dialect.AnswerOptions{}), &w); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got.usage, tc.want) || !reflect.DeepEqual(w.UsageMetadata, tc.want) {
				t.Errorf("streamed %+v, whole %+v, want %+v", got.usage, w.UsageMetadata, tc.want)
			}
		})
	}
}

func TestUsageBehindTheFinishIsNotLost(t *testing.T) {
	t.Parallel()
	u := llm.Event{Kind: llm.EventUsage, Usage: llm.Usage{Input: 1, Output: 2, Reported: true}}
	fin := llm.Event{Kind: llm.EventFinish, Stop: llm.StopEnd}
	got := readStream(t, encode(gemini.Codec{}, dialect.AnswerOptions{}, []llm.Event{{Kind: llm.EventStart}, fin, u, u}), false)
	if got.usage == nil || got.usage.TotalTokenCount != 3 || got.finish != "STOP" {
		t.Errorf("got %+v", got)
	}
	readStream(t, encode(gemini.Codec{Array: true}, dialect.AnswerOptions{}, []llm.Event{fin, u}), true)
}

func TestTheClientsOwnModelNameIsAnswered(t *testing.T) {
	t.Parallel()
	start := llm.Event{Kind: llm.EventStart, Model: "gpt-5", ID: "resp_1"}
	fin := llm.Event{Kind: llm.EventFinish, Stop: llm.StopEnd}
	got := readStream(t, encode(gemini.Codec{}, dialect.AnswerOptions{Model: "gemini-x", ID: "minted"}, []llm.Event{start, fin}), false)
	if got.model != "gemini-x" || got.id != "resp_1" {
		t.Errorf("model %q id %q", got.model, got.id)
	}
	got = readStream(t, encode(gemini.Codec{}, dialect.AnswerOptions{Model: "gemini-x", ID: "minted"}, []llm.Event{fin}), false)
	if got.model != "gemini-x" || got.id != "minted" {
		t.Errorf("without a start: model %q id %q", got.model, got.id)
	}
}

func TestThoughtsThatAreNotWantedAreHeldBackTheirStateIsNot(t *testing.T) {
	t.Parallel()
	a := &llm.Answer{Stop: llm.StopEnd, Parts: []llm.Part{
		{Kind: llm.PartThinking, Text: "secret plan", Opaque: llm.Opaque{Kind: llm.OpaqueCarrier, Value: "dtr1.r.x"}},
		{Kind: llm.PartText, Text: "hi"},
	}}
	o := dialect.AnswerOptions{Request: &llm.Request{Reasoning: llm.Reasoning{Hidden: true}}}
	stream := encode(gemini.Codec{}, o, a.Replay(nil))
	whole := gemini.Codec{}.EncodeAnswer(nil, a, o)
	want := base64.StdEncoding.EncodeToString([]byte("dtr1.r.x"))
	for _, out := range [][]byte{stream, whole} {
		if bytes.Contains(out, []byte("secret")) || bytes.Count(out, []byte(want)) != 1 {
			t.Errorf("got %s", out)
		}
	}
}

func TestStateOfOtherDialectsIsNotWrittenBare(t *testing.T) {
	t.Parallel()
	a := &llm.Answer{Stop: llm.StopEnd, Parts: []llm.Part{{Kind: llm.PartThinking, Text: "t", Opaque: llm.Opaque{Kind: llm.OpaqueSignature, Value: "c2ln"}}}}
	if out := encode(gemini.Codec{}, dialect.AnswerOptions{}, a.Replay(nil)); bytes.Contains(out, []byte("thoughtSignature")) {
		t.Errorf("got %s", out)
	}
}

func TestABrokenAnswerEndsWithAnError(t *testing.T) {
	t.Parallel()
	a := generate(rand.New(rand.NewPCG(3, 3)))
	a.Parts = append(a.Parts, llm.Part{Kind: llm.PartText, Text: "end"})
	events := a.Replay(nil)
	for cut := range len(events) - 1 {
		for _, array := range []bool{false, true} {
			part := append(events[:cut:cut], llm.Event{Kind: llm.EventFailure, Err: &dialect.Failure{Status: 503, Message: "busy"}},
				llm.Event{Kind: llm.EventUsage, Usage: llm.Usage{Output: 1, Reported: true}}, llm.Event{Kind: llm.EventFinish, Stop: llm.StopEnd})
			got := readStream(t, encode(gemini.Codec{Array: array}, dialect.AnswerOptions{}, part), array)
			if got.finish != "" || got.err == nil || got.err.Code != 503 || got.err.Status != "UNAVAILABLE" || got.err.Message != "busy" {
				t.Fatalf("cut behind event %d: %+v", cut, got)
			}
		}
	}
}

func TestAnErrorWithoutAFailureNamesNoAddress(t *testing.T) {
	t.Parallel()
	out := encode(gemini.Codec{}, dialect.AnswerOptions{}, []llm.Event{{Kind: llm.EventFailure, Err: errors.New("read tcp 10.0.0.1:443: reset")}})
	if got := readStream(t, out, false); got.err == nil || strings.Contains(got.err.Message, "10.0.0.1") {
		t.Errorf("got %+v", got.err)
	}
}

func TestParallelCallsAreWrittenWholeAndInTheirOrder(t *testing.T) {
	t.Parallel()
	begin := func(i int, name string) llm.Event {
		return llm.Event{Kind: llm.EventBlock, Block: i, Part: &llm.Part{Kind: llm.PartCall, Call: &llm.Call{ID: "id" + name, Name: name}}}
	}
	args := func(i int, s string) llm.Event {
		return llm.Event{Kind: llm.EventArgs, Block: i, Delta: []byte(s)}
	}
	stop := func(i int) llm.Event { return llm.Event{Kind: llm.EventStop, Block: i} }
	out := encode(gemini.Codec{}, dialect.AnswerOptions{}, []llm.Event{
		begin(0, "A"), begin(1, "B"), begin(2, "C"), args(1, "{\n \"b\""), args(0, `{"a":`), args(1, ":1\n}"), stop(1), args(0, `2}`), stop(0),
		{Kind: llm.EventFinish, Stop: llm.StopTool}, // C never stops, and has no arguments
	})
	got := readStream(t, out, false)
	var names []string
	for _, p := range got.parts {
		names = append(names, p.FunctionCall.Name+string(p.FunctionCall.Args))
	}
	if want := []string{`A{"a":2}`, `B{  "b":1 }`, `C{}`}; !reflect.DeepEqual(names, want) || got.finish != "STOP" {
		t.Errorf("got %q, want %q, finish %s", names, want, got.finish)
	}
}

func TestTextAfterAToolIsNotDropped(t *testing.T) {
	t.Parallel()
	a := &llm.Answer{Stop: llm.StopTool, Parts: []llm.Part{
		{Kind: llm.PartCall, Call: &llm.Call{Name: "f"}}, {Kind: llm.PartText, Text: "after"}, {Kind: llm.PartImage, Media: &llm.Media{Type: "image/png", Data: "aGk="}},
	}}
	got := readStream(t, encode(gemini.Codec{}, dialect.AnswerOptions{}, a.Replay(nil)), false)
	if len(got.parts) != 3 || got.parts[1].Text == nil || *got.parts[1].Text != "after" || string(got.parts[2].InlineData) != `{"mimeType":"image/png","data":"aGk="}` {
		t.Errorf("got %+v", got.parts)
	}
}

func TestCallsThatClientsOfOthersDeclare(t *testing.T) {
	t.Parallel()
	a := &llm.Answer{Stop: llm.StopTool, Parts: []llm.Part{
		{Kind: llm.PartCall, Call: &llm.Call{Name: "patch", Kind: llm.ToolCustom, Arguments: " *** Begin\n"}},
		{Kind: llm.PartCall, Call: &llm.Call{Name: "web_search", Kind: llm.ToolHosted, Arguments: "{}"}},
	}}
	got := readStream(t, encode(gemini.Codec{}, dialect.AnswerOptions{}, a.Replay(nil)), false)
	if len(got.parts) != 1 || string(got.parts[0].FunctionCall.Args) != `{"input":" *** Begin\n"}` || got.finish != "STOP" {
		t.Errorf("got %+v", got)
	}
}

func TestPingsAreNoFrames(t *testing.T) {
	t.Parallel()
	a := generate(rand.New(rand.NewPCG(5, 5)))
	for _, array := range []bool{false, true} {
		e := gemini.Codec{Array: array}.NewEncoder(dialect.AnswerOptions{})
		out := e.Ping(nil)
		for _, ev := range a.Replay(nil) {
			out = e.Ping(e.Encode(out, ev))
		}
		readStream(t, out, array)
		if !array {
			for r := sse.NewReader(bytes.NewReader(out)); ; {
				f, err := r.Next()
				if err != nil {
					break
				}
				if f.Event != nil || len(f.Raw) > 0 && f.Raw[0] == ':' {
					t.Errorf("frame %q", f.Raw)
				}
			}
		}
	}
}

func TestAllocationsOfADelta(t *testing.T) {
	for name, c := range map[string]gemini.Codec{"events": {}, "array": {Array: true}} {
		e, delta := warm(c)
		var out []byte
		out = e.Encode(out, delta)
		if n := testing.AllocsPerRun(100, func() { out = e.Encode(out[:0], delta) }); n != 0 || len(out) == 0 {
			t.Errorf("%s: %v allocations, %q", name, n, out)
		}
	}
}

func warm(c gemini.Codec) (dialect.Encoder, llm.Event) {
	e := c.NewEncoder(dialect.AnswerOptions{Model: "gemini-x"})
	e.Encode(nil, llm.Event{Kind: llm.EventStart, ID: "r1"})
	e.Encode(nil, llm.Event{Kind: llm.EventBlock, Part: &llm.Part{}})
	return e, llm.Event{Kind: llm.EventText, Delta: []byte("a few words of an answer")}
}

func BenchmarkEncodeDelta(b *testing.B) {
	e, delta := warm(gemini.Codec{})
	var out []byte
	b.ReportAllocs()
	for b.Loop() {
		out = e.Encode(out[:0], delta)
	}
}

func FuzzEncoder(f *testing.F) {
	f.Add([]byte{0, 1, 0, 2, 0, 6, 0, 9}, `{"a":1}`)
	f.Add([]byte{1, 3, 4, 3, 4, 3, 10}, "x")
	f.Add([]byte{1, 1, 3, 0, 2, 5, 0, 6, 7, 3, 4, 0, 9, 8}, "\xff\u2028")
	f.Fuzz(func(t *testing.T, script []byte, text string) {
		var events []llm.Event
		blocks := 0
		for i, c := range script {
			ev := llm.Event{Kind: llm.EventKind(c % 12), Block: int(c/12) - 1, Delta: []byte(text), Stop: llm.Stop(c % 8)}
			ev.Usage = llm.Usage{Output: int64(c), Reported: true}
			switch ev.Kind {
			case llm.EventBlock:
				ev.Block = blocks
				blocks++
				ev.Part = &llm.Part{Kind: llm.PartKind(c / 12 % 8)}
				if ev.Part.Kind == llm.PartCall {
					ev.Part.Call = &llm.Call{ID: text, Name: fmt.Sprint("f", i)}
				}
			case llm.EventSeal, llm.EventCitation:
				ev.Part = &llm.Part{Opaque: llm.Opaque{Kind: llm.OpaqueCarrier, Value: text}}
			}
			events = append(events, ev)
		}
		for _, array := range []bool{false, true} {
			out := encode(gemini.Codec{Array: array}, dialect.AnswerOptions{}, append(events, llm.Event{Kind: llm.EventFinish}))
			got := readStream(t, out, array)
			if (got.finish == "") == (got.err == nil) {
				t.Errorf("no end or two: %+v", got)
			}
			folder := llm.Folder{}
			for _, ev := range events {
				if ev.Block >= 0 {
					folder.Add(ev)
				}
			}
			a, _ := folder.Answer()
			if whole := (gemini.Codec{}).EncodeAnswer(nil, a, dialect.AnswerOptions{}); !json.Valid(whole) {
				t.Errorf("whole answer %s", whole)
			}
		}
	})
}
