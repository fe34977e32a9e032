package responses

import (
	"bytes"
	"slices"

	"detour/internal/dialect"
	"detour/internal/dialect/rawjson"
)

// ItemPage says which of the items that an answer was made from are listed.
type ItemPage struct {
	After  string // the id of the item before the first, "" for the beginning
	Limit  int
	Oldest bool // begins with the oldest item, not with the newest
}

// AppendItemList appends the list of items, given in pieces with commas between the items of each. Items have what an
// item of such a list has even if the client left it out when it sent them; those without an id get one that is the same
// every time. The error is a *dialect.Failure.
func AppendItemList(dst []byte, page ItemPage, pieces ...[]byte) ([]byte, error) {
	items := listed(pieces)
	if !page.Oldest {
		slices.Reverse(items)
	}
	if page.After != "" {
		at := slices.IndexFunc(items, func(i listedItem) bool { return string(rawjson.Text(i.id)) == page.After })
		if at < 0 {
			return dst, dialect.InvalidRequest("after", "Item with id '%s' not found.", clipID(page.After))
		}
		items = items[at+1:]
	}
	more := len(items) > page.Limit
	items = items[:min(len(items), page.Limit)]
	dst = append(dst, `{"object":"list","data":[`...)
	first, last := []byte("null"), []byte("null")
	for i, item := range items {
		if i == 0 {
			first = item.id
		} else {
			dst = append(dst, ',')
		}
		last = item.id
		dst = item.append(dst)
	}
	dst = append(append(dst, `],"first_id":`...), first...)
	dst = append(append(dst, `,"last_id":`...), last...)
	if more {
		return append(dst, `,"has_more":true}`...), nil
	}
	return append(dst, `,"has_more":false}`...), nil
}

// listedItem is an item with its id as JSON text.
type listedItem struct{ text, id []byte }

func listed(pieces [][]byte) []listedItem {
	all := []byte{'['}
	for _, p := range pieces {
		if len(all) > 1 && len(p) > 0 {
			all = append(all, ',')
		}
		all = append(all, p...)
	}
	all = append(all, ']')
	var items []listedItem
	for it := rawjson.Elements(all, 0); it.Next(); {
		id := rawjson.Get(it.Raw(), "id")
		if rawjson.Of(id) != rawjson.String || rawjson.Empty(id) {
			id = mint(listedType(it.Raw()), it.Raw(), nil, len(items))
		}
		items = append(items, listedItem{it.Raw(), id})
	}
	return items
}

// listedType is the type of an item, which messages may leave out.
func listedType(item []byte) string {
	if typ := typeOf(item); typ != "" || rawjson.Get(item, "role") == nil {
		return typ
	}
	return "message"
}

// append appends the item with what a client may leave out.
func (i listedItem) append(dst []byte) []byte {
	if rawjson.Of(i.text) != rawjson.Object {
		return append(dst, i.text...)
	}
	var p rawjson.Patch
	var id, typ, status, role, content rawjson.Field
	for it := rawjson.Members(i.text, 0); it.Next(); {
		switch string(it.Key()) {
		case "id":
			id = it.Field()
		case "type":
			typ = it.Field()
		case "status":
			status = it.Field()
		case "role":
			role = it.Field()
		case "content":
			content = it.Field()
		}
	}
	open := bytes.IndexByte(i.text, '{')
	p.Set(open, "id", id, i.id)
	if listedType(i.text) == "message" {
		if typ.Missing() {
			p.Set(open, "type", typ, []byte(`"message"`))
		}
		if status.Missing() {
			p.Set(open, "status", status, []byte(`"completed"`))
		}
		if rawjson.Of(content.Raw) == rawjson.String {
			p.Set(open, "content", content, listedContent(role.Raw, content.Raw))
		}
	}
	return p.Apply(dst, i.text)
}

// listedContent is the content of a message that is no more than a text.
func listedContent(role, text []byte) []byte {
	if string(role) == `"assistant"` {
		return slices.Concat([]byte(`[{"type":"output_text","text":`), text, []byte(`,"annotations":[]}]`))
	}
	return slices.Concat([]byte(`[{"type":"input_text","text":`), text, []byte(`}]`))
}
