package chat

import (
	"strconv"

	"detour/internal/dialect"
	"detour/internal/dialect/rawjson"
)

// The readers of this file take a member of a request. path is its JSON path, for the error. null is as good as absent.

func readString(path string, raw []byte, into *string) error {
	switch kind := rawjson.Of(raw); kind {
	case rawjson.None, rawjson.Null:
	case rawjson.String:
		*into = textOf(raw)
	default:
		return dialect.InvalidRequest(path, "must be a string, not %s", kind)
	}
	return nil
}

func readBool(path string, raw []byte, into *bool) error {
	switch kind := rawjson.Of(raw); kind {
	case rawjson.None, rawjson.Null:
	case rawjson.Bool:
		*into = raw[0] == 't'
	default:
		return dialect.InvalidRequest(path, "must be a boolean, not %s", kind)
	}
	return nil
}

// readOptional is readBool where it matters whether the client said anything.
func readOptional(path string, raw []byte, into **bool) error {
	if rawjson.Of(raw) == rawjson.Null {
		return nil
	}
	*into = new(bool)
	return readBool(path, raw, *into)
}

func readFloat(path string, raw []byte, into **float64) error {
	switch kind := rawjson.Of(raw); kind {
	case rawjson.None, rawjson.Null:
	case rawjson.Number:
		f, err := strconv.ParseFloat(string(raw), 64)
		if err != nil {
			return dialect.InvalidRequest(path, "is out of range")
		}
		*into = &f
	default:
		return dialect.InvalidRequest(path, "must be a number, not %s", kind)
	}
	return nil
}

// readCount takes a number of things: an integer that is not negative and fits into 31 bits.
func readCount(path string, raw []byte, into *int) error {
	kind := rawjson.Of(raw)
	if kind == rawjson.Null || kind == rawjson.None {
		return nil
	}
	n, ok := rawjson.Int(raw)
	switch {
	case !ok:
		return dialect.InvalidRequest(path, "must be an integer, not %s", kind)
	case n < 0:
		return dialect.InvalidRequest(path, "must not be negative")
	}
	*into = int(min(n, 1<<31-1))
	return nil
}

// readStrings takes a string or an array of strings. Empty ones say nothing and are left out.
func readStrings(path string, raw []byte, into *[]string) error {
	*into = nil
	switch kind := rawjson.Of(raw); kind {
	case rawjson.None, rawjson.Null:
	case rawjson.String:
		if s := textOf(raw); s != "" {
			*into = []string{s}
		}
	case rawjson.Array:
		it := rawjson.Elements(raw, 0)
		for i := 0; it.Next(); i++ {
			var s string
			if err := readString(dialect.Index(path, i), it.Raw(), &s); err != nil {
				return err
			}
			if s != "" {
				*into = append(*into, s)
			}
		}
	default:
		return dialect.InvalidRequest(path, "must be a string or an array of strings, not %s", kind)
	}
	return nil
}

// needObject reports raw that is not an object.
func needObject(path string, raw []byte) error {
	if kind := rawjson.Of(raw); kind != rawjson.Object {
		return dialect.InvalidRequest(path, "must be an object, not %s", kind)
	}
	return nil
}
