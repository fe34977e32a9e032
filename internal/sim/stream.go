package sim

import "net/http"

// stream writes a server-sent event stream, and applies the faults that happen
// within one. Methods return false once the stream is over, by a fault or
// because the client has gone away; the caller then returns.
type stream struct {
	c       *call
	flush   func() error
	buf     []byte
	deltas  int // content frames sent
	delay   func() bool
	failure func(code string) (event string, data []byte) // error frame of the surface
}

// stream sends the headers of an event stream.
func (c *call) stream(a *answer, failure func(string) (string, []byte)) (*stream, bool) {
	h := c.w.Header()
	h["Content-Type"] = []string{typeSSE}
	h["Cache-Control"] = []string{"no-cache"}
	s := &stream{c: c, flush: http.NewResponseController(c.w).Flush, failure: failure}
	s.delay = func() bool { return c.sleep(a.delay) }
	c.status(http.StatusOK)
	c.w.WriteHeader(http.StatusOK)
	if s.flush() != nil {
		return nil, false
	}
	return s, c.sleep(max(c.effect.first, c.st.FirstDelay))
}

// control sends a frame that carries no content.
func (s *stream) control(event string, data []byte) bool {
	s.buf = s.buf[:0]
	if event != "" {
		s.buf = append(s.buf, "event: "...)
		s.buf = append(s.buf, event...)
		s.buf = append(s.buf, '\n')
	}
	s.buf = append(s.buf, "data: "...)
	s.buf = append(s.buf, data...)
	s.buf = append(s.buf, "\n\n"...)
	return s.raw(s.buf)
}

// raw sends bytes as they are.
func (s *stream) raw(b []byte) bool {
	if s.c.effect.bytewise {
		for i := range b {
			if _, err := s.c.w.Write(b[i : i+1]); err != nil || s.flush() != nil {
				return false
			}
		}
		return true
	}
	_, err := s.c.w.Write(b)
	return err == nil && s.flush() == nil
}

// delta sends a frame with content.
func (s *stream) delta(event string, data []byte) bool {
	if s.deltas > 0 && !s.delay() {
		return false
	}
	if !s.midway() || !s.control(event, data) {
		return false
	}
	s.deltas++
	return true
}

// midway applies the faults that are due after the frames sent so far.
func (s *stream) midway() bool {
	e := &s.c.effect
	if e.gate != nil && e.gateAt > 0 && s.deltas == e.gateAt && !s.c.pass(e.gate) {
		return false
	}
	if e.silence > 0 && s.deltas == e.at && !s.c.sleep(e.silence) {
		return false
	}
	return e.cut == cutNone || s.deltas < e.at || s.end()
}

// closing must be called before the terminal frames: faults that no content
// frame has triggered happen here.
func (s *stream) closing() bool {
	e := &s.c.effect
	if e.gate != nil && e.gateAt > 0 && e.gateAt >= s.deltas && !s.c.pass(e.gate) {
		return false
	}
	if e.silence > 0 && e.at >= s.deltas && !s.c.sleep(e.silence) {
		return false
	}
	if e.cut != cutNone && !s.end() {
		return false
	}
	s.c.complete()
	return true
}

// end applies the cut. It returns false, if it returns.
func (s *stream) end() bool {
	switch s.c.effect.cut {
	case cutRST:
		s.c.reset()
	case cutAbort:
		s.c.abort()
	case cutHang:
		s.c.hang()
	case cutError:
		code := s.c.effect.code
		if code == "" {
			code = "server_error"
		}
		s.c.complete()
		s.control(s.failure(code))
	default:
		s.c.complete()
	}
	return false
}

// plain sends a whole inference answer, and applies the faults that cut it.
func (c *call) plain(body []byte) {
	if !c.sleep(max(c.effect.first, c.st.FirstDelay)) {
		return
	}
	e := &c.effect
	if e.gate != nil && e.gateAt > 0 && !c.pass(e.gate) || !c.sleep(e.silence) {
		return
	}
	if e.cut == cutNone || e.cut == cutError {
		c.reply(http.StatusOK, typeJSON, body)
		return
	}
	h := c.w.Header()
	h.Set("Content-Type", typeJSON)
	c.status(http.StatusOK)
	c.w.WriteHeader(http.StatusOK)
	_, _ = c.w.Write(body[:len(body)/2])
	_ = http.NewResponseController(c.w).Flush()
	switch e.cut {
	case cutRST:
		c.reset()
	case cutHang:
		c.hang()
	default: // half a JSON document without Content-Length could pass for a whole one
		c.abort()
	}
}
