package recall

import (
	"bytes"

	"detour/internal/dialect/rawjson"
)

// What is taken to be needed beside the texts: for a conversation, and for an item that can be referred to.
const (
	overhead     = 512
	itemOverhead = 160
)

// Conversation is what was said up to and including one answer. It is immutable. Conversations that go on from each
// other share what they have in common.
type Conversation struct {
	before   *Conversation // nil at the beginning
	input    []byte        // items that the request added, with commas between them
	output   []byte        // items of the answer, likewise
	items    []namedItem   // those of the answer that have an id
	response []byte        // the whole answer; nil when nobody may ask for it

	size  int64 // bytes of this part alone
	total int64 // bytes of all parts

	kept int // entries and conversations that hold it; guarded by the Store that keeps it
}

type namedItem struct {
	id   string
	text []byte
}

// New returns the conversation that goes on from before, which may be nil, with the items that a request added, with
// commas between them, and the response object that it was answered. whole says that the response itself may be asked
// for. Both texts are copied.
func New(before *Conversation, input, response []byte, whole bool) *Conversation {
	c := &Conversation{before: before, input: bytes.Clone(input)}
	output := rawjson.Get(response, "output")
	if whole {
		c.response = bytes.Clone(response)
		output = rawjson.Get(c.response, "output")
	} else {
		output = bytes.Clone(output)
	}
	for it := rawjson.Elements(output, 0); it.Next(); {
		if id := rawjson.Text(rawjson.Get(it.Raw(), "id")); len(id) > 0 {
			c.items = append(c.items, namedItem{string(id), it.Raw()})
		}
	}
	if rawjson.Of(output) == rawjson.Array {
		c.output = bytes.TrimSpace(output[1 : len(output)-1])
	}
	c.size = overhead + int64(len(c.input)) + int64(max(len(output), len(c.response))) + itemOverhead*int64(len(c.items))
	c.total = c.size
	if before != nil {
		c.total += before.total
	}
	return c
}

// Items returns all items, in pieces with commas between the items of each. What it returns must not be changed.
func (c *Conversation) Items() [][]byte {
	n := 0
	for p := c; p != nil; p = p.before {
		n += 2
	}
	pieces := make([][]byte, n)
	for p := c; p != nil; p = p.before {
		n -= 2
		pieces[n], pieces[n+1] = p.input, p.output
	}
	return pieces
}

// Question returns the conversation before the last request, which may be nil, and the items which that added.
func (c *Conversation) Question() (before *Conversation, input []byte) { return c.before, c.input }

// Size is at least how many bytes the items have.
func (c *Conversation) Size() int64 { return c.total }

// Response returns the whole last answer, or nil. It must not be changed.
func (c *Conversation) Response() []byte { return c.response }
