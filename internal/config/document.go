package config

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// step is one part of the way to a value. elem is the position in a list of tables, or -1.
type step struct {
	key  string
	elem int
}

type path []step

// String renders p as a dotted TOML key; positions in lists show in brackets.
func (p path) String() string {
	var b strings.Builder
	for i, s := range p {
		if i > 0 {
			b.WriteByte('.')
		}
		b.WriteString(bareOrQuoted(s.key))
		if s.elem >= 0 {
			fmt.Fprintf(&b, "[%d]", s.elem)
		}
	}
	return b.String()
}

func (p path) equal(q path) bool     { return slices.Equal(p, q) }
func (p path) hasPrefix(q path) bool { return len(p) >= len(q) && slices.Equal(p[:len(q)], q) }

func (p path) child(key string) path {
	return append(slices.Clip(p), step{key, -1})
}

// within returns p with its last step pointing at element i.
func (p path) within(i int) path {
	q := slices.Clone(p)
	if len(q) > 0 {
		q[len(q)-1].elem = i
	}
	return q
}

type itemKind uint8

const (
	header itemKind = iota // [a] or [[a]]
	pair                   // key = value on lines of its own
	inline                 // key = value inside an inline table
)

// item is a header or a pair with its place in the source. Offsets are in bytes.
type item struct {
	kind   itemKind
	path   path
	line   int // 1-based, of the key or header
	start  int // of the key or header
	val    int // start of the value
	valEnd int // end of the value
	end    int // of the line that the item ends on, its newline included; equal to valEnd when inline
	block  int // index of the header that a pair stands under, -1 for none; for inline, of the item around it
}

// document knows where everything stands in a TOML text. It relies on the text being valid, which is for the TOML
// library to say; on other input it may fail or find nonsense, in linear time.
type document struct {
	src   []byte
	items []item
	lines map[string]int // by path
}

func newDocument(src []byte) (*document, *scanError) {
	s := scanner{src: src, line: 1, count: map[string]int{}, block: -1}
	s.pos = len(src) - len(bytes.TrimPrefix(src, []byte("\xef\xbb\xbf")))
	if err := s.run(); err != nil {
		return nil, &scanError{s.line, err}
	}
	d := &document{src: src, items: s.items}
	d.index()
	return d, nil
}

// find returns the pair at p.
func (d *document) find(p path) (item, bool) {
	for _, it := range d.items {
		if it.kind != header && it.path.equal(p) {
			return it, true
		}
	}
	return item{}, false
}

// lineOf returns the line of the pair or header at p, else of the first thing below it, else 0. For a list of tables
// that is the line of its first element.
func (d *document) lineOf(p path) int {
	if d == nil {
		return 0 // of a text that could not be followed
	}
	if line, ok := d.lines[p.String()]; ok || len(p) == 0 {
		return line
	}
	return d.lines[p.within(0).String()]
}

// index fills lines.
func (d *document) index() {
	d.lines = make(map[string]int, len(d.items))
	exact := make(map[string]bool, len(d.items))
	for _, it := range d.items {
		id := it.path.String()
		if !exact[id] {
			exact[id] = true
			d.lines[id] = it.line
		}
		for n := len(it.path) - 1; n > 0; n-- {
			above := it.path[:n].String()
			if _, ok := d.lines[above]; ok {
				break
			}
			d.lines[above] = it.line
		}
	}
}
