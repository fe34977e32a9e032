package rawjson

import "slices"

// Iter walks over the members of an object or the elements of an array. Make one with Members or Elements.
type Iter struct {
	b     []byte
	next  int  // where the next member begins, or -1 when the text is broken
	close byte // what ends the container
	first bool

	key    []byte
	at     int // where the member begins: its key, or its value in an array
	lo, hi int // the value
}

// Members walks over the object that begins at or after b[at:], white space aside. Anything else has no members.
func Members(b []byte, at int) Iter { return open(b, at, '{', '}') }

// Elements walks over the array that begins at or after b[at:], white space aside. Anything else has no elements.
func Elements(b []byte, at int) Iter { return open(b, at, '[', ']') }

func open(b []byte, at int, open, end byte) Iter {
	it := Iter{b: b, next: -1, close: end, first: true}
	if at = space(b, at); at < len(b) && b[at] == open {
		it.next = at + 1
	}
	return it
}

// Next goes to the next member and reports whether there is one.
func (it *Iter) Next() bool {
	if it.next < 0 {
		return false
	}
	i := space(it.b, it.next)
	if i >= len(it.b) {
		return it.stop(-1)
	}
	if it.b[i] == it.close {
		return it.stop(i)
	}
	if !it.first {
		if it.b[i] != ',' {
			return it.stop(-1)
		}
		i = space(it.b, i+1)
	}
	it.first = false
	it.at = i
	if it.close == '}' {
		if i >= len(it.b) || it.b[i] != '"' {
			return it.stop(-1)
		}
		end := skipString(it.b, i)
		if end < 0 {
			return it.stop(-1)
		}
		it.key = it.b[i+1 : end-1]
		if i = space(it.b, end); i >= len(it.b) || it.b[i] != ':' {
			return it.stop(-1)
		}
		i = space(it.b, i+1)
	}
	it.lo, it.hi = i, skip(it.b, i)
	if it.hi < 0 {
		return it.stop(-1)
	}
	it.next = it.hi
	return true
}

// stop ends the walk: at the closing bracket, or, with -1, because the text is broken.
func (it *Iter) stop(at int) bool {
	it.next = -1
	it.lo, it.hi = at, at
	return false
}

// End returns the position of the closing bracket once Next has returned false, or -1 when the text is broken or the
// value is of another kind.
func (it *Iter) End() int {
	if it.next >= 0 || it.first && it.lo == 0 {
		return -1
	}
	return it.hi
}

// Key returns the name of the member, unescaped. It may be a part of the text.
func (it *Iter) Key() []byte {
	if slices.Contains(it.key, '\\') {
		return appendUnescaped(nil, it.key)
	}
	return it.key
}

// Raw returns the text of the value.
func (it *Iter) Raw() []byte { return it.b[it.lo:it.hi:it.hi] }

// Start returns where the member begins: its name, or in an array its value.
func (it *Iter) Start() int { return it.at }

// Span returns where the value lies in the text.
func (it *Iter) Span() (lo, hi int) { return it.lo, it.hi }

// Member returns where the member lies in the text: its key and its value, or an element.
func (it *Iter) Member() (lo, hi int) { return it.at, it.hi }

// Get follows keys from the object that raw is and returns the text of the value, or nil. Of members with the same
// name the last counts, as in the JSON decoders of most languages.
func Get(raw []byte, keys ...string) []byte {
	for _, key := range keys {
		var found []byte
		for it := Members(raw, 0); it.Next(); {
			if string(it.Key()) == key {
				found = it.Raw()
			}
		}
		if found == nil {
			return nil
		}
		raw = found
	}
	return raw
}
