package sim

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
)

// ask is what all inference surfaces have in common in a request.
type ask struct {
	modelID string
	model   *Model
	stream  bool
	turns   []turn
	tools   []Tool
	image   bool
	n       int  // answers wanted
	usage   bool // chat: usage was asked for

	maxTokens int  // 0: no limit
	reasoning bool // reasoning was asked for
	summary   bool // responses: with a summary
	encrypted bool // responses: with encrypted content

	compact      bool     // responses: a compaction in the place of an answer
	compactAlong bool     // responses: a compaction before the answer
	compacted    []string // what compactions in the input hold

	directives []Directive
	user       string // last user text, without directives
	userText   string // the same with directives
	results    []ToolResult
	prompt     int // estimated tokens
}

// turn is one message of the conversation.
type turn struct {
	role    string // system, user, assistant or tool
	text    []string
	results []ToolResult
	calls   []ToolCall // of an assistant
}

// settle derives what depends on the whole conversation.
func (a *ask) settle(body []byte) {
	a.prompt = len(body)/4 + 1
	names := map[string]string{}
	last := -1
	for i, t := range a.turns {
		for _, call := range t.calls {
			names[call.ID] = call.Name
		}
		if t.role == "assistant" {
			last = i
		}
	}
	for _, t := range a.turns[last+1:] {
		a.results = append(a.results, t.results...)
	}
	for i := range a.results {
		a.results[i].Name = names[a.results[i].ID]
	}
	texts := a.lastUser()
	a.userText = strings.Join(texts, "\n")
	a.directives, _ = Directives(a.userText)
	for _, t := range texts {
		if _, clean := Directives(t); !strings.HasPrefix(clean, "<system-reminder>") && clean != "" {
			a.user = clean
		}
	}
}

// lastUser returns the texts of the last user turn, preferring turns that do
// not also carry tool results: agents put reminders beside those.
func (a *ask) lastUser() []string {
	var fallback []string
	for _, t := range slices.Backward(a.turns) {
		if t.role != "user" || len(t.text) == 0 {
			continue
		}
		if len(t.results) == 0 {
			return t.text
		}
		if fallback == nil {
			fallback = t.text
		}
	}
	return fallback
}

// part is one part of a message's content, in any dialect.
type part struct {
	Type         string          `json:"type"`
	Text         string          `json:"text"`
	Content      content         `json:"content"` // tool_result
	ToolUseID    string          `json:"tool_use_id"`
	ID           string          `json:"id"`
	Name         string          `json:"name"`
	Signature    *string         `json:"signature"`
	CacheControl json.RawMessage `json:"cache_control"`
}

// content is a list of parts; a plain string is one text part.
type content struct {
	parts []part
	plain bool // it was a string
}

func (c *content) UnmarshalJSON(b []byte) error {
	b = bytes.TrimSpace(b)
	switch {
	case len(b) > 0 && b[0] == '"':
		var s string
		if err := json.Unmarshal(b, &s); err != nil {
			return err
		}
		c.parts, c.plain = []part{{Type: "text", Text: s}}, true
		return nil
	case len(b) > 0 && b[0] == '[':
		return json.Unmarshal(b, &c.parts)
	}
	return nil // null, or an object that no check looks at
}

// text returns the texts of the parts.
func (c *content) text() []string {
	var texts []string
	for _, p := range c.parts {
		if strings.HasSuffix(p.Type, "text") && p.Text != "" { // text, input_text, output_text
			texts = append(texts, p.Text)
		}
	}
	return texts
}

// image says whether a part is an image, also within a tool result.
func (c *content) image() bool {
	for _, p := range c.parts {
		if p.Type == "image_url" || p.Type == "input_image" || p.Type == "image" || p.Content.image() {
			return true
		}
	}
	return false
}
