package messages_test

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"testing/iotest"

	"github.com/rogpeppe/go-internal/txtar"

	"detour/internal/dialect"
	"detour/internal/dialect/messages"
	"detour/internal/llm"
)

// FuzzTranslateStream asserts that any bytes become an answer that a strict client takes as ended, whole or failed.
func FuzzTranslateStream(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.sse")
	for _, file := range files {
		in, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(in)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		events := decode(bytes.NewReader(in))
		if got, want := show(decode(iotest.OneByteReader(bytes.NewReader(in)))), show(events); got != want {
			t.Errorf("byte by byte\n%s\nwhole\n%s", got, want)
		}
		last := events[len(events)-1].Kind
		if last != llm.EventFinish && last != llm.EventFailure {
			t.Fatalf("no end:\n%s", show(events))
		}
		out := encode(dialect.AnswerOptions{}, events...)
		switch e := ending(out); {
		case e == "open", (e == "clean") != (last == llm.EventFinish):
			t.Errorf("ending %s of\n%s\nfrom\n%s", e, out, show(events))
		}
		if last == llm.EventFinish {
			again := encode(dialect.AnswerOptions{}, decode(bytes.NewReader(out))...)
			if !bytes.Equal(again, out) {
				t.Errorf("not a fixed point\n%s\n%s", out, again)
			}
		}
	})
}

// FuzzTranslateRequest asserts that what is taken becomes a request that keeps to the rules of the API, and that nothing
// panics.
func FuzzTranslateRequest(f *testing.F) {
	files, _ := filepath.Glob("testdata/request/*.txtar")
	for _, file := range files {
		a, err := txtar.ParseFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add([]byte(section(a, "request.json")), uint8(0))
		f.Add([]byte(section(a, "request.json")), uint8(7))
	}
	f.Fuzz(func(t *testing.T, in []byte, how uint8) {
		r, err := messages.Codec{}.DecodeRequest(in)
		if err != nil {
			return
		}
		target := dialect.Target{Model: "m", Thinking: dialect.ThinkingMode(how % 3), MidSystem: how&4 != 0}
		if how&8 != 0 {
			target.MaxOutput = 3000
		}
		r.Source = "chat" // the API's own clients may send what it refuses
		e, err := messages.Codec{}.EncodeRequest(r, target)
		if err != nil {
			return
		}
		if !json.Valid(e.Body) {
			t.Fatalf("no JSON: %s", e.Body)
		}
		checkRules(t, e.Body)
	})
}

// FuzzDecodeAnswer asserts that a whole answer either is refused or has an end.
func FuzzDecodeAnswer(f *testing.F) {
	f.Add([]byte(`{"id":"a","model":"m","content":[{"type":"text","text":"a"},{"type":"tool_use","id":"t","name":"f","input":{}}],"stop_reason":"tool_use","usage":{"input_tokens":1}}`))
	f.Add([]byte(`{"content":[{"type":"thinking","thinking":"x","signature":"s"},{"type":"redacted_thinking","data":"d"}],"stop_reason":"refusal","stop_details":{"explanation":"no"}}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		events, err := messages.Codec{}.DecodeAnswer(nil, in)
		if err != nil {
			return
		}
		var folder llm.Folder
		for _, e := range events {
			folder.Add(e)
		}
		a, done := folder.Answer()
		if !done {
			t.Fatalf("no end: %s", show(events))
		}
		body := messages.Codec{}.EncodeAnswer(nil, a, dialect.AnswerOptions{})
		if !json.Valid(body) {
			t.Errorf("no JSON: %s", body)
		}
	})
}

// TestAnswersSurviveTheRoundTrip replays answers made by chance: whole and streamed, they come back as they were. What
// has no content, and state of other dialects, is not written.
func TestAnswersSurviveTheRoundTrip(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		a := randomAnswer(rnd)
		want := fold(a.Replay(nil))
		events := decode(bytes.NewReader(encode(dialect.AnswerOptions{}, a.Replay(nil)...)))
		if got := fold(events); got != want {
			t.Fatalf("seed %d streamed: got\n%s\nwant\n%s", seed, got, want)
		}
		whole, err := messages.Codec{}.DecodeAnswer(nil, messages.Codec{}.EncodeAnswer(nil, a, dialect.AnswerOptions{}))
		if err != nil {
			t.Fatal(err)
		}
		if got := fold(whole); got != want {
			t.Fatalf("seed %d whole: got\n%s\nwant\n%s", seed, got, want)
		}
	}
}

func randomAnswer(rnd *rand.Rand) *llm.Answer {
	texts := []string{"Hello", "\"quoted\"\n", "é\u2028😀", "\x00\t\\"}
	word := func() string { return texts[rnd.IntN(len(texts))] }
	a := &llm.Answer{ID: "msg_1", Model: "m", Stop: llm.StopEnd, Usage: llm.Usage{
		Reported: true, Input: rnd.Int64N(99), CacheRead: rnd.Int64N(99), CacheWrite: rnd.Int64N(99), Output: 50 + rnd.Int64N(99), Reasoning: rnd.Int64N(50),
	}}
	for i := range rnd.IntN(6) {
		switch rnd.IntN(5) {
		case 0:
			a.Parts = append(a.Parts, llm.Part{Text: word()})
		case 1:
			a.Parts = append(a.Parts, llm.Part{Kind: llm.PartThinking, Text: word(), Opaque: signature("S" + word())})
		case 2:
			a.Parts = append(a.Parts, llm.Part{Kind: llm.PartThinking, Redacted: true, Opaque: llm.Opaque{Kind: llm.OpaqueRedacted, Value: "R"}})
		case 3:
			a.Parts = append(a.Parts, llm.Part{Text: word(), Citations: []json.RawMessage{json.RawMessage(`{"type":"char_location","cited_text":"x"}`)}})
		case 4:
			a.Parts = append(a.Parts, llm.Part{Kind: llm.PartCall, Call: &llm.Call{ID: "c" + string(rune('0'+i)), Name: "f", Arguments: `{"a":` + `"` + `é\n"}`}})
			a.Stop = llm.StopTool
		}
	}
	switch rnd.IntN(6) {
	case 0:
		a.Stop = llm.StopLength
	case 1:
		a.Stop = llm.StopFilter
	case 2:
		a.Stop = llm.StopWindow
	case 3:
		if a.Stop == llm.StopEnd {
			a.Stop, a.StopSequence = llm.StopMatch, "END"
		}
	}
	return a
}
