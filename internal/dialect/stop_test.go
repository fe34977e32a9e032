package dialect_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"detour/internal/dialect"
	"detour/internal/llm"
)

func begins(block int, kind llm.PartKind) llm.Event {
	p := llm.Part{Kind: kind}
	if kind == llm.PartCall {
		p.Call = &llm.Call{ID: "c", Name: "f"}
	}
	return llm.Event{Kind: llm.EventBlock, Block: block, Part: &p}
}

func said(block int, text string) llm.Event {
	return llm.Event{Kind: llm.EventText, Block: block, Delta: []byte(text)}
}

func ended(block int) llm.Event { return llm.Event{Kind: llm.EventStop, Block: block} }

// spoken makes the events of one block of text.
func spoken(block int, deltas ...string) []llm.Event {
	events := []llm.Event{begins(block, llm.PartText)}
	for _, d := range deltas {
		events = append(events, said(block, d))
	}
	return append(events, ended(block))
}

// sketch prints events, the text of a block in a row as one.
func sketch(events []llm.Event) string {
	var b strings.Builder
	for i, e := range events {
		switch e.Kind {
		case llm.EventText:
			if i > 0 && events[i-1].Kind == llm.EventText && events[i-1].Block == e.Block {
				fmt.Fprintf(&b, "%s", e.Delta)
				continue
			}
			fmt.Fprintf(&b, " %d:%s", e.Block, e.Delta)
		case llm.EventThinking:
			fmt.Fprintf(&b, " think:%s", e.Delta)
		case llm.EventArgs:
			fmt.Fprintf(&b, " args:%s", e.Delta)
		case llm.EventBlock:
			fmt.Fprintf(&b, " (%d", e.Block)
		case llm.EventStop:
			fmt.Fprintf(&b, " %d)", e.Block)
		case llm.EventUsage:
			fmt.Fprintf(&b, " used:%d", e.Usage.Output)
		case llm.EventFinish:
			fmt.Fprintf(&b, " finish:%d%q", e.Stop, e.StopSequence)
		case llm.EventFailure:
			fmt.Fprintf(&b, " failure:%v", e.Err)
		case llm.EventSeal:
			b.WriteString(" seal")
		case llm.EventCitation:
			b.WriteString(" cite")
		case llm.EventStart:
			b.WriteString(" start")
		case llm.EventPing:
			b.WriteString(" ping")
		}
	}
	return strings.TrimSpace(b.String())
}

// stopped sends events through a Stopper, and keeps copies of what comes out.
func stopped(sequences []string, events []llm.Event) []llm.Event {
	s := dialect.NewStopper(sequences)
	var out, step []llm.Event
	for _, e := range events {
		step = s.Step(step[:0], e)
		for _, e := range step {
			e.Delta = bytes.Clone(e.Delta)
			out = append(out, e)
		}
	}
	return out
}

func TestAnswersEndAtTheFirstStopSequence(t *testing.T) {
	t.Parallel()
	end := llm.Event{Kind: llm.EventFinish, Stop: llm.StopEnd}
	tool := llm.Event{Kind: llm.EventFinish, Stop: llm.StopTool}
	length := llm.Event{Kind: llm.EventFinish, Stop: llm.StopLength}
	used := llm.Event{Kind: llm.EventUsage, Usage: llm.Usage{Output: 7}}
	args := func(block int, s string) llm.Event {
		return llm.Event{Kind: llm.EventArgs, Block: block, Delta: []byte(s)}
	}
	broken := llm.Event{Kind: llm.EventFailure, Err: errors.New("cut")}
	seal := llm.Event{Kind: llm.EventSeal, Part: &llm.Part{}}
	for _, tc := range []struct {
		name      string
		sequences []string
		events    []llm.Event
		want      string
	}{
		{"none comes", []string{"END"}, append(spoken(0, "all of it"), end), `(0 0:all of it 0) finish:1""`},
		{"in one delta", []string{"END"}, append(spoken(0, "a END b", " c"), used, end), `(0 0:a  0) used:7 finish:2"END"`},
		{"over deltas", []string{"END"}, append(spoken(0, "a E", "N", "D b"), end), `(0 0:a  0) finish:2"END"`},
		{"begins and does not come", []string{"END"}, append(spoken(0, "a E", "N", "d"), end), `(0 0:a ENd 0) finish:1""`},
		{"begins at the end", []string{"END"}, append(spoken(0, "a EN"), end), `(0 0:a EN 0) finish:1""`},
		{"begins again inside its own beginning", []string{"aab"}, append(spoken(0, "xa", "a", "ab"), end), `(0 0:xa 0) finish:2"aab"`},
		{"is all there is", []string{"END"}, append(spoken(0, "END"), end), `(0 0) finish:2"END"`},
		{"the one that begins first counts", []string{"bc", "abcd"}, append(spoken(0, "xab", "c", "d"), end), `(0 0:x 0) finish:2"abcd"`},
		{"the one that begins first does not come", []string{"bc", "abcd"}, append(spoken(0, "xab", "c", "e"), end), `(0 0:xa 0) finish:2"bc"`},
		{"nor at the end of the block", []string{"bc", "abcd"}, append(spoken(0, "xabc"), end), `(0 0:xa 0) finish:2"bc"`},
		{"nor before the upstream breaks", []string{"bc", "abcd"}, []llm.Event{begins(0, llm.PartText), said(0, "xabc"), broken}, `(0 0:xa 0) finish:2"bc"`},
		{"the shorter of two that begin together", []string{"abc", "ab"}, append(spoken(0, "xa", "bc"), end), `(0 0:x 0) finish:2"ab"`},
		{"between letters of several bytes", []string{"é→"}, append(spoken(0, "caf", "é", "é", "→"), end), `(0 0:café 0) finish:2"é→"`},
		{"empty ones", []string{"", "b"}, append(spoken(0, "abc"), end), `(0 0:a 0) finish:2"b"`},
		{"length stop behind it", []string{"b"}, append(spoken(0, "abc"), length), `(0 0:a 0) finish:2"b"`},
		{"length stop before it comes", []string{"bx"}, []llm.Event{begins(0, llm.PartText), said(0, "ab"), length}, `(0 0:ab finish:4""`},
		{"upstream breaks behind it", []string{"b"}, []llm.Event{begins(0, llm.PartText), said(0, "abc"), broken}, `(0 0:a 0) finish:2"b"`},
		{"upstream breaks before it comes", []string{"bx"}, []llm.Event{begins(0, llm.PartText), said(0, "ab"), broken}, `(0 0:ab failure:cut`},
		{"more text, thoughts and calls behind it", []string{"b"}, slices.Concat(spoken(0, "abc"), spoken(1, "more"),
			[]llm.Event{begins(2, llm.PartCall), args(2, "{}"), ended(2), begins(3, llm.PartThinking), {Kind: llm.EventThinking, Block: 3, Delta: []byte("hm")}, ended(3), used, tool}),
			`(0 0:a 0) used:7 finish:2"b"`},
		{"not over blocks", []string{"ab"}, slices.Concat(spoken(0, "xa"), spoken(1, "bx"), []llm.Event{end}), `(0 0:xa 0) (1 1:bx 1) finish:1""`},
		{"not in thoughts, refusals and arguments", []string{"b"}, []llm.Event{
			begins(0, llm.PartThinking), {Kind: llm.EventThinking, Delta: []byte("b")}, seal, ended(0), begins(1, llm.PartRefusal), said(1, "b"), ended(1),
			begins(2, llm.PartCall), args(2, `"b"`), ended(2), tool,
		}, `(0 think:b seal 0) (1 1:b 1) (2 args:"b" 2) finish:3""`},
		{"calls that began before it are whole", []string{"b"}, slices.Concat([]llm.Event{begins(0, llm.PartCall), args(0, "{")}, spoken(1, "abc"), []llm.Event{args(0, "}"), ended(0), tool}),
			`(0 args:{ (1 1:a 1) args:} 0) finish:3""`},
		{"or fail", []string{"b"}, slices.Concat([]llm.Event{begins(0, llm.PartCall), args(0, "{")}, spoken(1, "abc"), []llm.Event{broken}), `(0 args:{ (1 1:a 1) failure:cut`},
		{"what was said in another block meanwhile", []string{"bc"}, []llm.Event{begins(0, llm.PartText), begins(1, llm.PartText), said(0, "ab"), said(1, "xbc"), said(0, "c"), ended(0), ended(1), end},
			`(0 (1 0:a 1:x 0:b 1) 0) finish:2"bc"`},
		{"citations", []string{"b"}, []llm.Event{begins(0, llm.PartText), said(0, "a"), {Kind: llm.EventCitation, Part: &llm.Part{}}, said(0, "b"), {Kind: llm.EventCitation, Part: &llm.Part{}}, ended(0), end},
			`(0 0:a cite 0) finish:2"b"`},
		{"signs of life", []string{"b"}, []llm.Event{{Kind: llm.EventStart}, {Kind: llm.EventPing}, begins(0, llm.PartText), said(0, "b"), {Kind: llm.EventPing}, end}, `start ping (0 0) ping finish:2"b"`},
		{"text of a block that never began", []string{"b"}, []llm.Event{said(3, "abc"), end}, `3:abc finish:1""`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if got := sketch(stopped(tc.sequences, tc.events)); got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}

func TestWithoutStopSequencesThereIsNoStopper(t *testing.T) {
	t.Parallel()
	if dialect.NewStopper(nil) != nil || dialect.NewStopper([]string{""}) != nil {
		t.Error("there is one")
	}
}

// naiveCut is what a Stopper must come to: the text in front of the sequence that begins first, the shortest of those.
func naiveCut(text string, sequences []string) (before, sequence string) {
	at := len(text)
	for _, q := range sequences {
		if q == "" {
			continue
		}
		if front, _, found := strings.Cut(text, q); found && (len(front) < at || len(front) == at && (sequence == "" || len(q) < len(sequence))) {
			at, sequence = len(front), q
		}
	}
	return text[:at], sequence
}

// undecided is from where on text may be the beginning of a sequence.
func undecided(text string, sequences []string) int {
	for i := range len(text) {
		for _, q := range sequences {
			if q != "" && (strings.HasPrefix(q, text[i:]) || strings.HasPrefix(text[i:], q)) {
				return i
			}
		}
	}
	return len(text)
}

// FuzzStopper chunks text in any way and compares with the cut of the whole. Nothing is held back for longer than needed.
func FuzzStopper(f *testing.F) {
	f.Add("a END b", "END", uint64(0b10110))
	f.Add("xabcd", "bc\nabcd\n\nb", uint64(0b11111))
	f.Add("aaab", "aab\nab", uint64(0b101))
	f.Add("ababac", "abac\nbab", uint64(0xffff))
	f.Add("naïve→", "→\nï", uint64(3))
	f.Fuzz(func(t *testing.T, text, list string, chunks uint64) {
		sequences := strings.Split(list, "\n")
		s := dialect.NewStopper(sequences)
		if s == nil {
			return
		}
		want, sequence := naiveCut(text, sequences)
		var got []byte
		var step []llm.Event
		take := func(e llm.Event) {
			step = s.Step(step[:0], e)
			for _, e := range step {
				if e.Kind == llm.EventText {
					got = append(got, e.Delta...)
				}
			}
		}
		take(begins(0, llm.PartText))
		from := 0
		for i := range len(text) {
			if i+1 < len(text) && chunks>>(i%64)&1 == 0 {
				continue
			}
			delta := []byte(text[from : i+1])
			take(llm.Event{Kind: llm.EventText, Delta: delta})
			clear(delta) // it is valid for one step only
			if from = i + 1; len(got) != undecided(text[:from], sequences) {
				t.Fatalf("after %q of %q with %q: %q is out", text[:from], text, sequences, got)
			}
		}
		take(ended(0))
		take(llm.Event{Kind: llm.EventFinish, Stop: llm.StopEnd})
		if last := step[len(step)-1]; string(got) != want || last.StopSequence != sequence || (last.Stop == llm.StopMatch) != (sequence != "") {
			t.Errorf("%q with %q: %q, %q; want %q, %q", text, sequences, got, last.StopSequence, want, sequence)
		}
	})
}

func TestWatchingForStopSequencesAllocatesNothing(t *testing.T) {
	s := dialect.NewStopper([]string{"\nObservation:", "END"})
	deltas := []llm.Event{said(0, "some words"), said(0, " and then\nObs"), said(0, "cure E"), said(0, "nds\n")}
	events := s.Step(make([]llm.Event, 0, 8), begins(0, llm.PartText))
	round := func() {
		for _, e := range deltas {
			events = s.Step(events[:0], e)
		}
	}
	round()
	if n := testing.AllocsPerRun(100, round); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
