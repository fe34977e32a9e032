package sim

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
)

// responsesRequest is the part of a /responses request that matters.
type responsesRequest struct {
	Model              string              `json:"model"`
	Stream             bool                `json:"stream"`
	Instructions       string              `json:"instructions"`
	Input              responsesInput      `json:"input"`
	Tools              []responsesTool     `json:"tools"`
	Store              *bool               `json:"store"`
	ServiceTier        *string             `json:"service_tier"`
	PreviousResponseID *string             `json:"previous_response_id"`
	MaxOutputTokens    *int                `json:"max_output_tokens"`
	Include            []string            `json:"include"`
	ContextManagement  []contextManagement `json:"context_management"`
	Reasoning          *struct {
		Effort  string `json:"effort"`
		Summary string `json:"summary"`
	} `json:"reasoning"`
}

// responsesTool is a tool or, with Tools, a namespace of tools.
type responsesTool struct {
	Type        string          `json:"type"`
	Name        string          `json:"name"`
	Description string          `json:"description"`
	Parameters  json.RawMessage `json:"parameters"`
	Tools       []responsesTool `json:"tools"`
}

// responsesItem is an input item.
type responsesItem struct {
	Type             string          `json:"type"`
	Role             string          `json:"role"`
	ID               string          `json:"id"`
	CallID           string          `json:"call_id"`
	Name             string          `json:"name"`
	Content          content         `json:"content"`
	Output           content         `json:"output"`
	EncryptedContent *string         `json:"encrypted_content"`
	Tools            []responsesTool `json:"tools"` // additional_tools
	Passthrough      json.RawMessage `json:"internal_chat_message_metadata_passthrough"`
}

// responsesInput is a list of items; a plain string is one user message.
type responsesInput []responsesItem

func (in *responsesInput) UnmarshalJSON(b []byte) error {
	if b = bytes.TrimSpace(b); len(b) > 0 && b[0] == '"' {
		item := responsesItem{Type: "message", Role: "user"}
		if err := item.Content.UnmarshalJSON(b); err != nil {
			return err
		}
		*in = responsesInput{item}
		return nil
	}
	return json.Unmarshal(b, (*[]responsesItem)(in))
}

// decodeResponses reads a /responses request.
func decodeResponses(c *call) (*ask, error) {
	var r responsesRequest
	if err := c.decode(&r); err != nil {
		return nil, err
	}
	a := &ask{modelID: r.Model, stream: r.Stream, n: 1}
	if r.Reasoning != nil {
		a.reasoning = r.Reasoning.Effort != "none" && !c.st.Responses.NoReasoningOutput
		a.summary = r.Reasoning.Summary != "" && r.Reasoning.Summary != "none"
	}
	a.encrypted = c.st.Responses.EncryptUnasked
	for _, i := range r.Include {
		a.encrypted = a.encrypted || i == "reasoning.encrypted_content"
	}
	if r.MaxOutputTokens != nil {
		a.maxTokens = *r.MaxOutputTokens
	}
	for i := range r.Input {
		item := &r.Input[i]
		a.compact = a.compact || item.Type == "compaction_trigger"
		a.turns = append(a.turns, item.turn())
		a.image = a.image || item.Content.image() || item.Output.image()
		a.tools = appendTools(a.tools, item.Tools, "")
	}
	a.tools = appendTools(a.tools, r.Tools, "")
	a.compactAlong = r.asksCompaction(len(c.body) / 4)
	if err := c.checkResponses(&r); err != nil {
		return a, err
	}
	return a, c.readCompactions(a, r.Input)
}

// readCompactions takes in what compactions hold.
func (c *call) readCompactions(a *ask, input responsesInput) error {
	for i := range input {
		item := &input[i]
		if item.Type != "compaction" || item.EncryptedContent == nil {
			continue
		}
		if c.st.Responses.NoReplayCheck {
			continue
		}
		text, err := c.openCompaction(item.ID, *item.EncryptedContent)
		if err != nil {
			return err
		}
		a.compacted = append(a.compacted, text)
	}
	return nil
}

// turn maps an item onto a message.
func (i *responsesItem) turn() turn {
	switch {
	case strings.HasSuffix(i.Type, "_call_output"):
		return turn{role: "tool", results: []ToolResult{{ID: i.CallID, Text: strings.Join(i.Output.text(), "\n")}}}
	case strings.HasSuffix(i.Type, "_call"):
		return turn{role: "assistant", calls: []ToolCall{{ID: i.CallID, Name: i.Name}}}
	case i.Type == "reasoning":
		return turn{role: "assistant"}
	case i.Type == "compaction":
		return turn{role: "system"}
	case i.Role == "developer":
		return turn{role: "system", text: i.Content.text()}
	}
	return turn{role: i.Role, text: i.Content.text()}
}

// appendTools flattens namespaces.
func appendTools(dst []Tool, tools []responsesTool, space string) []Tool {
	for _, t := range tools {
		if t.Tools != nil {
			dst = appendTools(dst, t.Tools, t.Name)
			continue
		}
		dst = append(dst, Tool{Name: t.Name, Space: space, Type: t.Type, Schema: t.Parameters})
	}
	return dst
}

// unsupported is the refusal of a request member.
func unsupported(message, param string) error {
	return refused(`{"error":{"message":` + quote(message) + `,"code":"unsupported_value","param":` + quote(param) + `}}` + "\n")
}

// checkResponses finds what /responses refuses.
func (c *call) checkResponses(r *responsesRequest) error {
	k := &c.st.Responses
	switch {
	case r.Store != nil && *r.Store && !k.AllowStore:
		return unsupported("store is not supported", "store")
	case r.ServiceTier != nil && c.service == nil:
		return unsupported("service_tier is not supported", "service_tier")
	case r.PreviousResponseID != nil && !k.AllowStore:
		return refused(codeBody("previous_response_not_found", "Previous response with id '"+*r.PreviousResponseID+"' not found."))
	case len(r.Input) == 0:
		return refused(codeBody("invalid_request_body", "input must not be empty"))
	case k.RejectFewTokens && r.MaxOutputTokens != nil && *r.MaxOutputTokens < 16:
		return refused(codeBody("invalid_request_body", "Invalid 'max_output_tokens': integer below minimum value. Expected a value >= 16."))
	}
	if len(r.Tools) > maxTools {
		return refused(codeBody("invalid_request_body", "too many tools: "+strconv.Itoa(len(r.Tools))+" exceeds the limit of "+strconv.Itoa(maxTools)))
	}
	if err := c.checkResponsesTools("tools", r.Tools); err != nil {
		return err
	}
	for i, item := range r.Input {
		param := "input[" + strconv.Itoa(i) + "]"
		switch {
		case item.Type == "compaction_trigger" && k.RejectTrigger:
			return refused(codeBody("invalid_value", "Invalid value: 'compaction_trigger'. Supported values are: 'message', 'function_call', 'reasoning', 'compaction' and others."))
		case strings.HasPrefix(item.Type, "custom_tool_call") && k.RejectCustom:
			return unsupported("Custom tools are not supported with this model.", param)
		case item.Passthrough != nil && k.RejectPassthrough:
			return refused(codeBody("unknown_parameter", "Unknown parameter: '"+param+".internal_chat_message_metadata_passthrough'."))
		}
		if err := c.checkResponsesTools(param+".tools", item.Tools); err != nil {
			return err
		}
		if item.Type == "reasoning" && item.EncryptedContent != nil && *item.EncryptedContent != "" && !k.NoReplayCheck {
			if err := c.checkEncrypted(item.ID, *item.EncryptedContent); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkResponsesTools finds what /responses refuses in a list of tools, wherever it stands.
func (c *call) checkResponsesTools(list string, tools []responsesTool) error {
	k := &c.st.Responses
	for i, t := range tools {
		param := list + "[" + strconv.Itoa(i) + "]"
		switch {
		case strings.HasPrefix(t.Type, "web_search") && !k.AllowWebSearch:
			return unsupported("The use of the web search tool is not supported.", param)
		case t.Type == "image_generation" && c.service == nil:
			return unsupported("The use of the image generation tool is not supported.", param)
		case t.Type == "custom" && k.RejectCustom:
			return unsupported("Custom tools are not supported with this model.", param)
		case t.Type == "namespace" && t.Description == "":
			return refused(codeBody("invalid_request_body", "Invalid '"+param+".description': empty string."))
		case t.Type == "namespace" && t.Name == "collaboration" && !k.AllowCollaboration:
			return refused(codeBody("invalid_request_body", "Invalid '"+param+"': the namespace 'collaboration' is reserved and its tools must not be modified."))
		}
	}
	return nil
}

// encrypt makes the encrypted content of a reasoning item. It is bound to the
// account and to the id that the item has in the same event.
func (c *call) encrypt(id string) string {
	nonce := c.sim.ids.hex(64)
	return "gAAAAsim" + nonce + "." + c.sim.ids.seal(c.account.name, nonce) + "." + c.sim.ids.seal(c.account.name, nonce, id)
}

// checkEncrypted verifies what encrypt made. Clients that keep no ids send none:
// that passes unless the scenario wants ids.
func (c *call) checkEncrypted(id, encrypted string) error {
	rest, ok := strings.CutPrefix(encrypted, "gAAAAsim")
	nonce, macs, _ := strings.Cut(rest, ".")
	account, bound, _ := strings.Cut(macs, ".")
	reason := ""
	switch {
	case !ok || len(nonce) != 64 || account != c.sim.ids.seal(c.account.name, nonce):
		reason = "Encrypted content could not be decrypted or parsed."
	case id == "" && !c.st.Responses.RequireReasoningID && len(bound) == len(account):
		return nil
	case bound != c.sim.ids.seal(c.account.name, nonce, id):
		reason = "Encrypted content item_id did not match the target item id."
	default:
		return nil
	}
	return refused(codeBody("invalid_request_body", "The encrypted content "+clip(encrypted, 4)+"... could not be verified. Reason: "+reason))
}

// turnState checks the token of a turn, or begins one. It answers and returns false for another account's token.
func (c *call) turnState() bool {
	const name = "X-Codex-Turn-State"
	own := c.sim.ids.seal(c.account.name, "turn")
	token := c.r.Header.Get(name)
	if token == "" {
		token = "turn-" + own + "-" + c.sim.ids.hex(16)
	} else if !strings.HasPrefix(token, "turn-"+own+"-") {
		c.reply(400, typeText, []byte(codeBody("invalid_request_body", "the turn state is not of this account")))
		return false
	}
	c.w.Header().Set(name, token)
	return true
}

// responses answers a /responses request.
func (c *call) responses(a *ask) {
	if c.st.Responses.TurnState && !c.turnState() {
		return
	}
	var out *answer
	if a.compact && !c.st.Responses.NoCompaction {
		out = &answer{compaction: true}
		c.complement(a, out)
	} else {
		out = c.plan(a)
	}
	r := &responsesWriter{call: c, ask: a, out: out, id: "resp_" + c.sim.ids.hex(48), tools: map[string]Tool{}}
	for _, t := range a.tools {
		r.tools[t.Name] = t
	}
	if a.stream {
		r.streamAll()
		return
	}
	items := r.items()
	for i, item := range items {
		r.stamp(item, i, false)
	}
	body := r.envelope(r.status(), items)
	if c.who.TokenBilled {
		body["copilot_usage"] = json.RawMessage(copilotUsage(nil, a.prompt-out.cached, out.cached, out.output))
	}
	c.plain(mustJSON(body))
}
