package compaction

import (
	"strings"

	"detour/internal/llm"
)

// Step is a step between the decoder of an answer and its encoder, for one answer.
type Step interface {
	// Step appends what e becomes.
	Step(dst []llm.Event, e llm.Event) []llm.Event
}

// Native passes the answer of a model that compacts by itself. An answer without a compaction becomes a failure.
type Native struct{ found bool }

// Step implements Step.
func (n *Native) Step(dst []llm.Event, e llm.Event) []llm.Event {
	switch {
	case e.Kind == llm.EventBlock && e.Part != nil && e.Part.Kind == llm.PartCompaction:
		n.found = true
	case e.Kind == llm.EventFinish && !n.found:
		return append(dst, llm.Event{Kind: llm.EventFailure, Err: failure("The model answered without a compaction of the conversation.")})
	}
	return append(dst, e)
}

// maxText bounds the text of a summary, in bytes. It is far beyond MaxSummary.
const maxText = 1 << 20

// Summary makes a compaction of the text of an answer. Nothing but that passes.
type Summary struct {
	// Seal packs the summary into what clients store.
	Seal func(summary string) string

	text    strings.Builder
	refused bool
	ended   bool
	part    llm.Part
}

// Step implements Step.
func (s *Summary) Step(dst []llm.Event, e llm.Event) []llm.Event {
	if s.ended {
		if e.Kind == llm.EventUsage {
			dst = append(dst, e)
		}
		return dst
	}
	switch e.Kind {
	case llm.EventBlock:
		s.refused = s.refused || e.Part != nil && e.Part.Kind == llm.PartRefusal
		if s.text.Len() > 0 && e.Part != nil && e.Part.Kind == llm.PartText {
			s.text.WriteString("\n\n")
		}
	case llm.EventText:
		if s.text.Len()+len(e.Delta) > maxText {
			return s.fail(dst, "The model's summary of the conversation does not end.")
		}
		s.text.Write(e.Delta)
	case llm.EventFinish:
		return s.finish(dst, e)
	case llm.EventFailure:
		s.ended = true
		return append(dst, e)
	case llm.EventStart, llm.EventUsage, llm.EventPing:
		return append(dst, e)
	}
	return dst
}

func (s *Summary) finish(dst []llm.Event, e llm.Event) []llm.Event {
	summary := strings.TrimSpace(s.text.String())
	switch {
	case s.refused, e.Stop == llm.StopFilter:
		return s.fail(dst, "The model declined to summarise the conversation.")
	case summary == "":
		return s.fail(dst, "The model answered without a summary of the conversation.")
	case e.Stop == llm.StopLength, e.Stop == llm.StopWindow:
		summary += cut
	}
	s.ended = true
	s.part = llm.Part{Kind: llm.PartCompaction, Opaque: llm.Opaque{Kind: llm.OpaqueCarrier, Value: s.Seal(summary)}}
	return append(dst,
		llm.Event{Kind: llm.EventBlock, Part: &llm.Part{Kind: llm.PartCompaction}},
		llm.Event{Kind: llm.EventSeal, Part: &s.part},
		llm.Event{Kind: llm.EventStop},
		llm.Event{Kind: llm.EventFinish, Stop: llm.StopEnd})
}

func (s *Summary) fail(dst []llm.Event, message string) []llm.Event {
	s.ended = true
	return append(dst, llm.Event{Kind: llm.EventFailure, Err: failure(message)})
}
