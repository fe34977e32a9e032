package sim

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// strictMessage is a message as far as its members and its place are checked.
type strictMessage struct {
	Role    string          `json:"role"`
	Content json.RawMessage `json:"content"`
}

// blockTypes are the content blocks that the service knows.
func blockTypes() []string {
	return []string{
		"text", "image", "document", "search_result", "thinking", "redacted_thinking", "tool_use", "tool_result", "server_tool_use",
		"web_search_tool_result", "container_upload", "tool_reference",
	}
}

// checkStrict refuses what newer clients send ahead of the service: messages with members of their own, instructions in
// mid-conversation where the model does not take them, thinking in forms that it does not know.
func (c *call) checkStrict(r *messagesRequest) error {
	var body struct {
		Messages     []json.RawMessage          `json:"messages"`
		Metadata     map[string]json.RawMessage `json:"metadata"`
		OutputConfig *struct {
			Effort string `json:"effort"`
		} `json:"output_config"`
		ToolChoice struct {
			Type string `json:"type"`
		} `json:"tool_choice"`
		ContextManagement *struct {
			Edits []struct {
				Type string `json:"type"`
			} `json:"edits"`
		} `json:"context_management"`
	}
	if err := c.decode(&body); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(body.Metadata)) {
		if name != "user_id" {
			return c.extra("metadata." + name)
		}
	}
	if err := c.checkTurns(r.Model, body.Messages); err != nil {
		return err
	}
	thinks := r.Thinking != nil && r.Thinking.Type != "disabled"
	if thinks && (body.ToolChoice.Type == "any" || body.ToolChoice.Type == "tool") {
		return c.anthropicError("Thinking may not be enabled when tool_choice forces tool use.")
	}
	if cm := body.ContextManagement; cm != nil {
		for i, e := range cm.Edits {
			switch {
			case !strings.HasPrefix(e.Type, "clear_"):
				return c.anthropicError("context_management.edits." + strconv.Itoa(i) + ": Input tag '" + e.Type + "' found using 'type' does not match any of the expected tags: 'clear_tool_uses_20250919', 'clear_thinking_20251015'")
			case strings.HasPrefix(e.Type, "clear_thinking_") && !thinks:
				return c.anthropicError("`" + e.Type + "` strategy requires `thinking` to be enabled or adaptive")
			}
		}
	}
	m := c.st.models[r.Model]
	if m == nil {
		return nil // refused elsewhere
	}
	if m.Output > 0 && *r.MaxTokens > m.Output {
		return c.anthropicError("max_tokens: " + strconv.Itoa(*r.MaxTokens) + " > " + strconv.Itoa(m.Output) + ", which is the maximum allowed number of output tokens for " + m.ID)
	}
	if o := body.OutputConfig; o != nil && o.Effort != "" {
		switch {
		case m.Efforts == nil:
			return c.anthropicError("This model does not support the effort parameter.")
		case !slices.Contains(m.Efforts, o.Effort):
			return c.anthropicError("output_config.effort: Input should be '" + strings.Join(m.Efforts, "', '") + "'")
		}
	}
	return c.checkThought(r, m, thinks)
}

// checkThought checks thinking against the model.
func (c *call) checkThought(r *messagesRequest, m *Model, thinks bool) error {
	last := r.Messages[len(r.Messages)-1]
	if last.Role == "assistant" && (thinks || m.Adaptive) {
		return c.anthropicError("This model does not support assistant message prefill. The conversation must end with a user message.")
	}
	if !thinks {
		return nil
	}
	switch t := r.Thinking; {
	case t.Type != "enabled" && t.Type != "adaptive":
		return c.anthropicError("thinking: Input tag '" + t.Type + "' found using 'type' does not match any of the expected tags: 'adaptive', 'disabled', 'enabled'")
	case t.Display != "" && t.Display != "summarized" && t.Display != "omitted":
		return c.anthropicError("thinking." + t.Type + ".display: Input should be 'summarized' or 'omitted'")
	case t.Type == "adaptive" && !m.Adaptive:
		return c.anthropicError("adaptive thinking is not supported on this model")
	case t.Type == "enabled":
		for i, m := range slices.Backward(r.Messages) {
			if m.Role != "assistant" {
				continue
			}
			parts := m.Content.parts
			if len(parts) > 0 && parts[0].Type != "thinking" && parts[0].Type != "redacted_thinking" && slices.ContainsFunc(parts, func(p part) bool { return p.Type == "tool_use" }) {
				return c.anthropicError("messages." + strconv.Itoa(i) + ".content.0.type: Expected `thinking` or `redacted_thinking`, but found `" + parts[0].Type + "`. When `thinking` is enabled, a final `assistant` message must start with a thinking block.")
			}
			break
		}
	}
	return nil
}

// takesSystem are the models that take instructions in mid-conversation: Claude 4.8 and later.
var takesSystem = regexp.MustCompile(`^claude-\w+-(?:4\.[89]|[5-9])`)

// checkTurns checks each message by itself, and where instructions stand.
func (c *call) checkTurns(model string, messages []json.RawMessage) error {
	var roles []string
	for i, raw := range messages {
		at := "messages." + strconv.Itoa(i)
		var members map[string]json.RawMessage
		var m strictMessage
		if json.Unmarshal(raw, &members) != nil || json.Unmarshal(raw, &m) != nil {
			return c.anthropicError(at + ": Input should be an object")
		}
		for _, name := range slices.Sorted(maps.Keys(members)) {
			if name != "role" && name != "content" {
				return c.extra(at + "." + name)
			}
		}
		roles = append(roles, m.Role)
		if err := c.checkBlocks(at, m); err != nil {
			return err
		}
	}
	for i, role := range roles {
		switch role {
		case "user", "assistant":
		case "system":
			legal := i > 0 && roles[i-1] == "user" && (i+1 == len(roles) || roles[i+1] == "assistant")
			if !takesSystem.MatchString(model) || !legal {
				return c.anthropicError("messages." + strconv.Itoa(i) + ": use the top-level 'system' parameter; role 'system' is not supported here")
			}
		default:
			return c.anthropicError("messages." + strconv.Itoa(i) + ".role: Input should be 'user' or 'assistant'")
		}
	}
	return nil
}

func (c *call) checkBlocks(at string, m strictMessage) error {
	var blocks []struct {
		Type string `json:"type"`
		Text string `json:"text"`
	}
	var plain string
	switch {
	case json.Unmarshal(m.Content, &plain) == nil:
		if strings.TrimSpace(plain) == "" {
			return c.anthropicError(at + ": text content blocks must contain non-whitespace text")
		}
		return nil
	case json.Unmarshal(m.Content, &blocks) != nil:
		return c.anthropicError(at + ".content: Input should be a valid list")
	case len(blocks) == 0:
		return c.anthropicError(at + ": content must not be empty")
	}
	for j, b := range blocks {
		switch {
		case !slices.Contains(blockTypes(), b.Type):
			return c.anthropicError(at + ".content." + strconv.Itoa(j) + ": Input tag '" + b.Type + "' found using 'type' does not match any of the expected tags")
		case b.Type == "text" && b.Text != "" && strings.TrimSpace(b.Text) == "":
			return c.anthropicError("messages: text content blocks must contain non-whitespace text")
		}
	}
	return nil
}
