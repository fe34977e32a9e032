package router

import (
	"context"
	"maps"
	"net/http"
	"net/textproto"
	"sync"
)

// hints passes informational answers (RFC 9110 §15.2) on to the client as they come. They come on a goroutine of the
// transport, which may still be at it when the round trip has ended because the client left. The client's
// ResponseWriter is not to be touched any more then: net/http answers that with a panic on a goroutine that nobody
// guards.
type hints struct {
	client context.Context //nolint:containedctx // of the request, as in http.Request

	mu    sync.Mutex // held while a hint is written, which is what end has to wait for
	w     http.ResponseWriter
	ended bool
}

// pass implements httptrace.ClientTrace.Got1xxResponse.
func (h *hints) pass(code int, header textproto.MIMEHeader) error {
	if code == http.StatusContinue {
		return nil // net/http answers Expect by itself when the body is read
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ended {
		return nil
	}
	removeHopByHop(http.Header(header))
	out := h.w.Header()
	maps.Copy(out, http.Header(header))
	h.w.WriteHeader(code)
	if h.client.Err() != nil { // HTTP/2 then still reads the headers, on a goroutine of its own
		h.ended = true
		return nil
	}
	clear(out) // or the final answer would repeat them
	return nil
}

// end waits for the hint that is being written; none is after it.
func (h *hints) end() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ended = true
}
