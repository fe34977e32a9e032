package responses

import (
	"errors"
	"fmt"

	"detour/internal/dialect"
	"detour/internal/dialect/rawjson"
	"detour/internal/llm"
)

// EncodeAnswer implements dialect.Client.
func (Codec) EncodeAnswer(dst []byte, a *llm.Answer, o dialect.AnswerOptions) []byte {
	e := newEncoder(o)
	e.whole = true
	var frames []byte
	for _, ev := range a.Replay(nil) {
		frames = e.Encode(frames[:0], ev)
	}
	return append(dst, e.last...)
}

var errNoAnswer = errors.New("body is no response object")

// DecodeAnswer implements dialect.Upstream.
func (Codec) DecodeAnswer(dst []llm.Event, body []byte) ([]llm.Event, error) {
	if err := rawjson.Check(body); err != nil {
		return dst, fmt.Errorf("decode answer: %w", err)
	}
	h := head{response: rawjson.Field{Raw: body}}
	h.readResponse(body)
	status := string(rawjson.Text(h.status.Raw))
	switch {
	case rawjson.Of(h.output.Raw) != rawjson.Array && h.failure.Missing():
		return dst, fmt.Errorf("decode answer: %w", errNoAnswer)
	case status == "in_progress" || status == "queued":
		return dst, fmt.Errorf("decode answer: its status is %s", status)
	case !h.failure.Missing():
		status = "failed"
	case status == "":
		status = "completed"
	}
	d := &decoder{}
	dialect.ReadPrice(&d.usage, h.price)
	return d.terminal(d.start(dst, &h), &h, status), nil
}
