package chat

import (
	"strconv"
	"strings"

	"detour/internal/dialect"
	"detour/internal/dialect/rawjson"
	"detour/internal/llm"
)

// NewEncoder implements dialect.Client.
func (Codec) NewEncoder(o dialect.AnswerOptions) dialect.Encoder {
	return &encoder{o: o, legacy: isLegacy(o)}
}

// maxBlocks bounds the blocks of an answer, so that no event can make the encoder remember without end.
const maxBlocks = 1 << 16

// encoder writes one stream of chat.completion.chunk objects. Calls may interleave, and nothing is held back but replay
// state: a message has room for one value, which goes out when its block ends.
type encoder struct {
	o      dialect.AnswerOptions
	legacy bool // calls go out in the older form, which has room for one

	head    []byte // of a chunk, up to the delta
	ended   bool
	blocks  []blockState
	calls   int
	thought bool // reasoning went out
	sealed  bool // replay state went out
	usage   llm.Usage
	scratch []byte
}

// blockState is what the encoder knows of a block.
type blockState struct {
	kind    llm.PartKind
	form    callForm
	ordinal int
	any     bool // content went out
	stopped bool
	opaque  string // replay state, until the block ends
}

// callForm is how a call goes out.
type callForm uint8

const (
	formNone callForm = iota // not at all
	formFunction
	formWrapped // free text, in the arguments of a function
	formCustom
	formLegacy
)

// Ping implements dialect.Encoder: a comment, which every client passes over.
func (e *encoder) Ping(dst []byte) []byte {
	if e.ended {
		return dst
	}
	return append(dst, ": ping\n\n"...)
}

// Encode implements dialect.Encoder.
func (e *encoder) Encode(dst []byte, ev llm.Event) []byte {
	if e.ended {
		return dst
	}
	switch ev.Kind {
	case llm.EventPing:
		return e.Ping(dst)
	case llm.EventFailure:
		e.ended = true
		dst = append(dst, "data: "...)
		dst = dialect.AppendOpenAIError(dst, dialect.EndFailure(ev.Err))
		return append(dst, "\n\ndata: [DONE]\n\n"...)
	case llm.EventUsage:
		e.usage = ev.Usage
		return dst
	}
	if e.head == nil {
		dst = e.start(dst, ev)
	}
	switch ev.Kind {
	case llm.EventStart:
		return dst
	case llm.EventFinish:
		return e.finish(dst, ev)
	case llm.EventBlock:
		return e.block(dst, ev)
	}
	if ev.Block < 0 || ev.Block >= len(e.blocks) {
		return dst
	}
	b := &e.blocks[ev.Block]
	switch ev.Kind {
	case llm.EventText:
		return e.text(dst, b, ev.Delta)
	case llm.EventThinking:
		return e.thinking(dst, b, ev.Delta)
	case llm.EventArgs:
		return e.arguments(dst, b, ev.Delta)
	case llm.EventSeal:
		return e.seal(dst, b, ev.Part)
	case llm.EventCitation:
		return e.citation(dst, b, ev.Part)
	case llm.EventStop:
		return e.stop(dst, b)
	}
	return dst
}

// start writes the first chunk. What all chunks share is made once.
func (e *encoder) start(dst []byte, ev llm.Event) []byte {
	var id, model string
	if ev.Kind == llm.EventStart {
		id, model = ev.ID, ev.Model
	}
	e.head = append(e.head, `data: {"id":`...)
	e.head = rawjson.AppendString(e.head, answerID(id, e.o))
	e.head = append(e.head, `,"object":"chat.completion.chunk","created":`...)
	e.head = strconv.AppendInt(e.head, e.o.Created, 10)
	e.head = append(e.head, `,"model":`...)
	e.head = rawjson.AppendString(e.head, answerModel(model, e.o))
	e.head = append(e.head, `,"choices":[`...)
	dst = e.open(dst)
	dst = append(dst, `"role":"assistant","content":""`...)
	return closeDelta(dst)
}

// answerID returns the id of an answer: the upstream's own if it can be one here.
func answerID(id string, o dialect.AnswerOptions) string {
	const prefix, limit = "chatcmpl-", 64
	switch {
	case id == "" || len(id) >= limit:
		id = o.ID
	case !strings.HasPrefix(id, prefix):
		_, rest, found := strings.Cut(id, "_") // msg_…, resp_…
		if !found {
			rest = id
		}
		id = prefix + rest
	}
	if id == "" {
		return prefix + "0"
	}
	return id
}

// answerModel returns the model of an answer: the one that the client asked for.
func answerModel(model string, o dialect.AnswerOptions) string {
	if o.Model != "" {
		return o.Model
	}
	return model
}

// open begins a chunk, up to the members of its delta.
func (e *encoder) open(dst []byte) []byte {
	dst = append(dst, e.head...)
	return append(dst, `{"index":0,"delta":{`...)
}

// closeDelta ends a chunk in the middle of the answer.
func closeDelta(dst []byte) []byte {
	return append(dst, `},"finish_reason":null}]}`+"\n\n"...)
}

// block begins a block. Only a call has something to say at once.
func (e *encoder) block(dst []byte, ev llm.Event) []byte {
	if ev.Part == nil || ev.Block < len(e.blocks) || ev.Block >= maxBlocks {
		return dst
	}
	for len(e.blocks) < ev.Block {
		e.blocks = append(e.blocks, blockState{kind: llm.PartOpaque})
	}
	b := blockState{kind: ev.Part.Kind}
	if c := ev.Part.Call; c != nil && ev.Part.Kind == llm.PartCall {
		b.ordinal = e.calls
		if b.form = e.form(c); b.form != formNone {
			e.calls++
			dst = e.call(dst, b, c)
		}
	}
	if b.kind == llm.PartThinking {
		b.opaque = ownOpaque(ev.Part.Opaque)
	}
	e.blocks = append(e.blocks, b)
	return dst
}

// ownOpaque returns replay state that may go into a slot of this dialect, or "".
func ownOpaque(o llm.Opaque) string {
	if o.Kind == llm.OpaqueChat || o.Kind == llm.OpaqueCarrier {
		return o.Value
	}
	return ""
}

// text writes text or a refusal.
func (e *encoder) text(dst []byte, b *blockState, delta []byte) []byte {
	if len(delta) == 0 || b.kind != llm.PartText && b.kind != llm.PartRefusal {
		return dst
	}
	b.any = true
	dst = e.open(dst)
	if b.kind == llm.PartRefusal {
		dst = append(dst, `"refusal":`...)
	} else {
		dst = append(dst, `"content":`...)
	}
	return closeDelta(rawjson.AppendString(dst, delta))
}

// thinking writes reasoning. A blank line stands between what belongs to different blocks.
func (e *encoder) thinking(dst []byte, b *blockState, delta []byte) []byte {
	if len(delta) == 0 || b.kind != llm.PartThinking || hidden(e.o) {
		return dst
	}
	dst = e.open(dst)
	dst = append(dst, '"')
	dst = append(dst, reasoningKey(e.o)...)
	dst = append(dst, `":`...)
	if !b.any && e.thought {
		e.scratch = append(append(e.scratch[:0], "\n\n"...), delta...)
		delta = e.scratch
	}
	b.any, e.thought = true, true
	return closeDelta(rawjson.AppendString(dst, delta))
}

// hidden reports whether the client wants to see no reasoning.
func hidden(o dialect.AnswerOptions) bool { return o.Request != nil && o.Request.Reasoning.Hidden }

func reasoningKey(o dialect.AnswerOptions) string {
	if o.ReasoningText {
		return "reasoning_text"
	}
	return "reasoning_content"
}

// seal takes replay state: the last value of a block counts.
func (e *encoder) seal(dst []byte, b *blockState, p *llm.Part) []byte {
	if p == nil || b.kind != llm.PartThinking {
		return dst
	}
	if b.opaque = ownOpaque(p.Opaque); b.stopped {
		return e.opaque(dst, b)
	}
	return dst
}

// opaque writes the replay state of a block, if it is the first: clients are known to fail on a second one.
func (e *encoder) opaque(dst []byte, b *blockState) []byte {
	if b.opaque == "" || e.sealed {
		return dst
	}
	e.sealed = true
	dst = e.open(dst)
	dst = append(dst, `"reasoning_opaque":`...)
	dst = rawjson.AppendString(dst, b.opaque)
	b.opaque = ""
	return closeDelta(dst)
}

// stop ends a block.
func (e *encoder) stop(dst []byte, b *blockState) []byte {
	if b.stopped {
		return dst
	}
	b.stopped = true
	switch b.kind {
	case llm.PartThinking:
		return e.opaque(dst, b)
	case llm.PartCall:
		return e.endCall(dst, b)
	}
	return dst
}

// finish ends the answer.
func (e *encoder) finish(dst []byte, ev llm.Event) []byte {
	e.ended = true
	cut := ev.Stop == llm.StopLength || ev.Stop == llm.StopWindow || ev.Stop == llm.StopFilter
	for i := range e.blocks {
		b := &e.blocks[i]
		dst = e.stop(dst, b)
		if b.kind == llm.PartCall && !cut {
			dst = e.noArguments(dst, b)
		}
	}
	dst = append(dst, e.head...)
	dst = append(dst, `{"index":0,"delta":{},"finish_reason":"`...)
	dst = append(dst, finishReason(ev.Stop, e.calls, e.legacy)...)
	dst = append(dst, "\"}]}\n\n"...)
	if e.o.Request != nil && e.o.Request.WantUsage && e.usage.Reported {
		dst = append(dst, e.head...)
		dst = append(dst, `],"usage":`...)
		dst = appendUsage(dst, e.usage)
		dst = append(dst, "}\n\n"...)
	}
	return append(dst, "data: [DONE]\n\n"...)
}

// finishReason returns the word for why an answer ended. That it calls tools is told by the calls, unless it was cut
// off: then nobody may run them.
func finishReason(s llm.Stop, calls int, legacy bool) string {
	switch s {
	case llm.StopLength, llm.StopWindow:
		return "length"
	case llm.StopFilter:
		return "content_filter"
	}
	switch {
	case calls == 0:
		return "stop"
	case legacy:
		return "function_call"
	}
	return "tool_calls"
}

// appendUsage appends a usage object. The cached tokens are part of the prompt here.
func appendUsage(dst []byte, u llm.Usage) []byte {
	prompt := u.Input + u.CacheRead + u.CacheWrite
	dst = append(dst, `{"prompt_tokens":`...)
	dst = strconv.AppendInt(dst, prompt, 10)
	dst = append(dst, `,"completion_tokens":`...)
	dst = strconv.AppendInt(dst, u.Output, 10)
	dst = append(dst, `,"total_tokens":`...)
	dst = strconv.AppendInt(dst, prompt+u.Output, 10)
	dst = append(dst, `,"prompt_tokens_details":{"cached_tokens":`...)
	dst = strconv.AppendInt(dst, u.CacheRead, 10)
	if u.CacheWrite > 0 {
		dst = append(dst, `,"cache_write_tokens":`...)
		dst = strconv.AppendInt(dst, u.CacheWrite, 10)
	}
	dst = append(dst, `},"completion_tokens_details":{"reasoning_tokens":`...)
	dst = strconv.AppendInt(dst, u.Reasoning, 10)
	return append(dst, "}}"...)
}
