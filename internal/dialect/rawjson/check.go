package rawjson

import (
	"encoding/binary"
	"fmt"
)

// MaxDepth is how deep objects and arrays may be nested in text that Check accepts. It is far more than any request
// needs, and little enough for code that recurses.
const MaxDepth = 512

// SyntaxError says where text stops being JSON.
type SyntaxError struct {
	Offset int // bytes before the fault
	What   string
}

// Error implements error.
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("%s at byte %d", e.What, e.Offset)
}

// Check reports the first fault of b as one JSON value, or nil. Strings may hold bytes that are not UTF-8: they are
// passed on as they are. The error is a *SyntaxError.
func Check(b []byte) error {
	if at, what := check(b); what != "" {
		return &SyntaxError{at, what}
	}
	return nil
}

// Valid reports whether b is one JSON value. Unlike Check it allocates nothing.
func Valid(b []byte) bool {
	_, what := check(b)
	return what == ""
}

// check returns the first fault and its position. It is iterative, because the depth of the input is not to be trusted
// with the depth of the stack.
func check(b []byte) (at int, what string) {
	var objects [MaxDepth / 64]uint64 // one bit per level: object or array
	depth := 0
	inObject := func() bool { return objects[(depth-1)/64]>>((depth-1)%64)&1 == 1 }
	i := 0
value:
	for {
		if i = space(b, i); i >= len(b) {
			return i, "unexpected end"
		}
		switch c := b[i]; c {
		case '{', '[':
			if depth == MaxDepth {
				return i, "nested too deep"
			}
			bit := uint64(1) << (depth % 64)
			objects[depth/64] &^= bit
			if c == '{' {
				objects[depth/64] |= bit
			}
			depth++
			i = space(b, i+1)
			switch {
			case i < len(b) && b[i] == c+2: // } and ] follow their opening brackets by two
				// empty: closed below
			case c == '[':
				continue value
			default:
				if i, what = checkKey(b, i); what != "" {
					return i, what
				}
				continue value
			}
		default:
			if i, what = checkScalar(b, i); what != "" {
				return i, what
			}
		}
		for { // behind a value or at the bracket that closes an empty container
			i = space(b, i)
			if depth == 0 {
				if i < len(b) {
					return i, "unexpected data behind the value"
				}
				return i, ""
			}
			if i >= len(b) {
				return i, "unexpected end"
			}
			object := inObject()
			switch c := b[i]; {
			case c == '}' && object, c == ']' && !object:
				depth--
				i++
				continue
			case c != ',':
				return i, "unexpected character"
			case !object:
				i++
				continue value
			}
			if i, what = checkKey(b, space(b, i+1)); what != "" {
				return i, what
			}
			continue value
		}
	}
}

// checkKey checks a member's name and colon and returns where its value begins.
func checkKey(b []byte, i int) (at int, what string) {
	if i >= len(b) {
		return i, "unexpected end"
	}
	if b[i] != '"' {
		return i, "expected a quoted name"
	}
	if i, what = checkString(b, i); what != "" {
		return i, what
	}
	if i = space(b, i); i >= len(b) {
		return i, "unexpected end"
	}
	if b[i] != ':' {
		return i, "expected a colon"
	}
	return i + 1, ""
}

func checkScalar(b []byte, i int) (at int, what string) {
	switch b[i] {
	case '"':
		return checkString(b, i)
	case 't':
		return checkWord(b, i, "true")
	case 'f':
		return checkWord(b, i, "false")
	case 'n':
		return checkWord(b, i, "null")
	}
	return checkNumber(b, i)
}

func checkWord(b []byte, i int, word string) (at int, what string) {
	if len(b)-i < len(word) || string(b[i:i+len(word)]) != word {
		return i, "unexpected character"
	}
	return i + len(word), ""
}

func checkNumber(b []byte, i int) (at int, what string) {
	start := i
	digits := func() bool {
		from := i
		for i < len(b) && b[i] >= '0' && b[i] <= '9' {
			i++
		}
		return i > from
	}
	if b[i] == '-' {
		i++
	}
	zero := i < len(b) && b[i] == '0'
	from := i
	if !digits() {
		if i == start {
			return i, "unexpected character"
		}
		return i, "incomplete number"
	}
	if zero && i > from+1 {
		return from, "number with a leading zero"
	}
	if i < len(b) && b[i] == '.' {
		if i++; !digits() {
			return i, "incomplete number"
		}
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		if i++; i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		if !digits() {
			return i, "incomplete number"
		}
	}
	return i, ""
}

// checkString checks the string whose opening quote is at i and returns the position behind it.
func checkString(b []byte, i int) (at int, what string) {
	const (
		ones  = 0x0101010101010101
		highs = 0x8080808080808080
	)
	i++
	for {
		// Eight bytes at a time while none is a quote, a backslash or a control character.
		for i+8 <= len(b) {
			w := binary.LittleEndian.Uint64(b[i:])
			quote := w ^ ones*'"'
			slash := w ^ ones*'\\'
			if ((quote-ones)&^quote|(slash-ones)&^slash|(w-ones*0x20)&^w)&highs != 0 {
				break
			}
			i += 8
		}
		if i >= len(b) {
			return i, "unexpected end inside a string"
		}
		switch c := b[i]; {
		case c == '"':
			return i + 1, ""
		case c < 0x20:
			return i, "control character inside a string"
		case c != '\\':
			i++
			continue
		}
		if i+1 >= len(b) {
			return i + 1, "unexpected end inside a string"
		}
		switch b[i+1] {
		case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			i += 2
		case 'u':
			for k := i + 2; k < i+6; k++ {
				if k >= len(b) {
					return k, "unexpected end inside a string"
				}
				if c := b[k] | 0x20; (c < '0' || c > '9' || b[k] < '0') && (c < 'a' || c > 'f') {
					return k, "bad \\u escape"
				}
			}
			i += 6
		default:
			return i + 1, "unknown escape"
		}
	}
}
