// Package llm holds the neutral words for what passes between a client and a model: requests, events of an
// answer, usage, initiator. It knows no
// wire format.
package llm

import "time"

// Usage counts the tokens of one answer. The buckets are disjoint: Input leaves out what was read from or written to
// the prompt cache, and Output includes Reasoning. All counts are ≥ 0.
type Usage struct {
	Input      int64
	CacheRead  int64
	CacheWrite int64
	Output     int64
	Reasoning  int64 // part of Output

	// NanoAIU is the price that the upstream itself named for the answer, in 10⁻⁹ AI credits; 0 when it named none.
	NanoAIU int64
	// Reported says that the upstream gave figures; without it the other fields are zero, not measured.
	Reported bool
}

// Allowance is how an account's premium requests stand, as its upstream counts them.
type Allowance struct {
	Used, Left float64
	Resets     time.Time // zero when it did not say
	Known      bool      // without it the other fields mean nothing
}

// Initiator says on whose behalf a request is made: a person's turn, or a step that an agent takes by itself.
type Initiator string

// The two initiators that upstreams distinguish.
const (
	InitiatorUser  Initiator = "user"
	InitiatorAgent Initiator = "agent"
)

// Purpose says what a request that no person's turn began is for, where that can be told.
type Purpose string

// The purposes that upstreams distinguish. The zero value is an ordinary turn.
const (
	PurposeSubagent   Purpose = "subagent"   // an agent that works for another
	PurposeBackground Purpose = "background" // a title, a topic, a probe
	PurposeCompaction Purpose = "compaction" // a summary that takes the place of the conversation
)
