package gemini

import (
	"bytes"

	"detour/internal/dialect/rawjson"
)

// appendSchema appends a Schema of this API as JSON Schema: its type names are in capitals, null is a flag, and counts
// may be strings. Members that both have stay as they are, and those that only the API has go. Clients mix the two, so
// what is JSON Schema already stays that too.
func appendSchema(dst, raw []byte) []byte {
	if rawjson.Of(raw) != rawjson.Object {
		return append(dst, raw...)
	}
	nullable := false
	for it := rawjson.Members(raw, 0); it.Next(); {
		if string(it.Key()) == "nullable" {
			nullable = string(it.Raw()) == "true"
		}
	}
	dst = append(dst, '{')
	from := len(dst)
	member := func(name []byte) {
		if len(dst) > from {
			dst = append(dst, ',')
		}
		dst = append(rawjson.AppendString(dst, name), ':')
	}
	for it := rawjson.Members(raw, 0); it.Next(); {
		v := it.Raw()
		switch name := camel(it.Key()); string(name) {
		case "nullable", "propertyOrdering":
		case "format":
			if string(v) != `"enum"` {
				member(name)
				dst = append(dst, v...)
			}
		case "type":
			if string(v) != `"TYPE_UNSPECIFIED"` {
				member(name)
				dst = appendType(dst, v, nullable)
			}
		case "enum":
			member(name)
			dst = appendList(dst, v, nullable, "null", appendAsIs)
		case "anyOf":
			member(name)
			dst = appendList(dst, v, nullable, `{"type":"null"}`, appendSchema)
		case "oneOf", "allOf", "prefixItems":
			member(name)
			dst = appendList(dst, v, false, "", appendSchema)
		case "properties", "defs", "$defs", "definitions":
			member(name)
			dst = appendSchemas(dst, v)
		case "items", "additionalProperties", "not":
			member(name)
			dst = appendSchema(dst, v)
		case "minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties":
			member(name)
			dst = append(dst, count(v)...)
		case "example":
			member([]byte("examples"))
			dst = append(append(append(dst, '['), v...), ']')
		default:
			member(it.Key())
			dst = append(dst, v...)
		}
	}
	return append(dst, '}')
}

func appendAsIs(dst, raw []byte) []byte { return append(dst, raw...) }

// appendType appends one type or a list of them in small letters.
func appendType(dst, raw []byte, nullable bool) []byte {
	null := []byte(`"null"`)
	switch kind := rawjson.Of(raw); {
	case kind == rawjson.Array:
		nullable = nullable && !bytes.Contains(bytes.ToLower(raw), null)
		return appendList(dst, raw, nullable, `"null"`, func(dst, raw []byte) []byte {
			return append(dst, bytes.ToLower(raw)...)
		})
	case kind != rawjson.String:
		return append(dst, raw...)
	}
	raw = bytes.ToLower(raw)
	if !nullable || bytes.Equal(raw, null) {
		return append(dst, raw...)
	}
	return append(append(append(append(append(dst, '['), raw...), ','), null...), ']')
}

// appendList appends the elements of an array, each by f, and one more if asked for.
func appendList(dst, raw []byte, more bool, last string, f func(dst, raw []byte) []byte) []byte {
	if rawjson.Of(raw) != rawjson.Array {
		return append(dst, raw...)
	}
	dst = append(dst, '[')
	from := len(dst)
	for it := rawjson.Elements(raw, 0); it.Next(); {
		if len(dst) > from {
			dst = append(dst, ',')
		}
		dst = f(dst, it.Raw())
	}
	if more {
		if len(dst) > from {
			dst = append(dst, ',')
		}
		dst = append(dst, last...)
	}
	return append(dst, ']')
}

// appendSchemas appends an object whose members are schemas. Their names are the client's own.
func appendSchemas(dst, raw []byte) []byte {
	if rawjson.Of(raw) != rawjson.Object {
		return append(dst, raw...)
	}
	dst = append(dst, '{')
	from := len(dst)
	for it := rawjson.Members(raw, 0); it.Next(); {
		if len(dst) > from {
			dst = append(dst, ',')
		}
		dst = append(rawjson.AppendString(dst, it.Key()), ':')
		dst = appendSchema(dst, it.Raw())
	}
	return append(dst, '}')
}

// count takes the quotes off a number.
func count(raw []byte) []byte {
	if digits := rawjson.Text(raw); len(digits) > 0 && rawjson.Valid(digits) && rawjson.Of(digits) == rawjson.Number {
		return digits
	}
	return raw
}
