package chat

import (
	"detour/internal/dialect"
	"detour/internal/dialect/rawjson"
	"detour/internal/dialect/responses"
	"detour/internal/llm"
)

// decodeResponses takes the body of a Responses request that was sent to the Chat Completions endpoint. The answer still
// goes out in this dialect, whose way to ask for usage such bodies use.
func decodeResponses(body []byte, wantUsage bool) (*llm.Request, error) {
	r, err := responses.Codec{}.DecodeRequest(body)
	if err != nil {
		return nil, err
	}
	r.WantUsage = r.WantUsage || wantUsage
	return r, nil
}

// peekResponses looks into the body of a Responses request that was sent to the Chat Completions endpoint.
func peekResponses(body []byte) (dialect.Peek, error) {
	p, err := responses.Format{}.Peek(body)
	p.Mixed = true
	return p, err
}

// mixedTools reports whether a tool is declared in the words of Messages or in the flat form of Responses.
func mixedTools(tools []byte) bool {
	for it := rawjson.Elements(tools, 0); it.Next(); {
		if rawjson.Of(it.Raw()) == rawjson.Object && !nested(it.Raw()) {
			return true
		}
	}
	return false
}

// nested reports whether a declaration has the form of Chat Completions.
func nested(tool []byte) bool {
	for it := rawjson.Members(tool, 0); it.Next(); {
		if key := string(it.Key()); (key == "function" || key == "custom") && rawjson.Of(it.Raw()) == rawjson.Object {
			return true
		}
	}
	return false
}

// mixedChoice reports whether a tool choice is in the words of Messages or Responses.
func mixedChoice(choice []byte) bool {
	if rawjson.Of(choice) != rawjson.Object {
		return false
	}
	switch string(rawjson.Text(rawjson.Get(choice, "type"))) {
	case "function", "custom":
		return rawjson.Get(choice, "name") != nil
	case "allowed_tools":
		return rawjson.Get(choice, "allowed_tools") == nil
	}
	return true
}

// foreignPart reports whether a content part is a block of Messages or a part of Responses.
func foreignPart(typ []byte) bool {
	switch string(typ) {
	case "tool_use", "tool_result", "thinking", "redacted_thinking", "image", "document", "tool_reference", "search_result",
		"input_text", "output_text", "input_image", "input_file":
		return true
	}
	return false
}
