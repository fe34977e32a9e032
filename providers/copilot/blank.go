package copilot

import "bytes"

// hasBlank reports whether any member of body with the name, which is given with its quotes, is a string of nothing but
// white space. It may say yes where such a member is not the one that is meant.
func hasBlank(body []byte, name string) bool {
	key := []byte(name)
	for {
		i := bytes.Index(body, key)
		if i < 0 {
			return false
		}
		body = body[i+len(key):]
		rest := bytes.TrimLeft(body, " \t\r\n")
		if len(rest) == 0 || rest[0] != ':' {
			continue
		}
		rest = bytes.TrimLeft(rest[1:], " \t\r\n")
		if len(rest) > 0 && rest[0] == '"' && blankString(rest[1:]) {
			return true
		}
	}
}

// blankString reports whether the JSON string whose inside begins s is white space.
func blankString(s []byte) bool {
	for len(s) > 0 {
		switch {
		case s[0] == '"':
			return true
		case s[0] == ' ':
			s = s[1:]
		case s[0] == '\\' && len(s) > 1 && (s[1] == 'n' || s[1] == 't' || s[1] == 'r'):
			s = s[2:]
		default:
			return false
		}
	}
	return false
}
