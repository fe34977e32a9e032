package llm

// EventKind tells the events of an answer apart.
type EventKind uint8

// The events, in the order in which an answer has them. Blocks may interleave; each has an index of its own, counted
// from 0 in the order of their BlockStart.
const (
	EventStart    EventKind = iota // ID, Model; Usage as far as it is known by then
	EventBlock                     // a block begins: Block, Part (its kind, and Call for a tool call), no content yet
	EventText                      // Block, Delta: text, refusal
	EventThinking                  // Block, Delta
	EventArgs                      // Block, Delta: fragment of a call's arguments or free text
	EventSeal                      // Block, Part.Opaque: replay state of the block; the last one wins
	EventCitation                  // Block, Part.Raw
	EventStop                      // Block ends
	EventUsage                     // Usage; figures replace earlier ones
	EventFinish                    // Stop, and StopSequence where one matched; at most once, and nothing but Usage follows
	EventFailure                   // Err, and Usage as far as it was told; nothing follows
	EventPing                      // the upstream lives
)

// Event is one step of an answer. It is a plain value so that a stream allocates nothing for it: Delta and Part are
// valid until the decoder's next step, and whoever keeps them copies them.
type Event struct {
	Kind         EventKind
	Block        int
	Delta        []byte
	Part         *Part
	ID           string
	Model        string
	Usage        Usage
	Stop         Stop
	StopSequence string
	Err          error // a *dialect.Failure where the upstream said what went wrong
}

// Stop is why an answer ended.
type Stop uint8

// The reasons.
const (
	StopUnknown Stop = iota
	StopEnd
	StopMatch  // a stop sequence
	StopTool   // the model calls tools
	StopLength // the limit on output
	StopWindow // the model's context window
	StopFilter // declined or filtered
	StopPause  // a hosted tool needs another turn
)

// Answer is a whole answer: the fold of its events.
type Answer struct {
	ID           string
	Model        string
	Parts        []Part
	Usage        Usage
	Stop         Stop
	StopSequence string
}
