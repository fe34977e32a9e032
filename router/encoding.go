package router

import (
	"bufio"
	"slices"

	"errors"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
)

const (
	// acceptEncoding lists the content encodings of request bodies that are undone here.
	acceptEncoding = "zstd, gzip, deflate"
	// maxEncodings is how many of them may lie on top of one another.
	maxEncodings = 2
	// maxWindow bounds the memory that a zstd frame asks for before its bytes are there (RFC 9659).
	maxWindow = 8 << 20
)

// unknownEncodingError names a content encoding that is not undone here.
type unknownEncodingError struct{ name string }

func (e *unknownEncodingError) Error() string { return "unknown content encoding " + e.name }

// decode undoes the content encodings that h names, the last one first. Each layer gives at most limit bytes and one,
// so that a small body cannot become an endless one. decoded tells whether there was any to undo; close frees what
// undoing takes.
func decode(src io.Reader, h http.Header, limit int64) (plain io.Reader, decoded bool, closeAll func(), err error) {
	names := encodings(h)
	decoded = len(names) > 0
	var closers []func()
	closeAll = func() {
		for _, c := range closers {
			c()
		}
	}
	if len(names) > maxEncodings {
		return nil, decoded, closeAll, &unknownEncodingError{strings.Join(names, ", ")}
	}
	for _, name := range slices.Backward(names) {
		src = io.LimitReader(src, limit+1)
		var c func()
		if src, c, err = undo(src, name); err != nil {
			return nil, decoded, closeAll, err
		}
		closers = append(closers, c)
	}
	return src, decoded, closeAll, nil
}

// encodings lists the content encodings that h names, in the order in which they were applied.
func encodings(h http.Header) []string {
	var names []string
	for _, line := range h["Content-Encoding"] {
		for name := range strings.SplitSeq(line, ",") {
			if name = strings.ToLower(strings.TrimSpace(name)); name != "" && name != "identity" {
				names = append(names, name)
			}
		}
	}
	return names
}

// undo reads what one encoding hides.
func undo(src io.Reader, name string) (io.Reader, func(), error) {
	switch name {
	case "zstd":
		r, err := zstdDecoders.get(src)
		if err != nil {
			return nil, nil, broken(err)
		}
		return r, func() { zstdDecoders.put(r) }, nil
	case "gzip", "x-gzip":
		r, err := gzip.NewReader(src)
		if err != nil {
			return nil, nil, broken(err)
		}
		return r, func() { _ = r.Close() }, nil
	case "deflate":
		buf := bufio.NewReader(src)
		if head, err := buf.Peek(2); err != nil || head[0]&0x0f != 8 || (int(head[0])<<8|int(head[1]))%31 != 0 {
			// Some clients leave out the wrapper that the name stands for.
			r := flate.NewReader(buf)
			return r, func() { _ = r.Close() }, nil
		}
		r, err := zlib.NewReader(buf)
		if err != nil {
			return nil, nil, broken(err)
		}
		return r, func() { _ = r.Close() }, nil
	}
	return nil, nil, &unknownEncodingError{name}
}

// broken words the end of a body that has not even begun.
func broken(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// decoderPool lends zstd decoders: each has a window of its own, of several megabytes.
type decoderPool struct{ sync.Pool }

func (p *decoderPool) get(src io.Reader) (*zstd.Decoder, error) {
	if d, ok := p.Get().(*zstd.Decoder); ok {
		return d, d.Reset(src)
	}
	return zstd.NewReader(src, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
}

func (p *decoderPool) put(d *zstd.Decoder) {
	if d.Reset(nil) == nil { // lets go of the body
		p.Put(d)
	}
}

var zstdDecoders decoderPool
