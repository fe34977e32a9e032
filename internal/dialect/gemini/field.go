package gemini

import (
	"bytes"
	"math"
	"strconv"

	"detour/internal/dialect"
	"detour/internal/dialect/rawjson"
)

// camel returns the name of a member the way the API documents it. Like every API on protocol buffers this one takes
// generation_config as well as generationConfig. A leading underscore is part of the name.
func camel(key []byte) []byte {
	if bytes.IndexByte(key, '_') <= 0 {
		return key
	}
	out := make([]byte, 0, len(key))
	for i, c := range key {
		switch {
		case c == '_' && i > 0:
		case i > 1 && key[i-1] == '_' && 'a' <= c && c <= 'z':
			out = append(out, c-'a'+'A')
		default:
			out = append(out, c)
		}
	}
	return out
}

// path leads to a value, for error messages. It is written out only when there is one. A nil path is the body itself.
type path struct {
	parent *path
	name   string
	index  int // where there is no name
}

func (p *path) member(name string) *path { return &path{parent: p, name: name} }

func (p *path) String() string {
	switch {
	case p == nil:
		return ""
	case p.name == "":
		return dialect.Index(p.parent.String(), p.index)
	case p.parent == nil:
		return p.name
	}
	return p.parent.String() + "." + p.name
}

// wrong is the failure of a value that is of another kind than it must be.
func (p *path) wrong(want string, raw []byte) error {
	return dialect.InvalidRequest(p.String(), "must be %s, not %s", want, rawjson.Of(raw))
}

// object checks that raw is an object.
func object(raw []byte, at *path) error {
	if rawjson.Of(raw) != rawjson.Object {
		return at.wrong("an object", raw)
	}
	return nil
}

// each calls f for the elements of raw. One object is as good as a list of one: the service takes both.
func each(raw []byte, at *path, f func(i int, raw []byte, at *path) error) error {
	switch rawjson.Of(raw) {
	case rawjson.None, rawjson.Null:
		return nil
	case rawjson.Object:
		return f(0, raw, at)
	case rawjson.Array:
	default:
		return at.wrong("an array", raw)
	}
	it := rawjson.Elements(raw, 0)
	for i := 0; it.Next(); i++ {
		if err := f(i, it.Raw(), &path{parent: at, index: i}); err != nil {
			return err
		}
	}
	return nil
}

// text reads a string. null is "".
func text(raw []byte, at *path) (string, error) {
	switch rawjson.Of(raw) {
	case rawjson.None, rawjson.Null:
		return "", nil
	case rawjson.String:
		return string(rawjson.Text(raw)), nil
	}
	return "", at.wrong("a string", raw)
}

func boolean(raw []byte, at *path) (bool, error) {
	switch rawjson.Of(raw) {
	case rawjson.None, rawjson.Null:
		return false, nil
	case rawjson.Bool:
		return raw[0] == 't', nil
	}
	return false, at.wrong("a boolean", raw)
}

// number reads a number, or a string that holds one: the JSON form of protocol buffers has both.
func number(raw []byte, at *path) (float64, error) {
	digits := raw
	if rawjson.Of(raw) == rawjson.String {
		digits = rawjson.Text(raw)
	}
	n, err := strconv.ParseFloat(string(digits), 64)
	if err != nil || math.IsNaN(n) || math.IsInf(n, 0) {
		return 0, at.wrong("a number", raw)
	}
	return n, nil
}

// integer reads a whole number that fits an int32, as all of this API do.
func integer(raw []byte, at *path) (int, error) {
	n, err := number(raw, at)
	if err != nil || n != math.Trunc(n) || n < math.MinInt32 || n > math.MaxInt32 {
		return 0, at.wrong("an integer", raw)
	}
	return int(n), nil
}
