package chat

import (
	"slices"
	"strconv"

	"detour/internal/dialect"
	"detour/internal/llm"
)

// pairedCall is a call of the history with the result that answers it.
type pairedCall struct {
	call   *llm.Call
	wire   string // its id on the wire
	turn   int    // the run of assistant turns that it is in
	result *llm.Result
}

// pair finds the result of each call. Ids that occur more than once are told apart, the same way each time: the history
// of the next request begins with this one. Results without a call are noted as orphans.
func (e *requestEncoder) pair() {
	seen := map[string]int{}
	byID := map[string][]int{}
	run, inRun := 0, false
	for i := range e.r.Turns {
		t := &e.r.Turns[i]
		if assistant := t.Role == llm.RoleAssistant; assistant != inRun {
			inRun = assistant
			run++
		}
		for j := range t.Parts {
			switch p := &t.Parts[j]; {
			case p.Kind == llm.PartCall && p.Call != nil && p.Call.Kind != llm.ToolHosted:
				id := p.Call.ID
				seen[id]++
				wire := id
				if n := seen[id]; n > 1 {
					wire += "#" + strconv.Itoa(n)
				}
				byID[id] = append(byID[id], len(e.calls))
				e.calls = append(e.calls, pairedCall{call: p.Call, wire: dialect.CallID(wire), turn: run})
			case p.Kind == llm.PartResult && p.Result != nil && p.Result.Kind != llm.ToolHosted:
				if k := e.answers(byID[p.Result.ID]); k >= 0 {
					e.calls[k].result = p.Result
				} else {
					if e.orphan == nil {
						e.orphan = map[*llm.Result]bool{}
					}
					e.orphan[p.Result] = true
				}
			}
		}
	}
}

// answers returns which of the calls with one id the next result answers: the first without a result in the latest turn
// that has such a call, else, because a later result replaces an earlier one, the last call; -1 if there is none.
func (e *requestEncoder) answers(same []int) int {
	found := -1
	for _, s := range slices.Backward(same) {
		c := &e.calls[s]
		if found >= 0 && c.turn != e.calls[found].turn {
			break
		}
		if c.result == nil {
			found = s
		}
	}
	if found < 0 && len(same) > 0 {
		return same[len(same)-1]
	}
	return found
}
