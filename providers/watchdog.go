package providers

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"
)

// errStalled is the cause of a request that the watchdog ended.
var errStalled = errors.New("upstream went silent")

// Watchdog is a transport decorator that ends a request whose upstream sends nothing for Stall, before its headers or
// between two reads of its body. It never reads a body itself.
type Watchdog struct {
	Base  http.RoundTripper
	Stall time.Duration
}

// RoundTrip implements http.RoundTripper. A stall surfaces as an *Error of KindStalled.
func (w *Watchdog) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(req.Context())
	timer := time.AfterFunc(w.Stall, func() { cancel(errStalled) })
	resp, err := w.Base.RoundTrip(req.WithContext(ctx))
	if err != nil {
		timer.Stop()
		err = stalled(ctx, err)
		cancel(nil)
		return nil, err
	}
	timer.Stop() // between two reads it is the client that takes its time
	resp.Body = &watchedBody{resp.Body, ctx, cancel, timer, w.Stall}
	return resp, nil
}

func stalled(ctx context.Context, err error) error {
	if errors.Is(context.Cause(ctx), errStalled) {
		return &Error{Kind: KindStalled, Err: errStalled}
	}
	return err
}

// watchedBody winds the timer up for each read.
type watchedBody struct {
	io.ReadCloser
	ctx    context.Context //nolint:containedctx // the lifetime of the answer, which only the body knows
	cancel context.CancelCauseFunc
	timer  *time.Timer
	stall  time.Duration
}

func (b *watchedBody) Read(p []byte) (int, error) {
	b.timer.Reset(b.stall)
	n, err := b.ReadCloser.Read(p)
	b.timer.Stop()
	if err != nil && !errors.Is(err, io.EOF) {
		err = stalled(b.ctx, err)
	}
	return n, err
}

func (b *watchedBody) Close() error {
	b.timer.Stop()
	b.cancel(nil)
	return b.ReadCloser.Close()
}
