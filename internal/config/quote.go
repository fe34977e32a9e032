package config

import (
	"strconv"
	"unicode/utf8"

	"github.com/BurntSushi/toml"
)

func isBare(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-'
}

// unquote decodes one quoted TOML key or string.
func unquote(literal string) (string, error) {
	var v struct{ V string }
	if _, err := toml.Decode("V = "+literal, &v); err != nil {
		return "", errScan
	}
	return v.V, nil
}

func bareOrQuoted(key string) string {
	for i := range len(key) {
		if !isBare(key[i]) {
			return quote(key)
		}
	}
	if key == "" {
		return `""`
	}
	return key
}

// quote writes s as a TOML basic string. Bytes that are not UTF-8 become U+FFFD.
func quote(s string) string {
	b := make([]byte, 0, len(s)+2)
	b = append(b, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r == '\n':
			b = append(b, `\n`...)
		case r == '\t':
			b = append(b, `\t`...)
		case r == '\r':
			b = append(b, `\r`...)
		case r < 0x20 || r == 0x7f:
			b = append(b, `\u00`...)
			b = append(b, strconv.FormatInt(int64(r)|0x100, 16)[1:]...)
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return string(append(b, '"'))
}
