package chat_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"detour/internal/dialect"
	"detour/internal/dialect/chat"
	"detour/internal/llm"
)

// conversation returns a history with everything that turns can hold, as the decoders of other dialects give it.
func conversation() []llm.Turn {
	text := func(s string) llm.Part { return llm.Part{Kind: llm.PartText, Text: s} }
	call := func(id, name, arguments string) llm.Part {
		return llm.Part{Kind: llm.PartCall, Call: &llm.Call{ID: id, Name: name, Arguments: arguments}}
	}
	result := func(id string, parts ...llm.Part) llm.Part {
		return llm.Part{Kind: llm.PartResult, Result: &llm.Result{ID: id, Parts: parts}}
	}
	image := llm.Part{Kind: llm.PartImage, Media: &llm.Media{Type: "image/png", Data: "aGk="}}
	return []llm.Turn{
		{Parts: []llm.Part{text("<system-reminder>x</system-reminder>"), text("do it"), image}},
		{Role: llm.RoleAssistant, Parts: []llm.Part{
			{Kind: llm.PartThinking, Text: "because", Opaque: llm.Opaque{Kind: llm.OpaqueChat, Value: "blob"}},
			text("I look"), call("functions.Read:0", "Read", `{"p":1}`), call("b", "Shot", "{}"),
		}},
		{Parts: []llm.Part{text("hurry"), result("b", image), result("functions.Read:0", text("one"))}},
		{Role: llm.RoleSystem, Parts: []llm.Part{text("be careful")}},
		{Role: llm.RoleAssistant, Parts: []llm.Part{call("functions.Read:0", "Read", `{"p":2}`)}},
		{Parts: []llm.Part{result("functions.Read:0", text("two"))}},
		{Role: llm.RoleAssistant, Parts: []llm.Part{text("done")}},
		{Parts: []llm.Part{text("thanks"), result("nobody", text("stray"))}},
		{Role: llm.RoleAssistant, Parts: []llm.Part{{Kind: llm.PartRefusal, Text: "no more"}}},
		{Parts: []llm.Part{text("why?")}},
	}
}

// messagesOf returns the messages of a request, without cache markers.
func messagesOf(t *testing.T, r *llm.Request, target dialect.Target) []string {
	t.Helper()
	out, err := chat.Codec{}.EncodeRequest(r, target)
	if err != nil {
		t.Fatal(err)
	}
	var body struct{ Messages []json.RawMessage }
	if err := json.Unmarshal(out.Body, &body); err != nil {
		t.Fatalf("%v in %s", err, out.Body)
	}
	var list []string
	for _, m := range body.Messages {
		list = append(list, strings.ReplaceAll(string(m), `,"copilot_cache_control":{"type":"ephemeral"}`, ""))
	}
	return list
}

// TestGrowingHistoryKeepsItsPrefix encodes a conversation as it grows: prompt caches find only what is the same.
func TestGrowingHistoryKeepsItsPrefix(t *testing.T) {
	t.Parallel()
	turns := conversation()
	for _, target := range []dialect.Target{
		{Model: "m"}, {Model: "m", CopilotCache: true, ToolImages: true}, {Model: "m", MidSystem: true, CustomTools: true},
	} {
		var before []string
		for n := 1; n <= len(turns); n++ {
			now := messagesOf(t, &llm.Request{System: []llm.Part{{Text: "sys"}}, Turns: turns[:n]}, target)
			if len(now) < len(before) {
				t.Fatalf("%d turns: %d messages after %d", n, len(now), len(before))
			}
			for i := range before {
				if now[i] != before[i] {
					t.Fatalf("%+v, %d turns: message %d was\n%s\nand is\n%s", target, n, i, before[i], now[i])
				}
			}
			before = now
		}
	}
}

// TestCacheMarkersAreAtMostFour follows the rule of the official client: two in front, two at the end.
func TestCacheMarkersAreAtMostFour(t *testing.T) {
	t.Parallel()
	turns := conversation()
	for n := range turns {
		r := &llm.Request{System: []llm.Part{{Text: "sys"}}, Turns: turns[:n]}
		out, err := chat.Codec{}.EncodeRequest(r, dialect.Target{Model: "m", CopilotCache: true})
		if err != nil || !json.Valid(out.Body) {
			t.Fatalf("%v in %s", err, out.Body)
		}
		messages := messagesOf(t, r, dialect.Target{Model: "m"})
		if got, want := bytes.Count(out.Body, []byte("copilot_cache_control")), min(len(messages), 3); got != want {
			t.Errorf("%d turns: %d markers, want %d in %s", n, got, want, out.Body)
		}
	}
}

// TestResultsFollowTheirCalls checks what every upstream insists on, for histories with turns left out.
func TestResultsFollowTheirCalls(t *testing.T) {
	t.Parallel()
	turns := conversation()
	for mask := range 1 << len(turns) {
		var some []llm.Turn
		for i := range turns {
			if mask>>i&1 == 1 {
				some = append(some, turns[i])
			}
		}
		checkPairs(t, messagesOf(t, &llm.Request{Turns: some}, dialect.Target{Model: "m"}))
	}
}

// checkPairs asserts that each call but those of the last message is answered at once, and nothing else is.
func checkPairs(t *testing.T, messages []string) {
	t.Helper()
	var open []string
	seen := map[string]bool{}
	for i, raw := range messages {
		var m struct {
			Role  string
			ID    string                `json:"tool_call_id"`
			Calls []struct{ ID string } `json:"tool_calls"`
		}
		if err := json.Unmarshal([]byte(raw), &m); err != nil {
			t.Fatal(err)
		}
		if m.Role == "tool" {
			if len(open) == 0 || open[0] != m.ID {
				t.Fatalf("message %d answers %q, open are %q in %q", i, m.ID, open, messages)
			}
			open = open[1:]
			continue
		}
		if len(open) > 0 {
			t.Fatalf("message %d comes before the results of %q in %q", i, open, messages)
		}
		for _, c := range m.Calls {
			if seen[c.ID] {
				t.Fatalf("id %q twice in %q", c.ID, messages)
			}
			seen[c.ID] = true
			open = append(open, c.ID)
		}
	}
}

// TestPartsOfOneAnswerAreOneMessage gives turns as item-based dialects cut them.
func TestPartsOfOneAnswerAreOneMessage(t *testing.T) {
	t.Parallel()
	call := func(id string) llm.Turn {
		return llm.Turn{Role: llm.RoleAssistant, Parts: []llm.Part{{Kind: llm.PartCall, Call: &llm.Call{ID: id, Name: "f", Arguments: "{}"}}}}
	}
	said := func(s string) llm.Turn { return llm.Turn{Role: llm.RoleAssistant, Parts: []llm.Part{{Text: s}}} }
	results := llm.Turn{Parts: []llm.Part{
		{Kind: llm.PartResult, Result: &llm.Result{ID: "a", Parts: []llm.Part{{Text: "1"}}}},
		{Kind: llm.PartResult, Result: &llm.Result{ID: "b", Parts: []llm.Part{{Text: "2"}}}},
	}}
	for name, tc := range map[string]struct {
		turns []llm.Turn
		roles string
	}{
		"text, calls":            {[]llm.Turn{said("x"), call("a"), call("b"), results}, "assistant tool tool"},
		"calls around text":      {[]llm.Turn{call("a"), said("x"), call("b"), results}, "assistant tool tool"},
		"two texts with calls":   {[]llm.Turn{said("x"), call("a"), said("y"), call("b"), results}, "assistant tool assistant tool"},
		"two messages of a kind": {[]llm.Turn{said("x"), said("y")}, "assistant assistant"},
	} {
		var roles []string
		for _, m := range messagesOf(t, &llm.Request{Turns: tc.turns}, dialect.Target{}) {
			var message struct{ Role string }
			if err := json.Unmarshal([]byte(m), &message); err != nil {
				t.Fatal(err)
			}
			roles = append(roles, message.Role)
		}
		if got := strings.Join(roles, " "); got != tc.roles {
			t.Errorf("%s: %s, want %s", name, got, tc.roles)
		}
	}
}

func TestToolsBeyondTheLimitAreLeftOutInOrder(t *testing.T) {
	t.Parallel()
	r := &llm.Request{Turns: conversation()[:1]}
	for i := range 130 {
		r.Tools = append(r.Tools, llm.Tool{Name: fmt.Sprintf("tool_%d", i)})
	}
	got, lost := wireOf(t, r, dialect.Target{})
	if !strings.Contains(got, `"tool_127"`) || strings.Contains(got, `"tool_128"`) || len(lost) != 1 {
		t.Errorf("lost %q", lost)
	}
}

// TestNamespacesAreFlattenedAndRestored follows a tool of a namespace there and back.
func TestNamespacesAreFlattenedAndRestored(t *testing.T) {
	t.Parallel()
	r := &llm.Request{Tools: []llm.Tool{{Namespace: "mcp", Name: "read"}, {Name: "mcp__read"}, {Name: "a.b:c"}}, Turns: []llm.Turn{
		{Parts: []llm.Part{{Text: "x"}}},
		{Role: llm.RoleAssistant, Parts: []llm.Part{{Kind: llm.PartCall, Call: &llm.Call{ID: "1", Namespace: "mcp", Name: "read"}}}},
	}, Choice: llm.Choice{Mode: llm.ChoiceOne, Names: []string{"a.b:c"}}}
	out, err := chat.Codec{}.EncodeRequest(r, dialect.Target{})
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(out.Body, []byte(`"name":"mcp__read"`)); n != 2 || bytes.Contains(out.Body, []byte("a.b:c")) {
		t.Errorf("%d times in %s", n, out.Body)
	}
	tool, _, ok := out.Tools.Declared("mcp__read")
	if !ok || tool.Namespace != "mcp" || tool.Name != "read" {
		t.Errorf("leads back to %+v", tool)
	}
}

// TestSummaryOfEarlierTurnsIsToldAsUserText follows a compaction that was opened, and one that is somebody else's.
func TestSummaryOfEarlierTurnsIsToldAsUserText(t *testing.T) {
	t.Parallel()
	for _, role := range []llm.Role{llm.RoleUser, llm.RoleAssistant} {
		r := &llm.Request{Turns: []llm.Turn{
			{Role: role, Parts: []llm.Part{{Kind: llm.PartCompaction, Text: "we did x"}}}, {Parts: []llm.Part{{Text: "go on"}}},
		}}
		got, lost := wireOf(t, r, dialect.Target{})
		if !strings.Contains(got, `{"role":"user","content":"<summary>\nwe did x\n</summary>"},{"role":"user","content":"go on"}`) || len(lost) > 0 {
			t.Errorf("role %d: lost %q in %s", role, lost, got)
		}
		r.Turns[0].Parts[0] = llm.Part{Kind: llm.PartCompaction, Opaque: llm.Opaque{Kind: llm.OpaqueEncrypted, Value: "blob"}}
		if got, lost := wireOf(t, r, dialect.Target{}); strings.Contains(got, "blob") || len(lost) != 1 {
			t.Errorf("role %d: lost %q in %s", role, lost, got)
		}
	}
}

func FuzzDecodeRequest(f *testing.F) {
	files, _ := filepath.Glob("testdata/request/*.txtar")
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(file(txtar.Parse(b), "request.json"))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := chat.Codec{}.DecodeRequest(body)
		if err != nil {
			failure, ok := err.(*dialect.Failure)
			if !ok || failure.Status != 400 || failure.Message == "" {
				t.Fatalf("error %#v", err)
			}
			return
		}
		for _, target := range []dialect.Target{{Model: "m"}, {Model: "m", CopilotCache: true, ToolImages: true, CustomTools: true, Files: true, Thinking: dialect.ThinkingEnabled}} {
			out, err := chat.Codec{}.EncodeRequest(r, target)
			if err != nil {
				continue
			}
			if !json.Valid(out.Body) {
				t.Fatalf("%s became\n%s", body, out.Body)
			}
			checkPairs(t, messagesOf(t, r, target))
			// What was written is read again, and says the same from then on.
			again, err := chat.Codec{}.DecodeRequest(out.Body)
			if err != nil {
				t.Fatalf("%v in %s", err, out.Body)
			}
			if _, err := (chat.Codec{}).EncodeRequest(again, target); err != nil {
				t.Fatalf("%v in %s", err, out.Body)
			}
		}
	})
}
