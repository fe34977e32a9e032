package chat

import (
	"slices"

	"detour/internal/dialect"
	"detour/internal/dialect/rawjson"
	"detour/internal/llm"
)

// minBudget is the least that a budget for thinking may be, in tokens.
const minBudget = 1024

// reasoning writes how hard to think, as an effort. A budget is written together with the limit on output.
func (e *requestEncoder) reasoning() {
	want := e.effort()
	if want == llm.EffortUnset {
		return
	}
	if !e.thinksByEffort() {
		if want != llm.EffortNone && e.t.Thinking != dialect.ThinkingEnabled {
			e.lose("reasoning_effort")
		}
		return
	}
	e.key("reasoning_effort")
	e.out = rawjson.AppendString(e.out, string(nearest(want, e.t.Efforts)))
}

// thinksByEffort reports whether the model is told an effort rather than a budget.
func (e *requestEncoder) thinksByEffort() bool {
	return len(e.t.Efforts) > 0 || e.t.Efforts == nil && e.t.Reasons && e.t.Thinking != dialect.ThinkingEnabled
}

// effort is how hard the client wants the model to think, in levels.
func (e *requestEncoder) effort() llm.Effort {
	switch t := e.r.Reasoning; {
	case t.Disabled:
		return llm.EffortNone
	case t.Effort != llm.EffortUnset:
		return t.Effort
	case t.Budget <= 0:
		return llm.EffortUnset
	case t.Budget <= minBudget:
		return llm.EffortLow
	case t.Budget <= 8192:
		return llm.EffortMedium
	case t.Budget <= 24576:
		return llm.EffortHigh
	}
	return llm.EffortXHigh
}

// limits returns how many tokens the model may write, and of these think; 0 where nothing is to be said.
func (e *requestEncoder) limits() (output, thinking int) {
	output = e.r.MaxOutput
	if e.t.MaxOutput > 0 && output > e.t.MaxOutput {
		output = e.t.MaxOutput
	}
	if output == 0 && e.t.MaxTokensOld {
		output = e.t.MaxOutput // several such models need a limit
	}
	if e.thinksByEffort() || e.t.Thinking != dialect.ThinkingEnabled {
		return output, 0
	}
	thinking = e.budget()
	if thinking == 0 || output == 0 || thinking < output {
		return output, thinking
	}
	const answer = 4096 // that is left for the answer itself
	output = thinking + answer
	if e.t.MaxOutput > 0 {
		output = min(output, e.t.MaxOutput)
	}
	if thinking = min(thinking, output-minBudget); thinking < minBudget {
		thinking = 0
	}
	return output, thinking
}

func (e *requestEncoder) budget() int {
	if e.r.Reasoning.Budget > 0 && !e.r.Reasoning.Disabled {
		return max(e.r.Reasoning.Budget, minBudget)
	}
	switch e.effort() {
	case llm.EffortMinimal:
		return minBudget
	case llm.EffortLow:
		return 2048
	case llm.EffortMedium:
		return 8192
	case llm.EffortHigh:
		return 24576
	case llm.EffortXHigh:
		return 32768
	case llm.EffortMax:
		if e.t.MaxOutput > 2*minBudget {
			return min(128000, e.t.MaxOutput-minBudget)
		}
		return 128000
	}
	return 0
}

// nearest brings a level to what a model offers: the next lower one, else the next higher.
func nearest(want llm.Effort, offered []llm.Effort) llm.Effort {
	if len(offered) == 0 || slices.Contains(offered, want) {
		return want
	}
	order := efforts()
	at := slices.Index(order, want)
	for i := at - 1; i >= 0; i-- {
		if slices.Contains(offered, order[i]) && order[i] != llm.EffortNone {
			return order[i]
		}
	}
	for _, level := range order[at+1:] {
		if slices.Contains(offered, level) {
			return level
		}
	}
	return offered[0]
}
