package llm

import "slices"

// Folder makes a whole answer of its events. The zero value is ready to use.
type Folder struct {
	answer   Answer
	finished bool
	failed   error
}

// Add takes one event. Events for blocks that never began are passed over.
func (f *Folder) Add(e Event) {
	a := &f.answer
	switch e.Kind {
	case EventStart:
		a.ID, a.Model = e.ID, e.Model
	case EventBlock:
		for len(a.Parts) <= e.Block {
			a.Parts = append(a.Parts, Part{})
		}
		if e.Part != nil && e.Block >= 0 {
			a.Parts[e.Block] = e.Part.clone()
		}
	case EventUsage:
		a.Usage = e.Usage
	case EventFinish:
		a.Stop, a.StopSequence, f.finished = e.Stop, e.StopSequence, true
	case EventFailure:
		f.failed = e.Err
	}
	if e.Block < 0 || e.Block >= len(a.Parts) {
		return
	}
	p := &a.Parts[e.Block]
	switch e.Kind {
	case EventText, EventThinking:
		p.Text += string(e.Delta)
	case EventArgs:
		if p.Call != nil {
			p.Call.Arguments += string(e.Delta)
		}
	case EventSeal:
		if e.Part == nil {
			return
		}
		p.Opaque = e.Part.Opaque
	case EventCitation:
		if e.Part == nil {
			return
		}
		p.Citations = append(p.Citations, slices.Clone(e.Part.Raw))
	}
}

// Answer returns the answer, and false while its end has not come.
func (f *Folder) Answer() (*Answer, bool) { return &f.answer, f.finished }

// Err is what made the answer fail, or nil.
func (f *Folder) Err() error { return f.failed }

func (p *Part) clone() Part {
	out := *p
	if p.Call != nil {
		c := *p.Call
		out.Call = &c
	}
	out.Raw = slices.Clone(p.Raw)
	return out
}

// Replay appends the events that a streamed answer would have had.
func (a *Answer) Replay(dst []Event) []Event {
	dst = append(dst, Event{Kind: EventStart, ID: a.ID, Model: a.Model})
	for i := range a.Parts {
		p := &a.Parts[i]
		begin := p.clone()
		begin.Text, begin.Opaque, begin.Citations = "", Opaque{}, nil
		content := p.Text
		kind := EventText
		switch {
		case p.Kind == PartThinking:
			kind = EventThinking
		case p.Call != nil:
			kind, content, begin.Call.Arguments = EventArgs, p.Call.Arguments, ""
		}
		dst = append(dst, Event{Kind: EventBlock, Block: i, Part: &begin})
		if content != "" {
			dst = append(dst, Event{Kind: kind, Block: i, Delta: []byte(content)})
		}
		for _, c := range p.Citations {
			dst = append(dst, Event{Kind: EventCitation, Block: i, Part: &Part{Raw: c}})
		}
		if p.Opaque.Kind != OpaqueNone {
			dst = append(dst, Event{Kind: EventSeal, Block: i, Part: &Part{Opaque: p.Opaque}})
		}
		dst = append(dst, Event{Kind: EventStop, Block: i})
	}
	return append(dst, Event{Kind: EventUsage, Usage: a.Usage}, Event{Kind: EventFinish, Stop: a.Stop, StopSequence: a.StopSequence})
}
