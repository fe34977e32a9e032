package copilot

import (
	"bytes"
	"strings"

	"github.com/tidwall/gjson"
)

const maxCacheControls = 4 // more are refused

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

// withoutScope is the raw cache_control v without its scope.
func withoutScope(v gjson.Result) string {
	p, ok := newPatch([]byte(v.Raw))
	if !ok {
		return v.Raw
	}
	p.object(p.doc, "", func(name string, _ gjson.Result) bool { return name == "scope" })
	return string(p.apply([]byte(v.Raw)))
}

// surplus finds the blocks whose breakpoint has to go because there are too many: the oldest of the conversation, then
// the first of those before it. They are known by where they begin.
func (p *patch) surplus(body []byte) map[int]bool {
	if bytes.Count(body, []byte(`"cache_control"`)) <= maxCacheControls {
		return nil
	}
	var before, within []int
	see := func(list *[]int) func(_, block gjson.Result) bool {
		return func(_, block gjson.Result) bool {
			if strings.Contains(block.Raw, `"cache_control"`) && block.Get("cache_control").IsObject() {
				*list = append(*list, block.Index)
			}
			return true
		}
	}
	p.get("tools").ForEach(see(&before))
	if system := p.get("system"); system.IsArray() {
		system.ForEach(see(&before))
	}
	p.get("messages").ForEach(func(_, message gjson.Result) bool {
		if content := message.Get("content"); content.IsArray() {
			p.each(content, func(key, block gjson.Result) bool {
				if strings.Contains(block.Raw, `"tool_result"`) {
					if inner := block.Get("content"); inner.IsArray() {
						inner.ForEach(see(&within))
					}
				}
				return see(&within)(key, block)
			})
		}
		return true
	})
	gone := map[int]bool{}
	for _, at := range append(within, before...) {
		if len(before)+len(within)-len(gone) <= maxCacheControls {
			break
		}
		gone[at] = true
	}
	return gone
}
