package responses

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"

	"detour/internal/dialect/rawjson"
	"detour/internal/llm"
)

// nativeTool returns what a model needs to know of a built-in tool that the client executes, where the tool goes out as
// a function.
func nativeTool(typ string) (description string, schema json.RawMessage) {
	switch typ {
	case "local_shell":
		return "Runs a command on the user's machine and returns what it prints.",
			json.RawMessage(`{"type":"object","properties":{"command":{"type":"array","items":{"type":"string"},"description":"The program and its arguments."},"working_directory":{"type":"string"},"timeout_ms":{"type":"integer"},"env":{"type":"object","additionalProperties":{"type":"string"}}},"required":["command"]}`)
	case "shell":
		return "Runs shell commands on the user's machine and returns what each prints and how it exits.",
			json.RawMessage(`{"type":"object","properties":{"commands":{"type":"array","items":{"type":"string"},"description":"Shell command lines."},"timeout_ms":{"type":"integer"},"max_output_length":{"type":"integer"}},"required":["commands"]}`)
	case "apply_patch":
		return "Creates, updates or deletes one file.",
			json.RawMessage(`{"type":"object","properties":{"operation":{"type":"object","properties":{"type":{"type":"string","enum":["create_file","update_file","delete_file"]},"path":{"type":"string"},"diff":{"type":"string","description":"The change in V4A format: lines that begin with a space, + or -, grouped behind @@. Left out for delete_file."}},"required":["type","path"]}},"required":["operation"]}`)
	}
	return "", nil
}

// nativeArguments returns the arguments of a call of a built-in tool as its schema has them.
func nativeArguments(typ string, action, operation []byte) string {
	if typ == "apply_patch" {
		if rawjson.Of(operation) != rawjson.Object {
			operation = []byte("{}")
		}
		return `{"operation":` + string(operation) + `}`
	}
	if rawjson.Of(action) != rawjson.Object {
		return "{}"
	}
	var p rawjson.Patch
	for it := rawjson.Members(action, 0); it.Next(); {
		if string(it.Key()) == "type" {
			p.Remove(&it)
			break
		}
	}
	return string(p.Apply(nil, action))
}

// appendNative appends the members that a call item of a built-in tool has for the arguments, which may also be the
// bare text of a command or a patch.
func appendNative(dst []byte, typ, arguments string) []byte {
	raw := []byte(arguments)
	object := rawjson.Valid(raw)
	if object {
		raw = bytes.ReplaceAll(bytes.TrimSpace(raw), []byte("\n"), []byte(" "))
		object = rawjson.Of(raw) == rawjson.Object
	}
	switch typ {
	case "apply_patch":
		operation := rawjson.Get(raw, "operation")
		if !object || rawjson.Of(operation) != rawjson.Object {
			operation = patchOperation(arguments)
		}
		return appendRawMember(dst, "operation", operation)
	case "local_shell":
		action := []byte(`{"type":"exec"`)
		if object {
			for it := rawjson.Members(raw, 0); it.Next(); {
				if key := string(it.Key()); key != "type" && key != "env" {
					action = appendRawMember(action, key, it.Raw())
				}
			}
		} else {
			action = append(action, `,"command":["bash","-lc",`...)
			action = append(rawjson.AppendString(action, arguments), ']')
		}
		env := rawjson.Get(raw, "env")
		if !object || rawjson.Of(env) != rawjson.Object {
			env = []byte("{}")
		}
		return appendRawMember(dst, "action", append(appendRawMember(action, "env", env), '}'))
	}
	action := raw
	if !object {
		action = append(rawjson.AppendString([]byte(`{"commands":[`), arguments), "]}"...)
	}
	return appendRawMember(dst, "action", action)
}

// patchOperation makes an operation of a patch as models write it in free text. A patch of several files keeps all its
// lines in the diff of the first, so that nothing of it is lost silently: the client refuses it.
func patchOperation(patch string) []byte {
	body := strings.TrimPrefix(strings.TrimSpace(patch), "*** Begin Patch\n")
	body = strings.TrimSuffix(body, "\n*** End Patch")
	head, diff, _ := strings.Cut(body, "\n")
	for _, kind := range [...]struct{ prefix, typ string }{
		{"*** Add File: ", "create_file"}, {"*** Update File: ", "update_file"}, {"*** Delete File: ", "delete_file"},
	} {
		path, ok := strings.CutPrefix(head, kind.prefix)
		if !ok {
			continue
		}
		op := rawjson.AppendString([]byte(`{"type":"`+kind.typ+`","path":`), strings.TrimSpace(path))
		if kind.typ != "delete_file" {
			op = appendMember(op, "diff", diff)
		}
		return append(op, '}')
	}
	return append(appendMember([]byte(`{"type":"update_file","path":""`), "diff", patch), '}')
}

// shellOutput makes text of what a shell call gave.
func (d *requestDecoder) shellOutput(raw []byte) []llm.Part {
	if rawjson.Of(raw) == rawjson.String {
		return d.textParts(raw)
	}
	var parts []llm.Part
	for it := rawjson.Elements(raw, 0); it.Next(); {
		text := rawjson.AppendText(nil, rawjson.Get(it.Raw(), "stdout"))
		if stderr := rawjson.Text(rawjson.Get(it.Raw(), "stderr")); len(stderr) > 0 {
			if len(text) > 0 && text[len(text)-1] != '\n' {
				text = append(text, '\n')
			}
			text = append(append(text, "stderr:\n"...), stderr...)
		}
		outcome := rawjson.Get(it.Raw(), "outcome")
		if code, ok := rawjson.Int(rawjson.Get(outcome, "exit_code")); ok && code != 0 {
			text = append(text, "\n[exit code "...)
			text = append(strconv.AppendInt(text, code, 10), ']')
		} else if string(rawjson.Get(outcome, "type")) == `"timeout"` {
			text = append(text, "\n[timed out]"...)
		}
		if len(text) > 0 {
			parts = append(parts, llm.Part{Kind: llm.PartText, Text: string(text)})
		}
	}
	return parts
}
