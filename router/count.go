package router

import (
	"fmt"
	"net/http"

	"detour/internal/dialect"
	"detour/internal/llm"
)

// counter is the half of a dialect that reads requests to count tokens and answers them.
type counter interface {
	DecodeCount(body []byte) (*llm.Request, error)
	AppendCount(dst []byte, tokens int) []byte
}

// estimateTokens answers a request to count tokens from what is known here.
func (x *exchange) estimateTokens() {
	decode, write := x.op.client.DecodeRequest, func(n int) []byte { return fmt.Appendf(nil, `{"input_tokens":%d}`, n) } // Messages
	if c, ok := x.op.client.(counter); ok {
		decode, write = c.DecodeCount, func(n int) []byte { return c.AppendCount(nil, n) }
	}
	r, err := decode(x.call.Body)
	if err != nil {
		x.fail(asFailure(err))
		return
	}
	x.rec.Model = x.call.Model.ID
	x.respondJSON(http.StatusOK, write(x.table.count.Count(r, x.call.Model.ID)))
}

// asFailure is err as the client gets to read it.
func asFailure(err error) dialect.Failure {
	if f, ok := err.(*dialect.Failure); ok { //nolint:errorlint // decoders return it bare
		return *f
	}
	return dialect.Failure{Status: http.StatusBadRequest, Message: err.Error()}
}
