package filter

import (
	"strings"

	"detour/internal/dialect"
	"detour/internal/dialect/rawjson"
)

// Apply returns the request body, which is of dialect d and valid JSON, with the rules applied; it is body itself where
// they find nothing to change. Beside its own shape a chat request may have that of the other dialects, as those of some
// clients do. Mistakes in the body are left for others to report.
func (s *Set) Apply(d dialect.Name, body []byte) []byte {
	if s == nil {
		return body
	}
	e := edit{set: s, body: body}
	if d == dialect.Gemini {
		e.gemini()
	} else {
		e.request(d)
	}
	if e.patch.Empty() {
		return body
	}
	return e.patch.Apply(make([]byte, 0, len(body)+len(s.add)+128), body)
}

// edit is one request being changed.
type edit struct {
	set   *Set
	body  []byte
	patch rawjson.Patch
}

// span is [lo,hi) of the body.
type span struct{ lo, hi int }

// replace writes text as the JSON string at [lo,hi).
func (e *edit) replace(lo, hi int, text string) {
	e.patch.Replace(lo, hi, rawjson.AppendString(nil, text))
}

// insert puts JSON in at one place.
func (e *edit) insert(at int, raw []byte) { e.patch.Replace(at, at, raw) }

// drop takes elements out of an array, together with the commas that are not needed then. all are the elements in order
// and gone says which of them go.
func (e *edit) drop(all []span, gone []bool) {
	for i := 0; i < len(all); i++ {
		if !gone[i] {
			continue
		}
		first := i
		for i+1 < len(all) && gone[i+1] {
			i++
		}
		switch {
		case i+1 < len(all):
			e.patch.Replace(all[first].lo, all[i+1].lo, nil)
		case first > 0:
			e.patch.Replace(all[first-1].hi, all[i].hi, nil)
		default:
			e.patch.Replace(all[first].lo, all[i].hi, nil)
		}
	}
}

// text is an element of a list of parts that has text, or no text at all.
type text struct {
	span
	value rawjson.Field // the string; Raw is nil where the element has none
}

// texts lists the elements of the array f.
func (e *edit) texts(f rawjson.Field) (list []text, end int) {
	it := rawjson.Elements(e.body, f.Lo)
	for it.Next() {
		lo, hi := it.Span()
		t := text{span: span{lo, hi}}
		switch rawjson.Of(it.Raw()) {
		case rawjson.String:
			t.value = it.Field()
		case rawjson.Object:
			for m := rawjson.Members(e.body, lo); m.Next(); {
				if string(m.Key()) == "text" && rawjson.Of(m.Raw()) == rawjson.String {
					t.value = m.Field()
				}
			}
		}
		list = append(list, t)
	}
	return list, it.End()
}

// prompt takes the rules' texts out of a piece of the system prompt, which is a string or a list of parts, and puts add
// behind it. partType is the type of a text part of its own; "" for parts without one. It reports false for a piece of
// which nothing is left; that it leaves as it is.
func (e *edit) prompt(f rawjson.Field, add, partType string) bool {
	switch rawjson.Of(f.Raw) {
	case rawjson.String:
		old := string(rawjson.Text(f.Raw))
		now := paragraphs(everywhere(old, e.set.system), add)
		if now != old && blank(now) {
			return false
		}
		if now != old {
			e.replace(f.Lo, f.Hi, now)
		}
		return true
	case rawjson.Array:
		return e.promptParts(f, add, partType)
	}
	return true
}

func (e *edit) promptParts(f rawjson.Field, add, partType string) bool {
	list, end := e.texts(f)
	gone, spans, left := make([]bool, len(list)), make([]span, len(list)), 0
	now := make([]string, len(list))
	for i, t := range list {
		spans[i] = t.span
		if left++; t.value.Raw == nil {
			continue
		}
		old := string(rawjson.Text(t.value.Raw))
		if now[i] = everywhere(old, e.set.system); now[i] != old && blank(now[i]) {
			gone[i] = true
			left--
		}
	}
	if left == 0 && add == "" && len(list) > 0 {
		return false
	}
	for i, t := range list {
		if t.value.Raw != nil && !gone[i] && now[i] != string(rawjson.Text(t.value.Raw)) {
			e.replace(t.value.Lo, t.value.Hi, now[i])
		}
	}
	e.drop(spans, gone)
	if add != "" && end >= 0 {
		e.insert(end, appendPart(nil, left > 0, partType, add))
	}
	return true
}

// appendPart appends a text part.
func appendPart(dst []byte, comma bool, partType, text string) []byte {
	if comma {
		dst = append(dst, ',')
	}
	dst = append(dst, '{')
	if partType != "" {
		dst = append(append(append(dst, `"type":"`...), partType...), `",`...)
	}
	return append(rawjson.AppendString(append(dst, `"text":`...), text), '}')
}

// result takes the rules' endings off what a tool answered: a string, or a list of parts whose last ones are text.
func (e *edit) result(f rawjson.Field) {
	if len(e.set.suffix) == 0 {
		return
	}
	switch rawjson.Of(f.Raw) {
	case rawjson.String:
		e.ending(f)
		return
	case rawjson.Array:
	default:
		return
	}
	list, _ := e.texts(f)
	gone, spans := make([]bool, len(list)), make([]span, len(list))
	for i := range list {
		spans[i] = list[i].span
	}
	for i := len(list) - 1; i >= 0 && list[i].value.Raw != nil; i-- {
		old := string(rawjson.Text(list[i].value.Raw))
		now := atEnd(old, e.set.suffix)
		if now == old {
			break
		}
		if gone[i] = blank(now); !gone[i] {
			e.replace(list[i].value.Lo, list[i].value.Hi, now)
			break
		}
		if i == 0 { // an empty list of parts is not an answer everywhere, empty text is
			e.patch.Replace(f.Lo, f.Hi, []byte(`""`))
			return
		}
	}
	e.drop(spans, gone)
}

// ending takes the endings off one string.
func (e *edit) ending(f rawjson.Field) {
	old := string(rawjson.Text(f.Raw))
	if now := atEnd(old, e.set.suffix); now != old {
		e.replace(f.Lo, f.Hi, now)
	}
}

// paragraphs puts b behind a.
func paragraphs(a, b string) string {
	switch {
	case b == "":
		return a
	case blank(a):
		return b
	}
	return strings.TrimRight(a, "\n") + "\n\n" + b
}

func blank(s string) bool { return strings.TrimSpace(s) == "" }
