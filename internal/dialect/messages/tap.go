package messages

import (
	"bytes"
	"net/http"

	"detour/internal/dialect"
	"detour/internal/dialect/rawjson"
	"detour/internal/llm"
	"detour/internal/sse"
)

// maxBlocks is how many content blocks of an answer are mended.
const maxBlocks = 4096

// NewTap implements dialect.Format.
func (Format) NewTap(o dialect.TapOptions) dialect.Tap {
	if o.ID == "" {
		o.ID = "msg_0"
	}
	return &tap{o: o}
}

// tap follows one Messages stream. It mends what clients are known to stumble over:
//   - an event line that is missing or is not the type of the data;
//   - message_start: content and usage where they are missing, one where there is none, only one;
//   - blocks: indexes from 0 without a gap, an input of {} for a tool, a start where a delta comes without, a stop
//     before the answer ends;
//   - message_delta: usage where it is missing, one with a stop reason where there is none, tool_use where tools are
//     called and the upstream says that the turn ends;
//   - message_stop after a stop reason, if that is all that is missing;
//   - [DONE], which is of another dialect, is dropped, and an error of another dialect becomes one of this.
type tap struct {
	o     dialect.TapOptions
	patch rawjson.Patch

	blocks  []block
	usage   llm.Usage
	failure dialect.Failure
	started bool // message_start went out
	reason  bool // a stop reason went out
	stopped bool // message_stop went out
	failed  bool
}

// Usage implements dialect.Tap.
func (t *tap) Usage() llm.Usage { return t.usage }

// Failure implements dialect.Tap.
func (t *tap) Failure() dialect.Failure { return t.failure }

// Frame implements dialect.Tap. A frame that the stream ended in counts only if its data is whole.
func (t *tap) Frame(dst []byte, f sse.Frame) ([]byte, dialect.Class) {
	if !f.HasData {
		if !dialect.Terminated(f) {
			return dst, dialect.Meta
		}
		return dialect.AppendRaw(dst, f), dialect.Meta
	}
	data := bytes.Trim(f.Data, " \t\r\n")
	switch {
	case t.failed || len(data) == 0 || string(data) == dialect.Done:
		return dst, dialect.Meta
	case !rawjson.Valid(data) || data[0] != '{':
		if t.stopped || !dialect.Terminated(f) {
			return dst, dialect.Meta
		}
		return t.fail(dst, dialect.NotAnEvent(data))
	}
	return t.event(dst, f)
}

// fail ends the answer with an error of our wording.
func (t *tap) fail(dst []byte, failure dialect.Failure) ([]byte, dialect.Class) {
	t.failed, t.failure = true, failure
	return sse.AppendFrame(dst, "error", Format{}.AppendError(nil, failure)), dialect.Failed
}

// Close implements dialect.Tap. An answer whose stop reason came is complete: all that can be missing is message_stop.
func (t *tap) Close(dst []byte, cause error) ([]byte, error) {
	switch {
	case t.failed:
		return dst, dialect.EndError(cause)
	case t.stopped:
		return dst, nil
	case t.reason:
		t.stopped = true
		dst = t.appendStops(dst)
		return sse.AppendFrame(dst, "message_stop", []byte(`{"type":"message_stop"}`)), nil
	}
	dst, _ = t.fail(dst, dialect.EndFailure(cause))
	return dst, dialect.EndError(cause)
}

// head is what the top level of an event holds.
type head struct {
	open                                              int // the opening brace
	typ, index, message, block, delta, usage, failure rawjson.Field
	price                                             []byte
}

func readHead(data []byte) head {
	h := head{open: bytes.IndexByte(data, '{')}
	for it := rawjson.Members(data, 0); it.Next(); {
		switch string(it.Key()) {
		case "type":
			h.typ = it.Field()
		case "index":
			h.index = it.Field()
		case "message":
			h.message = it.Field()
		case "content_block":
			h.block = it.Field()
		case "delta":
			h.delta = it.Field()
		case "usage":
			h.usage = it.Field()
		case "error":
			h.failure = it.Field()
		case "copilot_usage":
			h.price = it.Raw()
		}
	}
	return h
}

// event follows one event.
func (t *tap) event(dst []byte, f sse.Frame) ([]byte, dialect.Class) {
	t.patch.Reset()
	h := readHead(f.Data)
	typ := rawjson.Text(h.typ.Raw)
	if len(typ) == 0 && len(f.Event) > 0 && h.failure.Missing() {
		typ = f.Event
		name := rawjson.AppendString(nil, typ)
		t.patch.Set(h.open, "type", h.typ, name)
	}
	if t.stopped && string(typ) != "ping" {
		return dst, dialect.Meta // nobody reads on after the end
	}
	if string(typ) == "error" || len(typ) == 0 && !h.failure.Missing() {
		return t.onError(dst, f, h, typ)
	}
	dialect.ReadPrice(&t.usage, h.price)
	class := dialect.Content
	switch string(typ) {
	case "ping":
		class = dialect.Meta
	case "message_start":
		class = dialect.Meta
		if keep := t.onStart(h); !keep {
			return dst, class
		}
	case "content_block_start":
		dst = t.ensureStart(dst)
		dst = t.onBlockStart(dst, f.Data, h)
		if string(rawjson.Text(rawjson.Get(h.block.Raw, "type"))) == "text" && rawjson.Empty(rawjson.Get(h.block.Raw, "text")) {
			class = dialect.Meta // text has been announced and none has come
		}
	case "content_block_delta":
		dst = t.ensureStart(dst)
		var failure *dialect.Failure
		if dst, failure = t.onBlockDelta(dst, f.Data, h); failure != nil {
			return t.fail(dst, *failure)
		}
	case "content_block_stop":
		if keep := t.onBlockStop(h); !keep {
			return dst, dialect.Meta
		}
	case "message_delta":
		dst = t.ensureStart(dst)
		dst, class = t.onMessageDelta(dst, f.Data, h)
	case "message_stop":
		if !t.started {
			return t.fail(dst, dialect.Failure{Status: http.StatusBadGateway, Message: "upstream sent an empty answer"})
		}
		dst = t.onStop(dst)
		class = dialect.Terminal
	}
	return t.append(dst, f, typ), class
}

// append appends f with the edits that were made and with the event line that it needs.
func (t *tap) append(dst []byte, f sse.Frame, typ []byte) []byte {
	switch {
	case len(typ) == 0 || bytes.Equal(f.Event, typ):
		return dialect.AppendPatched(dst, f, &t.patch)
	case bytes.ContainsAny(typ, "\r\n"):
		return dst // no such name can be an event
	case f.Event == nil:
		dst = append(append(append(dst, "event: "...), typ...), '\n')
		f.Raw = bytes.TrimPrefix(f.Raw, []byte("\uFEFF")) // allowed only at the very start
		return dialect.AppendPatched(dst, f, &t.patch)
	}
	data := t.patch.Apply(nil, f.Data)
	return sse.AppendFrame(dst, string(typ), bytes.ReplaceAll(data, []byte("\n"), []byte(" ")))
}

// onError takes an error of the upstream, in this dialect's shape or another's.
func (t *tap) onError(dst []byte, f sse.Frame, h head, typ []byte) ([]byte, dialect.Class) {
	failure := dialect.ParseFailure(0, "", f.Data)
	inner := rawjson.Get(h.failure.Raw, "type")
	native := string(typ) == "error" && !rawjson.Empty(inner) && !rawjson.Empty(rawjson.Get(h.failure.Raw, "message"))
	if !native || failure.AnthropicMessage() != failure.Message {
		return t.fail(dst, failure)
	}
	t.failed, t.failure = true, failure
	return t.append(dst, f, typ), dialect.Failed
}
