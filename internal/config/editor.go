package config

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// editor changes single values of a valid TOML text. After each step it parses the text anew, so offsets are right.
type editor struct {
	doc *document
}

func (e *editor) reset(src []byte) error {
	doc, err := newDocument(src)
	if err != nil {
		return fmt.Errorf("line %d: %w", err.line, err)
	}
	e.doc = doc
	return nil
}

// splice replaces src[from:to].
func (e *editor) splice(from, to int, text string) error {
	src := e.doc.src
	return e.reset(slices.Concat(src[:from], []byte(text), src[to:]))
}

// set gives the value at p the literal, in place when it has one, else where a person would put it.
func (e *editor) set(p path, literal string) error {
	if it, ok := e.doc.find(p); ok {
		return e.splice(it.val, it.valEnd, literal)
	}
	for n := len(p) - 1; n > 0; n-- {
		if it, ok := e.doc.find(p[:n]); ok {
			return e.addInline(it, p[n:], literal)
		}
	}
	parent := p[:len(p)-1]
	if i := e.headerAt(parent); i >= 0 || len(parent) == 0 {
		return e.addPair(i, p[len(parent):], literal)
	}
	if it, ok := e.dottedSibling(parent); ok { // its table cannot get a header of its own
		depth := 0
		if it.block >= 0 {
			depth = len(e.doc.items[it.block].path)
		}
		return e.addAfter(it, p[depth:], literal)
	}
	return e.addTable(parent, p[len(p)-1:], literal)
}

// headerAt returns the index of the header of p, or -1.
func (e *editor) headerAt(p path) int {
	return slices.IndexFunc(e.doc.items, func(it item) bool { return it.kind == header && it.path.equal(p) })
}

// dottedSibling returns the last pair that is in p by a dotted key.
func (e *editor) dottedSibling(p path) (found item, ok bool) {
	for _, it := range e.doc.items {
		if it.kind != pair || !it.path.hasPrefix(p) {
			continue
		}
		if it.block < 0 || len(e.doc.items[it.block].path) < len(p) {
			found, ok = it, true
		}
	}
	return found, ok
}

// addPair writes a pair at the end of the block of the header at index i, or before the first header.
func (e *editor) addPair(i int, key path, literal string) error {
	for _, it := range slices.Backward(e.doc.items) {
		if it.kind == pair && it.block == i {
			return e.addAfter(it, key, literal)
		}
	}
	if i >= 0 {
		return e.insertLine(e.doc.items[i].end, "", key, literal)
	}
	at := len(e.doc.src) - len(bytes.TrimPrefix(e.doc.src, []byte("\xef\xbb\xbf")))
	return e.insertLine(at, "", key, literal)
}

// addAfter writes a pair on the line after it, with the same indent.
func (e *editor) addAfter(it item, key path, literal string) error {
	return e.insertLine(it.end, string(e.doc.src[e.lineStart(it.start):it.start]), key, literal)
}

// lineStart returns where the indent before at begins.
func (e *editor) lineStart(at int) int {
	for at > 0 && (e.doc.src[at-1] == ' ' || e.doc.src[at-1] == '\t') {
		at--
	}
	return at
}

func (e *editor) insertLine(at int, indent string, key path, literal string) error {
	text := indent + key.String() + " = " + literal + e.newline()
	if at > 0 && e.doc.src[at-1] != '\n' && !bytes.Equal(e.doc.src[:at], []byte("\xef\xbb\xbf")) {
		text = e.newline() + text
	}
	return e.splice(at, at, text)
}

func (e *editor) newline() string {
	if i := bytes.IndexByte(e.doc.src, '\n'); i > 0 && e.doc.src[i-1] == '\r' {
		return "\r\n"
	}
	return "\n"
}

// addInline writes a pair at the end of the inline table that it holds.
func (e *editor) addInline(it item, key path, literal string) error {
	src := e.doc.src
	if it.valEnd <= it.val || src[it.val] != '{' {
		return errors.New("its table is not a table")
	}
	at, lead, tail := it.val+1, " ", " "
	for _, inner := range e.doc.items {
		if inner.kind == inline && e.doc.items[inner.block].start == it.start {
			at, lead, tail = inner.valEnd, ", ", ""
		}
	}
	return e.splice(at, at, lead+key.String()+" = "+literal+tail)
}

// addTable writes a new header with one pair: after the last block of the nearest table around it, or at the end.
func (e *editor) addTable(table, key path, literal string) error {
	at := -1
	for n := len(table) - 1; n > 0 && at < 0; n-- {
		for i, it := range e.doc.items {
			if it.kind == header && it.path.hasPrefix(table[:n]) {
				at = e.blockEnd(i)
			}
		}
	}
	if last := len(table) - 1; at < 0 && table[last].elem > 0 { // after the element before it
		before := slices.Clone(table)
		before[last].elem--
		for i, it := range e.doc.items {
			if it.kind == header && it.path.hasPrefix(before) {
				at = e.blockEnd(i)
			}
		}
	}
	if at < 0 {
		at = len(e.doc.src)
	}
	nl := e.newline()
	name := make(path, len(table))
	for i, s := range table {
		name[i] = step{s.key, -1}
	}
	head := "[" + name.String() + "]"
	if table[len(table)-1].elem >= 0 {
		head = "[" + head + "]"
	}
	text := head + nl + key.String() + " = " + literal + nl
	if rest := e.doc.src[at:]; len(bytes.TrimSpace(rest)) > 0 && !startsBlank(rest) {
		text += nl
	}
	if before := e.doc.src[:at]; len(before) > 0 {
		if before[len(before)-1] != '\n' {
			text = nl + nl + text
		} else if !bytes.HasSuffix(before, []byte("\n\n")) && !bytes.HasSuffix(before, []byte("\n\r\n")) {
			text = nl + text
		}
	}
	return e.splice(at, at, text)
}

func startsBlank(b []byte) bool { return b[0] == '\n' || bytes.HasPrefix(b, []byte("\r\n")) }

// blockEnd returns where the last pair under the header at index i ends.
func (e *editor) blockEnd(i int) int {
	end := e.doc.items[i].end
	for _, it := range e.doc.items[i+1:] {
		if it.kind == header {
			break
		}
		if it.kind == pair {
			end = it.end
		}
	}
	return end
}

// unset removes the pair at p, or all of the table at p. It reports whether there was one.
func (e *editor) unset(p path) (bool, error) {
	if it, ok := e.doc.find(p); ok {
		if it.kind == inline {
			return true, e.removeInline(it)
		}
		return true, e.splice(e.lineStart(it.start), it.end, "")
	}
	return e.removeTable(p)
}

// removeInline removes a pair of an inline table with one of the commas around it.
func (e *editor) removeInline(it item) error {
	var before, after *item
	for i := range e.doc.items {
		other := &e.doc.items[i]
		if other.kind != inline || other.block != it.block {
			continue
		}
		if other.start < it.start {
			before = other
		}
		if other.start > it.start && after == nil {
			after = other
		}
	}
	switch {
	case after != nil:
		return e.splice(it.start, after.start, "")
	case before != nil:
		return e.splice(before.valEnd, it.valEnd, "")
	}
	end := it.valEnd
	for end < len(e.doc.src) && strings.IndexByte(" \t\r\n,", e.doc.src[end]) >= 0 {
		end++
	}
	return e.splice(it.start, end, "")
}

// removeTable removes every header and pair at and below p, together with the comments between them. It reports
// whether there was one.
func (e *editor) removeTable(p path) (bool, error) {
	var kept []byte
	last := 0
	cut := func(from, to int) {
		kept = append(kept, e.doc.src[last:from]...)
		last = to
	}
	found := false
	for i, it := range e.doc.items {
		if !it.path.hasPrefix(p) {
			continue
		}
		found = true
		switch outer := e.outermost(it); {
		case it.kind == header:
			end := e.blockEnd(i)
			if rest := e.doc.src[end:]; len(rest) > 0 && startsBlank(rest) {
				end += bytes.IndexByte(rest, '\n') + 1
			}
			cut(e.lineStart(it.start), end)
		case !outer.path.hasPrefix(p):
			return true, errors.New("it is part of a longer value; edit the file by hand")
		case it.kind == pair && (it.block < 0 || !e.doc.items[it.block].path.hasPrefix(p)):
			cut(e.lineStart(it.start), it.end)
		}
	}
	if !found {
		return false, nil
	}
	return true, e.reset(append(kept, e.doc.src[last:]...))
}

// outermost returns the pair that it is part of.
func (e *editor) outermost(it item) item {
	for it.kind == inline {
		it = e.doc.items[it.block]
	}
	return it
}

// flatten lists every value below v by its path.
func flatten(v any, at path, into map[string]string) map[string]string {
	switch v := v.(type) {
	case map[string]any:
		for k, sub := range v {
			flatten(sub, at.child(k), into)
		}
	case []map[string]any:
		for i, sub := range v {
			flatten(sub, at.within(i), into)
		}
	case []any:
		for i, sub := range v { // an element that is no table counts too
			flatten(sub, at.within(i), into)
		}
		if len(v) == 0 {
			into[at.String()] = "[]"
		}
	default:
		into[at.String()] = render(v)
	}
	return into
}

// onlyChanged reports whether before and after are the same but for what is at or below p.
func onlyChanged(before, after map[string]any, p path) bool {
	a, b := flatten(before, nil, map[string]string{}), flatten(after, nil, map[string]string{})
	id := p.String()
	mine := func(k, _ string) bool {
		return k == id || strings.HasPrefix(k, id+".") || strings.HasPrefix(k, id+"[")
	}
	maps.DeleteFunc(a, mine)
	maps.DeleteFunc(b, mine)
	return maps.Equal(a, b)
}
