package copilot

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

const (
	encryptedReasoning = "reasoning.encrypted_content"
	minOutput          = 16 // tokens
)

// passthrough is a member of items that Codex writes for OpenAI's own service alone.
const passthrough = "internal_chat_message_metadata_passthrough"

// editResponses applies the edits of responses. search says that the model is known to refuse the hosted search.
func editResponses(body []byte, search bool) ([]byte, error) {
	p, ok := newPatch(body)
	if !ok {
		return body, nil
	}
	refused := func(typ string) bool { return typ == "image_generation" || search && isSearch(typ) }
	if typ := p.get("tool_choice").Get("type").String(); refused(typ) {
		return nil, invalid(http.StatusBadRequest, "unsupported_value", "tool_choice",
			"tool_choice wants the tool "+typ+", which GitHub Copilot does not have for this model. Choose another tool or none.")
	}
	if id := p.get("previous_response_id"); id.Type != gjson.Null {
		return nil, invalid(http.StatusBadRequest, "previous_response_not_found", "previous_response_id",
			"previous_response_id is not supported: GitHub Copilot keeps no responses. Send the whole conversation in input and leave previous_response_id out.")
	}
	reasoning := p.get("reasoning").IsObject()
	add := ""
	if !p.get("store").Exists() {
		add = `"store":false`
	}
	if reasoning && !p.get("include").Exists() {
		if add != "" {
			add += ","
		}
		add += `"include":["` + encryptedReasoning + `"]`
	}
	p.object(p.doc, add, func(name string, v gjson.Result) bool {
		switch name {
		case "service_tier", "client_metadata":
			return true
		case "store":
			if v.Type != gjson.False {
				p.replace(v, "false")
			}
		case "max_output_tokens": // less is refused; some clients probe with 1
			if v.Type == gjson.Number && v.Num < minOutput {
				p.replace(v, strconv.Itoa(minOutput))
			}
		case "include":
			if reasoning {
				p.include(v)
			}
		case "tools":
			p.responseTools(v, refused)
		case "input":
			// Short words are found many times faster than long ones.
			if bytes.Contains(body, []byte(`"additio`)) || bytes.Contains(body, []byte(`"interna`)) {
				p.responseInput(v, refused)
			}
		}
		return false
	})
	return p.apply(body), nil
}

func isSearch(typ string) bool { return strings.HasPrefix(typ, "web_search") }

// responseInput edits the items of the input: tools that ride along there, and what is not meant for this upstream.
func (p *patch) responseInput(input gjson.Result, refused func(string) bool) {
	if !input.IsArray() {
		return
	}
	p.array(input, func(item gjson.Result) bool {
		if !item.IsObject() {
			return false
		}
		tools := item.Get("type").String() == "additional_tools"
		p.object(item, "", func(name string, v gjson.Result) bool {
			if tools && name == "tools" {
				p.responseTools(v, refused)
			}
			return name == passthrough
		})
		return false
	})
}

// include adds encrypted reasoning to the list v: the upstream stores nothing, so without it a model's reasoning is
// lost from one turn to the next.
func (p *patch) include(v gjson.Result) {
	if !v.IsArray() {
		if v.Type == gjson.Null {
			p.replace(v, `["`+encryptedReasoning+`"]`)
		}
		return
	}
	empty, there := true, false
	v.ForEach(func(_, item gjson.Result) bool {
		empty, there = false, there || item.String() == encryptedReasoning
		return !there
	})
	if there {
		return
	}
	put := `"` + encryptedReasoning + `"`
	if !empty {
		put = "," + put
	}
	end := v.Index + len(v.Raw) - 1
	p.cuts = append(p.cuts, cut{end, end, put})
}

// responseTools removes the hosted tools that are refused and describes namespaces that lack it.
func (p *patch) responseTools(tools gjson.Result, refused func(string) bool) {
	if !tools.IsArray() {
		return
	}
	p.array(tools, func(tool gjson.Result) bool {
		typ := tool.Get("type").String()
		if typ == "namespace" {
			p.describe(tool)
		}
		return refused(typ)
	})
}

// describe fills in the description of a namespace tool: an empty one is refused.
func (p *patch) describe(tool gjson.Result) {
	if tool.Get("description").String() != "" {
		return
	}
	text, err := json.Marshal("Tools in the " + tool.Get("name").String() + " namespace.")
	if err != nil {
		return // a string always marshals
	}
	p.object(tool, `"description":`+string(text), func(name string, _ gjson.Result) bool { return name == "description" })
}
