package responses

import (
	"bytes"

	"detour/internal/llm"
)

// history makes turns of input items. What tools answered follows the calls directly: a message in between waits until
// the answers that are still to come are there, because no other dialect can say it there.
type history struct {
	leading []llm.Part // instructions in front of the conversation
	turns   []llm.Turn
	coming  map[string]int  // how many outputs of a call id are still to come in the input
	open    map[string]bool // calls whose output is still to come
	waiting []llm.Turn      // messages that came too early
}

// expect looks ahead for the outputs of calls.
func (h *history) expect(items []inputItem) {
	h.coming, h.open = map[string]int{}, map[string]bool{}
	for i := range items {
		if bytes.HasSuffix(items[i].typ, []byte("_call_output")) {
			h.coming[string(items[i].callID)]++
		}
	}
}

// message takes a message.
func (h *history) message(role llm.Role, phase string, parts []llm.Part) {
	if len(parts) == 0 {
		return
	}
	switch {
	case role == llm.RoleSystem && len(h.turns) == 0 && len(h.waiting) == 0:
		h.leading = append(h.leading, parts...)
	case role == llm.RoleAssistant && h.continues(phase):
		last := &h.turns[len(h.turns)-1]
		last.Parts = append(last.Parts, parts...)
		if phase != "" {
			last.Phase = phase
		}
	case len(h.open) > 0:
		h.waiting = append(h.waiting, llm.Turn{Role: role, Phase: phase, Parts: parts})
	default:
		h.turns = append(h.turns, llm.Turn{Role: role, Phase: phase, Parts: parts})
	}
}

// continues reports whether an assistant message of a phase belongs to the turn that is there: a turn has one phase.
func (h *history) continues(phase string) bool {
	if len(h.turns) == 0 || h.turns[len(h.turns)-1].Role != llm.RoleAssistant {
		return false
	}
	last := &h.turns[len(h.turns)-1]
	if last.Phase == phase {
		return true
	}
	for i := range last.Parts {
		if k := last.Parts[i].Kind; k == llm.PartText || k == llm.PartRefusal {
			return false
		}
	}
	return true
}

// assistant takes something that the model made besides messages.
func (h *history) assistant(p llm.Part) {
	if p.Call != nil && h.coming[p.Call.ID] > 0 {
		h.open[p.Call.ID] = true
	}
	h.add(llm.RoleAssistant, p, func(*llm.Part) bool { return true })
}

// user takes something that came back to the model besides messages and outputs of calls.
func (h *history) user(p llm.Part) {
	h.add(llm.RoleUser, p, func(last *llm.Part) bool { return last.Kind == llm.PartOpaque || last.Kind == llm.PartResult })
}

// result takes the output of a call.
func (h *history) result(p llm.Part) {
	h.add(llm.RoleUser, p, func(last *llm.Part) bool { return last.Kind == llm.PartResult })
	id := p.Result.ID
	h.coming[id]--
	if delete(h.open, id); len(h.open) == 0 {
		h.flush()
	}
}

// add puts p into the last turn if that is of the role and its last part can be joined, else into a new one.
func (h *history) add(role llm.Role, p llm.Part, joins func(last *llm.Part) bool) {
	if n := len(h.turns); n > 0 && h.turns[n-1].Role == role {
		last := &h.turns[n-1]
		if joins(&last.Parts[len(last.Parts)-1]) {
			last.Parts = append(last.Parts, p)
			return
		}
	}
	h.turns = append(h.turns, llm.Turn{Role: role, Parts: []llm.Part{p}})
}

func (h *history) flush() {
	h.turns = append(h.turns, h.waiting...)
	h.waiting = h.waiting[:0]
}

func (h *history) close() []llm.Turn {
	h.flush()
	return h.turns
}
