package responses

import (
	"slices"
	"strconv"

	"detour/internal/dialect"
	"detour/internal/llm"
)

// pairing says which result belongs to which call, and under which id both go out.
type pairing struct {
	calls   map[*llm.Call]*pair
	results map[*llm.Result]*pair // absent: an orphan
}

// pair is a call and what answered it.
type pair struct {
	call   *llm.Call
	id     string      // on the wire
	result *llm.Result // the last one, nil while there is none
	after  bool        // a turn follows the one with the call
}

// pairUp walks over the history. An id that occurs again belongs to a call of its own; a result belongs to the nearest
// call before it that has none yet, or replaces the result of the nearest that has.
func pairUp(turns []llm.Turn) pairing {
	p := pairing{map[*llm.Call]*pair{}, map[*llm.Result]*pair{}}
	known := map[string][]*pair{}
	for i := range turns {
		for j := range turns[i].Parts {
			part := &turns[i].Parts[j]
			switch {
			case part.Kind == llm.PartCall && part.Call != nil:
				id := part.Call.ID
				wire := dialect.CallID(id)
				if n := len(known[id]); n > 0 {
					wire = dialect.CallID(id + "#" + strconv.Itoa(n+1))
				}
				c := &pair{call: part.Call, id: wire, after: i < len(turns)-1}
				p.calls[part.Call] = c
				known[id] = append(known[id], c)
			case part.Kind == llm.PartResult && part.Result != nil:
				if c := nearest(known[part.Result.ID]); c != nil {
					c.result = part.Result
					p.results[part.Result] = c
				}
			}
		}
	}
	return p
}

// nearest returns the last call without a result, else the last one.
func nearest(calls []*pair) *pair {
	for _, call := range slices.Backward(calls) {
		if call.result == nil {
			return call
		}
	}
	if len(calls) == 0 {
		return nil
	}
	return calls[len(calls)-1]
}
