package router

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"sync"

	"github.com/tidwall/gjson"

	"detour/internal/dialect"
	"detour/internal/sse"
	"detour/providers"
)

// maxAnswer bounds an answer that is not streamed. It is held whole, because a cut one must not look like an end and
// because upstreams split choices over it.
const maxAnswer = 64 << 20

// relayAnswer sends a good answer on to the client. An error means that the answer was not good after all; while
// nothing was committed, another account may be tried.
func (x *exchange) relayAnswer(a *providers.Account, resp *http.Response) error {
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if kind == "text/event-stream" && (x.op.endpoint == dialect.EndpointChat || x.op.endpoint == dialect.EndpointResponses || x.op.endpoint == dialect.EndpointMessages) {
		return x.relayStream(a, resp)
	}
	return x.relayPlain(a, resp)
}

// relayPlain sends on an answer that is not a stream.
func (x *exchange) relayPlain(a *providers.Account, resp *http.Response) error {
	var buf bytes.Buffer
	if n := resp.ContentLength; n > 0 && n <= maxAnswer {
		buf.Grow(int(n) + bytes.MinRead)
	}
	n, err := buf.ReadFrom(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil && x.req.Context().Err() != nil:
		return &providers.Error{Kind: providers.KindCanceled, Err: err}
	case err != nil:
		return incomplete(err)
	case n > maxAnswer:
		return &providers.Error{Kind: providers.KindServer, Failure: dialect.Failure{Message: fmt.Sprintf("the answer is larger than %d bytes", maxAnswer)}}
	}
	body := buf.Bytes()
	if !gjson.ValidBytes(body) {
		return &providers.Error{Kind: providers.KindServer, Failure: dialect.Failure{Message: "the upstream's answer is not JSON"}}
	}
	if e := gjson.GetBytes(body, "error"); x.call.Stream && e.IsObject() {
		return inband(dialect.ParseFailure(0, "application/json", body))
	}
	if x.op.endpoint != dialect.EndpointEmbeddings && x.op.endpoint != dialect.EndpointCountTokens {
		body, x.rec.Usage = x.op.format.Repair(body, x.tapOptions(a))
	}
	h := x.w.Header()
	copyHeader(h, resp.Header)
	x.stamp(h)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	x.commit(resp.StatusCode)
	if _, err := x.w.Write(body); err != nil {
		return &providers.Error{Kind: providers.KindCanceled, Err: err}
	}
	return nil
}

// relayStream sends on a stream, frame by frame as it arrives. The status waits for the first frame that is part of
// an answer, so that an error before it can still go to another account. Whatever happens, the client gets its
// dialect's terminal event or its error event, and never the first for a stream that was cut.
func (x *exchange) relayStream(a *providers.Account, resp *http.Response) error {
	tap := x.op.format.NewTap(x.tapOptions(a))
	frames := sse.NewReader(resp.Body)
	frames.Limit = int(x.table.EventLimit)
	flush := http.NewResponseController(x.w)
	out := streamBuffers.get()
	defer streamBuffers.put(out)
	buf := (*out)[:0]
	defer func() { *out = buf }()

	var cause error
	for cause == nil {
		f, err := frames.Next()
		if err == nil || whole(f, err) {
			var class dialect.Class
			buf, class = tap.Frame(buf, f)
			if class == dialect.Failed && !x.committed {
				return inband(tap.Failure())
			}
			if class != dialect.Meta {
				x.begin(resp)
			}
		}
		cause = err
		if x.committed && len(buf) > 0 && (err != nil || !frames.Buffered()) {
			if err := x.send(buf, flush); err != nil {
				return err
			}
			buf = buf[:0]
		}
	}
	x.rec.Usage = tap.Usage()
	if x.req.Context().Err() != nil {
		return &providers.Error{Kind: providers.KindCanceled, Err: cause}
	}
	if errors.Is(cause, io.EOF) || errors.Is(cause, io.ErrUnexpectedEOF) {
		cause = nil // how the stream ended is for the tap to judge
	} else {
		cause = transportError(x.req.Context(), cause)
	}
	var err error
	buf, err = tap.Close(buf, cause)
	if err != nil && !x.committed {
		return incomplete(err)
	}
	x.begin(resp)
	if werr := x.send(buf, flush); werr != nil {
		return werr
	}
	if err != nil {
		return incomplete(err)
	}
	return nil
}

// whole tells whether the unterminated last frame of a stream is complete but for its blank line.
func whole(f sse.Frame, err error) bool {
	if !errors.Is(err, io.ErrUnexpectedEOF) || !f.HasData {
		return false
	}
	return bytes.Equal(f.Data, []byte("[DONE]")) || gjson.ValidBytes(f.Data)
}

// begin commits the headers of a stream.
func (x *exchange) begin(resp *http.Response) {
	if x.committed {
		return
	}
	h := x.w.Header()
	copyHeader(h, resp.Header)
	x.stamp(h)
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-cache")
	h.Set("X-Accel-Buffering", "no")
	x.commit(resp.StatusCode)
}

// send writes and flushes. Its error means that the client is gone.
func (x *exchange) send(b []byte, flush *http.ResponseController) error {
	_, err := x.w.Write(b)
	if err == nil {
		err = flush.Flush()
	}
	if err != nil {
		return &providers.Error{Kind: providers.KindCanceled, Err: err}
	}
	return nil
}

// stamp adds what detour has to say of the answer.
func (x *exchange) stamp(h http.Header) {
	h.Set("X-Detour-Account", x.rec.Account)
	h.Set("X-Detour-Model", x.rec.Model)
	if id := h.Get("X-Request-Id"); id != "" && x.op.format.Name() == dialect.Messages {
		h.Set("Request-Id", id) // Anthropic's name for it
	}
	x.identify(h)
}

// tapOptions are the same for streams and plain answers.
func (x *exchange) tapOptions(a *providers.Account) dialect.TapOptions {
	return dialect.TapOptions{ID: "detour-" + x.rec.ID, Created: x.rec.Start.Unix(), Seal: x.sealer(a)}
}

// inband makes an attempt's error of one that came inside a 200.
func inband(f dialect.Failure) *providers.Error {
	kind := providers.KindServer
	switch {
	case f.Status == http.StatusTooManyRequests:
		kind = providers.KindRateLimit
	case f.Status == http.StatusPaymentRequired:
		kind = providers.KindQuota
	case f.Status >= 400 && f.Status < 500:
		kind = providers.KindInvalid
	}
	return &providers.Error{Kind: kind, Failure: f}
}

func incomplete(err error) *providers.Error {
	if e, ok := errors.AsType[*providers.Error](err); ok {
		return e
	}
	kind := providers.KindIncomplete
	if errors.Is(err, context.Canceled) {
		kind = providers.KindCanceled
	}
	return &providers.Error{Kind: kind, Failure: dialect.Failure{Message: "the upstream ended its answer early"}, Err: err}
}

// answerHeaders that concern one connection, or that describe bytes which detour rewrites.
var notCopied = map[string]bool{
	"Connection": true, "Keep-Alive": true, "Proxy-Connection": true, "Te": true, "Trailer": true, "Transfer-Encoding": true, "Upgrade": true,
	"Content-Length": true, "Content-Encoding": true, "Set-Cookie": true, "Alt-Svc": true, "Strict-Transport-Security": true, "Date": true,
}

func copyHeader(dst, src http.Header) {
	for k, v := range src {
		if !notCopied[k] {
			dst[k] = v
		}
	}
}

// bufferPool lends output buffers to streams.
type bufferPool struct{ sync.Pool }

func (p *bufferPool) get() *[]byte {
	if b, ok := p.Get().(*[]byte); ok {
		return b
	}
	b := make([]byte, 0, 16<<10)
	return &b
}

func (p *bufferPool) put(b *[]byte) {
	if cap(*b) <= 256<<10 {
		p.Put(b)
	}
}

var streamBuffers bufferPool
