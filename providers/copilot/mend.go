package copilot

import (
	"bytes"
	"cmp"
	"regexp"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"detour/internal/dialect"
	"detour/providers"
)

// What refusals are recognised by: they carry no code of their own.
var (
	extraInput   = regexp.MustCompile(`(?:^|[\s:])((?:[a-z_]\w*|\d+)(?:\.(?:[a-z_$]\w*|\d+))*): Extra inputs are not permitted`)
	unsupported  = regexp.MustCompile(`(?i)unsupported parameter: '([a-z_]\w*)'`)
	noCustom     = regexp.MustCompile(`(?i)custom tools? (?:are|is) not supported|invalid value: 'custom'`)
	orphanResult = regexp.MustCompile("unexpected `?tool_use_id`? found in `?tool_result`? blocks: ([\\w, -]+)")
)

// fallbackOutput is the limit in tokens for a model that insists on one and of which none is known.
const fallbackOutput = 4096

// essential reports whether a request without the member would be another request.
func essential(name string) bool {
	switch name {
	case "model", "messages", "input", "stream":
		return true
	}
	return false
}

// Mend implements providers.Mender. It knows these refusals:
//
//   - chat/completions: a model that wants max_completion_tokens in place of max_tokens, and one that wants a limit;
//   - any dialect: an unsupported top-level parameter that the message names;
//   - responses: reasoning that can no longer be decrypted, which is left out; web search, where it is not supported,
//     which later requests to the model leave out by themselves; free-text tools, which only Target then reports;
//   - messages: members that are "extra inputs", which are left out wherever they occur in the same position; tool
//     results without their call, which are left out; a thinking budget where only adaptive thinking is supported.
func (p *Provider) Mend(c *providers.Call, e *providers.Error) ([]byte, bool) {
	if e.Kind != providers.KindInvalid || e.Failure.Status != 400 {
		return nil, false
	}
	doc, ok := newPatch(c.Body)
	if !ok {
		return nil, false
	}
	m := mender{doc, c, c.Body, e.Failure.Message, &p.learned}
	if !m.parameter() {
		switch c.Endpoint {
		case dialect.EndpointChat:
			m.limit()
		case dialect.EndpointResponses:
			m.encrypted()
			m.webSearch()
			if noCustom.MatchString(m.message) {
				p.learned.note(c.Model.ID, customTools)
			}
		case dialect.EndpointMessages, dialect.EndpointCountTokens:
			m.extraInputs()
			m.orphans()
			m.thinking()
		}
	}
	body := m.apply(m.body)
	return body, !bytes.Equal(body, c.Body)
}

// mender is one attempt at mending.
type mender struct {
	*patch  // of body
	call    *providers.Call
	body    []byte
	message string
	learned *learned
}

// parameter leaves out or renames the parameter that the message says is unsupported.
func (m *mender) parameter() bool {
	found := unsupported.FindStringSubmatch(m.message)
	if found == nil {
		return false
	}
	name, add := found[1], ""
	if essential(name) {
		return false
	}
	if name == "max_tokens" && strings.Contains(m.message, "'max_completion_tokens'") {
		// It may also have been NewRequest that filled it in. Any limit of the new name keeps it from doing so again.
		if v := m.get(name); v.Type == gjson.Number {
			add = `"max_completion_tokens":` + v.Raw
		} else if m.call.Model.MaxOutput > 0 {
			add = `"max_completion_tokens":` + strconv.Itoa(m.call.Model.MaxOutput)
		}
	}
	m.object(m.doc, add, func(key string, _ gjson.Result) bool { return key == name })
	return true
}

// limit adds the limit that some models insist on.
func (m *mender) limit() {
	if !strings.Contains(m.message, "max_tokens is required") || m.limited() {
		return
	}
	limit := cmp.Or(m.call.Model.MaxOutput, fallbackOutput)
	m.object(m.doc, `"max_tokens":`+strconv.Itoa(limit), func(key string, _ gjson.Result) bool { return key == "max_tokens" })
}

// encrypted leaves reasoning out that is bound to another item, account or time. The whole item has to go: its id
// without its content is refused too.
func (m *mender) encrypted() {
	text := strings.ToLower(m.message)
	if !strings.Contains(text, "encrypted") || !strings.Contains(text, "could not be") && !strings.Contains(text, "did not match") {
		return
	}
	m.within("input", func(item gjson.Result) bool {
		return item.Get("type").String() == "reasoning" && item.Get("encrypted_content").Exists()
	})
}

// webSearch leaves the hosted search out, unless it is what has to be called.
func (m *mender) webSearch() {
	if !strings.Contains(strings.ToLower(m.message), "web search tool is not supported") {
		return
	}
	m.learned.note(m.call.Model.ID, webSearch)
	if isSearch(m.get("tool_choice").Get("type").String()) {
		return
	}
	drop := func(tool gjson.Result) bool { return isSearch(tool.Get("type").String()) }
	m.object(m.doc, "", func(key string, v gjson.Result) bool {
		switch {
		case !v.IsArray():
		case key == "tools":
			m.array(v, drop)
		case key == "input":
			m.array(v, func(item gjson.Result) bool {
				if tools := item.Get("tools"); tools.IsArray() && item.Get("type").String() == "additional_tools" {
					m.array(tools, drop)
				}
				return false
			})
		}
		return false
	})
}

// within drops elements of the top-level array name.
func (m *mender) within(name string, drop func(gjson.Result) bool) {
	m.object(m.doc, "", func(key string, v gjson.Result) bool {
		if key == name && v.IsArray() {
			m.array(v, drop)
		}
		return false
	})
}

// extraInputs leaves out what a strict validator names by its path, such as tools.0.custom.strict. The path's numbers
// stand for all of them, because the validator may name one offence at a time and there is one replay.
func (m *mender) extraInputs() {
	seen := make(map[string]bool)
	for _, found := range extraInput.FindAllStringSubmatch(m.message, 16) {
		path := strings.Split(found[1], ".")
		for i := range path {
			if _, err := strconv.Atoi(path[i]); err == nil {
				path[i] = "#"
			}
		}
		if key := strings.Join(path, "."); !seen[key] && !essential(key) {
			seen[key] = true
			m.extra(m.doc, path)
			// Two members of one object cannot go in one patch: each takes the other's comma for its own.
			m.body = m.apply(m.body)
			next, ok := newPatch(m.body)
			if !ok {
				return
			}
			m.patch = next
		}
	}
}

// extra drops the member that path leads to from v. A segment that leads nowhere is the validator's name for a
// variant ("custom", "text") and is passed over.
func (m *mender) extra(v gjson.Result, path []string) {
	switch {
	case len(path) == 0:
	case v.IsArray():
		if path[0] == "#" {
			v.ForEach(func(_, element gjson.Result) bool {
				m.extra(element, path[1:])
				return true
			})
		}
	case !v.IsObject():
	case len(path) == 1:
		if v.Get(gjson.Escape(path[0])).Exists() {
			m.object(v, "", func(key string, _ gjson.Result) bool { return key == path[0] })
		}
	default:
		if next := v.Get(gjson.Escape(path[0])); (next.IsObject() || next.IsArray()) && path[0] != "#" {
			m.extra(next, path[1:])
		} else {
			m.extra(v, path[1:])
		}
	}
}

// orphans leaves out tool results whose call is not in the message before them, and messages that had nothing else.
func (m *mender) orphans() {
	found := orphanResult.FindStringSubmatch(m.message)
	if found == nil {
		return
	}
	ids := make(map[string]bool)
	for id := range strings.SplitSeq(found[1], ",") {
		ids[strings.TrimSpace(id)] = true
	}
	orphan := func(block gjson.Result) bool {
		return block.Get("type").String() == "tool_result" && ids[block.Get("tool_use_id").String()]
	}
	m.within("messages", func(message gjson.Result) bool {
		content := message.Get("content")
		if !content.IsArray() {
			return false
		}
		if m.elements(content, func(_ string, block gjson.Result) bool { return orphan(block) }) == 0 && len(content.Array()) > 0 {
			return true
		}
		return false
	})
}

// thinking asks for adaptive thinking in place of a budget, at the effort that the budget amounts to.
func (m *mender) thinking() {
	if !strings.Contains(m.message, "thinking.type.enabled") || !strings.Contains(m.message, "adaptive") {
		return
	}
	budget := m.get("thinking").Get("budget_tokens").Int()
	effort := "high"
	switch {
	case budget <= 1024:
		effort = "low"
	case budget <= 8192:
		effort = "medium"
	}
	add := ""
	if !m.get("output_config").Exists() {
		add = `"output_config":{"effort":"` + effort + `"}`
	}
	m.object(m.doc, add, func(key string, v gjson.Result) bool {
		switch {
		case key == "thinking" && v.IsObject():
			m.object(v, `"type":"adaptive"`, func(key string, _ gjson.Result) bool { return key == "type" || key == "budget_tokens" })
		case key == "output_config" && v.IsObject() && !v.Get("effort").Exists():
			m.object(v, `"effort":"`+effort+`"`, func(string, gjson.Result) bool { return false })
		}
		return false
	})
}
