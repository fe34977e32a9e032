package compaction_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"detour/internal/dialect"
	"detour/internal/dialect/compaction"
	"detour/internal/llm"
)

func text(s string) llm.Part          { return llm.Part{Kind: llm.PartText, Text: s} }
func user(parts ...llm.Part) llm.Turn { return llm.Turn{Role: llm.RoleUser, Parts: parts} }

func said(parts ...llm.Part) llm.Turn { return llm.Turn{Role: llm.RoleAssistant, Parts: parts} }

func call(id, arguments string) llm.Part {
	return llm.Part{Kind: llm.PartCall, Call: &llm.Call{ID: id, Name: "shell", Arguments: arguments}}
}

func result(id string, parts ...llm.Part) llm.Part {
	return llm.Part{Kind: llm.PartResult, Result: &llm.Result{ID: id, Parts: parts}}
}

// words counts a token for each four bytes of what a model reads of a conversation.
func words(r *llm.Request) int {
	n := 0
	var parts func([]llm.Part)
	parts = func(all []llm.Part) {
		for _, p := range all {
			n += len(p.Text)
			if p.Media != nil {
				n += 6000
			}
			if p.Call != nil {
				n += len(p.Call.Arguments)
			}
			if p.Result != nil {
				parts(p.Result.Parts)
			}
		}
	}
	parts(r.System)
	for _, t := range r.Turns {
		parts(t.Parts)
	}
	return n / 4
}

func TestTheRequestForASummaryAsksForNothingElse(t *testing.T) {
	t.Parallel()
	yes := true
	r := &llm.Request{
		Model: "m", Compact: true, System: []llm.Part{text("Be brief.")}, Turns: []llm.Turn{user(text("hi")), said(call("1", "{}")), user(result("1", text("out")))},
		Tools:  []llm.Tool{{Name: "shell"}, {Kind: llm.ToolHosted, Type: "web_search", Name: "web_search"}},
		Choice: llm.Choice{Mode: llm.ChoiceOne, Names: []string{"shell"}}, Parallel: &yes, MaxOutput: 5, Stop: []string{"x"}, Temperature: new(0.5), TopP: new(0.5), TopK: new(5),
		Reasoning: llm.Reasoning{Effort: llm.EffortHigh}, Output: llm.Output{Format: "json_object"}, Extras: map[string]json.RawMessage{"x": []byte("1")},
		Session: "s", User: "u", Source: "responses",
	}
	got := compaction.Request(r, 0, words)
	if got.Compact || !got.Stream || len(got.Tools) != 1 || got.Tools[0].Name != "shell" || got.Choice.Mode != llm.ChoiceNone || got.Choice.Names != nil ||
		got.Parallel != nil || got.MaxOutput != compaction.MaxSummary || got.Stop != nil || got.Temperature != nil || got.TopP != nil || got.TopK != nil ||
		got.Reasoning != (llm.Reasoning{}) || got.Output.Format != "" || got.Extras != nil {
		t.Errorf("got %+v", got)
	}
	if got.Session != "s" || got.User != "u" || got.Source != "responses" || len(got.System) != 1 {
		t.Errorf("whose conversation it is is lost: %+v", got)
	}
	if last := got.Turns[len(got.Turns)-1]; len(got.Turns) != 4 || last.Role != llm.RoleUser || last.Parts[0].Text != compaction.Prompt {
		t.Errorf("turns %+v", got.Turns)
	}
	if len(r.Turns) != 3 || !r.Compact || len(r.Tools) != 2 {
		t.Errorf("the client's request has changed: %+v", r)
	}
	if compaction.Request(&llm.Request{Compact: true}, 0, words) != nil {
		t.Error("nothing can be summarised")
	}
}

// long is a conversation of n rounds with outputs of size bytes.
func long(n, size int) *llm.Request {
	r := &llm.Request{Turns: []llm.Turn{user(text(compaction.Text("the first summary"))), user(text("the goal"))}}
	for i := range n {
		id := fmt.Sprint(i)
		r.Turns = append(r.Turns, said(text("step "+id), call(id, `{"cmd":"`+strings.Repeat("a", size/8)+`"}`)), user(result(id, text("ö"+strings.Repeat("ö", size/2)+"end "+id))))
	}
	r.Turns = append(r.Turns, user(text("the last word")))
	return r
}

// shape tells what is left of a conversation.
func shape(r *llm.Request) (whole, short, calls, turns int) {
	for _, t := range r.Turns {
		turns++
		for _, p := range t.Parts {
			switch {
			case p.Result != nil && strings.Contains(p.Result.Parts[0].Text, "bytes left out"):
				short++
			case p.Result != nil:
				whole++
			case p.Call != nil && !strings.Contains(p.Call.Arguments, "left_out"):
				calls++
			}
		}
	}
	return whole, short, calls, turns
}

func TestOldOutputsOfToolsGoFirst(t *testing.T) {
	t.Parallel()
	r := long(20, 8000)
	before := fmt.Sprintf("%+v", r)
	full := words(compaction.Request(r, 0, words))
	for _, tc := range []struct {
		limit           int
		outputs, calls  bool // some of them are whole
		turns, allTurns bool
	}{
		{limit: full + 100, outputs: true, calls: true, allTurns: true},
		{limit: full * 3 / 4, outputs: true, calls: true, allTurns: true},
		{limit: full / 3, outputs: true, calls: true, allTurns: true},
		{limit: full / 8, outputs: false, calls: true, allTurns: true},
		{limit: 3400, outputs: false, calls: false, allTurns: true},
		{limit: 2500, outputs: false, calls: false, allTurns: false},
	} {
		got := compaction.Request(r, tc.limit, words)
		whole, short, calls, turns := shape(got)
		if n := words(got); n > tc.limit {
			t.Errorf("limit %d: %d tokens", tc.limit, n)
		}
		if (whole > 0) != tc.outputs || (calls > 0) != tc.calls || (turns == len(r.Turns)+1) != tc.allTurns {
			t.Errorf("limit %d: %d whole outputs, %d short ones, %d whole calls, %d turns", tc.limit, whole, short, calls, turns)
		}
		all := fmt.Sprintf("%+v", got.Turns)
		for _, want := range []string{"the first summary", "the goal", "the last word"} {
			if !strings.Contains(all, want) {
				t.Errorf("limit %d: %q is gone", tc.limit, want)
			}
		}
		// What is short is older than what is whole.
		shortest := false
		for _, turn := range slices.Backward(got.Turns) {
			for _, p := range turn.Parts {
				if p.Result == nil {
					continue
				}
				isShort := strings.Contains(p.Result.Parts[0].Text, "bytes left out")
				if shortest && !isShort {
					t.Errorf("limit %d: an older output is whole", tc.limit)
				}
				shortest = shortest || isShort
			}
		}
		for _, turn := range got.Turns {
			for _, p := range turn.Parts {
				if p.Call != nil && !json.Valid([]byte(p.Call.Arguments)) {
					t.Errorf("limit %d: arguments %s", tc.limit, p.Call.Arguments)
				}
				if p.Result != nil && strings.Contains(p.Result.Parts[0].Text, "�") {
					t.Errorf("limit %d: cut inside a character: %q", tc.limit, p.Result.Parts[0].Text)
				}
			}
		}
		last := got.Turns[len(got.Turns)-1].Parts[0].Text
		if trimmed := tc.limit < full; !strings.HasPrefix(last, compaction.Prompt) || (last != compaction.Prompt) != trimmed {
			t.Errorf("limit %d: the model is asked %q", tc.limit, last)
		}
		if again := compaction.Request(r, tc.limit, words); fmt.Sprintf("%+v", again.Turns) != all && !strings.Contains(all, "0x") {
			t.Errorf("limit %d: another request the second time", tc.limit)
		}
	}
	if fmt.Sprintf("%+v", r) != before {
		t.Error("the client's request has changed")
	}
}

func TestImagesInOutputsMakeRoom(t *testing.T) {
	t.Parallel()
	r := long(2, 100)
	image := llm.Part{Kind: llm.PartImage, Media: &llm.Media{Data: "AAAA"}}
	r.Turns[3].Parts[0].Result.Parts = []llm.Part{text("a picture"), image, image}
	full := words(compaction.Request(r, 0, words))
	got := compaction.Request(r, full-2500, words)
	if n := words(got); n > full-2500 || !strings.Contains(got.Turns[3].Parts[0].Result.Parts[0].Text, "a picture") {
		t.Errorf("%d tokens of %d: %+v", n, full-2500, got.Turns[3].Parts[0].Result)
	}
}

// What cannot be brought down any further is left to the upstream to refuse.
func TestTrimmingEnds(t *testing.T) {
	t.Parallel()
	r := &llm.Request{System: []llm.Part{text(strings.Repeat("x", 40000))}, Turns: []llm.Turn{user(text(strings.Repeat("y", 40000)))}}
	calls := 0
	got := compaction.Request(r, 100, func(r *llm.Request) int { calls++; return words(r) })
	if got == nil || calls > 8 || words(got) > 13000 {
		t.Errorf("%d counts, %d tokens", calls, words(got))
	}
}

// run passes events through a step.
func run(s compaction.Step, events ...llm.Event) []llm.Event {
	var out []llm.Event
	for _, e := range events {
		out = s.Step(out, e)
	}
	return out
}

func kinds(events []llm.Event) string {
	var all []string
	for _, e := range events {
		k := fmt.Sprint(e.Kind)
		if e.Err != nil {
			k += ":" + e.Err.Error()
		}
		if e.Part != nil {
			k += ":" + fmt.Sprint(e.Part.Kind) + ":" + e.Part.Opaque.Value
		}
		all = append(all, k)
	}
	return strings.Join(all, " ")
}

func block(i int, kind llm.PartKind) llm.Event {
	return llm.Event{Kind: llm.EventBlock, Block: i, Part: &llm.Part{Kind: kind}}
}

func delta(i int, s string) llm.Event {
	return llm.Event{Kind: llm.EventText, Block: i, Delta: []byte(s)}
}

func TestASummaryBecomesOneCompaction(t *testing.T) {
	t.Parallel()
	start, use, end := llm.Event{Kind: llm.EventStart}, llm.Event{Kind: llm.EventUsage}, llm.Event{Kind: llm.EventFinish, Stop: llm.StopEnd}
	stop := func(s llm.Stop) llm.Event { return llm.Event{Kind: llm.EventFinish, Stop: s} }
	broken := llm.Event{Kind: llm.EventFailure, Err: errors.New("broke off")}
	compacted := func(s string) string {
		return fmt.Sprintf("%d:%d: %d:%d:<%s> %d %d", llm.EventBlock, llm.PartCompaction, llm.EventSeal, llm.PartCompaction, s, llm.EventStop, llm.EventFinish)
	}
	failed := func(s string) string { return fmt.Sprintf("%d:%s (compaction_failed)", llm.EventFailure, s) }
	for name, tc := range map[string]struct {
		events []llm.Event
		want   string
	}{
		"text":        {[]llm.Event{start, block(0, llm.PartText), delta(0, " a"), delta(0, "b\n"), use, end}, "0 8 " + compacted("ab")},
		"two texts":   {[]llm.Event{block(0, llm.PartText), delta(0, "a"), block(1, llm.PartText), delta(1, "b"), end}, compacted("a\n\nb")},
		"late usage":  {[]llm.Event{block(0, llm.PartText), delta(0, "a"), end, use}, compacted("a") + " 8"},
		"thinking":    {[]llm.Event{block(0, llm.PartThinking), {Kind: llm.EventThinking, Delta: []byte("hm")}, {Kind: llm.EventSeal, Part: &llm.Part{}}, block(1, llm.PartText), delta(1, "a"), end}, compacted("a")},
		"a call":      {[]llm.Event{block(0, llm.PartText), delta(0, "a"), block(1, llm.PartCall), {Kind: llm.EventArgs, Block: 1, Delta: []byte("{}")}, stop(llm.StopTool)}, compacted("a")},
		"cut off":     {[]llm.Event{block(0, llm.PartText), delta(0, "a"), stop(llm.StopLength)}, compacted("a\n\n[The summary was cut off here: it reached the limit on its length.]")},
		"nothing":     {[]llm.Event{start, end}, "0 " + failed("The model answered without a summary of the conversation.")},
		"only a call": {[]llm.Event{block(0, llm.PartCall), stop(llm.StopTool)}, failed("The model answered without a summary of the conversation.")},
		"blank":       {[]llm.Event{block(0, llm.PartText), delta(0, " \n"), end}, failed("The model answered without a summary of the conversation.")},
		"refused":     {[]llm.Event{block(0, llm.PartRefusal), delta(0, "no"), end}, failed("The model declined to summarise the conversation.")},
		"filtered":    {[]llm.Event{block(0, llm.PartText), delta(0, "a"), stop(llm.StopFilter)}, failed("The model declined to summarise the conversation.")},
		"broken":      {[]llm.Event{start, block(0, llm.PartText), delta(0, "a"), broken, end}, fmt.Sprintf("0 %d:broke off", llm.EventFailure)},
		"endless":     {[]llm.Event{block(0, llm.PartText), delta(0, strings.Repeat("x", 2<<20)), end}, failed("The model's summary of the conversation does not end.")},
	} {
		if got := kinds(run(&compaction.Summary{Seal: func(s string) string { return "<" + s + ">" }}, tc.events...)); got != tc.want {
			t.Errorf("%s: %s, want %s", name, got, tc.want)
		}
	}
}

func TestAnAnswerWithoutACompactionIsAFailure(t *testing.T) {
	t.Parallel()
	end := llm.Event{Kind: llm.EventFinish}
	events := run(&compaction.Native{}, block(0, llm.PartText), delta(0, "hello"), end)
	f, ok := errors.AsType[*dialect.Failure](events[len(events)-1].Err)
	if !ok || f.Code != compaction.Failed || f.Status != 400 {
		t.Errorf("got %s", kinds(events))
	}
	events = run(&compaction.Native{}, block(0, llm.PartThinking), block(1, llm.PartCompaction), block(2, llm.PartCompaction), end)
	if len(events) != 4 || events[3].Kind != llm.EventFinish {
		t.Errorf("got %s", kinds(events))
	}
}

func TestSummariesAreKnownAgain(t *testing.T) {
	t.Parallel()
	got := compaction.Text("\n## Goal\nA port.\n")
	if !strings.HasPrefix(got, "<summary>\n") || !strings.HasSuffix(got, "\n\n## Goal\nA port.\n</summary>") || !compaction.IsText(got) {
		t.Errorf("got %q", got)
	}
	if compaction.IsText("<summary>\nof my own") || compaction.IsText("") {
		t.Error("a user's own words pass for a summary")
	}
}
