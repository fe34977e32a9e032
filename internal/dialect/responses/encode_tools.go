package responses

import (
	"slices"
	"strconv"
	"strings"

	"detour/internal/dialect"
	"detour/internal/dialect/rawjson"
	"detour/internal/llm"
)

// chooseTools decides which tools are sent, and under which names.
func (e *requestEncoder) chooseTools() {
	tools := e.r.Tools
	if options := e.r.Extras["web_search_options"]; options != nil && e.r.Source == string(dialect.Chat) {
		tools = append(slices.Clip(tools), llm.Tool{Kind: llm.ToolHosted, Type: "web_search", Name: "web_search", Raw: options})
	}
	for i := range tools {
		t := tools[i]
		if t.Kind == llm.ToolHosted {
			if t.Type = hostedType(t.Type); !slices.Contains(e.t.HostedTools, t.Type) {
				e.hosted = append(e.hosted, t.Name, t.Type)
				e.lose("tool " + tools[i].Type)
				continue
			}
		}
		if len(e.tools) == maxTools {
			e.lose("tools after the first " + strconv.Itoa(maxTools))
			break
		}
		e.tools = append(e.tools, t)
	}
	named := slices.DeleteFunc(slices.Clone(e.tools), func(t llm.Tool) bool { return t.Kind == llm.ToolHosted })
	e.names = dialect.NewToolNames(named, maxName, e.wrapped)
}

// hostedType returns what Responses calls a hosted tool of another dialect.
func hostedType(typ string) string {
	switch {
	case strings.HasPrefix(typ, "web_search"):
		return "web_search"
	case strings.HasPrefix(typ, "code_execution"):
		return "code_interpreter"
	case strings.HasPrefix(typ, "tool_search"):
		return "tool_search"
	}
	return typ
}

// wrapped reports whether a tool goes out as a function although it is none.
func (e *requestEncoder) wrapped(t *llm.Tool) bool {
	switch t.Kind {
	case llm.ToolCustom:
		return !e.t.CustomTools
	case llm.ToolNative:
		return !e.isNative(t.Type)
	}
	return false
}

// isNative reports whether the model takes a built-in tool as such.
func (e *requestEncoder) isNative(typ string) bool {
	switch typ {
	case "local_shell", "shell", "apply_patch":
		return e.t.NativeTools
	}
	return false
}

// inNamespace reports whether a tool of a namespace is declared inside it.
func (e *requestEncoder) inNamespace(name string) bool {
	return name != "" && e.t.Namespaces && name != reservedNamespace
}

// checkChoice refuses a choice of what cannot be had.
func (e *requestEncoder) checkChoice() error {
	c := &e.r.Choice
	sent := func(name string) bool {
		return slices.ContainsFunc(e.tools, func(t llm.Tool) bool { return t.Name == name })
	}
	if c.Mode == llm.ChoiceOne && len(c.Names) > 0 && slices.Contains(e.hosted, c.Names[0]) && !sent(c.Names[0]) {
		return dialect.InvalidRequest("tool_choice", "the tool %q cannot be had from this model", c.Names[0])
	}
	must := c.Mode == llm.ChoiceRequired || c.Mode == llm.ChoiceOne || c.Mode == llm.ChoiceSubset && c.Must
	if must && len(e.tools) == 0 && len(e.r.Tools) > 0 {
		return dialect.InvalidRequest("tool_choice", "none of the tools can be had from this model")
	}
	return nil
}

// appendTools appends declarations and choice.
func (e *requestEncoder) appendTools(dst []byte) []byte {
	if len(e.tools) == 0 {
		return dst
	}
	dst = append(dst, `,"tools":[`...)
	first := true
	done := map[string]bool{}
	for i := range e.tools {
		t := &e.tools[i]
		ns := t.Namespace
		if e.inNamespace(ns) && done[ns] {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		if !e.inNamespace(ns) {
			dst = e.appendTool(dst, t, e.names.Wire(ns, t.Name))
			continue
		}
		done[ns] = true
		dst = e.appendNamespace(dst, i)
	}
	dst = e.appendChoice(append(dst, ']'))
	if e.r.Parallel != nil {
		dst = appendRawMember(dst, "parallel_tool_calls", strconv.FormatBool(*e.r.Parallel))
	}
	return dst
}

// appendNamespace appends the namespace that tools[from] is the first of.
func (e *requestEncoder) appendNamespace(dst []byte, from int) []byte {
	ns := e.tools[from].Namespace
	description := e.tools[from].NamespaceDescription
	if description == "" {
		description = "Tools in the " + ns + " namespace."
	}
	dst = appendMember(append(dst, `{"type":"namespace"`...), "name", ns)
	dst = append(appendMember(dst, "description", description), `,"tools":[`...)
	first := true
	for i := from; i < len(e.tools); i++ {
		t := &e.tools[i]
		if t.Namespace != ns {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = e.appendTool(dst, t, t.Name)
	}
	return append(dst, "]}"...)
}

func (e *requestEncoder) appendTool(dst []byte, t *llm.Tool, name string) []byte {
	switch {
	case t.Kind == llm.ToolHosted:
		return e.appendHosted(dst, t)
	case t.Kind == llm.ToolNative && e.isNative(t.Type):
		if e.r.Source == string(dialect.Responses) && t.Raw != nil {
			return append(dst, t.Raw...)
		}
		return append(dst, `{"type":"`+t.Type+`"}`...)
	case t.Kind == llm.ToolCustom && e.t.CustomTools:
		dst = appendMember(append(dst, `{"type":"custom"`...), "name", name)
		if t.Description != "" {
			dst = appendMember(dst, "description", t.Description)
		}
		if rawjson.Of(t.Format) == rawjson.Object {
			dst = appendRawMember(dst, "format", t.Format)
		}
		return append(dst, '}')
	}
	description, schema, strict := t.Description, schemaOf(t.Schema), t.Strict != nil && *t.Strict
	if e.wrapped(t) && t.Schema == nil {
		description, schema = wrapperDescription(t), []byte(dialect.WrapperSchema)
	}
	strict = strict && strictReady(schema)
	dst = appendMember(append(dst, `{"type":"function"`...), "name", name)
	if description != "" {
		dst = appendMember(dst, "description", description)
	}
	dst = appendRawMember(dst, "parameters", schema)
	return append(appendRawMember(dst, "strict", strconv.FormatBool(strict)), '}')
}

// wrapperDescription tells the model how a free-text tool is called that goes out as a function.
func wrapperDescription(t *llm.Tool) string {
	parts := []string{"Put the raw text in `input`, without quoting or wrapping it any further."}
	if t.Description != "" {
		parts = []string{t.Description, parts[0]}
	}
	if definition := rawjson.Text(rawjson.Get(t.Format, "definition")); len(definition) > 0 {
		syntax := rawjson.Text(rawjson.Get(t.Format, "syntax"))
		parts = append(parts, "The text must follow this "+string(syntax)+" grammar:\n"+string(definition))
	}
	return strings.Join(parts, "\n\n")
}

// appendHosted appends a tool that the provider executes.
func (e *requestEncoder) appendHosted(dst []byte, t *llm.Tool) []byte {
	if e.r.Source == string(dialect.Responses) && t.Raw != nil {
		return append(dst, t.Raw...)
	}
	dst = append(dst, `{"type":"`+t.Type+`"`...)
	switch {
	case t.Type != "web_search":
	case e.r.Source == string(dialect.Chat):
		if size := rawjson.Get(t.Raw, "search_context_size"); rawjson.Of(size) == rawjson.String {
			dst = appendRawMember(dst, "search_context_size", size)
		}
	default:
		if domains := rawjson.Get(t.Raw, "allowed_domains"); !rawjson.Empty(domains) {
			dst = append(append(append(dst, `,"filters":{"allowed_domains":`...), domains...), '}')
		}
		if where := rawjson.Get(t.Raw, "user_location"); rawjson.Of(where) == rawjson.Object {
			dst = appendRawMember(dst, "user_location", where)
		}
	}
	return append(dst, '}')
}

// appendChoice appends tool_choice.
func (e *requestEncoder) appendChoice(dst []byte) []byte {
	c := &e.r.Choice
	switch c.Mode {
	case llm.ChoiceAuto:
		return append(dst, `,"tool_choice":"auto"`...)
	case llm.ChoiceNone:
		return append(dst, `,"tool_choice":"none"`...)
	case llm.ChoiceRequired:
		return append(dst, `,"tool_choice":"required"`...)
	case llm.ChoiceOne:
		if len(c.Names) == 0 {
			return dst
		}
		return e.appendChosen(append(dst, `,"tool_choice":`...), c.Names[0])
	case llm.ChoiceSubset:
	default:
		return dst
	}
	mode := "auto"
	if c.Must {
		mode = "required"
	}
	dst = append(dst, `,"tool_choice":{"type":"allowed_tools","mode":"`+mode+`","tools":[`...)
	n := 0
	for _, name := range c.Names {
		if slices.Contains(e.hosted, name) {
			continue
		}
		if n++; n > 1 {
			dst = append(dst, ',')
		}
		dst = e.appendChosen(dst, name)
	}
	return append(dst, "]}"...)
}

func (e *requestEncoder) appendChosen(dst []byte, name string) []byte {
	i := slices.IndexFunc(e.tools, func(t llm.Tool) bool { return t.Name == name })
	if i < 0 {
		return append(appendMember(append(dst, `{"type":"function"`...), "name", e.names.Wire("", name)), '}')
	}
	t := &e.tools[i]
	wire := e.names.Wire(t.Namespace, name)
	if e.inNamespace(t.Namespace) {
		dst = appendMember(append(dst, `{"type":"function"`...), "name", name)
		return append(appendMember(dst, "namespace", t.Namespace), '}')
	}
	typ := "function"
	switch {
	case t.Kind == llm.ToolHosted, t.Kind == llm.ToolNative && e.isNative(t.Type):
		return append(dst, `{"type":"`+t.Type+`"}`...)
	case t.Kind == llm.ToolCustom && e.t.CustomTools:
		typ = "custom"
	}
	return append(appendMember(append(dst, `{"type":"`+typ+`"`...), "name", wire), '}')
}
