package copilot

import (
	"slices"
	"strings"

	"github.com/tidwall/gjson"
)

// What stands where a conversation lacks something that the service insists on.
const (
	opening = `{"role":"user","content":"Begin."}`
	carryOn = `{"role":"user","content":"Please continue."}`
)

// fernet begins the replay state of OpenAI's models.
const fernet = "gAAAA"

// turnEdit is what becomes of one message.
type turnEdit struct {
	message, role, content gjson.Result
	clears                 bool // its text is for one turn of the user only
	extra                  bool // it has members that are not known upstream
	drop                   bool
	asUser                 bool   // instructions that become words of the user
	behind                 string // blocks that go behind the tool results at the front
}

func (t *turnEdit) is(role string) bool { return t.role.Str == role }

// instructs reports whether the message holds instructions in mid-conversation.
func (t *turnEdit) instructs() bool { return t.is("system") || t.is("developer") }

// readTurns notes what the messages are.
func (e *messagesEdit) readTurns() {
	messages := e.get("messages")
	if !messages.IsArray() {
		return
	}
	e.each(messages, func(_, message gjson.Result) bool {
		t := turnEdit{message: message}
		if !message.IsObject() {
			e.turns = append(e.turns, t)
			return true
		}
		e.each(message, func(key, v gjson.Result) bool {
			switch key.Str {
			case "role":
				t.role = v
			case "content":
				t.content = v
			case "clear_at":
				t.clears, t.extra = v.Str == "next_user_message", true
			case "output_config":
				t.extra = true
				if effort := v.Get("effort"); effort.Type == gjson.String {
					e.effort = effort.Str
				}
			}
			return true
		})
		e.turns = append(e.turns, t)
		return true
	})
	if e.changes {
		e.toolChanges()
	}
}

// toolChanges gathers the tools that are declared in mid-conversation. They are offered from the start.
func (e *messagesEdit) toolChanges() {
	known := map[string]bool{}
	e.get("tools").ForEach(func(_, tool gjson.Result) bool {
		known[tool.Get("name").String()] = true
		return true
	})
	for i := range e.turns {
		if !e.turns[i].content.IsArray() {
			continue
		}
		e.turns[i].content.ForEach(func(_, block gjson.Result) bool {
			tool := block.Get("tool.definition")
			if name := tool.Get("name").String(); block.Get("type").String() == "tool_addition" && tool.IsObject() && !known[name] {
				known[name] = true
				e.inline = append(e.inline, tool.Raw)
			}
			return true
		})
	}
}

// lost reports whether a block goes: blank text, thinking that the model did not sign, a change of the tools.
func (e *messagesEdit) lost(block gjson.Result) bool {
	switch block.Get("type").String() {
	case "text":
		return e.blanks && isBlank(block)
	case "thinking":
		return e.unsigned && foreignState(block.Get("signature"))
	case "redacted_thinking":
		return e.unsigned && foreignState(block.Get("data"))
	case "tool_addition", "tool_removal":
		return e.changes
	}
	return false
}

func foreignState(v gjson.Result) bool {
	return v.Type != gjson.String || v.Str == "" || strings.HasPrefix(v.Str, fernet)
}

// empty reports whether nothing of a message's content is left.
func (e *messagesEdit) empty(content gjson.Result) bool {
	if content.Type == gjson.String {
		return strings.TrimSpace(content.Str) == ""
	}
	if !content.IsArray() {
		return false
	}
	empty := true
	content.ForEach(func(_, block gjson.Result) bool {
		empty = e.lost(block)
		return empty
	})
	return empty
}

// planTurns decides what becomes of each message.
func (e *messagesEdit) planTurns() {
	mid := slices.ContainsFunc(e.turns, func(t turnEdit) bool { return t.instructs() })
	said := false // something that is no instruction
	for i := range e.turns {
		t := &e.turns[i]
		if t.drop = e.empty(t.content); t.drop && t.instructs() {
			continue
		}
		if mid && t.instructs() {
			e.instruct(i, said)
		}
		said = said || !t.drop && (!t.instructs() || t.asUser)
	}
	if !said { // whatever is wrong with it is for the service to say
		for i := range e.turns {
			e.turns[i].drop = e.turns[i].drop && e.turns[i].instructs() || e.turns[i].drop && len(e.hoist) > 0
		}
	}
}

// instruct decides what becomes of instructions in mid-conversation. Where the model takes them they may stand behind
// the user and before its own answer; everywhere else they become words of the user, marked as what they are.
func (e *messagesEdit) instruct(i int, said bool) {
	t := &e.turns[i]
	next := i + 1
	for next < len(e.turns) && (e.turns[next].instructs() || e.empty(e.turns[next].content)) {
		next++
	}
	switch {
	case t.clears && slices.ContainsFunc(e.turns[i+1:], func(t turnEdit) bool { return t.is("user") }):
		t.drop = true
	case !said:
		t.drop = true
		e.hoist = append(e.hoist, e.textBlocks(t.content, "", "")...)
	case e.midSystem && t.is("system") && e.lastRole(i) == "user" && next == i+1 && (next == len(e.turns) || e.turns[next].is("assistant")):
	case next < len(e.turns) && e.turns[next].is("user") && startsWithResult(e.turns[next].content):
		// Nothing may stand between calls and their results.
		t.drop = true
		for _, block := range e.textBlocks(t.content, "<system-reminder>\n", "\n</system-reminder>") {
			e.turns[next].behind += "," + block
		}
	default:
		t.asUser = true
	}
}

// lastRole is the role of the message that stands before i in what goes upstream.
func (e *messagesEdit) lastRole(i int) string {
	for i--; i >= 0; i-- {
		switch t := &e.turns[i]; {
		case t.drop:
		case t.asUser:
			return "user"
		default:
			return t.role.Str
		}
	}
	return ""
}

func startsWithResult(content gjson.Result) bool {
	first := content.Get("0.type")
	return content.IsArray() && first.Str == "tool_result"
}

// endsUnsigned reports whether the last answer of the model called tools without thinking first.
func (e *messagesEdit) endsUnsigned() bool {
	for i := len(e.turns) - 1; i >= 0; i-- {
		if t := &e.turns[i]; t.is("assistant") {
			calls, first := false, ""
			if t.content.IsArray() {
				t.content.ForEach(func(_, block gjson.Result) bool {
					typ := block.Get("type").String()
					if first == "" && !e.lost(block) {
						first = typ
					}
					calls = calls || typ == "tool_use"
					return true
				})
			}
			return calls && first != "thinking" && first != "redacted_thinking"
		}
	}
	return false
}

// messages edits the conversation.
func (e *messagesEdit) messages(v gjson.Result) {
	if !v.IsArray() || len(e.turns) == 0 {
		return
	}
	last, touched := -1, false
	for i := range e.turns {
		t := &e.turns[i]
		touched = touched || t.drop || t.asUser || t.extra || t.behind != ""
		if !t.drop {
			last = i
		}
	}
	if touched || e.inside() {
		i := 0
		e.array(v, func(gjson.Result) bool {
			t := &e.turns[i]
			if i++; !t.drop {
				e.turn(t)
			}
			return t.drop
		})
	}
	end := v.Index + len(v.Raw) - 1
	switch {
	case last < 0:
		e.cuts = append(e.cuts, cut{end, end, opening})
	case e.turns[last].is("assistant") && !e.count:
		e.prefilled(&e.turns[last], end)
	}
}

// inside reports whether blocks may have to be edited, wherever they are.
func (e *messagesEdit) inside() bool {
	return e.scopes || e.blanks || e.unsigned || e.changes || e.surplus != nil || e.marker != ""
}

// prefilled sees to a conversation that ends with words put into the model's mouth.
func (e *messagesEdit) prefilled(t *turnEdit, end int) {
	text := t.content
	if text.IsArray() {
		blocks := text.Array()
		if len(blocks) == 0 || blocks[len(blocks)-1].Get("type").String() != "text" {
			return
		}
		text = blocks[len(blocks)-1].Get("text")
	}
	switch {
	case text.Type != gjson.String:
	case e.adaptive || e.newest || e.thinking.active():
		e.cuts = append(e.cuts, cut{end, end, "," + carryOn})
	default: // the model goes on from them; they must not end with white space
		inside := text.Raw[1 : len(text.Raw)-1]
		trimmed := inside
		for {
			before := len(trimmed)
			for _, space := range [...]string{" ", `\n`, `\t`, `\r`} {
				if strings.HasSuffix(trimmed, space) && !strings.HasSuffix(trimmed, `\`+space) {
					trimmed = strings.TrimSuffix(trimmed, space)
				}
			}
			if len(trimmed) == before {
				break
			}
		}
		if trimmed != inside && trimmed != "" {
			e.replace(text, `"`+trimmed+`"`)
		}
	}
}
