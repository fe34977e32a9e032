package router

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/net/http/httpguts"

	"detour/internal/dialect"
	"detour/internal/dialect/responses"
)

// Limits of a WebSocket.
const (
	socketQueue   = 8                // messages that may wait for the answer before them
	socketIdle    = time.Hour        // without a request; clients expect a connection to last that long at most
	socketWrite   = time.Minute      // that a client may leave unread what it is sent
	socketClosing = 10 * time.Second // that the last words to a client may take
)

// socket is a client's WebSocket to an endpoint that others reach by POST. Each of its messages is a request, which
// becomes an exchange of its own; the upstream is asked over HTTP. The events of the answers go out as text frames.
//
// Answers come one after the other, in the order of the requests; those that wait are bounded in number and bytes.
//   - A message that is no request is answered with an error event, and the connection goes on.
//   - One that is too large, that is not text, or that no room is left for ends the connection with an error event.
//   - response.cancel ends the answer that is being made, with response.failed once it has begun and an error event
//     before that. It does nothing when there is none.
//   - response.processed is taken note of in silence.
//   - A client that leaves cancels the exchange under way. One that does not read for a minute is left.
//   - When detour stops, the exchange under way may finish; then, and after an hour without a request, the connection
//     is closed.
//
// WebSockets over HTTP/2 (RFC 8441) are not served: no client is known to need them, and the servers of both doors do
// not announce them.
type socket struct {
	router *Router
	conn   *websocket.Conn
	raw    net.Conn  // below conn
	first  *exchange // that the handshake was made into, as the pattern of the others
	header http.Header
	scope  string // of what only this connection may refer to

	ctx    context.Context //nolint:containedctx // of the connection, which outlives every call
	cancel context.CancelCauseFunc
	queue  chan message
	queued atomic.Int64 // bytes of the messages that wait

	writing, wrote atomic.Int64             // when the write under way began, and when the last one ended; Unix nanoseconds or 0
	reading        atomic.Int64             // when the message that comes in began
	over           chan struct{}            // closed when the connection has been served
	broken         atomic.Pointer[panicked] // what a helper met

	mu      sync.Mutex
	current context.CancelCauseFunc // ends the exchange under way; nil when there is none
	revoked bool                    // the first of those that wait is not wanted any more
	code    websocket.StatusCode    // to close with
	reason  string

	last   []byte // the request of the last answer
	lastID string // of that answer
}

// message is what a client sent, or why it cannot be read.
type message struct {
	responses.Frame
	size int64
	err  error
}

// socketFrame makes an exchange one of a WebSocket.
type socketFrame struct {
	body    []byte // the request
	scope   string // of what only this connection may refer to
	warm    bool   // no answer is wanted yet
	repeats bool   // the input begins with the answer that it goes on from
}

// errGone says that the client left.
var errGone = errors.New("the client closed the WebSocket")

// socket returns the operation that a request wants to speak to over a WebSocket.
func (s *surface) socket(req *http.Request, path string) (operation, bool) {
	if req.Method != http.MethodGet || req.ProtoMajor != 1 || !isUpgrade(req.Header) || !httpguts.HeaderValuesContainsToken(req.Header["Upgrade"], "websocket") {
		return operation{}, false
	}
	op, _, ok := s.match(http.MethodPost, path, "")
	return op, ok && op.endpoint == dialect.EndpointResponses
}

// serveSocket makes a WebSocket of the connection that x came on, and serves it until it ends.
func (r *Router) serveSocket(x *exchange) {
	if r.life.Err() != nil {
		x.fail(dialect.Failure{Status: http.StatusServiceUnavailable, Code: "stopping", Message: "detour: it is about to stop."})
		return
	}
	s := &socket{
		router: r, first: x, header: x.req.Header.Clone(),
		scope: "socket " + x.rec.ID, queue: make(chan message, socketQueue), over: make(chan struct{}),
		code: websocket.StatusNormalClosure,
	}
	for name := range s.header {
		if strings.HasPrefix(name, "Sec-Websocket-") || name == "Connection" || name == "Upgrade" {
			delete(s.header, name)
		}
	}
	s.ctx, s.cancel = context.WithCancelCause(x.req.Context())
	defer s.cancel(nil)
	x.explainRoute(x.w.Header())
	x.identify(x.w.Header())
	w := &handshake{ResponseWriter: x.w, x: x}
	var err error
	// Who may connect is checked already: each door judges the origin of all requests the same way.
	s.conn, err = websocket.Accept(w, x.req, &websocket.AcceptOptions{
		InsecureSkipVerify: true, CompressionMode: websocket.CompressionNoContextTakeover,
	})
	if err != nil {
		x.committed, x.rec.Error = true, "invalid"
		return
	}
	s.raw, x.upgraded = w.raw, true
	defer func() { _ = s.conn.CloseNow() }()
	if !r.sockets.enter(s) {
		return
	}
	defer r.sockets.leave(s)
	s.conn.SetReadLimit(-1) // read has its own
	defer x.table.memory.ForgetAll(s.scope)
	defer s.join(s.read, s.beat)()
	log := x.table.Logger
	log.DebugContext(s.ctx, "websocket opened", "id", x.rec.ID, "door", x.rec.Door, "host", x.rec.Host)
	n := s.serve()
	s.mu.Lock()
	code, reason := s.code, s.reason
	s.mu.Unlock()
	gone := errors.Is(context.Cause(s.ctx), errGone)
	log.DebugContext(s.ctx, "websocket ends", "id", x.rec.ID, "exchanges", n, "code", int(code), "reason", reason, "client_left", gone)
	if !gone {
		_ = s.conn.Close(code, reason) // joins nobody: read goes on until the client has answered
	}
}

// serve answers the messages, and returns how many when the connection is to end.
func (s *socket) serve() (exchanges int) {
	idle := time.NewTimer(socketIdle)
	defer idle.Stop()
	for s.ctx.Err() == nil {
		if s.router.life.Err() != nil {
			s.end(websocket.StatusGoingAway, "detour stops")
			return exchanges
		}
		select {
		case <-s.ctx.Done():
		case <-s.router.life.Done():
		case <-idle.C:
			s.end(websocket.StatusNormalClosure, "no request for an hour")
			return exchanges
		case m := <-s.queue:
			s.queued.Add(-m.size)
			exchanges++
			s.answer(m, exchanges)
			idle.Reset(socketIdle)
		}
	}
	return exchanges
}

// panicked is a panic on a goroutine that nobody guards.
type panicked struct{ what string }

// join runs helpers, and returns what ends and joins them. A panic of theirs goes on there, where it is guarded.
func (s *socket) join(helpers ...func()) (end func()) {
	var running sync.WaitGroup
	for _, help := range helpers {
		running.Go(func() {
			defer func() {
				if v := recover(); v != nil {
					s.broken.Store(&panicked{fmt.Sprintf("%v\n%s", v, debug.Stack())})
					s.cut()
				}
			}()
			help()
		})
	}
	return func() {
		close(s.over)
		s.cut()
		running.Wait()
		if p := s.broken.Load(); p != nil {
			panic(p.what)
		}
	}
}

// end has the connection closed with a code once the exchange under way has noticed.
func (s *socket) end(code websocket.StatusCode, reason string) {
	s.mu.Lock()
	s.code, s.reason = code, reason
	s.mu.Unlock()
	s.cancel(&dialect.Failure{Status: http.StatusServiceUnavailable, Code: "connection_closed", Message: "detour: the connection ends: " + reason})
}

// cut ends the connection at once.
func (s *socket) cut() {
	s.cancel(errGone)
	_ = s.raw.Close() // conn would first wait for who is closing it already
}

// read takes in messages until the connection ends. It never waits for an answer, so that it notices when the client
// leaves.
func (s *socket) read() {
	for {
		kind, r, err := s.conn.Reader(context.Background()) // ended by closing the connection
		if err != nil {
			s.cancel(errGone)
			return
		}
		if kind != websocket.MessageText {
			s.refuse(websocket.StatusUnsupportedData, "messages are text", dialect.Failure{
				Status: http.StatusBadRequest, Code: "invalid_message", Message: "A message must be a text frame that holds one JSON object.",
			})
			return
		}
		limit := s.first.table.BodyLimit
		s.reading.Store(time.Now().UnixNano())
		var text bytes.Buffer
		n, err := text.ReadFrom(io.LimitReader(r, limit+1))
		s.reading.Store(0)
		switch {
		case err != nil:
			s.cancel(errGone)
			return
		case n > limit:
			s.refuse(websocket.StatusMessageTooBig, "the message is too large", *s.first.bodyTooLarge())
			return
		}
		if !s.take(text.Bytes()) {
			return
		}
	}
}

// take acts on a message or queues it. It returns false when there is no room.
func (s *socket) take(text []byte) bool {
	m := message{size: int64(len(text))}
	m.Frame, m.err = responses.ReadFrame(text)
	switch {
	case m.err == nil && m.Type == responses.FrameProcessed:
		return true
	case m.err == nil && m.Type == responses.FrameCancel:
		s.revoke()
		return true
	}
	if s.queued.Add(m.size) <= s.first.table.BodyLimit {
		select {
		case s.queue <- m:
			return true
		default:
		}
	}
	s.refuse(websocket.StatusPolicyViolation, "too many requests wait", dialect.Failure{
		Status: http.StatusTooManyRequests, Code: "too_many_waiting",
		Message: "One answer at a time is made on a connection, and no more requests may wait than " + strconv.Itoa(socketQueue) + ". Use a connection for each conversation.",
	})
	return false
}

// revoke cancels the exchange under way, or the one that is about to begin.
func (s *socket) revoke() {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.current != nil:
		s.current(errRevoked())
	case len(s.queue) > 0:
		s.revoked = true
	}
}

// errRevoked is why an exchange ends that its client cancels.
func errRevoked() error {
	return &dialect.Failure{Status: 499, Type: "invalid_request_error", Code: "response_cancelled", Message: "The response was cancelled by the client."}
}

// refuse tells the client why the connection ends, and ends it.
func (s *socket) refuse(code websocket.StatusCode, reason string, f dialect.Failure) {
	ctx, stop := context.WithTimeout(context.Background(), socketClosing)
	defer stop()
	voice := s.first.op.voice
	_ = s.conn.Write(ctx, websocket.MessageText, responses.AppendErrorEvent(nil, f.Status, nil, voice.AppendError(nil, f)))
	s.end(code, reason)
}

// beat sends pings while the connection is silent, and leaves clients that neither read nor send.
func (s *socket) beat() {
	tick := time.NewTicker(pingInterval)
	defer tick.Stop()
	for {
		select {
		case <-s.over:
			return
		case <-tick.C:
		}
		now := time.Now().UnixNano()
		since := func(t *atomic.Int64, most time.Duration) bool {
			at := t.Load()
			return at != 0 && time.Duration(now-at) > most
		}
		switch {
		case since(&s.writing, socketWrite), since(&s.reading, bodyTimeout):
			s.cut()
			return
		case s.writing.Load() != 0 || !since(&s.wrote, pingInterval-time.Second) && s.wrote.Load() != 0:
			continue
		}
		// A client that reads only when it expects something does not answer: that is no reason to leave it.
		ctx, stop := context.WithTimeout(context.Background(), pingInterval/3)
		_ = s.conn.Ping(ctx)
		stop()
	}
}

// handshake notes how the handshake was answered, and the connection that is taken over.
type handshake struct {
	http.ResponseWriter
	x   *exchange
	raw net.Conn
}

// WriteHeader implements http.ResponseWriter.
func (w *handshake) WriteHeader(status int) {
	w.x.rec.Status = status
	w.ResponseWriter.WriteHeader(status)
}

// Hijack implements http.Hijacker.
func (w *handshake) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	raw, buffered, err := http.NewResponseController(w.ResponseWriter).Hijack()
	w.raw = raw
	return raw, buffered, err
}
