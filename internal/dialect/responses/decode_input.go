package responses

import (
	"bytes"
	"strings"

	"detour/internal/dialect"
	"detour/internal/dialect/rawjson"
	"detour/internal/llm"
)

// inputItem is what an input item holds that decides what becomes of it.
type inputItem struct {
	place int // in the input
	raw   []byte

	typ, role, id, callID, name, namespace, phase []byte // unquoted
	content, output, arguments, input             []byte // JSON text
	summary, encrypted, action, operation         []byte
	tools, status, author, recipient              []byte
}

// path names the item, or a member of it.
func (in *inputItem) path(member string) string { return dialect.Index("input", in.place) + member }

func readItem(place int, raw []byte) (inputItem, error) {
	in := inputItem{place: place, raw: raw}
	if kind := rawjson.Of(raw); kind != rawjson.Object {
		return in, dialect.InvalidRequest(in.path(""), "must be an object, not %s", kind)
	}
	for it := rawjson.Members(raw, 0); it.Next(); {
		var to *[]byte
		quoted := true
		switch string(it.Key()) {
		case "type":
			to = &in.typ
		case "role":
			to = &in.role
		case "id":
			to = &in.id
		case "call_id":
			to = &in.callID
		case "name":
			to = &in.name
		case "namespace":
			to = &in.namespace
		case "phase":
			to = &in.phase
		case "content":
			to, quoted = &in.content, false
		case "output":
			to, quoted = &in.output, false
		case "arguments":
			to, quoted = &in.arguments, false
		case "input":
			to, quoted = &in.input, false
		case "summary":
			to, quoted = &in.summary, false
		case "encrypted_content":
			to, quoted = &in.encrypted, false
		case "action":
			to, quoted = &in.action, false
		case "operation":
			to, quoted = &in.operation, false
		case "tools":
			to, quoted = &in.tools, false
		case "status":
			to = &in.status
		case "author":
			to, quoted = &in.author, false
		case "recipient":
			to, quoted = &in.recipient, false
		default:
			continue
		}
		if !quoted {
			*to = it.Raw()
			continue
		}
		switch kind := rawjson.Of(it.Raw()); kind {
		case rawjson.Null:
		case rawjson.String:
			*to = rawjson.Text(it.Raw())
		default:
			return in, dialect.InvalidRequest(in.path("."+string(it.Key())), "must be a string, not %s", kind)
		}
	}
	return in, nil
}

// input reads the conversation.
func (d *requestDecoder) input(raw []byte) error {
	switch kind := rawjson.Of(raw); kind {
	case rawjson.None, rawjson.Null:
	case rawjson.String:
		d.items.message(llm.RoleUser, "", d.textParts(raw))
	case rawjson.Array:
		items := make([]inputItem, 0, 8+min(len(raw)/512, 1024))
		it := rawjson.Elements(raw, 0)
		for it.Next() {
			in, err := readItem(len(items), it.Raw())
			if err != nil {
				return err
			}
			items = append(items, in)
		}
		d.items.expect(items)
		for i := range items {
			if err := d.item(&items[i]); err != nil {
				return err
			}
		}
	default:
		return dialect.InvalidRequest("input", "must be a string or an array, not %s", kind)
	}
	d.r.Turns = d.items.close()
	d.r.System = append(d.r.System, d.items.leading...)
	return nil
}

// item takes one input item.
func (d *requestDecoder) item(in *inputItem) error {
	switch string(in.typ) {
	case "", "message":
		return d.message(in)
	case "function_call", "custom_tool_call", "local_shell_call", "shell_call", "apply_patch_call":
		return d.call(in)
	case "function_call_output", "custom_tool_call_output", "local_shell_call_output", "shell_call_output", "apply_patch_call_output":
		return d.result(in)
	case "reasoning":
		d.items.assistant(thinking(in))
	case "compaction", "compaction_summary", "context_compaction":
		d.items.assistant(llm.Part{Kind: llm.PartCompaction, Opaque: opaqueOf(in.id, rawjson.Text(in.encrypted)), Raw: in.raw})
	case "compaction_trigger":
		d.r.Compact = true
	case itemReference:
		f := dialect.InvalidRequest(in.path(""), "no item is stored here; send the item itself")
		f.Code = notStored
		return f
	case "additional_tools":
		return d.tools(in.path(".tools"), in.tools, false)
	case "agent_message":
		return d.agentMessage(in)
	case "mcp_approval_response", "computer_call_output", "tool_search_output", "program_output":
		d.items.user(llm.Part{Kind: llm.PartOpaque, Raw: in.raw})
	default:
		d.items.assistant(llm.Part{Kind: llm.PartOpaque, Raw: in.raw})
	}
	return nil
}

func (d *requestDecoder) message(in *inputItem) error {
	parts, err := d.parts(in, ".content", in.content)
	if err != nil {
		return err
	}
	switch string(in.role) {
	case "user":
		d.items.message(llm.RoleUser, "", parts)
	case "system", "developer":
		d.items.message(llm.RoleSystem, "", parts)
	case "assistant":
		d.items.message(llm.RoleAssistant, string(in.phase), parts)
	case "":
		return dialect.InvalidRequest(in.path(".role"), "is required")
	default:
		return dialect.InvalidRequest(in.path(".role"), "%q is not supported", in.role)
	}
	return nil
}

// agentMessage takes what another agent said. Models that do not know the kind read it as a user's text; what is
// encrypted stays as it is.
func (d *requestDecoder) agentMessage(in *inputItem) error {
	parts, err := d.parts(in, ".content", in.content)
	var text strings.Builder
	for _, p := range parts {
		text.WriteString(p.Text)
	}
	if err != nil || in.encrypted != nil {
		d.items.user(llm.Part{Kind: llm.PartOpaque, Raw: in.raw})
		return nil
	}
	if text.Len() == 0 {
		return nil
	}
	var head strings.Builder
	head.WriteString("<agent-message")
	for _, who := range [...]struct {
		name string
		raw  []byte
	}{{"author", in.author}, {"recipient", in.recipient}} {
		if name := rawjson.Text(who.raw); len(name) > 0 && !bytes.ContainsAny(name, "\"<>\n") {
			head.WriteString(" " + who.name + `="` + string(name) + `"`)
		}
	}
	d.items.message(llm.RoleUser, "", []llm.Part{{Kind: llm.PartText, Text: head.String() + ">\n" + text.String() + "\n</agent-message>"}})
	return nil
}

func (d *requestDecoder) call(in *inputItem) error {
	c := &llm.Call{ID: string(in.callID), Name: string(in.name), Namespace: string(in.namespace)}
	if c.ID == "" {
		c.ID = string(in.id)
	}
	if c.ID == "" {
		return dialect.InvalidRequest(in.path(".call_id"), "is required")
	}
	switch typ := string(in.typ); typ {
	case "function_call":
		c.Arguments = d.str(in.arguments)
	case "custom_tool_call":
		c.Kind, c.Arguments = llm.ToolCustom, d.str(in.input)
	default:
		c.Kind, c.Type = llm.ToolNative, typ[:len(typ)-len("_call")]
		c.Name = c.Type
		c.Arguments = nativeArguments(c.Type, in.action, in.operation)
	}
	if c.Name == "" {
		return dialect.InvalidRequest(in.path(".name"), "is required")
	}
	d.items.assistant(llm.Part{Kind: llm.PartCall, Call: c})
	return nil
}

func (d *requestDecoder) result(in *inputItem) error {
	r := &llm.Result{ID: string(in.callID)}
	if r.ID == "" {
		r.ID = string(in.id)
	}
	if r.ID == "" {
		return dialect.InvalidRequest(in.path(".call_id"), "is required")
	}
	r.IsError = string(in.status) == "incomplete" || string(in.status) == "failed"
	var err error
	switch typ := string(in.typ); typ {
	case "function_call_output":
		r.Parts, err = d.parts(in, ".output", in.output)
	case "custom_tool_call_output":
		r.Kind = llm.ToolCustom
		r.Parts, err = d.parts(in, ".output", in.output)
	case "shell_call_output":
		r.Kind, r.Type, r.Name = llm.ToolNative, "shell", "shell"
		r.Parts = d.shellOutput(in.output)
	default:
		r.Kind, r.Type = llm.ToolNative, typ[:len(typ)-len("_call_output")]
		r.Name = r.Type
		r.Parts, err = d.parts(in, ".output", in.output)
	}
	if err != nil {
		return err
	}
	d.items.result(llm.Part{Kind: llm.PartResult, Result: r})
	return nil
}

// thinking reads a reasoning item.
func thinking(in *inputItem) llm.Part {
	p := llm.Part{Kind: llm.PartThinking, Opaque: opaqueOf(in.id, rawjson.Text(in.encrypted))}
	text := joinText(in.summary)
	if len(text) == 0 {
		text = joinText(in.content)
	}
	p.Text = string(text)
	return p
}

// joinText joins the texts of a list of parts with blank lines.
func joinText(list []byte) []byte {
	var text []byte
	for it := rawjson.Elements(list, 0); it.Next(); {
		piece := rawjson.Text(rawjson.Get(it.Raw(), "text"))
		if len(text) > 0 && len(piece) > 0 {
			text = append(text, "\n\n"...)
		}
		text = append(text, piece...)
	}
	return text
}
