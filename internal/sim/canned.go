package sim

import (
	"bytes"
	"maps"
	"net/http"
	"strconv"
	"sync"
)

// canned holds pre-rendered answers. It is safe for concurrent use.
type canned struct {
	mu      sync.RWMutex // guards answers
	answers map[cannedKey]*cannedAnswer
	bodies  sync.Pool // of *bytes.Buffer: request bodies that are not recorded
}

type cannedKey struct {
	op, model string
	stream    bool
}

type cannedAnswer struct {
	header http.Header
	length []string // Content-Length of a whole answer
	body   []byte
	frames [][]byte // of a stream
}

// maxCanned bounds the answers that are kept.
const maxCanned = 1000

func newCanned() *canned {
	return &canned{
		answers: map[cannedKey]*cannedAnswer{},
		bodies:  sync.Pool{New: func() any { return new(bytes.Buffer) }},
	}
}

// cannedReply answers an inference request from pre-rendered bytes. It returns
// false, having read nothing, for other operations.
func (c *call) cannedReply() bool {
	if c.op != OpChat && c.op != OpResponses && c.op != OpMessages {
		return false
	}
	k := cannedKey{op: c.op}
	var err error
	if c.rec != nil {
		if err = c.read(defaultMaxBody); err == nil {
			k.model, k.stream = peek(c.body)
		}
	} else {
		buf, _ := c.st.canned.bodies.Get().(*bytes.Buffer)
		buf.Reset()
		if _, err = buf.ReadFrom(http.MaxBytesReader(c.w, c.r.Body, defaultMaxBody)); err == nil {
			k.model, k.stream = peek(buf.Bytes())
		}
		c.st.canned.bodies.Put(buf)
	}
	if err != nil {
		c.refuse(400, "bad request: "+err.Error()+"\n")
		return true
	}
	a := c.st.canned.find(k)
	if a == nil {
		if a = c.render(k); a == nil {
			return true
		}
	}
	c.quotaHeaders()
	h := c.w.Header()
	maps.Copy(h, a.header)
	c.status(http.StatusOK)
	if !k.stream {
		h["Content-Length"] = a.length
		c.complete()
		_, _ = c.w.Write(a.body)
		return true
	}
	if c.st.ChunkDelay == 0 {
		_, _ = c.w.Write(a.body)
		c.complete()
		return true
	}
	flush := http.NewResponseController(c.w).Flush
	for i, frame := range a.frames {
		if i > 0 && !c.sleep(c.st.ChunkDelay) {
			return true
		}
		if _, err := c.w.Write(frame); err != nil || flush() != nil {
			return true
		}
	}
	c.complete()
	return true
}

func (p *canned) find(k cannedKey) *cannedAnswer {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.answers[k]
}

func (p *canned) keep(k cannedKey, a *cannedAnswer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.answers) < maxCanned {
		p.answers[k] = a
	}
}

// render makes the answer for k by serving a minimal request. Without success
// it answers with the error of that, and returns nil.
func (c *call) render(k cannedKey) *cannedAnswer {
	w := &capture{header: http.Header{}}
	st := *c.st
	st.canned, st.ChunkDelay, st.FirstDelay, st.Faults, st.NoGzip = nil, 0, 0, nil, true
	inner := &call{sim: c.sim, st: &st, w: w, r: c.r, site: c.site, op: k.op, account: c.account, who: c.who}
	inner.body = []byte(`{"model":` + quote(k.model) + `,"stream":` + strconv.FormatBool(k.stream) +
		`,"max_tokens":1000,"messages":[{"role":"user","content":"benchmark"}]}`)
	switch {
	case k.op == OpResponses:
		inner.body = []byte(`{"model":` + quote(k.model) + `,"stream":` + strconv.FormatBool(k.stream) + `,"input":"benchmark"}`)
	case k.op == OpChat:
		inner.body = bytes.ReplaceAll(inner.body, []byte(`"max_tokens"`), []byte(`"max_completion_tokens"`))
	}
	inner.route()()
	if w.status != http.StatusOK {
		c.reply(w.status, w.header.Get("Content-Type"), w.body.Bytes())
		return nil
	}
	a := &cannedAnswer{
		header: http.Header{"Content-Type": w.header["Content-Type"]}, body: w.body.Bytes(),
		length: []string{strconv.Itoa(w.body.Len())},
	}
	if k.stream {
		a.frames = bytes.SplitAfter(bytes.TrimSuffix(a.body, []byte("\n\n")), []byte("\n\n"))
		last := len(a.frames) - 1
		a.frames[last] = append(bytes.Clone(a.frames[last]), "\n\n"...)
	}
	c.st.canned.keep(k, a)
	return a
}

// capture is a ResponseWriter into memory.
type capture struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *capture) Header() http.Header         { return w.header }
func (w *capture) WriteHeader(status int)      { w.status = status }
func (w *capture) Write(b []byte) (int, error) { return w.body.Write(b) }
func (w *capture) Flush()                      {}
