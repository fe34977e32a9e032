package gemini

import "detour/internal/llm"

// turn gathers the parts of one turn. Neighbouring texts are one text: the dialect cuts an answer into parts as it
// streams, and clients send it back the way it came.
type turn struct {
	role  llm.Role
	parts []llm.Part
	text  []byte // of the last part, while more of it may come
	open  bool
}

// add appends a part as it is.
func (t *turn) add(p llm.Part) {
	t.flush()
	t.parts = append(t.parts, p)
}

// say adds text or thinking to the last part if that is of the same kind, else to a new one.
func (t *turn) say(kind llm.PartKind, text []byte) {
	if len(text) == 0 {
		return
	}
	if !t.open || t.parts[len(t.parts)-1].Kind != kind {
		t.add(llm.Part{Kind: kind})
		t.open = true
	}
	t.text = append(t.text, text...)
}

// seal gives state to the thinking that came last, or makes thinking of the state alone.
func (t *turn) seal(o llm.Opaque) {
	if o.Kind == llm.OpaqueNone {
		return
	}
	t.flush()
	if n := len(t.parts); n > 0 && t.parts[n-1].Kind == llm.PartThinking {
		switch p := &t.parts[n-1]; p.Opaque {
		case llm.Opaque{}:
			p.Opaque = o
			return
		case o:
			return // repeated
		}
	}
	t.add(llm.Part{Kind: llm.PartThinking, Opaque: o})
}

// flush ends the text of the last part.
func (t *turn) flush() {
	if t.open {
		t.parts[len(t.parts)-1].Text = string(t.text)
		t.text, t.open = t.text[:0], false
	}
}
