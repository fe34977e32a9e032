package chat

import (
	"slices"
	"strings"

	"detour/internal/dialect/rawjson"
	"detour/internal/llm"
)

// results writes the tool messages that answer calls, in the order of the calls. A call that nothing answers gets a
// result all the same unless the conversation ends with it: upstreams insist on one. Images that a tool message cannot
// hold come in a user message behind the last of them.
func (e *requestEncoder) results(calls []pairedCall, last bool) {
	lifted := false
	for i := range calls {
		c := &calls[i]
		if c.result == nil && last {
			continue
		}
		e.open("tool")
		e.str("tool_call_id", c.wire)
		e.out = append(e.out, `,"content":`...)
		if c.result == nil {
			e.out = append(e.out, `"[no output]"`...)
		} else if e.result(c.result) {
			lifted = true
		}
		e.close(false)
	}
	if !lifted {
		return
	}
	w := contentWriter{e: e, message: true}
	for i := range calls {
		c := &calls[i]
		if c.result == nil || !hasImage(c.result.Parts) {
			continue
		}
		w.text("Images from the result of " + c.wire + ":")
		for j := range c.result.Parts {
			if p := &c.result.Parts[j]; p.Kind == llm.PartImage && showable(p.Media) {
				w.part(p)
			}
		}
	}
	w.end()
}

// result writes the content of a tool message and reports whether it has images that must go elsewhere.
func (e *requestEncoder) result(r *llm.Result) (lifted bool) {
	images := hasImage(r.Parts)
	var b strings.Builder
	add := func(s string) {
		if s == "" {
			return
		}
		if b.Len() > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(s)
	}
	for i := range r.Parts {
		switch p := &r.Parts[i]; p.Kind {
		case llm.PartText, llm.PartRefusal:
			add(p.Text)
		case llm.PartImage:
			if !showable(p.Media) {
				add(e.describe(p))
			} else if !e.t.ToolImages {
				add("[image attached below]")
			}
		default:
			add(e.describe(p))
		}
	}
	text := b.String()
	if r.IsError && !isErrorText(text) {
		text = "Error: " + text
	}
	if !images || !e.t.ToolImages {
		e.out = rawjson.AppendString(e.out, text)
		return images
	}
	w := contentWriter{e: e}
	w.text(text)
	for i := range r.Parts {
		if p := &r.Parts[i]; p.Kind == llm.PartImage && showable(p.Media) {
			w.part(p)
		}
	}
	w.end()
	return false
}

// hasImage reports whether there is an image that can be shown.
func hasImage(parts []llm.Part) bool {
	return slices.ContainsFunc(parts, func(p llm.Part) bool { return p.Kind == llm.PartImage && showable(p.Media) })
}

func isErrorText(s string) bool {
	return strings.HasPrefix(s, "<tool_use_error>") || strings.HasPrefix(s, "Error") || strings.HasPrefix(s, "error")
}

// user writes a user message: a string if there is only text. Results have been written behind their calls; one
// without a call is told in words.
func (e *requestEncoder) user(t *llm.Turn) {
	w := contentWriter{e: e, message: true}
	for i := range t.Parts {
		p := &t.Parts[i]
		if p.Kind != llm.PartResult {
			w.part(p)
			continue
		}
		if p.Result == nil || !e.orphan[p.Result] {
			continue
		}
		for j := range p.Result.Parts {
			if j == 0 {
				w.text("[tool result " + p.Result.ID + "]")
			}
			w.part(&p.Result.Parts[j])
		}
	}
	w.end()
}
