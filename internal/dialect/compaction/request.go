package compaction

import (
	"slices"

	"detour/internal/llm"
)

// MaxSummary bounds a summary, in tokens.
const MaxSummary = 16 << 10

// Request returns the request for a summary of the conversation of r, or nil when there is no conversation. What r says
// about its answer does not hold for the summary. Its tools stay declared, because upstreams refuse a history of calls
// without them, but none may be called. limit is the room that the model has for a prompt, in tokens as count counts
// them, or 0 when that is not known: what does not fit is left out. r does not change.
func Request(r *llm.Request, limit int, count func(*llm.Request) int) *llm.Request {
	if len(r.Turns) == 0 {
		return nil
	}
	out := *r
	out.Compact, out.Stream = false, true
	out.Tools = slices.DeleteFunc(slices.Clone(r.Tools), func(t llm.Tool) bool { return t.Kind == llm.ToolHosted })
	out.Choice, out.Parallel = llm.Choice{}, nil
	if len(out.Tools) > 0 {
		out.Choice.Mode = llm.ChoiceNone
	}
	out.MaxOutput, out.Candidates = MaxSummary, 0
	out.Temperature, out.TopP, out.TopK, out.Stop = nil, nil, nil, nil
	out.Reasoning, out.Output = llm.Reasoning{}, llm.Output{}
	out.Extras = nil
	out.Turns = append(slices.Clip(out.Turns), ask(Prompt+note))
	if !fit(&out, limit, count) {
		out.Turns[len(out.Turns)-1] = ask(Prompt)
	}
	return &out
}

func ask(text string) llm.Turn {
	return llm.Turn{Role: llm.RoleUser, Parts: []llm.Part{{Kind: llm.PartText, Text: text}}}
}
