// Package chat is the identity half of OpenAI Chat Completions: requests are looked into, answers are followed and
// mended while their bytes pass.
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
