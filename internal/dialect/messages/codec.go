package messages

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"

	"detour/internal/dialect"
	"detour/internal/dialect/rawjson"
	"detour/internal/llm"
)

// Codec translates between the Messages dialect and the neutral words of package llm. It is stateless and safe for
// concurrent use.
type Codec struct{}

var (
	_ dialect.Client   = Codec{}
	_ dialect.Upstream = Codec{}
)

// Name implements dialect.Client and dialect.Upstream.
func (Codec) Name() dialect.Name { return dialect.Messages }

// AppendCount appends the body that answers messages/count_tokens. DecodeRequest reads such requests.
func AppendCount(dst []byte, tokens int64) []byte {
	dst = append(dst, `{"input_tokens":`...)
	return append(strconv.AppendInt(dst, max(0, tokens), 10), '}')
}

// maxCalls bounds the tool calls of one answer. In bytes, maxPending bounds what is put together of one block, and
// maxHeld what waits for another block to end.
const (
	maxCalls   = 128
	maxPending = 1 << 20
	maxHeld    = 64 << 20
)

// stopOf reads a stop_reason. called says that the answer has calls for the client, which count for more than the
// word: upstreams are known to end such an answer with end_turn.
func stopOf(reason []byte, called bool) llm.Stop {
	switch string(reason) {
	case "max_tokens":
		return llm.StopLength
	case "model_context_window_exceeded":
		return llm.StopWindow
	case "refusal":
		return llm.StopFilter
	case "pause_turn":
		return llm.StopPause
	case "stop_sequence":
		if !called {
			return llm.StopMatch
		}
	}
	if called {
		return llm.StopTool
	}
	return llm.StopEnd
}

// stopWord words a stop. sequence is the matched stop sequence, "" when there is none to tell.
func stopWord(stop llm.Stop, match string, called bool) (reason, sequence string) {
	switch stop {
	case llm.StopLength:
		return "max_tokens", ""
	case llm.StopWindow:
		return "model_context_window_exceeded", ""
	case llm.StopFilter:
		return "refusal", ""
	case llm.StopPause:
		return "pause_turn", ""
	case llm.StopMatch:
		if match != "" && !called {
			return "stop_sequence", match
		}
	}
	if called {
		return "tool_use", ""
	}
	return "end_turn", ""
}

// cutShort reports whether an answer with this stop may end inside a tool call.
func cutShort(stop llm.Stop) bool {
	return stop == llm.StopLength || stop == llm.StopWindow || stop == llm.StopFilter
}

// appendStop appends an object, open at its end, with stop_reason and stop_sequence.
func appendStop(dst []byte, reason, sequence string) []byte {
	dst = append(dst, `{"stop_reason":"`...)
	dst = append(dst, reason...)
	dst = append(dst, `","stop_sequence":`...)
	if sequence == "" {
		return append(dst, "null"...)
	}
	return rawjson.AppendString(dst, sequence)
}

// appendUsage appends the counts of an answer. Clients need the object even where nothing was reported.
func appendUsage(dst []byte, u llm.Usage) []byte {
	dst = strconv.AppendInt(append(dst, `{"input_tokens":`...), max(0, u.Input), 10)
	dst = strconv.AppendInt(append(dst, `,"cache_creation_input_tokens":`...), max(0, u.CacheWrite), 10)
	dst = strconv.AppendInt(append(dst, `,"cache_read_input_tokens":`...), max(0, u.CacheRead), 10)
	dst = strconv.AppendInt(append(dst, `,"output_tokens":`...), max(0, u.Output), 10)
	if u.Reasoning > 0 {
		dst = strconv.AppendInt(append(dst, `,"output_tokens_details":{"thinking_tokens":`...), u.Reasoning, 10)
		dst = append(dst, '}')
	}
	return append(dst, '}')
}

// messageID makes the id of an answer of the upstream's, so that both can be found in logs. spare stands in where there
// is none.
func messageID(id, spare string) string {
	if id == "" {
		id = spare
	}
	for _, prefix := range []string{"chatcmpl-", "resp_"} {
		id = strings.TrimPrefix(id, prefix)
	}
	switch {
	case id == "":
		return "msg_0"
	case strings.HasPrefix(id, "msg_") && len(id) < 64:
		return id
	case len(id) >= 60:
		sum := sha256.Sum256([]byte(id))
		id = hex.EncodeToString(sum[:12])
	}
	return "msg_" + id
}
