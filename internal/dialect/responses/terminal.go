package responses

import (
	"bytes"
	"slices"

	"detour/internal/dialect/rawjson"
)

// noUsage stands in where a finished answer has no usage: clients add its members up.
const noUsage = `{"input_tokens":0,"input_tokens_details":{"cached_tokens":0},"output_tokens":0,` +
	`"output_tokens_details":{"reasoning_tokens":0},"total_tokens":0}`

// onTerminal follows the event that ends the answer and fills in what its response lacks.
func (t *tap) onTerminal(dst, data []byte, h *head, status string) []byte {
	t.ended = true
	readUsage(&t.usage, h.usage.Raw)
	if rawjson.Of(h.response.Raw) != rawjson.Object {
		t.patch.Set(h.open, "response", h.response, t.wholeResponse(status))
		return dst
	}
	open := h.response.Lo
	t.stampResponse(h)
	if rawjson.Of(h.object.Raw) != rawjson.String {
		t.patch.Set(open, "object", h.object, []byte(`"response"`))
	}
	if rawjson.Of(h.created.Raw) != rawjson.Number {
		t.patch.Set(open, "created_at", h.created, t.created)
	}
	if rawjson.Of(h.status.Raw) != rawjson.String {
		t.patch.Set(open, "status", h.status, rawjson.AppendString(nil, status))
	}
	if t.model != nil && h.model.Missing() {
		t.patch.Set(open, "model", h.model, t.model)
	}
	switch {
	case status == "failed" && h.failure.Missing():
		t.patch.Set(open, "error", h.failure, t.errorObject())
	case h.failure.Raw == nil:
		t.patch.Insert(open, "error", []byte("null"))
	}
	if h.incomplete.Raw == nil {
		t.patch.Insert(open, "incomplete_details", []byte("null"))
	}
	if status != "failed" {
		t.mendUsage(data, h)
	}
	return t.mendOutput(dst, data, h, status)
}

// mendUsage puts in the usage, or the counts without which some clients refuse the objects around them.
func (t *tap) mendUsage(data []byte, h *head) {
	if rawjson.Of(h.usage.Raw) != rawjson.Object {
		t.patch.Set(h.response.Lo, "usage", h.usage, []byte(noUsage))
		return
	}
	for it := rawjson.Members(data, h.usage.Lo); it.Next(); {
		key := ""
		switch string(it.Key()) {
		case "input_tokens_details":
			key = "cached_tokens"
		case "output_tokens_details":
			key = "reasoning_tokens"
		default:
			continue
		}
		if lo, _ := it.Span(); rawjson.Of(it.Raw()) == rawjson.Object && rawjson.Get(it.Raw(), key) == nil {
			t.patch.Insert(lo, key, []byte("0"))
		}
	}
}

// mendOutput gives the items of the output the ids that the client knows. An output that is empty although items were
// finished is filled, and items that are nowhere else are sent before the event.
func (t *tap) mendOutput(dst, data []byte, h *head, status string) []byte {
	first := rawjson.Elements(h.output.Raw, 0)
	if !first.Next() {
		if status == "failed" && rawjson.Of(h.output.Raw) == rawjson.Array {
			return dst
		}
		if text := t.collected(); rawjson.Of(h.output.Raw) != rawjson.Array || len(text) > len("[]") {
			t.patch.Set(h.response.Lo, "output", h.output, text)
		}
		return dst
	}
	var items [][]byte
	places := t.places(h.output.Raw)
	it := rawjson.Elements(data, h.output.Lo)
	for i := 0; it.Next() && i < len(places); i++ {
		if rawjson.Of(it.Raw()) != rawjson.Object {
			return dst
		}
		lo, hi := it.Span()
		text := it.Raw()
		id := rawjson.Get(text, "id")
		place := t.withID(id)
		if place < 0 {
			place = t.itemAt(places[i], id, typeOf(text))
		}
		if place < 0 {
			break
		}
		mended := t.mendItem(text, &t.items[place], true)
		if len(mended) != len(text) || !bytes.Equal(mended, text) {
			t.patch.Replace(lo, hi, mended)
		}
		for len(items) <= place {
			items = append(items, nil)
		}
		items[place] = mended
	}
	if status == "failed" {
		return dst
	}
	return t.finishItems(dst, items)
}

// withID returns the place of the item that the client knows by the id, or -1.
func (t *tap) withID(id []byte) int {
	return slices.IndexFunc(t.items, func(it item) bool { return bytes.Equal(it.id, id) })
}

// places returns the upstream's output_index of each item of the output.
func (t *tap) places(output []byte) []int64 {
	known := make([]placed, len(t.items))
	for i := range t.items {
		known[i] = placedItem(t.items[i].done)
		known[i].index = t.items[i].index
	}
	return places(output, known)
}

// wholeResponse is the response of a terminal event that came without any.
func (t *tap) wholeResponse(status string) []byte {
	r := append([]byte(`{"id":`), t.id...)
	r = append(append(r, `,"object":"response","created_at":`...), t.created...)
	r = append(append(r, `,"status":"`...), status...)
	r = append(r, `","incomplete_details":null,"error":`...)
	if status == "failed" {
		r = append(r, t.errorObject()...)
	} else {
		r = append(r, "null"...)
	}
	r = append(r, ',')
	if t.model != nil {
		r = append(append(append(r, `"model":`...), t.model...), ',')
	}
	r = append(append(r, `"output":`...), t.collected()...)
	return append(r, `,"usage":`+noUsage+"}"...)
}
