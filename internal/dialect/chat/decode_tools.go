package chat

import (
	"encoding/json"
	"strings"

	"detour/internal/dialect"
	"detour/internal/dialect/rawjson"
	"detour/internal/llm"
)

// tools takes the tools and what is said about their use.
func (d *requestDecoder) tools() error {
	for _, list := range []struct {
		path string
		raw  []byte
	}{{"tools", d.declared}, {"functions", d.functions}} {
		switch kind := rawjson.Of(list.raw); kind {
		case rawjson.None, rawjson.Null:
			continue
		case rawjson.Array:
		default:
			return dialect.InvalidRequest(list.path, "must be an array, not %s", kind)
		}
		it := rawjson.Elements(list.raw, 0)
		for i := 0; it.Next(); i++ {
			t, err := readTool(dialect.Index(list.path, i), it.Raw())
			if err != nil {
				return err
			}
			d.r.Tools = append(d.r.Tools, t)
		}
	}
	if d.r.Extras["web_search_options"] != nil {
		delete(d.r.Extras, "web_search_options")
		d.r.Tools = append(d.r.Tools, llm.Tool{Kind: llm.ToolHosted, Type: "web_search", Name: "web_search"})
	}
	if rawjson.Empty(d.choice) {
		d.choice = d.functionCall
	}
	if legacy(d.r.Raw) {
		one := false // the older form has room for one call
		d.r.Parallel = &one
	}
	return d.readChoice(d.choice)
}

// legacy reports whether a body declares its tools in the form that came before tools.
func legacy(body []byte) bool {
	return !rawjson.Empty(rawjson.Get(body, "functions")) && rawjson.Empty(rawjson.Get(body, "tools"))
}

// tool is a declaration; all members are raw.
type tool struct {
	typ, name, description, schema, strict, format, cache []byte
	bare                                                  bool // in the words of Messages
}

// readTool takes a tool in the nested form of Chat Completions, the flat one of Responses, or that of Messages.
func readTool(path string, raw []byte) (llm.Tool, error) {
	t := llm.Tool{Raw: raw}
	if err := needObject(path, raw); err != nil {
		return t, err
	}
	in, at := toolMembers(raw, path)
	typ := textOf(in.typ)
	if in.schema != nil && rawjson.Of(in.schema) != rawjson.Null {
		if err := needObject(at+".parameters", in.schema); err != nil {
			return t, err
		}
		t.Schema = in.schema
	}
	switch {
	case typ == "function", typ == "", typ == "custom" && in.bare:
	case typ == "custom":
		t.Kind = llm.ToolCustom
		t.Format = flatFormat(in.format)
	default:
		t.Kind, t.Type = builtin(typ), typ
		if t.Name = textOf(in.name); t.Name == "" {
			t.Name = typ
		}
		t.Cache = readCache(in.cache)
		return t, nil
	}
	if err := readName(at+".name", in.name, &t.Name); err != nil {
		return t, err
	}
	if err := readString(at+".description", in.description, &t.Description); err != nil {
		return t, err
	}
	if in.strict != nil {
		if err := readOptional(at+".strict", in.strict, &t.Strict); err != nil {
			return t, err
		}
	}
	t.Cache = readCache(in.cache)
	return t, nil
}

// toolMembers gathers the members of a declaration, wherever they are, and returns the path of where most of them are.
func toolMembers(raw []byte, path string) (in tool, at string) {
	at = path
	var inner []byte
	for it := rawjson.Members(raw, 0); it.Next(); {
		switch string(it.Key()) {
		case "function", "custom":
			inner = it.Raw()
			at = path + "." + string(it.Key())
		default:
			in.member(string(it.Key()), it.Raw())
		}
	}
	for it := rawjson.Members(inner, 0); it.Next(); {
		in.member(string(it.Key()), it.Raw())
	}
	return in, at
}

func (t *tool) member(key string, raw []byte) {
	switch key {
	case "type":
		t.typ = raw
	case "name":
		t.name = raw
	case "description":
		t.description = raw
	case "parameters":
		t.schema = raw
	case "input_schema":
		t.schema, t.bare = raw, true
	case "strict":
		t.strict = raw
	case "format":
		t.format = raw
	case "cache_control":
		t.cache = raw
	}
}

// builtin tells the built-in tools that the client executes from those that a provider does.
func builtin(typ string) llm.ToolKind {
	switch typ {
	case "local_shell", "shell", "apply_patch":
		return llm.ToolNative
	}
	for _, prefix := range []string{"bash_", "text_editor_", "memory_", "computer_"} {
		if strings.HasPrefix(typ, prefix) {
			return llm.ToolNative
		}
	}
	return llm.ToolHosted
}

// flatFormat returns the format of a custom tool as Responses writes it: Chat Completions nests the grammar.
func flatFormat(raw []byte) json.RawMessage {
	grammar := rawjson.Get(raw, "grammar")
	if rawjson.Of(grammar) != rawjson.Object {
		return json.RawMessage(raw)
	}
	out := []byte(`{"type":"grammar"`)
	for _, key := range []string{"syntax", "definition"} {
		if v := rawjson.Get(grammar, key); v != nil {
			out = append(out, `,"`+key+`":`...)
			out = append(out, v...)
		}
	}
	return append(out, '}')
}

// readChoice takes tool_choice, in any of the forms that tools can have.
func (d *requestDecoder) readChoice(raw []byte) error {
	const path = "tool_choice"
	c := &d.r.Choice
	switch kind := rawjson.Of(raw); kind {
	case rawjson.None, rawjson.Null:
		return nil
	case rawjson.String:
		return setWord(c, path, textOf(raw))
	case rawjson.Object:
	default:
		return dialect.InvalidRequest(path, "must be a string or an object, not %s", kind)
	}
	if off := rawjson.Get(raw, "disable_parallel_tool_use"); string(off) == "true" {
		parallel := false
		d.r.Parallel = &parallel
	}
	switch typ := textOf(rawjson.Get(raw, "type")); typ {
	case "auto", "none", "any", "required":
		return setWord(c, path, typ)
	case "function", "custom", "tool", "":
		name := choiceName(raw)
		if name == "" {
			return dialect.InvalidRequest(path+".function.name", "is required")
		}
		c.Mode, c.Names = llm.ChoiceOne, []string{name}
	case "allowed_tools":
		return setAllowed(c, path, raw)
	default: // a built-in tool, by its type
		c.Mode, c.Names = llm.ChoiceOne, []string{typ}
	}
	return nil
}

// choiceName returns the name in a tool reference: nested or flat.
func choiceName(raw []byte) string {
	for _, keys := range [][]string{{"function", "name"}, {"custom", "name"}, {"name"}} {
		if name := textOf(rawjson.Get(raw, keys...)); name != "" {
			return name
		}
	}
	return ""
}

func setWord(c *llm.Choice, path, word string) error {
	switch word {
	case "auto":
		c.Mode = llm.ChoiceAuto
	case "none":
		c.Mode = llm.ChoiceNone
	case "required", "any":
		c.Mode = llm.ChoiceRequired
	default:
		return dialect.InvalidRequest(path, "must be none, auto, required or name a tool")
	}
	return nil
}

// setAllowed takes a choice among some of the tools.
func setAllowed(c *llm.Choice, path string, raw []byte) error {
	if inner := rawjson.Get(raw, "allowed_tools"); inner != nil {
		path, raw = path+".allowed_tools", inner
	}
	c.Mode, c.Must = llm.ChoiceSubset, textOf(rawjson.Get(raw, "mode")) == "required"
	it := rawjson.Elements(rawjson.Get(raw, "tools"), 0)
	for i := 0; it.Next(); i++ {
		name := choiceName(it.Raw())
		if name == "" {
			name = textOf(rawjson.Get(it.Raw(), "type"))
		}
		if name == "" {
			return dialect.InvalidRequest(dialect.Index(path+".tools", i), "names no tool")
		}
		c.Names = append(c.Names, name)
	}
	if len(c.Names) == 0 {
		return dialect.InvalidRequest(path+".tools", "must name a tool")
	}
	return nil
}
