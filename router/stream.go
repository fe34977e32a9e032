package router

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/tidwall/gjson"

	"detour/internal/dialect"
	"detour/internal/llm"
	"detour/internal/sse"
	"detour/providers"
)

// streamer turns an upstream's frames into what the client gets.
type streamer interface {
	// frame appends what the client gets for f.
	frame(dst []byte, f sse.Frame) ([]byte, dialect.Class)
	// failure is the in-band error after a frame of class Failed.
	failure() dialect.Failure
	// end appends what the end of the stream asks for; see dialect.Tap.Close.
	end(dst []byte, cause error) ([]byte, error)
	usage() llm.Usage
	ping(dst []byte) []byte
}

// tapped follows a stream in the client's own dialect.
type tapped struct {
	tap  dialect.Tap
	name dialect.Name
}

func (t *tapped) frame(dst []byte, f sse.Frame) ([]byte, dialect.Class) { return t.tap.Frame(dst, f) }
func (t *tapped) failure() dialect.Failure                              { return t.tap.Failure() }
func (t *tapped) end(dst []byte, cause error) ([]byte, error)           { return t.tap.Close(dst, cause) }
func (t *tapped) usage() llm.Usage                                      { return t.tap.Usage() }

// ping is a comment, which every client passes over, or where comments do not reset a client's clock the dialect's own
// event.
func (t *tapped) ping(dst []byte) []byte {
	if t.name == dialect.Messages {
		return append(dst, "event: ping\ndata: {\"type\": \"ping\"}\n\n"...)
	}
	return append(dst, ": ping\n\n"...)
}

// relayStream sends on a stream, frame by frame as it arrives. The status waits for the first frame that is part of
// an answer, so that an error before it can still go to another account. Whatever happens, the client gets its
// dialect's terminal event or its error event, and never the first for a stream that was cut.
func (x *exchange) relayStream(s streamer, resp *http.Response) error {
	frames := sse.NewReader(resp.Body)
	frames.Limit = int(x.table.EventLimit)
	ping := s.ping
	if x.frame != nil {
		ping = nil // a WebSocket has its own
	}
	defer func() { x.told = s.usage() }() // also of an answer that was cut: it was spent
	out := newOutlet(x, resp, ping)
	defer out.close()
	held := streamBuffers.get()
	defer streamBuffers.put(held)
	buf := (*held)[:0]
	defer func() { *held = buf }()

	holding := true // nothing but preamble so far
	inside := false // the upstream said itself that it failed
	var cause error
	for cause == nil {
		f, err := frames.Next()
		if err == nil || whole(f, err) {
			var class dialect.Class
			from := len(buf)
			buf, class = s.frame(buf, f)
			if x.keep != nil {
				x.keep.saw(buf[from:], class)
			}
			if class == dialect.Failed {
				inside = true
				if holding && out.abandon() {
					return x.inband(s.failure())
				}
				err = io.EOF // what comes then is not for the client, and may still be charged for
			}
			holding = holding && class == dialect.Meta
		}
		cause = err
		if !holding && (err != nil || !frames.Buffered()) {
			if err := out.send(buf); err != nil {
				return err
			}
			buf = buf[:0]
		}
	}
	if x.req.Context().Err() != nil {
		if why, ok := errors.AsType[*dialect.Failure](context.Cause(x.req.Context())); ok && !holding {
			buf, _ = s.end(buf, why) // the client is still there
			_ = out.send(buf)
		}
		return &providers.Error{Kind: providers.KindCanceled, Err: cause}
	}
	if errors.Is(cause, io.EOF) || errors.Is(cause, io.ErrUnexpectedEOF) {
		cause = nil // how the stream ended is for the dialect to judge
	} else if e, ok := errors.AsType[*sse.TooLargeError](cause); ok {
		cause = tooLarge(e)
	} else {
		cause = transportError(x.req.Context(), cause)
	}
	var err error
	from := len(buf)
	buf, err = s.end(buf, cause)
	if x.keep != nil && err == nil {
		x.keep.saw(buf[from:], dialect.Terminal)
	}
	if err != nil && holding && out.abandon() {
		return incomplete(err)
	}
	if werr := out.send(buf); werr != nil {
		return werr
	}
	switch f := s.failure(); {
	case err == nil:
		return nil
	case inside:
		return x.inband(f)
	}
	return incomplete(err)
}

// whole tells whether the unterminated last frame of a stream is complete but for its blank line.
func whole(f sse.Frame, err error) bool {
	if !errors.Is(err, io.ErrUnexpectedEOF) || !f.HasData {
		return false
	}
	return bytes.Equal(f.Data, []byte("[DONE]")) || gjson.ValidBytes(f.Data)
}
