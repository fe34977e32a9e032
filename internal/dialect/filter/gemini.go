package filter

import (
	"bytes"

	"detour/internal/dialect/rawjson"
)

// is reports whether a member of Gemini's dialect has the name: the API documents it in one style and takes both.
func is(key []byte, camel, snake string) bool { return string(key) == camel || string(key) == snake }

// gemini changes a request of Gemini. Requests to count tokens may hold a whole one.
func (e *edit) gemini() {
	open := bytes.IndexByte(e.body, '{')
	for it := rawjson.Members(e.body, open); it.Next(); {
		if is(it.Key(), "generateContentRequest", "generate_content_request") && rawjson.Of(it.Raw()) == rawjson.Object {
			open, _ = it.Span()
		}
	}
	var system, contents rawjson.Field
	var at rawjson.Iter
	for it := rawjson.Members(e.body, open); it.Next(); {
		switch key := it.Key(); {
		case is(key, "systemInstruction", "system_instruction"):
			system, at = it.Field(), it
		case string(key) == "contents":
			contents = it.Field()
		}
	}
	e.instruction(open, system, &at)
	if len(e.set.suffix) > 0 {
		e.each(contents, func(lo int) { e.each(e.member(lo, "parts", "parts"), e.response) })
	}
}

// instruction changes the system prompt, which is a string, or an object with parts.
func (e *edit) instruction(open int, f rawjson.Field, at *rawjson.Iter) {
	parts := f
	if rawjson.Of(f.Raw) == rawjson.Object {
		parts = e.member(f.Lo, "parts", "parts")
	}
	switch add := e.set.add; {
	case parts.Missing() && add == "":
	case parts.Missing():
		value := append(appendPart([]byte(`{"parts":[`), false, "", add), ']', '}')
		e.patch.Set(open, "systemInstruction", f, value)
	case rawjson.Of(parts.Raw) == rawjson.Object: // one part that is not in a list
		t := e.member(parts.Lo, "text", "text")
		if rawjson.Of(t.Raw) == rawjson.String && !e.prompt(t, add, "") {
			e.patch.Remove(at)
		}
	case !e.prompt(parts, add, ""):
		e.patch.Remove(at)
	}
}

// response changes what the function of the part at lo answered: the string itself, where it is one.
func (e *edit) response(lo int) {
	call := e.member(lo, "functionResponse", "function_response")
	if call.Raw == nil {
		return
	}
	answer := e.member(call.Lo, "response", "response")
	if rawjson.Of(answer.Raw) == rawjson.String {
		e.ending(answer)
		return
	}
	for it := rawjson.Members(e.body, answer.Lo); answer.Raw != nil && it.Next(); {
		switch string(it.Key()) {
		case "output", "result", "error":
			if rawjson.Of(it.Raw()) == rawjson.String {
				e.ending(it.Field())
			}
		}
	}
}

// member finds a member of the object at lo; the zero Field where there is none.
func (e *edit) member(lo int, camel, snake string) (f rawjson.Field) {
	for it := rawjson.Members(e.body, lo); it.Next(); {
		if is(it.Key(), camel, snake) {
			f = it.Field()
		}
	}
	return f
}

// each calls f with where each element of a list begins. One object is as good as a list of one.
func (e *edit) each(list rawjson.Field, f func(lo int)) {
	if rawjson.Of(list.Raw) == rawjson.Object {
		f(list.Lo)
		return
	}
	for it := rawjson.Elements(e.body, list.Lo); list.Raw != nil && it.Next(); {
		lo, _ := it.Span()
		f(lo)
	}
}
