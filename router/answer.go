package router

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/tidwall/gjson"
	"golang.org/x/net/http/httpguts"

	"detour/internal/dialect"
	"detour/providers"
)

// maxAnswer bounds an answer that is not streamed. It is held whole, because a cut one must not look like an end and
// because upstreams split choices over it.
const maxAnswer = 64 << 20

// relayAnswer sends a good answer on to the client. An error means that the answer was not good after all; while
// nothing was committed, another account may be tried.
func (x *exchange) relayAnswer(a *providers.Account, resp *http.Response) error {
	streamed := isStream(resp)
	switch {
	case x.translation != nil:
		return x.relayTranslated(a, resp, streamed)
	case streamed && (x.op.endpoint == dialect.EndpointChat || x.op.endpoint == dialect.EndpointResponses || x.op.endpoint == dialect.EndpointMessages):
		return x.relayStream(&tapped{x.op.format.NewTap(x.tapOptions(a)), x.op.format.Name()}, resp)
	}
	return x.relayPlain(a, resp)
}

func isStream(resp *http.Response) bool {
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	return kind == "text/event-stream"
}

// readAnswer reads an answer that is not a stream, and makes sure that it is JSON.
func (x *exchange) readAnswer(resp *http.Response) ([]byte, error) {
	var buf bytes.Buffer
	if n := resp.ContentLength; n > 0 {
		buf.Grow(int(min(n, maxAhead)) + bytes.MinRead)
	}
	n, err := buf.ReadFrom(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil && x.req.Context().Err() != nil:
		return nil, &providers.Error{Kind: providers.KindCanceled, Err: err}
	case err != nil:
		return nil, incomplete(err)
	case n > maxAnswer:
		return nil, tooLarge(fmt.Errorf("the answer is larger than %d bytes", maxAnswer))
	}
	body := buf.Bytes()
	if !gjson.ValidBytes(body) {
		return nil, &providers.Error{Kind: providers.KindServer, Failure: dialect.Failure{Message: "the upstream's answer is not JSON"}}
	}
	return body, nil
}

// relayPlain sends on an answer that is not a stream.
func (x *exchange) relayPlain(a *providers.Account, resp *http.Response) error {
	body, err := x.readAnswer(resp)
	if err != nil {
		return err
	}
	if e := gjson.GetBytes(body, "error"); x.call.Stream && e.IsObject() {
		_, x.told = x.op.format.Repair(body, x.tapOptions(a))
		return x.inband(dialect.ParseFailure(0, "application/json", body))
	}
	if x.call.Stream && (!x.call.Verbatim || x.frame != nil) {
		return x.streamWhole(a, resp, body)
	}
	if x.op.endpoint != dialect.EndpointEmbeddings && x.op.endpoint != dialect.EndpointCountTokens {
		body, x.told = x.op.format.Repair(body, x.tapOptions(a))
	} else {
		x.told = embeddingUsage(body)
	}
	if x.keep != nil {
		x.keep.answer(body)
	}
	h := x.w.Header()
	x.copyHeader(h, resp.Header)
	x.stamp(h)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	x.commit(resp.StatusCode)
	if _, err := x.w.Write(body); err != nil {
		return &providers.Error{Kind: providers.KindCanceled, Err: err}
	}
	return nil
}

// begin commits the headers of a stream.
func (x *exchange) begin(resp *http.Response) {
	if x.committed {
		return
	}
	h := x.w.Header()
	x.copyHeader(h, resp.Header)
	x.stamp(h)
	h.Set("Content-Type", cmp.Or(x.contentType, "text/event-stream"))
	h.Set("Cache-Control", "no-cache")
	h.Set("X-Accel-Buffering", "no")
	x.commit(resp.StatusCode)
}

// stamp adds what detour has to say of the answer.
func (x *exchange) stamp(h http.Header) {
	if id := h.Get("X-Request-Id"); id != "" && x.op.voice.Name() == dialect.Messages {
		h.Set("Request-Id", id) // Anthropic's name for it
	}
	x.sealTurnState(h)
	x.explain(h)
	x.identify(h)
}

// explain tells who served a recognised request and why, on good answers and on bad ones.
func (x *exchange) explain(h http.Header) {
	x.explainRoute(h)
	if x.op.endpoint == dialect.EndpointModels {
		return // it comes from the catalogue: no account was chosen for it
	}
	model, account := cmp.Or(x.rec.Model, x.wish.Model), x.rec.Account
	if n := len(x.rec.Attempts); account == "" && n > 0 { // nobody served it; the failure is that of the last one asked
		model, account = x.rec.Attempts[n-1].Model, x.rec.Attempts[n-1].Account
	}
	set(h, "X-Detour-Model", model)
	set(h, "X-Detour-Account", account)
	set(h, "X-Detour-Attempts", strconv.Itoa(len(x.rec.Attempts)+x.trying))
}

// explainRoute says what decided on the request. All that is said of a WebSocket is this: its messages are exchanges of
// their own.
func (x *exchange) explainRoute(h http.Header) {
	if x.route.mode != "" { // else it did not get that far
		set(h, "X-Detour-Route", string(x.route.mode)+"; "+x.route.by)
	}
}

// set sets a header to a value that may hold anything.
func set(h http.Header, name, value string) {
	if value != "" && httpguts.ValidHeaderFieldValue(value) {
		h.Set(name, value)
	}
}

// tapOptions are the same for streams and plain answers.
func (x *exchange) tapOptions(a *providers.Account) dialect.TapOptions {
	id, own := x.answerID()
	return dialect.TapOptions{ID: id, OwnID: own, Created: x.rec.Start.Unix(), Seal: x.sealer(a), Reserved: x.reserved, HideUsage: x.asksUsage(a)}
}

// answerID is an id for the answer. own says that it counts even if the upstream gives one.
func (x *exchange) answerID() (id string, own bool) {
	if x.keep != nil {
		return x.keep.id, true
	}
	return "detour-" + x.rec.ID, false
}

// tooLarge is the error for an answer over a limit of ours. Asking again would cost the same and end the same, and no
// account is to blame.
func tooLarge(err error) *providers.Error {
	return &providers.Error{Kind: providers.KindInvalid, Failure: dialect.Failure{Status: http.StatusBadGateway, Type: "server_error", Code: "answer_too_large", Message: "detour: " + err.Error()}}
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

func (x *exchange) copyHeader(dst, src http.Header) {
	for k, v := range src {
		switch {
		case notCopied[k]:
		case x.rec.Door == "api" && strings.HasPrefix(k, "Access-Control-"):
			// Which web pages may read the answer is for the door to say.
		case k == "Vary":
			dst[k] = append(dst[k], v...)
		default:
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
