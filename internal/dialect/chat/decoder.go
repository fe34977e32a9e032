package chat

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
func (Codec) NewDecoder() dialect.Decoder { return newDecoder() }

func newDecoder() *decoder {
	return &decoder{text: none, refusal: none, thinking: none, textChoice: none}
}

// none stands for a block or a choice that there is not.
const none = -1

// decoder follows one stream of chat.completion.chunk objects. The answer is one message: choices that an upstream splits
// it into are put together. A block ends where one of another kind begins, except for calls: those may interleave, and
// each ends when its arguments are whole and another begins, or with the answer.
type decoder struct {
	started bool
	ended   bool // an EventFinish or EventFailure is out
	id      string
	model   string

	blocks                  int // how many began
	text, refusal, thinking int // the open block of each kind, or none
	refused                 bool
	textChoice              int64 // the choice that text is taken from
	calls                   choice
	states                  []callState // of calls.calls
	pending                 int         // bytes kept of calls that did not begin

	usage   llm.Usage
	stop    llm.Stop
	choices []choiceEnd
	buf     []byte // unescaped text of this step
	runaway bool
}

// choiceEnd says whether a finish_reason came for a choice.
type choiceEnd struct {
	index   int64
	stopped bool
}

// stopped reports whether the upstream said that the answer is whole: of every choice that began.
func (d *decoder) stopped() bool {
	for i := range d.choices {
		if !d.choices[i].stopped {
			return false
		}
	}
	return len(d.choices) > 0
}

// end returns what is known of the end of a choice, or nil when there are too many to follow.
func (d *decoder) end(index int64) *choiceEnd {
	for i := range d.choices {
		if d.choices[i].index == index {
			return &d.choices[i]
		}
	}
	if len(d.choices) == maxTracked {
		return nil
	}
	d.choices = append(d.choices, choiceEnd{index: index})
	return &d.choices[len(d.choices)-1]
}

// Decode implements dialect.Decoder.
func (d *decoder) Decode(dst []llm.Event, f sse.Frame) []llm.Event {
	d.buf = d.buf[:0]
	if d.ended {
		return dst
	}
	data := bytes.Trim(f.Data, " \t\r\n")
	switch {
	case !f.HasData:
		if dialect.Terminated(f) {
			dst = append(dst, llm.Event{Kind: llm.EventPing})
		}
		return dst
	case len(data) == 0:
		return dst
	case string(data) == dialect.Done:
		if len(d.choices) == 0 {
			return d.fail(dst, dialect.Failure{Status: http.StatusBadGateway, Message: "upstream sent an empty answer"})
		}
		return d.finish(dst)
	case data[0] != '{' || !rawjson.Valid(data):
		if dialect.Terminated(f) {
			return d.fail(dst, dialect.NotAnEvent(data))
		}
		return dst
	}
	return d.chunk(dst, data)
}

// Close implements dialect.Decoder.
func (d *decoder) Close(dst []llm.Event) []llm.Event {
	d.buf = d.buf[:0]
	switch {
	case d.ended:
		return dst
	case d.stopped():
		return d.finish(dst)
	}
	d.ended = true
	return append(dst, llm.Event{Kind: llm.EventFailure, Err: io.ErrUnexpectedEOF, Usage: d.usage})
}

func (d *decoder) fail(dst []llm.Event, f dialect.Failure) []llm.Event {
	d.ended = true
	return append(dst, llm.Event{Kind: llm.EventFailure, Err: &f, Usage: d.usage})
}

// top is the top level of a chunk or of a whole answer; all raw.
type top struct{ id, model, choices, usage, price, failure []byte }

func readTop(data []byte) (t top) {
	for it := rawjson.Members(data, 0); it.Next(); {
		switch string(it.Key()) {
		case "id":
			t.id = it.Raw()
		case "model":
			t.model = it.Raw()
		case "choices":
			t.choices = it.Raw()
		case "usage":
			t.usage = it.Raw()
		case "copilot_usage":
			t.price = it.Raw()
		case "error":
			t.failure = it.Raw()
		}
	}
	return t
}

// chunk follows one chat.completion.chunk.
func (d *decoder) chunk(dst []llm.Event, data []byte) []llm.Event {
	t := readTop(data)
	readUsage(&d.usage, t.usage)
	dialect.ReadPrice(&d.usage, t.price)
	if !rawjson.Empty(t.failure) {
		return d.fail(dst, dialect.ParseFailure(0, "", data))
	}
	it := rawjson.Elements(t.choices, 0)
	any := false
	for it.Next() {
		if rawjson.Of(it.Raw()) != rawjson.Object {
			continue
		}
		if !any {
			any = true
			dst = d.start(dst, t)
		}
		dst = d.choice(dst, it.Raw())
		if d.ended {
			return dst
		}
	}
	if any || len(t.id) <= len(`""`) {
		return dst
	}
	dst = d.start(dst, t)
	if d.stopped() && rawjson.Of(t.usage) == rawjson.Object {
		return d.finish(dst)
	}
	return dst
}

// start begins the answer with the first chunk that is part of it: the one before may be empty, without an id.
func (d *decoder) start(dst []llm.Event, t top) []llm.Event {
	if d.started {
		return dst
	}
	d.started = true
	d.id, d.model = textOf(t.id), textOf(t.model)
	return append(dst, llm.Event{Kind: llm.EventStart, ID: d.id, Model: d.model})
}

// choice follows one element of choices.
func (d *decoder) choice(dst []llm.Event, raw []byte) []llm.Event {
	var index, delta, reason []byte
	for it := rawjson.Members(raw, 0); it.Next(); {
		switch string(it.Key()) {
		case "index":
			index = it.Raw()
		case "delta":
			delta = it.Raw()
		case "message":
			if delta == nil {
				delta = it.Raw()
			}
		case "finish_reason":
			reason = it.Raw()
		}
	}
	n, _ := rawjson.Int(index)
	n = max(0, n)
	end := d.end(n)
	dst = d.delta(dst, n, readDelta(delta))
	if d.runaway && !d.ended {
		return d.fail(dst, dialect.Runaway())
	}
	if d.ended || rawjson.Empty(reason) || rawjson.Of(reason) != rawjson.String {
		return dst
	}
	if end != nil {
		end.stopped = true
	}
	return d.reason(dst, reason)
}

// reason takes a finish_reason. Whether the model calls tools is told by the calls themselves.
func (d *decoder) reason(dst []llm.Event, raw []byte) []llm.Event {
	stop := llm.StopEnd
	switch string(raw) {
	case `"error"`:
		return d.fail(dst, dialect.Failure{Status: http.StatusBadGateway, Message: "upstream aborted the answer"})
	case `"length"`:
		stop = llm.StopLength
	case `"content_filter"`:
		stop = llm.StopFilter
	}
	if d.stop == llm.StopUnknown || d.stop == llm.StopEnd {
		d.stop = stop
	}
	return dst
}

// finish ends the answer.
func (d *decoder) finish(dst []llm.Event) []llm.Event {
	stop := d.stop
	if stop == llm.StopUnknown {
		stop = llm.StopEnd
	}
	dst = d.stopBlock(dst, &d.thinking)
	dst = d.stopBlock(dst, &d.refusal)
	dst = d.stopBlock(dst, &d.text)
	if dst = d.endCalls(dst, stop); d.ended {
		return dst
	}
	switch {
	case stop != llm.StopEnd:
	case d.refused:
		stop = llm.StopFilter
	case len(d.states) > 0:
		stop = llm.StopTool
	}
	d.ended = true
	if d.usage.Reported || d.usage.Priced {
		dst = append(dst, llm.Event{Kind: llm.EventUsage, Usage: d.usage})
	}
	return append(dst, llm.Event{Kind: llm.EventFinish, Stop: stop})
}

// block begins a block and returns its number.
func (d *decoder) block(dst []llm.Event, p *llm.Part) (_ []llm.Event, n int) {
	n = d.blocks
	d.blocks++
	return append(dst, llm.Event{Kind: llm.EventBlock, Block: n, Part: p}), n
}

// stopBlock ends the block if it is open.
func (d *decoder) stopBlock(dst []llm.Event, block *int) []llm.Event {
	if *block == none {
		return dst
	}
	dst = append(dst, llm.Event{Kind: llm.EventStop, Block: *block})
	*block = none
	return dst
}
