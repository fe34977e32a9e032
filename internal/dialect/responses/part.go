package responses

import "bytes"

// part is what kind of part of an item an event is about.
type part uint8

const (
	noPart part = iota
	textPart
	refusalPart
	reasoningPart
	summaryPart
)

// partOf returns what an event with text, such as response.output_text.delta, is about.
func partOf(typ []byte) part {
	typ, ok := bytes.CutPrefix(typ, []byte("response."))
	switch {
	case !ok:
		return noPart
	case bytes.HasPrefix(typ, []byte("output_text.")), bytes.HasPrefix(typ, []byte("content_part.")):
		return textPart
	case bytes.HasPrefix(typ, []byte("refusal.")):
		return refusalPart
	case bytes.HasPrefix(typ, []byte("reasoning_text.")):
		return reasoningPart
	case bytes.HasPrefix(typ, []byte("reasoning_summary_")):
		return summaryPart
	}
	return noPart
}

// empty returns the JSON text of a part as it is announced.
func (p part) empty() string {
	switch p {
	case refusalPart:
		return `{"type":"refusal","refusal":""}`
	case reasoningPart:
		return `{"type":"reasoning_text","text":""}`
	case summaryPart:
		return `{"type":"summary_text","text":""}`
	}
	return `{"type":"output_text","text":"","annotations":[]}`
}
