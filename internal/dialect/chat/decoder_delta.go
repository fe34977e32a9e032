package chat

import (
	"slices"

	"detour/internal/dialect/rawjson"
	"detour/internal/llm"
)

// delta is what a choice adds to the message, or the message itself in a whole answer; all raw.
type delta struct {
	content, refusal, reasoning, opaque, calls, call, citations []byte
	rank                                                        int // of reasoning
}

// readDelta looks at a delta. Services have several words for reasoning; where one sends it in two of them, one counts.
func readDelta(raw []byte) (d delta) {
	think := func(rank int, raw []byte) {
		if rank > d.rank && !rawjson.Empty(raw) {
			d.rank, d.reasoning = rank, raw
		}
	}
	for it := rawjson.Members(raw, 0); it.Next(); {
		switch string(it.Key()) {
		case "content":
			d.content = it.Raw()
		case "refusal":
			d.refusal = it.Raw()
		case "reasoning_text":
			think(4, it.Raw())
		case "reasoning_content":
			think(3, it.Raw())
		case "reasoning":
			think(2, it.Raw())
		case "cot_summary":
			think(1, it.Raw())
		case "reasoning_opaque":
			d.opaque = it.Raw()
		case "tool_calls":
			d.calls = it.Raw()
		case "function_call":
			d.call = it.Raw()
		case "annotations":
			d.citations = it.Raw()
		}
	}
	return d
}

// delta appends the events of one delta: reasoning comes before text, and that before calls.
func (d *decoder) delta(dst []llm.Event, index int64, in delta) []llm.Event {
	if rawjson.Of(in.reasoning) == rawjson.String && !rawjson.Empty(in.reasoning) {
		dst = d.thinkingDelta(dst, in.reasoning)
	}
	if rawjson.Of(in.opaque) == rawjson.String && !rawjson.Empty(in.opaque) {
		dst = d.seal(dst, in.opaque)
	}
	dst = d.contentDelta(dst, index, in.content)
	if rawjson.Of(in.refusal) == rawjson.String && !rawjson.Empty(in.refusal) {
		dst = d.textDelta(dst, &d.refusal, llm.PartRefusal, in.refusal)
		d.refused = true
	}
	if d.text != none {
		for it := rawjson.Elements(in.citations, 0); it.Next(); {
			dst = append(dst, llm.Event{Kind: llm.EventCitation, Block: d.text, Part: &llm.Part{Raw: it.Raw()}})
		}
	}
	for it := rawjson.Elements(in.calls, 0); it.Next() && !d.ended; {
		if rawjson.Of(it.Raw()) == rawjson.Object {
			dst = d.fragment(dst, it.Raw())
		}
	}
	if rawjson.Of(in.call) == rawjson.Object && !d.ended {
		dst = d.legacyFragment(dst, in.call)
	}
	return dst
}

// unescape returns the string that raw quotes. It is valid until the next step.
func (d *decoder) unescape(raw []byte) []byte {
	if slices.Contains(raw, '\\') {
		from := len(d.buf)
		d.buf = rawjson.AppendText(d.buf, raw)
		return d.buf[from:len(d.buf):len(d.buf)]
	}
	return raw[1 : len(raw)-1]
}

// contentDelta takes content, which some services send in parts. Of choices that are alternatives the first with text
// counts.
func (d *decoder) contentDelta(dst []llm.Event, index int64, raw []byte) []llm.Event {
	switch rawjson.Of(raw) {
	case rawjson.String:
		if rawjson.Empty(raw) {
			return dst
		}
		if d.textChoice == none {
			d.textChoice = index
		}
		if index == d.textChoice {
			dst = d.textDelta(dst, &d.text, llm.PartText, raw)
		}
	case rawjson.Array:
		for it := rawjson.Elements(raw, 0); it.Next(); {
			if text := rawjson.Get(it.Raw(), "text"); rawjson.Of(text) == rawjson.String {
				dst = d.contentDelta(dst, index, text)
			}
			if refusal := rawjson.Get(it.Raw(), "refusal"); rawjson.Of(refusal) == rawjson.String && !rawjson.Empty(refusal) {
				d.refused = true
				dst = d.textDelta(dst, &d.refusal, llm.PartRefusal, refusal)
			}
		}
	}
	return dst
}

// textDelta continues the block of a kind, or begins one.
func (d *decoder) textDelta(dst []llm.Event, block *int, kind llm.PartKind, raw []byte) []llm.Event {
	if *block == none {
		dst = d.stopBlock(dst, &d.thinking)
		dst = d.stopBlock(dst, &d.text)
		dst = d.stopBlock(dst, &d.refusal)
		dst, *block = d.block(dst, &llm.Part{Kind: kind})
	}
	return append(dst, llm.Event{Kind: llm.EventText, Block: *block, Delta: d.unescape(raw)})
}

func (d *decoder) thinkingDelta(dst []llm.Event, raw []byte) []llm.Event {
	if d.thinking == none {
		dst = d.stopBlock(dst, &d.text)
		dst = d.stopBlock(dst, &d.refusal)
		dst, d.thinking = d.block(dst, &llm.Part{Kind: llm.PartThinking})
	}
	return append(dst, llm.Event{Kind: llm.EventThinking, Block: d.thinking, Delta: d.unescape(raw)})
}

// seal takes replay state. It closes the reasoning that is open; without any it is a block by itself, because models
// send it as late as behind the text.
func (d *decoder) seal(dst []llm.Event, raw []byte) []llm.Event {
	if d.thinking == none {
		dst = d.stopBlock(dst, &d.text)
		dst = d.stopBlock(dst, &d.refusal)
		dst, d.thinking = d.block(dst, &llm.Part{Kind: llm.PartThinking})
	}
	opaque := llm.Opaque{Kind: llm.OpaqueChat, Value: textOf(raw)}
	dst = append(dst, llm.Event{Kind: llm.EventSeal, Block: d.thinking, Part: &llm.Part{Kind: llm.PartThinking, Opaque: opaque}})
	return d.stopBlock(dst, &d.thinking)
}
