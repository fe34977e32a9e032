package router

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"detour/internal/dialect"
)

const (
	// maxAhead bounds the memory that is taken because a length was announced, before the bytes are there.
	maxAhead = 1 << 20
	// bodyTimeout bounds the reading of a request body.
	bodyTimeout = 10 * time.Minute
)

// readBody reads the request body and undoes its compression. The limit holds for what comes out of it.
func (x *exchange) readBody() ([]byte, *dialect.Failure) {
	if x.frame != nil {
		return x.frame.body, nil
	}
	limit := x.table.BodyLimit
	if x.req.ContentLength > limit {
		return nil, x.bodyTooLarge()
	}
	// A client that sends no byte for too long must not hold on to what it did send.
	deadline := http.NewResponseController(x.w)
	_ = deadline.SetReadDeadline(time.Now().Add(bodyTimeout))
	defer func() { _ = deadline.SetReadDeadline(time.Time{}) }()
	src, encoded, closeAll, err := decode(x.req.Body, x.req.Header, limit)
	defer closeAll()
	if unknown, ok := errors.AsType[*unknownEncodingError](err); ok {
		x.w.Header().Set("Accept-Encoding", acceptEncoding)
		return nil, &dialect.Failure{Status: http.StatusUnsupportedMediaType, Code: "unsupported_content_encoding",
			Message: fmt.Sprintf("The content encoding %q is not supported; send the body plain or as one of %s.", clip(unknown.name), acceptEncoding)}
	}
	var buf bytes.Buffer
	if hint := x.req.ContentLength; hint > 0 && !encoded {
		buf.Grow(int(min(hint, maxAhead)) + bytes.MinRead)
	}
	var n int64
	if err == nil {
		n, err = buf.ReadFrom(io.LimitReader(src, limit+1))
	}
	switch {
	case err != nil && encoded:
		return nil, &dialect.Failure{Status: http.StatusBadRequest, Code: "invalid_content_encoding", Message: "The request body could not be decompressed: " + err.Error()}
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
	f := x.load()
	if decodable := !encoded || f == nil || f.Status == http.StatusRequestEntityTooLarge; f != nil && x.said == nil && decodable {
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
