package responses

import (
	"bytes"
	"slices"
	"strconv"
	"strings"

	"detour/internal/dialect"
	"detour/internal/dialect/rawjson"
	"detour/internal/llm"
)

// maxAnswer is how much of an answer is kept for its terminal event, which repeats all of it in one frame.
const maxAnswer = 64 << 20

// encoder writes one streamed answer. Each block becomes an output item; the items of the terminal event are the bytes
// of the output_item.done events.
//
// A call is announced at once and its arguments pass as they come, but it is finished only when the next event shows
// that it was not cut off: clients execute what is finished.
type encoder struct {
	o     dialect.AnswerOptions
	id    string
	model string
	echo  []byte // members of the response that repeat the request

	number int // the next sequence_number
	blocks []block
	opened int      // items that were announced
	done   [][]byte // finished items by output_index
	kept   int      // bytes of them, and of blocks that are open
	held   []int    // calls that have all their arguments, but may have been cut off
	late   int      // the last compaction of a request for one, -1 while there is none

	usage   llm.Usage
	refused bool
	begun   bool // response.created went out
	ended   bool

	whole bool   // the answer is not streamed: only its response object counts
	last  []byte // that object
}

// block is one block of the answer, and the item that it becomes.
type block struct {
	part      llm.Part
	call      llm.Call
	opaque    llm.Opaque
	item      int // output_index, -1 until it is announced
	id        string
	text      []byte
	citations [][]byte
	begun     bool // an EventBlock came
	closed    bool
}

func newEncoder(o dialect.AnswerOptions) *encoder {
	if o.Request == nil {
		o.Request = &llm.Request{}
	}
	return &encoder{o: o, late: -1}
}

// Ping implements dialect.Encoder.
func (e *encoder) Ping(dst []byte) []byte { return append(dst, ": ping\n\n"...) }

// Encode implements dialect.Encoder.
func (e *encoder) Encode(dst []byte, ev llm.Event) []byte {
	if e.ended {
		return dst
	}
	switch ev.Kind {
	case llm.EventPing:
		return e.Ping(dst)
	case llm.EventUsage:
		e.usage = ev.Usage
		return dst
	case llm.EventFailure:
		return e.failed(e.start(dst, ev), ev.Err)
	case llm.EventFinish:
		return e.finish(e.start(dst, ev), ev.Stop)
	case llm.EventStart:
		return e.start(dst, ev)
	case llm.EventStop:
		if b := e.block(ev.Block); b != nil && !b.closed {
			dst = e.stop(dst, ev.Block, b)
		}
		return dst
	}
	if len(e.held) > 0 {
		dst = e.release(dst, false)
	}
	dst = e.start(dst, ev)
	if ev.Kind == llm.EventBlock {
		return e.begin(dst, ev)
	}
	b := e.block(ev.Block)
	if b == nil {
		return dst
	}
	if e.kept += len(ev.Delta); e.kept > maxAnswer {
		return e.failed(dst, &dialect.Failure{Status: 502, Message: "the answer is too large to be repeated at its end"})
	}
	switch ev.Kind {
	case llm.EventText, llm.EventThinking, llm.EventArgs:
		if !b.closed && len(ev.Delta) > 0 {
			dst = e.delta(dst, b, ev.Delta)
		}
	case llm.EventSeal:
		return e.seal(dst, b, ev.Part)
	case llm.EventCitation:
		if c := annotation(ev.Part, len(b.text)); c != nil && !b.closed {
			b.citations = append(b.citations, c)
		}
	}
	return dst
}

// block returns the block of an index, or nil if it never began.
func (e *encoder) block(i int) *block {
	if i < 0 || i >= len(e.blocks) || !e.blocks[i].begun {
		return nil
	}
	return &e.blocks[i]
}

// start appends the beginning of the answer once.
func (e *encoder) start(dst []byte, ev llm.Event) []byte {
	if e.begun {
		return dst
	}
	e.begun = true
	if e.id = e.o.ID; !e.o.OwnID {
		e.id = responseID(ev.ID, e.o.ID)
	}
	if e.model = e.o.Model; e.model == "" {
		e.model = ev.Model
	}
	e.echo = appendEcho(nil, e.o.Request)
	for _, typ := range [...]string{"response.created", "response.in_progress"} {
		dst = e.event(dst, typ)
		dst = e.response(append(dst, `,"response":`...), "in_progress", "null", "null")
		dst = append(dst, "}\n\n"...)
	}
	return dst
}

// responseID makes an id of this dialect of the upstream's, if that is short, else of the one that stands in.
func responseID(id, otherwise string) string {
	if id == "" || len(id) >= 60 || dialect.CallID(id) != id {
		id = otherwise
	}
	if strings.HasPrefix(id, "resp_") {
		return id
	}
	return "resp_" + id
}

// event appends what stands at the beginning of an event.
func (e *encoder) event(dst []byte, typ string) []byte {
	dst = append(append(dst, "event: "...), typ...)
	dst = append(append(dst, "\ndata: {\"type\":\""...), typ...)
	dst = strconv.AppendInt(append(dst, `","sequence_number":`...), int64(e.number), 10)
	e.number++
	return dst
}

// itemEvent appends the beginning of an event about an item.
func (e *encoder) itemEvent(dst []byte, typ string, b *block) []byte {
	dst = e.event(dst, typ)
	dst = append(append(append(dst, `,"item_id":"`...), b.id...), `","output_index":`...)
	return strconv.AppendInt(dst, int64(b.item), 10)
}

// begin takes the beginning of a block. Calls are announced at once, since that shows the client which tool it will be;
// text and thoughts when there are any.
func (e *encoder) begin(dst []byte, ev llm.Event) []byte {
	if ev.Part == nil || ev.Block < 0 || ev.Block >= maxItems || e.block(ev.Block) != nil {
		return dst
	}
	for len(e.blocks) <= ev.Block {
		e.blocks = append(e.blocks, block{item: -1})
	}
	b := &e.blocks[ev.Block]
	b.begun, b.part = true, *ev.Part
	b.part.Raw = slices.Clone(ev.Part.Raw)
	if ev.Part.Call != nil {
		b.call = *ev.Part.Call
	}
	b.opaque = ev.Part.Opaque
	e.refused = e.refused || b.part.Kind == llm.PartRefusal
	if b.part.Kind == llm.PartCall && b.call.Kind != llm.ToolNative {
		dst = e.announce(dst, b)
	}
	return dst
}

// delta passes a piece of a block on.
func (e *encoder) delta(dst []byte, b *block, text []byte) []byte {
	typ, index := "", ""
	switch b.part.Kind {
	case llm.PartText:
		typ, index = "response.output_text.delta", `,"content_index":0`
	case llm.PartRefusal:
		typ, index = "response.refusal.delta", `,"content_index":0`
	case llm.PartThinking:
		typ, index = "response.reasoning_summary_text.delta", `,"summary_index":0`
	case llm.PartCall:
		switch b.call.Kind {
		case llm.ToolNative:
			b.text = append(b.text, text...)
			return dst
		case llm.ToolCustom:
			typ = "response.custom_tool_call_input.delta"
		default:
			typ = "response.function_call_arguments.delta"
		}
	default:
		return dst
	}
	if b.item < 0 {
		dst = e.announce(dst, b)
	}
	if len(b.text) == 0 {
		dst = e.announcePart(dst, b)
	}
	b.text = append(b.text, text...)
	dst = append(e.itemEvent(dst, typ, b), index...)
	dst = rawjson.AppendString(append(dst, `,"delta":`...), text)
	if b.part.Kind == llm.PartText {
		dst = append(dst, `,"logprobs":[]`...)
	}
	return append(dst, "}\n\n"...)
}

// seal takes the replay state of a block. What comes after the block ended becomes an item of its own.
func (e *encoder) seal(dst []byte, b *block, p *llm.Part) []byte {
	if p == nil || p.Opaque == b.opaque {
		return dst
	}
	if b.opaque = p.Opaque; !b.closed || b.part.Kind != llm.PartThinking {
		return dst
	}
	late := block{part: llm.Part{Kind: llm.PartThinking}, opaque: p.Opaque, item: -1}
	return e.closeItem(dst, &late, "completed")
}

// stop ends a block.
func (e *encoder) stop(dst []byte, i int, b *block) []byte {
	switch {
	case b.part.Kind == llm.PartCall:
		if b.call.Kind == llm.ToolFunction && len(b.text) == 0 {
			dst = e.delta(dst, b, []byte("{}"))
		}
		b.closed = true
		e.held = append(e.held, i)
		return dst
	case b.part.Kind == llm.PartCompaction && e.o.Request.Compact:
		b.closed = true
		e.late = i // clients want one; the last stands for the whole conversation
		return dst
	}
	return e.closeItem(dst, b, "completed")
}

// release finishes the calls that were held back. Unless the answer has ended, one without whole arguments stays: what
// it is shows at the end. cut says that the answer was cut off.
func (e *encoder) release(dst []byte, cut bool) []byte {
	keep := e.held[:0]
	for _, i := range e.held {
		b := &e.blocks[i]
		whole := b.call.Kind == llm.ToolCustom || rawjson.Valid(b.text)
		status := "completed"
		switch {
		case e.ended && cut && (!whole || b.call.Kind == llm.ToolCustom):
			status = "incomplete"
		case !e.ended && !whole:
			keep = append(keep, i)
			continue
		}
		dst = e.closeItem(dst, b, status)
	}
	e.held = keep
	return dst
}

// finish ends the answer.
func (e *encoder) finish(dst []byte, stop llm.Stop) []byte {
	cut := stop == llm.StopLength || stop == llm.StopWindow || stop == llm.StopFilter && !e.refused
	e.ended = true
	dst = e.release(dst, cut)
	for i := range e.blocks {
		b := &e.blocks[i]
		if !b.begun || b.closed {
			continue
		}
		status := "completed"
		if cut {
			status = "incomplete"
		}
		dst = e.closeItem(dst, b, status)
	}
	if e.late >= 0 {
		dst = e.closeItem(dst, &e.blocks[e.late], "completed")
	}
	switch {
	case !cut:
		return e.terminal(dst, "response.completed", "completed", "null", "null")
	case stop == llm.StopFilter:
		return e.terminal(dst, "response.incomplete", "incomplete", "null", `{"reason":"content_filter"}`)
	}
	return e.terminal(dst, "response.incomplete", "incomplete", "null", `{"reason":"max_output_tokens"}`)
}

// failed ends an answer that broke off. Clients act on this event only, not on the event error.
func (e *encoder) failed(dst []byte, err error) []byte {
	failure := dialect.EndFailure(err)
	typ, code := failure.OpenAIType()
	if code == "" {
		code = typ
	}
	wrong := rawjson.AppendString([]byte(`{"code":`), code)
	wrong = append(appendMember(wrong, "message", failure.Message), '}')
	return e.terminal(dst, "response.failed", "failed", string(wrong), "null")
}

func (e *encoder) terminal(dst []byte, typ, status, wrong, incomplete string) []byte {
	e.ended = true
	if e.whole {
		e.last = e.response(nil, status, wrong, incomplete)
		return dst
	}
	dst = append(e.event(dst, typ), `,"response":`...)
	dst = e.response(dst, status, wrong, incomplete)
	return append(dst, "}\n\n"...)
}

// flat appends JSON text on one line, as an event needs it. Between tokens a line break is as good as a space.
func flat(dst, raw []byte) []byte {
	from := len(dst)
	dst = append(dst, raw...)
	if bytes.IndexByte(raw, '\n') < 0 && bytes.IndexByte(raw, '\r') < 0 {
		return dst
	}
	for i, c := range dst[from:] {
		if c == '\n' || c == '\r' {
			dst[from+i] = ' '
		}
	}
	return dst
}
