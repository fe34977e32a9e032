package copilot

import (
	"bytes"
	"net/http"
	"regexp"
	"strings"

	"github.com/tidwall/gjson"

	"detour/internal/dialect"
	"detour/providers"
)

// What refusals of one request alone are recognised by: they carry no code of their own.
var (
	noCustom     = regexp.MustCompile(`(?i)custom tools? (?:are|is) not supported|invalid value: 'custom'`)
	orphanResult = regexp.MustCompile("unexpected `?tool_use_id`? found in `?tool_result`? blocks: ([\\w, -]+)")
	orphanCall   = regexp.MustCompile("`?tool_use`? ids were found without `?tool_result`? blocks immediately after: ([\\w, -]+)")
)

// Mend implements providers.Mender. It knows these refusals, which say nothing about other requests:
//
//   - responses: reasoning that can no longer be decrypted, which is left out; free-text tools, which only Target then
//     reports;
//   - messages: tool results without their call, which are left out; calls without a result, which get one.
func (p *Provider) Mend(c *providers.Call, e *providers.Error) ([]byte, bool) {
	m, ok := mending(c, e)
	if !ok {
		return nil, false
	}
	switch c.Endpoint {
	case dialect.EndpointResponses:
		m.encrypted()
		if noCustom.MatchString(m.message) {
			p.learned.note(c.Model.ID, customTools)
		}
	case dialect.EndpointMessages, dialect.EndpointCountTokens:
		m.orphanResults()
		m.orphanCalls()
	}
	body := m.apply(m.body)
	return body, !bytes.Equal(body, c.Body)
}

// mender is one change of a request.
type mender struct {
	*patch  // of body
	call    *providers.Call
	body    []byte
	message string
}

// mending begins to mend c, if e may be about its body at all.
func mending(c *providers.Call, e *providers.Error) (mender, bool) {
	if e.Kind != providers.KindInvalid || e.Failure.Status != http.StatusBadRequest {
		return mender{}, false
	}
	doc, ok := newPatch(c.Body)
	return mender{doc, c, c.Body, e.Failure.Message}, ok
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

// within drops elements of the top-level array name.
func (m *mender) within(name string, drop func(gjson.Result) bool) {
	m.object(m.doc, "", func(key string, v gjson.Result) bool {
		if key == name && v.IsArray() {
			m.array(v, drop)
		}
		return false
	})
}

// named returns the ids that a refusal lists.
func named(list string) map[string]bool {
	ids := make(map[string]bool)
	for id := range strings.SplitSeq(list, ",") {
		ids[strings.TrimSpace(id)] = true
	}
	return ids
}

// orphanResults leaves out tool results whose call is not in the message before them, and messages that had nothing
// else.
func (m *mender) orphanResults() {
	found := orphanResult.FindStringSubmatch(m.message)
	if found == nil {
		return
	}
	ids := named(found[1])
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

// orphanCalls answers calls that have no result: a turn that was interrupted leaves such behind.
func (m *mender) orphanCalls() {
	found := orphanCall.FindStringSubmatch(m.message)
	if found == nil {
		return
	}
	ids := named(found[1])
	list := m.get("messages").Array()
	for i, message := range list {
		var results []string
		message.Get("content").ForEach(func(_, block gjson.Result) bool {
			if id := block.Get("id"); block.Get("type").String() == "tool_use" && ids[id.String()] {
				results = append(results, `{"type":"tool_result","tool_use_id":`+id.Raw+`,"content":"[no output]"}`)
			}
			return true
		})
		if len(results) > 0 {
			m.answer(list, i, strings.Join(results, ","))
		}
	}
}

// answer puts results in front of the message behind list[i], or into a message of their own where that is no user's.
func (m *mender) answer(list []gjson.Result, i int, results string) {
	if i+1 == len(list) || list[i+1].Get("role").String() != "user" {
		end := list[i].Index + len(list[i].Raw)
		m.cuts = append(m.cuts, cut{end, end, `,{"role":"user","content":[` + results + `]}`})
		return
	}
	switch content := list[i+1].Get("content"); {
	case content.IsArray():
		if len(content.Array()) > 0 {
			results += ","
		}
		at := content.Index + 1
		m.cuts = append(m.cuts, cut{at, at, results})
	case content.Type == gjson.String:
		m.replace(content, `[`+results+`,{"type":"text","text":`+content.Raw+`}]`)
	}
}
