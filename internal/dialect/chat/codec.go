package chat

import (
	"detour/internal/dialect"
	"detour/internal/dialect/rawjson"
)

// Codec translates between Chat Completions and the neutral words of package llm, for clients and for upstreams. It is
// stateless and safe for concurrent use.
type Codec struct{}

var (
	_ dialect.Client   = Codec{}
	_ dialect.Upstream = Codec{}
)

// Name implements dialect.Client and dialect.Upstream.
func (Codec) Name() dialect.Name { return dialect.Chat }

// maxCalls bounds the tool calls of one answer, and maxPending the bytes that are kept of calls whose name has not come.
const (
	maxCalls   = 128
	maxPending = 1 << 20
)

// textOf returns the string that raw quotes, or "" for anything else.
func textOf(raw []byte) string { return string(rawjson.Text(raw)) }
