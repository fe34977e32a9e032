package sim

import "bytes"

// peek finds "model" and "stream" among the members of a JSON object, without
// looking into the other members. It trusts that the object is well formed.
func peek(b []byte) (model string, stream bool) {
	i := bytes.IndexByte(b, '{') + 1
	for i > 0 && i < len(b) {
		open := bytes.IndexByte(b[i:], '"')
		if open < 0 {
			return model, stream
		}
		key := i + open
		end := skipString(b, key)
		colon := bytes.IndexByte(b[end:], ':')
		if colon < 0 {
			return model, stream
		}
		start := end + colon + 1
		for start < len(b) && b[start] <= ' ' {
			start++
		}
		i = skipValue(b, start)
		switch string(b[key:end]) {
		case `"model"`:
			if i-start >= 2 {
				model = string(b[start+1 : i-1])
			}
		case `"stream"`:
			stream = start < len(b) && b[start] == 't'
		}
	}
	return model, stream
}

// skipString returns the index after the string that starts at i.
func skipString(b []byte, i int) int {
	for i++; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(b)
}

// skipValue returns the index after the value that starts at i.
func skipValue(b []byte, i int) int {
	depth := 0
	for i < len(b) {
		switch b[i] {
		case '"':
			i = skipString(b, i)
			if depth == 0 {
				return i
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return i // end of the enclosing object
			}
			if depth--; depth == 0 {
				return i + 1
			}
		case ',':
			if depth == 0 {
				return i
			}
		}
		i++
	}
	return len(b)
}
