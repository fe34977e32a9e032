package router

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"

	"detour/internal/dialect"
	"detour/internal/dialect/responses"
	"detour/internal/record"
	"detour/internal/sse"
)

// answer makes an exchange of the n-th message. It ends the connection if that could not be told its end.
func (s *socket) answer(m message, n int) {
	if holds := s.first.client.Holds; holds != nil && !holds() {
		s.refuse(websocket.StatusPolicyViolation, "the key was revoked", dialect.Failure{
			Status: http.StatusUnauthorized, Code: "invalid_api_key", Message: "detour: the client key of this connection was revoked.",
		})
		return
	}
	ctx, cancel := context.WithCancelCause(s.ctx)
	defer cancel(nil)
	s.begin(cancel)
	defer s.begin(nil)

	t := s.router.table.Load()
	w := &socketWriter{s: s, lane: m.Lane, header: http.Header{}}
	req := s.first.req.WithContext(ctx)
	req.Header = s.header
	if n > 1 || m.Initiator != "" {
		// What the handshake says of who asks is about the first message.
		req.Header = s.header.Clone()
		req.Header.Del("X-Initiator")
		req.Header.Del("X-Interaction-Type")
	}
	if m.Initiator != "" {
		req.Header.Set("X-Initiator", m.Initiator)
	}
	x := &exchange{table: t, w: w, req: req, op: s.first.op}
	x.client, x.rec = s.first.client, s.first.rec
	x.rec.ID, x.rec.Start, x.rec.Transport = s.first.rec.ID+"."+strconv.Itoa(n), t.Now(), record.WebSocket
	x.rec.Status, x.rec.Endpoint = 0, string(x.op.endpoint)
	x.frame = &socketFrame{body: m.Body, scope: s.scope, warm: m.Warm}
	aborted := s.run(x, m)
	switch {
	case s.ctx.Err() != nil:
		return
	case !w.finish(aborted, context.Cause(ctx)):
		s.cut()
		return
	}
	if x.keep != nil && w.whole {
		s.last, s.lastID = responses.WithInput(x.frame.body), x.keep.id
	}
}

// begin notes how the exchange under way is ended; nil says that there is none any more.
func (s *socket) begin(cancel context.CancelCauseFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current = cancel; cancel != nil && s.revoked {
		s.revoked = false
		cancel(errRevoked())
	}
}

// run serves the exchange. aborted says that it was given up.
func (s *socket) run(x *exchange, m message) (aborted bool) {
	defer func() {
		if v := recover(); v != nil {
			if err, ok := v.(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
				panic(v)
			}
			aborted = true
		}
	}()
	defer x.done()
	if m.err != nil {
		x.fail(asFailure(m.err))
		return false
	}
	if m.Type == responses.FrameAppend {
		if s.lastID == "" {
			x.fail(dialect.Failure{Status: http.StatusBadRequest, Code: "nothing_to_append_to", Message: "There is no answer on this connection that " + responses.FrameAppend + " could go on from; send " + responses.FrameCreate + "."})
			return false
		}
		x.frame.body, x.frame.repeats = responses.Appended(s.last, m.Body, s.lastID)
	}
	x.serveMessage()
	return false
}

// serveMessage decides the route of a message, which may depend on its model, and serves it.
func (x *exchange) serveMessage() {
	path := x.req.URL.Path
	var profile *Profile
	if x.rec.Host == "" {
		profile, path = x.table.profile(path)
	}
	vendor := x.table.lookup(x.rec.Host).provider
	if f := x.decide(vendor, path, profile, true); f != nil {
		x.fail(*f)
		return
	}
	if x.route.mode == ModePassthrough {
		x.fail(dialect.Failure{Status: http.StatusBadRequest, Code: "passthrough_message",
			Message: "detour: this request should go to its own host, and a single message of a WebSocket cannot; send it by POST."})
		return
	}
	x.run(vendor)
}

// warmUp answers a request that wants no answer yet. It goes nowhere, but the next request can go on from it.
func (x *exchange) warmUp() {
	x.rec.Model = x.call.Model.ID
	id := newAnswerID()
	if x.keep != nil {
		id = x.keep.id
	}
	frames := responses.AppendWarmUp(nil, x.call.Body, dialect.AnswerOptions{
		Model: x.rec.RequestedModel, ID: id, OwnID: true, Created: x.rec.Start.Unix(),
	})
	if x.keep != nil {
		x.keep.saw(frames, dialect.Terminal)
	}
	x.w.Header().Set("Content-Type", "text/event-stream")
	x.commit(http.StatusOK)
	_, _ = x.w.Write(frames) // a client that left is noticed by who reads
}

// socketWriter takes the answer of one exchange and sends the events of it as text frames. An answer that is no stream
// is an error, and becomes an error event.
type socketWriter struct {
	s      *socket
	lane   []byte
	header http.Header
	status int
	stream bool
	body   []byte // of an answer that is no stream
	buf    []byte
	ended  bool // the last event went out
	whole  bool // and it was that of a good answer
}

// Header implements http.ResponseWriter.
func (w *socketWriter) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter.
func (w *socketWriter) WriteHeader(status int) {
	w.status = status
	w.stream = strings.HasPrefix(w.header.Get("Content-Type"), "text/event-stream")
}

// Flush lets http.ResponseController know that nothing is held back.
func (w *socketWriter) Flush() {}

// Write implements http.ResponseWriter. Of a stream b holds whole frames.
func (w *socketWriter) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if !w.stream {
		w.body = append(w.body, b...)
		return len(b), nil
	}
	for data, rest, ok := sse.NextData(b); ok; data, rest, ok = sse.NextData(rest) {
		switch typ := responses.EventType(data); {
		case string(data) == dialect.Done:
			continue
		case string(typ) == `"error"`:
			continue // response.failed follows, and to clients on a WebSocket this one means another thing
		case responses.IsTerminal(typ):
			w.ended, w.whole = true, string(typ) != `"response.failed"`
		}
		if err := w.send(data); err != nil {
			return 0, err
		}
	}
	return len(b), nil
}

// send sends one event.
func (w *socketWriter) send(event []byte) error {
	if w.lane != nil {
		w.buf = responses.AppendLane(w.buf[:0], event, w.lane)
		event = w.buf
	}
	if !utf8.Valid(event) { // a text frame must be
		event = []byte(strings.ToValidUTF8(string(event), "\uFFFD"))
	}
	w.s.writing.Store(time.Now().UnixNano())
	err := w.s.conn.Write(context.Background(), websocket.MessageText, event) // ended by closing the connection
	w.s.wrote.Store(time.Now().UnixNano())
	w.s.writing.Store(0)
	return err
}

// finish makes sure that the client knows how the exchange ended, and reports whether it does.
func (w *socketWriter) finish(aborted bool, cause error) bool {
	if w.ended {
		return true
	}
	status, body := w.status, w.body
	if aborted || w.stream || status < http.StatusBadRequest {
		f := dialect.Failure{Status: http.StatusBadGateway, Code: "answer_cut", Message: "detour: the answer was given up."}
		if why, ok := errors.AsType[*dialect.Failure](cause); ok {
			f = *why
		}
		status, body = f.Status, w.s.first.op.voice.AppendError(nil, f)
	}
	return w.send(responses.AppendErrorEvent(nil, status, w.header, body)) == nil
}
