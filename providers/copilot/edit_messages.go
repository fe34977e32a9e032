package copilot

import (
	"bytes"
	"strings"

	"github.com/tidwall/gjson"
)

const maxCacheControls = 4 // more are refused

// editMessages applies the edits of messages and messages/count_tokens. betas are those that go upstream.
func editMessages(body []byte, betas []string) []byte {
	p, ok := newPatch(body)
	if !ok {
		return body
	}
	e := messagesEdit{
		patch:  p,
		scopes: bytes.Contains(body, []byte(`"scope"`)),
		blanks: hasBlankText(body),
	}
	for _, beta := range betas {
		e.contextManagement = e.contextManagement || strings.HasPrefix(beta, betaContextManagement)
	}
	if top := p.get("cache_control"); top.IsObject() && bytes.Count(body, []byte(`"cache_control"`)) <= maxCacheControls {
		e.marker = withoutScope(top)
		e.target = p.lastCacheable()
	}
	e.document()
	return p.apply(body)
}

// messagesEdit is one pass over a request. The flags say which edits can apply at all, so that a large conversation
// is walked only when there is something to find.
type messagesEdit struct {
	*patch
	scopes, blanks    bool
	contextManagement bool
	marker            string       // cache_control that moves to target, raw, or ""
	target            gjson.Result // block, or the string content of the last message
}

func (e *messagesEdit) document() {
	e.object(e.doc, "", func(name string, v gjson.Result) bool {
		switch name {
		case "service_tier", "speed", "cache_control":
			return true
		case "context_management":
			return !e.contextManagement
		case "system":
			e.blocks(v)
		case "messages":
			if e.scopes || e.blanks || e.marker != "" {
				e.array(v, func(message gjson.Result) bool {
					e.content(message)
					return false
				})
			}
		case "tools":
			if e.scopes || e.marker != "" || strings.Contains(v.Raw, `"eager_input_streaming"`) || strings.Contains(v.Raw, `"input_examples"`) {
				e.array(v, func(tool gjson.Result) bool {
					e.block(tool, "eager_input_streaming", "input_examples")
					return false
				})
			}
		}
		return false
	})
}

// content visits the content of a message or of a tool result.
func (e *messagesEdit) content(holder gjson.Result) {
	holder.ForEach(func(key, v gjson.Result) bool {
		if key.String() == "content" {
			e.blocks(v)
		}
		return true
	})
}

func (e *messagesEdit) blocks(v gjson.Result) {
	if v.Type == gjson.String && e.isTarget(v) {
		e.replace(v, `[{"type":"text","text":`+v.Raw+`,"cache_control":`+e.marker+`}]`)
	}
	if !v.IsArray() || !e.scopes && !e.blanks && e.marker == "" {
		return
	}
	strip := e.blanks && !allBlank(v)
	e.array(v, func(block gjson.Result) bool {
		if strip && isBlank(block) {
			return true
		}
		e.block(block)
		if block.Get("type").String() == "tool_result" {
			e.content(block)
		}
		return false
	})
}

// block edits one content block or tool, of which the named members go.
func (e *messagesEdit) block(block gjson.Result, remove ...string) {
	if !block.IsObject() {
		return
	}
	add := ""
	if e.isTarget(block) {
		add = `"cache_control":` + e.marker
	}
	e.object(block, add, func(name string, v gjson.Result) bool {
		if name == "cache_control" {
			if add != "" {
				return true // null
			}
			if e.scopes && v.IsObject() {
				e.object(v, "", func(name string, _ gjson.Result) bool { return name == "scope" })
			}
			return false
		}
		for _, r := range remove {
			if name == r {
				return true
			}
		}
		return false
	})
}

func (e *messagesEdit) isTarget(v gjson.Result) bool {
	return e.marker != "" && e.target.Index != 0 && v.Index == e.target.Index
}

// lastCacheable finds the last block of the prompt that a cache_control can stand on: in messages, else in system,
// else among the tools. It is the zero Result if that block has one already or there is none.
func (p *patch) lastCacheable() gjson.Result {
	var last gjson.Result
	see := func(v gjson.Result) {
		switch {
		case v.Type == gjson.String && strings.TrimSpace(v.Str) != "":
			last = v
		case v.IsArray():
			v.ForEach(func(_, block gjson.Result) bool {
				if cacheable(block) {
					last = block
				}
				return true
			})
		}
	}
	p.get("tools").ForEach(func(_, tool gjson.Result) bool {
		if tool.IsObject() && !tool.Get("defer_loading").Bool() {
			last = tool
		}
		return true
	})
	see(p.get("system"))
	p.get("messages").ForEach(func(_, message gjson.Result) bool {
		see(message.Get("content"))
		return true
	})
	if last.IsObject() && last.Get("cache_control").IsObject() {
		return gjson.Result{}
	}
	return last
}

func cacheable(block gjson.Result) bool {
	switch block.Get("type").String() {
	case "thinking", "redacted_thinking", "":
		return false
	}
	return !isBlank(block)
}

func isBlank(block gjson.Result) bool {
	text := block.Get("text")
	return block.Get("type").String() == "text" && text.Type == gjson.String && strings.TrimSpace(text.Str) == ""
}

func allBlank(blocks gjson.Result) bool {
	all := true
	blocks.ForEach(func(_, block gjson.Result) bool {
		all = isBlank(block)
		return all
	})
	return all
}

// withoutScope is the raw cache_control v without its scope.
func withoutScope(v gjson.Result) string {
	p, ok := newPatch([]byte(v.Raw))
	if !ok {
		return v.Raw
	}
	p.object(p.doc, "", func(name string, _ gjson.Result) bool { return name == "scope" })
	return string(p.apply([]byte(v.Raw)))
}

// hasBlankText reports whether any "text" member of body is a string of nothing but white space. It may say yes where
// such a member is not a block's.
func hasBlankText(body []byte) bool {
	key := []byte(`"text"`)
	for {
		i := bytes.Index(body, key)
		if i < 0 {
			return false
		}
		body = body[i+len(key):]
		rest := bytes.TrimLeft(body, " \t\r\n")
		if len(rest) == 0 || rest[0] != ':' {
			continue
		}
		rest = bytes.TrimLeft(rest[1:], " \t\r\n")
		if len(rest) > 0 && rest[0] == '"' && blankString(rest[1:]) {
			return true
		}
	}
}

// blankString reports whether the JSON string whose inside begins s is white space.
func blankString(s []byte) bool {
	for len(s) > 0 {
		switch {
		case s[0] == '"':
			return true
		case s[0] == ' ':
			s = s[1:]
		case s[0] == '\\' && len(s) > 1 && (s[1] == 'n' || s[1] == 't' || s[1] == 'r'):
			s = s[2:]
		default:
			return false
		}
	}
	return false
}
