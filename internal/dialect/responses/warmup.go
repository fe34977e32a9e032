package responses

import (
	"detour/internal/dialect"
	"detour/internal/llm"
)

// AppendWarmUp appends the frames of an answer without content, for a request that wants none yet. It does not look
// into the request's input.
func AppendWarmUp(dst, body []byte, o dialect.AnswerOptions) []byte {
	o.Request = &llm.Request{Source: string(dialect.Responses), Raw: body}
	e := newEncoder(o)
	dst = e.Encode(dst, llm.Event{Kind: llm.EventStart})
	return e.Encode(dst, llm.Event{Kind: llm.EventFinish, Stop: llm.StopEnd})
}
