package responses

import (
	"bytes"
	"hash/crc32"
	"strconv"

	"detour/internal/dialect"
	"detour/internal/dialect/rawjson"
	"detour/internal/llm"
)

// decoded is what is known of one output item.
type decoded struct {
	index    int64
	typ      string // "" until an event says it
	callID   string
	finished bool
	call     span   // arguments or free text
	parts    []span // of a message, by content_index
	thought  span
	raw      bool  // the thoughts are reasoning_text, not a summary
	summary  int64 // summary_index that the thoughts have come to
	blank    dialect.BlankRun
}

// span is one block and the text of it that was passed on.
type span struct {
	block  int // -1 until it began
	sent   int // bytes
	sum    uint32
	closed bool
}

// item returns the item with the output_index, made if it is new. It is nil once the answer has too many.
func (d *decoder) item(dst []llm.Event, index int64) ([]llm.Event, *decoded) {
	for i := len(d.items) - 1; i >= 0; i-- {
		if d.items[i].index == index {
			return dst, &d.items[i]
		}
	}
	if len(d.items) == maxItems {
		return d.tooMany(dst, "items", maxItems), nil
	}
	d.items = append(d.items, decoded{index: index, call: span{block: -1}, thought: span{block: -1}})
	return dst, &d.items[len(d.items)-1]
}

// begin appends the beginning of a block.
func (d *decoder) begin(dst []llm.Event, s *span, p llm.Part) []llm.Event {
	s.block = d.blocks
	d.blocks++
	return append(dst, llm.Event{Kind: llm.EventBlock, Block: s.block, Part: &p})
}

// send appends a piece of a block's text.
func (d *decoder) send(dst []llm.Event, s *span, kind llm.EventKind, text []byte) []llm.Event {
	if len(text) == 0 || s.closed {
		return dst
	}
	s.sent += len(text)
	s.sum = crc32.Update(s.sum, crc32.MakeTable(crc32.Castagnoli), text)
	return append(dst, llm.Event{Kind: kind, Block: s.block, Delta: text})
}

// missing returns what a finished text has beyond what was sent. Where the two differ the deltas were right.
func (s *span) missing(whole []byte) []byte {
	if s.sent > len(whole) || crc32.Checksum(whole[:s.sent], crc32.MakeTable(crc32.Castagnoli)) != s.sum {
		return nil
	}
	return whole[s.sent:]
}

func (s *span) close(dst []llm.Event) []llm.Event {
	if s.block < 0 || s.closed {
		return dst
	}
	s.closed = true
	return append(dst, llm.Event{Kind: llm.EventStop, Block: s.block})
}

// beginCall begins a call as soon as its name is known.
func (d *decoder) beginCall(dst []llm.Event, it *decoded, item []byte) []llm.Event {
	name := rawjson.Text(rawjson.Get(item, "name"))
	if it.call.block >= 0 || len(name) == 0 {
		return dst
	}
	if d.calls == maxCalls {
		return d.tooMany(dst, "tool calls", maxCalls)
	}
	d.calls++
	c := &llm.Call{
		ID: string(rawjson.Text(rawjson.Get(item, "call_id"))), Name: string(name),
		Namespace: string(rawjson.Text(rawjson.Get(item, "namespace"))),
	}
	if it.typ == "custom_tool_call" {
		c.Kind = llm.ToolCustom
	}
	it.callID = c.ID
	if c.ID == "" {
		c.ID = mintCall(it.index)
	}
	return d.begin(dst, &it.call, llm.Part{Kind: llm.PartCall, Call: c})
}

// unquote returns a delta without memory of its own.
func (d *decoder) unquote(raw []byte) []byte {
	d.text = rawjson.AppendText(d.text[:0], raw)
	return d.text
}

// arguments takes a piece of a call, or all of it. A call whose announcement did not come waits for the finished item.
func (d *decoder) arguments(dst []llm.Event, it *decoded, data []byte, h *head, done bool) []llm.Event {
	switch {
	case it.call.block < 0:
		return dst
	case !done:
		if it.typ == "function_call" {
			if it.blank.Add(h.delta.Raw); it.blank.Runaway() {
				failure := dialect.Runaway()
				return d.fail(dst, &failure)
			}
		}
		return d.send(dst, &it.call, llm.EventArgs, d.unquote(h.delta.Raw))
	}
	key := "arguments"
	if it.typ == "custom_tool_call" {
		key = "input"
	}
	return d.send(dst, &it.call, llm.EventArgs, it.call.missing(rawjson.Text(rawjson.Get(data, key))))
}

// messagePart takes a piece of a part of a message, or all of it.
func (d *decoder) messagePart(dst []llm.Event, it *decoded, data []byte, h *head, done bool) []llm.Event {
	s := it.part(h.part)
	if s == nil {
		return d.tooMany(dst, "parts", maxItems)
	}
	kind, key := llm.PartText, "text"
	switch string(h.typ) {
	case "response.output_text.delta", "response.output_text.done":
	case "response.refusal.delta", "response.refusal.done":
		kind, key = llm.PartRefusal, "refusal"
	case "response.content_part.done":
		return d.wholePart(dst, s, h.announced)
	default:
		return dst
	}
	if !done {
		return d.say(dst, s, kind, d.unquote(h.delta.Raw))
	}
	return d.say(dst, s, kind, s.missing(rawjson.Text(rawjson.Get(data, key))))
}

// part returns the part of a message with the content_index, or nil when there are too many.
func (it *decoded) part(index int64) *span {
	if index < 0 || index >= maxItems {
		return nil
	}
	for int64(len(it.parts)) <= index {
		it.parts = append(it.parts, span{block: -1})
	}
	return &it.parts[index]
}

// say passes text on in the block of a part, which begins with it.
func (d *decoder) say(dst []llm.Event, s *span, kind llm.PartKind, text []byte) []llm.Event {
	if len(text) == 0 || s.closed {
		return dst
	}
	if s.block < 0 {
		d.refused = d.refused || kind == llm.PartRefusal
		dst = d.begin(dst, s, llm.Part{Kind: kind})
	}
	return d.send(dst, s, llm.EventText, text)
}

// wholePart takes a finished part of a message and ends its block.
func (d *decoder) wholePart(dst []llm.Event, s *span, part []byte) []llm.Event {
	if s.closed {
		return dst
	}
	switch string(rawjson.Get(part, "type")) {
	case `"output_text"`:
		dst = d.say(dst, s, llm.PartText, s.missing(rawjson.Text(rawjson.Get(part, "text"))))
	case `"refusal"`:
		dst = d.say(dst, s, llm.PartRefusal, s.missing(rawjson.Text(rawjson.Get(part, "refusal"))))
	default:
		return dst
	}
	if s.block < 0 {
		return dst
	}
	for it := rawjson.Elements(rawjson.Get(part, "annotations"), 0); it.Next(); {
		if rawjson.Of(it.Raw()) == rawjson.Object {
			dst = append(dst, llm.Event{Kind: llm.EventCitation, Block: s.block, Part: &llm.Part{Raw: it.Raw()}})
		}
	}
	return s.close(dst)
}

// reasoningPart takes a piece of the thoughts. Summaries are set apart by a blank line. Of a summary and the raw thoughts
// that one is passed on which came first.
func (d *decoder) reasoningPart(dst []llm.Event, it *decoded, data []byte, h *head, done bool) []llm.Event {
	raw, index := false, h.summary
	switch string(h.typ) {
	case "response.reasoning_summary_text.delta", "response.reasoning_summary_text.done":
	case "response.reasoning_text.delta", "response.reasoning_text.done":
		raw, index = true, h.part
	default:
		return dst
	}
	s := &it.thought
	var text []byte
	switch {
	case s.sent > 0 && it.raw != raw, s.closed:
		return dst
	case !done:
		text = d.unquote(h.delta.Raw)
	case s.sent == 0 || index > it.summary:
		text = rawjson.Text(rawjson.Get(data, "text"))
	}
	if len(text) == 0 {
		return dst
	}
	if s.block < 0 {
		dst = d.begin(dst, s, llm.Part{Kind: llm.PartThinking})
	}
	if s.sent > 0 && it.summary != index {
		dst = d.send(dst, s, llm.EventThinking, []byte("\n\n"))
	}
	it.raw, it.summary = raw, index
	return d.send(dst, s, llm.EventThinking, text)
}

// finish takes a finished item: what was not passed on yet, and its end.
func (d *decoder) finish(dst []llm.Event, it *decoded, item []byte) []llm.Event {
	if it.finished {
		return dst
	}
	it.typ = typeOf(item)
	switch it.typ {
	case "message":
		content := rawjson.Elements(rawjson.Get(item, "content"), 0)
		for i := int64(0); content.Next(); i++ {
			s := it.part(i)
			if s == nil {
				return d.tooMany(dst, "parts", maxItems)
			}
			dst = d.wholePart(dst, s, content.Raw())
		}
	case "reasoning":
		dst = d.finishReasoning(dst, it, item)
	case "function_call", "custom_tool_call":
		key := "arguments"
		if it.typ == "custom_tool_call" {
			key = "input"
		}
		if dst = d.beginCall(dst, it, item); it.call.block < 0 {
			return dst // no name: the end of the answer judges it
		}
		dst = d.send(dst, &it.call, llm.EventArgs, it.call.missing(rawjson.Text(rawjson.Get(item, key))))
	case "local_shell_call", "shell_call", "apply_patch_call":
		dst = d.native(dst, it, item)
	case "compaction":
		if o := blobOf(item); o.Kind != llm.OpaqueNone {
			dst = d.begin(dst, &it.thought, llm.Part{Kind: llm.PartCompaction})
			dst = append(dst, llm.Event{Kind: llm.EventSeal, Block: it.thought.block, Part: &llm.Part{Opaque: o}})
		}
	default:
		dst = d.begin(dst, &it.thought, llm.Part{Kind: llm.PartOpaque, Raw: bytes.Clone(item)})
	}
	if d.ended {
		return dst
	}
	return d.closeItem(dst, it)
}

func (d *decoder) finishReasoning(dst []llm.Event, it *decoded, item []byte) []llm.Event {
	s := &it.thought
	whole := joinText(rawjson.Get(item, "summary"))
	if s.sent == 0 && len(whole) == 0 || s.sent > 0 && it.raw {
		whole = joinText(rawjson.Get(item, "content"))
	}
	o := blobOf(item)
	text := s.missing(whole)
	if s.block < 0 && (len(text) > 0 || o.Kind != llm.OpaqueNone) {
		dst = d.begin(dst, s, llm.Part{Kind: llm.PartThinking})
	}
	dst = d.send(dst, s, llm.EventThinking, text)
	if o.Kind != llm.OpaqueNone && !s.closed {
		dst = append(dst, llm.Event{Kind: llm.EventSeal, Block: s.block, Part: &llm.Part{Opaque: o}})
	}
	return dst
}

// blobOf returns the replay state of a finished item together with the id in that very item, to which it is bound.
func blobOf(item []byte) llm.Opaque {
	blob := rawjson.Text(rawjson.Get(item, "encrypted_content"))
	if len(blob) == 0 {
		return llm.Opaque{}
	}
	return llm.Opaque{Kind: llm.OpaqueEncrypted, Value: string(blob), ID: string(rawjson.Text(rawjson.Get(item, "id")))}
}

// native takes a call of a built-in tool, which is of use only when it is whole.
func (d *decoder) native(dst []llm.Event, it *decoded, item []byte) []llm.Event {
	if d.calls == maxCalls {
		return d.tooMany(dst, "tool calls", maxCalls)
	}
	d.calls++
	typ := it.typ[:len(it.typ)-len("_call")]
	c := &llm.Call{ID: string(rawjson.Text(rawjson.Get(item, "call_id"))), Kind: llm.ToolNative, Type: typ, Name: typ}
	if c.ID == "" {
		c.ID = mintCall(it.index)
	}
	dst = d.begin(dst, &it.call, llm.Part{Kind: llm.PartCall, Call: c})
	arguments := nativeArguments(typ, rawjson.Get(item, "action"), rawjson.Get(item, "operation"))
	return d.send(dst, &it.call, llm.EventArgs, []byte(arguments))
}

// mintCall makes an id for a call that came without one.
func mintCall(index int64) string { return "call" + mintMark + strconv.FormatInt(index, 10) }

// closeItem ends all blocks of an item.
func (d *decoder) closeItem(dst []llm.Event, it *decoded) []llm.Event {
	it.finished = true
	for i := range it.parts {
		dst = it.parts[i].close(dst)
	}
	return it.call.close(it.thought.close(dst))
}
