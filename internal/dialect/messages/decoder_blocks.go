package messages

import (
	"bytes"
	"net/http"

	"detour/internal/dialect"
	"detour/internal/dialect/rawjson"
	"detour/internal/llm"
)

// content is what the start of a content block, or a whole one, says.
type content struct {
	typ, text, thinking, signature, data []byte // unescaped
	id, name                             []byte
	input, citations                     []byte // JSON
	raw                                  []byte
}

func readContent(raw []byte) content {
	c := content{raw: raw}
	for it := rawjson.Members(raw, 0); it.Next(); {
		v := it.Raw()
		switch string(it.Key()) {
		case "type":
			c.typ = rawjson.Text(v)
		case "text":
			c.text = rawjson.Text(v)
		case "thinking":
			c.thinking = rawjson.Text(v)
		case "signature":
			c.signature = rawjson.Text(v)
		case "data":
			c.data = rawjson.Text(v)
		case "id":
			c.id = rawjson.Text(v)
		case "name":
			c.name = rawjson.Text(v)
		case "input":
			c.input = v
		case "citations":
			c.citations = v
		}
	}
	return c
}

// arguments returns what the input of a call says as JSON text. Some upstreams give it as a string.
func (c *content) arguments() []byte {
	if rawjson.Of(c.input) == rawjson.String {
		return rawjson.Text(c.input)
	}
	return c.input
}

// kind says what becomes of the block.
func (c *content) kind() blockKind {
	switch string(c.typ) {
	case "text":
		return blockText
	case "thinking", "redacted_thinking":
		return blockThinking
	case "tool_use":
		return blockTool
	}
	if hosted(c.typ) {
		return blockHosted
	}
	return blockIgnored
}

// hosted reports whether a block is part of what a tool of the provider did: the call or its result.
func hosted(typ []byte) bool {
	return string(typ) == "server_tool_use" || string(typ) == "mcp_tool_use" || bytes.HasSuffix(typ, []byte("_tool_result"))
}

// onBlock takes content_block_start.
func (d *decoder) onBlock(dst []llm.Event, h head) []llm.Event {
	dst = d.ensureStart(dst)
	if b := d.find(h.index.Raw); b != nil && h.index.Raw != nil && b.open {
		dst = d.stop(dst, b) // the index is used again without a stop
	}
	if len(d.blocks) == maxBlocks {
		return d.fail(dst, &dialect.Failure{Status: http.StatusBadGateway, Message: "upstream answers in too many blocks"})
	}
	c := readContent(h.block.Raw)
	b := d.add(h.index.Raw, c.kind())
	switch b.kind {
	case blockText:
		dst = d.append(dst, b, llm.Part{Kind: llm.PartText})
		d.scratch = append(d.scratch[:0], c.text...)
		dst = d.onText(dst, b, blockText, llm.EventText)
	case blockThinking:
		redacted := string(c.typ) == "redacted_thinking"
		dst = d.append(dst, b, llm.Part{Kind: llm.PartThinking, Redacted: redacted})
		switch {
		case redacted && len(c.data) > 0:
			dst = append(dst, sealed(b.at, llm.OpaqueRedacted, c.data))
		case !redacted:
			d.scratch = append(d.scratch[:0], c.thinking...)
			dst = d.onText(dst, b, blockThinking, llm.EventThinking)
			if len(c.signature) > 0 {
				dst = append(dst, sealed(b.at, llm.OpaqueSignature, c.signature))
			}
		}
	case blockTool:
		return d.onTool(dst, b, &c)
	case blockHosted:
		b.raw = bytes.Clone(c.raw)
	}
	return dst
}

// withInput returns the object raw with another input.
func withInput(raw, input []byte) []byte {
	var p rawjson.Patch
	var old rawjson.Field
	for it := rawjson.Members(raw, 0); it.Next(); {
		if string(it.Key()) == "input" {
			old = it.Field()
		}
	}
	p.Set(0, "input", old, input)
	return p.Apply(nil, raw)
}

// sealed is the event that gives a block its replay state.
func sealed(block int, kind llm.OpaqueKind, value []byte) llm.Event {
	opaque := llm.Opaque{Kind: kind, Value: string(value)}
	return llm.Event{Kind: llm.EventSeal, Block: block, Part: &llm.Part{Kind: llm.PartThinking, Opaque: opaque}}
}

func (d *decoder) onTool(dst []llm.Event, b *source, c *content) []llm.Event {
	switch {
	case len(c.name) == 0:
		return d.fail(dst, &dialect.Failure{Status: http.StatusBadGateway, Message: "upstream calls a tool without naming it"})
	case d.calls == maxCalls:
		return d.fail(dst, &dialect.Failure{Status: http.StatusBadGateway, Message: "upstream calls too many tools in one answer"})
	}
	d.calls++
	if in := c.arguments(); len(in) > 0 && !rawjson.Empty(c.input) {
		b.held = bytes.Clone(in)
	}
	d.call = llm.Call{ID: string(c.id), Name: string(c.name)}
	return d.append(dst, b, llm.Part{Kind: llm.PartCall, Call: &d.call})
}

// append appends the start of block b.
func (d *decoder) append(dst []llm.Event, b *source, p llm.Part) []llm.Event {
	d.part = p
	return append(dst, llm.Event{Kind: llm.EventBlock, Block: b.at, Part: &d.part})
}

// begin starts a block whose start did not come. The block is nil when there are too many.
func (d *decoder) begin(dst []llm.Event, index, delta []byte) ([]llm.Event, *source) {
	dst = d.ensureStart(dst)
	if len(d.blocks) == maxBlocks {
		return dst, nil
	}
	kind, part := blockText, llm.PartText
	if string(delta) == "thinking_delta" || string(delta) == "signature_delta" {
		kind, part = blockThinking, llm.PartThinking
	}
	b := d.add(index, kind)
	// What follows in this step uses d.part as well.
	return append(dst, llm.Event{Kind: llm.EventBlock, Block: b.at, Part: &llm.Part{Kind: part}}), b
}

// stop ends a block. A call without any arguments has none, which is {}.
func (d *decoder) stop(dst []llm.Event, b *source) []llm.Event {
	b.open = false
	switch b.kind {
	case blockIgnored:
		return dst
	case blockTool:
		if !b.begun {
			if len(b.held) == 0 {
				b.held = []byte("{}")
			}
			dst = append(dst, llm.Event{Kind: llm.EventArgs, Block: b.at, Delta: b.held})
		}
	case blockHosted:
		raw := b.raw
		if rawjson.Of(b.held) == rawjson.Object && rawjson.Valid(b.held) {
			raw = withInput(raw, b.held)
		}
		b.at = d.count
		d.count++
		dst = append(dst, llm.Event{Kind: llm.EventBlock, Block: b.at, Part: &llm.Part{Kind: llm.PartOpaque, Raw: raw}})
	}
	b.raw, b.held = nil, nil
	return append(dst, llm.Event{Kind: llm.EventStop, Block: b.at})
}

// finish ends the answer.
func (d *decoder) finish(dst []llm.Event) []llm.Event {
	if !d.started && d.reason == nil && len(d.blocks) == 0 {
		return d.fail(dst, &dialect.Failure{Status: http.StatusBadGateway, Message: "upstream sent an empty answer"})
	}
	dst = d.ensureStart(dst)
	for i := range d.blocks {
		if d.blocks[i].open {
			dst = d.stop(dst, &d.blocks[i])
		}
	}
	stop := stopOf(d.reason, d.calls > 0)
	if stop == llm.StopFilter && !d.text && d.why != "" {
		dst = append(dst,
			llm.Event{Kind: llm.EventBlock, Block: d.count, Part: &llm.Part{Kind: llm.PartRefusal}},
			llm.Event{Kind: llm.EventText, Block: d.count, Delta: []byte(d.why)},
			llm.Event{Kind: llm.EventStop, Block: d.count})
		d.count++
	}
	if d.usage.Reported || d.usage.Priced {
		dst = append(dst, llm.Event{Kind: llm.EventUsage, Usage: d.usage})
	}
	e := llm.Event{Kind: llm.EventFinish, Stop: stop}
	if stop == llm.StopMatch {
		e.StopSequence = d.match
	}
	d.finished = true
	return append(dst, e)
}
