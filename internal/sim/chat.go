package sim

import (
	"encoding/json"
	"strconv"
	"strings"
)

// chatRequest is the part of a /chat/completions request that matters.
type chatRequest struct {
	Model    string `json:"model"`
	Stream   bool   `json:"stream"`
	Messages []struct {
		Role            string  `json:"role"`
		Content         content `json:"content"`
		ToolCallID      string  `json:"tool_call_id"`
		ReasoningText   string  `json:"reasoning_text"`
		ReasoningOpaque string  `json:"reasoning_opaque"`
		ToolCalls       []struct {
			ID       string `json:"id"`
			Function struct {
				Name string `json:"name"`
			} `json:"function"`
		} `json:"tool_calls"`
	} `json:"messages"`
	Tools []struct {
		Type     string `json:"type"`
		Function struct {
			Name       string          `json:"name"`
			Parameters json.RawMessage `json:"parameters"`
		} `json:"function"`
	} `json:"tools"`
	N                   *int `json:"n"`
	MaxTokens           *int `json:"max_tokens"`
	MaxCompletionTokens *int `json:"max_completion_tokens"`
	StreamOptions       struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`
	ReasoningEffort string `json:"reasoning_effort"`
	ThinkingBudget  int    `json:"thinking_budget"`
	Thinking        struct {
		Type string `json:"type"`
	} `json:"thinking"`
}

// maxTools is the number of tools that a request may offer.
const maxTools = 128

// decodeChat reads a /chat/completions request.
func decodeChat(c *call) (*ask, error) {
	var r chatRequest
	if err := c.decode(&r); err != nil {
		return nil, err
	}
	a := &ask{
		modelID: r.Model, stream: r.Stream, n: 1, usage: r.StreamOptions.IncludeUsage,
		reasoning: r.ThinkingBudget > 0 || r.ReasoningEffort != "" && r.ReasoningEffort != "none" || r.Thinking.Type == "enabled",
	}
	if m := c.st.models[r.Model]; m != nil && m.Thinks {
		a.reasoning = true
	}
	for _, m := range r.Messages {
		t := turn{role: m.Role, text: m.Content.text()}
		switch m.Role {
		case "developer":
			t.role = "system"
		case "tool":
			t.results = []ToolResult{{ID: m.ToolCallID, Text: strings.Join(t.text, "\n")}}
			t.text = nil
		}
		for _, call := range m.ToolCalls {
			t.calls = append(t.calls, ToolCall{ID: call.ID, Name: call.Function.Name})
		}
		a.turns = append(a.turns, t)
		a.image = a.image || m.Content.image()
	}
	for _, t := range r.Tools {
		a.tools = append(a.tools, Tool{Name: t.Function.Name, Type: t.Type, Schema: t.Function.Parameters})
	}
	for _, n := range []*int{r.MaxTokens, r.MaxCompletionTokens} {
		if n != nil {
			a.maxTokens = *n
		}
	}
	if r.N != nil {
		a.n = *r.N
	}
	return a, c.checkChat(&r)
}

// checkChat finds what /chat/completions refuses.
func (c *call) checkChat(r *chatRequest) error {
	bad := func(message string) error { return refused(codeBody("invalid_request_body", message)) }
	if m := c.st.models[r.Model]; m != nil {
		switch {
		case m.RejectMaxTokens && r.MaxTokens != nil:
			return bad("Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.")
		case m.RequireMaxTokens && r.MaxTokens == nil && r.MaxCompletionTokens == nil:
			return bad("max_tokens is required for this model")
		}
	}
	if len(r.Messages) == 0 {
		return bad("messages must not be empty")
	}
	if len(r.Tools) > maxTools {
		return bad("too many tools: " + strconv.Itoa(len(r.Tools)) + " exceeds the limit of " + strconv.Itoa(maxTools))
	}
	for i, t := range r.Tools {
		at := "tools[" + strconv.Itoa(i) + "]"
		if t.Type != "function" {
			return bad(at + ".type: only function tools are supported")
		}
		if !validToolName(t.Function.Name) {
			return bad(at + ".function.name does not match ^[a-zA-Z0-9_-]+$")
		}
	}
	if r.N != nil && (*r.N < 1 || *r.N > 8) {
		return bad("n must be between 1 and 8")
	}
	for _, m := range r.Messages {
		if m.Role == "tool" {
			for _, p := range m.Content.parts {
				if p.Type != "text" && p.Type != "image_url" {
					return bad("type has to be either 'image_url' or 'text'")
				}
			}
		}
		if m.ReasoningOpaque != "" && !c.st.Chat.NoReplayCheck && !c.knownOpaque(m.ReasoningOpaque) {
			return bad("reasoning_opaque could not be verified")
		}
	}
	return nil
}

// validToolName says whether name matches ^[a-zA-Z0-9_-]{1,64}$.
func validToolName(name string) bool {
	return len(name) > 0 && len(name) <= 64 && !strings.ContainsFunc(name, func(r rune) bool {
		return r != '_' && r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
}

// opaque makes a reasoning_opaque for the account.
func (c *call) opaque(text string) string {
	h := c.sim.ids.seal("opaque", text)
	return "simopaque." + h + "." + c.sim.ids.seal(c.account.name, h)
}

// knownOpaque says whether opaque made o for the same account.
func (c *call) knownOpaque(o string) bool {
	rest, ok := strings.CutPrefix(o, "simopaque.")
	h, mac, _ := strings.Cut(rest, ".")
	return ok && mac == c.sim.ids.seal(c.account.name, h)
}

// chat answers a /chat/completions request.
func (c *call) chat(a *ask) {
	out := c.plan(a)
	if a.stream {
		c.chatStream(a, out)
		return
	}
	c.plain(c.chatBody(a, out))
}

// chatID makes an id in the manner of the model's vendor.
func (c *call) chatID(m *Model) string {
	if m.claude() {
		return "msg_vrtx_" + c.sim.ids.hex(24)
	}
	return "chatcmpl-" + c.sim.ids.hex(28)
}

// chatBody is a whole answer.
func (c *call) chatBody(a *ask, out *answer) []byte {
	k := &c.st.Chat
	message := object{"role": "assistant", "content": out.text()}
	if len(out.chunks) == 0 {
		message["content"] = nil
	}
	if len(out.reasoning) > 0 && k.ReasoningField != "" && k.ReasoningField != "-" {
		message[k.ReasoningField] = strings.Join(out.reasoning, "")
	}
	if len(out.reasoning) > 0 && k.ReasoningField == "" && (a.model.claude() || a.model.gemini()) {
		text := strings.Join(out.reasoning, "")
		message["reasoning_text"], message["reasoning_opaque"] = text, c.opaque(text)
	}
	var calls []object
	for _, call := range out.calls {
		calls = append(calls, object{"id": call.ID, "type": "function", "function": object{"name": call.Name, "arguments": call.Arguments}})
	}
	choice := func(index int, m object) object {
		o := object{"index": index, "finish_reason": out.finish, "message": m}
		if !k.NoFilterResults && !a.model.claude() {
			o["content_filter_results"] = json.RawMessage(filterResults)
		}
		return o
	}
	var choices []object
	switch {
	case a.model.claude() && len(calls) > 0 && len(out.chunks) > 0 && !k.NoSplitChoices:
		choices = []object{choice(0, message), choice(1, object{"role": "assistant", "tool_calls": calls})}
	default:
		if calls != nil {
			message["tool_calls"] = calls
		}
		n := a.n
		if a.model.claude() {
			n = 1 // more are ignored
		}
		for i := range n {
			choices = append(choices, choice(i, message))
		}
	}
	o := object{"id": c.chatID(a.model), "created": c.sim.now().Unix(), "model": a.model.Version, "choices": choices}
	if k.WithObject {
		o["object"] = "chat.completion"
	}
	if !k.NoFilterChunk && !a.model.claude() {
		o["prompt_filter_results"] = json.RawMessage(promptFilterResults)
	}
	if !k.NoUsage {
		o["usage"] = json.RawMessage(c.chatUsage(nil, a, out))
		if c.who.TokenBilled {
			o["copilot_usage"] = json.RawMessage(copilotUsage(nil, a.prompt-out.cached, out.cached, out.output))
		}
	}
	return mustJSON(o)
}

// Results of the content filter.
const (
	filterResults       = `{"hate":{"filtered":false,"severity":"safe"},"self_harm":{"filtered":false,"severity":"safe"},"sexual":{"filtered":false,"severity":"safe"},"violence":{"filtered":false,"severity":"safe"}}`
	promptFilterResults = `[{"content_filter_results":` + filterResults + `,"prompt_index":0}]`
)

// chatUsage appends the usage object of /chat/completions.
func (c *call) chatUsage(dst []byte, a *ask, out *answer) []byte {
	reasoning, outside := out.thought, 0
	if a.model.gemini() { // told beside completion_tokens, which do not include it
		reasoning, outside = 0, out.thought
	}
	completion := out.output - outside
	dst = append(dst, `{"completion_tokens":`...)
	dst = strconv.AppendInt(dst, int64(completion), 10)
	dst = append(dst, `,"completion_tokens_details":{"accepted_prediction_tokens":0,"rejected_prediction_tokens":0`...)
	if reasoning > 0 {
		dst = appendInt(dst, "reasoning_tokens", reasoning)
	}
	dst = append(dst, '}')
	dst = appendInt(dst, "prompt_tokens", a.prompt)
	dst = append(dst, `,"prompt_tokens_details":{"cached_tokens":`...)
	dst = strconv.AppendInt(dst, int64(out.cached), 10)
	dst = append(dst, '}')
	dst = appendInt(dst, "total_tokens", a.prompt+out.output)
	dst = appendInt(dst, "reasoning_tokens", outside)
	if cost := c.addCost(object{}, a, out); len(cost) > 0 {
		members := mustJSON(cost)
		dst = append(append(dst, ','), members[1:len(members)-1]...)
	}
	return append(dst, '}')
}

// copilotUsage appends the authoritative usage of token-billed seats.
func copilotUsage(dst []byte, input, cached, output int) []byte {
	return append(dst, mustJSON(object{
		"total_nano_aiu": input*1000 + cached*100 + output*5000,
		"token_details": []object{
			{"token_type": "input", "token_count": input, "cost_per_batch": 1_000_000_000, "batch_size": 1_000_000},
			{"token_type": "cache_read", "token_count": cached, "cost_per_batch": 100_000_000, "batch_size": 1_000_000},
			{"token_type": "output", "token_count": output, "cost_per_batch": 5_000_000_000, "batch_size": 1_000_000},
		},
	})...)
}
