package responses

import (
	"bytes"
	"strconv"

	"detour/internal/dialect"
	"detour/internal/dialect/rawjson"
	"detour/internal/sse"
)

// head is what an event holds at its top level and at the top level of its response.
type head struct {
	open                                         int    // the opening brace
	typ                                          []byte // unquoted
	number, index, itemID, item, delta, response rawjson.Field
	announced                                    []byte // a part
	part, summary                                int64  // content_index and summary_index
	id, created, model, object, status, output   rawjson.Field
	usage, failure, incomplete                   rawjson.Field
	price                                        []byte
}

func readHead(data []byte) head {
	h := head{open: bytes.IndexByte(data, '{')}
	for it := rawjson.Members(data, 0); it.Next(); {
		switch string(it.Key()) {
		case "type":
			h.typ = rawjson.Text(it.Raw())
		case "sequence_number":
			h.number = it.Field()
		case "output_index":
			h.index = it.Field()
		case "item_id":
			h.itemID = it.Field()
		case "item":
			h.item = it.Field()
		case "delta":
			h.delta = it.Field()
		case "content_index":
			h.part, _ = rawjson.Int(it.Raw())
		case "summary_index":
			h.summary, _ = rawjson.Int(it.Raw())
		case "part":
			h.announced = it.Raw()
		case "response":
			h.response = it.Field()
		case "copilot_usage":
			h.price = it.Raw()
		}
	}
	if rawjson.Of(h.response.Raw) == rawjson.Object {
		h.readResponse(data)
	}
	return h
}

func (h *head) readResponse(data []byte) {
	for it := rawjson.Members(data, h.response.Lo); it.Next(); {
		switch string(it.Key()) {
		case "id":
			h.id = it.Field()
		case "created_at":
			h.created = it.Field()
		case "model":
			h.model = it.Field()
		case "object":
			h.object = it.Field()
		case "status":
			h.status = it.Field()
		case "output":
			h.output = it.Field()
		case "usage":
			h.usage = it.Field()
		case "error":
			h.failure = it.Field()
		case "incomplete_details":
			h.incomplete = it.Field()
		case "copilot_usage":
			h.price = it.Raw()
		}
	}
}

// outputIndex returns the upstream's own index of the item that the event is about.
func (h *head) outputIndex() int64 {
	n, _ := rawjson.Int(h.index.Raw)
	return n
}

// event follows one event.
func (t *tap) event(dst []byte, f sse.Frame) ([]byte, dialect.Class) {
	t.patch.Reset()
	h := readHead(f.Data)
	if len(h.typ) == 0 {
		h.typ = f.Event
	}
	dialect.ReadPrice(&t.usage, h.price)
	switch string(h.typ) {
	case "ping":
		return append(dst, ": ping\n\n"...), dialect.Meta
	case "keepalive":
		return dialect.AppendRaw(dst, f), dialect.Meta
	case "error":
		dst = t.ensureCreated(dst)
		t.renumber(&h)
		t.failed, t.failure = true, dialect.ParseFailure(0, "", t.patch.Apply(nil, f.Data))
		return dialect.AppendPatched(dst, f, &t.patch), dialect.Failed
	case "":
		if rawjson.Empty(rawjson.Get(f.Data, "error")) {
			return dialect.AppendRaw(dst, f), dialect.Content
		}
		return t.fail(dst, dialect.ParseFailure(0, "", f.Data)) // an error of another dialect
	}
	t.learn(&h)
	if string(h.typ) == "response.created" {
		t.begun = true
	} else {
		dst = t.ensureCreated(dst)
	}
	dst, class := t.follow(dst, f.Data, &h)
	if class == dialect.Failed && t.ended && string(h.typ) != "response.failed" {
		return dst, class // given up here: this event is not passed on
	}
	t.renumber(&h)
	return dialect.AppendPatched(dst, f, &t.patch), class
}

// follow makes the edits that an event needs and appends what has to come before it.
func (t *tap) follow(dst, data []byte, h *head) ([]byte, dialect.Class) {
	switch string(h.typ) {
	case "response.created", "response.in_progress", "response.queued":
		t.stampResponse(h)
		return dst, dialect.Meta
	case "response.output_item.added":
		return t.onItem(dst, h, false), h.announcement()
	case "response.output_item.done":
		return t.onItem(dst, h, true), dialect.Content
	case "response.completed":
		return t.onTerminal(dst, data, h, "completed"), dialect.Terminal
	case "response.incomplete":
		return t.onTerminal(dst, data, h, "incomplete"), dialect.Terminal
	case "response.failed":
		t.failed = true
		t.failure = dialect.ParseFailure(0, "", h.failure.Raw) // without any, it says just that
		return t.onTerminal(dst, data, h, "failed"), dialect.Failed
	}
	t.stampResponse(h)
	if h.index.Raw == nil {
		return dst, dialect.Content
	}
	i := t.itemAt(h.outputIndex(), h.itemID.Raw, itemOf(h.typ))
	if i < 0 {
		return dst, dialect.Content
	}
	t.place(h, i)
	it := &t.items[i]
	if h.itemID.Raw != nil && !bytes.Equal(h.itemID.Raw, it.id) {
		t.patch.Replace(h.itemID.Lo, h.itemID.Hi, it.id)
	}
	if h.delta.Raw != nil && isArguments(h.typ) {
		if it.blank.Add(h.delta.Raw); it.blank.Runaway() {
			return t.fail(dst, dialect.Runaway())
		}
	}
	return t.announce(dst, h, i), h.announcement()
}

// announcement is the class of an event that may only say that text is about to come: nobody can act on that yet.
func (h *head) announcement() dialect.Class {
	switch string(h.typ) {
	case "response.output_item.added":
		if typeOf(h.item.Raw) == "message" && rawjson.Empty(rawjson.Get(h.item.Raw, "content")) {
			return dialect.Meta
		}
	case "response.content_part.added":
		if string(rawjson.Get(h.announced, "text")) == `""` {
			return dialect.Meta
		}
	}
	return dialect.Content
}

func isArguments(typ []byte) bool {
	return string(typ) == "response.function_call_arguments.delta" || string(typ) == "response.mcp_call_arguments.delta"
}

// itemOf returns the type of the item that an event is about, where the event's name says it.
func itemOf(event []byte) string {
	switch partOf(event) {
	case textPart, refusalPart:
		return "message"
	case reasoningPart, summaryPart:
		return "reasoning"
	}
	switch {
	case bytes.HasPrefix(event, []byte("response.function_call_arguments.")):
		return "function_call"
	case bytes.HasPrefix(event, []byte("response.custom_tool_call_input.")):
		return "custom_tool_call"
	}
	return ""
}

// place makes the event carry the output_index that the client sees.
func (t *tap) place(h *head, i int) {
	if n, ok := rawjson.Int(h.index.Raw); !ok || n != int64(i) {
		t.patch.Set(h.open, "output_index", h.index, strconv.AppendInt(nil, int64(i), 10))
	}
}

// renumber makes the event's sequence_number go on behind the events that were put in.
func (t *tap) renumber(h *head) {
	n, ok := rawjson.Int(h.number.Raw)
	if !ok {
		return
	}
	if t.extra > 0 {
		n += t.extra
		t.patch.Replace(h.number.Lo, h.number.Hi, strconv.AppendInt(nil, n, 10))
	}
	t.number = n + 1
}

// stampResponse makes the response of an event carry the id that the client knows.
func (t *tap) stampResponse(h *head) {
	if rawjson.Of(h.response.Raw) == rawjson.Object && !bytes.Equal(h.id.Raw, t.id) {
		t.patch.Set(h.response.Lo, "id", h.id, t.id)
	}
}
