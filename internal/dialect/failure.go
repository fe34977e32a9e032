package dialect

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"

	"detour/internal/dialect/rawjson"
	"detour/internal/sse"
)

// maxMessage bounds the text that is taken from an upstream's error, in bytes.
const maxMessage = 8 << 10

// ParseFailure reads an upstream's error answer, whatever its shape: {"error":{…}}, {"error":"text"}, {"message":…},
// {"type":"error","error":{…}}, {"detail":…}, plain text or an HTML page. The content type is only a hint, because
// upstreams label JSON as text. The message is the upstream's own, bounded but otherwise unchanged; of an HTML page
// only the title is kept.
func ParseFailure(status int, contentType string, body []byte) Failure {
	f := Failure{Status: status}
	body = bytes.TrimSpace(bytes.TrimPrefix(body, []byte("\uFEFF")))
	switch {
	case rawjson.Valid(body):
		f.fromJSON(body)
	case isHTML(contentType, body):
		f.Message = htmlTitle(body)
	default:
		f.Message = clip(body)
	}
	if f.Message == "" {
		f.Message = strings.TrimSpace("upstream answered " + strconv.Itoa(status) + " " + http.StatusText(status))
		if status == 0 {
			f.Message = "upstream reported an error without a message"
		}
	}
	return f
}

// fromJSON takes what it finds in raw, which is valid.
func (f *Failure) fromJSON(raw []byte) {
	const depth = 4 // an error inside an error inside a list is as odd as it gets
	for range depth {
		switch rawjson.Of(raw) {
		case rawjson.String:
			f.Message = clip(rawjson.Text(raw))
			return
		case rawjson.Array:
			it := rawjson.Elements(raw, 0)
			if !it.Next() {
				return
			}
			raw = it.Raw()
			continue
		case rawjson.Object:
		case rawjson.Null:
			return
		default:
			f.Message = clip(raw)
			return
		}
		f.fields(raw)
		inner := firstOf(raw, "error", "errors")
		if rawjson.Empty(inner) {
			break
		}
		raw = inner
	}
	if f.Message == "" {
		f.Message = clip(raw)
	}
}

// fields takes the members of one object. Those of an inner object replace those of an outer one.
func (f *Failure) fields(raw []byte) {
	if m := firstOf(raw, "message", "detail", "error_description"); !rawjson.Empty(m) {
		f.Message = clip(text(m))
	}
	if t := rawjson.Get(raw, "type"); rawjson.Of(t) == rawjson.String && string(t) != `"error"` {
		f.Type = clip(rawjson.Text(t))
	}
	if c := rawjson.Get(raw, "code"); !rawjson.Empty(c) {
		f.Code = clip(text(c))
	}
	if p := rawjson.Get(raw, "param"); rawjson.Of(p) == rawjson.String {
		f.Param = clip(rawjson.Text(p))
	}
}

// firstOf returns the value of the first of the keys that says something.
func firstOf(raw []byte, keys ...string) []byte {
	for _, key := range keys {
		if v := rawjson.Get(raw, key); !rawjson.Empty(v) {
			return v
		}
	}
	return nil
}

// text returns what a string says, and the JSON text of anything else.
func text(raw []byte) []byte {
	if rawjson.Of(raw) == rawjson.String {
		return rawjson.Text(raw)
	}
	return raw
}

// clip returns s as a string of at most maxMessage bytes, cut between characters.
func clip(s []byte) string {
	if len(s) > maxMessage {
		s = s[:maxMessage]
		for len(s) > 0 && !utf8.RuneStart(s[len(s)-1]) {
			s = s[:len(s)-1]
		}
		if len(s) > 0 && s[len(s)-1] >= utf8.RuneSelf {
			s = s[:len(s)-1]
		}
	}
	return string(s)
}

func isHTML(contentType string, body []byte) bool {
	if strings.HasPrefix(contentType, "text/html") {
		return true
	}
	start := bytes.ToLower(body[:min(len(body), 16)])
	return bytes.HasPrefix(start, []byte("<!doctype html")) || bytes.HasPrefix(start, []byte("<html"))
}

// htmlTitle returns the title of a page on one line, or "".
func htmlTitle(page []byte) string {
	page = page[:min(len(page), 64<<10)]
	lower := bytes.ToLower(page)
	if len(lower) != len(page) {
		return "" // odd letters that change length: offsets would not fit
	}
	start := bytes.Index(lower, []byte("<title"))
	if start < 0 {
		return ""
	}
	n := bytes.IndexByte(lower[start:], '>')
	if n < 0 {
		return ""
	}
	start += n + 1
	end := bytes.IndexByte(lower[start:], '<')
	if end < 0 {
		return ""
	}
	title := bytes.Join(bytes.Fields(page[start:start+end]), []byte(" "))
	return clip(title[:min(len(title), 200)])
}

// NotAnEvent is the failure of a stream with data that is no JSON object. Upstreams and what stands before them put
// plain words there when they give up, so the data is quoted.
func NotAnEvent(data []byte) Failure {
	f := ParseFailure(0, "", data)
	f.Message = "upstream broke off with: " + f.Message
	return f
}

// EndFailure words why a stream ended before its answer was complete, for the client. cause may be nil. Only a
// *Failure and limits of our own are quoted: other errors name addresses.
func EndFailure(cause error) Failure {
	if f, ok := errors.AsType[*Failure](cause); ok {
		return *f
	}
	if large, ok := errors.AsType[*sse.TooLargeError](cause); ok {
		return Failure{Status: http.StatusBadGateway, Message: "upstream stream ended early: " + large.Error()}
	}
	if timeout, ok := errors.AsType[net.Error](cause); ok && timeout.Timeout() || errors.Is(cause, context.DeadlineExceeded) {
		return Failure{Status: http.StatusGatewayTimeout, Message: "upstream stream ended early: it sent nothing for too long"}
	}
	return Failure{Status: http.StatusBadGateway, Message: "upstream stream ended early: the answer is not complete"}
}

// EndError is what Tap.Close returns for a stream that did not end properly.
func EndError(cause error) error {
	if cause == nil || errors.Is(cause, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return cause
}

// InvalidRequest is the Failure of a request that a Format cannot read. path names the field at fault, or is "".
func InvalidRequest(path, format string, args ...any) *Failure {
	message := fmt.Sprintf(format, args...)
	if path != "" {
		message = path + ": " + message
	}
	return &Failure{Status: http.StatusBadRequest, Type: "invalid_request_error", Param: path, Message: message}
}
