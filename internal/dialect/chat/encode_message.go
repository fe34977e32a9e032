package chat

import (
	"bytes"
	"strings"

	"detour/internal/dialect/rawjson"
	"detour/internal/llm"
)

const cacheMarker = `,"copilot_cache_control":{"type":"ephemeral"}`

// open begins a message.
func (e *requestEncoder) open(role string) {
	if e.count > 0 {
		e.out = append(e.out, ',')
	}
	e.count++
	e.out = append(e.out, `{"role":"`...)
	e.out = append(e.out, role...)
	e.out = append(e.out, '"')
}

// close ends a message. Copilot caches up to marked messages: the first two of the system, and the last two of others.
func (e *requestEncoder) close(system bool) {
	const maxSystem = 2
	switch {
	case !e.t.CopilotCache:
	case bytes.HasSuffix(e.out, []byte(`,"content":""`)): // nothing to cache
	case !system:
		e.last[0], e.last[1] = len(e.out), e.last[0]
	case e.marked < maxSystem:
		e.marked++
		e.out = append(e.out, cacheMarker...)
	}
	e.out = append(e.out, '}')
}

// mark puts the cache markers into the last two messages.
func (e *requestEncoder) mark() {
	for _, at := range e.last {
		if at > 0 {
			e.out = append(e.out, cacheMarker...)
			copy(e.out[at+len(cacheMarker):], e.out[at:])
			copy(e.out[at:], cacheMarker)
		}
	}
}

// messages writes the conversation.
func (e *requestEncoder) messages() {
	if text := e.system(); text != "" {
		e.open("system")
		e.out = append(e.out, `,"content":`...)
		e.out = rawjson.AppendString(e.out, text)
		e.close(true)
	}
	turns := e.r.Turns
	for i := 0; i < len(turns); i++ {
		switch t := &turns[i]; t.Role {
		case llm.RoleAssistant:
			// Turns that one answer was cut into become one message again.
			var a assistantMessage
			calls := 0
			from := i
			for ; i < len(turns) && turns[i].Role == llm.RoleAssistant; i++ {
				if i > from && a.text != "" && hasText(&turns[i]) {
					break
				}
				calls += a.add(e, &turns[i])
			}
			i--
			e.assistant(&a, calls, i == len(turns)-1)
		case llm.RoleSystem:
			e.instruction(joinText(t.Parts))
		default:
			e.user(t)
		}
	}
	e.mark()
}

// system joins the leading instructions. A line in front of them that differs between the requests of one conversation
// would keep every one of them out of the prompt cache.
func (e *requestEncoder) system() string {
	var b strings.Builder
	for i := range e.r.System {
		p := &e.r.System[i]
		switch {
		case p.Kind != llm.PartText:
			e.lose("system")
		case p.Text == "", strings.HasPrefix(p.Text, "x-anthropic-billing-header:"):
		default:
			if b.Len() > 0 {
				b.WriteString("\n\n")
			}
			b.WriteString(p.Text)
		}
	}
	return b.String()
}

// joinText joins the text of parts with blank lines.
func joinText(parts []llm.Part) string {
	if len(parts) == 1 && parts[0].Kind == llm.PartText {
		return parts[0].Text
	}
	var b strings.Builder
	for i := range parts {
		if p := &parts[i]; p.Kind == llm.PartText && p.Text != "" {
			if b.Len() > 0 {
				b.WriteString("\n\n")
			}
			b.WriteString(p.Text)
		}
	}
	return b.String()
}

func hasText(t *llm.Turn) bool {
	for i := range t.Parts {
		if k := t.Parts[i].Kind; k == llm.PartText || k == llm.PartRefusal {
			return true
		}
	}
	return false
}

// instruction writes an instruction in mid-conversation. Models that do not take one there get it as a user's words that
// are marked as a reminder.
func (e *requestEncoder) instruction(text string) {
	if text == "" {
		return
	}
	if e.t.MidSystem {
		e.open("system")
	} else {
		e.open("user")
		text = "<system-reminder>\n" + text + "\n</system-reminder>"
	}
	e.out = append(e.out, `,"content":`...)
	e.out = rawjson.AppendString(e.out, text)
	e.close(e.t.MidSystem)
}

// assistantMessage gathers what goes into one message.
type assistantMessage struct {
	text, refusal string
	thought       string // of opaque, or all of it
	opaque        string
	summary       string // of what was said before
}

// add takes a turn and returns how many calls it has.
func (a *assistantMessage) add(e *requestEncoder, t *llm.Turn) (calls int) {
	for i := range t.Parts {
		switch p := &t.Parts[i]; p.Kind {
		case llm.PartText:
			a.text = joined(a.text, p.Text)
		case llm.PartRefusal:
			a.refusal += p.Text
		case llm.PartCall:
			if p.Call != nil && p.Call.Kind != llm.ToolHosted {
				calls++
			} else {
				e.lose("calls of hosted tools")
			}
		case llm.PartThinking:
			a.think(e, p)
		case llm.PartResult: // of a hosted tool
		case llm.PartCompaction:
			if p.Text == "" {
				e.lose("compaction")
			}
			a.summary = joined(a.summary, p.Text)
		default:
			e.loseMedia(p)
		}
	}
	return calls
}

// think takes reasoning. A message has room for one text and one opaque value: the first pair counts.
func (a *assistantMessage) think(e *requestEncoder, p *llm.Part) {
	switch {
	case a.opaque != "":
		e.lose("thinking")
	case p.Opaque.Kind == llm.OpaqueChat && p.Opaque.Value != "":
		if p.Text != "" {
			a.thought = p.Text
		}
		a.opaque = p.Opaque.Value
	case p.Text != "" && (e.t.PlainThinking || p.Opaque.Kind == llm.OpaqueNone):
		a.thought = joined(a.thought, p.Text)
	default:
		e.lose("thinking")
	}
}

// joined joins what a model wrote in pieces.
func joined(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "\n\n" + b
}

// assistant writes an assistant message and, right behind it, the results of its calls.
func (e *requestEncoder) assistant(a *assistantMessage, calls int, last bool) {
	paired := e.calls[e.next : e.next+calls]
	e.next += calls
	if a.summary != "" {
		w := contentWriter{e: e, message: true}
		w.text(summaryText(a.summary))
		w.end()
	}
	if a.opaque == "" && !e.t.PlainThinking {
		if a.thought != "" {
			e.lose("thinking")
		}
		a.thought = ""
	}
	if a.text == "" && a.refusal == "" && a.opaque == "" && calls == 0 {
		return
	}
	e.open("assistant")
	e.out = append(e.out, `,"content":`...)
	if a.text == "" && (calls > 0 || a.refusal != "") {
		e.out = append(e.out, "null"...)
	} else {
		e.out = rawjson.AppendString(e.out, a.text)
	}
	e.str("refusal", a.refusal)
	if a.opaque != "" {
		e.str("reasoning_text", a.thought)
		e.str("reasoning_opaque", a.opaque)
	} else {
		e.str("reasoning_content", a.thought)
	}
	for i := range paired {
		if i == 0 {
			e.out = append(e.out, `,"tool_calls":[`...)
		} else {
			e.out = append(e.out, ',')
		}
		e.call(&paired[i])
	}
	if calls > 0 {
		e.out = append(e.out, ']')
	}
	e.close(false)
	e.results(paired, last)
}

// call writes one call.
func (e *requestEncoder) call(c *pairedCall) {
	name := e.names.Wire(c.call.Namespace, c.call.Name)
	e.out = append(e.out, `{"id":`...)
	e.out = rawjson.AppendString(e.out, c.wire)
	if c.call.Kind == llm.ToolCustom && e.t.CustomTools {
		e.out = append(e.out, `,"type":"custom","custom":{"name":`...)
		e.out = rawjson.AppendString(e.out, name)
		e.str("input", c.call.Arguments)
		e.out = append(e.out, "}}"...)
		return
	}
	e.out = append(e.out, `,"type":"function","function":{"name":`...)
	e.out = rawjson.AppendString(e.out, name)
	e.out = append(e.out, `,"arguments":`...)
	switch arguments := c.call.Arguments; {
	case c.call.Kind == llm.ToolCustom:
		e.out = rawjson.AppendString(e.out, wrap(arguments))
	case arguments == "":
		e.out = append(e.out, `"{}"`...)
	default:
		e.out = rawjson.AppendString(e.out, arguments)
	}
	e.out = append(e.out, "}}"...)
}

// wrap makes the arguments of a function of free text.
func wrap(text string) []byte {
	return append(rawjson.AppendString([]byte(`{"input":`), text), '}')
}
