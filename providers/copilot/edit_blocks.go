package copilot

import (
	"slices"
	"strings"

	"github.com/tidwall/gjson"
)

// turn edits one message that stays.
func (e *messagesEdit) turn(t *turnEdit) {
	if t.asUser {
		e.replace(t.role, `"user"`)
	}
	e.object(t.message, "", func(name string, v gjson.Result) bool {
		switch name {
		case "output_config", "clear_at": // of one turn; their betas are not known upstream
			return true
		case "content":
			e.blocks(v, t)
		}
		return false
	})
}

// blocks edits the content of a message, or with t nil that of a tool result.
func (e *messagesEdit) blocks(v gjson.Result, t *turnEdit) {
	asUser := t != nil && t.asUser
	const before, after = "<system-reminder>\n", "\n</system-reminder>"
	if v.Type == gjson.String {
		raw := v.Raw
		if asUser {
			raw = wrapped(raw, before, after)
		}
		switch {
		case e.isTarget(v):
			e.replace(v, `[{"type":"text","text":`+raw+`,"cache_control":`+e.marker+`}]`)
		case asUser:
			e.replace(v, raw)
		}
		return
	}
	behind := ""
	if t != nil {
		behind = t.behind
	}
	if !v.IsArray() || !asUser && behind == "" && !e.inside() {
		return
	}
	strip := (e.blanks || e.unsigned || e.changes) && !e.empty(v)
	results, front := 0, true // where the results at the front end
	e.array(v, func(block gjson.Result) bool {
		isResult := strings.Contains(block.Raw, `"tool_result"`) && block.Get("type").String() == "tool_result"
		if front = front && isResult; front {
			results = block.Index + len(block.Raw)
		}
		if strip && e.lost(block) {
			return true
		}
		if text := block.Get("text"); asUser && text.Type == gjson.String {
			e.replace(text, wrapped(text.Raw, before, after))
		}
		e.block(block)
		if isResult {
			e.blocks(block.Get("content"), nil)
		}
		return false
	})
	if behind != "" && results > 0 {
		e.cuts = append(e.cuts, cut{results, results, behind})
	}
}

// block edits one content block or tool, of which the named members go.
func (e *messagesEdit) block(block gjson.Result, remove ...string) {
	if !block.IsObject() || len(remove) == 0 && !e.scopes && !e.surplus[block.Index] && !e.isTarget(block) {
		return
	}
	add := ""
	if e.isTarget(block) {
		add = `"cache_control":` + e.marker
	}
	e.object(block, add, func(name string, v gjson.Result) bool {
		if name == "cache_control" {
			if add != "" || e.surplus[block.Index] {
				return true
			}
			if e.scopes && v.IsObject() {
				e.object(v, "", func(name string, _ gjson.Result) bool { return name == "scope" })
			}
			return false
		}
		return slices.Contains(remove, name)
	})
}

func (e *messagesEdit) isTarget(v gjson.Result) bool {
	return e.marker != "" && e.target.Index != 0 && v.Index == e.target.Index
}

// system edits the instructions. It reports whether nothing of them is left.
func (e *messagesEdit) system(v gjson.Result) bool {
	if v.Type == gjson.String {
		if e.isTarget(v) {
			e.replace(v, `[{"type":"text","text":`+v.Raw+`,"cache_control":`+e.marker+`}]`)
		} else if len(e.hoist) > 0 {
			blocks := e.hoist
			if strings.TrimSpace(v.Str) != "" {
				blocks = slices.Concat([]string{`{"type":"text","text":` + v.Raw + `}`}, e.hoist)
			}
			e.replace(v, "["+strings.Join(blocks, ",")+"]")
		}
		return false
	}
	if !v.IsArray() {
		return false
	}
	left := e.elements(v, func(_ string, block gjson.Result) bool {
		if e.lost(block) || strings.HasPrefix(block.Get("text").Str, attribution) {
			return true
		}
		e.block(block)
		return false
	})
	if len(e.hoist) > 0 {
		add := strings.Join(e.hoist, ",")
		if left > 0 {
			add = "," + add
		}
		end := v.Index + len(v.Raw) - 1
		e.cuts = append(e.cuts, cut{end, end, add})
	}
	return left == 0 && len(e.hoist) == 0
}

func isBlank(block gjson.Result) bool {
	text := block.Get("text")
	return block.Get("type").String() == "text" && text.Type == gjson.String && strings.TrimSpace(text.Str) == ""
}

// textBlocks returns the texts of content as blocks, with words around each.
func (e *messagesEdit) textBlocks(content gjson.Result, before, after string) []string {
	if content.Type == gjson.String {
		return []string{`{"type":"text","text":` + wrapped(content.Raw, before, after) + `}`}
	}
	var all []string
	content.ForEach(func(_, block gjson.Result) bool {
		if block.Get("type").String() != "text" || e.lost(block) {
			return true
		}
		raw := `{"type":"text","text":` + wrapped(block.Get("text").Raw, before, after)
		if cache := block.Get("cache_control"); cache.IsObject() && !e.surplus[block.Index] {
			raw += `,"cache_control":` + withoutScope(cache)
		}
		all = append(all, raw+"}")
		return true
	})
	return all
}

// wrapped puts words that need no escaping but for line breaks around the JSON string raw, which keeps its own escapes.
func wrapped(raw, before, after string) string {
	if len(raw) < 2 {
		return `""`
	}
	escape := func(s string) string { return strings.ReplaceAll(s, "\n", `\n`) }
	return `"` + escape(before) + raw[1:len(raw)-1] + escape(after) + `"`
}
