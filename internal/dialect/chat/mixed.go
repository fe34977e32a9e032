package chat

import (
	"detour/internal/dialect/responses"
	"detour/internal/llm"
)

// decodeResponses takes the body of a Responses request that was sent to the Chat Completions endpoint. The answer still
// goes out in this dialect, whose way to ask for usage such bodies use.
func decodeResponses(body []byte, wantUsage bool) (*llm.Request, error) {
	r, err := responses.Codec{}.DecodeRequest(body)
	if err != nil {
		return nil, err
	}
	r.WantUsage = r.WantUsage || wantUsage
	return r, nil
}
