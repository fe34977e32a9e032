package config

import (
	"bytes"
	"strings"
)

// appendElement writes literal behind the last element of the list at p, and leaves its comments and lines as they are.
// It reports whether there is a list.
func (e *editor) appendElement(p path, literal string) (bool, error) {
	it, ok := e.doc.find(p)
	if !ok || it.valEnd-it.val < 2 || e.doc.src[it.val] != '[' {
		return false, nil
	}
	from, to := it.val+1, it.valEnd-1 // between the brackets
	last, comma := lastElement(e.doc.src[from:to])
	if last == 0 {
		return true, e.splice(from, from, literal)
	}
	last, comma = from+last, from+comma
	line := bytes.IndexByte(e.doc.src[max(last, comma):to], '\n')
	if line < 0 { // the bracket follows on the same line
		return true, e.splice(last, last, ", "+literal)
	}
	end := max(last, comma) + line
	if e.doc.src[end-1] == '\r' {
		end--
	}
	text := string(e.doc.src[last:end]) + e.newline() + e.indentOf(last) + literal
	if comma > from {
		return true, e.splice(last, end, text+",")
	}
	return true, e.splice(last, end, ","+text)
}

// indentOf returns the white space that the line of at begins with.
func (e *editor) indentOf(at int) string {
	line := e.doc.src[bytes.LastIndexByte(e.doc.src[:at], '\n')+1 : at]
	return string(line[:len(line)-len(bytes.TrimLeft(line, " \t"))])
}

// lastElement returns the offset behind the last element in the inside of a list and that behind the comma which
// follows it, each 0 when there is none.
func lastElement(src []byte) (end, comma int) {
	for i := 0; i < len(src); {
		switch c := src[i]; {
		case c == '#':
			for i < len(src) && src[i] != '\n' {
				i++
			}
		case strings.IndexByte(" \t\r\n", c) >= 0:
			i++
		case c == ',':
			i++
			comma = i
		default:
			i += tokenLength(src[i:])
			end, comma = i, 0
		}
	}
	return end, comma
}

// tokenLength is the length of the string that src begins with, or 1.
func tokenLength(src []byte) int {
	for _, quotes := range []string{`"""`, `'''`, `"`, `'`} {
		if !bytes.HasPrefix(src, []byte(quotes)) {
			continue
		}
		for i := len(quotes); i < len(src); i++ {
			switch {
			case src[i] == '\\' && quotes[0] == '"':
				i++
			case bytes.HasPrefix(src[i:], []byte(quotes)):
				for i++; len(quotes) == 3 && bytes.HasPrefix(src[i:], []byte(quotes)); { // """" ends with its last three
					i++
				}
				return i + len(quotes) - 1
			}
		}
		return len(src)
	}
	return 1
}
