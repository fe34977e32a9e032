package responses

import (
	"cmp"
	"slices"

	"detour/internal/dialect/rawjson"
)

// placed is an item of the stream when the output at its end repeats the items. What is not known of it is empty.
type placed struct {
	index  int64
	typ    string
	callID string
}

func placedItem(item []byte) placed {
	return placed{typ: typeOf(item), callID: string(rawjson.Text(rawjson.Get(item, "call_id")))}
}

// alike reports whether both may be the same kind of item.
func (p placed) alike(q placed) bool { return p.typ == "" || q.typ == "" || p.typ == q.typ }

// same reports whether both may be the same item.
func (p placed) same(q placed) bool {
	return p.alike(q) && (p.callID == "" || q.callID == "" || p.callID == q.callID)
}

// places returns the output_index of each item of an output: its place there, unless the stream's indexes have gaps or
// the output leaves items out. An item that is taken for a new one would be said twice, and a call would be made twice.
func places(output []byte, known []placed) []int64 {
	slices.SortFunc(known, func(a, b placed) int { return cmp.Compare(a.index, b.index) })
	var items []placed
	for it := rawjson.Elements(output, 0); it.Next() && len(items) <= maxItems; {
		items = append(items, placedItem(it.Raw()))
	}
	at := make([]int64, len(items))
	switch {
	case slices.EqualFunc(items, known, placed.alike):
		for i := range at {
			at[i] = known[i].index
		}
	case inPlace(items, known):
		for i := range at {
			at[i] = int64(i)
		}
	default:
		align(at, items, known)
	}
	return at
}

// inPlace reports whether the output may have each item of the stream at its index.
func inPlace(items, known []placed) bool {
	for _, k := range known {
		if k.index < 0 || k.index >= int64(len(items)) || !k.alike(items[k.index]) {
			return false
		}
	}
	return true
}

// align finds the items of an output among those of the stream, in their order. Others come behind.
func align(at []int64, items, known []placed) {
	next := int64(0)
	if n := len(known); n > 0 {
		next = known[n-1].index + 1
	}
	from := 0
	for i, item := range items {
		if k := slices.IndexFunc(known[from:], item.same); k >= 0 {
			at[i] = known[from+k].index
			from += k + 1
			continue
		}
		at[i] = next
		next++
	}
}
