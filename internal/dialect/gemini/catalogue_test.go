package gemini_test

import (
	"bytes"
	"strings"
	"testing"

	"detour/internal/dialect"
	"detour/internal/dialect/gemini"
	"detour/internal/llm"
)

// Faults that other translators are known to have had, one test each.

func TestImagesInToolResultLost(t *testing.T) {
	t.Parallel()
	r := decode(t, `{"contents":[{"parts":[{"functionResponse":{"name":"f","response":{"output":"x"},"parts":[{"inlineData":{"mimeType":"image/png","data":"aGk="}},{"fileData":{"mimeType":"application/pdf","fileUri":"https://example.com/a.pdf"}}]}}]}]}`)
	if parts := r.Turns[0].Parts[0].Result.Parts; len(parts) != 3 || parts[1].Kind != llm.PartImage || parts[2].Kind != llm.PartFile {
		t.Errorf("got %s", printRequest(r))
	}
}

func TestURLImagesLost(t *testing.T) {
	t.Parallel()
	r := decode(t, `{"contents":[{"parts":[{"fileData":{"fileUri":"https://example.com/a.PNG?x=1"}},{"fileData":{"fileUri":"https://example.com/a"}}]}]}`)
	if parts := r.Turns[0].Parts; parts[0].Kind != llm.PartImage || parts[0].Media.URL != "https://example.com/a.PNG?x=1" || parts[1].Kind != llm.PartFile {
		t.Errorf("got %s", printRequest(r))
	}
}

func TestEmptyToolResultContentBreaksMarshalling(t *testing.T) {
	t.Parallel()
	r := decode(t, `{"contents":[{"parts":[{"functionResponse":{"name":"f"}}]}]}`)
	if res := r.Turns[0].Parts[0].Result; res == nil || len(res.Parts) != 0 {
		t.Errorf("got %s", printRequest(r))
	}
}

func TestReasoningBehindToolCallItLedTo(t *testing.T) {
	t.Parallel()
	r := decode(t, `{"contents":[{"role":"model","parts":[{"functionCall":{"name":"f"},"thoughtSignature":"ZHRyMS5hLng="}]}]}`)
	if parts := r.Turns[0].Parts; len(parts) != 2 || parts[0].Kind != llm.PartThinking || parts[1].Kind != llm.PartCall {
		t.Errorf("got %s", printRequest(r))
	}
}

func TestAssistantTextMovedAfterToolCalls(t *testing.T) {
	t.Parallel()
	r := decode(t, `{"contents":[{"role":"model","parts":[{"text":"a"},{"functionCall":{"name":"f"}},{"text":"b"},{"functionCall":{"name":"g"}}]}]}`)
	var kinds []string
	for _, p := range r.Turns[0].Parts {
		kinds = append(kinds, strings.Fields(printPart(p))[0])
	}
	if got := strings.Join(kinds, " "); got != "text call text call" {
		t.Errorf("got %s", got)
	}
}

func TestMidConversationSystemHoisted(t *testing.T) {
	t.Parallel()
	r := decode(t, `{"systemInstruction":"S","contents":[{"parts":[{"text":"a"}]},{"role":"system","parts":[{"text":"b"}]},{"parts":[{"text":"c"}]}]}`)
	if len(r.System) != 1 || len(r.Turns) != 3 || r.Turns[1].Role != llm.RoleSystem {
		t.Errorf("got %s", printRequest(r))
	}
}

func TestReasoningOnlyStreamDropped(t *testing.T) {
	t.Parallel()
	a := &llm.Answer{Stop: llm.StopEnd, Parts: []llm.Part{{Kind: llm.PartThinking, Text: "only this"}}}
	got := readStream(t, encode(gemini.Codec{}, dialect.AnswerOptions{}, a.Replay(nil)), false)
	if len(got.parts) != 1 || !got.parts[0].Thought || *got.parts[0].Text != "only this" {
		t.Errorf("got %+v", got)
	}
}

func TestRedactedThinkingDroppedInStreams(t *testing.T) {
	t.Parallel()
	a := &llm.Answer{Stop: llm.StopEnd, Parts: []llm.Part{
		{Kind: llm.PartThinking, Redacted: true, Opaque: llm.Opaque{Kind: llm.OpaqueCarrier, Value: "dtr1.x.1"}}, {Kind: llm.PartText, Text: "hi"},
	}}
	got := readStream(t, encode(gemini.Codec{}, dialect.AnswerOptions{}, a.Replay(nil)), false)
	if len(got.parts) != 1 || string(got.parts[0].ThoughtSignature) != "dtr1.x.1" {
		t.Errorf("got %+v", got)
	}
}

func TestSealThatComesAfterItsBlockLost(t *testing.T) {
	t.Parallel()
	carrier := &llm.Part{Opaque: llm.Opaque{Kind: llm.OpaqueCarrier, Value: "dtr1.c.1"}}
	got := readStream(t, encode(gemini.Codec{}, dialect.AnswerOptions{}, []llm.Event{
		{Kind: llm.EventBlock, Part: &llm.Part{Kind: llm.PartThinking}}, {Kind: llm.EventThinking, Delta: []byte("t")}, {Kind: llm.EventStop},
		{Kind: llm.EventBlock, Block: 1, Part: &llm.Part{}}, {Kind: llm.EventText, Block: 1, Delta: []byte("x")}, {Kind: llm.EventStop, Block: 1},
		{Kind: llm.EventSeal, Part: carrier}, {Kind: llm.EventFinish, Stop: llm.StopEnd},
	}), false)
	if n := len(got.parts); n != 3 || !got.parts[2].Thought || string(got.parts[2].ThoughtSignature) != "dtr1.c.1" {
		t.Errorf("got %+v", got)
	}
}

func TestUsageTwice(t *testing.T) {
	t.Parallel()
	a := &llm.Answer{Stop: llm.StopEnd, Usage: llm.Usage{Output: 1, Reported: true}, Parts: []llm.Part{{Text: "a"}, {Text: "b"}}}
	if out := encode(gemini.Codec{}, dialect.AnswerOptions{}, a.Replay(nil)); bytes.Count(out, []byte("usageMetadata")) != 1 {
		t.Errorf("got %s", out)
	}
}

func TestKeepAliveInsertedMidEvent(t *testing.T) {
	t.Parallel()
	e := gemini.Codec{}.NewEncoder(dialect.AnswerOptions{})
	out := e.Encode(nil, llm.Event{Kind: llm.EventBlock, Part: &llm.Part{}})
	out = e.Encode(out, llm.Event{Kind: llm.EventText, Delta: []byte("x")})
	if !bytes.HasSuffix(out, []byte("\n\n")) || string(e.Ping(nil)) != "\n\n" {
		t.Errorf("got %q and %q", out, e.Ping(nil))
	}
}

func TestArgumentsReshapedOnTheirWay(t *testing.T) {
	t.Parallel()
	args := `{"z":1.0,"a":12345678901234567890,"h":"<>&\u00e9","n":null}`
	r := decode(t, `{"contents":[{"role":"model","parts":[{"functionCall":{"name":"f","args":`+args+`}}]}]}`)
	if got := r.Turns[0].Parts[0].Call.Arguments; got != args {
		t.Errorf("decoded %s", got)
	}
	a := &llm.Answer{Stop: llm.StopTool, Parts: r.Turns[0].Parts}
	if out := encode(gemini.Codec{}, dialect.AnswerOptions{}, a.Replay(nil)); !bytes.Contains(out, []byte(`"args":`+args+`}`)) {
		t.Errorf("encoded %s", out)
	}
}
