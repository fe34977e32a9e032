package copilot

import (
	"cmp"
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"detour/internal/dialect/rawjson"
)

// patch collects replacements within one JSON object and applies them in a single pass, so that every byte which no
// edit concerns stays as it is. Its values come from walking doc; offsets are those of the document.
type patch struct {
	src  []byte
	text string // the same
	doc  gjson.Result
	top  []member // of doc, so that a long conversation is walked once
	cuts []cut
}

// member is one member of an object.
type member struct {
	key, value gjson.Result
}

// cut replaces src[lo:hi].
type cut struct {
	lo, hi int
	put    string
}

// newPatch begins a patch of body. ok is false if it cannot be a JSON object; there is then nothing to edit.
func newPatch(body []byte) (p *patch, ok bool) {
	text := string(body)
	p = &patch{src: body, text: text, doc: gjson.Parse(text)}
	if !p.doc.IsObject() {
		return nil, false
	}
	p.each(p.doc, func(key, value gjson.Result) bool {
		p.top = append(p.top, member{key, value})
		return true
	})
	return p, true
}

// get returns the first top-level member called name, or the zero Result.
func (p *patch) get(name string) gjson.Result {
	for _, m := range p.top {
		if m.key.Str == name {
			return m.value
		}
	}
	return gjson.Result{}
}

// each calls f with the members or elements of container.
func (p *patch) each(container gjson.Result, f func(key, v gjson.Result) bool) {
	if p.top != nil && container.Index == p.doc.Index && len(container.Raw) == len(p.doc.Raw) {
		for _, m := range p.top {
			if !f(m.key, m.value) {
				return
			}
		}
		return
	}
	it := rawjson.Elements(p.src, container.Index)
	if container.IsObject() {
		it = rawjson.Members(p.src, container.Index)
	}
	for it.Next() {
		var key gjson.Result
		if container.IsObject() {
			key = gjson.Result{Type: gjson.String, Str: p.name(&it), Index: it.Start()}
		}
		lo, hi := it.Span()
		if !f(key, p.value(lo, hi)) {
			return
		}
	}
}

// name is the name of the member that it stands at, without memory of its own unless it is written with escapes.
func (p *patch) name(it *rawjson.Iter) string {
	key, lo := it.Key(), it.Start()+1
	if hi := lo + len(key); hi <= len(p.text) && p.text[lo:hi] == string(key) {
		return p.text[lo:hi]
	}
	return string(key)
}

// value is the value at [lo,hi). What is inside it is not looked at.
func (p *patch) value(lo, hi int) gjson.Result {
	raw := p.text[lo:hi]
	switch {
	case raw[0] == '{', raw[0] == '[':
		return gjson.Result{Type: gjson.JSON, Raw: raw, Index: lo}
	case raw[0] == '"' && len(raw) > 1 && strings.IndexByte(raw, '\\') < 0:
		return gjson.Result{Type: gjson.String, Raw: raw, Str: raw[1 : len(raw)-1], Index: lo}
	}
	v := gjson.Parse(raw)
	v.Index = lo
	return v
}

// replace puts raw JSON in the place of v.
func (p *patch) replace(v gjson.Result, raw string) {
	p.cuts = append(p.cuts, cut{v.Index, v.Index + len(v.Raw), raw})
}

// object removes the members of o that drop picks and puts add, raw members separated by commas, before the rest.
// drop may record edits within a member that it keeps.
func (p *patch) object(o gjson.Result, add string, drop func(name string, v gjson.Result) bool) {
	kept := p.elements(o, drop)
	if add == "" {
		return
	}
	if kept > 0 {
		add += ","
	}
	at := o.Index + 1
	p.cuts = append(p.cuts, cut{at, at, add})
}

// array removes the elements of a that drop picks. drop may record edits within an element that it keeps.
func (p *patch) array(a gjson.Result, drop func(v gjson.Result) bool) {
	p.elements(a, func(_ string, v gjson.Result) bool { return drop(v) })
}

// elements removes members or elements together with the commas that they no longer need, and counts the others.
func (p *patch) elements(container gjson.Result, drop func(name string, v gjson.Result) bool) (kept int) {
	end := 0      // where the last element that stays ended
	pending := -1 // where a run of dropped elements begins that no kept element precedes
	p.each(container, func(key, v gjson.Result) bool {
		lo, hi := v.Index, v.Index+len(v.Raw)
		if key.Type == gjson.String {
			lo = key.Index
		}
		gone := drop(key.Str, v)
		switch {
		case gone && kept > 0:
			p.cuts = append(p.cuts, cut{end, hi, ""})
			end = hi
		case gone && pending < 0:
			pending, end = lo, hi
		case gone:
			end = hi
		default:
			if pending >= 0 && kept == 0 {
				p.cuts = append(p.cuts, cut{pending, lo, ""})
			}
			kept++
			end = hi
		}
		return true
	})
	if kept == 0 && pending >= 0 {
		p.cuts = append(p.cuts, cut{pending, end, ""})
	}
	return kept
}

// apply returns body with the edits, or body itself when there are none or it is not JSON. Edits within a removed part
// are dropped.
func (p *patch) apply(body []byte) []byte {
	if len(p.cuts) == 0 || !gjson.ValidBytes(body) { // walking is lenient and faster than checking
		return body
	}
	slices.SortStableFunc(p.cuts, func(a, b cut) int {
		if a.lo == b.lo && (a.hi == a.lo) != (b.hi == b.lo) { // an insertion stays when what follows it goes
			return cmp.Compare(a.hi, b.hi)
		}
		return cmp.Or(cmp.Compare(a.lo, b.lo), cmp.Compare(b.hi, a.hi))
	})
	size := len(body)
	for _, c := range p.cuts {
		size += len(c.put)
	}
	out, at := make([]byte, 0, size), 0
	for _, c := range p.cuts {
		if c.lo < at {
			continue
		}
		out = append(out, body[at:c.lo]...)
		out = append(out, c.put...)
		at = c.hi
	}
	return append(out, body[at:]...)
}
