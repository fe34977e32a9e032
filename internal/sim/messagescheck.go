package sim

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// checkMessages finds what /v1/messages refuses.
func (c *call) checkMessages(r *messagesRequest) error {
	k := &c.st.Messages
	switch {
	case r.MaxTokens == nil:
		return c.anthropicError("max_tokens: Field required")
	case len(r.Messages) == 0:
		return c.anthropicError("messages: at least one message is required")
	}
	if k.RejectBetas {
		if beta := unknownBeta(c.r.Header.Values("Anthropic-Beta")); beta != "" {
			return c.anthropicError("unsupported beta header(s): " + beta)
		}
	}
	if err := c.checkThinking(r); err != nil {
		return err
	}
	if !k.Lenient {
		if err := c.checkExtra(); err != nil {
			return err
		}
		if err := c.checkStrict(r); err != nil {
			return err
		}
	}
	for i, m := range r.Messages {
		for j, p := range m.Content.parts {
			at := "messages." + strconv.Itoa(i) + ".content." + strconv.Itoa(j)
			if p.Type == "text" && p.Text == "" && !m.Content.plain {
				return c.anthropicError("messages: text content blocks must be non-empty")
			}
			if p.Type == "thinking" && !k.NoReplayCheck && (p.Signature == nil || !c.knownSignature(*p.Signature)) {
				return c.anthropicError(at + ": Invalid `signature` in `thinking` block")
			}
		}
	}
	if k.NoReplayCheck {
		return nil
	}
	return c.checkPairs(r)
}

// knownBetas are the anthropic-beta values that are accepted, by prefix.
func unknownBeta(headers []string) string {
	known := []string{"interleaved-thinking-", "context-management-", "advanced-tool-use-", "context-1m-"}
	for _, h := range headers {
		for beta := range strings.SplitSeq(h, ",") {
			beta = strings.TrimSpace(beta)
			if beta != "" && !slices.ContainsFunc(known, func(p string) bool { return strings.HasPrefix(beta, p) }) {
				return beta
			}
		}
	}
	return ""
}

// checkThinking checks the thinking member.
func (c *call) checkThinking(r *messagesRequest) error {
	t := r.Thinking
	if t == nil || t.Type != "enabled" {
		return nil
	}
	switch {
	case c.st.Messages.AdaptiveOnly:
		return c.anthropicError("\"thinking.type.enabled\" is not supported for this model. Use \"thinking.type.adaptive\" and \"output_config.effort\" to control thinking behavior.")
	case t.BudgetTokens < 1024:
		return c.anthropicError("thinking.enabled.budget_tokens: Input should be greater than or equal to 1024")
	case t.BudgetTokens >= *r.MaxTokens:
		return c.anthropicError("`max_tokens` must be greater than `thinking.budget_tokens`.")
	}
	return nil
}

// checkPairs checks that tool results follow their calls, and calls are
// answered at once.
func (c *call) checkPairs(r *messagesRequest) error {
	var open []string // ids of the tool_use blocks of the previous message
	for i, m := range r.Messages {
		at := "messages." + strconv.Itoa(i)
		var results, calls []string
		for j, p := range m.Content.parts {
			switch p.Type {
			case "tool_result":
				if !slices.Contains(open, p.ToolUseID) {
					return c.anthropicError(at + ".content." + strconv.Itoa(j) + ": unexpected `tool_use_id` found in `tool_result` blocks: " +
						p.ToolUseID + ". Each `tool_result` block must have a corresponding `tool_use` block in the previous message.")
				}
				results = append(results, p.ToolUseID)
			case "tool_use":
				calls = append(calls, p.ID)
			}
		}
		missing := slices.DeleteFunc(open, func(id string) bool { return slices.Contains(results, id) })
		if len(missing) > 0 {
			return c.anthropicError("messages." + strconv.Itoa(i-1) + ": `tool_use` ids were found without `tool_result` blocks immediately after: " +
				strings.Join(missing, ", ") + ". Each `tool_use` block must have a corresponding `tool_result` block in the next message.")
		}
		open = calls
	}
	return nil
}

// checkExtra refuses members that the service does not know.
func (c *call) checkExtra() error {
	var top map[string]json.RawMessage
	if err := c.decode(&top); err != nil {
		return err
	}
	known := []string{
		"model", "messages", "system", "max_tokens", "metadata", "stop_sequences", "stream", "temperature", "top_k", "top_p",
		"tools", "tool_choice", "thinking", "output_config",
	}
	if c.hasBeta("context-management-") {
		known = append(known, "context_management")
	}
	for _, name := range slices.Sorted(maps.Keys(top)) {
		if !slices.Contains(known, name) {
			return c.extra(name)
		}
	}
	_, temperature := top["temperature"]
	if _, p := top["top_p"]; p && temperature {
		return c.anthropicError("`temperature` and `top_p` cannot both be specified for this model. Please use only one.")
	}
	return c.checkTools(top["tools"], top["messages"], top["system"])
}

// hasBeta says whether the request asks for a beta, by the beginning of its name.
func (c *call) hasBeta(prefix string) bool {
	return slices.ContainsFunc(c.r.Header.Values("Anthropic-Beta"), func(v string) bool { return strings.Contains(v, prefix) })
}

func (c *call) extra(path string) error {
	return c.anthropicError(path + ": Extra inputs are not permitted")
}

// checkTools checks the members of tools, and the cache breakpoints anywhere.
func (c *call) checkTools(tools, messages, system json.RawMessage) error {
	var list []map[string]json.RawMessage
	if tools != nil {
		if err := json.Unmarshal(tools, &list); err != nil {
			return err
		}
	}
	for i, t := range list {
		at := "tools." + strconv.Itoa(i)
		var kind string
		_ = json.Unmarshal(t["type"], &kind) // absent for client tools
		for _, server := range []string{"web_search_", "code_execution_", "computer_"} {
			if strings.HasPrefix(kind, server) {
				return refused(codeBody("invalid_request_body", "tool type '"+kind+"' is not supported"))
			}
		}
		unknown := []string{"eager_input_streaming", "input_examples"}
		if !c.hasBeta("advanced-tool-use-") {
			unknown = append(unknown, "defer_loading", "allowed_callers")
		}
		for _, name := range unknown {
			if _, ok := t[name]; ok {
				return c.extra(at + ".custom." + name)
			}
		}
	}
	breakpoints := 0
	for _, raw := range []struct {
		name string
		json json.RawMessage
	}{{"tools", tools}, {"messages", messages}, {"system", system}} {
		if raw.json == nil {
			continue
		}
		var v any
		if err := json.Unmarshal(raw.json, &v); err != nil {
			return err
		}
		if err := c.checkCache(v, raw.name, &breakpoints); err != nil {
			return err
		}
	}
	if breakpoints > 4 {
		return c.anthropicError("A maximum of 4 blocks with cache_control may be provided. Found " + strconv.Itoa(breakpoints) + ".")
	}
	return nil
}

// checkCache checks and counts all cache_control members within v.
func (c *call) checkCache(v any, at string, n *int) error {
	switch v := v.(type) {
	case []any:
		for i, e := range v {
			if err := c.checkCache(e, at+"."+strconv.Itoa(i), n); err != nil {
				return err
			}
		}
	case map[string]any:
		if cache, ok := v["cache_control"].(map[string]any); ok {
			*n++
			if _, ok := cache["scope"]; ok {
				return c.extra(at + ".cache_control.scope")
			}
			if _, ok := cache["ttl"]; ok && c.st.Messages.RejectTTL {
				return c.extra(at + ".cache_control.ttl")
			}
		}
		if content, ok := v["content"]; ok {
			return c.checkCache(content, at+".content", n)
		}
	}
	return nil
}
