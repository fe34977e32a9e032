package chat

import (
	"strconv"

	"detour/internal/dialect/rawjson"
	"detour/internal/llm"
)

// citation writes the source of what the text says.
func (e *encoder) citation(dst []byte, b *blockState, p *llm.Part) []byte {
	if p == nil || b.kind != llm.PartText {
		return dst
	}
	e.scratch = appendCitation(e.scratch[:0], p.Raw)
	if len(e.scratch) == 0 {
		return dst
	}
	dst = e.open(dst)
	dst = append(dst, `"annotations":[`...)
	dst = append(dst, e.scratch...)
	return closeDelta(append(dst, ']'))
}

// appendCitation appends an annotation for a citation in the words of Chat Completions, Responses or Messages. One that
// names no URL cannot be told here, and appends nothing.
func appendCitation(dst, raw []byte) []byte {
	if rawjson.Of(rawjson.Get(raw, "url_citation")) == rawjson.Object {
		return append(dst, raw...)
	}
	url := textOf(rawjson.Get(raw, "url"))
	if url == "" {
		return dst
	}
	dst = append(dst, `{"type":"url_citation","url_citation":{"url":`...)
	dst = rawjson.AppendString(dst, url)
	dst = append(dst, `,"title":`...)
	dst = rawjson.AppendString(dst, textOf(rawjson.Get(raw, "title")))
	for _, key := range []string{"start_index", "end_index"} {
		n, _ := rawjson.Int(rawjson.Get(raw, key))
		dst = append(dst, `,"`+key+`":`...)
		dst = strconv.AppendInt(dst, n, 10)
	}
	return append(dst, "}}"...)
}
