package responses

import (
	"bytes"
	"io"
	"strconv"

	"detour/internal/dialect"
	"detour/internal/dialect/rawjson"
	"detour/internal/llm"
	"detour/internal/sse"
)

// maxCalls is how many tool calls an answer may have.
const maxCalls = 128

// decoder reads one streamed answer. Items are told apart by output_index alone: some upstreams give an item another id
// in each event. What deltas left out is taken from the event that finishes a part, an item or the answer.
type decoder struct {
	items   []decoded
	blocks  int // that began
	calls   int
	refused bool // a refusal began
	started bool
	ended   bool
	usage   llm.Usage
	text    []byte // scratch: the delta that the last event points into
}

// Decode implements dialect.Decoder.
func (d *decoder) Decode(dst []llm.Event, f sse.Frame) []llm.Event {
	if d.ended {
		return dst
	}
	if !f.HasData {
		return append(dst, llm.Event{Kind: llm.EventPing})
	}
	data := bytes.Trim(f.Data, " \t\r\n")
	if len(data) == 0 || string(data) == dialect.Done {
		return dst
	}
	if !rawjson.Valid(data) || data[0] != '{' {
		if !dialect.Terminated(f) {
			return dst // cut off; Close says so
		}
		failure := dialect.NotAnEvent(data)
		return d.fail(dst, &failure)
	}
	h := readHead(data)
	if len(h.typ) == 0 {
		h.typ = f.Event
	}
	dialect.ReadPrice(&d.usage, h.price)
	return d.event(dst, data, &h)
}

// Close implements dialect.Decoder.
func (d *decoder) Close(dst []llm.Event) []llm.Event {
	if d.ended {
		return dst
	}
	return d.fail(dst, io.ErrUnexpectedEOF)
}

func (d *decoder) fail(dst []llm.Event, err error) []llm.Event {
	d.ended = true
	return append(dst, llm.Event{Kind: llm.EventFailure, Err: err, Usage: d.usage})
}

// event takes one event.
func (d *decoder) event(dst []llm.Event, data []byte, h *head) []llm.Event {
	switch string(h.typ) {
	case "ping", "keepalive":
		return append(dst, llm.Event{Kind: llm.EventPing})
	case "error":
		failure := dialect.ParseFailure(0, "", data)
		return d.fail(dst, &failure)
	case "":
		if rawjson.Empty(rawjson.Get(data, "error")) {
			return dst
		}
		failure := dialect.ParseFailure(0, "", data)
		return d.fail(dst, &failure)
	case "response.created", "response.in_progress", "response.queued":
		return d.start(dst, h)
	case "response.completed", "response.incomplete", "response.failed", "response.cancelled":
		return d.terminal(d.start(dst, h), h, string(h.typ[len("response."):]))
	}
	dst = d.start(dst, h)
	switch string(h.typ) {
	case "response.output_item.added":
		return d.added(dst, h)
	case "response.output_item.done":
		if rawjson.Of(h.item.Raw) != rawjson.Object {
			return dst
		}
		dst, it := d.item(dst, h.outputIndex())
		if it == nil {
			return dst
		}
		return d.finish(dst, it, h.item.Raw)
	}
	if h.index.Raw == nil {
		return dst
	}
	return d.progress(dst, data, h)
}

// start appends the beginning of the answer once.
func (d *decoder) start(dst []llm.Event, h *head) []llm.Event {
	if d.started {
		return dst
	}
	d.started = true
	return append(dst, llm.Event{
		Kind: llm.EventStart, ID: string(rawjson.Text(h.id.Raw)), Model: string(rawjson.Text(h.model.Raw)),
	})
}

// added takes the announcement of an item. Calls begin there; other items when they say something.
func (d *decoder) added(dst []llm.Event, h *head) []llm.Event {
	if rawjson.Of(h.item.Raw) != rawjson.Object {
		return dst
	}
	dst, it := d.item(dst, h.outputIndex())
	if it == nil || it.finished {
		return dst
	}
	if it.typ == "" {
		it.typ = typeOf(h.item.Raw)
	}
	if it.typ == "function_call" || it.typ == "custom_tool_call" {
		dst = d.beginCall(dst, it, h.item.Raw)
	}
	return dst
}

// progress takes an event about a part of an item.
func (d *decoder) progress(dst []llm.Event, data []byte, h *head) []llm.Event {
	kind := itemOf(h.typ)
	if kind == "" {
		return dst
	}
	dst, it := d.item(dst, h.outputIndex())
	if it == nil || it.finished {
		return dst
	}
	if it.typ == "" {
		it.typ = kind
	}
	delta := bytes.HasSuffix(h.typ, []byte(".delta"))
	done := bytes.HasSuffix(h.typ, []byte(".done"))
	if !delta && !done {
		return dst
	}
	switch it.typ {
	case "function_call", "custom_tool_call":
		return d.arguments(dst, it, data, h, done)
	case "message":
		return d.messagePart(dst, it, data, h, done)
	case "reasoning":
		return d.reasoningPart(dst, it, data, h, done)
	}
	return dst
}

// terminal takes the end of the answer: items that the stream left out or unfinished are in its output.
func (d *decoder) terminal(dst []llm.Event, h *head, status string) []llm.Event {
	if own := rawjson.Text(h.status.Raw); status == "completed" && len(own) > 0 {
		status = string(own)
	}
	if status == "failed" || status == "cancelled" {
		readUsage(&d.usage, h.usage.Raw)
		failure := dialect.ParseFailure(0, "", h.failure.Raw)
		return d.fail(dst, &failure)
	}
	places := d.places(h.output.Raw)
	out := rawjson.Elements(h.output.Raw, 0)
	for i := 0; i < len(places) && out.Next() && !d.ended; i++ {
		if rawjson.Of(out.Raw()) != rawjson.Object {
			continue
		}
		var it *decoded
		if dst, it = d.item(dst, places[i]); it == nil {
			return dst
		}
		if it.typ == "" || it.typ == typeOf(out.Raw()) {
			dst = d.finish(dst, it, out.Raw())
		}
	}
	for i := range d.items {
		if d.ended {
			return dst
		}
		it := &d.items[i]
		if (it.typ == "function_call" || it.typ == "custom_tool_call") && it.call.block < 0 {
			failure := dialect.Failure{Status: 502, Message: "upstream sent a tool call without a name"}
			return d.fail(dst, &failure)
		}
		dst = d.closeItem(dst, it)
	}
	if d.ended {
		return dst
	}
	readUsage(&d.usage, h.usage.Raw)
	if d.usage.Reported || d.usage.Priced {
		dst = append(dst, llm.Event{Kind: llm.EventUsage, Usage: d.usage})
	}
	d.ended = true
	return append(dst, llm.Event{Kind: llm.EventFinish, Stop: d.stop(h, status)})
}

func (d *decoder) stop(h *head, status string) llm.Stop {
	if status == "incomplete" {
		if string(rawjson.Get(h.incomplete.Raw, "reason")) == `"content_filter"` {
			return llm.StopFilter
		}
		return llm.StopLength
	}
	switch {
	case d.calls > 0:
		return llm.StopTool
	case d.refused:
		return llm.StopFilter
	}
	return llm.StopEnd
}

// places returns the output_index of each item of the output.
func (d *decoder) places(output []byte) []int64 {
	known := make([]placed, len(d.items))
	for i := range d.items {
		known[i] = placed{d.items[i].index, d.items[i].typ, d.items[i].callID}
	}
	return places(output, known)
}

// tooMany ends an answer that grows without bound.
func (d *decoder) tooMany(dst []llm.Event, what string, limit int) []llm.Event {
	return d.fail(dst, &dialect.Failure{
		Status: 502, Message: "upstream sent more than " + strconv.Itoa(limit) + " " + what + " in one answer",
	})
}
