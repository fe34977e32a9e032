package providers

// Mender is implemented by providers whose upstream refuses parts of requests that it takes at other times or from
// other models, so that the refusal itself is the first to tell.
type Mender interface {
	// Mend returns c.Body without what e complains of, or ok false when e is about anything else. A caller that has
	// sent nothing to its client yet may send the request once more with it, to the same account; and only once,
	// because the next refusal may be about what the last mending did. It does no I/O and changes neither c nor e.
	Mend(c *Call, e *Error) (body []byte, ok bool)
}
