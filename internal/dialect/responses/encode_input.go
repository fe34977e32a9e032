package responses

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"detour/internal/dialect"
	"detour/internal/dialect/rawjson"
	"detour/internal/llm"
)

// inputWriter appends items with commas between them.
type inputWriter struct {
	*requestEncoder
	dst   []byte
	first int // where the items begin
}

// begin appends what stands before an item.
func (w *inputWriter) begin(typ string) {
	if len(w.dst) > w.first {
		w.dst = append(w.dst, ',')
	}
	w.dst = append(append(append(w.dst, `{"type":"`...), typ...), '"')
}

// input appends the conversation. What is appended for a turn depends on no later turn but the results of its calls, so
// that a conversation that grows keeps its beginning.
func (e *requestEncoder) input(dst []byte) []byte {
	w := inputWriter{e, dst, len(dst)}
	for i := e.trim(); i < len(e.r.Turns); i++ {
		t := &e.r.Turns[i]
		switch t.Role {
		case llm.RoleUser:
			w.user(t)
		case llm.RoleSystem:
			w.message("developer", "", t.Parts)
		case llm.RoleAssistant:
			w.assistant(t)
		}
	}
	if e.r.Compact {
		w.begin("compaction_trigger")
		w.dst = append(w.dst, '}')
	}
	return w.dst
}

// trim returns the turn with which the input begins. A compaction that the model itself put behind the turns which it
// stands for replaces them. Where only messages precede it, the client has chosen those that stay.
func (e *requestEncoder) trim() int {
	at := 0
	replaced := false
	for i := range e.r.Turns {
		for j := range e.r.Turns[i].Parts {
			switch p := &e.r.Turns[i].Parts[j]; p.Kind {
			case llm.PartCall, llm.PartResult, llm.PartThinking:
				replaced = true
			case llm.PartCompaction:
				if replaced && p.Opaque.Kind == llm.OpaqueEncrypted {
					at = i
				}
			}
		}
	}
	return at
}

// user appends what came to the model: results that belong to no call turn, then the rest.
func (w *inputWriter) user(t *llm.Turn) {
	for i := range t.Parts {
		p := &t.Parts[i]
		switch {
		case p.Kind == llm.PartOpaque:
			w.opaque(p)
		case p.Kind == llm.PartResult && p.Result != nil && w.pairs.results[p.Result] == nil:
			w.orphan(p.Result)
		}
	}
	w.message("user", "", t.Parts)
}

// assistant appends what the model made, in order, and then what its calls were answered.
func (w *inputWriter) assistant(t *llm.Turn) {
	var blob llm.Opaque
	for i := 0; i < len(t.Parts); i++ {
		p := &t.Parts[i]
		switch p.Kind {
		case llm.PartText, llm.PartRefusal:
			w.message("assistant", t.Phase, t.Parts[i:i+1])
		case llm.PartThinking:
			if p.Opaque.Kind != llm.OpaqueEncrypted {
				w.lose("thinking of another model")
			} else if p.Opaque != blob {
				blob = p.Opaque
				w.sealed("reasoning", &p.Opaque)
			}
		case llm.PartCompaction:
			if p.Opaque.Kind == llm.OpaqueEncrypted {
				w.sealed("compaction", &p.Opaque)
			} else {
				w.lose("compaction of another model")
			}
		case llm.PartCall:
			if p.Call != nil {
				w.call(p.Call)
			}
		case llm.PartOpaque:
			w.opaque(p)
		default:
			w.lose("media that the model made")
		}
	}
	for i := range t.Parts {
		if c := t.Parts[i].Call; c != nil {
			w.answer(w.pairs.calls[c])
		}
	}
}

// sealed appends an item that only its model can read, with the id that it is bound to.
func (w *inputWriter) sealed(typ string, o *llm.Opaque) {
	w.begin(typ)
	if o.ID != "" && !strings.Contains(o.ID, mintMark) {
		w.dst = appendMember(w.dst, "id", o.ID)
	}
	if typ == "reasoning" {
		w.dst = append(w.dst, `,"summary":[]`...)
	}
	w.dst = append(appendMember(w.dst, "encrypted_content", o.Value), '}')
}

// opaque appends an item of this dialect as it was. Ids that were made up here are unknown to the upstream.
func (w *inputWriter) opaque(p *llm.Part) {
	if w.r.Source != string(dialect.Responses) || rawjson.Of(p.Raw) != rawjson.Object {
		w.lose("parts that only the " + w.r.Source + " dialect knows")
		return
	}
	if len(w.dst) > w.first {
		w.dst = append(w.dst, ',')
	}
	var patch rawjson.Patch
	for it := rawjson.Members(p.Raw, 0); it.Next(); {
		if string(it.Key()) == "id" && bytes.Contains(it.Raw(), []byte(mintMark)) {
			patch.Remove(&it)
			break
		}
	}
	w.dst = patch.Apply(w.dst, p.Raw)
}

// call appends a call in the way in which its tool is declared.
func (w *inputWriter) call(c *llm.Call) {
	id := w.pairs.calls[c].id
	name := w.names.Wire(c.Namespace, c.Name)
	switch {
	case c.Kind == llm.ToolCustom && w.t.CustomTools:
		w.begin("custom_tool_call")
		w.dst = appendMember(appendMember(appendMember(w.dst, "call_id", id), "name", name), "input", c.Arguments)
	case c.Kind == llm.ToolNative && w.isNative(c.Type):
		w.begin(c.Type + "_call")
		w.dst = appendNative(appendMember(w.dst, "call_id", id), c.Type, c.Arguments)
		w.dst = append(w.dst, `,"status":"completed"`...)
	default:
		arguments := c.Arguments
		switch {
		case c.Kind == llm.ToolCustom:
			arguments = string(dialect.Wrap(arguments))
		case arguments == "":
			arguments = "{}"
		}
		w.begin("function_call")
		w.dst = appendMember(w.dst, "call_id", id)
		if w.inNamespace(c.Namespace) {
			name = c.Name
			w.dst = appendMember(w.dst, "namespace", c.Namespace)
		}
		w.dst = appendMember(appendMember(w.dst, "name", name), "arguments", arguments)
	}
	w.dst = append(w.dst, '}')
}

// answer appends the result of a call. The API refuses a call without one, except at the end.
func (w *inputWriter) answer(c *pair) {
	if c == nil || c.result == nil && !c.after {
		return
	}
	switch {
	case c.call.Kind == llm.ToolCustom && w.t.CustomTools:
		w.begin("custom_tool_call_output")
	case c.call.Kind == llm.ToolNative && w.isNative(c.call.Type):
		w.begin(c.call.Type + "_call_output")
	default:
		w.begin("function_call_output")
	}
	w.dst = append(appendMember(w.dst, "call_id", c.id), `,"output":`...)
	switch {
	case c.result == nil:
		w.dst = append(w.dst, `"[no output]"`...)
	case c.call.Kind == llm.ToolNative && c.call.Type == "shell" && w.isNative("shell"):
		w.dst = append(w.dst, `[{"stdout":`...)
		w.dst = rawjson.AppendString(w.dst, resultText(c.result))
		w.dst = append(w.dst, `,"stderr":"","outcome":{"type":"exit","exit_code":`...)
		w.dst = append(append(w.dst, exitCode(c.result)), "}}]"...)
	default:
		w.output(c.result)
	}
	if c.call.Kind == llm.ToolNative && c.call.Type == "apply_patch" && w.isNative("apply_patch") {
		status := "completed"
		if c.result == nil || c.result.IsError {
			status = "failed"
		}
		w.dst = appendMember(w.dst, "status", status)
	}
	w.dst = append(w.dst, '}')
}

func exitCode(r *llm.Result) byte {
	if r.IsError {
		return '1'
	}
	return '0'
}

// resultText joins the texts of a result. The dialect has no word for an error, so the text says it.
func resultText(r *llm.Result) string {
	var texts []string
	for i := range r.Parts {
		if r.Parts[i].Kind == llm.PartText {
			texts = append(texts, r.Parts[i].Text)
		}
	}
	text := strings.Join(texts, "\n")
	if r.IsError && !strings.HasPrefix(text, "<tool_use_error>") && !strings.HasPrefix(text, "Error") {
		return "Error: " + text
	}
	return text
}

// output appends what a tool gave: a string, or parts where there are images or files.
func (w *inputWriter) output(r *llm.Result) {
	text := resultText(r)
	if !slices.ContainsFunc(r.Parts, func(p llm.Part) bool { return p.Kind == llm.PartImage || p.Kind == llm.PartFile }) {
		w.dst = rawjson.AppendString(w.dst, text)
		return
	}
	parts := r.Parts
	if r.IsError && (parts[0].Kind != llm.PartText || !strings.HasPrefix(text, parts[0].Text)) {
		parts = append([]llm.Part{{Kind: llm.PartText, Text: "Error:"}}, parts...)
	}
	w.dst = append(w.dst, '[')
	w.parts("input_text", parts)
	w.dst = append(w.dst, ']')
}

// orphan appends the result of a call that is not in the history, as text.
func (w *inputWriter) orphan(r *llm.Result) {
	parts := slices.DeleteFunc(slices.Clone(r.Parts), func(p llm.Part) bool { return p.Kind == llm.PartText && p.Text == "" })
	if len(parts) == 0 {
		return
	}
	head := "[tool result " + r.ID + "]"
	if parts[0].Kind == llm.PartText {
		parts[0].Text = head + " " + parts[0].Text
	} else {
		parts = append([]llm.Part{{Kind: llm.PartText, Text: head}}, parts...)
	}
	w.message("user", "", parts)
}

// message appends a message of those parts that belong into one, if there are any.
func (w *inputWriter) message(role, phase string, parts []llm.Part) {
	from := len(w.dst)
	w.begin("message")
	w.dst = append(appendMember(w.dst, "role", role), `,"content":[`...)
	text := "input_text"
	if role == "assistant" {
		text = "output_text"
	}
	if w.parts(text, parts) == 0 {
		w.dst = w.dst[:from]
		return
	}
	w.dst = append(w.dst, ']')
	if phase != "" {
		w.dst = appendMember(w.dst, "phase", phase)
	}
	w.dst = append(w.dst, '}')
}

// parts appends those parts that a message can hold and returns how many.
func (w *inputWriter) parts(text string, parts []llm.Part) int {
	n := 0
	for i := range parts {
		p := &parts[i]
		from := len(w.dst)
		if n > 0 {
			w.dst = append(w.dst, ',')
		}
		switch {
		case p.Kind == llm.PartText && p.Text != "":
			w.dst = appendMember(append(append(append(w.dst, `{"type":"`...), text...), '"'), "text", p.Text)
			if text == "output_text" {
				w.dst = append(w.annotations(w.dst, p.Citations), ']')
			}
			w.dst = append(w.dst, '}')
		case p.Kind == llm.PartRefusal && p.Text != "":
			w.dst = append(appendMember(append(w.dst, `{"type":"refusal"`...), "refusal", p.Text), '}')
		case p.Kind == llm.PartImage && p.Media != nil:
			w.image(p.Media)
		case p.Kind == llm.PartFile && p.Media != nil:
			w.file(p.Media)
		default:
			w.dst = w.dst[:from]
			continue
		}
		n++
	}
	return n
}

// annotations appends annotations of this dialect up to the closing bracket; those of another are dropped.
func (w *inputWriter) annotations(dst []byte, citations []json.RawMessage) []byte {
	dst = append(dst, `,"annotations":[`...)
	if w.r.Source != string(dialect.Responses) {
		return dst
	}
	for i, c := range citations {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, c...)
	}
	return dst
}

func (w *inputWriter) image(m *llm.Media) {
	w.dst = append(w.dst, `{"type":"input_image"`...)
	switch {
	case m.FileID != "":
		w.dst = appendMember(w.dst, "file_id", m.FileID)
	case m.Data != "":
		w.dst = append(w.dst, `,"image_url":`...)
		w.data(m, "image/png")
	default:
		w.dst = appendMember(w.dst, "image_url", m.URL)
	}
	if m.Detail == "low" || m.Detail == "high" {
		w.dst = appendMember(w.dst, "detail", m.Detail)
	}
	w.dst = append(w.dst, '}')
}

// data appends a data URL.
func (w *inputWriter) data(m *llm.Media, otherwise string) {
	typ := m.Type
	if typ == "" {
		typ = otherwise
	}
	w.dst = rawjson.AppendString(w.dst, "data:"+typ+";base64,"+m.Data)
}

func (w *inputWriter) file(m *llm.Media) {
	name := m.Name
	if m.Text != "" {
		text := m.Text
		if name != "" {
			text = name + "\n\n" + text
		}
		w.dst = append(appendMember(append(w.dst, `{"type":"input_text"`...), "text", text), '}')
		return
	}
	w.dst = append(w.dst, `{"type":"input_file"`...)
	switch {
	case m.FileID != "":
		w.dst = appendMember(w.dst, "file_id", m.FileID)
	case m.Data != "":
		if name == "" {
			name = "document.pdf"
		}
		w.dst = append(appendMember(w.dst, "filename", name), `,"file_data":`...)
		w.data(m, "application/pdf")
	default:
		w.dst = appendMember(w.dst, "file_url", m.URL)
	}
	w.dst = append(w.dst, '}')
}
