package responses

import (
	"bytes"
	"fmt"
	"strconv"

	"detour/internal/dialect"
	"detour/internal/dialect/rawjson"
	"detour/internal/llm"
	"detour/internal/sse"
)

// NewTap implements dialect.Format.
func (Format) NewTap(o dialect.TapOptions) dialect.Tap {
	if o.ID == "" {
		o.ID = "resp_0"
	}
	return &tap{o: o}
}

// tap follows one Responses stream. It mends what clients are known to stumble over:
//   - ids: the response has the id of its first event, or the one that was asked for, an item the id of its first event, or one made up where that is
//     too long, in each event about it; blobs that are bound to an id are sealed together with it;
//   - output_index from 0 without a gap; sequence_number goes on over the events that are put in here;
//   - response.created first; output_item.added and the announcement of a part before their text; output_item.done
//     before the terminal event;
//   - the terminal response: object, status, created_at, model, error, incomplete_details, output and usage;
//   - summary of a reasoning item, status of a finished custom tool call, the name of the reserved namespace;
//   - ping, which is no event of this dialect, becomes a comment.
type tap struct {
	o            dialect.TapOptions
	patch, inner rawjson.Patch

	id      []byte // JSON text of the response's id, nil until it is known
	created []byte // JSON text of created_at
	model   []byte // JSON text
	items   []item
	kept    int   // bytes of finished items that are kept
	number  int64 // the next sequence_number that the client gets
	extra   int64 // how many events were put in

	usage   llm.Usage
	failure dialect.Failure
	begun   bool // response.created went out
	ended   bool // a terminal event went out
	failed  bool
	done    bool // [DONE] went out
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
	case string(data) == dialect.Done:
		// Clients stop reading there, so before the end it must not go out.
		if !t.ended || t.done {
			return dst, dialect.Meta
		}
		t.done = true
		return dialect.AppendRaw(dst, f), dialect.Meta
	case t.ended || t.failed || len(data) == 0:
		return dst, dialect.Meta
	case !rawjson.Valid(data) || data[0] != '{':
		if !dialect.Terminated(f) {
			return dst, dialect.Meta
		}
		return t.fail(dst, dialect.NotAnEvent(data))
	}
	return t.event(dst, f)
}

// fail ends the answer with response.failed.
func (t *tap) fail(dst []byte, failure dialect.Failure) ([]byte, dialect.Class) {
	t.failed, t.failure = true, failure
	return t.appendFailed(dst), dialect.Failed
}

// Close implements dialect.Tap. Where the upstream sent an error event, response.failed follows: some clients act on
// that only.
func (t *tap) Close(dst []byte, cause error) ([]byte, error) {
	switch {
	case t.ended && !t.failed:
		return dst, nil
	case t.ended:
	case t.failed:
		dst = t.appendFailed(dst)
	default:
		dst, _ = t.fail(dst, dialect.EndFailure(cause))
	}
	return dst, dialect.EndError(cause)
}

// appendFailed appends the terminal event of an answer that failed.
func (t *tap) appendFailed(dst []byte) []byte {
	dst = t.ensureCreated(dst)
	t.ended = true
	return t.appendSkeleton(dst, "response.failed", "failed", t.errorObject())
}

// errorObject is the error of a response that failed.
func (t *tap) errorObject() []byte {
	typ, code := t.failure.OpenAIType()
	if code == "" {
		code = typ
	}
	o := rawjson.AppendString([]byte(`{"code":`), code)
	o = rawjson.AppendString(append(o, `,"message":`...), t.failure.Message)
	return append(o, '}')
}

// ensureCreated appends response.created if the upstream left it out.
func (t *tap) ensureCreated(dst []byte) []byte {
	if t.begun {
		return dst
	}
	t.begun = true
	return t.appendSkeleton(dst, "response.created", "in_progress", []byte("null"))
}

// appendSkeleton appends an event with a response that has all the members that clients require.
func (t *tap) appendSkeleton(dst []byte, typ, status string, wrong []byte) []byte {
	t.learn(&head{})
	model := t.model
	if model == nil {
		model = []byte(`""`)
	}
	event := fmt.Appendf(nil, `{"type":"%s","sequence_number":%d,"response":{"id":%s,"object":"response","created_at":%s,`+
		`"status":"%s","error":%s,"incomplete_details":null,"instructions":null,"metadata":{},"model":%s,"output":[],`+
		`"parallel_tool_calls":true,"temperature":null,"tool_choice":"auto","tools":[],"top_p":null,"usage":null}}`,
		typ, t.takeNumber(), t.id, t.created, status, wrong, model)
	return sse.AppendFrame(dst, typ, event)
}

// takeNumber returns the sequence_number of an event that is put in.
func (t *tap) takeNumber() int64 {
	n := t.number
	t.number++
	t.extra++
	return n
}

// learn notes what is constant for the answer from the first event with a response, or makes it up.
func (t *tap) learn(h *head) {
	if t.model == nil && rawjson.Of(h.model.Raw) == rawjson.String && !h.model.Missing() {
		t.model = bytes.Clone(h.model.Raw)
	}
	if t.id != nil {
		return
	}
	t.id = rawjson.AppendString(nil, t.o.ID)
	if rawjson.Of(h.id.Raw) == rawjson.String && !h.id.Missing() && !t.o.OwnID {
		t.id = bytes.Clone(h.id.Raw)
	}
	t.created = strconv.AppendInt(nil, t.o.Created, 10)
	if rawjson.Of(h.created.Raw) == rawjson.Number {
		t.created = bytes.Clone(h.created.Raw)
	}
}
