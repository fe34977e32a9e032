package messages

import (
	"bytes"
	"strconv"

	"detour/internal/dialect"
	"detour/internal/dialect/rawjson"
	"detour/internal/llm"
	"detour/internal/sse"
)

// NewEncoder implements dialect.Client.
func (Codec) NewEncoder(o dialect.AnswerOptions) dialect.Encoder {
	return &encoder{o: o, show: visibilityOf(o.Request), open: -1}
}

// encoder writes one Messages stream. Clients want the blocks one after another, with indexes from 0 and no gap, so
// that:
//   - a block gets its index when its first content goes out, and one without any content none;
//   - text and thinking end when another block begins; more of them becomes a block of its own;
//   - a tool call stays open until it ends, and what comes for other blocks meanwhile waits for it;
//   - the signature of a thinking block goes out once, right before the block ends. If it comes later, it gets an
//     empty thinking block, because clients send that back as well.
type encoder struct {
	o    dialect.AnswerOptions
	show visibility

	blocks  []target // by event block
	waiting []int    // blocks whose content waits for the open tool call, in the order in which they began
	open    int      // the block that is open, or -1
	next    int      // index of the next block on the wire
	calls   int      // that went out
	ids     map[string]int

	held int // bytes that wait

	usage   llm.Usage
	id      string
	started bool
	ended   bool
}

// target is a block of the answer.
type target struct {
	kind   targetKind
	custom bool // free text, which goes out as {"input":"…"}
	ended  bool // its EventStop came
	queued bool
	wrote  bool // some of it went out
	id     string
	name   string
	raw    []byte // of a hosted block
	held   []byte // text or arguments that wait
	cites  [][]byte
	seal   []byte // replay state that is still to go out
	object objectGuard
}

type targetKind uint8

const (
	targetNone targetKind = iota
	targetText
	targetThinking
	targetRedacted
	targetTool
	targetHosted
)

// visibility says what of a model's thoughts the client gets.
type visibility uint8

const (
	showAll   visibility = iota
	showSeals            // blocks without text, for the sake of what has to come back
	showNone
)

// visibilityOf follows what the request asked for. A client that did not ask for thinking gets none where it has no
// tools: it reads the first block as the answer. In a conversation with tools replay state is worth an empty block.
func visibilityOf(r *llm.Request) visibility {
	switch {
	case r == nil:
		return showAll
	case r.Reasoning.Hidden && len(r.Tools) == 0:
		return showNone
	case r.Reasoning.Hidden, r.Reasoning.Display == "omitted":
		return showSeals
	}
	return showAll
}

// Ping implements dialect.Encoder.
func (e *encoder) Ping(dst []byte) []byte {
	if e.ended {
		return dst
	}
	return sse.AppendFrame(dst, "ping", []byte(`{"type":"ping"}`))
}

// Encode implements dialect.Encoder.
func (e *encoder) Encode(dst []byte, ev llm.Event) []byte {
	if e.ended {
		return dst
	}
	switch ev.Kind {
	case llm.EventText, llm.EventThinking:
		return e.onText(dst, ev)
	case llm.EventArgs:
		return e.onArguments(dst, ev)
	case llm.EventStart:
		return e.start(dst, &ev)
	case llm.EventBlock:
		return e.onBlock(dst, ev)
	case llm.EventSeal:
		return e.onSeal(dst, ev)
	case llm.EventCitation:
		return e.onCitation(dst, ev)
	case llm.EventStop:
		return e.onStop(dst, ev.Block)
	case llm.EventUsage:
		e.usage = ev.Usage
	case llm.EventFinish:
		return e.finish(dst, ev)
	case llm.EventFailure:
		return e.fail(dst, dialect.EndFailure(ev.Err))
	case llm.EventPing:
		return e.Ping(dst)
	}
	return dst
}

func (e *encoder) fail(dst []byte, f dialect.Failure) []byte {
	e.ended = true
	return sse.AppendFrame(dst, "error", Format{}.AppendError(nil, f))
}

func (e *encoder) start(dst []byte, ev *llm.Event) []byte {
	if e.started {
		return dst
	}
	e.started = true
	e.id = messageID(ev.ID, e.o.ID)
	model := e.o.Model
	if model == "" {
		model = ev.Model
	}
	dst = append(dst, `event: message_start`+"\n"+`data: {"type":"message_start","message":{"id":`...)
	dst = rawjson.AppendString(dst, e.id)
	dst = append(dst, `,"type":"message","role":"assistant","model":`...)
	dst = rawjson.AppendString(dst, model)
	dst = append(dst, `,"content":[],"stop_reason":null,"stop_sequence":null,"usage":`...)
	dst = appendUsage(dst, ev.Usage)
	return append(dst, "}}\n\n"...)
}

func (e *encoder) ensureStart(dst []byte) []byte {
	if e.started {
		return dst
	}
	return e.start(dst, &llm.Event{})
}

// at returns the block of an event, or nil for one that never began.
func (e *encoder) at(block int) *target {
	if block < 0 || block >= len(e.blocks) || e.blocks[block].kind == targetNone {
		return nil
	}
	return &e.blocks[block]
}

func (e *encoder) onBlock(dst []byte, ev llm.Event) []byte {
	dst = e.ensureStart(dst)
	if ev.Part == nil || ev.Block < 0 || ev.Block >= maxBlocks {
		return dst
	}
	for len(e.blocks) <= ev.Block {
		e.blocks = append(e.blocks, target{})
	}
	b := &e.blocks[ev.Block]
	*b = target{kind: e.kindOf(ev.Part)}
	switch b.kind {
	case targetTool:
		b.id = e.callID(ev.Part.Call.ID, ev.Block)
		b.name = wireName(ev.Part.Call)
		b.custom = ev.Part.Call.Kind == llm.ToolCustom
		return e.offer(dst, ev.Block)
	case targetHosted:
		b.raw, b.ended = bytes.Clone(ev.Part.Raw), true
		if c := readContent(b.raw); rawjson.Of(c.input) == rawjson.Object && !rawjson.Empty(c.input) {
			b.raw, b.held = withInput(b.raw, []byte("{}")), c.input // some clients read it from deltas only
		}
		return e.offer(dst, ev.Block)
	}
	return dst
}

// kindOf says how a part goes out.
func (e *encoder) kindOf(p *llm.Part) targetKind {
	switch p.Kind {
	case llm.PartText, llm.PartRefusal:
		return targetText
	case llm.PartThinking:
		switch {
		case e.show == showNone:
			return targetNone
		case p.Redacted:
			return targetRedacted
		}
		return targetThinking
	case llm.PartCall:
		if p.Call != nil && p.Call.Kind != llm.ToolHosted {
			return targetTool
		}
	case llm.PartOpaque:
		if c := readContent(p.Raw); hosted(c.typ) && rawjson.Valid(p.Raw) {
			return targetHosted
		}
	}
	return targetNone
}

// wireName is how a tool is called in this dialect, which has no namespaces.
func wireName(c *llm.Call) string {
	if c.Namespace != "" {
		return c.Namespace + "__" + c.Name
	}
	return c.Name
}

// callID makes the id of a call legal and different from those before it.
func (e *encoder) callID(id string, block int) string {
	if e.ids == nil {
		e.ids = map[string]int{}
	}
	if id == "" {
		id = e.id + "#" + strconv.Itoa(block)
	}
	e.ids[id]++
	if n := e.ids[id]; n > 1 {
		id += "#" + strconv.Itoa(n)
	}
	return dialect.CallID(id)
}

func (e *encoder) onText(dst []byte, ev llm.Event) []byte {
	b := e.at(ev.Block)
	if b == nil || len(ev.Delta) == 0 {
		return dst
	}
	switch {
	case b.kind == targetThinking && e.show == showAll, b.kind == targetText:
	default:
		return dst
	}
	if e.open != ev.Block {
		if e.busy(ev.Block) {
			return e.queue(e.hold(dst, b, ev.Delta), ev.Block)
		}
		dst = e.begin(e.end(dst), ev.Block)
	}
	return e.delta(dst, b, ev.Delta)
}

func (e *encoder) onArguments(dst []byte, ev llm.Event) []byte {
	b := e.at(ev.Block)
	if b == nil || b.kind != targetTool || len(ev.Delta) == 0 {
		return dst
	}
	if e.open != ev.Block {
		if b.wrote {
			return dst // too late: the call has ended
		}
		return e.hold(dst, b, ev.Delta)
	}
	return e.delta(dst, b, ev.Delta)
}

func (e *encoder) onCitation(dst []byte, ev llm.Event) []byte {
	b := e.at(ev.Block)
	if b == nil || b.kind != targetText || ev.Part == nil || !isCitation(ev.Part.Raw) {
		return dst
	}
	if e.open != ev.Block {
		if e.busy(ev.Block) {
			b.cites = append(b.cites, bytes.Clone(ev.Part.Raw))
			return e.queue(dst, ev.Block)
		}
		dst = e.begin(e.end(dst), ev.Block)
	}
	return e.citation(dst, ev.Part.Raw)
}

// isCitation reports whether raw is a citation of this dialect: annotations of others have other types.
func isCitation(raw []byte) bool {
	typ := rawjson.Text(rawjson.Get(raw, "type"))
	return bytes.HasSuffix(typ, []byte("_location"))
}

// onSeal keeps the replay state of a block until the block ends. The last one wins.
func (e *encoder) onSeal(dst []byte, ev llm.Event) []byte {
	b := e.at(ev.Block)
	if b == nil || ev.Part == nil || ev.Part.Opaque.Value == "" {
		return dst
	}
	o := ev.Part.Opaque
	if !sealsInto(o.Kind, b.kind) {
		return dst
	}
	b.seal = append(b.seal[:0], o.Value...)
	if b.ended && e.open != ev.Block {
		return e.offer(dst, ev.Block)
	}
	return dst
}

// sealsInto reports whether replay state has a place in a block.
func sealsInto(o llm.OpaqueKind, b targetKind) bool {
	switch b {
	case targetThinking:
		return o == llm.OpaqueSignature || o == llm.OpaqueCarrier
	case targetRedacted:
		return o == llm.OpaqueRedacted || o == llm.OpaqueCarrier
	}
	return false
}

func (e *encoder) onStop(dst []byte, block int) []byte {
	b := e.at(block)
	if b == nil || b.ended {
		return dst
	}
	b.ended = true
	switch {
	case e.open == block:
		return e.drain(e.end(dst))
	case len(b.seal) > 0 && !b.queued:
		return e.offer(dst, block)
	}
	return dst
}

// finish ends the answer.
func (e *encoder) finish(dst []byte, ev llm.Event) []byte {
	dst = e.ensureStart(dst)
	for i := range e.blocks {
		b := &e.blocks[i]
		if cutShort(ev.Stop) && b.queued && b.kind == targetTool && !b.ended && !isObject(b.held) {
			b.kind = targetNone // cut off before any of it went out
		}
		b.ended = true
	}
	if e.open >= 0 {
		dst = e.end(dst)
	}
	dst = e.drain(dst)
	for i := range e.blocks {
		if b := &e.blocks[i]; len(b.seal) > 0 {
			dst = e.offer(dst, i)
		}
	}
	reason, sequence := stopWord(ev.Stop, ev.StopSequence, e.calls > 0)
	dst = append(dst, `event: message_delta`+"\n"+`data: {"type":"message_delta","delta":`...)
	dst = appendStop(dst, reason, sequence)
	dst = append(dst, `},"usage":`...)
	dst = appendUsage(dst, e.usage)
	dst = append(dst, "}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"...)
	e.ended = true
	return dst
}
