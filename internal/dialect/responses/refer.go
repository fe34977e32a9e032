package responses

import (
	"bytes"

	"detour/internal/dialect"
	"detour/internal/dialect/rawjson"
)

// A conversation is handed about as the text of its items with commas between them, without brackets: so pieces can be
// put together, and each item stays byte for byte what a client sent or was given.

// itemReference is the type of an item that stands for one that was said before.
const itemReference = "item_reference"

// Items returns the items of an input, which is a request's or the output of an answer. A text is a user's message.
func Items(input []byte) []byte {
	switch rawjson.Of(input) {
	case rawjson.String:
		return append(append([]byte(`{"role":"user","content":`), input...), '}')
	case rawjson.Array:
		return bytes.TrimSpace(input[1 : len(input)-1])
	}
	return nil
}

// Input returns the items of a request's input.
func Input(body []byte) []byte { return Items(rawjson.Get(body, "input")) }

// Join appends items to items.
func Join(dst, items []byte) []byte {
	if len(dst) > 0 && len(items) > 0 {
		dst = append(dst, ',')
	}
	return append(dst, items...)
}

// Resolve returns the items of a request's input with those that are only referred to in their places. item returns an
// item by its id. The error is a *dialect.Failure that names the reference which leads nowhere.
func Resolve(body []byte, item func(id string) ([]byte, bool)) ([]byte, error) {
	input := rawjson.Get(body, "input")
	if rawjson.Of(input) != rawjson.Array {
		return Items(input), nil
	}
	out := make([]byte, 0, len(input))
	it := rawjson.Elements(input, 0)
	for i := 0; it.Next(); i++ {
		raw := it.Raw()
		if id, is := referenceIn(raw); is {
			found, ok := item(id)
			if !ok {
				f := dialect.InvalidRequest(dialect.Index("input", i), "Item with id '%s' not found.", clipID(id))
				f.Code = notStored
				return nil, f
			}
			raw = found
		}
		out = Join(out, raw)
	}
	return out, nil
}

// referenceIn returns the id that an item refers to, if it is a reference. The type may be left out.
func referenceIn(item []byte) (id string, ok bool) {
	var typ, ref rawjson.Field
	more := false // it says something itself
	for it := rawjson.Members(item, 0); it.Next(); {
		switch string(it.Key()) {
		case "type":
			typ = it.Field()
		case "id":
			ref = it.Field()
		default:
			more = more || !rawjson.Empty(it.Raw())
		}
	}
	is := string(rawjson.Text(typ.Raw)) == itemReference || typ.Missing() && !more
	return string(rawjson.Text(ref.Raw)), is && rawjson.Of(ref.Raw) == rawjson.String
}

// NotFound is the failure of a request that goes on from an answer which is not here. Clients know its code, and send
// the whole conversation.
func NotFound(id string) *dialect.Failure {
	return &dialect.Failure{
		Status: 400, Type: "invalid_request_error", Code: notStored, Param: "previous_response_id",
		Message: "Previous response with id '" + clipID(id) + "' not found.",
	}
}

// clipID bounds what a client can put into a message.
func clipID(id string) string { return id[:min(len(id), 2*maxID)] }

// WithInput returns a request whose input is items, and which goes on from no other answer. All other members stay as
// they are and where they are.
func WithInput(body []byte, items ...[]byte) []byte {
	size := len(body) + len(`,"input":[]`)
	for _, i := range items {
		size += len(i) + 1
	}
	out := append(make([]byte, 0, size), '{')
	input := func() {
		out = append(out, `"input":[`...)
		first := true
		for _, i := range items {
			if len(i) == 0 {
				continue
			}
			if !first {
				out = append(out, ',')
			}
			first = false
			out = append(out, i...)
		}
		out = append(out, ']')
	}
	done := false
	for it := rawjson.Members(body, 0); it.Next(); {
		key := string(it.Key())
		if key == "previous_response_id" || key == "input" && done {
			continue
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		if key == "input" {
			done = true
			input()
			continue
		}
		lo, hi := it.Member()
		out = append(out, body[lo:hi]...)
	}
	if !done {
		if len(out) > 1 {
			out = append(out, ',')
		}
		input()
	}
	return append(out, '}')
}

// EventType returns the JSON text of an event's type, or nil.
func EventType(event []byte) []byte {
	for it := rawjson.Members(event, 0); it.Next(); {
		if string(it.Key()) == "type" {
			return it.Raw()
		}
	}
	return nil
}

// IsTerminal tells whether an event of that type, in JSON text, ends an answer.
func IsTerminal(typ []byte) bool {
	switch string(typ) {
	case `"response.completed"`, `"response.incomplete"`, `"response.failed"`:
		return true
	}
	return false
}

// Finished returns the response that an event ends an answer with, if it does and the answer is good. It is nil for
// every other event.
func Finished(event []byte) (response []byte) {
	if typ := EventType(event); !IsTerminal(typ) || string(typ) == `"response.failed"` {
		return nil
	}
	return rawjson.Get(event, "response")
}
