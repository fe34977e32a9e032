package messages

import (
	"net/http"
	"strconv"

	"detour/internal/dialect"
	"detour/internal/dialect/rawjson"
)

// busy reports whether another block has to wait for the open tool call.
func (e *encoder) busy(block int) bool {
	if e.open < 0 || e.open == block {
		return false
	}
	b := &e.blocks[e.open]
	return b.kind == targetTool && !b.ended
}

// offer writes a block that has something to say now, or queues it.
func (e *encoder) offer(dst []byte, block int) []byte {
	if e.busy(block) {
		return e.queue(dst, block)
	}
	return e.write(e.end(dst), block)
}

// queue lets a block wait. The queue is in the order of the blocks' beginnings.
func (e *encoder) queue(dst []byte, block int) []byte {
	b := &e.blocks[block]
	if b.queued {
		return dst
	}
	b.queued = true
	e.waiting = append(e.waiting, block)
	for i := len(e.waiting) - 1; i > 0 && e.waiting[i-1] > e.waiting[i]; i-- {
		e.waiting[i-1], e.waiting[i] = e.waiting[i], e.waiting[i-1]
	}
	return dst
}

// hold keeps content until its block's turn comes.
func (e *encoder) hold(dst []byte, b *target, text []byte) []byte {
	if e.held += len(text); e.held > maxHeld {
		return e.fail(dst, dialect.Failure{Status: http.StatusBadGateway, Message: "upstream interleaves too much content"})
	}
	b.held = append(b.held, text...)
	return dst
}

// drain writes what waits, up to a tool call that has not ended.
func (e *encoder) drain(dst []byte) []byte {
	for len(e.waiting) > 0 && !e.busy(-1) {
		block := e.waiting[0]
		e.waiting = append(e.waiting[:0], e.waiting[1:]...)
		e.blocks[block].queued = false
		dst = e.write(e.end(dst), block)
	}
	return dst
}

// write begins a block and writes what is held of it. If the block has ended, so does what was written.
func (e *encoder) write(dst []byte, block int) []byte {
	b := &e.blocks[block]
	if b.kind == targetNone || b.kind == targetRedacted && len(b.seal) == 0 {
		return dst
	}
	dst = e.begin(dst, block)
	if len(b.held) > 0 {
		held := b.held
		b.held = nil
		e.held = max(0, e.held-len(held))
		dst = e.delta(dst, b, held)
	}
	for _, c := range b.cites {
		dst = e.citation(dst, c)
	}
	b.cites = nil
	if b.ended {
		return e.end(dst)
	}
	return dst
}

// begin writes the start of a block.
func (e *encoder) begin(dst []byte, block int) []byte {
	b := &e.blocks[block]
	e.open, b.wrote = block, true
	dst = append(dst, "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":"...)
	dst = strconv.AppendInt(dst, int64(e.next), 10)
	dst = append(dst, `,"content_block":`...)
	switch b.kind {
	case targetText:
		dst = append(dst, `{"type":"text","text":""}`...)
	case targetThinking:
		dst = append(dst, `{"type":"thinking","thinking":"","signature":""}`...)
	case targetRedacted:
		dst = append(dst, `{"type":"redacted_thinking","data":`...)
		dst = append(rawjson.AppendString(dst, b.seal), '}')
		b.seal = b.seal[:0]
	case targetTool:
		e.calls++
		dst = append(dst, `{"type":"tool_use","id":`...)
		dst = rawjson.AppendString(dst, b.id)
		dst = append(dst, `,"name":`...)
		dst = rawjson.AppendString(dst, b.name)
		dst = append(dst, `,"input":{}}`...)
	case targetHosted:
		dst = append(dst, b.raw...)
		b.raw = nil
	}
	return append(dst, "}\n\n"...)
}

// delta writes content of the open block b.
func (e *encoder) delta(dst []byte, b *target, text []byte) []byte {
	switch {
	case b.kind == targetText:
		dst = e.appendDelta(dst, `{"type":"text_delta","text":`)
		dst = rawjson.AppendString(dst, text)
	case b.kind == targetThinking:
		dst = e.appendDelta(dst, `{"type":"thinking_delta","thinking":`)
		dst = rawjson.AppendString(dst, text)
	case b.custom:
		dst = e.appendDelta(dst, `{"type":"input_json_delta","partial_json":`)
		dst = appendEscapedTwice(dst, b.opening(), text)
	default:
		if text = b.object.pass(text); len(text) == 0 {
			return dst
		}
		dst = e.appendDelta(dst, `{"type":"input_json_delta","partial_json":`)
		dst = rawjson.AppendString(dst, text)
	}
	return append(dst, "}}\n\n"...)
}

// opening is what stands before the first fragment of a free text.
func (b *target) opening() string {
	if b.object.begun {
		return ""
	}
	b.object.begun = true
	return `{"input":"`
}

// closing is what stands behind the last fragment of a call's arguments. Some clients take a call without any for one
// with an empty text.
func (b *target) closing() string {
	switch {
	case b.custom && b.object.begun:
		return `"}`
	case b.custom:
		return `{"input":""}`
	case !b.object.begun:
		return "{}"
	}
	return ""
}

// appendEscapedTwice appends prefix and text as a JSON string that is itself a piece of JSON: text stands inside a
// string there.
func appendEscapedTwice(dst []byte, prefix string, text []byte) []byte {
	inner := rawjson.AppendString(nil, text)
	piece := append([]byte(prefix), inner[1:len(inner)-1]...)
	return rawjson.AppendString(dst, piece)
}

func (e *encoder) citation(dst, raw []byte) []byte {
	dst = e.appendDelta(dst, `{"type":"citations_delta","citation":`)
	return append(append(dst, raw...), "}}\n\n"...)
}

func (e *encoder) appendDelta(dst []byte, delta string) []byte {
	dst = append(dst, "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":"...)
	dst = strconv.AppendInt(dst, int64(e.next), 10)
	dst = append(dst, `,"delta":`...)
	return append(dst, delta...)
}

// end writes the end of the open block, if one is open.
func (e *encoder) end(dst []byte) []byte {
	if e.open < 0 {
		return dst
	}
	b := &e.blocks[e.open]
	switch {
	case b.kind == targetThinking && len(b.seal) > 0:
		dst = e.appendDelta(dst, `{"type":"signature_delta","signature":`)
		dst = append(rawjson.AppendString(dst, b.seal), "}}\n\n"...)
		b.seal = b.seal[:0]
	case b.kind == targetTool:
		if tail := b.closing(); tail != "" {
			dst = e.appendDelta(dst, `{"type":"input_json_delta","partial_json":`)
			dst = append(rawjson.AppendString(dst, tail), "}}\n\n"...)
		}
	}
	dst = append(dst, "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":"...)
	dst = strconv.AppendInt(dst, int64(e.next), 10)
	dst = append(dst, "}\n\n"...)
	e.next++
	e.open = -1
	return dst
}

// objectGuard passes on the text of one JSON object and nothing around it. Models are known to answer with words, or
// with a second object behind the first, and clients throw on what cannot become an object. What is cut off inside the
// object they bear.
type objectGuard struct {
	begun   bool
	done    bool // the object ended, or the text is no object
	quoted  bool
	escaped bool
	depth   int
}

// pass returns the part of a fragment that goes out.
func (g *objectGuard) pass(text []byte) []byte {
	if g.done {
		return nil
	}
	if !g.begun {
		i := 0
		for i < len(text) && (text[i] == ' ' || text[i] == '\n' || text[i] == '\t' || text[i] == '\r') {
			i++
		}
		if i == len(text) {
			return nil
		}
		if text[i] != '{' {
			g.done = true
			return nil
		}
		g.begun = true
		text = text[i:]
	}
	for i, c := range text {
		switch {
		case g.escaped:
			g.escaped = false
		case g.quoted:
			g.escaped = c == '\\'
			g.quoted = c != '"'
		case c == '"':
			g.quoted = true
		case c == '{' || c == '[':
			g.depth++
		case c == '}' || c == ']':
			if g.depth--; g.depth == 0 {
				g.done = true
				return text[:i+1]
			}
		}
	}
	return text
}

// isObject reports whether text is a whole JSON object.
func isObject(text []byte) bool {
	for len(text) > 0 && (text[0] == ' ' || text[0] == '\n' || text[0] == '\t' || text[0] == '\r') {
		text = text[1:]
	}
	return rawjson.Of(text) == rawjson.Object && rawjson.Valid(text)
}
