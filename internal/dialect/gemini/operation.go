package gemini

import "strings"

// Method is what a path asks for.
type Method string

// The methods that are served.
const (
	Generate Method = "generateContent"
	Stream   Method = "streamGenerateContent"
	Count    Method = "countTokens"
)

// Operation reads a path of the form /v1beta/models/{model}:{method}, /v1/… included, and the value of the query
// parameter alt. ok is false for every other path; the caller matches the HTTP method, which is POST.
func Operation(path, alt string) (c Codec, m Method, ok bool) {
	rest, ok := strings.CutPrefix(path, "/v1beta/models/")
	if !ok {
		rest, ok = strings.CutPrefix(path, "/v1/models/")
	}
	colon := strings.LastIndexByte(rest, ':')
	if !ok || colon <= 0 {
		return Codec{}, "", false
	}
	c.Model, m = rest[:colon], Method(rest[colon+1:])
	switch m {
	case Generate, Count:
	case Stream:
		c.Stream, c.Array = true, alt != "sse"
	default:
		return Codec{}, "", false
	}
	return c, m, true
}
