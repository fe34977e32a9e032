package messages

import (
	"strconv"

	"detour/internal/dialect"
	"detour/internal/dialect/rawjson"
	"detour/internal/llm"
)

// wrapped says which tools go out as functions with the one string "input": those that are called with free text, and
// built-ins of other dialects whose arguments nobody spelled out.
func wrapped(t *llm.Tool) bool {
	return t.Kind == llm.ToolCustom || t.Kind == llm.ToolNative && len(t.Schema) == 0
}

// tools writes the declarations and the choice among them.
func (e *requestEncoder) tools() error {
	r := e.r
	e.names = dialect.NewToolNames(r.Tools, maxToolName, wrapped)
	allowed := e.allowed()
	seen := map[string]bool{}
	for i := range r.Tools {
		t := &r.Tools[i]
		name := e.names.Wire(t.Namespace, t.Name)
		switch {
		case t.Kind == llm.ToolHosted && !e.native:
			e.lose("tool " + toolWord(t))
			continue
		case seen[name], allowed != nil && !allowed[i]:
			continue
		case len(e.toolList) == maxTools:
			e.lose("tools beyond the first " + strconv.Itoa(maxTools))
			continue
		}
		seen[name] = true
		e.toolList = append(e.toolList, e.tool(t, name))
	}
	return e.choose()
}

// toolWord is how a client calls a tool that has perhaps no name.
func toolWord(t *llm.Tool) string {
	if t.Type != "" {
		return t.Type
	}
	return t.Name
}

// allowed says which tools a choice of several leaves, or nil for all of them. A choice of none that is declared says
// nothing.
func (e *requestEncoder) allowed() map[int]bool {
	if e.r.Choice.Mode != llm.ChoiceSubset {
		return nil
	}
	keep := map[int]bool{}
	for _, name := range e.r.Choice.Names {
		for i := range e.r.Tools {
			if e.is(&e.r.Tools[i], name) {
				keep[i] = true
			}
		}
	}
	if len(keep) == 0 {
		return nil
	}
	return keep
}

// is reports whether a name in a choice means the tool.
func (e *requestEncoder) is(t *llm.Tool, name string) bool {
	return t.Name == name || t.Namespace != "" && t.Namespace+"__"+t.Name == name ||
		t.Type == name && t.Kind != llm.ToolFunction || e.names.Wire(t.Namespace, t.Name) == name
}

func (e *requestEncoder) tool(t *llm.Tool, name string) piece {
	lo := len(e.buf)
	b := piece{lo: lo, cache: t.Cache != nil}
	if e.native && t.Type != "" {
		e.buf = appendOpen(e.buf, t.Raw)
		b.hi = len(e.buf)
		return b
	}
	e.buf = rawjson.AppendString(append(e.buf, `{"name":`...), name)
	description, schema := t.Description, []byte(t.Schema)
	strict := t.Strict != nil && *t.Strict
	switch {
	case wrapped(t):
		description, schema = wrapperText(t), []byte(dialect.WrapperSchema)
		strict = false
	case strict && !e.native:
		schema = strictSchema(schema)
	default:
		schema = toolSchema(schema)
	}
	if description != "" {
		e.buf = rawjson.AppendString(append(e.buf, `,"description":`...), description)
	}
	e.buf = append(append(e.buf, `,"input_schema":`...), schema...)
	if strict {
		e.buf = append(e.buf, `,"strict":true`...)
	}
	b.hi = len(e.buf)
	return b
}

// appendOpen appends the object raw without its closing brace and without members that say where caches end or that
// upstreams refuse.
func appendOpen(dst, raw []byte) []byte {
	dst = append(dst, '{')
	first := true
	for it := rawjson.Members(raw, 0); it.Next(); {
		switch string(it.Key()) {
		case "cache_control", "defer_loading", "eager_input_streaming", "input_examples":
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(rawjson.AppendString(dst, it.Key()), ':')
		dst = append(dst, it.Raw()...)
	}
	return dst
}

// wrapperText describes a wrapped tool. Its grammar is all that tells the model how to write the text.
func wrapperText(t *llm.Tool) string {
	text := t.Description
	if text != "" {
		text += "\n\n"
	}
	text += `Put the raw text in "input".`
	definition := rawjson.Text(rawjson.Get(t.Format, "definition"))
	if len(definition) == 0 {
		definition = rawjson.Text(rawjson.Get(t.Format, "grammar", "definition"))
	}
	if len(definition) > 0 {
		text += " It must follow this grammar:\n" + string(definition)
	}
	return text
}

// choose writes the choice. What the model cannot be forced to is an error: without it the answer would be another.
func (e *requestEncoder) choose() error {
	c := &e.r.Choice
	if len(e.toolList) == 0 {
		switch {
		case c.Mode == llm.ChoiceOne && len(c.Names) > 0:
			return dialect.InvalidRequest("tool_choice", "the model cannot use the tool %q", c.Names[0])
		case c.Mode == llm.ChoiceRequired, c.Mode == llm.ChoiceSubset && c.Must:
			return dialect.InvalidRequest("tool_choice", "the model can use none of the tools")
		}
		return nil
	}
	word, name := "", ""
	switch c.Mode {
	case llm.ChoiceAuto:
		word = "auto"
	case llm.ChoiceNone:
		word = "none"
	case llm.ChoiceRequired:
		word = "any"
	case llm.ChoiceSubset:
		if word = "auto"; c.Must {
			word = "any"
		}
	case llm.ChoiceOne:
		wire, err := e.chosen()
		if err != nil {
			return err
		}
		word, name = "tool", wire
	}
	serial := e.r.Parallel != nil && !*e.r.Parallel && word != "none"
	if serial && word == "" {
		word = "auto"
	}
	if word == "" {
		return nil
	}
	e.forced = word == "any" || word == "tool"
	out := append([]byte(`{"type":"`), word...)
	out = append(out, '"')
	if name != "" {
		out = rawjson.AppendString(append(out, `,"name":`...), name)
	}
	if serial {
		out = append(out, `,"disable_parallel_tool_use":true`...)
	}
	e.choice = string(append(out, '}'))
	return nil
}

// chosen finds the one tool that has to be called.
func (e *requestEncoder) chosen() (wire string, err error) {
	name := ""
	if len(e.r.Choice.Names) > 0 {
		name = e.r.Choice.Names[0]
	}
	for i := range e.r.Tools {
		t := &e.r.Tools[i]
		if !e.is(t, name) {
			continue
		}
		if t.Kind == llm.ToolHosted && !e.native {
			break
		}
		return e.names.Wire(t.Namespace, t.Name), nil
	}
	return "", dialect.InvalidRequest("tool_choice", "the model cannot use the tool %q", name)
}
