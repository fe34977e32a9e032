package copilot

import (
	"encoding/json"
	"net/http"

	"github.com/tidwall/gjson"
)

const encryptedReasoning = "reasoning.encrypted_content"

// editResponses applies the edits of responses.
func editResponses(body []byte) ([]byte, error) {
	p, ok := newPatch(body)
	if !ok {
		return body, nil
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
		case "include":
			if reasoning {
				p.include(v)
			}
		case "tools":
			p.responseTools(v)
		}
		return false
	})
	return p.apply(body), nil
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

// responseTools removes the one hosted tool that is always refused and describes namespaces that lack it.
func (p *patch) responseTools(tools gjson.Result) {
	if !tools.IsArray() {
		return
	}
	p.array(tools, func(tool gjson.Result) bool {
		switch tool.Get("type").String() {
		case "image_generation":
			return true
		case "namespace":
			p.describe(tool)
		}
		return false
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
