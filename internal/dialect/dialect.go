// Package dialect names the wire dialects and holds the contracts that every dialect's own package fulfils.
//
// A Format is what the identity path needs (client and upstream speak the same dialect): it looks into a request
// without decoding it, follows an answer while its bytes pass, mends what an upstream is known to leave out, and
// words an error the way clients of the dialect expect it. Unknown fields survive byte for byte.
package dialect

import (
	"fmt"

	"detour/internal/llm"
	"detour/internal/sse"
)

// Name is a wire dialect.
type Name string

// The dialects.
const (
	Chat      Name = "chat"      // OpenAI Chat Completions
	Responses Name = "responses" // OpenAI Responses
	Messages  Name = "messages"  // Anthropic Messages
	Gemini    Name = "gemini"    // Gemini generateContent
)

// Endpoint is one operation of a dialect.
type Endpoint string

// The endpoints that are recognised on the doors.
const (
	EndpointChat        Endpoint = "chat/completions"
	EndpointResponses   Endpoint = "responses"
	EndpointCompact     Endpoint = "responses/compact"
	EndpointMessages    Endpoint = "messages"
	EndpointCountTokens Endpoint = "messages/count_tokens"
	EndpointEmbeddings  Endpoint = "embeddings"
	EndpointModels      Endpoint = "models"
	// Gemini clients only: no upstream serves these.
	EndpointGenerate      Endpoint = "generateContent"
	EndpointGenerateCount Endpoint = "countTokens"
)

// Peek is what routing needs to know of a request body.
type Peek struct {
	Model  string
	Stream bool
	// Initiator follows the last-message rule: user when the last item that is not a system or developer message is
	// a user message with any part that is not a tool result, else agent.
	Initiator llm.Initiator
	// Purpose is known of some requests that no person wrote.
	Purpose llm.Purpose
	// Mixed says that the body is not in its dialect's own words, or not only, and has to be read and written anew.
	Mixed bool
	// Vision says that an image is anywhere in the body, tool results included.
	Vision bool
	// Session is the conversation id that the body itself names (prompt_cache_key, metadata.user_id), or "".
	Session string
	// Opening hashes the system prompt and the first user message: the same for each turn of one conversation.
	Opening uint64

	// Previous is the id of the answer that the request goes on from, or "". References says that it names items by
	// their id instead of saying them. Remember says that the client may refer to the answer later. Only Responses has
	// these.
	Previous             string
	References, Remember bool
	// Compact says that a compaction of the conversation is asked for in the place of an answer (responses).
	Compact bool
}

// Failure is an error as it travels between an upstream and a client, in no dialect's shape.
type Failure struct {
	Status  int    // HTTP status; 0 inside a stream that gave none
	Type    string // the upstream's own type, or "" to derive it from Status
	Code    string // machine-readable code, or ""
	Param   string // JSON path of the offending field, or ""
	Message string // for people; forwarded verbatim, because clients match its wording
}

// Error implements error.
func (f *Failure) Error() string {
	if f.Code != "" {
		return fmt.Sprintf("%s (%s)", f.Message, f.Code)
	}
	return f.Message
}

// Class says what one frame means for the fate of a stream.
type Class uint8

// The classes. Until the first frame that is not Meta, nothing has to be sent and another account may still be tried.
const (
	Meta     Class = iota // nothing that a client could act on: comment, ping, preamble, empty first chunk
	Content               // part of the answer
	Terminal              // the proper end of the answer; Meta or Content frames may follow (usage, [DONE])
	Failed                // an in-band error; Tap.Failure has it
)

// TapOptions say how a Tap shapes the answer. The zero value of each field is meaningful.
type TapOptions struct {
	// ID and Created stand in where the upstream leaves out the answer's id or its creation time (Unix seconds).
	ID      string
	Created int64
	// OwnID says that ID counts whatever id the upstream gives (responses only).
	OwnID bool
	// HideUsage drops a usage-only chunk that was asked for on the client's behalf (chat only).
	HideUsage bool
	// Seal wraps an opaque blob together with the raw item id that it is bound to (responses only). nil leaves blobs
	// as they are.
	Seal func(id, blob string) string
	// Reserved is the name by which the reserved namespace of Codex went up, "" when it did not (responses only).
	Reserved string
}

// Tap follows one streamed answer on the identity path. It is a pure step function: no I/O, no clock, no goroutine.
// It is used by one goroutine; dst and the frame's slices may be retained by nobody.
type Tap interface {
	// Frame appends to dst what the client gets for f: most often f.Raw unchanged, sometimes nothing.
	Frame(dst []byte, f sse.Frame) ([]byte, Class)
	// Failure is the in-band error of the last frame of class Failed.
	Failure() Failure
	// Close ends the stream. After a Terminal frame it appends what the dialect still needs (such as a [DONE] that the
	// upstream left out) and returns nil. Otherwise it appends the dialect's own error event saying why, never a
	// success, and returns cause or, where cause is nil, io.ErrUnexpectedEOF. After a Failed frame that was already
	// appended it appends only what the dialect needs after an error.
	Close(dst []byte, cause error) ([]byte, error)
	// Usage is what the answer reported so far.
	Usage() llm.Usage
}

// Format is the identity half of a dialect. Its values are stateless and safe for concurrent use.
type Format interface {
	Name() Name
	// Peek looks into a request body. Its error is a *Failure with Status 400 and, where one field is at fault, Param.
	Peek(body []byte) (Peek, error)
	NewTap(TapOptions) Tap
	// Repair mends a whole (not streamed) answer the way a Tap mends a stream. It may return body itself.
	Repair(body []byte, o TapOptions) ([]byte, llm.Usage)
	// AppendError appends f as the JSON body of an error answer of this dialect.
	AppendError(dst []byte, f Failure) []byte
}
