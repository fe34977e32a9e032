package gemini

import (
	"slices"
	"strings"

	"detour/internal/dialect"
	"detour/internal/dialect/rawjson"
	"detour/internal/llm"
)

// tool reads tools[i], which holds functions, tools of the service, or both.
func (d *decoder) tool(_ int, raw []byte, at *path) error {
	if rawjson.Of(raw) == rawjson.Null {
		return nil
	}
	if err := object(raw, at); err != nil {
		return err
	}
	for it := rawjson.Members(raw, 0); it.Next(); {
		v := it.Raw()
		if rawjson.Of(v) == rawjson.Null {
			continue
		}
		name := string(camel(it.Key()))
		if name == "functionDeclarations" {
			if err := each(v, at.member(name), d.function); err != nil {
				return err
			}
			continue
		}
		d.r.Tools = append(d.r.Tools, llm.Tool{Kind: llm.ToolHosted, Type: name, Name: name, Raw: raw})
	}
	return nil
}

// function reads one function declaration.
func (d *decoder) function(_ int, raw []byte, at *path) error {
	if err := object(raw, at); err != nil {
		return err
	}
	t := llm.Tool{Raw: raw}
	var err error
	for it := rawjson.Members(raw, 0); it.Next() && err == nil; {
		v := it.Raw()
		switch string(camel(it.Key())) {
		case "name":
			t.Name, err = text(v, at.member("name"))
		case "description":
			t.Description, err = text(v, at.member("description"))
		case "parameters":
			if t.Schema == nil && rawjson.Of(v) != rawjson.Null {
				err = object(v, at.member("parameters"))
				t.Schema = appendSchema(nil, v)
			}
		case "parametersJsonSchema":
			if rawjson.Of(v) != rawjson.Null {
				err = object(v, at.member("parametersJsonSchema"))
				t.Schema = v
			}
		}
	}
	if err == nil && t.Name == "" {
		err = dialect.InvalidRequest(at.member("name").String(), "is required")
	}
	d.r.Tools = append(d.r.Tools, t)
	return err
}

// toolConfig reads which functions may or must be called.
func (d *decoder) toolConfig(raw []byte, at *path) error {
	if rawjson.Of(raw) == rawjson.None || rawjson.Of(raw) == rawjson.Null {
		return nil
	}
	if err := object(raw, at); err != nil {
		return err
	}
	for it := rawjson.Members(raw, 0); it.Next(); {
		name := string(camel(it.Key()))
		if name != "functionCallingConfig" {
			d.extra("toolConfig.", it.Key(), it.Raw())
			continue
		}
		if err := d.choice(it.Raw(), at.member(name)); err != nil {
			return err
		}
	}
	return nil
}

func (d *decoder) choice(raw []byte, at *path) error {
	if rawjson.Of(raw) == rawjson.Null {
		return nil
	}
	if err := object(raw, at); err != nil {
		return err
	}
	var mode string
	var names []string
	for it := rawjson.Members(raw, 0); it.Next(); {
		var err error
		switch v := it.Raw(); string(camel(it.Key())) {
		case "mode":
			mode, err = text(v, at.member("mode"))
		case "allowedFunctionNames":
			names, err = texts(v, at.member("allowedFunctionNames"))
		}
		if err != nil {
			return err
		}
	}
	c := &d.r.Choice
	switch strings.ToUpper(mode) {
	case "", "MODE_UNSPECIFIED":
		return nil
	case "AUTO":
		c.Mode = llm.ChoiceAuto
		return nil
	case "NONE":
		c.Mode = llm.ChoiceNone
		return nil
	case "ANY":
		c.Mode, c.Must = llm.ChoiceRequired, true
		if len(names) == 1 {
			c.Mode = llm.ChoiceOne
		}
	case "VALIDATED":
		c.Mode = llm.ChoiceAuto
	default:
		return dialect.InvalidRequest(at.member("mode").String(), "must be AUTO, ANY, NONE or VALIDATED, not %q", mode)
	}
	if len(names) > 1 || len(names) == 1 && !c.Must {
		c.Mode = llm.ChoiceSubset
	}
	c.Names = names
	c.Must = c.Must && c.Mode == llm.ChoiceSubset
	for i, name := range names {
		declared := func(t llm.Tool) bool { return t.Kind == llm.ToolFunction && t.Name == name }
		if !slices.ContainsFunc(d.r.Tools, declared) {
			at = &path{parent: at.member("allowedFunctionNames"), index: i}
			return dialect.InvalidRequest(at.String(), "names no declared function: %q", name)
		}
	}
	return nil
}

// texts reads a list of strings.
func texts(raw []byte, at *path) ([]string, error) {
	var out []string
	if rawjson.Of(raw) == rawjson.Object {
		return nil, at.wrong("an array", raw)
	}
	err := each(raw, at, func(_ int, raw []byte, at *path) error {
		s, err := text(raw, at)
		out = append(out, s)
		return err
	})
	return out, err
}
