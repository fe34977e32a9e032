package chat

import (
	"bytes"
	"net/http"
	"strconv"

	"detour/internal/dialect"
	"detour/internal/dialect/rawjson"
	"detour/internal/sse"
)

// head is what the top level of a chunk holds.
type head struct {
	open                                              int // the opening brace
	id, object, created, model, choices, usage, price rawjson.Field
	failure                                           []byte // an error that is not null
}

// readHead looks at the top level of a chunk. An error that is null is taken out.
func readHead(p *rawjson.Patch, data []byte) head {
	h := head{open: bytes.IndexByte(data, '{')}
	for it := rawjson.Members(data, 0); it.Next(); {
		switch string(it.Key()) {
		case "id":
			h.id = it.Field()
		case "object":
			h.object = it.Field()
		case "created":
			h.created = it.Field()
		case "model":
			h.model = it.Field()
		case "choices":
			h.choices = it.Field()
		case "usage":
			h.usage = it.Field()
		case "copilot_usage":
			h.price = it.Field()
		case "error":
			if rawjson.Of(it.Raw()) == rawjson.Null {
				p.Remove(&it)
			} else {
				h.failure = it.Raw()
			}
		}
	}
	return h
}

// chunk follows one chat.completion.chunk.
func (t *tap) chunk(dst []byte, f sse.Frame) ([]byte, dialect.Class) {
	t.patch.Reset()
	h := readHead(&t.patch, f.Data)
	if h.failure != nil {
		readUsage(&t.usage, h.usage.Raw)
		dialect.ReadPrice(&t.usage, h.price.Raw)
		failure := dialect.ParseFailure(0, "", f.Data)
		if rawjson.Of(h.failure) != rawjson.Object {
			return t.fail(dst, failure)
		}
		t.failed, t.failure = true, failure
		return dialect.AppendRaw(dst, f), dialect.Failed
	}
	first := rawjson.Elements(h.choices.Raw, 0)
	empty := !first.Next()
	if t.id == nil && empty && h.id.Missing() && h.usage.Missing() {
		t.hold(f.Data)
		return dst, dialect.Meta
	}
	dst = t.learn(dst, &h)
	t.stamp(&t.patch, &h)
	dialect.ReadPrice(&t.usage, h.price.Raw)
	class := dialect.Meta
	if !empty {
		var failed bool
		if dst, class, failed = t.eachChoice(dst, f.Data, h.choices.Lo); failed {
			return t.fail(dst, dialect.Failure{Status: http.StatusBadGateway, Message: "upstream aborted the answer"})
		}
		if t.runaway {
			return t.fail(dst, dialect.Runaway())
		}
	}
	if rawjson.Of(h.usage.Raw) == rawjson.Object {
		readUsage(&t.usage, h.usage.Raw)
		if empty && (t.o.HideUsage || bytes.Equal(h.usage.Raw, t.last)) {
			return dst, dialect.Meta
		}
		t.last = append(t.last[:0], h.usage.Raw...)
	}
	return dialect.AppendPatched(dst, f, &t.patch), class
}

// hold keeps a leading chunk, such as the one with the results of a prompt filter, until the id of the answer is known.
func (t *tap) hold(data []byte) {
	if len(t.held)+len(data) > maxHeld {
		return
	}
	for _, c := range data {
		if c == '\n' {
			c = ' '
		}
		t.held = append(t.held, c)
	}
	t.held = append(t.held, '\n')
}

// learn notes what is constant for the answer and lets go of the chunks that waited for it.
func (t *tap) learn(dst []byte, h *head) []byte {
	if t.model == nil && rawjson.Of(h.model.Raw) == rawjson.String && !h.model.Missing() {
		t.model = bytes.Clone(h.model.Raw)
	}
	if n, ok := rawjson.Int(h.created.Raw); t.created == nil && ok && n != 0 {
		t.created = bytes.Clone(h.created.Raw)
	}
	if t.id != nil {
		return dst
	}
	if rawjson.Of(h.id.Raw) == rawjson.String && !h.id.Missing() {
		t.id = bytes.Clone(h.id.Raw)
	} else {
		t.id = rawjson.AppendString(nil, t.o.ID)
	}
	if t.created == nil {
		t.created = strconv.AppendInt(nil, t.o.Created, 10)
	}
	for len(t.held) > 0 {
		data, rest, _ := bytes.Cut(t.held, []byte("\n"))
		t.held = rest
		var p rawjson.Patch
		early := readHead(&p, data)
		t.stamp(&p, &early)
		dst = append(dst, "data: "...)
		dst = p.Apply(dst, data)
		dst = append(dst, "\n\n"...)
	}
	t.held = nil
	return dst
}

// stamp gives a chunk what each one needs at its top level.
func (t *tap) stamp(p *rawjson.Patch, h *head) {
	if !bytes.Equal(h.id.Raw, t.id) {
		p.Set(h.open, "id", h.id, t.id)
	}
	if rawjson.Of(h.object.Raw) != rawjson.String || h.object.Missing() {
		p.Set(h.open, "object", h.object, []byte(`"chat.completion.chunk"`))
	}
	if n, ok := rawjson.Int(h.created.Raw); !ok || n == 0 && string(t.created) != "0" {
		p.Set(h.open, "created", h.created, t.created)
	}
	if t.model != nil && h.model.Missing() {
		p.Set(h.open, "model", h.model, t.model)
	}
	if rawjson.Of(h.choices.Raw) != rawjson.Array {
		p.Set(h.open, "choices", h.choices, []byte("[]"))
	}
}

// appendChunk appends a chunk of our own with one choice, whose members behind index are given.
func (t *tap) appendChunk(dst []byte, c *choice, delta, finish []byte) []byte {
	dst = append(dst, `data: {"id":`...)
	dst = append(dst, t.id...)
	dst = append(dst, `,"object":"chat.completion.chunk","created":`...)
	dst = append(dst, t.created...)
	if t.model != nil {
		dst = append(dst, `,"model":`...)
		dst = append(dst, t.model...)
	}
	dst = append(dst, `,"choices":[{"index":`...)
	dst = strconv.AppendInt(dst, c.index, 10)
	dst = append(dst, `,"delta":`...)
	dst = append(dst, delta...)
	dst = append(dst, `,"finish_reason":`...)
	dst = append(dst, finish...)
	return append(dst, "}]}\n\n"...)
}

// appendFinish ends a choice for which the upstream gave no finish_reason.
func (t *tap) appendFinish(dst []byte, c *choice) []byte {
	c.finished = true
	if len(c.calls) > 0 {
		return t.appendChunk(dst, c, []byte("{}"), []byte(`"tool_calls"`))
	}
	return t.appendChunk(dst, c, []byte("{}"), []byte(`"stop"`))
}
