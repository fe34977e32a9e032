package responses

import (
	"detour/internal/dialect"
	"detour/internal/dialect/carrier"
	"detour/internal/dialect/rawjson"
	"detour/internal/llm"
)

// Codec translates between Responses and the neutral words of package llm, both ways.
type Codec struct{}

var (
	_ dialect.Client   = Codec{}
	_ dialect.Upstream = Codec{}
)

// Name implements dialect.Client and dialect.Upstream.
func (Codec) Name() dialect.Name { return dialect.Responses }

// NewDecoder implements dialect.Upstream.
func (Codec) NewDecoder() dialect.Decoder { return &decoder{} }

// NewEncoder implements dialect.Client.
func (Codec) NewEncoder(o dialect.AnswerOptions) dialect.Encoder { return newEncoder(o) }

// opaqueOf reads an opaque slot of a request: what a client was given, which is a carrier of ours or the upstream's own
// blob.
func opaqueOf(id, value []byte) llm.Opaque {
	switch {
	case len(value) == 0:
		return llm.Opaque{}
	case len(value) > len(carrier.Prefix) && string(value[:len(carrier.Prefix)]) == carrier.Prefix:
		return llm.Opaque{Kind: llm.OpaqueCarrier, Value: string(value)}
	}
	return llm.Opaque{Kind: llm.OpaqueEncrypted, Value: string(value), ID: string(id)}
}

// appendMember appends a member of an object whose value is a string.
func appendMember[S string | []byte](dst []byte, name string, value S) []byte {
	dst = append(append(append(dst, ',', '"'), name...), '"', ':')
	return rawjson.AppendString(dst, value)
}

// appendRawMember appends a member of an object whose value is JSON text.
func appendRawMember[S ~string | ~[]byte](dst []byte, name string, value S) []byte {
	dst = append(append(append(dst, ',', '"'), name...), '"', ':')
	return append(dst, value...)
}
