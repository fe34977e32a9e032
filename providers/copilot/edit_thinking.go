package copilot

import (
	"strconv"

	"github.com/tidwall/gjson"
)

// thinking says how a request asks its model to think, in the words that the model takes.
type thinking struct {
	kind      string // "", "disabled", "enabled", "adaptive", or what is newer than this program
	budget    int64  // of kind enabled
	display   bool   // the client's word for the form of the thoughts may stay
	changed   bool   // kind or budget are not what the client said
	effort    string // "" for none
	maxTokens int64  // 0 for none
	off       bool   // the client asked for thinking and does not get it
}

// active reports whether the model thinks.
func (t *thinking) active() bool { return t.kind != "" && t.kind != "disabled" }

// planThinking decides how the model is asked to think. effort is what the request says, or "".
func planThinking(p *patch, c claude, effort string, unsigned func() bool) thinking {
	said := p.get("thinking")
	t := thinking{kind: said.Get("type").String(), budget: said.Get("budget_tokens").Int(), effort: effort}
	display := said.Get("display")
	t.display = display.Type == gjson.String && (display.Str == "summarized" || display.Str == "omitted")
	t.maxTokens = p.get("max_tokens").Int()
	if c.maxOutput > 0 && t.maxTokens > c.maxOutput {
		t.maxTokens = c.maxOutput
	}
	choice := p.get("tool_choice").Get("type").String()
	asked := t.kind
	switch forced := choice == "any" || choice == "tool"; {
	case !t.active():
	case forced: // a tool has to be called, and the model is not let think first
		t.kind = ""
	case t.kind == "enabled" && c.adaptiveOnly:
		t.kind = "adaptive"
		if t.effort == "" {
			t.effort = effortOf(t.budget)
		}
	case t.kind != "enabled" && c.known && !c.adaptive:
		t.kind, t.budget = "enabled", budgetOf(t.effort)
	}
	if t.kind == "enabled" {
		t.fit(unsigned)
	}
	t.off = t.kind == "" && asked != "" && asked != "disabled"
	t.changed = t.kind != asked || t.kind == "enabled" && t.budget != said.Get("budget_tokens").Int()
	switch {
	case !c.takesEffort():
		t.effort = ""
	case t.effort != "":
		t.effort = nearest(t.effort, c.efforts)
	}
	return t
}

// fit makes the budget leave room for the answer. A model that thinks by a budget refuses to go on from a turn of its
// own that called tools without thinking first.
func (t *thinking) fit(unsigned func() bool) {
	if t.maxTokens > 0 && t.budget >= t.maxTokens {
		t.budget = max(t.maxTokens/2, min(t.budget, t.maxTokens-minBudget))
	}
	t.budget = max(t.budget, minBudget)
	if t.maxTokens > 0 && t.budget >= t.maxTokens || unsigned() {
		t.kind = ""
	}
}

// edit changes the member.
func (t *thinking) edit(p *patch, v gjson.Result) {
	add := ""
	if t.changed {
		add = `"type":"` + t.kind + `"`
		if t.kind == "enabled" {
			add += `,"budget_tokens":` + strconv.FormatInt(t.budget, 10)
		}
	}
	p.object(v, add, func(name string, _ gjson.Result) bool {
		switch name {
		case "type":
			return t.changed
		case "budget_tokens":
			return t.changed || t.kind == "adaptive" || t.kind == "disabled"
		case "display":
			return !t.display
		}
		return false
	})
}

// sampling reports whether a parameter that shapes the choice of tokens has to go.
func (t *thinking) sampling(p *patch, c claude, name string, v gjson.Result) bool {
	switch {
	case c.newest:
		return true
	case name == "temperature":
		return t.active() && v.Float() != 1
	case name == "top_k":
		return t.active()
	case p.get("temperature").Type == gjson.Number && !(t.active() && p.get("temperature").Float() != 1):
		return true // one of the two is all that is taken
	}
	return t.active() && (v.Float() < 0.95 || v.Float() > 1)
}
