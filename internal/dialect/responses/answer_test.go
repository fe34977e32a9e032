package responses_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	sdk "github.com/openai/openai-go/v3/responses"

	"detour/internal/dialect"
	"detour/internal/dialect/responses"
	"detour/internal/llm"
)

// anyAnswer makes an answer that the dialect can say. Lost, and so left out here: the id of an opaque blob, an empty
// block, a stop sequence, the context window as the reason of a stop, and the price.
func anyAnswer(r *rand.Rand) *llm.Answer {
	words := func() string {
		all := []string{"Hello", " wörld", "\n\n", `"quoted"`, "\u2028", "😀", "\x7f", "\\", "<b>&"}
		s := "x"
		for range r.IntN(6) {
			s += all[r.IntN(len(all))]
		}
		return s
	}
	a := &llm.Answer{ID: "resp_1", Model: "asked-for", Stop: llm.StopEnd}
	for i := range r.IntN(6) {
		switch r.IntN(7) {
		case 0:
			a.Parts = append(a.Parts, llm.Part{Kind: llm.PartText, Text: words(), Citations: []json.RawMessage{
				json.RawMessage(`{"type":"url_citation","url":"https://example.com/","title":"t","start_index":0,"end_index":1}`)}})
		case 1:
			a.Parts = append(a.Parts, llm.Part{Kind: llm.PartThinking, Text: words(), Opaque: llm.Opaque{Kind: llm.OpaqueEncrypted, Value: words()}})
		case 2:
			a.Parts = append(a.Parts, llm.Part{Kind: llm.PartThinking, Text: words()})
		case 3:
			a.Parts = append(a.Parts, llm.Part{Kind: llm.PartThinking, Opaque: llm.Opaque{Kind: llm.OpaqueEncrypted, Value: words()}})
		case 4:
			a.Parts = append(a.Parts, llm.Part{Kind: llm.PartCall, Call: &llm.Call{ID: fmt.Sprint("call_", i), Name: "read", Namespace: []string{"", "fs"}[r.IntN(2)], Arguments: `{"path":"ä"}`}})
		case 5:
			a.Parts = append(a.Parts, llm.Part{Kind: llm.PartCall, Call: &llm.Call{ID: fmt.Sprint("call_", i), Kind: llm.ToolCustom, Name: "apply_patch", Arguments: words()}})
		case 6:
			a.Parts = append(a.Parts, llm.Part{Kind: llm.PartText, Text: words()})
		}
	}
	for _, p := range a.Parts {
		if p.Call != nil {
			a.Stop = llm.StopTool
		}
	}
	if r.IntN(5) == 0 {
		a.Stop = []llm.Stop{llm.StopLength, llm.StopFilter}[r.IntN(2)]
	}
	a.Usage = llm.Usage{Input: r.Int64N(9e5), CacheRead: r.Int64N(9e5), CacheWrite: r.Int64N(9e5), Output: 100 + r.Int64N(900), Reasoning: r.Int64N(100), Reported: true}
	return a
}

// plain takes out of an answer what the encoder makes up or drops.
func plain(a *llm.Answer) *llm.Answer {
	b := *a
	b.Parts = nil
	for _, p := range a.Parts {
		p.Opaque.ID = ""
		b.Parts = append(b.Parts, p)
	}
	return &b
}

func TestAnswersSurviveStreamAndBody(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 1000 {
		want := anyAnswer(r)
		stream := encode(want.Replay(nil), options())
		got, err := fold(decode(bytes.NewReader(stream)))
		if err != nil || !reflect.DeepEqual(plain(got), plain(want)) {
			t.Fatalf("%v\nwant %+v\ngot  %+v\n%s", err, want, got, stream)
		}
		body := responses.Codec{}.EncodeAnswer(nil, want, options())
		events, err := responses.Codec{}.DecodeAnswer(nil, body)
		if err != nil {
			t.Fatal(err)
		}
		if got, err = fold(events); err != nil || !reflect.DeepEqual(plain(got), plain(want)) {
			t.Fatalf("%v\nwant %+v\ngot  %+v\n%s", err, want, got, body)
		}
		if !bytes.Equal(stream, encode(want.Replay(nil), options())) {
			t.Fatal("the same events became other bytes")
		}
		if checkStream(t, stream); i%50 > 0 {
			continue // the SDK is slow
		}
		o := observe(t, stream)
		var whole sdk.Response
		if err := json.Unmarshal(body, &whole); err != nil || whole.RawJSON() != o.response.RawJSON() {
			t.Fatalf("%v: body\n%s\nterminal event\n%s", err, body, o.response.RawJSON())
		}
	}
}

// answerTo runs one answer through the encoder and the official SDK.
func answerTo(t *testing.T, r *llm.Request, parts []llm.Part, stop llm.Stop) observed {
	t.Helper()
	o := options()
	o.Request = r
	a := llm.Answer{ID: "chatcmpl-7", Model: "upstream", Parts: parts, Stop: stop, Usage: llm.Usage{Input: 5, CacheRead: 7, CacheWrite: 2, Output: 9, Reasoning: 3, Reported: true}}
	return observe(t, encode(a.Replay(nil), o))
}

func TestSDKReadsWhatWasMeant(t *testing.T) {
	t.Parallel()
	call := func(id, name, arguments string) llm.Part {
		return llm.Part{Kind: llm.PartCall, Call: &llm.Call{ID: id, Name: name, Arguments: arguments}}
	}
	text := func(s string) llm.Part { return llm.Part{Kind: llm.PartText, Text: s} }
	t.Run("text", func(t *testing.T) {
		t.Parallel()
		o := answerTo(t, nil, []llm.Part{text("Hello")}, llm.StopEnd)
		if o.status != "completed" || o.response.OutputText() != "Hello" || o.deltas != "Hello" || o.response.ID != "resp_chatcmpl-7" ||
			o.response.Model != "asked-for" || o.types[0] != "response.created" || o.types[1] != "response.in_progress" {
			t.Errorf("%+v", o)
		}
		u := o.response.Usage
		if u.InputTokens != 14 || u.InputTokensDetails.CachedTokens != 7 || u.OutputTokens != 9 || u.OutputTokensDetails.ReasoningTokens != 3 || u.TotalTokens != 23 {
			t.Errorf("usage %+v", u)
		}
	})
	t.Run("parallel tools", func(t *testing.T) {
		t.Parallel()
		o := answerTo(t, nil, []llm.Part{text("I look."), call("call_1", "read", `{"p":"a"}`), call("call_2", "read", `{"p":"b"}`)}, llm.StopTool)
		out := o.response.Output
		if len(out) != 3 || out[1].Type != "function_call" || out[1].CallID != "call_1" || out[2].AsFunctionCall().Arguments != `{"p":"b"}` ||
			o.arguments[1] != `{"p":"a"}` || out[2].Status != "completed" {
			t.Errorf("%+v", out)
		}
	})
	t.Run("thinking with signature", func(t *testing.T) {
		t.Parallel()
		o := answerTo(t, nil, []llm.Part{{Kind: llm.PartThinking, Text: "Hm.\n\nAha.", Opaque: llm.Opaque{Kind: llm.OpaqueCarrier, Value: "dtr1.a.x"}}, text("Hello")}, llm.StopEnd)
		r := o.response.Output[0].AsReasoning()
		if len(r.Summary) != 1 || r.Summary[0].Text != "Hm.\n\nAha." || r.EncryptedContent != "dtr1.a.x" {
			t.Errorf("%+v", r)
		}
	})
	t.Run("signature of another dialect", func(t *testing.T) {
		t.Parallel()
		o := answerTo(t, nil, []llm.Part{{Kind: llm.PartThinking, Text: "Hm.", Opaque: llm.Opaque{Kind: llm.OpaqueSignature, Value: "EqQB"}}}, llm.StopEnd)
		if r := o.response.Output[0].AsReasoning(); r.EncryptedContent != "" {
			t.Errorf("%+v", r)
		}
	})
	t.Run("structured output", func(t *testing.T) {
		t.Parallel()
		r, err := responses.Codec{}.DecodeRequest([]byte(`{"model":"m","input":"x","text":{"format":{"type":"json_schema","name":"n","strict":true,"schema":{"type":"object"}}}}`))
		if err != nil {
			t.Fatal(err)
		}
		o := answerTo(t, r, []llm.Part{text(`{"a":1}`)}, llm.StopEnd)
		if o.response.OutputText() != `{"a":1}` || o.response.Text.Format.Name != "n" {
			t.Errorf("%+v", o.response)
		}
	})
	t.Run("refusal", func(t *testing.T) {
		t.Parallel()
		o := answerTo(t, nil, []llm.Part{{Kind: llm.PartRefusal, Text: "No."}}, llm.StopFilter)
		if c := o.response.Output[0].Content[0]; o.status != "completed" || c.Type != "refusal" || c.Refusal != "No." {
			t.Errorf("%+v", o.response)
		}
	})
	t.Run("filter", func(t *testing.T) {
		t.Parallel()
		if o := answerTo(t, nil, []llm.Part{text("Hel")}, llm.StopFilter); o.status != "incomplete" || o.reason != "content_filter" {
			t.Errorf("%+v", o)
		}
	})
	t.Run("length", func(t *testing.T) {
		t.Parallel()
		o := answerTo(t, nil, []llm.Part{text("Hel")}, llm.StopLength)
		if o.status != "incomplete" || o.reason != "max_output_tokens" || o.response.OutputText() != "Hel" {
			t.Errorf("%+v", o)
		}
	})
	t.Run("empty", func(t *testing.T) {
		t.Parallel()
		if o := answerTo(t, nil, nil, llm.StopEnd); o.status != "completed" || len(o.response.Output) != 0 {
			t.Errorf("%+v", o)
		}
	})
	t.Run("no arguments", func(t *testing.T) {
		t.Parallel()
		o := answerTo(t, nil, []llm.Part{call("call_1", "now", "")}, llm.StopTool)
		if o.response.Output[0].AsFunctionCall().Arguments != "{}" || o.arguments[0] != "{}" {
			t.Errorf("%+v", o.response.Output)
		}
	})
}

func TestFailuresReachTheClient(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, code, message string
		err                 error
	}{
		{"rate limit", "rate_limit_exceeded", "try again in 3s", &dialect.Failure{Status: 429, Message: "try again in 3s"}},
		{"overflow", "context_length_exceeded", "prompt token count of 9 exceeds the limit of 5", &dialect.Failure{Status: 400, Message: "prompt token count of 9 exceeds the limit of 5"}},
		{"cut", "server_error", "upstream stream ended early: the answer is not complete", io.ErrUnexpectedEOF},
		{"address", "server_error", "upstream stream ended early: the answer is not complete", errors.New("dial tcp 10.0.0.1:443: refused")},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			for _, before := range [][]llm.Event{nil, {{Kind: llm.EventStart, ID: "a"}, {Kind: llm.EventBlock, Part: &llm.Part{}}, {Kind: llm.EventText, Delta: []byte("Hel")}}} {
				events := append(before, llm.Event{Kind: llm.EventFailure, Err: tc.err}, llm.Event{Kind: llm.EventFinish, Stop: llm.StopEnd})
				o := observe(t, encode(events, options()))
				if o.status != "failed" || o.code != tc.code || o.message != tc.message || o.types[len(o.types)-1] != "response.failed" {
					t.Errorf("%+v", o)
				}
			}
		})
	}
}

func TestAnswerThatIsNone(t *testing.T) {
	t.Parallel()
	for _, body := range []string{``, `[]`, `null`, `{}`, `"x"`, `{"id":"r","status":"in_progress","output":[]}`, `<html>`, `{"output":{}}`} {
		if events, err := (responses.Codec{}).DecodeAnswer(nil, []byte(body)); err == nil {
			t.Errorf("%s: %s", body, show(events))
		}
	}
	events, err := responses.Codec{}.DecodeAnswer(nil, []byte(`{"id":"r","status":"failed","error":{"code":"server_error","message":"boom"},"output":[]}`))
	if err != nil || events[len(events)-1].Kind != llm.EventFailure || !strings.Contains(events[len(events)-1].Err.Error(), "boom") {
		t.Errorf("%v %s", err, show(events))
	}
}
