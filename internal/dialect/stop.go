package dialect

import (
	"bytes"

	"detour/internal/llm"
)

// Stopper ends the text of an answer where the first stop sequence begins in it, for upstreams that do not know the
// sequences. It is a step between a Decoder and an Encoder, for one answer.
//
// The text comes out the same however it is chunked, and is held back only while it may be the beginning of a sequence.
// A sequence counts where it is whole within one block of text. Thoughts, refusals and calls pass unread.
//
// Of what the upstream says behind the sequence, only the rest of calls that began before it passes, and the usage. The
// answer ends when the upstream's does, because that is when the upstream says what it cost.
type Stopper struct {
	sequences [][]byte
	longest   int // bytes

	blocks  []watched // those that began before a sequence was found
	calls   int       // among them
	match   []byte    // the sequence that was found; nil before
	at      int       // the block that it was found in
	scratch []byte    // what was held back and what came behind it
}

// watched is a block of the answer.
type watched struct {
	text bool   // sequences count in it
	held []byte // may be the beginning of one
}

// NewStopper returns a Stopper for the sequences, or nil when there are none. Empty ones do not count.
func NewStopper(sequences []string) *Stopper {
	var s Stopper
	for _, seq := range sequences {
		if seq != "" {
			s.sequences = append(s.sequences, []byte(seq))
			s.longest = max(s.longest, len(seq))
		}
	}
	if s.longest == 0 {
		return nil
	}
	return &s
}

// Step appends what e becomes. The events' slices are valid until the next step.
func (s *Stopper) Step(dst []llm.Event, e llm.Event) []llm.Event {
	if s.match != nil {
		return s.behind(dst, e)
	}
	switch e.Kind {
	case llm.EventBlock:
		s.begin(e)
	case llm.EventText:
		if b := s.watched(e.Block); b != nil {
			return s.read(dst, b, e)
		}
	case llm.EventStop:
		dst = s.release(dst, e.Block)
	case llm.EventFinish, llm.EventFailure:
		for i := range s.blocks {
			dst = s.release(dst, i)
		}
	}
	if s.match != nil {
		return s.behind(dst, e)
	}
	return append(dst, e)
}

func (s *Stopper) begin(e llm.Event) {
	for len(s.blocks) <= e.Block {
		s.blocks = append(s.blocks, watched{})
	}
	if e.Part == nil || e.Block < 0 {
		return
	}
	s.blocks[e.Block].text = e.Part.Kind == llm.PartText
	if e.Part.Kind == llm.PartCall {
		s.calls++
	}
}

// watched returns a block that sequences count in, else nil.
func (s *Stopper) watched(block int) *watched {
	if block < 0 || block >= len(s.blocks) || !s.blocks[block].text {
		return nil
	}
	return &s.blocks[block]
}

// read passes text on as far as no sequence can begin in it.
func (s *Stopper) read(dst []llm.Event, b *watched, e llm.Event) []llm.Event {
	text := e.Delta
	if len(b.held) > 0 {
		s.scratch = append(append(s.scratch[:0], b.held...), e.Delta...)
		text = s.scratch
	}
	at, seq := s.first(text)
	open := s.beginning(text)
	if seq != nil && at <= open {
		b.held = b.held[:0]
		return s.cut(say(dst, e.Block, text[:at]), e.Block, seq)
	}
	b.held = append(b.held[:0], text[open:]...)
	return say(dst, e.Block, text[:open])
}

// release passes on what was held back of a block: nothing follows that could make a longer sequence of it.
func (s *Stopper) release(dst []llm.Event, block int) []llm.Event {
	b := s.watched(block)
	if b == nil || s.match != nil {
		return dst
	}
	text := b.held
	b.held = nil
	if at, seq := s.first(text); seq != nil {
		return s.cut(say(dst, block, text[:at]), block, seq)
	}
	return say(dst, block, text)
}

// cut ends a block, and with it the answer's text.
func (s *Stopper) cut(dst []llm.Event, block int, seq []byte) []llm.Event {
	for i := range s.blocks {
		if i != block { // said before
			dst = say(dst, i, s.blocks[i].held)
		}
	}
	s.match, s.at = seq, block
	return append(dst, llm.Event{Kind: llm.EventStop, Block: block})
}

// behind takes events behind the sequence. Calls that the client has heard of must be answered, so that an answer with
// some ends as the upstream ends it. Any other is whole by now, whatever becomes of the upstream.
func (s *Stopper) behind(dst []llm.Event, e llm.Event) []llm.Event {
	switch e.Kind {
	case llm.EventStart, llm.EventUsage, llm.EventPing:
		return append(dst, e)
	case llm.EventFinish, llm.EventFailure:
		if s.calls == 0 {
			e = llm.Event{Kind: llm.EventFinish, Stop: llm.StopMatch, StopSequence: string(s.match)}
		}
		return append(dst, e)
	case llm.EventBlock, llm.EventText, llm.EventCitation:
		return dst
	}
	if e.Block < 0 || e.Block >= len(s.blocks) || e.Block == s.at {
		return dst
	}
	return append(dst, e)
}

// first returns the sequence that begins first in text and where; of several that begin there, the shortest.
func (s *Stopper) first(text []byte) (at int, seq []byte) {
	for _, q := range s.sequences {
		i := bytes.Index(text, q)
		if i >= 0 && (seq == nil || i < at || i == at && len(q) < len(seq)) {
			at, seq = i, q
		}
	}
	return at, seq
}

// beginning returns from where on text is the beginning of a sequence whose end has not come: len(text) if nowhere.
func (s *Stopper) beginning(text []byte) int {
	for i := max(0, len(text)-s.longest+1); i < len(text); i++ {
		for _, q := range s.sequences {
			if len(q) > len(text)-i && bytes.HasPrefix(q, text[i:]) {
				return i
			}
		}
	}
	return len(text)
}

func say(dst []llm.Event, block int, text []byte) []llm.Event {
	if len(text) == 0 {
		return dst
	}
	return append(dst, llm.Event{Kind: llm.EventText, Block: block, Delta: text})
}
