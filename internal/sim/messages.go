package sim

import (
	"encoding/json"
	"maps"
	"strconv"
	"strings"
)

// messagesRequest is the part of a /v1/messages request that matters.
type messagesRequest struct {
	Model     string  `json:"model"`
	Stream    bool    `json:"stream"`
	MaxTokens *int    `json:"max_tokens"`
	System    content `json:"system"`
	Messages  []struct {
		Role    string  `json:"role"`
		Content content `json:"content"`
	} `json:"messages"`
	Tools []struct {
		Type        string          `json:"type"`
		Name        string          `json:"name"`
		InputSchema json.RawMessage `json:"input_schema"`
	} `json:"tools"`
	Thinking *struct {
		Type         string `json:"type"`
		BudgetTokens int    `json:"budget_tokens"`
		Display      string `json:"display"`
	} `json:"thinking"`
}

// decodeMessages reads a /v1/messages request, also for count_tokens.
func decodeMessages(c *call) (*ask, error) {
	var r messagesRequest
	if err := c.decode(&r); err != nil {
		return nil, err
	}
	a := &ask{modelID: r.Model, stream: r.Stream, n: 1}
	if r.MaxTokens != nil {
		a.maxTokens = *r.MaxTokens
	}
	if r.Thinking != nil {
		a.reasoning = r.Thinking.Type == "enabled" || r.Thinking.Type == "adaptive"
		a.summary = r.Thinking.Display != "omitted"
	}
	for _, m := range r.Messages {
		t := turn{role: m.Role, text: m.Content.text()}
		for _, p := range m.Content.parts {
			switch p.Type {
			case "tool_use":
				t.calls = append(t.calls, ToolCall{ID: p.ID, Name: p.Name})
			case "tool_result":
				t.results = append(t.results, ToolResult{ID: p.ToolUseID, Text: strings.Join(p.Content.text(), "\n")})
			}
		}
		a.turns = append(a.turns, t)
		a.image = a.image || m.Content.image()
	}
	for _, t := range r.Tools {
		a.tools = append(a.tools, Tool{Name: t.Name, Type: t.Type, Schema: t.InputSchema})
	}
	if c.op == OpCountTokens {
		return a, nil
	}
	return a, c.checkMessages(&r)
}

// anthropicError refuses a request in the shape that the scenario wants.
func (c *call) anthropicError(message string) error {
	var body string
	switch c.st.Messages.ErrorShape {
	case 1:
		body = string(mustJSON(object{
			"type": "error", "error": object{"type": "invalid_request_error", "message": message}, "request_id": "req_vrtx_" + c.sim.ids.hex(24),
		}))
	case 3:
		body = `{"message":` + quote(message) + `}`
	case 4:
		body = message
	default:
		body = codeBody("invalid_request_body", message)
	}
	return refused(body)
}

// messages answers a /v1/messages request.
func (c *call) messages(a *ask) {
	out := c.plan(a)
	if a.stream {
		c.messagesStream(a, out)
		return
	}
	var blocks []object
	if len(out.reasoning) > 0 {
		text := c.thinkingText(a, out)
		blocks = append(blocks, object{"type": "thinking", "thinking": text, "signature": c.signature()})
	}
	if len(out.chunks) > 0 || len(out.calls) == 0 {
		blocks = append(blocks, object{"type": "text", "text": out.text()})
	}
	for _, call := range out.calls {
		var input any = json.RawMessage(call.Arguments)
		if !json.Valid([]byte(call.Arguments)) {
			input = object{}
		}
		blocks = append(blocks, object{"type": "tool_use", "id": call.ID, "name": call.Name, "input": input})
	}
	o := object{
		"id": c.chatID(a.model), "type": "message", "role": "assistant", "model": a.model.Version, "content": blocks,
		"stop_reason": c.stopReason(out), "stop_sequence": nil, "usage": c.addCost(messagesUsage(a, out, out.output), a, out),
	}
	if c.who.TokenBilled {
		o["copilot_usage"] = json.RawMessage(copilotUsage(nil, a.prompt-out.cached, out.cached, out.output))
	}
	c.plain(mustJSON(o))
}

// thinkingText is the thinking as far as the request wants to see it.
func (c *call) thinkingText(a *ask, out *answer) string {
	if !a.summary {
		return ""
	}
	return strings.Join(out.reasoning, "")
}

// signature makes the signature of a thinking block for the account.
func (c *call) signature() string {
	nonce := c.sim.ids.hex(48)
	return "EsimSig" + nonce + "." + c.sim.ids.seal(c.account.name, "signature", nonce)
}

// knownSignature says whether signature made s for the same account.
func (c *call) knownSignature(s string) bool {
	rest, ok := strings.CutPrefix(s, "EsimSig")
	nonce, mac, _ := strings.Cut(rest, ".")
	return ok && mac == c.sim.ids.seal(c.account.name, "signature", nonce)
}

// stopReason maps the finish reason.
func (c *call) stopReason(out *answer) string {
	if c.st.Messages.StopReason != "" {
		return c.st.Messages.StopReason
	}
	switch out.finish {
	case "stop":
		return "end_turn"
	case "tool_calls":
		return "tool_use"
	case "length":
		return "max_tokens"
	case "content_filter":
		return "refusal"
	}
	return out.finish
}

// messagesUsage has disjoint buckets, unlike the OpenAI surfaces.
func messagesUsage(a *ask, out *answer, output int) object {
	return object{
		"input_tokens": a.prompt - out.cached, "cache_read_input_tokens": out.cached, "cache_creation_input_tokens": 0,
		"cache_creation": object{"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
		"output_tokens":  output, "service_tier": "standard", "inference_geo": "not_available",
	}
}

// countTokens answers /v1/messages/count_tokens.
func (c *call) countTokens(a *ask) {
	if c.st.Messages.CountTokensOff {
		c.reply(404, typeText, []byte("404 page not found\n"))
		return
	}
	c.reply(200, typeJSON, []byte(`{"input_tokens":`+strconv.Itoa(a.prompt)+`}`))
}

// messagesWriter renders one /v1/messages stream.
type messagesWriter struct {
	*stream
	call *call
	ask  *ask
	out  *answer
}

// messagesStream streams an answer.
func (c *call) messagesStream(a *ask, out *answer) {
	s, ok := c.stream(out, func(code string) (string, []byte) {
		return "error", mustJSON(object{"type": "error", "error": object{"type": code, "message": "the upstream model failed"}})
	})
	if !ok {
		return
	}
	w := &messagesWriter{stream: s, call: c, ask: a, out: out}
	if !w.start() || !w.blocks() || !w.closing() {
		return
	}
	last := object{
		"delta": object{"stop_reason": c.stopReason(out), "stop_sequence": nil},
		"usage": c.addCost(messagesUsage(a, out, out.output), a, out),
	}
	if c.who.TokenBilled {
		last["copilot_usage"] = json.RawMessage(copilotUsage(nil, a.prompt-out.cached, out.cached, out.output))
	}
	if w.tell("message_delta", last) && w.tell("message_stop", nil) && c.st.Messages.TrailingDone {
		w.raw([]byte("data: [DONE]\n\n"))
	}
}

// render makes an event.
func (w *messagesWriter) render(kind string, members object) (string, []byte) {
	o := object{"type": kind}
	maps.Copy(o, members)
	if w.call.st.Messages.NoEventLines {
		return "", mustJSON(o)
	}
	return kind, mustJSON(o)
}

func (w *messagesWriter) tell(kind string, members object) bool {
	return w.control(w.render(kind, members))
}

func (w *messagesWriter) start() bool {
	return w.tell("message_start", object{"message": object{
		"id": w.call.chatID(w.ask.model), "type": "message", "role": "assistant", "model": w.ask.model.Version, "content": []any{},
		"stop_reason": nil, "stop_sequence": nil, "usage": messagesUsage(w.ask, w.out, 1), // output is a placeholder
	}})
}

// blocks streams all content blocks.
func (w *messagesWriter) blocks() bool {
	index := 0
	if len(w.out.reasoning) > 0 {
		thinking := w.out.reasoning
		if !w.ask.summary {
			thinking = nil
		}
		if !w.block(index, object{"type": "thinking", "thinking": "", "signature": ""}, "thinking_delta", "thinking", thinking) ||
			!w.piece(index, object{"type": "signature_delta", "signature": w.call.signature()}) || !w.stop(index) {
			return false
		}
		index++
	}
	if len(w.out.chunks) > 0 || len(w.out.calls) == 0 {
		if !w.block(index, object{"type": "text", "text": ""}, "text_delta", "text", w.out.chunks) || !w.stop(index) {
			return false
		}
		index++
	}
	for _, call := range w.out.calls {
		block := object{"type": "tool_use", "id": call.ID, "name": call.Name, "input": object{}}
		if !w.open(index, block) || !w.call.pass(w.call.st.Messages.WithholdJSON) {
			return false
		}
		for _, p := range w.out.argumentPieces(call) {
			if !w.piece(index, object{"type": "input_json_delta", "partial_json": p}) {
				return false
			}
		}
		if !w.stop(index) {
			return false
		}
		index++
	}
	return true
}

// open starts a block; the first one is followed by a ping.
func (w *messagesWriter) open(index int, block object) bool {
	return w.tell("content_block_start", object{"index": index, "content_block": block}) &&
		(index > 0 || w.call.st.Messages.NoPing || w.tell("ping", nil))
}

// block opens a block and streams its pieces as member of a delta.
func (w *messagesWriter) block(index int, block object, delta, member string, pieces []string) bool {
	if !w.open(index, block) {
		return false
	}
	for _, p := range pieces {
		if !w.piece(index, object{"type": delta, member: p}) {
			return false
		}
	}
	return true
}

func (w *messagesWriter) piece(index int, delta object) bool {
	return w.delta(w.render("content_block_delta", object{"index": index, "delta": delta}))
}

func (w *messagesWriter) stop(index int) bool {
	return w.tell("content_block_stop", object{"index": index})
}
