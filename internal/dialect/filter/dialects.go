package filter

import (
	"bytes"
	"slices"

	"detour/internal/dialect"
	"detour/internal/dialect/rawjson"
)

// request changes a request of Chat, Responses or Messages. Their members have different names, so that one walk serves
// all, and requests that mix them too.
func (e *edit) request(d dialect.Name) {
	var system, instructions, messages, input rawjson.Field
	var at rawjson.Iter // stands at system
	for it := rawjson.Members(e.body, 0); it.Next(); {
		switch string(it.Key()) {
		case "system":
			system, at = it.Field(), it
		case "instructions":
			instructions = it.Field()
		case "messages":
			messages = it.Field()
		case "input":
			input = it.Field()
		}
	}
	add := e.set.add
	if d == dialect.Messages || d == dialect.Chat && !system.Missing() {
		e.system(system, &at)
		add = ""
	}
	if d == dialect.Responses || messages.Raw == nil && input.Raw != nil {
		e.instructions(instructions, input, add)
		e.items(input, add != "" && instructions.Missing())
		return
	}
	e.messages(messages, add)
}

// system changes the member of Messages.
func (e *edit) system(f rawjson.Field, at *rawjson.Iter) {
	switch {
	case f.Missing() && e.set.add == "":
	case f.Missing():
		e.give("system", f)
	case !e.prompt(f, e.set.add, "text"):
		e.patch.Remove(at)
	}
}

// give gives a member of the request that has no text the paragraphs as its text.
func (e *edit) give(name string, f rawjson.Field) {
	e.patch.Set(bytes.IndexByte(e.body, '{'), name, f, rawjson.AppendString(nil, e.set.add))
}

// instructions changes the member of Responses. Where it is missing and the conversation begins with instructions, the
// paragraphs go there.
func (e *edit) instructions(f, input rawjson.Field, add string) {
	switch {
	case !f.Missing():
		if !e.prompt(f, add, "input_text") {
			e.patch.Replace(f.Lo, f.Hi, []byte(`""`))
		}
	case add != "" && e.leading(input) < 0:
		e.give("instructions", f)
	}
}

// message is an element of messages or input.
type message struct {
	span
	role, typ       []byte // unescaped
	content, output rawjson.Field
}

func (e *edit) list(f rawjson.Field) []message {
	var all []message
	for it := rawjson.Elements(e.body, f.Lo); it.Next(); {
		lo, hi := it.Span()
		m := message{span: span{lo, hi}}
		for in := rawjson.Members(e.body, lo); in.Next(); {
			switch string(in.Key()) {
			case "role":
				m.role = rawjson.Text(in.Raw())
			case "type":
				m.typ = rawjson.Text(in.Raw())
			case "content":
				m.content = in.Field()
			case "output":
				m.output = in.Field()
			}
		}
		all = append(all, m)
	}
	return all
}

// instructs reports whether the message holds instructions.
func (m *message) instructs() bool {
	return !m.content.Missing() && (len(m.typ) == 0 || string(m.typ) == "message") && (string(m.role) == "system" || string(m.role) == "developer")
}

// lastLeading returns the last of the messages of instructions that a conversation begins with, or -1.
func lastLeading(all []message) int {
	last := -1
	for i := range all {
		switch {
		case all[i].instructs():
			last = i
		case string(all[i].typ) == "additional_tools":
		default:
			return last
		}
	}
	return last
}

func (e *edit) leading(f rawjson.Field) int {
	if rawjson.Of(f.Raw) != rawjson.Array {
		return -1
	}
	return lastLeading(e.list(f))
}

// messages changes a conversation of Chat or Messages.
func (e *edit) messages(f rawjson.Field, add string) {
	if rawjson.Of(f.Raw) != rawjson.Array {
		return
	}
	all := e.list(f)
	last := -1
	if add != "" {
		if last = lastLeading(all); last < 0 {
			raw := append(rawjson.AppendString([]byte(`{"role":"system","content":`), add), '}')
			if len(all) > 0 {
				raw = append(raw, ',')
			}
			e.insert(f.Lo+1, raw)
		}
	}
	e.turns(all, last, add, "text")
}

// items changes a conversation of Responses.
func (e *edit) items(f rawjson.Field, add bool) {
	if rawjson.Of(f.Raw) != rawjson.Array {
		return
	}
	all := e.list(f)
	last := -1
	if add {
		last = lastLeading(all)
	}
	e.turns(all, last, e.set.add, "input_text")
}

// turns changes all messages. The paragraphs go behind the one at last. Instructions of which nothing is left go.
func (e *edit) turns(all []message, last int, add, partType string) {
	gone, spans := make([]bool, len(all)), make([]span, len(all))
	for i := range all {
		m := &all[i]
		spans[i] = m.span
		switch {
		case m.instructs():
			behind := ""
			if i == last {
				behind = add
			}
			gone[i] = !e.prompt(m.content, behind, partType)
		case string(m.role) == "tool", string(m.role) == "function":
			e.result(m.content)
		case bytes.HasSuffix(m.typ, []byte("_output")):
			e.result(m.output)
		default:
			e.blocks(m.content)
		}
	}
	if slices.Contains(gone, false) {
		e.drop(spans, gone)
	}
}

// blocks changes the tool results among the blocks of a message in the words of Messages.
func (e *edit) blocks(f rawjson.Field) {
	if len(e.set.suffix) == 0 || rawjson.Of(f.Raw) != rawjson.Array {
		return
	}
	for it := rawjson.Elements(e.body, f.Lo); it.Next(); {
		lo, _ := it.Span()
		var typ []byte
		var content rawjson.Field
		for in := rawjson.Members(e.body, lo); in.Next(); {
			switch string(in.Key()) {
			case "type":
				typ = rawjson.Text(in.Raw())
			case "content":
				content = in.Field()
			}
		}
		if string(typ) == "tool_result" {
			e.result(content)
		}
	}
}
