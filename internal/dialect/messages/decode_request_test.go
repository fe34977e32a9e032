package messages_test

import (
	"errors"
	"strings"
	"testing"

	"detour/internal/dialect"
	"detour/internal/dialect/messages"
	"detour/internal/llm"
)

func TestReplayStateIsSortedByItsMaker(t *testing.T) {
	t.Parallel()
	r := decodeRequest(t, `{"model":"m","messages":[{"role":"assistant","content":[
		{"type":"thinking","thinking":"a","signature":"SIG"},
		{"type":"thinking","thinking":"","signature":"dtr1.r.mac.id.blob"},
		{"type":"redacted_thinking","data":"RED"},
		{"type":"redacted_thinking","data":"dtr1.x.mac.blob"},
		{"type":"thinking","thinking":"unsigned","signature":""},
		{"type":"thinking","thinking":"","signature":""}]}]}`)
	var got []llm.OpaqueKind
	for _, p := range r.Turns[0].Parts {
		got = append(got, p.Opaque.Kind)
	}
	want := []llm.OpaqueKind{llm.OpaqueSignature, llm.OpaqueCarrier, llm.OpaqueRedacted, llm.OpaqueCarrier, llm.OpaqueNone}
	if len(got) != len(want) {
		t.Fatalf("got %q, want %q", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("part %d: got %q, want %q", i, got[i], want[i])
		}
	}
}

func TestThoughtsAreHiddenFromThoseWhoDidNotAsk(t *testing.T) {
	t.Parallel()
	for thinking, hidden := range map[string]bool{
		``:                                 true,
		`,"thinking":{"type":"disabled"}`:  true,
		`,"thinking":{"type":"adaptive"}`:  false,
		`,"thinking":{"type":"between_x"}`: false,
		`,"thinking":{"type":"enabled","budget_tokens":2000}`: false,
	} {
		if r := decodeRequest(t, `{"model":"m","messages":[{"role":"user","content":"a"}]`+thinking+`}`); r.Reasoning.Hidden != hidden {
			t.Errorf("%s: hidden %t", thinking, r.Reasoning.Hidden)
		}
	}
}

func TestInstructionsForOneTurnEndWithIt(t *testing.T) {
	t.Parallel()
	r := decodeRequest(t, `{"model":"m","output_config":{"effort":"high"},"messages":[{"role":"user","content":"a"},
		{"role":"system","content":"old","clear_at":"next_user_message","output_config":{"effort":"low"}},{"role":"system","content":"stays"},{"role":"assistant","content":"b"},
		{"role":"user","content":"c"},{"role":"system","content":"new","clear_at":"next_user_message","output_config":{"effort":"medium"}}]}`)
	var said []string
	for _, turn := range r.Turns {
		said = append(said, turn.Parts[0].Text)
	}
	if got := strings.Join(said, " "); got != "a stays b c new" || r.Reasoning.Effort != llm.EffortMedium {
		t.Errorf("got %q with effort %s", got, r.Reasoning.Effort)
	}
}

func TestToolsThatComeInMidConversationAreDeclared(t *testing.T) {
	t.Parallel()
	r := decodeRequest(t, `{"model":"m","tools":[{"name":"a","input_schema":{"type":"object"},"defer_loading":true}],"messages":[{"role":"user","content":"x"},{"role":"system","content":[
		{"type":"tool_addition","tool":{"type":"tool_reference","name":"a"}},{"type":"text","text":"s"},
		{"type":"tool_addition","tool":{"type":"tool_definition","definition":{"name":"b","input_schema":{"type":"object"}}}},
		{"type":"tool_addition","tool":{"type":"tool_definition","definition":{"name":"a","input_schema":{"type":"object"}}}},
		{"type":"tool_removal","tool":{"type":"tool_reference","name":"a"}}]}]}`)
	if len(r.Tools) != 2 || r.Tools[0].Name != "a" || r.Tools[1].Name != "b" || len(r.Turns[1].Parts) != 1 {
		t.Errorf("tools %+v, turns %+v", r.Tools, r.Turns)
	}
}

func TestAutomaticCachingMarksTheLastPart(t *testing.T) {
	t.Parallel()
	r := decodeRequest(t, `{"model":"m","cache_control":{"type":"ephemeral"},"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},
		{"role":"assistant","content":[{"type":"thinking","thinking":"x","signature":"S"}]}]}`)
	if r.Turns[0].Parts[0].Cache != nil || r.Turns[0].Parts[1].Cache == nil || r.Turns[1].Parts[0].Cache != nil {
		t.Errorf("got %+v", r.Turns)
	}
}

// TestCountTokensNeedsNoLimit also has the shapes that a client uses to look whether an account is alive.
func TestCountTokensNeedsNoLimit(t *testing.T) {
	t.Parallel()
	for limit, want := range map[string]int{``: 0, `,"max_tokens":null`: 0, `,"max_tokens":0`: 1, `,"max_tokens":1`: 1, `,"max_tokens":1e3`: 1000} {
		r, err := messages.Codec{}.DecodeRequest([]byte(`{"model":"m","messages":[{"role":"user","content":"quota"}]` + limit + `}`))
		if err != nil || r.MaxOutput != want {
			t.Errorf("%s: got %+v, %v, want %d", limit, r, err, want)
		}
	}
	if got := string(messages.AppendCount(nil, 42)) + string(messages.AppendCount(nil, -1)); got != `{"input_tokens":42}{"input_tokens":0}` {
		t.Errorf("got %s", got)
	}
}

func TestLeadingInstructionsJoinTheSystemPrompt(t *testing.T) {
	t.Parallel()
	r := decodeRequest(t, `{"model":"m","system":"one","messages":[{"role":"system","content":"two"},{"role":"user","content":"a"},{"role":"system","content":[{"type":"text","text":"three"}]}]}`)
	if len(r.System) != 2 || r.System[1].Text != "two" || len(r.Turns) != 2 || r.Turns[1].Role != llm.RoleSystem {
		t.Errorf("system %+v, turns %+v", r.System, r.Turns)
	}
}

func TestDeepNestingIsRefused(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat(`[`, 600) + strings.Repeat(`]`, 600)
	_, err := messages.Codec{}.DecodeRequest([]byte(`{"model":"m","messages":[{"role":"user","content":"a"}],"x":` + deep + `}`))
	if f, ok := errors.AsType[*dialect.Failure](err); !ok || f.Status != 400 || !strings.Contains(f.Message, "nested too deep") {
		t.Errorf("got %v", err)
	}
}

// TestTextSurvivesEveryEscape has what JSON can hide in a string, through both directions.
func TestTextSurvivesEveryEscape(t *testing.T) {
	t.Parallel()
	r := decodeRequest(t, `{"model":"m","messages":[{"role":"user","content":"<a href=\"x\">\u003c\u00e9\ud83d\ude00\ud800 \u2028\/\u0000&\t"}]}`)
	const want = "<a href=\"x\"><é😀\uFFFD \u2028/\x00&\t"
	if got := r.Turns[0].Parts[0].Text; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if s, e := send(t, r, dialect.Target{}); s.Messages[0].Content[0].Text != want {
		t.Errorf("sent %s", e.Body)
	}
}
