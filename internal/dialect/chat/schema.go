package chat

import (
	"slices"

	"detour/internal/dialect/rawjson"
)

// appendSchema appends the JSON Schema of a tool's arguments the way upstreams take it: an object at the root, no
// $schema and $id there, and no union, of which the branches are merged. Everything below the root stays byte for byte.
func appendSchema(dst, raw []byte) []byte {
	if rawjson.Of(raw) != rawjson.Object {
		return append(dst, `{"type":"object","properties":{}}`...)
	}
	typed, union, extra, properties := false, false, false, false
	for it := rawjson.Members(raw, 0); it.Next(); {
		switch string(it.Key()) {
		case "type":
			typed = string(it.Raw()) == `"object"`
		case "anyOf", "oneOf", "allOf":
			union = true
		case "properties":
			properties = true
		case "$schema", "$id":
			extra = true
		}
	}
	switch {
	case union:
		return appendMerged(dst, raw)
	case typed && properties && !extra:
		return append(dst, raw...)
	}
	dst = appendMembers(append(dst, `{"type":"object"`...), raw, "type", "$schema", "$id")
	if !properties {
		dst = append(dst, `,"properties":{}`...)
	}
	return append(dst, '}')
}

// appendMembers appends the members of an object but for some, each behind a comma.
func appendMembers(dst, raw []byte, without ...string) []byte {
	for it := rawjson.Members(raw, 0); it.Next(); {
		if slices.Contains(without, string(it.Key())) {
			continue
		}
		dst = append(dst, ',')
		dst = rawjson.AppendString(dst, it.Key())
		dst = append(dst, ':')
		dst = append(dst, it.Raw()...)
	}
	return dst
}

// appendMerged makes one object of a root union: all properties that some branch has; required is what every branch of
// anyOf and oneOf requires, and what any of allOf does.
func appendMerged(dst, raw []byte) []byte {
	m := merged{}
	m.add(raw)
	for it := rawjson.Members(raw, 0); it.Next(); {
		switch key := string(it.Key()); key {
		case "anyOf", "oneOf":
			var common []string
			branches := rawjson.Elements(it.Raw(), 0)
			for i := 0; branches.Next(); i++ {
				required := m.properties(branches.Raw())
				if i == 0 {
					common = required
				} else {
					common = slices.DeleteFunc(common, func(s string) bool { return !slices.Contains(required, s) })
				}
			}
			m.require(common)
		case "allOf":
			for branches := rawjson.Elements(it.Raw(), 0); branches.Next(); {
				m.add(branches.Raw())
			}
		}
	}
	dst = append(dst, `{"type":"object"`...)
	dst = appendMembers(dst, raw, "type", "$schema", "$id", "anyOf", "oneOf", "allOf", "properties", "required")
	dst = append(dst, `,"properties":{`...)
	dst = append(dst, m.members...)
	dst = append(dst, '}')
	for i, name := range m.required {
		if i == 0 {
			dst = append(dst, `,"required":[`...)
		} else {
			dst = append(dst, ',')
		}
		dst = rawjson.AppendString(dst, name)
		if i == len(m.required)-1 {
			dst = append(dst, ']')
		}
	}
	return append(dst, '}')
}

// merged gathers the properties of the branches of a union. Of two with the same name the first counts.
type merged struct {
	names    []string
	members  []byte // of the object properties
	required []string
}

// add takes a schema that holds in any case.
func (m *merged) add(raw []byte) { m.require(m.properties(raw)) }

func (m *merged) require(names []string) {
	for _, name := range names {
		if !slices.Contains(m.required, name) {
			m.required = append(m.required, name)
		}
	}
}

// properties takes the properties of a schema and returns which of them it requires.
func (m *merged) properties(raw []byte) (required []string) {
	for it := rawjson.Members(rawjson.Get(raw, "properties"), 0); it.Next(); {
		name := string(it.Key())
		if slices.Contains(m.names, name) {
			continue
		}
		m.names = append(m.names, name)
		if len(m.members) > 0 {
			m.members = append(m.members, ',')
		}
		m.members = rawjson.AppendString(m.members, name)
		m.members = append(m.members, ':')
		m.members = append(m.members, it.Raw()...)
	}
	for it := rawjson.Elements(rawjson.Get(raw, "required"), 0); it.Next(); {
		required = append(required, textOf(it.Raw()))
	}
	return required
}

// strictSchema reports whether a schema is one that strict mode takes: every object in it says which members it has,
// requires them all and allows no others.
func strictSchema(raw []byte) bool {
	switch rawjson.Of(raw) {
	case rawjson.Array:
		for it := rawjson.Elements(raw, 0); it.Next(); {
			if !strictSchema(it.Raw()) {
				return false
			}
		}
		return true
	case rawjson.Object:
	default:
		return true
	}
	properties, required := rawjson.Get(raw, "properties"), []string(nil)
	object := textOf(rawjson.Get(raw, "type")) == "object" || rawjson.Of(properties) == rawjson.Object
	for it := rawjson.Elements(rawjson.Get(raw, "required"), 0); it.Next(); {
		required = append(required, textOf(it.Raw()))
	}
	for it := rawjson.Members(properties, 0); it.Next(); {
		if !slices.Contains(required, string(it.Key())) || !strictSchema(it.Raw()) {
			return false
		}
	}
	if object && string(rawjson.Get(raw, "additionalProperties")) != "false" {
		return false
	}
	for _, key := range []string{"items", "anyOf", "$defs", "definitions"} {
		v := rawjson.Get(raw, key)
		if key == "$defs" || key == "definitions" {
			for it := rawjson.Members(v, 0); it.Next(); {
				if !strictSchema(it.Raw()) {
					return false
				}
			}
		} else if !strictSchema(v) {
			return false
		}
	}
	return true
}
