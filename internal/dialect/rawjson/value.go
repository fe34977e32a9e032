package rawjson

import (
	"bytes"
	"math"
	"slices"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// Text returns the string that raw quotes. It is a part of raw unless that holds escapes. Anything but a string gives
// nil.
func Text(raw []byte) []byte {
	if Of(raw) != String || len(raw) < 2 {
		return nil
	}
	s := raw[1 : len(raw)-1]
	if slices.Contains(s, '\\') {
		return Unescape(s)
	}
	return s
}

// AppendText appends the string that raw quotes; anything but a string appends nothing. Unlike Text it needs no memory of
// its own for escapes.
func AppendText(dst, raw []byte) []byte {
	if Of(raw) != String || len(raw) < 2 {
		return dst
	}
	return appendUnescaped(dst, raw[1:len(raw)-1])
}

// Unescape returns what the inside of a string literal stands for. An escape that is cut off at the end is kept as it
// is.
func Unescape(s []byte) []byte { return appendUnescaped(make([]byte, 0, len(s)), s) }

// appendUnescaped appends what the inside of a string literal stands for. Half surrogates become U+FFFD.
func appendUnescaped(dst, s []byte) []byte {
	for i := 0; i < len(s); i++ {
		if n := bytes.IndexByte(s[i:], '\\'); n < 0 {
			return append(dst, s[i:]...)
		} else if n > 0 {
			dst = append(dst, s[i:i+n]...)
			i += n
		}
		if i+1 == len(s) {
			return append(dst, s[i])
		}
		i++
		switch s[i] {
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			r := hex4(s[i+1:])
			i += min(4, len(s)-i-1)
			if utf16.IsSurrogate(r) {
				low := rune(-1)
				if i+2 < len(s) && s[i+1] == '\\' && s[i+2] == 'u' {
					low = hex4(s[i+3:])
				}
				if r = utf16.DecodeRune(r, low); r != utf8.RuneError {
					i += 6
				}
			}
			dst = utf8.AppendRune(dst, r)
		default:
			dst = append(dst, s[i])
		}
	}
	return dst
}

// hex4 returns the code unit of four hexadecimal digits, or U+FFFD.
func hex4(s []byte) (r rune) {
	if len(s) < 4 {
		return utf8.RuneError
	}
	for _, c := range s[:4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return utf8.RuneError
		}
		r = r<<4 | rune(c)
	}
	return r
}

// AppendString appends s as a JSON string. Bytes that are not UTF-8 become U+FFFD; nothing is escaped that need not be,
// except the line separators that JavaScript does not take in strings.
func AppendString[S string | []byte](dst []byte, s S) []byte {
	const digits = "0123456789abcdef"
	dst = append(dst, '"')
	from := 0 // what is before it has been appended
	for i := 0; i < len(s); {
		for i+8 <= len(s) && plain8(s[i:i+8]) {
			i += 8
		}
		if i == len(s) {
			break
		}
		c := s[i]
		if c >= 0x20 && c < 0x7f && c != '"' && c != '\\' {
			i++
			continue
		}
		n := 1
		if c >= utf8.RuneSelf {
			var r rune
			r, n = utf8.DecodeRuneInString(string(s[i:min(i+utf8.UTFMax, len(s))]))
			if r != '\u2028' && r != '\u2029' && (r != utf8.RuneError || n > 1) {
				i += n
				continue
			}
			dst = append(dst, s[from:i]...)
			if r == utf8.RuneError {
				dst = utf8.AppendRune(dst, r)
			} else {
				dst = append(append(dst, `\u202`...), digits[r&0xf])
			}
		} else {
			dst = append(dst, s[from:i]...)
			switch c {
			case '"', '\\':
				dst = append(dst, '\\', c)
			case '\n':
				dst = append(dst, '\\', 'n')
			case '\r':
				dst = append(dst, '\\', 'r')
			case '\t':
				dst = append(dst, '\\', 't')
			default:
				dst = append(dst, '\\', 'u', '0', '0', digits[c>>4], digits[c&0xf])
			}
		}
		i += n
		from = i
	}
	dst = append(dst, s[from:]...)
	return append(dst, '"')
}

// plain8 tells whether none of eight bytes is a quote, a backslash, a control character or beyond ASCII.
func plain8[S string | []byte](s S) bool {
	const (
		ones  = 0x0101010101010101
		highs = 0x8080808080808080
	)
	_ = s[7]
	w := uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 | uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
	quote, slash, del := w^ones*'"', w^ones*'\\', w^ones*0x7f
	return ((quote-ones)&^quote|(slash-ones)&^slash|(del-ones)&^del|(w-ones*0x20)&^w|w)&highs == 0
}

// Int returns the integer that raw is. ok is false for anything that is not a number; fractions are cut off and what
// does not fit is brought to the nearest that does.
func Int(raw []byte) (n int64, ok bool) {
	if Of(raw) != Number {
		return 0, false
	}
	if len(raw) <= 18 {
		if n, ok = digitsOnly(raw); ok {
			return n, true
		}
	}
	f, err := strconv.ParseFloat(string(raw), 64)
	switch {
	case err != nil && !math.IsInf(f, 0), math.IsNaN(f):
		return 0, false
	case f >= math.MaxInt64:
		return math.MaxInt64, true
	case f <= math.MinInt64:
		return math.MinInt64, true
	}
	return int64(f), true
}

func digitsOnly(raw []byte) (n int64, ok bool) {
	for i, c := range raw {
		if i == 0 && c == '-' && len(raw) > 1 {
			continue
		}
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	if raw[0] == '-' {
		n = -n
	}
	return n, true
}
