// Package gemini is the client half of Gemini generateContent: it reads the requests of Gemini clients and writes
// their answers. No upstream speaks this dialect, so it has neither request encoder nor answer decoder.
//
// Unlike in the other dialects a request body names neither its model nor whether it wants a stream: both are in the
// path, /v1beta/models/{model}:{method}. And a stream comes in one of two framings: server-sent events (?alt=sse) or,
// without that parameter, one JSON array. So a Codec is a value that carries what the path said; see Operation.
package gemini

import "detour/internal/dialect"

// Codec is the Gemini dialect for one kind of call. The zero Codec takes the model from the body, wants a whole answer
// and writes streams as server-sent events. It is a plain value: copies may be used concurrently.
type Codec struct {
	// Model is the model that the path names. Without it a body must have a member "model".
	Model string
	// Stream says that the path's method streams.
	Stream bool
	// Array says that streams are written as one JSON array, not as server-sent events.
	Array bool
}

var _ dialect.Client = Codec{}

// Name implements dialect.Client.
func (Codec) Name() dialect.Name { return dialect.Gemini }

// ContentType is the media type of a streamed answer.
func (c Codec) ContentType() string {
	if c.Array {
		return "application/json; charset=UTF-8"
	}
	return "text/event-stream"
}
