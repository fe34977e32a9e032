// Package rawjson looks into JSON text and edits it in place, without decoding it and without allocating.
//
// Decoding and encoding again would lose what a proxy has to keep: the order of keys (prompt caches depend on it), the
// digits of numbers, unknown fields, white space. So everything here works on offsets into the text.
//
// Check is strict (RFC 8259). The iterators are not: on text that was not checked they stop early or give odd spans,
// but every span lies inside the text and no input makes them panic or loop.
package rawjson

import "bytes"

// space returns the position of the first byte at or after i that is no white space.
func space(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}

// skip returns the end of the value that begins at i, or -1 when the text ends inside it or there is none.
func skip(b []byte, i int) int {
	if i >= len(b) {
		return -1
	}
	switch b[i] {
	case '"':
		return skipString(b, i)
	case '{', '[':
		return skipNested(b, i)
	}
	start := i
	for i < len(b) {
		switch b[i] {
		case ',', ':', '}', ']', '"', '{', '[', ' ', '\n', '\t', '\r':
			if i == start {
				return -1
			}
			return i
		}
		i++
	}
	return i
}

// skipString returns the position behind the string whose opening quote is at i, or -1.
func skipString(b []byte, i int) int {
	for i++; ; i++ {
		n := bytes.IndexByte(b[i:], '"')
		if n < 0 {
			return -1
		}
		i += n
		escapes := 0
		for b[i-1-escapes] == '\\' {
			escapes++
		}
		if escapes%2 == 0 {
			return i + 1
		}
	}
}

func skipNested(b []byte, i int) int {
	depth := 0
	for i < len(b) {
		switch b[i] {
		case '"':
			if i = skipString(b, i); i < 0 {
				return -1
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
		i++
	}
	return -1
}

// Kind is the type of a JSON value.
type Kind uint8

// The kinds. None is what Of says of nothing, such as the value of an absent member.
const (
	None Kind = iota
	Null
	Bool
	Number
	String
	Array
	Object
)

// Of returns the kind of the value that begins raw.
func Of(raw []byte) Kind {
	if len(raw) == 0 {
		return None
	}
	switch raw[0] {
	case 'n':
		return Null
	case 't', 'f':
		return Bool
	case '"':
		return String
	case '[':
		return Array
	case '{':
		return Object
	}
	return Number
}

// Empty reports whether raw says nothing: it is absent, null, "", [] or {}.
func Empty(raw []byte) bool {
	switch Of(raw) {
	case None, Null:
		return true
	case String, Array, Object:
		return space(raw, 1) == len(raw)-1
	}
	return false
}

// String returns the kind as it is called in messages for people.
func (k Kind) String() string {
	return [...]string{"nothing", "null", "a boolean", "a number", "a string", "an array", "an object"}[k]
}
