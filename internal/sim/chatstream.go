package sim

import (
	"strconv"
	"strings"
)

// chatWriter renders the chunks of one /chat/completions stream.
type chatWriter struct {
	*stream
	call *call
	ask  *ask
	out  *answer
	tail []byte // of every chunk, from the id on
	buf2 []byte
}

// chatStream streams an answer.
func (c *call) chatStream(a *ask, out *answer) {
	s, ok := c.stream(out, func(code string) (string, []byte) {
		return "", []byte(`{"error":{"message":"the upstream model failed","code":` + quote(code) + `}}`)
	})
	if !ok {
		return
	}
	w := &chatWriter{stream: s, call: c, ask: a, out: out}
	w.tail = append(w.tail, `"created":`...)
	w.tail = strconv.AppendInt(w.tail, c.sim.now().Unix(), 10)
	w.tail = appendField(w.tail, "id", c.chatID(a.model))
	w.tail = appendField(w.tail, "model", a.model.Version)
	if c.st.Chat.WithObject {
		w.tail = append(w.tail, `,"object":"chat.completion.chunk"`...)
	}
	n := a.n
	if a.model.claude() {
		n = 1
	}
	if !w.open() {
		return
	}
	for i := range n {
		if !w.choice(i) {
			return
		}
	}
	if w.closing() && w.finish(n) && !c.st.Chat.NoDone {
		w.raw([]byte("data: [DONE]\n\n"))
	}
}

// open sends what comes before the content.
func (w *chatWriter) open() bool {
	k := &w.call.st.Chat
	if !k.NoFilterChunk && !w.ask.model.claude() &&
		!w.control("", []byte(`{"choices":[],"created":0,"id":"","prompt_filter_results":`+promptFilterResults+`}`)) {
		return false
	}
	if k.NullChoices && !w.control("", []byte(`{"choices":null,"copilot_references":[{"type":"github.repository","id":"sim"}],"id":null}`)) {
		return false
	}
	return !k.Comments || w.raw([]byte(": a comment\n\ndata: \n\n"))
}

// chunk renders a chunk with one choice.
func (w *chatWriter) chunk(index int, delta func([]byte) []byte, finish string) []byte {
	b := append(w.buf2[:0], `{"choices":[{"index":`...)
	b = strconv.AppendInt(b, int64(index), 10)
	if !w.call.st.Chat.NoFilterResults && !w.ask.model.claude() {
		b = append(b, `,"content_filter_offsets":{"check_offset":0,"start_offset":0,"end_offset":0},"content_filter_results":`...)
		b = append(b, filterResults...)
	}
	b = append(b, `,"delta":{`...)
	b = delta(b)
	b = append(b, `},"finish_reason":`...)
	if finish == "" {
		b = append(b, `null`...)
	} else {
		b = appendString(b, finish)
	}
	b = append(b, `}],`...)
	b = append(b, w.tail...)
	w.buf2 = b
	return b
}

// send sends a chunk with content.
func (w *chatWriter) send(index int, delta func([]byte) []byte) bool {
	return w.delta("", append(w.chunk(index, delta, ""), '}'))
}

// text renders the delta of a text piece.
func text(piece string) func([]byte) []byte {
	return func(b []byte) []byte {
		b = append(b, `"content":`...)
		b = appendString(b, piece)
		return append(b, `,"role":"assistant"`...)
	}
}

// choice streams one choice.
func (w *chatWriter) choice(index int) bool {
	m := w.ask.model
	if !m.claude() && !w.control("", append(w.chunk(index, func(b []byte) []byte {
		return append(b, `"content":"","role":"assistant"`...)
	}, ""), '}')) {
		return false
	}
	field := w.call.st.Chat.ReasoningField
	if field != "" && field != "-" && !w.plainReasoning(index, field) {
		return false
	}
	if field == "" && (m.claude() || m.gemini()) && !w.reasoning(index) {
		return false
	}
	steps := w.calls(index)
	interleave := m.claude() && !w.call.st.Chat.NoInterleave
	for _, piece := range w.out.chunks {
		if !w.send(index, text(piece)) {
			return false
		}
		if interleave && len(steps) > 0 {
			if !w.send(index, steps[0]) {
				return false
			}
			steps = steps[1:]
		}
	}
	for _, step := range steps {
		if !w.send(index, step) {
			return false
		}
	}
	return true
}

// reasoning streams the thinking of Claude and Gemini models.
func (w *chatWriter) reasoning(index int) bool {
	if len(w.out.reasoning) == 0 {
		return true
	}
	var all strings.Builder
	for _, piece := range w.out.reasoning {
		all.WriteString(piece)
		if !w.send(index, func(b []byte) []byte {
			b = append(b, `"content":null,"role":"assistant","reasoning_text":`...)
			return appendString(b, piece)
		}) {
			return false
		}
	}
	return w.send(index, func(b []byte) []byte {
		b = append(b, `"content":null,"role":"assistant","reasoning_opaque":`...)
		return appendString(b, w.call.opaque(all.String()))
	})
}

// plainReasoning streams the thinking as text in a member called field.
func (w *chatWriter) plainReasoning(index int, field string) bool {
	for _, piece := range w.out.reasoning {
		if !w.send(index, func(b []byte) []byte {
			return appendField(append(b, `"content":null,"role":"assistant"`...), field, piece)
		}) {
			return false
		}
	}
	return true
}

// calls returns the deltas of all tool calls.
func (w *chatWriter) calls(int) []func([]byte) []byte {
	var steps []func([]byte) []byte
	claude := w.ask.model.claude()
	for i, call := range w.out.calls {
		if w.call.st.Chat.WholeCalls {
			steps = append(steps, func(b []byte) []byte {
				b = append(b, `"content":"","tool_calls":[{"function":{"arguments":`...)
				b = appendString(b, call.Arguments)
				return append(appendField(b, "name", call.Name), `}}]`...)
			})
			continue
		}
		head := func(b []byte, args string, first bool) []byte {
			b = append(b, `"content":null,"tool_calls":[{"function":{"arguments":`...)
			b = appendString(b, args)
			if first {
				b = appendField(b, "name", call.Name)
			}
			b = append(b, '}')
			if first {
				b = appendField(b, "id", call.ID)
			}
			b = appendInt(b, "index", i)
			if first || claude { // Claude repeats the type in every chunk
				b = append(b, `,"type":"function"`...)
			}
			return append(b, `}]`...)
		}
		steps = append(steps, func(b []byte) []byte { return head(b, "", true) })
		for _, piece := range w.out.argumentPieces(call) {
			steps = append(steps, func(b []byte) []byte { return head(b, piece, false) })
		}
	}
	return steps
}

// finish sends the finish reasons and the usage: Claude together with the last
// choice, the others in a chunk of its own.
func (w *chatWriter) finish(n int) bool {
	k := &w.call.st.Chat
	silent := k.NoUsage || k.UsageIfAsked && !w.ask.usage
	withUsage := func(b []byte) []byte {
		if !silent {
			b = append(b, `,"usage":`...)
			b = w.call.chatUsage(b, w.ask, w.out)
			if w.call.who.TokenBilled {
				b = append(b, `,"copilot_usage":`...)
				b = copilotUsage(b, w.ask.prompt-w.out.cached, w.out.cached, w.out.output)
			}
		}
		return append(b, '}')
	}
	empty := func(b []byte) []byte { return append(b, `"content":null`...) }
	for i := range n {
		b := w.chunk(i, empty, w.out.finish)
		if w.ask.model.claude() {
			b = withUsage(b)
		} else {
			b = append(b, '}')
		}
		if !w.control("", b) {
			return false
		}
	}
	if w.ask.model.claude() || silent {
		return true
	}
	b := append(w.buf2[:0], `{"choices":[],`...)
	return w.control("", withUsage(append(b, w.tail...)))
}
