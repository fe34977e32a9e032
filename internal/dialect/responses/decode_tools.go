package responses

import (
	"slices"
	"strings"

	"detour/internal/dialect"
	"detour/internal/dialect/rawjson"
	"detour/internal/llm"
)

// tools reads declarations. Those of the request itself win over those that ride along in the input.
func (d *requestDecoder) tools(path string, raw []byte, win bool) error {
	switch kind := rawjson.Of(raw); kind {
	case rawjson.None, rawjson.Null:
		return nil
	case rawjson.Array:
	default:
		return dialect.InvalidRequest(path, "must be an array, not %s", kind)
	}
	var tools []llm.Tool
	it := rawjson.Elements(raw, 0)
	for i := 0; it.Next(); i++ {
		if err := readTool(&tools, dialect.Index(path, i), it.Raw(), llm.Tool{}); err != nil {
			return err
		}
	}
	if win {
		d.r.Tools = append(tools, d.r.Tools...)
	} else {
		d.r.Tools = append(d.r.Tools, tools...)
	}
	seen := make(map[[2]string]bool, len(d.r.Tools))
	d.r.Tools = slices.DeleteFunc(d.r.Tools, func(t llm.Tool) bool {
		key := [2]string{t.Namespace, t.Name}
		if t.Kind == llm.ToolHosted {
			return false // its name is its type, which says nothing about what it does
		}
		if seen[key] {
			return true
		}
		seen[key] = true
		return false
	})
	return nil
}

// readTool appends the tools that one declaration stands for. in has the namespace that it is in.
func readTool(dst *[]llm.Tool, path string, raw []byte, in llm.Tool) error {
	if kind := rawjson.Of(raw); kind != rawjson.Object {
		return dialect.InvalidRequest(path, "must be an object, not %s", kind)
	}
	t := in
	t.Raw = raw
	var members, inner []byte
	for it := rawjson.Members(raw, 0); it.Next(); {
		switch string(it.Key()) {
		case "type":
			t.Type = string(rawjson.Text(it.Raw()))
		case "tools":
			members = it.Raw()
		case "function", "custom": // as Chat writes it
			if rawjson.Of(it.Raw()) == rawjson.Object {
				inner = it.Raw()
			}
		}
	}
	if inner == nil {
		inner = raw
	}
	if err := readToolMembers(&t, path, inner); err != nil {
		return err
	}
	switch t.Type {
	case "function":
		t.Kind, t.Type = llm.ToolFunction, ""
	case "custom":
		t.Kind, t.Type = llm.ToolCustom, ""
	case "namespace":
		return readNamespace(dst, path, members, t)
	case "local_shell", "shell", "apply_patch":
		t.Kind, t.Name = llm.ToolNative, t.Type
		t.Description, t.Schema = nativeTool(t.Type)
	case "":
		return dialect.InvalidRequest(path+".type", "is required")
	default:
		t.Kind, t.Name = llm.ToolHosted, t.Type
	}
	if t.Name == "" {
		return dialect.InvalidRequest(path+".name", "is required")
	}
	if t.Namespace == reservedNamespace {
		t.Schema = unmarked(t.Schema)
	}
	*dst = append(*dst, t)
	return nil
}

func readToolMembers(t *llm.Tool, path string, raw []byte) error {
	for it := rawjson.Members(raw, 0); it.Next(); {
		kind := rawjson.Of(it.Raw())
		if kind == rawjson.Null {
			continue
		}
		var err error
		var text []byte
		switch key := string(it.Key()); key {
		case "name":
			text, err = textAt(path+".name", it.Raw())
			t.Name = string(text)
		case "description":
			text, err = textAt(path+".description", it.Raw())
			t.Description = string(text)
		case "parameters":
			if t.Schema = it.Raw(); kind != rawjson.Object {
				err = dialect.InvalidRequest(path+".parameters", "must be an object, not %s", kind)
			}
		case "strict":
			err = boolAt(path+".strict", it.Raw(), &t.Strict)
		case "format":
			t.Format = flatFormat(it.Raw())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// flatFormat returns the format of a custom tool as Responses writes it; Chat puts a grammar into an object of its own.
func flatFormat(raw []byte) []byte {
	inner := rawjson.Get(raw, "grammar")
	if rawjson.Of(inner) != rawjson.Object {
		return raw
	}
	out := []byte(`{"type":"grammar"`)
	for _, key := range [...]string{"syntax", "definition"} {
		if v := rawjson.Get(inner, key); v != nil {
			out = appendRawMember(out, key, v)
		}
	}
	return append(out, '}')
}

func readNamespace(dst *[]llm.Tool, path string, members []byte, ns llm.Tool) error {
	if ns.Namespace != "" {
		return dialect.InvalidRequest(path, "a namespace cannot be in a namespace")
	}
	if ns.Name == "" {
		return dialect.InvalidRequest(path+".name", "is required")
	}
	in := llm.Tool{Namespace: ns.Name, NamespaceDescription: ns.Description}
	it := rawjson.Elements(members, 0)
	for i := 0; it.Next(); i++ {
		if err := readTool(dst, dialect.Index(path+".tools", i), it.Raw(), in); err != nil {
			return err
		}
	}
	return nil
}

// choice reads tool_choice.
func (d *requestDecoder) choice(raw []byte) error {
	c := &d.r.Choice
	switch kind := rawjson.Of(raw); kind {
	case rawjson.String:
		switch word := string(rawjson.Text(raw)); word {
		case "auto":
			c.Mode = llm.ChoiceAuto
		case "none":
			c.Mode = llm.ChoiceNone
		case "required":
			c.Mode = llm.ChoiceRequired
		default:
			return dialect.InvalidRequest("tool_choice", "%q is not supported", word)
		}
		return nil
	case rawjson.Object:
	default:
		return dialect.InvalidRequest("tool_choice", "must be a string or an object, not %s", kind)
	}
	if typ := string(rawjson.Text(rawjson.Get(raw, "type"))); typ != "allowed_tools" {
		name := chosen(raw)
		if name == "" {
			return dialect.InvalidRequest("tool_choice.name", "is required")
		}
		c.Mode, c.Names = llm.ChoiceOne, []string{name}
		return nil
	}
	if inner := rawjson.Get(raw, "allowed_tools"); rawjson.Of(inner) == rawjson.Object { // as Chat writes it
		raw = inner
	}
	c.Mode = llm.ChoiceSubset
	c.Must = string(rawjson.Text(rawjson.Get(raw, "mode"))) == "required"
	for it := rawjson.Elements(rawjson.Get(raw, "tools"), 0); it.Next(); {
		if name := chosen(it.Raw()); name != "" {
			c.Names = append(c.Names, name)
		}
	}
	if len(c.Names) == 0 {
		return dialect.InvalidRequest("tool_choice.tools", "must name a tool")
	}
	return nil
}

// chosen returns the name of the tool that a choice is about; a tool without a name goes by its type.
func chosen(raw []byte) string {
	typ := string(rawjson.Text(rawjson.Get(raw, "type")))
	name := string(rawjson.Text(rawjson.Get(raw, "name")))
	if name == "" {
		name = string(rawjson.Text(rawjson.Get(raw, typ, "name"))) // as Chat writes it
	}
	if name == "" && typ != "function" && typ != "custom" {
		name = strings.TrimSuffix(typ, "_call")
	}
	return name
}
