package messages

import (
	"slices"
	"strconv"

	"detour/internal/dialect"
	"detour/internal/llm"
)

const (
	minBudget = 1024
	// answerRoom is what an answer gets beside the thinking where the limit on output has to be raised.
	answerRoom = 4096
	maxBudget  = 128000
)

// think decides how the model is asked to think, and with it the limit on output.
func (e *requestEncoder) think() {
	r := &e.r.Reasoning
	e.limit()
	off := r.Disabled || r.Effort == llm.EffortNone
	wants := !off && (r.Effort != "" || r.Budget > 0 || r.Adaptive)
	effort := r.Effort
	if effort == "" && r.Budget > 0 {
		effort = effortOf(r.Budget)
	}
	if wants && (e.t.Thinking == dialect.ThinkingAdaptive || len(e.t.Efforts) > 0) && effort != "" {
		e.effort = clampEffort(effort, e.t.Efforts)
	}
	switch {
	case e.t.Thinking == dialect.ThinkingNone:
		if wants && e.effort == "" {
			e.lose("reasoning")
		}
	case off:
		if e.t.Thinking == dialect.ThinkingAdaptive && r.Disabled {
			e.thinking = `{"type":"disabled"}`
		}
	case !wants:
	case e.forced:
		e.lose("reasoning (not together with a forced tool)")
	case e.t.Thinking == dialect.ThinkingAdaptive:
		e.thinks = true
		e.thinking = `{"type":"adaptive"` + e.display() + `}`
		if !e.native && e.maxOutput < answerRoom && rank(effort) >= rank(llm.EffortMedium) {
			e.maxOutput = e.capped(answerRoom)
		}
	default:
		e.effort = ""
		e.thinkWithin(r.Budget, effort)
	}
}

// limit sets the limit on output.
func (e *requestEncoder) limit() {
	e.maxOutput = e.r.MaxOutput
	switch {
	case e.maxOutput == 0 && e.t.MaxOutput > 0:
		e.maxOutput = e.t.MaxOutput
	case e.maxOutput == 0:
		e.maxOutput = someOutput
	case e.maxOutput > e.capped(e.maxOutput):
		e.maxOutput = e.t.MaxOutput
		e.lose("max_tokens beyond the model's limit")
	}
}

// capped brings a limit on output down to what the model can do.
func (e *requestEncoder) capped(n int) int {
	if e.t.MaxOutput > 0 {
		return min(n, e.t.MaxOutput)
	}
	return n
}

// thinkWithin asks a model that thinks by a budget, which must leave room for the answer.
func (e *requestEncoder) thinkWithin(budget int, effort llm.Effort) {
	if e.unsigned() {
		e.lose("reasoning (the last turn has none that could be continued)")
		return
	}
	if budget == 0 {
		budget = e.budgetOf(effort)
	}
	budget = max(budget, minBudget)
	if e.maxOutput <= budget {
		e.maxOutput = max(e.maxOutput, e.capped(budget+answerRoom))
		budget = max(minBudget, min(budget, e.maxOutput-answerRoom))
	}
	if budget >= e.maxOutput {
		e.lose("reasoning (no room within max_tokens)")
		return
	}
	e.thinks = true
	e.thinking = `{"type":"enabled","budget_tokens":` + strconv.Itoa(budget) + e.display() + `}`
}

// display says in what form thoughts come, where the client said so.
func (e *requestEncoder) display() string {
	switch display := e.r.Reasoning.Display; {
	case display == "summarized", display == "omitted":
		return `,"display":"` + display + `"`
	case display == "" && e.r.Reasoning.Summary != "" && e.t.Thinking == dialect.ThinkingAdaptive:
		return `,"display":"summarized"`
	}
	return ""
}

// unsigned reports whether the last answer of the model called tools without thinking first. A model that thinks by a
// budget refuses to go on from that with thinking.
func (e *requestEncoder) unsigned() bool {
	for i := len(e.list) - 1; i >= 0; i-- {
		if m := &e.list[i]; m.role == llm.RoleAssistant {
			calls := slices.ContainsFunc(m.blocks, func(b piece) bool { return b.call })
			return calls && m.blocks[0].kind != llm.PartThinking
		}
	}
	return false
}

// effortOf words a budget.
func effortOf(budget int) llm.Effort {
	switch {
	case budget <= 1024:
		return llm.EffortLow
	case budget <= 8192:
		return llm.EffortMedium
	case budget <= 24576:
		return llm.EffortHigh
	}
	return llm.EffortXHigh
}

// budgetOf gives an effort in tokens.
func (e *requestEncoder) budgetOf(effort llm.Effort) int {
	switch effort {
	case llm.EffortMinimal:
		return minBudget
	case llm.EffortLow:
		return 2048
	case llm.EffortHigh:
		return 24576
	case llm.EffortXHigh:
		return 32768
	case llm.EffortMax:
		return min(maxBudget, e.capped(maxBudget)-1024)
	}
	return 8192
}

// rank orders the efforts; -1 is for words that are none.
func rank(effort llm.Effort) int {
	return slices.Index([]llm.Effort{
		llm.EffortNone, llm.EffortMinimal, llm.EffortLow, llm.EffortMedium, llm.EffortHigh, llm.EffortXHigh, llm.EffortMax,
	}, effort)
}

// clampEffort returns the effort that the model has: the nearest lower one, else the nearest higher. A model that says
// nothing is taken to have the three that all have.
func clampEffort(effort llm.Effort, has []llm.Effort) llm.Effort {
	if len(has) == 0 {
		has = []llm.Effort{llm.EffortLow, llm.EffortMedium, llm.EffortHigh}
	}
	want, below, above := rank(effort), llm.EffortUnset, llm.EffortUnset
	if want < 0 {
		return llm.EffortUnset
	}
	for _, h := range has {
		switch n := rank(h); {
		case n <= 0 || h == llm.EffortMinimal: // neither is an effort of this dialect
		case n <= want && n > rank(below):
			below = h
		case n > want && (above == "" || n < rank(above)):
			above = h
		}
	}
	if below != "" {
		return below
	}
	return above
}
