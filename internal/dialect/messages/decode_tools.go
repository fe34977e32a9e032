package messages

import (
	"encoding/json"
	"strings"

	"detour/internal/dialect"
	"detour/internal/dialect/rawjson"
	"detour/internal/llm"
)

// tools reads the declared tools. All of them count, also those that the client wants loaded later: other upstreams
// know no such thing.
func (d *requestDecoder) tools(v []byte) error {
	if err := mustBe("tools", v, rawjson.Array); err != nil {
		return err
	}
	it := rawjson.Elements(v, 0)
	for i := 0; it.Next(); i++ {
		path := dialect.Index("tools", i)
		if err := mustBe(path, it.Raw(), rawjson.Object); err != nil {
			return err
		}
		t, err := d.tool(path, it.Raw())
		if err != nil {
			return err
		}
		d.r.Tools = append(d.r.Tools, t)
	}
	return nil
}

func (d *requestDecoder) tool(path string, raw []byte) (llm.Tool, error) {
	t := llm.Tool{Raw: raw}
	var schema []byte
	for it := rawjson.Members(raw, 0); it.Next(); {
		v := it.Raw()
		switch string(it.Key()) {
		case "type":
			t.Type = d.text(v)
		case "name":
			t.Name = d.text(v)
		case "description":
			t.Description = d.text(v)
		case "input_schema":
			schema = v
		case "strict":
			if rawjson.Of(v) == rawjson.Bool {
				strict := v[0] == 't'
				t.Strict = &strict
			}
		case "cache_control":
			t.Cache = readCache(v)
		}
	}
	if t.Type == "custom" || t.Type == "function" {
		t.Type = ""
	}
	switch kind := rawjson.Of(schema); {
	case t.Type != "":
		t.Description, t.Schema = builtin(t.Type)
		if t.Schema == nil {
			t.Kind = llm.ToolHosted
		}
	case t.Name == "":
		return t, dialect.InvalidRequest(path+".name", "is required")
	case kind == rawjson.Object:
		t.Schema = schema
	case kind != rawjson.None && kind != rawjson.Null:
		return t, dialect.InvalidRequest(path+".input_schema", "must be an object, not %s", kind)
	}
	if t.Name == "" {
		t.Name = t.Type
	}
	return t, nil
}

// builtin returns description and arguments of a tool that Anthropic's models know without a declaration and that the
// client executes. For other models they have to be spelled out. The schema is nil for tools that the provider
// executes.
func builtin(typ string) (description string, schema json.RawMessage) {
	switch family, _, _ := strings.Cut(typ, "_2"); family {
	case "bash":
		return "Run a command in a persistent bash session.", json.RawMessage(`{"type":"object","properties":{` +
			`"command":{"type":"string","description":"The command to run. Required unless the tool is being restarted."},` +
			`"restart":{"type":"boolean","description":"true restarts the session."}}}`)
	case "text_editor":
		return "View, create and edit text files.", json.RawMessage(`{"type":"object","properties":{` +
			`"command":{"type":"string","enum":["view","create","str_replace","insert","undo_edit"]},` +
			`"path":{"type":"string","description":"Absolute path to a file or folder."},` +
			`"file_text":{"type":"string","description":"For create: the content of the file."},` +
			`"old_str":{"type":"string","description":"For str_replace: the text to replace."},` +
			`"new_str":{"type":"string","description":"For str_replace: the new text."},` +
			`"insert_line":{"type":"integer","description":"For insert: the line after which the text goes."},` +
			`"insert_text":{"type":"string","description":"For insert: the text."},` +
			`"view_range":{"type":"array","items":{"type":"integer"},"description":"For view: first and last line."}},` +
			`"required":["command","path"]}`)
	case "memory":
		return "Read and write files in the folder /memories, which outlasts the conversation.", json.RawMessage(`{"type":"object","properties":{` +
			`"command":{"type":"string","enum":["view","create","str_replace","insert","delete","rename"]},` +
			`"path":{"type":"string"},"view_range":{"type":"array","items":{"type":"integer"}},` +
			`"file_text":{"type":"string"},"old_str":{"type":"string"},"new_str":{"type":"string"},` +
			`"insert_line":{"type":"integer"},"insert_text":{"type":"string"},` +
			`"old_path":{"type":"string"},"new_path":{"type":"string"}},"required":["command"]}`)
	case "computer":
		return "Use a mouse and a keyboard, and take screenshots.", json.RawMessage(`{"type":"object","properties":{` +
			`"action":{"type":"string"},"coordinate":{"type":"array","items":{"type":"integer"}},` +
			`"start_coordinate":{"type":"array","items":{"type":"integer"}},"text":{"type":"string"},` +
			`"duration":{"type":"number"},"scroll_amount":{"type":"integer"},` +
			`"scroll_direction":{"type":"string","enum":["up","down","left","right"]},` +
			`"region":{"type":"array","items":{"type":"integer"}}},"required":["action"]}`)
	}
	return "", nil
}

// choice reads tool_choice, and with it whether calls may come in parallel.
func (d *requestDecoder) choice(v []byte) error {
	if err := mustBe("tool_choice", v, rawjson.Object); err != nil {
		return err
	}
	if off := rawjson.Get(v, "disable_parallel_tool_use"); rawjson.Of(off) == rawjson.Bool {
		parallel := off[0] != 't'
		d.r.Parallel = &parallel
	}
	switch typ := rawjson.Text(rawjson.Get(v, "type")); string(typ) {
	case "auto":
		d.r.Choice.Mode = llm.ChoiceAuto
	case "any":
		d.r.Choice.Mode = llm.ChoiceRequired
	case "none":
		d.r.Choice.Mode = llm.ChoiceNone
	case "tool":
		name := rawjson.Get(v, "name")
		if err := mustBe("tool_choice.name", name, rawjson.String); err != nil {
			return err
		}
		d.r.Choice = llm.Choice{Mode: llm.ChoiceOne, Names: []string{d.text(name)}}
	case "":
		return dialect.InvalidRequest("tool_choice.type", "is required")
	default:
		return dialect.InvalidRequest("tool_choice.type", "must be auto, any, tool or none, not %q", typ)
	}
	return nil
}
