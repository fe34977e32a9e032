package messages

import (
	"bytes"
	"slices"
	"strconv"

	"detour/internal/dialect"
	"detour/internal/dialect/rawjson"
	"detour/internal/llm"
)

// What stands where a conversation lacks something that the API insists on.
const (
	noOutput = "[no output]"      // for a call that was never answered
	opening  = "Begin."           // for a conversation that does not begin with the user
	carryOn  = "Please continue." // for one that ends with the model
)

// turns writes the conversation the way the API wants it: the user begins, roles alternate, each call is answered at
// the front of the message that follows it, and no text is empty.
func (e *requestEncoder) turns() error {
	for i := range e.r.Turns {
		t := &e.r.Turns[i]
		switch t.Role {
		case llm.RoleSystem:
			e.midSystem(i)
			continue
		case llm.RoleAssistant:
			for j := range t.Parts {
				e.said(&t.Parts[j])
			}
			continue
		}
		for j := range t.Parts {
			if err := e.asked(&t.Parts[j]); err != nil {
				return err
			}
		}
	}
	return nil
}

// in returns the message of that role at the end of the conversation, which it begins if need be. Calls of the model
// that were not answered by then never will be.
func (e *requestEncoder) in(role llm.Role) *message {
	if n := len(e.list); n > 0 && e.list[n-1].role == role {
		return &e.list[n-1]
	}
	if role == llm.RoleAssistant {
		e.settle()
		e.pairs.open = e.pairs.open[:0]
	}
	e.list = append(e.list, message{role: role})
	return &e.list[len(e.list)-1]
}

// last is the role that the conversation so far ends with. ok is false when there is none.
func (e *requestEncoder) last() (role llm.Role, ok bool) {
	if len(e.list) == 0 {
		return 0, false
	}
	return e.list[len(e.list)-1].role, true
}

// midSystem writes instructions in mid-conversation. Models that take them want them behind the user and before
// themselves; everywhere else they are words of the user, marked as what they are. Results of tools go before them,
// because results are put in front of all else.
func (e *requestEncoder) midSystem(at int) {
	parts := e.r.Turns[at].Parts
	next := at + 1
	for next < len(e.r.Turns) && e.r.Turns[next].Role == llm.RoleSystem {
		next++
	}
	role := llm.RoleUser
	last, any := e.last()
	legal := any && last != llm.RoleAssistant && (next == len(e.r.Turns) || e.r.Turns[next].Role == llm.RoleAssistant)
	if e.t.MidSystem && legal {
		e.settle()
		role = llm.RoleSystem
	}
	for i := range parts {
		p := &parts[i]
		if p.Kind != llm.PartText || blank(p.Text) {
			continue
		}
		text := p.Text
		if role == llm.RoleUser {
			text = "<system-reminder>\n" + text + "\n</system-reminder>"
		}
		b := e.textBlock(text, p.Cache)
		m := e.in(role)
		m.blocks = append(m.blocks, b)
	}
}

// said writes a part of an answer of the model.
func (e *requestEncoder) said(p *llm.Part) {
	b := piece{lo: len(e.buf), kind: p.Kind, cache: p.Cache != nil}
	switch p.Kind {
	case llm.PartText, llm.PartRefusal:
		if blank(p.Text) {
			return
		}
		e.buf = rawjson.AppendString(append(e.buf, `{"type":"text","text":`...), p.Text)
	case llm.PartThinking:
		if !e.thought(p) {
			return
		}
		b.cache = false
	case llm.PartCall:
		if p.Call == nil || p.Call.Kind == llm.ToolHosted {
			e.lose("calls of hosted tools in earlier turns")
			return
		}
		e.in(llm.RoleAssistant) // so that the call is counted in its own round
		b.lo = len(e.buf)
		e.call(p.Call)
		b.call = true
	case llm.PartCompaction:
		if b.kind = llm.PartText; blank(p.Text) {
			e.lose("compacted history of another model")
			return
		}
		e.buf = rawjson.AppendString(append(e.buf, `{"type":"text","text":`...), "<summary>\n"+p.Text+"\n</summary>")
	case llm.PartOpaque:
		if !e.native {
			e.lose("content that only its own dialect knows")
			return
		}
		e.buf = appendOpen(e.buf, p.Raw)
	default:
		e.lose("images and files in earlier answers")
		return
	}
	b.hi = len(e.buf)
	m := e.in(llm.RoleAssistant)
	at := len(m.blocks)
	if !e.native && !b.call {
		// In other dialects text may come behind the calls that it announces. Here calls come last.
		if first := slices.IndexFunc(m.blocks, func(b piece) bool { return b.call }); first >= 0 {
			at = first
		}
	}
	m.blocks = slices.Insert(m.blocks, at, b)
}

// thought writes thinking that the model can verify. Other thinking it refuses.
func (e *requestEncoder) thought(p *llm.Part) bool {
	switch {
	case p.Opaque.Kind == llm.OpaqueSignature && !p.Redacted && !isFernet(p.Opaque.Value):
		e.buf = rawjson.AppendString(append(e.buf, `{"type":"thinking","thinking":`...), p.Text)
		e.buf = rawjson.AppendString(append(e.buf, `,"signature":`...), p.Opaque.Value)
	case p.Opaque.Kind == llm.OpaqueRedacted && !isFernet(p.Opaque.Value):
		e.buf = rawjson.AppendString(append(e.buf, `{"type":"redacted_thinking","data":`...), p.Opaque.Value)
	default:
		e.lose("reasoning of earlier turns")
		return false
	}
	return true
}

// isFernet reports whether replay state is an OpenAI model's, whoever says what it is.
func isFernet(value string) bool { return len(value) > 5 && value[:5] == "gAAAA" }

// call writes a tool_use.
func (e *requestEncoder) call(c *llm.Call) {
	name := e.names.Wire(c.Namespace, c.Name)
	wire := e.pairs.call(c.ID)
	e.buf = rawjson.AppendString(append(e.buf, `{"type":"tool_use","id":`...), wire)
	e.buf = rawjson.AppendString(append(e.buf, `,"name":`...), name)
	e.buf = append(e.buf, `,"input":`...)
	_, isWrapped, _ := e.names.Declared(name)
	arguments := []byte(c.Arguments)
	switch {
	case c.Kind == llm.ToolCustom, isWrapped && !isObject(arguments):
		e.buf = append(e.buf, dialect.Wrap(c.Arguments)...)
	case isObject(arguments):
		e.buf = append(e.buf, bytes.Trim(arguments, " \t\r\n")...)
	case len(bytes.Trim(arguments, " \t\r\n")) == 0:
		e.buf = append(e.buf, "{}"...)
	default:
		e.buf = append(rawjson.AppendString(append(e.buf, `{"_raw":`...), c.Arguments), '}')
	}
}

// asked writes a part of what the user said, or of what tools answered.
func (e *requestEncoder) asked(p *llm.Part) error {
	if p.Kind == llm.PartResult {
		if p.Result == nil {
			return nil
		}
		return e.result(p)
	}
	b, ok, err := e.material(p)
	if err != nil || !ok {
		return err
	}
	m := e.in(llm.RoleUser)
	m.blocks = append(m.blocks, b)
	return nil
}

// result writes what a tool answered, in front of everything else that the user says. A second answer to the same call
// replaces the first. What answers no call becomes text.
func (e *requestEncoder) result(p *llm.Part) error {
	open := e.pairs.find(p.Result.ID)
	if last, any := e.last(); any && last == llm.RoleSystem {
		open = nil // the round is over
	}
	if open == nil {
		return e.orphan(p)
	}
	b, err := e.resultBlock(open.wire, p)
	if err != nil {
		return err
	}
	m := e.in(llm.RoleUser)
	if open.answered {
		m.blocks[open.at] = b
		return nil
	}
	open.answered, open.at = true, m.results()
	m.blocks = slices.Insert(m.blocks, open.at, b)
	return nil
}

// results counts the tool results at the front of a message.
func (m *message) results() int {
	n := 0
	for n < len(m.blocks) && m.blocks[n].result {
		n++
	}
	return n
}

// orphan turns the result of an unknown call into words of the user.
func (e *requestEncoder) orphan(p *llm.Part) error {
	said := false
	for i := range p.Result.Parts {
		inner := p.Result.Parts[i]
		if inner.Kind == llm.PartText {
			if blank(inner.Text) {
				continue
			}
			if !said {
				inner.Text = "[tool result " + p.Result.ID + "] " + inner.Text
			}
			said = true
		}
		if err := e.asked(&inner); err != nil {
			return err
		}
	}
	return nil
}

// settle answers the calls of the model that were never answered.
func (e *requestEncoder) settle() {
	for i := range e.pairs.open {
		open := &e.pairs.open[i]
		if open.answered {
			continue
		}
		lo := len(e.buf)
		e.buf = rawjson.AppendString(append(e.buf, `{"type":"tool_result","tool_use_id":`...), open.wire)
		e.buf = append(e.buf, `,"content":"`+noOutput+`"`...)
		m := e.in(llm.RoleUser)
		open.answered, open.at = true, m.results()
		m.blocks = slices.Insert(m.blocks, open.at, piece{lo: lo, hi: len(e.buf), kind: llm.PartResult, result: true})
	}
}

// finishTurns sees to the beginning and the end of the conversation.
func (e *requestEncoder) finishTurns() {
	e.settle()
	if len(e.list) == 0 || e.list[0].role != llm.RoleUser {
		first := message{role: llm.RoleUser, blocks: []piece{e.textBlock(opening, nil)}}
		e.list = slices.Insert(e.list, 0, first)
	}
	m := &e.list[len(e.list)-1]
	if m.role != llm.RoleAssistant {
		return
	}
	last := &m.blocks[len(m.blocks)-1]
	if e.thinks || e.t.Thinking == dialect.ThinkingAdaptive || last.kind != llm.PartText && last.kind != llm.PartRefusal {
		b := e.textBlock(carryOn, nil)
		n := e.in(llm.RoleUser)
		n.blocks = append(n.blocks, b)
		return
	}
	// The model goes on from its own words. They must not end with white space.
	text := rawjson.AppendText(nil, rawjson.Get(append(e.buf[last.lo:last.hi:last.hi], '}'), "text"))
	cached := last.cache
	*last = e.textBlock(string(bytes.TrimRight(text, " \t\r\n")), nil)
	last.cache = cached
}

// pairing leads from results to the calls that they answer. Ids may be illegal here, missing, or used again.
type pairing struct {
	used map[string]int
	open []openCall // of the last message of the model, in order
}

type openCall struct {
	raw, wire string
	answered  bool
	at        int // the block of the next message that answers
}

// call takes a call and returns its id on the wire: the same each time, and different from all before it.
func (p *pairing) call(raw string) string {
	if p.used == nil {
		p.used = map[string]int{}
	}
	p.used[raw]++
	id := raw
	if n := p.used[raw]; n > 1 || raw == "" {
		id += "#" + strconv.Itoa(n)
	}
	wire := dialect.CallID(id)
	p.open = append(p.open, openCall{raw: raw, wire: wire})
	return wire
}

// find returns the call that a result with this id answers: the first without an answer, else the last one.
func (p *pairing) find(raw string) *openCall {
	var found *openCall
	for i := range p.open {
		if c := &p.open[i]; c.raw == raw {
			if found = c; !c.answered {
				return c
			}
		}
	}
	return found
}
