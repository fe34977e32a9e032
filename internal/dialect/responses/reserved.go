package responses

import (
	"bytes"
	"strconv"

	"detour/internal/dialect/rawjson"
)

// reservedNamespace is Codex's own: upstreams refuse it when any of its tools is not as it was, and only OpenAI's own
// service can read what its schemas mark as encrypted.
const reservedNamespace = "collaboration"

// RenameReserved gives the reserved namespace of a request another name, where its tools are declared, chosen and
// called, and takes the marks out of its schemas. It returns the name, "" when the request does not have the namespace.
// TapOptions.Reserved leads back. It may return body itself.
func RenameReserved(body []byte) (renamed []byte, name string) {
	// Short words are found many times faster than long ones, and most requests have neither.
	if !bytes.Contains(body, []byte(`"collab`)) || !bytes.Contains(body, []byte(`"`+reservedNamespace+`"`)) || !rawjson.Valid(body) {
		return body, ""
	}
	for n := 2; ; n++ {
		if name = reservedNamespace + "_" + strconv.Itoa(n); !bytes.Contains(body, []byte(`"`+name+`"`)) {
			break
		}
	}
	r := renamer{body: body, to: []byte(`"` + name + `"`)}
	for it := rawjson.Members(body, 0); it.Next(); {
		lo, _ := it.Span()
		switch string(it.Key()) {
		case "tools":
			r.tools(lo)
		case "tool_choice":
			r.choice(lo)
		case "input":
			for items := rawjson.Elements(body, lo); items.Next(); {
				at, _ := items.Span()
				r.item(at)
			}
		}
	}
	if r.patch.Empty() {
		return body, ""
	}
	return r.patch.Apply(make([]byte, 0, len(body)+64), body), name
}

// renamer is one RenameReserved.
type renamer struct {
	body  []byte
	to    []byte // JSON text
	patch rawjson.Patch
}

func isReserved(raw []byte) bool { return string(rawjson.Text(raw)) == reservedNamespace }

// tools renames the namespace in the declarations at lo.
func (r *renamer) tools(lo int) {
	for it := rawjson.Elements(r.body, lo); it.Next(); {
		if typeOf(it.Raw()) != "namespace" || !isReserved(rawjson.Get(it.Raw(), "name")) {
			continue
		}
		at, _ := it.Span()
		for m := rawjson.Members(r.body, at); m.Next(); {
			from, to := m.Span()
			switch string(m.Key()) {
			case "name":
				r.patch.Replace(from, to, r.to)
			case "tools":
				r.unmark(from)
			}
		}
	}
}

// choice renames the namespace in what is to be called.
func (r *renamer) choice(lo int) {
	named := false
	for it := rawjson.Members(r.body, lo); it.Next(); {
		named = named || string(it.Key()) == "type" && string(it.Raw()) == `"namespace"`
	}
	for it := rawjson.Members(r.body, lo); it.Next(); {
		from, to := it.Span()
		switch key := string(it.Key()); {
		case key == "namespace" && isReserved(it.Raw()), key == "name" && named && isReserved(it.Raw()):
			r.patch.Replace(from, to, r.to)
		case key == "tools":
			for tools := rawjson.Elements(r.body, from); tools.Next(); {
				at, _ := tools.Span()
				r.choice(at)
			}
		}
	}
}

// item renames the namespace in a call, or in tools that ride along.
func (r *renamer) item(lo int) {
	additional := false
	for it := rawjson.Members(r.body, lo); it.Next(); {
		from, to := it.Span()
		switch string(it.Key()) {
		case "type":
			additional = string(it.Raw()) == `"additional_tools"`
		case "namespace":
			if isReserved(it.Raw()) {
				r.patch.Replace(from, to, r.to)
				r.withoutArgs(lo)
			}
		}
	}
	for it := rawjson.Members(r.body, lo); additional && it.Next(); {
		if from, _ := it.Span(); string(it.Key()) == "tools" {
			r.tools(from)
		}
	}
}

// withoutArgs takes out of a call which of its arguments are encrypted.
func (r *renamer) withoutArgs(lo int) {
	for it := rawjson.Members(r.body, lo); it.Next(); {
		if string(it.Key()) == "encrypted_function_args" {
			r.patch.Remove(&it)
			return
		}
	}
}

// unmark takes the marks out of the value at lo.
func (r *renamer) unmark(lo int) {
	for it := rawjson.Elements(r.body, lo); it.Next(); {
		at, _ := it.Span()
		r.unmark(at)
	}
	for it := rawjson.Members(r.body, lo); it.Next(); {
		if isMark(it.Key(), it.Raw()) {
			r.patch.Remove(&it)
			continue
		}
		at, _ := it.Span()
		r.unmark(at)
	}
}

// isMark recognises a mark. A property of that name has a schema for its value.
func isMark(key, value []byte) bool {
	return string(key) == "encrypted" && rawjson.Of(value) == rawjson.Bool
}

// unmarked is a schema without marks.
func unmarked(schema []byte) []byte {
	if !bytes.Contains(schema, []byte(`"encrypted"`)) {
		return schema
	}
	r := renamer{body: schema}
	r.unmark(0)
	if r.patch.Empty() {
		return schema
	}
	return r.patch.Apply(nil, schema)
}

// restoreReserved gives a call the name of its namespace back that the client knows.
func restoreReserved(p *rawjson.Patch, item []byte, name string) {
	if name == "" || rawjson.Of(item) != rawjson.Object {
		return
	}
	var namespace, args rawjson.Field
	function := false
	for it := rawjson.Members(item, 0); it.Next(); {
		switch string(it.Key()) {
		case "type":
			function = string(it.Raw()) == `"function_call"`
		case "namespace":
			namespace = it.Field()
		case "encrypted_function_args":
			args = it.Field()
		}
	}
	if string(rawjson.Text(namespace.Raw)) != name {
		return
	}
	p.Replace(namespace.Lo, namespace.Hi, []byte(`"`+reservedNamespace+`"`))
	if function && args.Raw == nil {
		p.Insert(bytes.IndexByte(item, '{'), "encrypted_function_args", []byte("[]"))
	}
}
