package copilot

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"detour/providers"
)

// fallbackOutput is the limit in tokens for a model that insists on one and of which none is known.
const fallbackOutput = 4096

// heed returns body with lessons applied; it is body itself where they change nothing.
func heed(body []byte, model providers.Model, lessons []string) []byte {
	var omit [][]string
	for _, lesson := range lessons {
		word, rest, _ := strings.Cut(lesson, " ")
		if word == lessonOmit {
			omit = append(omit, strings.Split(rest, "."))
			continue
		}
		if doc, ok := newPatch(body); ok {
			(&lessonEdit{doc, model}).heed(word, rest)
			body = doc.apply(body)
		}
	}
	if len(omit) > 0 {
		if doc, ok := newPatch(body); ok {
			doc.omit(doc.doc, omit)
			body = doc.apply(body)
		}
	}
	return body
}

// omit drops the members that paths lead to from v. The number of an element stands for all elements. A segment that
// leads nowhere is the validator's name for a variant ("custom", "text") and is passed over.
func (p *patch) omit(v gjson.Result, paths [][]string) {
	if v.IsArray() {
		var inside [][]string
		for _, path := range paths {
			if path[0] == "#" && len(path) > 1 {
				inside = append(inside, path[1:])
			}
		}
		if len(inside) > 0 {
			v.ForEach(func(_, element gjson.Result) bool {
				p.omit(element, inside)
				return true
			})
		}
		return
	}
	if !v.IsObject() {
		return
	}
	var gone []string
	inside := make(map[string][][]string)
	for _, path := range paths {
		for len(path) > 1 {
			next := v.Get(gjson.Escape(path[0]))
			if path[0] != "#" && (next.IsObject() || next.IsArray()) {
				inside[path[0]] = append(inside[path[0]], path[1:])
				break
			}
			path = path[1:]
		}
		if len(path) == 1 && path[0] != "#" {
			gone = append(gone, path[0])
		}
	}
	p.object(v, "", func(name string, member gjson.Result) bool {
		if slices.Contains(gone, name) {
			return true
		}
		if deeper := inside[name]; deeper != nil {
			p.omit(member, deeper)
		}
		return false
	})
}

// lessonEdit applies one lesson.
type lessonEdit struct {
	*patch
	model providers.Model
}

func (p *lessonEdit) heed(word, rest string) {
	switch word {
	case lessonRename:
		p.rename()
	case lessonLimit:
		if !p.limited() {
			limit := strconv.Itoa(cmp.Or(p.model.MaxOutput, fallbackOutput))
			p.object(p.doc, `"max_tokens":`+limit, only("max_tokens"))
		}
	case lessonMost:
		p.most(rest)
	case lessonOneOf:
		if words := strings.Fields(rest); len(words) > 1 {
			p.oneOf(p.doc, strings.Split(words[0], "."), words[1:])
		}
	case lessonAdaptive:
		p.think(claude{known: true, adaptive: true, adaptiveOnly: true})
	case lessonBudget:
		p.think(claude{known: true, efforts: []string{}})
	case lessonPick:
		if p.get("temperature").Exists() {
			p.object(p.doc, "", only("top_p"))
		}
	case lessonUserLast:
		if list := p.get("messages").Array(); len(list) > 0 && list[len(list)-1].Get("role").Str == "assistant" {
			last := list[len(list)-1]
			end := last.Index + len(last.Raw)
			p.cuts = append(p.cuts, cut{end, end, "," + carryOn})
		}
	case lessonNoSearch:
		p.noSearch()
	}
}

// noSearch leaves the hosted search out, among tools that ride along too, unless it is what has to be called.
func (p *lessonEdit) noSearch() {
	if isSearch(p.get("tool_choice").Get("type").String()) {
		return
	}
	drop := func(tool gjson.Result) bool { return isSearch(tool.Get("type").String()) }
	p.object(p.doc, "", func(name string, v gjson.Result) bool {
		switch {
		case !v.IsArray():
		case name == "tools":
			p.array(v, drop)
		case name == "input":
			p.array(v, func(item gjson.Result) bool {
				if tools := item.Get("tools"); tools.IsArray() && item.Get("type").String() == "additional_tools" {
					p.array(tools, drop)
				}
				return false
			})
		}
		return false
	})
}

// only picks one member.
func only(member string) func(string, gjson.Result) bool {
	return func(name string, _ gjson.Result) bool { return name == member }
}

// rename gives the limit on output its newer name.
func (p *lessonEdit) rename() {
	v := p.get("max_tokens")
	if !v.Exists() {
		return
	}
	add := ""
	if v.Type == gjson.Number && p.get("max_completion_tokens").Type != gjson.Number {
		add = `"max_completion_tokens":` + v.Raw
	}
	p.object(p.doc, add, only("max_tokens"))
}

// most brings limits on output down.
func (p *lessonEdit) most(limit string) {
	n, err := strconv.ParseInt(limit, 10, 64)
	if err != nil || n <= 0 {
		return
	}
	p.object(p.doc, "", func(name string, v gjson.Result) bool {
		switch name {
		case "max_tokens", "max_completion_tokens", "max_output_tokens":
			if v.Int() > n {
				p.replace(v, limit)
			}
		case "thinking":
			p.object(v, "", func(name string, v gjson.Result) bool {
				if name == "budget_tokens" && v.Int() >= n && n > minBudget {
					p.replace(v, strconv.FormatInt(max(minBudget, n-minBudget), 10))
				}
				return false
			})
		}
		return false
	})
}

// oneOf brings the member that path leads to to one of the values that are allowed, or takes it out.
func (p *lessonEdit) oneOf(v gjson.Result, path, values []string) {
	if !v.IsObject() {
		return
	}
	p.object(v, "", func(name string, member gjson.Result) bool {
		switch {
		case name != path[0]:
		case len(path) > 1:
			p.oneOf(member, path[1:], values)
		case slices.Contains(values, member.String()):
		default:
			near := nearest(member.String(), values)
			if near == "" || near == member.String() {
				return true
			}
			p.replace(member, strconv.Quote(near))
		}
		return false
	})
}

// think asks for thinking in the other form.
func (p *lessonEdit) think(c claude) {
	unsigned := func() bool { return false } // the service has judged the conversation already
	t := planThinking(p.patch, c, p.get("output_config").Get("effort").String(), unsigned)
	if t.kind != "adaptive" && t.active() && c.adaptive { // a form that is newer than the model
		t.kind, t.changed = "adaptive", true
	}
	add := ""
	if t.effort != "" && !p.get("output_config").Exists() {
		add = `"output_config":{"effort":"` + t.effort + `"}`
	}
	p.object(p.doc, add, func(name string, v gjson.Result) bool {
		switch {
		case name == "thinking" && t.off:
			return true
		case name == "thinking" && v.IsObject() && t.active():
			t.edit(p.patch, v)
		case name == "output_config" && v.IsObject() && !c.takesEffort():
			return p.elements(v, only("effort")) == 0
		case name == "output_config" && v.IsObject() && t.effort != "" && !v.Get("effort").Exists():
			p.object(v, `"effort":"`+t.effort+`"`, func(string, gjson.Result) bool { return false })
		}
		return false
	})
}
