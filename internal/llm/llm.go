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

	// NanoAIU is the price that the upstream itself named for the answer, in 10⁻⁹ AI credits. It is at most MaxNanoAIU.
	NanoAIU int64
	// Priced says that the upstream named a price, which may be nothing; without it NanoAIU is zero, not known.
	Priced bool
	// Reported says that the upstream gave figures; without it the other fields are zero, not measured.
	Reported bool
}

// MaxNanoAIU is the most that one answer can cost: a million credits and some. What an upstream says beyond it is not
// to be believed, and would make sums overflow.
const MaxNanoAIU = 1 << 50

// Add adds what another answer used.
func (u *Usage) Add(o Usage) {
	u.Input += o.Input
	u.CacheRead += o.CacheRead
	u.CacheWrite += o.CacheWrite
	u.Output += o.Output
	u.Reasoning += o.Reasoning
	u.NanoAIU += o.NanoAIU
	u.Priced = u.Priced || o.Priced
	u.Reported = u.Reported || o.Reported
}

// Allowance is how an account's premium requests stand, as its upstream counts them.
type Allowance struct {
	Used, Left float64
	Resets     time.Time // zero when it did not say
	Known      bool      // without it the other fields mean nothing
	// Session and Week are the windows in which an upstream bounds how much may be used, of some hours and of a week.
	Session, Week Window
}

// Window is what an upstream says of a limit that fills up again as time passes.
type Window struct {
	Left   float64   // percent
	Resets time.Time // zero when it did not say
	Known  bool      // without it the other fields mean nothing
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
