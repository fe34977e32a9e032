package responses

import (
	"bytes"
	"cmp"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"

	"detour/internal/dialect"
	"detour/internal/dialect/rawjson"
	"detour/internal/sse"
)

const (
	maxID    = 64       // bytes of an item id that clients and upstreams are known to take
	maxItems = 1024     // output items of an answer that are mended
	maxKept  = 16 << 20 // bytes of finished items that are kept for a terminal event without output

	// mintMark is in each id that is made up here, so that Unseal knows it again.
	mintMark = "_dtr1x"
)

// item is what is known of one output item. Its place in tap.items is the output_index that the client sees.
type item struct {
	index    int64  // the upstream's own output_index
	id       []byte // JSON text, the same in all events for the client
	added    bool   // output_item.added went out
	finished bool   // output_item.done went out
	done     []byte // the finished item as the client got it, nil if it is not kept
	parts    int    // content parts that were announced
	summary  int    // summary parts that were announced
	sealed   sealed // its blob
	blank    dialect.BlankRun
}

// itemAt returns the place of the item with the upstream's output_index, made if it is new, or -1 when there are too
// many to follow. raw is the id that the event gives it, typ its type if the event says so.
func (t *tap) itemAt(index int64, raw []byte, typ string) int {
	for i := range slices.Backward(t.items) {
		if t.items[i].index == index {
			return i
		}
	}
	if len(t.items) == maxItems {
		return -1
	}
	id := bytes.Clone(raw)
	if rawjson.Of(raw) != rawjson.String || rawjson.Empty(raw) || len(raw) > maxID+2 {
		id = mint(typ, raw, t.id, len(t.items))
	}
	t.items = append(t.items, item{index: index, id: id})
	return len(t.items) - 1
}

// typeOf returns the type of an item.
func typeOf(item []byte) string { return string(rawjson.Text(rawjson.Get(item, "type"))) }

// mint makes an id that follows from what the upstream sent, so that it is the same every time.
func mint(typ string, raw, response []byte, place int) []byte {
	h := fnv.New128a()
	_, _ = h.Write(response)
	_, _ = h.Write(raw)
	_, _ = h.Write(strconv.AppendInt(nil, int64(place), 10))
	return fmt.Appendf(nil, `"%s%s%x"`, idPrefix(typ), mintMark, h.Sum(nil))
}

// idPrefix returns how the ids of items of a type begin.
func idPrefix(typ string) string {
	switch typ {
	case "message":
		return "msg"
	case "reasoning":
		return "rs"
	case "function_call":
		return "fc"
	case "custom_tool_call":
		return "ctc"
	case "web_search_call":
		return "ws"
	case "tool_search_call":
		return "tsc"
	case "tool_search_output":
		return "tso"
	case "compaction":
		return "cmp"
	case "shell_call", "local_shell_call":
		return "sh"
	case "shell_call_output":
		return "sho"
	case "apply_patch_call":
		return "apc"
	}
	return "item"
}

// mendItem returns the text of an item with the id that the client knows, its blob sealed and what clients need filled
// in. It returns raw itself if nothing is missing. done says that the item is finished.
func (t *tap) mendItem(raw []byte, it *item, done bool) []byte {
	var id, typ, summary, status rawjson.Field
	open := bytes.IndexByte(raw, '{')
	for m := rawjson.Members(raw, 0); m.Next(); {
		switch string(m.Key()) {
		case "id":
			id = m.Field()
		case "type":
			typ = m.Field()
		case "summary":
			summary = m.Field()
		case "status":
			status = m.Field()
		}
	}
	p := &t.inner
	p.Reset()
	if !bytes.Equal(id.Raw, it.id) {
		p.Set(open, "id", id, it.id)
	}
	switch string(typ.Raw) {
	case `"reasoning"`:
		if rawjson.Of(summary.Raw) != rawjson.Array {
			p.Set(open, "summary", summary, []byte("[]"))
		}
	case `"custom_tool_call"`:
		if done && status.Missing() {
			p.Set(open, "status", status, []byte(`"completed"`))
		}
	}
	seal(p, raw, t.o.Seal, &it.sealed)
	restoreReserved(p, raw, t.o.Reserved)
	if p.Empty() {
		return raw
	}
	return p.Apply(nil, raw)
}

// onItem follows output_item.added and output_item.done.
func (t *tap) onItem(dst []byte, h *head, done bool) []byte {
	if rawjson.Of(h.item.Raw) != rawjson.Object {
		return dst
	}
	i := t.itemAt(h.outputIndex(), rawjson.Get(h.item.Raw, "id"), typeOf(h.item.Raw))
	if i < 0 {
		return dst
	}
	it := &t.items[i]
	t.place(h, i)
	it.sealed = sealed{} // this event has blob and id as they belong together
	mended := t.mendItem(h.item.Raw, it, done)
	if len(mended) != len(h.item.Raw) || !bytes.Equal(mended, h.item.Raw) {
		t.patch.Replace(h.item.Lo, h.item.Hi, mended)
	}
	if done {
		if !it.added {
			dst = t.appendItem(dst, "response.output_item.added", i, beginning(mended))
		}
		t.keep(it, mended)
	}
	it.added = true
	return dst
}

// keep notes that an item is finished, and the item itself as long as that is little.
func (t *tap) keep(it *item, text []byte) {
	it.finished = true
	if t.kept += len(text); t.kept <= maxKept {
		it.done = bytes.Clone(text)
	}
}

// beginning returns an item as it is announced: without what comes later.
func beginning(raw []byte) []byte {
	var p rawjson.Patch
	for it := rawjson.Members(raw, 0); it.Next(); {
		lo, hi := it.Span()
		switch string(it.Key()) {
		case "content", "summary":
			if rawjson.Of(it.Raw()) == rawjson.Array {
				p.Replace(lo, hi, []byte("[]"))
			}
		case "arguments", "input":
			if rawjson.Of(it.Raw()) == rawjson.String {
				p.Replace(lo, hi, []byte(`""`))
			}
		case "status":
			p.Replace(lo, hi, []byte(`"in_progress"`))
		}
	}
	return p.Apply(nil, raw)
}

// appendItem appends an event about an item that the upstream left out.
func (t *tap) appendItem(dst []byte, typ string, i int, item []byte) []byte {
	event := fmt.Appendf(nil, `{"type":"%s","sequence_number":%d,"output_index":%d,"item":%s}`, typ, t.takeNumber(), i, item)
	return sse.AppendFrame(dst, typ, event)
}

// announce makes sure that the item of an event has been announced, and the part that the event is about. The type of
// an item that was not follows from the event, except for calls: without the tool's name there is nothing to announce.
func (t *tap) announce(dst []byte, h *head, i int) []byte {
	it := &t.items[i]
	kind := partOf(h.typ)
	if kind == textPart && string(rawjson.Get(h.announced, "type")) == `"reasoning_text"` {
		kind = reasoningPart
	}
	if !it.added && kind != noPart {
		it.added = true
		stub := fmt.Appendf(nil, `{"id":%s,"type":"message","role":"assistant","status":"in_progress","content":[]}`, it.id)
		if kind == summaryPart || kind == reasoningPart {
			stub = fmt.Appendf(nil, `{"id":%s,"type":"reasoning","summary":[]}`, it.id)
		}
		dst = t.appendItem(dst, "response.output_item.added", i, stub)
	}
	if kind == noPart {
		return dst
	}
	known, name, key, n := &it.parts, "response.content_part.added", "content_index", h.part
	if kind == summaryPart {
		known, name, key, n = &it.summary, "response.reasoning_summary_part.added", "summary_index", h.summary
	}
	if h.announced != nil && bytes.HasSuffix(h.typ, []byte("_part.added")) {
		*known = max(*known, int(min(n, maxItems))+1)
		return dst
	}
	for ; int64(*known) <= n && *known < maxItems; *known++ {
		event := fmt.Appendf(nil, `{"type":"%s","sequence_number":%d,"item_id":%s,"output_index":%d,"%s":%d,"part":%s}`,
			name, t.takeNumber(), it.id, i, key, *known, kind.empty())
		dst = sse.AppendFrame(dst, name, event)
	}
	return dst
}

// finishItems appends the done events of items that are only in the output of the terminal event, and the added events
// where those are missing too.
func (t *tap) finishItems(dst []byte, output [][]byte) []byte {
	for i, text := range output {
		if text == nil || t.items[i].finished {
			continue
		}
		it := &t.items[i]
		if !it.added {
			it.added = true
			dst = t.appendItem(dst, "response.output_item.added", i, beginning(text))
		}
		it.finished = true
		dst = t.appendItem(dst, "response.output_item.done", i, text)
	}
	return dst
}

// collected returns the output array made of the items that were finished, in the upstream's order. It is empty when
// they are too large to be kept: a part of them would pass for the whole.
func (t *tap) collected() []byte {
	if t.kept > maxKept {
		return []byte("[]")
	}
	order := make([]*item, 0, len(t.items))
	for i := range t.items {
		if t.items[i].done != nil {
			order = append(order, &t.items[i])
		}
	}
	slices.SortStableFunc(order, func(a, b *item) int { return cmp.Compare(a.index, b.index) })
	out := []byte("[")
	for i, it := range order {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, it.done...)
	}
	return append(out, ']')
}
