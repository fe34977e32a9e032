package responses

import (
	"bytes"
	"encoding/json"
	"slices"

	"detour/internal/dialect/rawjson"
)

// emptySchema is the schema of a tool without arguments.
const emptySchema = `{"type":"object","properties":{}}`

// schemaOf returns a tool's schema in the form that the API takes: an object at the root without alternatives, and
// without members that name the schema itself. Where nothing has to change it is the same bytes.
func schemaOf(schema json.RawMessage) []byte {
	raw := bytes.TrimSpace(schema)
	if rawjson.Of(raw) != rawjson.Object || rawjson.Empty(raw) {
		return []byte(emptySchema)
	}
	change, typed, union := false, false, false
	for it := rawjson.Members(raw, 0); it.Next(); {
		switch string(it.Key()) {
		case "$schema", "$id":
			change = true
		case "type":
			typed = string(it.Raw()) == `"object"`
			change = change || !typed
		case "anyOf", "oneOf", "allOf":
			union, change = true, true
		}
	}
	if !change && typed {
		return raw
	}
	out := []byte(`{"type":"object"`)
	for it := rawjson.Members(raw, 0); it.Next(); {
		switch key := string(it.Key()); key {
		case "$schema", "$id", "type", "anyOf", "oneOf", "allOf":
		case "properties", "required":
			if !union {
				out = appendRawMember(out, key, it.Raw())
			}
		default:
			out = append(rawjson.AppendString(append(out, ','), key), ':')
			out = append(out, it.Raw()...)
		}
	}
	if union {
		out = mergeBranches(out, raw)
	} else if rawjson.Get(raw, "properties") == nil {
		out = append(out, `,"properties":{}`...)
	}
	return append(out, '}')
}

// mergeBranches appends what the alternatives at the root of a schema come to: the properties of all of them, of which
// those are required that all that are alternatives require.
func mergeBranches(dst, schema []byte) []byte {
	var names []string
	properties := map[string][]byte{}
	required := stringList(rawjson.Get(schema, "required"))
	add := func(branch []byte) {
		for it := rawjson.Members(rawjson.Get(branch, "properties"), 0); it.Next(); {
			name := string(it.Key())
			if properties[name] == nil {
				names = append(names, name)
				properties[name] = it.Raw()
			}
		}
	}
	add(schema)
	for it := rawjson.Elements(rawjson.Get(schema, "allOf"), 0); it.Next(); {
		add(it.Raw())
		required = append(required, stringList(rawjson.Get(it.Raw(), "required"))...)
	}
	for _, key := range [...]string{"anyOf", "oneOf"} {
		var common []string
		n := 0
		for it := rawjson.Elements(rawjson.Get(schema, key), 0); it.Next(); n++ {
			add(it.Raw())
			of := stringList(rawjson.Get(it.Raw(), "required"))
			if n == 0 {
				common = of
				continue
			}
			common = slices.DeleteFunc(common, func(s string) bool { return !slices.Contains(of, s) })
		}
		required = append(required, common...)
	}
	dst = append(dst, `,"properties":{`...)
	for i, name := range names {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(append(rawjson.AppendString(dst, name), ':'), properties[name]...)
	}
	dst = append(dst, '}')
	slices.Sort(required)
	if required = slices.Compact(required); len(required) == 0 {
		return dst
	}
	dst = append(dst, `,"required":[`...)
	for i, name := range required {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = rawjson.AppendString(dst, name)
	}
	return append(dst, ']')
}

// stringList returns the strings of a JSON array.
func stringList(raw []byte) []string {
	var out []string
	for it := rawjson.Elements(raw, 0); it.Next(); {
		if rawjson.Of(it.Raw()) == rawjson.String {
			out = append(out, string(rawjson.Text(it.Raw())))
		}
	}
	return out
}

// strictReady reports whether a schema fulfils what strict mode demands: each object lists all its properties as required
// and allows no others.
func strictReady(raw []byte) bool {
	switch rawjson.Of(raw) {
	case rawjson.Array:
		for it := rawjson.Elements(raw, 0); it.Next(); {
			if !strictReady(it.Raw()) {
				return false
			}
		}
		return true
	case rawjson.Object:
	default:
		return true
	}
	properties := rawjson.Get(raw, "properties")
	isObject := string(rawjson.Get(raw, "type")) == `"object"` || rawjson.Of(properties) == rawjson.Object
	if isObject {
		if string(rawjson.Get(raw, "additionalProperties")) != "false" {
			return false
		}
		required := stringList(rawjson.Get(raw, "required"))
		for it := rawjson.Members(properties, 0); it.Next(); {
			if !slices.Contains(required, string(it.Key())) || !strictReady(it.Raw()) {
				return false
			}
		}
	}
	for it := rawjson.Members(raw, 0); it.Next(); {
		switch string(it.Key()) {
		case "items", "anyOf", "$defs", "definitions", "prefixItems":
			inner := it.Raw()
			if key := string(it.Key()); key == "$defs" || key == "definitions" {
				for defs := rawjson.Members(inner, 0); defs.Next(); {
					if !strictReady(defs.Raw()) {
						return false
					}
				}
				continue
			}
			if !strictReady(inner) {
				return false
			}
		case "oneOf", "allOf":
			return false
		}
	}
	return true
}
