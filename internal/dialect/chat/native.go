package chat

import "strings"

// nativeSchema returns the JSON Schema of the arguments that a client's built-in tool takes, by the type of the tool.
func nativeSchema(typ string) string {
	switch kind := nativeKind(typ); kind {
	case "local_shell":
		return `{"type":"object","properties":{"command":{"type":"array","items":{"type":"string"},"description":"The program and its arguments"},` +
			`"working_directory":{"type":"string"},"timeout_ms":{"type":"integer"},"env":{"type":"object","additionalProperties":{"type":"string"}}},"required":["command"]}`
	case "shell":
		return `{"type":"object","properties":{"commands":{"type":"array","items":{"type":"string"},"description":"Shell commands, run in order"},` +
			`"timeout_ms":{"type":"integer"},"max_output_length":{"type":"integer"}},"required":["commands"]}`
	case "apply_patch":
		return `{"type":"object","properties":{"operation":{"type":"object","properties":{` +
			`"type":{"type":"string","enum":["create_file","update_file","delete_file"]},"path":{"type":"string"},` +
			`"diff":{"type":"string","description":"V4A diff; not for delete_file"}},"required":["type","path"]}},"required":["operation"]}`
	case "bash":
		return `{"type":"object","properties":{"command":{"type":"string"},"restart":{"type":"boolean","description":"Restart the shell instead"}}}`
	case "text_editor":
		return `{"type":"object","properties":{"command":{"type":"string","enum":["view","create","str_replace","insert"]},"path":{"type":"string"},` +
			`"file_text":{"type":"string"},"old_str":{"type":"string"},"new_str":{"type":"string"},"insert_line":{"type":"integer"},` +
			`"insert_text":{"type":"string"},"view_range":{"type":"array","items":{"type":"integer"}}},"required":["command","path"]}`
	case "memory":
		return `{"type":"object","properties":{"command":{"type":"string","enum":["view","create","str_replace","insert","delete","rename"]},` +
			`"path":{"type":"string"},"file_text":{"type":"string"},"old_str":{"type":"string"},"new_str":{"type":"string"},"insert_line":{"type":"integer"},` +
			`"insert_text":{"type":"string"},"old_path":{"type":"string"},"new_path":{"type":"string"},"view_range":{"type":"array","items":{"type":"integer"}}},"required":["command"]}`
	case "computer":
		return `{"type":"object","properties":{"action":{"type":"string"},"coordinate":{"type":"array","items":{"type":"integer"}},` +
			`"text":{"type":"string"},"duration":{"type":"number"},"scroll_direction":{"type":"string"},"scroll_amount":{"type":"integer"}},"required":["action"]}`
	}
	return `{"type":"object","properties":{}}`
}

// nativeDescription says what such a tool does, for models that have not been trained on it.
func nativeDescription(typ string) string {
	switch nativeKind(typ) {
	case "local_shell":
		return "Run a program on the user's machine and return its output."
	case "shell":
		return "Run shell commands and return their output."
	case "apply_patch":
		return "Create, update or delete a file by a V4A diff."
	case "bash":
		return "Run a command in a persistent bash session and return its output."
	case "text_editor":
		return "View, create and edit files."
	case "memory":
		return "Read and write files of notes that outlive the conversation."
	case "computer":
		return "Operate the screen, the mouse and the keyboard."
	}
	return ""
}

// nativeKind is a type without its date.
func nativeKind(typ string) string {
	for _, kind := range []string{"bash", "text_editor", "memory", "computer"} {
		if strings.HasPrefix(typ, kind+"_") {
			return kind
		}
	}
	return typ
}
