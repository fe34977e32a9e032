package dialect

import (
	"detour/internal/llm"
	"detour/internal/sse"
)

// Client is the half of a dialect that clients need: it reads their requests and writes their answers. Its values are
// stateless and safe for concurrent use. Translation is deterministic: the same request becomes the same neutral
// request, and events become the same bytes, because prompt caches depend on it.
type Client interface {
	Name() Name
	// DecodeRequest reads a request. Its error is a *Failure with Status 400 whose Param is the JSON path of the mistake;
	// so is what would change the meaning of the request if it were left out. body may be retained.
	DecodeRequest(body []byte) (*llm.Request, error)
	// NewEncoder writes one streamed answer.
	NewEncoder(AnswerOptions) Encoder
	// EncodeAnswer appends a whole answer's body.
	EncodeAnswer(dst []byte, a *llm.Answer, o AnswerOptions) []byte
}

// Upstream is the half of a dialect that upstreams need: it writes requests and reads answers. Its values are stateless
// and safe for concurrent use.
type Upstream interface {
	Name() Name
	// EncodeRequest writes r for a model. It reads r and changes nothing in it.
	EncodeRequest(r *llm.Request, t Target) (Encoded, error)
	// NewDecoder reads one streamed answer.
	NewDecoder() Decoder
	// DecodeAnswer appends the events that a whole answer stands for. An error means that body is no answer.
	DecodeAnswer(dst []llm.Event, body []byte) ([]llm.Event, error)
}

// Encoded is a request in an upstream's dialect.
type Encoded struct {
	Body []byte
	// Lost names, in the client's words, what the dialect or the model cannot say and what was left out for it.
	Lost []string
	// Tools leads from the names on the wire back to the tools that the client declared.
	Tools *ToolNames
	// Stop has the stop sequences that the upstream does not know. The answer is to be ended at them by a Stopper.
	Stop []string
}

// Decoder turns the frames of one streamed answer into events. It is a pure step function: no I/O, no clock, no
// goroutine; one goroutine uses it. The events' slices are valid until the next step.
type Decoder interface {
	// Decode appends the events of one frame. Frames that mean nothing append nothing. An in-band error becomes an
	// EventFailure.
	Decode(dst []llm.Event, f sse.Frame) []llm.Event
	// Close appends what the end of the stream settles (an EventFinish that was held back for late usage), or an
	// EventFailure with io.ErrUnexpectedEOF when the answer lacks its end.
	Close(dst []llm.Event) []llm.Event
}

// Encoder turns events into the frames of one streamed answer. It is a pure step function like Decoder, and allocates
// nothing for a delta once it is warm. After an EventFailure it writes the dialect's error event, never a success.
type Encoder interface {
	Encode(dst []byte, e llm.Event) []byte
	// Ping appends a sign of life that clients of the dialect tolerate between two events.
	Ping(dst []byte) []byte
}

// AnswerOptions say how an answer is written.
type AnswerOptions struct {
	Request *llm.Request // that it answers: for echoes, and for what the client wants to see
	Model   string       // the name that the client asked for
	ID      string       // stands in where the upstream names none
	OwnID   bool         // ID counts whatever id the upstream gives (responses only)
	Created int64        // Unix seconds
	// ReasoningText says that a Chat client reads reasoning where Copilot puts it (reasoning_text), not in
	// reasoning_content.
	ReasoningText bool
}

// ThinkingMode is how a Messages model is asked to think.
type ThinkingMode uint8

// The modes.
const (
	ThinkingNone     ThinkingMode = iota // cannot think, or is not known to
	ThinkingEnabled                      // by a budget in tokens
	ThinkingAdaptive                     // by itself, guided by an effort
)

// Target is what an encoder must know of the model. The zero value of each field is the careful choice.
type Target struct {
	Model     string
	MaxOutput int          // tokens; 0 when unknown
	Efforts   []llm.Effort // that the model advertises, in order; nil when it says nothing
	Thinking  ThinkingMode
	Reasons   bool // a reasoning model: sampling parameters are refused
	// MidSystem, CustomTools and ToolImages say that the model takes system turns in mid-conversation, free-text tools,
	// and images in tool results.
	MidSystem, CustomTools, ToolImages bool
	// CustomInChat says that CustomTools holds in Chat, too: many services know free-text tools in Responses alone.
	CustomInChat bool
	// MaxTokensOld says that a Chat model wants max_tokens, not max_completion_tokens.
	MaxTokensOld bool
	// UsageIfAsked says that a Chat model tells the usage of a stream to those alone who ask for it.
	UsageIfAsked bool
	// CopilotCache marks messages for Copilot's prompt cache (chat).
	CopilotCache bool
	// Files and PlainThinking say that a Chat model takes file parts, and its own reasoning back as plain text
	// (reasoning_content) without replay state.
	Files, PlainThinking bool
	// Namespaces and NativeTools say that a Responses model takes namespaces of tools, and the built-in shell and patch
	// tools. Otherwise the former are flattened and the latter go out as functions.
	Namespaces, NativeTools bool
	// Collaboration says that the upstream is the one for which Codex's reserved namespace is meant. Others get it under
	// another name.
	Collaboration bool
	// HostedTools are the types of hosted tools, in the words of the target's dialect, that the model's provider
	// executes ("web_search"). Others are left out.
	HostedTools []string
}
