// Package chat is OpenAI Chat Completions. Format is its identity half: requests are looked into, answers are followed
// and mended while their bytes pass. Codec translates both ways between the dialect and the neutral words of package llm,
// for clients that speak it and for upstreams that do.
package chat

import (
	"detour/internal/dialect"
)

// Format is the Chat Completions dialect.
type Format struct{}

var _ dialect.Format = Format{}

// Name implements dialect.Format.
func (Format) Name() dialect.Name { return dialect.Chat }

// AppendError implements dialect.Format.
func (Format) AppendError(dst []byte, f dialect.Failure) []byte {
	return dialect.AppendOpenAIError(dst, f)
}
