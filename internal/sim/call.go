package sim

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// call is one request being served. It belongs to one goroutine.
type call struct {
	sim  *Sim
	st   *state
	w    http.ResponseWriter
	r    *http.Request
	site site
	op   string
	body []byte

	service *service // that is reached with a key; nil on other planes
	account *AccountState
	who     *Account // its description
	effect  effect

	onSocket bool // it is a frame of a WebSocket

	rec      *Request      // nil: not recorded
	whole    atomic.Bool   // the answer is complete, the client may go
	watching func() bool   // stops the watch for a client that goes away
	watched  chan struct{} // closed when that watch has run
}

// handle makes an http.Handler of serve that counts, records and watches.
func (s *Sim) handle(plane string, at site, serve func(*call)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.handlers.enter() {
			panic(http.ErrAbortHandler)
		}
		defer s.handlers.leave()
		c := &call{sim: s, st: s.state.Load(), w: w, r: r, site: at}
		if s.log != nil {
			c.begin(plane)
			defer c.end()
		}
		serve(c)
		if !c.whole.Load() && r.Context().Err() != nil {
			panic(http.ErrAbortHandler) // an answer that was given up must not look whole
		}
	})
}

// begin records the request.
func (c *call) begin(plane string) {
	r := c.r
	start := time.Now() // durations are real, whatever clock was injected
	c.rec = &Request{
		Time: c.sim.now(), Plane: plane, Site: string(c.site), Method: r.Method, Host: r.Host,
		Path: r.URL.Path, Query: r.URL.RawQuery, Header: r.Header.Clone(), Proto: r.Proto,
	}
	c.sim.log.add(c.rec)
	c.watched = make(chan struct{})
	c.watching = context.AfterFunc(r.Context(), func() {
		defer close(c.watched)
		if c.sim.ctx.Err() != nil {
			return // the Sim itself went away
		}
		c.sim.log.change(func() {
			if !c.whole.Load() {
				c.rec.Canceled, c.rec.CancelAfter = true, time.Since(start)
			}
		})
	})
}

// end completes the record and joins the watch.
func (c *call) end() {
	if !c.watching() {
		<-c.watched
	}
	c.sim.log.change(func() { c.rec.Done = true })
}

// note edits the record of the request, if there is one.
func (c *call) note(edit func(*Request)) {
	if c.rec != nil {
		c.sim.log.change(func() { edit(c.rec) })
	}
}

// complete says that only the last bytes of the answer are missing, so that a
// client that closes now has not cancelled.
func (c *call) complete() { c.whole.Store(true) }

// errBodyTooLarge is returned by read for bodies over the limit.
var errBodyTooLarge = errors.New("request body is too large")

// read reads the whole request body, at most limit bytes.
func (c *call) read(limit int64) error {
	if c.r.ContentLength > limit {
		return errBodyTooLarge
	}
	var buf bytes.Buffer
	if c.r.ContentLength > 0 {
		buf.Grow(int(c.r.ContentLength) + bytes.MinRead)
	}
	_, err := buf.ReadFrom(io.LimitReader(c.r.Body, limit+1))
	c.body = buf.Bytes()
	c.note(func(r *Request) { r.Body = c.body })
	if err != nil {
		return err
	}
	if int64(len(c.body)) > limit {
		return errBodyTooLarge
	}
	return nil
}

// Content types.
const (
	typeJSON = "application/json"
	typeUTF8 = "application/json; charset=utf-8"
	typeText = "text/plain; charset=utf-8"
	typeHTML = "text/html; charset=utf-8"
	typeSSE  = "text/event-stream"
)

// gzipFrom is the size from which plain answers are compressed.
const gzipFrom = 1024

// reply sends a whole answer.
func (c *call) reply(status int, contentType string, body []byte) {
	h := c.w.Header()
	h.Set("Content-Type", contentType)
	if len(body) >= gzipFrom && !c.st.NoGzip && acceptsGzip(c.r) {
		h.Set("Content-Encoding", "gzip")
		h.Set("Vary", "Accept-Encoding")
		body = gzipped(body)
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	c.status(status)
	c.complete()
	c.w.WriteHeader(status)
	_, _ = c.w.Write(body) // a client that has gone away is recorded
}

// status notes the status of the answer.
func (c *call) status(status int) {
	c.note(func(r *Request) { r.Status = status })
}

// acceptsGzip says whether the client asked for gzip.
func acceptsGzip(r *http.Request) bool {
	accept := r.Header.Get("Accept-Encoding")
	return slices.ContainsFunc(strings.Split(accept, ","), func(v string) bool {
		name, param, _ := strings.Cut(strings.TrimSpace(v), ";")
		return strings.TrimSpace(name) == "gzip" && strings.ReplaceAll(param, " ", "") != "q=0"
	})
}

func gzipped(b []byte) []byte {
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	_, _ = z.Write(b) // a bytes.Buffer takes everything
	_ = z.Close()
	return buf.Bytes()
}

// sleep waits for d or for the client to go away; false in that case.
func (c *call) sleep(d time.Duration) bool {
	if d <= 0 {
		return c.r.Context().Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-c.r.Context().Done():
		return false
	}
}

// pass waits at a gate; false when the client went away.
func (c *call) pass(g *Gate) bool {
	return g == nil || g.wait(c.r.Context()) == nil
}

// hang waits until the client goes away or the Sim is closed.
func (c *call) hang() { <-c.r.Context().Done() }

// abort ends the answer by closing the connection (HTTP/1) or resetting the
// stream (HTTP/2) without a proper end. It does not return.
func (c *call) abort() {
	c.complete()
	panic(http.ErrAbortHandler)
}

// reset ends the connection with a TCP RST (HTTP/1) or the stream with
// RST_STREAM (HTTP/2). It does not return.
func (c *call) reset() {
	c.complete()
	conn, _, err := http.NewResponseController(c.w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if t, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = t.NetConn()
	}
	if t, ok := conn.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	_ = conn.Close()
	panic(http.ErrAbortHandler)
}
