package responses

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"detour/internal/dialect"
	"detour/internal/dialect/rawjson"
)

// The types of what clients say on a WebSocket.
const (
	FrameCreate    = "response.create"    // asks for an answer
	FrameAppend    = "response.append"    // asks for one that goes on from the last; an older form
	FrameCancel    = "response.cancel"    // ends the answer that is being made
	FrameProcessed = "response.processed" // tells that an answer was taken in
)

// Frame is one message of a client on a WebSocket: a request with its fields at the top level, beside some that are
// about the connection.
type Frame struct {
	Type string
	Lane []byte // JSON text of stream_id, which each event of the answer has to repeat; nil without one
	// Warm says that no answer is wanted yet (generate is false).
	Warm bool
	// Initiator is what clients of Copilot say here instead of in a header, or "".
	Initiator string
	// Body is the request as POST takes it, streamed. Each member is as it was, and in its place.
	Body []byte
}

// ReadFrame reads a message. Its error is a *dialect.Failure with Status 400.
func ReadFrame(text []byte) (Frame, error) {
	var f Frame
	if err := rawjson.Check(text); err != nil {
		return f, dialect.InvalidRequest("", "the message is not valid JSON: %s", err)
	}
	if kind := rawjson.Of(trimmed(text)); kind != rawjson.Object {
		return f, dialect.InvalidRequest("", "the message must be a JSON object, not %s", kind)
	}
	f.Body = append(make([]byte, 0, len(text)+len(`,"stream":true`)), '{')
	streamed := false
	for it := rawjson.Members(text, 0); it.Next(); {
		lo, hi := it.Member()
		switch key := string(it.Key()); key {
		case "type":
			f.Type = string(rawjson.Text(it.Raw()))
			continue
		case "stream_id":
			if rawjson.Of(it.Raw()) == rawjson.String {
				f.Lane = it.Raw()
			}
			continue
		case "generate":
			f.Warm = string(it.Raw()) == "false"
			continue
		case "initiator":
			if by := string(rawjson.Text(it.Raw())); by == "user" || by == "agent" {
				f.Initiator = by
				continue
			}
		case "stream":
			if streamed {
				continue
			}
			streamed = true
			f.Body = append(comma(f.Body), `"stream":true`...)
			continue
		}
		f.Body = append(comma(f.Body), text[lo:hi]...)
	}
	if !streamed {
		f.Body = append(comma(f.Body), `"stream":true`...)
	}
	f.Body = append(f.Body, '}')
	switch {
	case f.Type == "":
		return f, dialect.InvalidRequest("type", "is required; a request is a message of type %s with its fields beside that", FrameCreate)
	case !slices.Contains([]string{FrameCreate, FrameAppend, FrameCancel, FrameProcessed}, f.Type):
		return f, dialect.InvalidRequest("type", "%q is not known; a request is a message of type %s", clipID(f.Type), FrameCreate)
	}
	return f, nil
}

// trimmed returns text without the white space in front of it.
func trimmed(text []byte) []byte {
	for len(text) > 0 && strings.IndexByte(" \t\r\n", text[0]) >= 0 {
		text = text[1:]
	}
	return text
}

// comma appends what has to stand between two members.
func comma(dst []byte) []byte {
	if len(dst) > 1 {
		dst = append(dst, ',')
	}
	return dst
}

// Appended returns the request that a FrameAppend stands for: the last one with other input, which goes on from the
// answer to that. repeats says that the client says this answer again itself in front of what is new, as some do.
func Appended(last, body []byte, answer string) (request []byte, repeats bool) {
	items := Input(body)
	first := rawjson.Elements(append(append([]byte{'['}, items...), ']'), 0)
	if first.Next() {
		var typ, role []byte
		for it := rawjson.Members(first.Raw(), 0); it.Next(); {
			switch string(it.Key()) {
			case "type":
				typ = rawjson.Text(it.Raw())
			case "role":
				role = rawjson.Text(it.Raw())
			}
		}
		repeats = string(role) == "assistant" || string(typ) == "reasoning" || strings.HasSuffix(string(typ), "_call")
	}
	request = WithInput(last, items)
	request = appendMember(request[:len(request)-1], "previous_response_id", answer)
	return append(request, '}'), repeats
}

// AppendLane appends an event with the stream_id of the message that it answers.
func AppendLane(dst, event, lane []byte) []byte {
	at := len(event) - len(trimmed(event)) + 1
	if lane == nil || at > len(event) {
		return append(dst, event...)
	}
	dst = append(append(append(dst, event[:at]...), `"stream_id":`...), lane...)
	if rest := trimmed(event[at:]); len(rest) > 0 && rest[0] != '}' {
		dst = append(dst, ',')
	}
	return append(dst, event[at:]...)
}

// AppendErrorEvent appends the event that tells of a request which got no answer. body is what it would have been
// answered over HTTP, and so are status and header.
func AppendErrorEvent(dst []byte, status int, header http.Header, body []byte) []byte {
	dst = append(strconv.AppendInt(append(dst, `{"type":"error","status":`...), int64(status), 10), `,"error":`...)
	if e := rawjson.Get(body, "error"); rawjson.Of(e) == rawjson.Object {
		dst = flat(dst, e)
	} else {
		dst = append(dst, `{"type":"server_error","code":null,"message":"the request failed","param":null}`...)
	}
	dst = append(dst, `,"headers":{`...)
	names := make([]string, 0, len(header))
	for name := range header {
		if !strings.HasPrefix(name, "Content-") && len(header[name]) > 0 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for i, name := range names {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(rawjson.AppendString(dst, strings.ToLower(name)), ':')
		dst = rawjson.AppendString(dst, header[name][0])
	}
	return append(dst, "}}"...)
}
