package responses

import (
	"encoding/json"
	"strconv"

	"detour/internal/dialect/rawjson"
	"detour/internal/llm"
)

// itemType returns the type of the item that a block becomes.
func (b *block) itemType() string {
	switch b.part.Kind {
	case llm.PartThinking:
		return "reasoning"
	case llm.PartCompaction:
		return "compaction"
	case llm.PartCall:
		switch b.call.Kind {
		case llm.ToolCustom:
			return "custom_tool_call"
		case llm.ToolNative:
			switch b.call.Type {
			case "local_shell", "shell", "apply_patch":
				return b.call.Type + "_call"
			}
		}
		return "function_call"
	}
	return "message"
}

// announce gives a block its place and appends output_item.added.
func (e *encoder) announce(dst []byte, b *block) []byte {
	b.item = e.opened
	e.opened++
	e.done = append(e.done, nil)
	if b.part.Kind == llm.PartOpaque {
		b.id = string(rawjson.Text(rawjson.Get(b.part.Raw, "id")))
	}
	if b.id == "" || len(b.id) > maxID {
		id := mint(b.itemType(), nil, []byte(e.id), b.item)
		b.id = string(id[1 : len(id)-1])
	}
	dst = e.event(dst, "response.output_item.added")
	dst = strconv.AppendInt(append(dst, `,"output_index":`...), int64(b.item), 10)
	dst = append(dst, `,"item":`...)
	if b.part.Kind == llm.PartOpaque {
		dst = flat(dst, beginning(b.part.Raw))
	} else {
		dst = b.appendItem(dst, "in_progress", nil, false)
	}
	return append(dst, "}\n\n"...)
}

// announcePart appends the announcement of the part that the first delta goes into.
func (e *encoder) announcePart(dst []byte, b *block) []byte {
	switch b.part.Kind {
	case llm.PartText:
		dst = e.itemEvent(dst, "response.content_part.added", b)
		return append(dst, `,"content_index":0,"part":{"type":"output_text","text":"","annotations":[],"logprobs":[]}}`+"\n\n"...)
	case llm.PartRefusal:
		dst = e.itemEvent(dst, "response.content_part.added", b)
		return append(dst, `,"content_index":0,"part":{"type":"refusal","refusal":""}}`+"\n\n"...)
	case llm.PartThinking:
		dst = e.itemEvent(dst, "response.reasoning_summary_part.added", b)
		return append(dst, `,"summary_index":0,"part":{"type":"summary_text","text":""}}`+"\n\n"...)
	}
	return dst
}

// closeItem finishes the item of a block. A block that says nothing is none.
func (e *encoder) closeItem(dst []byte, b *block, status string) []byte {
	b.closed = true
	if b.item < 0 {
		if b.empty() {
			return dst
		}
		dst = e.announce(dst, b)
	}
	text := rawjson.AppendString(nil, b.text)
	if len(b.text) > 0 || b.part.Kind == llm.PartCall {
		dst = e.closePart(dst, b, text)
	}
	item := b.appendItem(nil, status, text, true)
	e.done[b.item] = item
	b.text = nil
	dst = e.event(dst, "response.output_item.done")
	dst = strconv.AppendInt(append(dst, `,"output_index":`...), int64(b.item), 10)
	dst = append(append(dst, `,"item":`...), item...)
	return append(dst, "}\n\n"...)
}

// empty reports whether a block has nothing that an item could hold. Parts of another dialect are that.
func (b *block) empty() bool {
	switch b.part.Kind {
	case llm.PartCall:
		return false
	case llm.PartThinking:
		return !own(b.opaque)
	case llm.PartCompaction:
		return !own(b.opaque)
	case llm.PartOpaque:
		return !isItem(b.part.Raw)
	}
	return true
}

// own reports whether opaque state can stand in a slot of this dialect: its own, or a carrier.
func own(o llm.Opaque) bool {
	return (o.Kind == llm.OpaqueEncrypted || o.Kind == llm.OpaqueCarrier) && o.Value != ""
}

// isItem reports whether raw is an item of this dialect.
func isItem(raw []byte) bool {
	switch typeOf(raw) {
	case "web_search_call", "file_search_call", "computer_call", "code_interpreter_call", "image_generation_call", "mcp_call",
		"mcp_list_tools", "mcp_approval_request", "tool_search_call", "tool_search_output", "program", "program_output":
		return true
	}
	return false
}

// closePart appends the events that repeat the whole of a part. text is JSON text.
func (e *encoder) closePart(dst []byte, b *block, text []byte) []byte {
	const end = "}\n\n"
	switch b.part.Kind {
	case llm.PartText:
		dst = append(e.itemEvent(dst, "response.output_text.done", b), `,"content_index":0,"text":`...)
		dst = append(append(append(dst, text...), `,"logprobs":[]`...), end...)
		dst = append(e.itemEvent(dst, "response.content_part.done", b), `,"content_index":0,"part":`...)
		return append(b.appendContent(dst, text), end...)
	case llm.PartRefusal:
		dst = append(e.itemEvent(dst, "response.refusal.done", b), `,"content_index":0,"refusal":`...)
		dst = append(append(dst, text...), end...)
		dst = append(e.itemEvent(dst, "response.content_part.done", b), `,"content_index":0,"part":`...)
		return append(b.appendContent(dst, text), end...)
	case llm.PartThinking:
		dst = append(e.itemEvent(dst, "response.reasoning_summary_text.done", b), `,"summary_index":0,"text":`...)
		dst = append(append(dst, text...), end...)
		dst = append(e.itemEvent(dst, "response.reasoning_summary_part.done", b), `,"summary_index":0,"part":{"type":"summary_text","text":`...)
		return append(append(append(dst, text...), '}'), end...)
	}
	switch b.itemType() {
	case "function_call":
		dst = e.itemEvent(dst, "response.function_call_arguments.done", b)
		dst = appendRawMember(appendMember(dst, "name", b.call.Name), "arguments", text)
	case "custom_tool_call":
		dst = appendRawMember(e.itemEvent(dst, "response.custom_tool_call_input.done", b), "input", text)
	default:
		return dst
	}
	return append(dst, end...)
}

// appendContent appends the part of a message.
func (b *block) appendContent(dst, text []byte) []byte {
	if b.part.Kind == llm.PartRefusal {
		return append(append(append(dst, `{"type":"refusal","refusal":`...), text...), '}')
	}
	dst = append(append(dst, `{"type":"output_text","text":`...), text...)
	dst = append(dst, `,"annotations":[`...)
	for i, c := range b.citations {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, c...)
	}
	return append(dst, `],"logprobs":[]}`...)
}

// appendItem appends the item of a block. text is JSON text of what it says, nil before that is known.
func (b *block) appendItem(dst []byte, status string, text []byte, done bool) []byte {
	if b.part.Kind == llm.PartOpaque {
		var p rawjson.Patch
		for it := rawjson.Members(b.part.Raw, 0); it.Next(); {
			if string(it.Key()) == "id" {
				lo, hi := it.Span()
				p.Replace(lo, hi, rawjson.AppendString(nil, b.id))
				break
			}
		}
		if p.Empty() {
			p.Insert(0, "id", rawjson.AppendString(nil, b.id))
		}
		return flat(dst, p.Apply(nil, b.part.Raw))
	}
	if text == nil {
		text = []byte(`""`)
	}
	typ := b.itemType()
	dst = append(append(append(dst, `{"id":"`...), b.id...), `","type":"`...)
	dst = append(append(dst, typ...), '"')
	switch typ {
	case "message":
		dst = appendMember(dst, "status", status)
		dst = append(dst, `,"role":"assistant","content":[`...)
		if done {
			dst = b.appendContent(dst, text)
		}
		return append(dst, "]}"...)
	case "reasoning":
		dst = append(dst, `,"summary":[`...)
		if done && len(text) > len(`""`) {
			dst = append(append(append(dst, `{"type":"summary_text","text":`...), text...), '}')
		}
		dst = append(dst, ']')
		if done && own(b.opaque) {
			dst = appendMember(dst, "encrypted_content", b.opaque.Value)
		}
		return append(dst, '}')
	case "compaction":
		return append(appendMember(dst, "encrypted_content", b.opaque.Value), '}')
	}
	return append(b.appendCall(appendMember(dst, "status", status), typ, text), '}')
}

// appendCall appends the members of a call.
func (b *block) appendCall(dst []byte, typ string, text []byte) []byte {
	dst = appendMember(dst, "call_id", b.call.ID)
	switch typ {
	case "function_call", "custom_tool_call":
		if b.call.Namespace != "" {
			dst = appendMember(dst, "namespace", b.call.Namespace)
		}
		dst = appendMember(dst, "name", b.call.Name)
		if typ == "custom_tool_call" {
			return appendRawMember(dst, "input", text)
		}
		dst = appendRawMember(dst, "arguments", text)
		if b.call.Namespace == reservedNamespace {
			dst = append(dst, `,"encrypted_function_args":[]`...)
		}
		return dst
	}
	return appendNative(dst, b.call.Type, string(b.text))
}

// annotation returns a citation as an annotation of this dialect, or nil where it has none for it. end is how much text
// stands before it.
func annotation(p *llm.Part, end int) []byte {
	if p == nil || rawjson.Of(p.Raw) != rawjson.Object {
		return nil
	}
	switch typeOf(p.Raw) {
	case "url_citation", "file_citation", "container_file_citation", "file_path":
		return flat(nil, p.Raw)
	case "web_search_result_location":
		url := rawjson.Get(p.Raw, "url")
		if rawjson.Of(url) != rawjson.String {
			return nil
		}
		title := rawjson.Get(p.Raw, "title")
		if rawjson.Of(title) != rawjson.String {
			title = json.RawMessage(`""`)
		}
		out := appendRawMember(appendRawMember([]byte(`{"type":"url_citation"`), "url", url), "title", title)
		at := strconv.Itoa(end)
		return append(appendRawMember(appendRawMember(out, "start_index", at), "end_index", at), '}')
	}
	return nil
}
