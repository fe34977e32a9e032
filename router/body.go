package router

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"detour/internal/dialect"
)

const (
	// maxAhead bounds the memory that is taken because a length was announced, before the bytes are there.
	maxAhead = 1 << 20
	// bodyTimeout bounds the reading of a request body.
	bodyTimeout = 10 * time.Minute
)

// readBody reads the request body, at most the limit, and undoes its compression.
func (x *exchange) readBody() ([]byte, *dialect.Failure) {
	if x.frame != nil {
		return x.frame.body, nil
	}
	limit := x.table.BodyLimit
	if x.req.ContentLength > limit {
		return nil, x.bodyTooLarge()
	}
	var src io.Reader = x.req.Body
	hint := x.req.ContentLength
	switch enc := strings.ToLower(x.req.Header.Get("Content-Encoding")); enc {
	case "", "identity":
	case "gzip":
		zr, err := gzip.NewReader(io.LimitReader(x.req.Body, limit+1))
		if err != nil {
			return nil, &dialect.Failure{Status: http.StatusBadRequest, Message: "The request body is not gzip: " + err.Error()}
		}
		src, hint = zr, 0
	default:
		return nil, &dialect.Failure{Status: http.StatusUnsupportedMediaType, Message: fmt.Sprintf("The content encoding %q is not supported; send the body plain or gzip.", enc)}
	}
	// A client that sends no byte for too long must not hold on to what it did send.
	deadline := http.NewResponseController(x.w)
	_ = deadline.SetReadDeadline(time.Now().Add(bodyTimeout))
	defer func() { _ = deadline.SetReadDeadline(time.Time{}) }()
	var buf bytes.Buffer
	if hint > 0 {
		buf.Grow(int(min(hint, maxAhead)) + bytes.MinRead)
	}
	n, err := buf.ReadFrom(io.LimitReader(src, limit+1))
	switch {
	case err != nil:
		return nil, &dialect.Failure{Status: http.StatusBadRequest, Message: "The request body could not be read to its end: " + err.Error()}
	case n > limit:
		return nil, x.bodyTooLarge()
	}
	return buf.Bytes(), nil
}

// loadAndKeep loads the request and leaves its body as if nobody had read it, so that it can still be relayed. A body
// that cannot be looked into is nobody's fault yet.
func (x *exchange) loadAndKeep() *dialect.Failure {
	rest := x.req.Body
	var compressed bytes.Buffer
	encoded := x.req.Header.Get("Content-Encoding") != ""
	if encoded {
		x.req.Body = readCloser{io.TeeReader(rest, &compressed), rest}
	}
	if f := x.load(); f != nil && x.said == nil {
		return f
	}
	read := x.said
	if encoded {
		read = compressed.Bytes()
	}
	x.req.Body = readCloser{io.MultiReader(bytes.NewReader(read), rest), rest}
	return nil
}

type readCloser struct {
	io.Reader
	io.Closer
}

// bodyTooLarge is the failure for a request over the limit.
func (x *exchange) bodyTooLarge() *dialect.Failure {
	return &dialect.Failure{Status: http.StatusRequestEntityTooLarge, Code: "request_too_large",
		Message: fmt.Sprintf("The request body is larger than %d bytes; the owner of this detour can raise limits.request_body.", x.table.BodyLimit)}
}
