package rawjson

import (
	"cmp"
	"slices"
)

// Patch collects edits of one JSON text and applies them together. Everything that no edit names stays as it is. The
// zero value is an empty patch; Reset keeps its memory for the next text.
type Patch struct {
	ops  []op
	text []byte // what is put in, for all ops
}

// op replaces [lo,hi) of the text by text[from:to] of the patch.
type op struct {
	lo, hi, from, to int
	member           bool // a whole member is put in, and a comma behind it where one is needed
}

// Reset forgets all edits.
func (p *Patch) Reset() { p.ops, p.text = p.ops[:0], p.text[:0] }

// Empty reports whether there is nothing to edit.
func (p *Patch) Empty() bool { return len(p.ops) == 0 }

// Replace puts value in the place of [lo,hi). Edits may come in any order but must not overlap.
func (p *Patch) Replace(lo, hi int, value []byte) {
	from := len(p.text)
	p.text = append(p.text, value...)
	p.ops = append(p.ops, op{lo: lo, hi: hi, from: from, to: len(p.text)})
}

// Insert puts a member at the front of the object whose opening brace is at position at. Of several, the one that was
// inserted first comes first. name must need no escaping.
func (p *Patch) Insert(at int, name string, value []byte) {
	from := len(p.text)
	p.text = append(p.text, '"')
	p.text = append(p.text, name...)
	p.text = append(p.text, '"', ':')
	p.text = append(p.text, value...)
	p.ops = append(p.ops, op{lo: at + 1, hi: at + 1, from: from, to: len(p.text), member: true})
}

// Remove takes the member that it stands at out of its object, together with one comma. At most one member of an
// object may be removed.
func (p *Patch) Remove(it *Iter) {
	lo, hi := it.at, it.hi
	if next := space(it.b, hi); next < len(it.b) && it.b[next] == ',' {
		hi = space(it.b, next+1)
	} else {
		for lo > 0 && it.b[lo-1] != ',' && it.b[lo-1] != '{' {
			lo--
		}
		if lo > 0 && it.b[lo-1] == ',' {
			lo--
		}
	}
	p.ops = append(p.ops, op{lo: lo, hi: hi})
}

// Apply appends b with all edits made.
func (p *Patch) Apply(dst, b []byte) []byte {
	slices.SortStableFunc(p.ops, func(a, b op) int { return cmp.Or(cmp.Compare(a.lo, b.lo), cmp.Compare(a.hi, b.hi)) })
	at := 0
	for i, o := range p.ops {
		if o.lo < at || o.hi > len(b) {
			continue // overlaps an edit before it: the first wins
		}
		dst = append(dst, b[at:o.lo]...)
		dst = append(dst, p.text[o.from:o.to]...)
		if o.member && p.followed(b, i) {
			dst = append(dst, ',')
		}
		at = o.hi
	}
	return append(dst, b[at:]...)
}

// followed reports whether another member comes behind the one that ops[i] puts in.
func (p *Patch) followed(b []byte, i int) bool {
	at := p.ops[i].hi
	for _, o := range p.ops[i+1:] {
		if o.member && o.lo == at {
			return true
		}
		if o.from != o.to || o.lo != space(b, at) {
			break
		}
		at = o.hi // removed
	}
	at = space(b, at)
	return at < len(b) && b[at] != '}'
}

// Field is one member of an object that may have to be mended. The zero value is a member that is missing.
type Field struct {
	Raw    []byte // JSON text of the value
	Lo, Hi int    // where it lies in the text that was walked over
}

// Field returns the member that the iterator stands at.
func (it *Iter) Field() Field { return Field{it.Raw(), it.lo, it.hi} }

// Set gives a member of the object whose opening brace is at position open a value, whether it is there or not.
func (p *Patch) Set(open int, name string, f Field, value []byte) {
	if f.Raw == nil {
		p.Insert(open, name, value)
	} else {
		p.Replace(f.Lo, f.Hi, value)
	}
}

// Missing reports whether the field is absent, null or empty.
func (f Field) Missing() bool { return Empty(f.Raw) }
