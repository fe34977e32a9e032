package messages

import (
	"bytes"
	"slices"
	"strings"

	"detour/internal/dialect/rawjson"
)

// maxMerged is how many schemas are merged into one.
const maxMerged = 256

// emptySchema is the schema of a tool without arguments.
const emptySchema = `{"type":"object","properties":{}}`

// toolSchema returns a schema that the API takes for the arguments of a tool: an object at the root, without a choice
// there. What is right already is returned as it is, byte for byte, because prompt caches depend on it.
func toolSchema(raw []byte) []byte {
	if rawjson.Of(raw) != rawjson.Object || rawjson.Empty(raw) {
		return []byte(emptySchema)
	}
	typ := rawjson.Get(raw, "type")
	if string(typ) == `"object"` && !hasAny(raw, "anyOf", "oneOf", "allOf", "$schema", "$id") {
		return raw
	}
	steps := maxMerged
	u := schemaUnion{root: raw, steps: &steps}
	u.take(raw, 0)
	out := []byte(`{"type":"object"`)
	for it := rawjson.Members(raw, 0); it.Next(); {
		switch string(it.Key()) {
		case "type", "anyOf", "oneOf", "allOf", "$schema", "$id", "properties", "required":
			continue
		}
		out = append(rawjson.AppendString(append(out, ','), it.Key()), ':')
		out = append(out, it.Raw()...)
	}
	out = append(out, `,"properties":{`...)
	for i, p := range u.properties {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(append(rawjson.AppendString(out, p.name), ':'), p.schema...)
	}
	out = append(out, '}')
	for i, name := range u.required {
		if i == 0 {
			out = append(out, `,"required":[`...)
		} else {
			out = append(out, ',')
		}
		out = rawjson.AppendString(out, name)
	}
	if len(u.required) > 0 {
		out = append(out, ']')
	}
	return append(out, '}')
}

func hasAny(raw []byte, names ...string) bool {
	for it := rawjson.Members(raw, 0); it.Next(); {
		if slices.Contains(names, string(it.Key())) {
			return true
		}
	}
	return false
}

// schemaUnion merges the branches at the root of a schema into one object: all properties of all branches, and as
// required what every branch requires.
type schemaUnion struct {
	root       []byte
	steps      *int // how many schemas may still be looked at: references can multiply
	properties []property
	required   []string
}

type property struct {
	name   string
	schema []byte
}

// take adds the schema raw, all of which holds.
func (u *schemaUnion) take(raw []byte, depth int) {
	const maxDepth = 8 // of branches in branches, and of references
	if *u.steps--; depth == maxDepth || *u.steps < 0 {
		return
	}
	if ref := rawjson.Text(rawjson.Get(raw, "$ref")); depth > 0 && len(ref) > 0 {
		u.take(u.resolve(string(ref)), depth+1)
	}
	for it := rawjson.Members(rawjson.Get(raw, "properties"), 0); it.Next(); {
		name := string(it.Key())
		if !slices.ContainsFunc(u.properties, func(p property) bool { return p.name == name }) {
			u.properties = append(u.properties, property{name, it.Raw()})
		}
	}
	for it := rawjson.Elements(rawjson.Get(raw, "required"), 0); it.Next(); {
		u.require(string(rawjson.Text(it.Raw())))
	}
	for it := rawjson.Elements(rawjson.Get(raw, "allOf"), 0); it.Next(); {
		u.take(it.Raw(), depth+1)
	}
	for _, name := range []string{"anyOf", "oneOf"} {
		u.either(rawjson.Get(raw, name), depth+1)
	}
}

// either adds branches of which one holds.
func (u *schemaUnion) either(branches []byte, depth int) {
	var common []string
	n := 0
	for it := rawjson.Elements(branches, 0); it.Next(); n++ {
		branch := schemaUnion{root: u.root, steps: u.steps, properties: u.properties}
		branch.take(it.Raw(), depth)
		u.properties = branch.properties
		if n == 0 {
			common = branch.required
		} else {
			common = slices.DeleteFunc(common, func(s string) bool { return !slices.Contains(branch.required, s) })
		}
	}
	for _, name := range common {
		u.require(name)
	}
}

func (u *schemaUnion) require(name string) {
	if name != "" && !slices.Contains(u.required, name) {
		u.required = append(u.required, name)
	}
}

// resolve follows a reference into the root's own definitions.
func (u *schemaUnion) resolve(ref string) []byte {
	path, ok := strings.CutPrefix(ref, "#/")
	if !ok {
		return nil
	}
	return rawjson.Get(u.root, strings.Split(path, "/")...)
}

// strictSchema returns a schema that the API takes where it guarantees that the answer follows it: every object closed,
// and limits of size only in words, because it refuses them as keywords.
func strictSchema(raw []byte) []byte {
	return appendStrict(nil, toolSchema(raw))
}

// appendStrict appends the schema raw. Members of properties and definitions are schemas themselves; what stands in
// enum, const or default is not.
func appendStrict(dst, raw []byte) []byte {
	if rawjson.Of(raw) != rawjson.Object {
		return append(dst, raw...)
	}
	var limits, description []byte
	object := false
	dst = append(dst, '{')
	first := true
	begin := func(key []byte) {
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(rawjson.AppendString(dst, key), ':')
	}
	for it := rawjson.Members(raw, 0); it.Next(); {
		key, v := it.Key(), it.Raw()
		switch string(key) {
		case "minItems", "maxItems", "minLength", "maxLength", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum",
			"multipleOf", "minProperties", "maxProperties", "uniqueItems":
			if len(limits) > 0 {
				limits = append(limits, ", "...)
			}
			limits = append(append(append(limits, key...), ' '), v...)
			continue
		case "description":
			description = v
			continue
		case "additionalProperties":
			continue // objects are closed below; for others it says nothing
		case "type":
			object = bytes.Contains(v, []byte(`"object"`))
		}
		begin(key)
		dst = appendStrictMember(dst, string(key), v)
	}
	if description != nil || limits != nil {
		text := append([]byte(nil), rawjson.Text(description)...)
		if limits != nil {
			if len(text) > 0 {
				text = append(text, ' ')
			}
			text = append(append(append(text, '('), limits...), ')')
		}
		begin([]byte("description"))
		dst = rawjson.AppendString(dst, text)
	}
	if object {
		begin([]byte("additionalProperties"))
		dst = append(dst, "false"...)
	}
	return append(dst, '}')
}

// appendStrictMember appends the value of a keyword.
func appendStrictMember(dst []byte, key string, v []byte) []byte {
	switch key {
	case "properties", "$defs", "definitions", "patternProperties":
		dst = append(dst, '{')
		n := 0
		for it := rawjson.Members(v, 0); it.Next(); n++ {
			if n > 0 {
				dst = append(dst, ',')
			}
			dst = append(rawjson.AppendString(dst, it.Key()), ':')
			dst = appendStrict(dst, it.Raw())
		}
		return append(dst, '}')
	case "items", "not":
		return appendStrict(dst, v)
	case "anyOf", "oneOf", "allOf", "prefixItems":
		dst = append(dst, '[')
		n := 0
		for it := rawjson.Elements(v, 0); it.Next(); n++ {
			if n > 0 {
				dst = append(dst, ',')
			}
			dst = appendStrict(dst, it.Raw())
		}
		return append(dst, ']')
	}
	return append(dst, v...)
}
