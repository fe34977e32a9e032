package chat_test

import (
	"bytes"
	"strings"
	"testing"

	"detour/internal/dialect"
	"detour/internal/dialect/chat"
	"detour/internal/llm"
)

// TestForeignReplayStateIsNotSent gives a model what others made: it would refuse the whole request.
func TestForeignReplayStateIsNotSent(t *testing.T) {
	t.Parallel()
	for _, kind := range []llm.OpaqueKind{llm.OpaqueSignature, llm.OpaqueRedacted, llm.OpaqueEncrypted, llm.OpaqueCarrier} {
		r := &llm.Request{Source: "messages", Turns: []llm.Turn{{Parts: []llm.Part{{Text: "hi"}}}, {Role: llm.RoleAssistant, Parts: []llm.Part{
			{Kind: llm.PartThinking, Text: "thought", Opaque: llm.Opaque{Kind: kind, Value: "secret-state"}}, {Text: "so"},
		}}}}
		got, lost := wireOf(t, r, dialect.Target{Model: "m"})
		if strings.Contains(got, "secret-state") || strings.Contains(got, "thought") || len(lost) != 1 || lost[0] != "thinking" {
			t.Errorf("%s: lost %q in %s", kind, lost, got)
		}
	}
}

// TestReplayStateOfOthersIsNotShown writes an answer whose state was not wrapped for the client.
func TestReplayStateOfOthersIsNotShown(t *testing.T) {
	t.Parallel()
	for kind, shown := range map[llm.OpaqueKind]bool{
		llm.OpaqueSignature: false, llm.OpaqueRedacted: false, llm.OpaqueEncrypted: false, llm.OpaqueCarrier: true, llm.OpaqueChat: true,
	} {
		a := llm.Answer{Parts: []llm.Part{{Kind: llm.PartThinking, Opaque: llm.Opaque{Kind: kind, Value: "state"}}}, Stop: llm.StopEnd}
		stream := encodeStream(a.Replay(nil), options())
		whole := chat.Codec{}.EncodeAnswer(nil, &a, options())
		if got := bytes.Contains(stream, []byte("state")); got != shown {
			t.Errorf("%s streamed: %s", kind, stream)
		}
		if got := bytes.Contains(whole, []byte("state")); got != shown {
			t.Errorf("%s whole: %s", kind, whole)
		}
	}
}

// TestOneReplayStateGoesToTheClient writes an answer with two: clients are known to fail on the second.
func TestOneReplayStateGoesToTheClient(t *testing.T) {
	t.Parallel()
	state := func(s string) llm.Opaque { return llm.Opaque{Kind: llm.OpaqueCarrier, Value: s} }
	a := llm.Answer{Parts: []llm.Part{
		{Kind: llm.PartThinking, Text: "a", Opaque: state("state-1")}, {Text: "x"}, {Kind: llm.PartThinking, Text: "b", Opaque: state("state-2")},
	}, Stop: llm.StopEnd}
	for _, out := range [][]byte{encodeStream(a.Replay(nil), options()), chat.Codec{}.EncodeAnswer(nil, &a, options())} {
		if !bytes.Contains(out, []byte("state-1")) || bytes.Contains(out, []byte("state-2")) {
			t.Errorf("got %s", out)
		}
	}
}

// TestReplayStateBehindItsBlockIsKept sends the state after the block has ended.
func TestReplayStateBehindItsBlockIsKept(t *testing.T) {
	t.Parallel()
	out := encodeStream([]llm.Event{
		{Kind: llm.EventStart, ID: "chatcmpl-1"},
		{Kind: llm.EventBlock, Part: &llm.Part{Kind: llm.PartThinking}},
		{Kind: llm.EventStop},
		{Kind: llm.EventSeal, Part: &llm.Part{Opaque: llm.Opaque{Kind: llm.OpaqueChat, Value: "late"}}},
		{Kind: llm.EventFinish, Stop: llm.StopEnd},
	}, options())
	if bytes.Count(out, []byte(`"reasoning_opaque":"late"`)) != 1 {
		t.Errorf("got %s", out)
	}
}

// TestReasoningIsWrittenWhereTheClientReadsIt covers clients made for Copilot and those that want to see none.
func TestReasoningIsWrittenWhereTheClientReadsIt(t *testing.T) {
	t.Parallel()
	a := answers()["thinking"]
	copilot, hidden := options(), options()
	copilot.ReasoningText = true
	hidden.Request = &llm.Request{Reasoning: llm.Reasoning{Hidden: true}}
	for name, tc := range map[string]struct {
		o         dialect.AnswerOptions
		want, not string
	}{
		"copilot": {copilot, `"reasoning_text":"hm"`, "reasoning_content"},
		"others":  {options(), `"reasoning_content":"hm"`, "reasoning_text"},
		"hidden":  {hidden, `"reasoning_opaque":"blob"`, `"hm"`},
	} {
		for _, out := range [][]byte{encodeStream(a.Replay(nil), tc.o), chat.Codec{}.EncodeAnswer(nil, &a, tc.o)} {
			if !bytes.Contains(out, []byte(tc.want)) || bytes.Contains(out, []byte(tc.not)) {
				t.Errorf("%s: got %s", name, out)
			}
		}
	}
}
