package chat

import (
	"detour/internal/dialect"
	"detour/internal/dialect/rawjson"
	"detour/internal/llm"
)

// openCall is a call of the history that no result was seen for. Results that name no call are matched with them.
type openCall struct{ id, name string }

// message is one element of messages. All but path is raw.
type message struct {
	path                                           string
	role, content, name, callID                    []byte
	calls, call, refusal, reasoning, opaque, cache []byte
}

func readMessage(path string, raw []byte) message {
	m := message{path: path}
	for it := rawjson.Members(raw, 0); it.Next(); {
		switch string(it.Key()) {
		case "role":
			m.role = it.Raw()
		case "content":
			m.content = it.Raw()
		case "name":
			m.name = it.Raw()
		case "tool_call_id":
			m.callID = it.Raw()
		case "tool_calls":
			m.calls = it.Raw()
		case "function_call":
			m.call = it.Raw()
		case "refusal":
			m.refusal = it.Raw()
		case "reasoning_text", "reasoning_content", "reasoning":
			if rawjson.Empty(m.reasoning) {
				m.reasoning = it.Raw()
			}
		case "reasoning_opaque":
			m.opaque = it.Raw()
		case "cache_control", "copilot_cache_control":
			m.cache = it.Raw()
		}
	}
	return m
}

// conversation takes system and messages.
func (d *requestDecoder) conversation() error {
	var err error
	if d.r.System, err = d.content(nil, "system", d.system); err != nil {
		return err
	}
	tools := false // the turn before holds results of tool messages
	it := rawjson.Elements(d.messages, 0)
	for i := 0; it.Next(); i++ {
		path := dialect.Index("messages", i)
		if err := needObject(path, it.Raw()); err != nil {
			return err
		}
		m := readMessage(path, it.Raw())
		if kind := rawjson.Of(m.role); kind != rawjson.String {
			return dialect.InvalidRequest(path+".role", "must be a string, not %s", kind)
		}
		turn := llm.Turn{}
		tool := false
		switch string(rawjson.Text(m.role)) {
		case "system", "developer":
			turn.Role = llm.RoleSystem
			turn.Parts, err = d.content(nil, path+".content", m.content)
		case "user":
			turn.Parts, err = d.content(nil, path+".content", m.content)
		case "assistant":
			turn.Role = llm.RoleAssistant
			turn.Parts, err = d.assistant(m)
		case "tool", "function":
			tool = true
			turn.Parts, err = d.result(m)
		default:
			return dialect.InvalidRequest(path+".role", "must be system, developer, user, assistant or tool")
		}
		if err != nil {
			return err
		}
		if len(turn.Parts) == 0 {
			continue
		}
		if cache := readCache(m.cache); cache != nil {
			turn.Parts[len(turn.Parts)-1].Cache = cache
		}
		switch n := len(d.r.Turns); {
		case turn.Role == llm.RoleSystem && n == 0:
			d.r.System = append(d.r.System, turn.Parts...)
		case tool && tools:
			d.r.Turns[n-1].Parts = append(d.r.Turns[n-1].Parts, turn.Parts...)
		default:
			d.r.Turns = append(d.r.Turns, turn)
		}
		tools = tool
	}
	return nil
}

// content appends the parts of a content that is a string or an array. Empty text is no part.
func (d *requestDecoder) content(dst []llm.Part, path string, raw []byte) ([]llm.Part, error) {
	switch kind := rawjson.Of(raw); kind {
	case rawjson.None, rawjson.Null:
	case rawjson.String:
		if !rawjson.Empty(raw) {
			dst = append(dst, llm.Part{Text: d.text(raw)})
		}
	case rawjson.Array:
		it := rawjson.Elements(raw, 0)
		for i := 0; it.Next(); i++ {
			var err error
			if dst, err = d.part(dst, path, i, it.Raw()); err != nil {
				return nil, err
			}
		}
	default:
		return nil, dialect.InvalidRequest(path, "must be a string or an array, not %s", kind)
	}
	return dst, nil
}

// text is textOf with memory for escapes that is used again.
func (d *requestDecoder) text(raw []byte) string {
	d.buf = rawjson.AppendText(d.buf[:0], raw)
	return string(d.buf)
}

// assistant returns the parts of an assistant message: thinking, text and refusal, calls.
func (d *requestDecoder) assistant(m message) ([]llm.Part, error) {
	var parts []llm.Part
	thought, opaque := textOf(m.reasoning), textOf(m.opaque)
	if thought != "" || opaque != "" {
		parts = append(parts, llm.Part{
			Kind: llm.PartThinking, Text: thought, Opaque: clientOpaque(llm.OpaqueChat, opaque),
		})
	}
	parts, err := d.content(parts, m.path+".content", m.content)
	if err != nil {
		return nil, err
	}
	if refusal := textOf(m.refusal); refusal != "" {
		parts = append(parts, llm.Part{Kind: llm.PartRefusal, Text: refusal})
	}
	switch kind := rawjson.Of(m.calls); kind {
	case rawjson.None, rawjson.Null:
	case rawjson.Array:
		it := rawjson.Elements(m.calls, 0)
		for i := 0; it.Next(); i++ {
			path := dialect.Index(m.path+".tool_calls", i)
			call, err := d.call(path, it.Raw())
			if err != nil {
				return nil, err
			}
			parts = append(parts, llm.Part{Kind: llm.PartCall, Call: call})
		}
	default:
		return nil, dialect.InvalidRequest(m.path+".tool_calls", "must be an array, not %s", kind)
	}
	if !rawjson.Empty(m.call) {
		call, err := d.function(m.path+".function_call", m.call)
		if err != nil {
			return nil, err
		}
		d.opened(call)
		parts = append(parts, llm.Part{Kind: llm.PartCall, Call: call})
	}
	return parts, nil
}

// call takes one element of tool_calls.
func (d *requestDecoder) call(path string, raw []byte) (*llm.Call, error) {
	if err := needObject(path, raw); err != nil {
		return nil, err
	}
	var id, typ, function, custom []byte
	for it := rawjson.Members(raw, 0); it.Next(); {
		switch string(it.Key()) {
		case "id":
			id = it.Raw()
		case "type":
			typ = it.Raw()
		case "function":
			function = it.Raw()
		case "custom":
			custom = it.Raw()
		}
	}
	var call *llm.Call
	var err error
	if custom != nil || string(typ) == `"custom"` {
		call = &llm.Call{Kind: llm.ToolCustom}
		if err = needObject(path+".custom", custom); err == nil {
			err = readName(path+".custom.name", rawjson.Get(custom, "name"), &call.Name)
		}
		call.Arguments = textOf(rawjson.Get(custom, "input"))
	} else {
		call, err = d.function(path+".function", function)
	}
	if err != nil {
		return nil, err
	}
	if err := readString(path+".id", id, &call.ID); err != nil {
		return nil, err
	}
	d.opened(call)
	return call, nil
}

// function takes name and arguments of a call. Arguments that are not quoted as they should be are taken as they are.
func (d *requestDecoder) function(path string, raw []byte) (*llm.Call, error) {
	if err := needObject(path, raw); err != nil {
		return nil, err
	}
	call := &llm.Call{}
	for it := rawjson.Members(raw, 0); it.Next(); {
		switch string(it.Key()) {
		case "name":
			call.Name = textOf(it.Raw())
		case "arguments":
			switch rawjson.Of(it.Raw()) {
			case rawjson.String:
				call.Arguments = d.text(it.Raw())
			case rawjson.Object:
				call.Arguments = string(it.Raw())
			}
		}
	}
	if call.Name == "" {
		return nil, dialect.InvalidRequest(path+".name", "is required")
	}
	return call, nil
}

// opened notes a call that waits for its result, and gives it an id if it has none.
func (d *requestDecoder) opened(call *llm.Call) {
	if call.ID == "" {
		call.ID = "call_" + call.Name + "_" + itoa(d.minted)
		d.minted++
	}
	if call.Kind != llm.ToolFunction {
		if d.kinds == nil {
			d.kinds = map[string]llm.ToolKind{}
		}
		d.kinds[call.ID] = call.Kind
	}
	d.open = append(d.open, openCall{call.ID, call.Name})
}

// answered returns the id of the call that a result belongs to: the one that it names, else the first that waits for
// one, of the tool with the name if that is given.
func (d *requestDecoder) answered(id, name string) string {
	for i, o := range d.open {
		if id != "" && o.id == id || id == "" && (name == "" || o.name == name) {
			d.open = append(d.open[:i], d.open[i+1:]...)
			return o.id
		}
	}
	return id
}

// result takes a tool message.
func (d *requestDecoder) result(m message) ([]llm.Part, error) {
	var id, name string
	if err := readString(m.path+".tool_call_id", m.callID, &id); err != nil {
		return nil, err
	}
	if err := readString(m.path+".name", m.name, &name); err != nil {
		return nil, err
	}
	if id = d.answered(id, name); id == "" {
		return nil, dialect.InvalidRequest(m.path+".tool_call_id", "is required")
	}
	parts, err := d.content(nil, m.path+".content", m.content)
	if err != nil {
		return nil, err
	}
	return []llm.Part{{Kind: llm.PartResult, Result: &llm.Result{ID: id, Kind: d.kinds[id], Name: name, Parts: parts}}}, nil
}

func readName(path string, raw []byte, into *string) error {
	if err := readString(path, raw, into); err != nil {
		return err
	}
	if *into == "" {
		return dialect.InvalidRequest(path, "is required")
	}
	return nil
}

func readCache(raw []byte) *llm.Cache {
	if rawjson.Of(raw) != rawjson.Object {
		return nil
	}
	return &llm.Cache{TTL: textOf(rawjson.Get(raw, "ttl"))}
}
