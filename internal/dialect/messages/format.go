// Package messages is the Anthropic Messages dialect.
//
// Format is its identity half: requests are looked into, answers are followed and mended while their bytes pass. Codec
// is the other half: it translates requests and answers from and to the neutral words of package llm.
package messages

import (
	"detour/internal/dialect"
	"detour/internal/dialect/rawjson"
	"detour/internal/llm"
)

// Format is the Messages dialect.
type Format struct{}

var _ dialect.Format = Format{}

// Name implements dialect.Format.
func (Format) Name() dialect.Name { return dialect.Messages }

// AppendError implements dialect.Format. A prompt that does not fit is worded the way Anthropic words it.
func (Format) AppendError(dst []byte, f dialect.Failure) []byte {
	dst = append(dst, `{"type":"error","error":{"type":`...)
	dst = rawjson.AppendString(dst, f.AnthropicType())
	dst = append(dst, `,"message":`...)
	dst = rawjson.AppendString(dst, f.AnthropicMessage())
	return append(dst, "}}"...)
}

// Repair implements dialect.Format. All that whole answers of this dialect are known to lack is the stop reason of those
// that call tools.
func (Format) Repair(body []byte, _ dialect.TapOptions) ([]byte, llm.Usage) {
	var u llm.Usage
	if !rawjson.Valid(body) {
		return body, u
	}
	var reason rawjson.Field
	called := false
	for it := rawjson.Members(body, 0); it.Next(); {
		switch string(it.Key()) {
		case "usage":
			readUsage(&u, it.Raw())
		case "copilot_usage":
			dialect.ReadPrice(&u, it.Raw())
		case "stop_reason":
			reason = it.Field()
		case "content":
			for block := rawjson.Elements(it.Raw(), 0); block.Next(); {
				called = called || string(rawjson.Get(block.Raw(), "type")) == `"tool_use"`
			}
		}
	}
	var p rawjson.Patch
	if called {
		mendReason(&p, reason)
	}
	if p.Empty() {
		return body, u
	}
	return p.Apply(make([]byte, 0, len(body)+16), body), u
}

// readUsage takes the counts that raw holds; those that it leaves out stay.
func readUsage(u *llm.Usage, raw []byte) {
	if rawjson.Of(raw) != rawjson.Object {
		return
	}
	u.Reported = true
	dialect.ReadCost(u, raw)
	for it := rawjson.Members(raw, 0); it.Next(); {
		if rawjson.Of(it.Raw()) == rawjson.Null {
			continue
		}
		switch string(it.Key()) {
		case "input_tokens":
			u.Input = dialect.Tokens(it.Raw())
		case "cache_read_input_tokens":
			u.CacheRead = dialect.Tokens(it.Raw())
		case "cache_creation_input_tokens":
			u.CacheWrite = dialect.Tokens(it.Raw())
		case "output_tokens":
			u.Output = dialect.Tokens(it.Raw())
		case "output_tokens_details":
			u.Reasoning = dialect.Tokens(rawjson.Get(it.Raw(), "thinking_tokens"))
		case "copilot_usage":
			dialect.ReadPrice(u, it.Raw())
		}
	}
	u.Reasoning = min(u.Reasoning, u.Output)
}
