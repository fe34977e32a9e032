package chat

import (
	"slices"
	"strings"

	"detour/internal/dialect"
	"detour/internal/dialect/rawjson"
	"detour/internal/llm"
)

// maxTools is how many tools a request may declare.
const maxTools = 128

// wrapped reports whether a tool goes out as a function although it is none.
func (e *requestEncoder) wrapped(t *llm.Tool) bool {
	return t.Kind == llm.ToolNative || t.Kind == llm.ToolCustom && !e.t.CustomTools
}

// tools writes the tools and what is said about their use.
func (e *requestEncoder) tools() error {
	count, hosted := 0, 0
	for i := range e.r.Tools {
		t := &e.r.Tools[i]
		switch {
		case t.Kind == llm.ToolHosted:
			hosted++
			e.lose("tool " + toolName(t))
			continue
		case count == maxTools:
			e.lose("tools after the 128th")
			continue
		case count == 0:
			e.out = append(e.out, `,"tools":[`...)
		default:
			e.out = append(e.out, ',')
		}
		count++
		e.tool(t)
	}
	if count > 0 {
		e.out = append(e.out, ']')
	}
	if err := e.choice(count, hosted); err != nil {
		return err
	}
	if p := e.r.Parallel; p != nil && !*p && count > 0 {
		e.out = append(e.out, `,"parallel_tool_calls":false`...)
	}
	return nil
}

func toolName(t *llm.Tool) string {
	if t.Name != "" {
		return t.Name
	}
	return t.Type
}

// tool writes one declaration.
func (e *requestEncoder) tool(t *llm.Tool) {
	name := e.names.Wire(t.Namespace, t.Name)
	if t.Kind == llm.ToolCustom && e.t.CustomTools {
		e.out = append(e.out, `{"type":"custom","custom":{"name":`...)
		e.out = rawjson.AppendString(e.out, name)
		e.str("description", t.Description)
		e.grammar(t)
		e.out = append(e.out, "}}"...)
		return
	}
	e.out = append(e.out, `{"type":"function","function":{"name":`...)
	e.out = rawjson.AppendString(e.out, name)
	e.str("description", description(t))
	e.out = append(e.out, `,"parameters":`...)
	switch {
	case t.Kind == llm.ToolCustom:
		e.out = append(e.out, dialect.WrapperSchema...)
	case t.Kind == llm.ToolNative && len(t.Schema) == 0:
		e.out = append(e.out, nativeSchema(t.Type)...)
	default:
		e.out = appendSchema(e.out, t.Schema)
	}
	if t.Strict != nil && t.Kind == llm.ToolFunction {
		if *t.Strict && strictSchema(t.Schema) {
			e.out = append(e.out, `,"strict":true`...)
		} else {
			e.out = append(e.out, `,"strict":false`...)
		}
	}
	e.out = append(e.out, "}}"...)
}

// grammar writes the format of a free-text tool: a grammar is nested here.
func (e *requestEncoder) grammar(t *llm.Tool) {
	if textOf(rawjson.Get(t.Format, "type")) != "grammar" {
		return
	}
	e.out = append(e.out, `,"format":{"type":"grammar","grammar":{"syntax":`...)
	e.out = rawjson.AppendString(e.out, textOf(rawjson.Get(t.Format, "syntax")))
	e.str("definition", textOf(rawjson.Get(t.Format, "definition")))
	e.out = append(e.out, "}}"...)
}

// description is what the model is told about a tool. For a free-text tool that goes out as a function it says where the
// text goes, and what it must look like.
func description(t *llm.Tool) string {
	if t.Kind != llm.ToolCustom {
		if t.Description == "" && t.Kind == llm.ToolNative {
			return nativeDescription(t.Type)
		}
		return t.Description
	}
	text := joined(t.Description, "Put the raw text in `input`.")
	if definition := textOf(rawjson.Get(t.Format, "definition")); definition != "" {
		syntax := strings.TrimSpace(textOf(rawjson.Get(t.Format, "syntax")) + " grammar")
		text = joined(text, "It must follow this "+syntax+":\n"+definition)
	}
	return text
}

// choice writes tool_choice. count tools were declared, and hosted ones left out.
func (e *requestEncoder) choice(count, hosted int) error {
	c := &e.r.Choice
	unavailable := func(name string) error {
		return dialect.InvalidRequest("tool_choice", "the tool %q cannot be had from this model", name)
	}
	switch c.Mode {
	case llm.ChoiceAuto:
		e.word(count, "auto")
	case llm.ChoiceNone:
		e.word(count, "none")
	case llm.ChoiceRequired:
		if count == 0 && hosted > 0 {
			return dialect.InvalidRequest("tool_choice", "none of the tools can be had from this model")
		}
		e.word(count, "required")
	case llm.ChoiceOne:
		if len(c.Names) == 0 {
			return nil
		}
		t := e.named(c.Names[0])
		if t == nil {
			return unavailable(c.Names[0])
		}
		e.key("tool_choice")
		e.reference(t)
	case llm.ChoiceSubset:
		return e.subset(c, unavailable)
	}
	return nil
}

func (e *requestEncoder) word(count int, word string) {
	if count > 0 {
		e.str("tool_choice", word)
	}
}

// named returns the declared tool with the name, alone or behind its namespace, that was written.
func (e *requestEncoder) named(name string) *llm.Tool {
	i := slices.IndexFunc(e.r.Tools, func(t llm.Tool) bool {
		return t.Kind != llm.ToolHosted && (t.Name == name || t.Namespace != "" && t.Namespace+"__"+t.Name == name || t.Type == name)
	})
	if i < 0 {
		return nil
	}
	return &e.r.Tools[i]
}

// reference writes which tool is meant.
func (e *requestEncoder) reference(t *llm.Tool) {
	kind := "function"
	if t.Kind == llm.ToolCustom && e.t.CustomTools {
		kind = "custom"
	}
	e.out = append(e.out, `{"type":"`+kind+`","`+kind+`":{"name":`...)
	e.out = rawjson.AppendString(e.out, e.names.Wire(t.Namespace, t.Name))
	e.out = append(e.out, "}}"...)
}

// subset writes a choice among some of the tools.
func (e *requestEncoder) subset(c *llm.Choice, unavailable func(string) error) error {
	written := 0
	for _, name := range c.Names {
		t := e.named(name)
		if t == nil {
			e.lose("tool_choice " + name)
			continue
		}
		if written == 0 {
			mode := "auto"
			if c.Must {
				mode = "required"
			}
			e.out = append(e.out, `,"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"`+mode+`","tools":[`...)
		} else {
			e.out = append(e.out, ',')
		}
		written++
		e.reference(t)
	}
	if written > 0 {
		e.out = append(e.out, "]}}"...)
	} else if c.Must && len(c.Names) > 0 {
		return unavailable(c.Names[0])
	}
	return nil
}
