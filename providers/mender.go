package providers

// Mender is implemented by providers whose upstream refuses parts of requests that it takes at other times or from
// other models, so that the refusal itself is the first to tell.
type Mender interface {
	// Mend returns c.Body without what e complains of, or ok false when e is about anything else. A caller that has
	// sent nothing to its client yet may send the request once more with it, to the same account; and only once,
	// because the next refusal may be about what the last mending did. It does no I/O and changes neither c nor e.
	Mend(c *Call, e *Error) (body []byte, ok bool)
}

// Learner is implemented by providers whose upstream refuses the same part of every request for a model: one refusal
// tells enough to get the next request right the first time.
type Learner interface {
	// Learn returns what e teaches about requests for c.Model at c.Endpoint beyond what c.Lessons says already, or nil
	// when e is about this one request, or about nothing that can be mended. NewRequest heeds c.Lessons; with those that
	// Learn returns it makes another request of c than without. A lesson is a few words in the provider's own language,
	// fit for a log. Learn does no I/O and changes neither c nor e.
	Learn(c *Call, e *Error) []string
}
