package gemini

import (
	"detour/internal/dialect"
	"detour/internal/llm"
)

// maxBlocks bounds how many blocks an answer may have. It is far more than any has.
const maxBlocks = 1 << 16

// noText is the part of a chunk that has no other, as the service sends it. The SDKs' chats take a chunk without any part
// for a broken answer, and forget the turn.
const noText = `{"text":""}`

// encoder writes one streamed answer, in either framing.
type encoder struct {
	array   bool
	options dialect.AnswerOptions
	speech  speech
	usage   llm.Usage
	tail    []byte // what ends every chunk; nil until its words are known
	blocks  []block
	next    int  // of the blocks before it every call is written
	begun   bool // the array has its first element
	ended   bool // finish or failure is written
	failed  bool // and it was the latter
}

// block is one block of the answer.
type block struct {
	kind    llm.PartKind
	call    *llm.Call
	args    []byte
	stopped bool
}

// NewEncoder implements dialect.Client. A call is written whole once its block has ended, and behind the calls that
// began before it. Where the upstream has no stop event for it, it is written at the end of the answer.
func (c Codec) NewEncoder(o dialect.AnswerOptions) dialect.Encoder {
	return &encoder{array: c.Array, options: o, speech: newSpeech(o)}
}

// Ping implements dialect.Encoder. Clients of this dialect take neither comments nor unknown frames: nothing but an
// empty event, and in an array white space.
func (e *encoder) Ping(dst []byte) []byte {
	switch {
	case e.ended:
		return dst
	case e.array:
		return append(dst, '\n')
	}
	return append(dst, "\n\n"...)
}

// Encode implements dialect.Encoder.
func (e *encoder) Encode(dst []byte, ev llm.Event) []byte {
	if e.ended {
		if ev.Kind == llm.EventUsage && !e.array && !e.failed {
			return e.lateUsage(dst, ev.Usage)
		}
		return dst
	}
	switch ev.Kind {
	case llm.EventStart:
		if e.tail == nil {
			e.identify(ev.Model, ev.ID)
		}
	case llm.EventBlock:
		return e.block(dst, ev)
	case llm.EventText, llm.EventThinking, llm.EventArgs, llm.EventSeal, llm.EventStop:
		if ev.Block >= 0 && ev.Block < len(e.blocks) {
			return e.step(dst, ev, &e.blocks[ev.Block])
		}
	case llm.EventUsage:
		e.usage = ev.Usage
	case llm.EventFinish:
		return e.finish(dst, ev.Stop)
	case llm.EventFailure:
		e.ended, e.failed = true, true
		dst = e.begin(dst)
		dst = Codec{}.AppendError(dst, dialect.EndFailure(ev.Err))
		return e.end(dst)
	case llm.EventCitation, llm.EventPing:
	}
	return dst
}

// identify makes the end of every chunk.
func (e *encoder) identify(model, id string) {
	e.tail = appendIdentity([]byte(`]},"index":0}]`), model, id, e.options)
}

// identity is the end of a chunk behind its candidates.
func (e *encoder) identity() []byte { return e.tail[len(`]},"index":0}]`):] }

// block begins a block. Those that were left out on the way count as empty text.
func (e *encoder) block(dst []byte, ev llm.Event) []byte {
	if ev.Part == nil || ev.Block < len(e.blocks) || ev.Block >= maxBlocks {
		return dst
	}
	for len(e.blocks) < ev.Block {
		e.blocks = append(e.blocks, block{})
	}
	b := block{kind: ev.Part.Kind}
	if ev.Part.Call != nil {
		c := *ev.Part.Call
		b.call = &c
	}
	e.blocks = append(e.blocks, b)
	if m := ev.Part.Media; m != nil && m.Data != "" {
		return e.close(e.speech.media(e.open(dst), m))
	}
	return dst
}

// step takes what an event brings to its block.
func (e *encoder) step(dst []byte, ev llm.Event, b *block) []byte {
	switch ev.Kind {
	case llm.EventText, llm.EventThinking:
		kind := b.kind
		if ev.Kind == llm.EventThinking {
			kind = llm.PartThinking
		}
		if len(ev.Delta) == 0 || kind == llm.PartThinking && e.speech.hidden {
			return dst
		}
		return e.close(e.speech.say(e.open(dst), ev.Delta, kind))
	case llm.EventArgs:
		b.args = append(b.args, ev.Delta...)
	case llm.EventSeal:
		if ev.Part == nil {
			break
		}
		if e.speech.pending == "" || ev.Part.Opaque.Kind != llm.OpaqueCarrier {
			return e.speech.seal(dst, ev.Part.Opaque) // writes nothing
		}
		return e.close(e.speech.seal(e.open(dst), ev.Part.Opaque))
	case llm.EventStop:
		b.stopped = true
		return e.calls(dst, false)
	}
	return dst
}

// calls writes the calls that are complete and whose turn it is, or all of them.
func (e *encoder) calls(dst []byte, all bool) []byte {
	for ; e.next < len(e.blocks); e.next++ {
		b := &e.blocks[e.next]
		switch {
		case b.call == nil:
			continue
		case !b.stopped && !all:
			return dst
		}
		if args, ok := e.speech.arguments(b.call, b.args); ok {
			dst = e.close(e.speech.call(e.open(dst), b.call, args))
		}
		b.args = nil
	}
	return dst
}

func (e *encoder) finish(dst []byte, stop llm.Stop) []byte {
	dst = e.calls(dst, true)
	e.ended = true
	dst = e.speech.release(e.open(dst))
	if e.speech.parts == 0 {
		dst = append(dst, noText...)
	}
	dst = append(dst, "]}"...)
	dst = e.speech.appendFinish(dst, stop)
	dst = append(dst, `,"index":0}]`...)
	dst = appendUsage(dst, e.usage)
	return e.end(append(dst, e.identity()...))
}

// lateUsage writes figures that came behind the end of the answer. An array is closed by then.
func (e *encoder) lateUsage(dst []byte, u llm.Usage) []byte {
	if !u.Reported || u == e.usage {
		return dst
	}
	e.usage = u
	dst = append(append(e.open(dst), noText...), `]},"index":0}]`...)
	return e.end(append(appendUsage(dst, u), e.identity()...))
}

// open begins a chunk of parts, and close ends it.
func (e *encoder) open(dst []byte) []byte {
	dst = append(e.begin(dst), candidate...)
	e.speech.parts = 0
	return dst
}

func (e *encoder) close(dst []byte) []byte {
	dst = append(dst, e.tail...)
	if !e.array {
		dst = append(dst, "\n\n"...)
	}
	return dst
}

// begin begins a frame, and end ends the last one.
func (e *encoder) begin(dst []byte) []byte {
	if e.tail == nil {
		e.identify("", "")
	}
	switch {
	case !e.array:
		return append(dst, "data: "...)
	case !e.begun:
		e.begun = true
		return append(dst, '[')
	}
	return append(dst, ",\n"...)
}

func (e *encoder) end(dst []byte) []byte {
	if e.array {
		return append(dst, "]\n"...)
	}
	return append(dst, "\n\n"...)
}
