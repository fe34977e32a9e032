package dialect

import (
	"bytes"

	"detour/internal/dialect/rawjson"
	"detour/internal/sse"
)

// Done is the data of the event that ends a stream of Chat Completions.
const Done = "[DONE]"

// Terminated reports whether the blank line at the end of f came. Where it did not, the stream ended inside f and its
// data may be cut off.
func Terminated(f sse.Frame) bool {
	raw := bytes.TrimSuffix(f.Raw, []byte("\n"))
	if len(raw) < len(f.Raw) {
		raw = bytes.TrimSuffix(raw, []byte("\r"))
	} else if raw = bytes.TrimSuffix(raw, []byte("\r")); len(raw) == len(f.Raw) {
		return false
	}
	return len(raw) == 0 || raw[len(raw)-1] == '\n' || raw[len(raw)-1] == '\r'
}

// AppendRaw appends f as it came, with the blank line if that is missing: some clients drop an event without it.
func AppendRaw(dst []byte, f sse.Frame) []byte {
	dst = append(dst, f.Raw...)
	if bytes.HasSuffix(f.Raw, []byte("\n\r")) {
		return append(dst, '\n') // cut inside the last CRLF
	}
	if Terminated(f) {
		return dst
	}
	if n := len(f.Raw); n > 0 && f.Raw[n-1] != '\n' {
		dst = append(dst, '\n')
	}
	return append(dst, '\n')
}

// AppendPatched appends f with the edits that p makes to f.Data. Fields and comments beside the data stay.
func AppendPatched(dst []byte, f sse.Frame, p *rawjson.Patch) []byte {
	if p.Empty() {
		return AppendRaw(dst, f)
	}
	before, after, ok := aroundData(f)
	if ok {
		dst = append(dst, before...)
		dst = p.Apply(dst, f.Data)
		dst = append(dst, after...)
		if !Terminated(f) || bytes.HasSuffix(after, []byte("\n\r")) {
			dst = append(bytes.TrimRight(dst, "\r\n"), "\n\n"...)
		}
		return dst
	}
	// The data came in several lines. Between JSON tokens a line break is as good as a space.
	if f.Event != nil {
		dst = append(append(append(dst, "event: "...), f.Event...), '\n')
	}
	if f.ID != nil {
		dst = append(append(append(dst, "id: "...), f.ID...), '\n')
	}
	dst = append(dst, "data: "...)
	from := len(dst)
	dst = p.Apply(dst, f.Data)
	for i, c := range dst[from:] {
		if c == '\n' {
			dst[from+i] = ' '
		}
	}
	return append(dst, "\n\n"...)
}

// aroundData returns what is before and behind the data in f.Raw. ok is false when the data came in several lines.
func aroundData(f sse.Frame) (before, after []byte, ok bool) {
	for from := 0; ; {
		i := bytes.Index(f.Raw[from:], f.Data)
		if i < 0 {
			return nil, nil, false
		}
		i += from
		before = f.Raw[:i]
		// Not a comment that holds the same text.
		if bytes.HasSuffix(before, []byte("data: ")) || bytes.HasSuffix(before, []byte("data:")) {
			return before, f.Raw[i+len(f.Data):], true
		}
		from = i + 1
	}
}
