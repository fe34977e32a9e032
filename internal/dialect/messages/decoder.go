package messages

import (
	"bytes"
	"io"
	"net/http"

	"detour/internal/dialect"
	"detour/internal/dialect/rawjson"
	"detour/internal/llm"
	"detour/internal/sse"
)

// NewDecoder implements dialect.Upstream.
func (Codec) NewDecoder() dialect.Decoder { return &decoder{} }

// decoder reads one Messages stream. The finish is held back until message_stop, because a later message_delta replaces
// an earlier one.
type decoder struct {
	blocks []source
	count  int // blocks that have an event
	calls  int

	usage    llm.Usage
	reason   []byte // stop_reason, nil until it came
	match    string
	why      string // how a classifier explains a refusal
	started  bool
	finished bool // nothing follows
	text     bool // some text came

	scratch []byte
	part    llm.Part
	call    llm.Call
}

// source is one content block of the upstream's stream.
type source struct {
	index int64 // the upstream's own
	at    int   // the event's; -1 for a block that is passed over
	kind  blockKind
	open  bool
	begun bool   // a delta of tool input came
	raw   []byte // of a hosted call or its result: the block as it began
	held  []byte // of a call: the input that came with its start; of a hosted one: the input so far
	blank dialect.BlankRun
}

type blockKind uint8

const (
	blockIgnored  blockKind = iota
	blockText               // text
	blockThinking           // thinking, redacted or not
	blockTool               // a call for the client
	blockHosted             // a call that the provider executes: passed on whole
)

// Decode implements dialect.Decoder.
func (d *decoder) Decode(dst []llm.Event, f sse.Frame) []llm.Event {
	if !f.HasData || d.finished {
		return dst
	}
	data := bytes.Trim(f.Data, " \t\r\n")
	if len(data) == 0 || string(data) == dialect.Done {
		return dst
	}
	if !rawjson.Valid(data) || data[0] != '{' {
		if !dialect.Terminated(f) {
			return dst // cut off: Close says so
		}
		failure := dialect.NotAnEvent(data)
		return d.fail(dst, &failure)
	}
	h := readHead(data)
	typ := rawjson.Text(h.typ.Raw)
	if len(typ) == 0 && h.failure.Missing() {
		typ = f.Event
	}
	dialect.ReadPrice(&d.usage, h.price)
	switch string(typ) {
	case "content_block_delta":
		return d.onDelta(dst, h)
	case "ping":
		return append(dst, llm.Event{Kind: llm.EventPing})
	case "message_start":
		return d.onStart(dst, h.message.Raw)
	case "content_block_start":
		return d.onBlock(dst, h)
	case "content_block_stop":
		if b := d.find(h.index.Raw); b != nil && b.open {
			dst = d.stop(dst, b)
		}
		return dst
	case "message_delta":
		d.onMessageDelta(h)
		return dst
	case "message_stop":
		return d.finish(dst)
	}
	if string(typ) == "error" || len(typ) == 0 && !h.failure.Missing() {
		failure := dialect.ParseFailure(0, "", data)
		return d.fail(dst, &failure)
	}
	return dst
}

// Close implements dialect.Decoder. An answer whose stop reason came is complete.
func (d *decoder) Close(dst []llm.Event) []llm.Event {
	switch {
	case d.finished:
		return dst
	case d.reason != nil:
		return d.finish(dst)
	}
	return d.fail(dst, io.ErrUnexpectedEOF)
}

func (d *decoder) fail(dst []llm.Event, err error) []llm.Event {
	d.finished = true
	return append(dst, llm.Event{Kind: llm.EventFailure, Err: err, Usage: d.usage})
}

func (d *decoder) onStart(dst []llm.Event, message []byte) []llm.Event {
	var id, model []byte
	for it := rawjson.Members(message, 0); it.Next(); {
		switch string(it.Key()) {
		case "id":
			id = rawjson.Text(it.Raw())
		case "model":
			model = rawjson.Text(it.Raw())
		case "usage":
			readUsage(&d.usage, it.Raw())
		case "copilot_usage":
			dialect.ReadPrice(&d.usage, it.Raw())
		}
	}
	if d.started {
		return dst
	}
	return d.start(dst, string(id), string(model))
}

func (d *decoder) start(dst []llm.Event, id, model string) []llm.Event {
	d.started = true
	return append(dst, llm.Event{Kind: llm.EventStart, ID: id, Model: model, Usage: d.usage})
}

func (d *decoder) ensureStart(dst []llm.Event) []llm.Event {
	if d.started {
		return dst
	}
	return d.start(dst, "", "")
}

// find returns the latest block with the upstream's index, or nil. Without an index it is the last.
func (d *decoder) find(index []byte) *source {
	n, ok := rawjson.Int(index)
	for i := len(d.blocks) - 1; i >= 0; i-- {
		if !ok || d.blocks[i].index == n {
			return &d.blocks[i]
		}
	}
	return nil
}

// add adds a block, which for kinds that have events is the next one.
func (d *decoder) add(index []byte, kind blockKind) *source {
	n, ok := rawjson.Int(index)
	if !ok {
		n = int64(len(d.blocks))
	}
	b := source{index: n, at: -1, kind: kind, open: true}
	if kind != blockIgnored && kind != blockHosted {
		b.at = d.count
		d.count++
	}
	d.blocks = append(d.blocks, b)
	return &d.blocks[len(d.blocks)-1]
}

// onDelta takes a delta. Without the start of its block, text and thinking are given one; arguments without the name of
// their tool are of no use to anyone.
func (d *decoder) onDelta(dst []llm.Event, h head) []llm.Event {
	var typ, value []byte
	for it := rawjson.Members(h.delta.Raw, 0); it.Next(); {
		switch string(it.Key()) {
		case "type":
			typ = rawjson.Text(it.Raw())
		case "text", "thinking", "signature", "partial_json", "citation":
			value = it.Raw()
		}
	}
	b := d.find(h.index.Raw)
	if b == nil {
		switch string(typ) {
		case "text_delta", "citations_delta", "thinking_delta", "signature_delta":
		case "input_json_delta":
			return d.fail(dst, &dialect.Failure{Status: http.StatusBadGateway, Message: "upstream sent tool arguments without the tool's name"})
		default:
			return dst
		}
		if dst, b = d.begin(dst, h.index.Raw, typ); b == nil {
			return dst
		}
	}
	d.scratch = rawjson.AppendText(d.scratch[:0], value)
	switch string(typ) {
	case "text_delta":
		return d.onText(dst, b, blockText, llm.EventText)
	case "thinking_delta":
		return d.onText(dst, b, blockThinking, llm.EventThinking)
	case "input_json_delta":
		return d.onArguments(dst, b, value)
	case "signature_delta":
		if b.kind == blockThinking && len(d.scratch) > 0 {
			dst = append(dst, sealed(b.at, llm.OpaqueSignature, d.scratch))
		}
	case "citations_delta":
		if b.kind == blockText && rawjson.Of(value) == rawjson.Object {
			d.part = llm.Part{Raw: value}
			dst = append(dst, llm.Event{Kind: llm.EventCitation, Block: b.at, Part: &d.part})
		}
	}
	return dst
}

// onText takes the text in scratch, if it is of the kind that the block holds.
func (d *decoder) onText(dst []llm.Event, b *source, want blockKind, kind llm.EventKind) []llm.Event {
	if b.kind != want || len(d.scratch) == 0 {
		return dst
	}
	d.text = d.text || want == blockText
	return append(dst, llm.Event{Kind: kind, Block: b.at, Delta: d.scratch})
}

// onArguments takes the fragment in scratch, whose JSON text is raw.
func (d *decoder) onArguments(dst []llm.Event, b *source, raw []byte) []llm.Event {
	if len(d.scratch) == 0 {
		return dst
	}
	if b.blank.Add(raw); b.blank.Runaway() {
		failure := dialect.Runaway()
		return d.fail(dst, &failure)
	}
	switch b.kind {
	case blockTool:
		b.begun = true
		return append(dst, llm.Event{Kind: llm.EventArgs, Block: b.at, Delta: d.scratch})
	case blockHosted:
		if len(b.held)+len(d.scratch) <= maxPending {
			b.held = append(b.held, d.scratch...)
		}
	}
	return dst
}

func (d *decoder) onMessageDelta(h head) {
	readUsage(&d.usage, h.usage.Raw)
	for it := rawjson.Members(h.delta.Raw, 0); it.Next(); {
		switch string(it.Key()) {
		case "stop_reason":
			if reason := rawjson.Text(it.Raw()); len(reason) > 0 {
				d.reason = bytes.Clone(reason)
			}
		case "stop_sequence":
			d.match = string(rawjson.Text(it.Raw()))
		case "stop_details":
			d.why = string(rawjson.Text(rawjson.Get(it.Raw(), "explanation")))
		}
	}
}
