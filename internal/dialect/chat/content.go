package chat

import (
	"encoding/base64"
	"strings"

	"detour/internal/dialect"
	"detour/internal/dialect/rawjson"
	"detour/internal/llm"
)

// contentWriter writes a message's content. Text is held back, because a content of nothing but text is a string.
type contentWriter struct {
	e       *requestEncoder
	message bool // writes a whole user message, none if it has nothing to say
	held    string
	parts   int // written to an array
}

// text takes text. Pieces are joined with blank lines.
func (w *contentWriter) text(s string) { w.held = joined(w.held, s) }

// part takes a part.
func (w *contentWriter) part(p *llm.Part) {
	switch p.Kind {
	case llm.PartText, llm.PartRefusal:
		w.text(p.Text)
	case llm.PartImage:
		if showable(p.Media) {
			w.image(p.Media)
		} else {
			w.text(w.e.describe(p))
		}
	case llm.PartFile:
		if m := p.Media; m != nil && w.e.t.Files && m.Text == "" && (m.Data != "" || m.FileID != "") {
			w.file(m)
		} else {
			w.text(w.e.describe(p))
		}
	case llm.PartOpaque:
		if w.e.r.Source == string(dialect.Chat) && rawjson.Of(p.Raw) == rawjson.Object {
			w.element()
			w.e.out = append(w.e.out, p.Raw...)
		} else {
			w.e.loseMedia(p)
		}
	case llm.PartCompaction:
		if p.Text == "" {
			w.e.lose("compaction")
			return
		}
		w.text(summaryText(p.Text))
	}
}

// summaryText words what stands for earlier turns.
func summaryText(s string) string { return "<summary>\n" + s + "\n</summary>" }

// begin opens the message.
func (w *contentWriter) begin() {
	if w.message {
		w.e.open("user")
		w.e.out = append(w.e.out, `,"content":`...)
	}
}

// element begins an element of the array, behind the text that was held back.
func (w *contentWriter) element() {
	if text := w.held; text != "" {
		w.held = ""
		w.element()
		w.e.out = append(w.e.out, `{"type":"text","text":`...)
		w.e.out = rawjson.AppendString(w.e.out, text)
		w.e.out = append(w.e.out, '}')
	}
	if w.parts == 0 {
		w.begin()
		w.e.out = append(w.e.out, '[')
	} else {
		w.e.out = append(w.e.out, ',')
	}
	w.parts++
}

// end ends the content, and the message.
func (w *contentWriter) end() {
	switch {
	case w.parts == 0 && w.held == "" && w.message:
		return
	case w.parts == 0:
		w.begin()
		w.e.out = rawjson.AppendString(w.e.out, w.held)
	case w.held != "":
		text := w.held
		w.held = ""
		w.element()
		w.e.out = append(w.e.out, `{"type":"text","text":`...)
		w.e.out = rawjson.AppendString(w.e.out, text)
		w.e.out = append(w.e.out, "}]"...)
	default:
		w.e.out = append(w.e.out, ']')
	}
	if w.message {
		w.e.close(false)
	}
}

// image writes an image. Of the details only low and high are known everywhere.
func (w *contentWriter) image(m *llm.Media) {
	w.element()
	w.e.out = append(w.e.out, `{"type":"image_url","image_url":{"url":`...)
	w.e.dataURL(m, "image/png")
	if m.Detail == "low" || m.Detail == "high" {
		w.e.str("detail", m.Detail)
	}
	w.e.out = append(w.e.out, "}}"...)
}

// file writes a file.
func (w *contentWriter) file(m *llm.Media) {
	w.element()
	w.e.out = append(w.e.out, `{"type":"file","file":{`...)
	if m.Data != "" {
		name := m.Name
		if name == "" {
			name = "document.pdf"
		}
		w.e.out = append(w.e.out, `"filename":`...)
		w.e.out = rawjson.AppendString(w.e.out, name)
		w.e.out = append(w.e.out, `,"file_data":`...)
		w.e.dataURL(m, "application/pdf")
	} else {
		w.e.out = append(w.e.out, `"file_id":`...)
		w.e.out = rawjson.AppendString(w.e.out, m.FileID)
	}
	w.e.out = append(w.e.out, "}}"...)
}

// dataURL writes where the bytes of m are, as a string.
func (e *requestEncoder) dataURL(m *llm.Media, typ string) {
	if m.Data == "" {
		e.out = rawjson.AppendString(e.out, m.URL)
		return
	}
	if m.Type != "" {
		typ = m.Type
	}
	e.out = rawjson.AppendString(e.out, "data:"+typ+";base64,")
	e.out = e.out[:len(e.out)-1]
	from := len(e.out)
	e.out = rawjson.AppendString(e.out, m.Data)
	e.out = append(e.out[:from], e.out[from+1:]...) // without the quote between the two
}

// showable reports whether an image's bytes, or where they are, can be said.
func showable(m *llm.Media) bool { return m != nil && (m.Data != "" || m.URL != "") }

// describe returns what can be told in words of an image or a file that cannot be sent: the text of a text document,
// else that there was one. The model sees that, and so does whoever reads the log.
func (e *requestEncoder) describe(p *llm.Part) string {
	m := p.Media
	if m == nil {
		e.loseMedia(p)
		return ""
	}
	text := m.Text
	if text == "" && strings.HasPrefix(m.Type, "text/") {
		plain, err := base64.StdEncoding.DecodeString(m.Data)
		if err == nil {
			text = string(plain)
		}
	}
	switch {
	case text != "" && m.Name != "":
		return m.Name + "\n" + text
	case text != "":
		return text
	}
	e.loseMedia(p)
	what := "document"
	if p.Kind == llm.PartImage {
		what = "image"
	}
	if m.Name != "" {
		what += " " + m.Name
	}
	return "[" + what + " omitted: not supported by this model]"
}

// loseMedia notes a part that was left out.
func (e *requestEncoder) loseMedia(p *llm.Part) {
	switch p.Kind {
	case llm.PartImage:
		e.lose("image")
	case llm.PartFile:
		e.lose("document")
	case llm.PartCompaction:
		e.lose("compaction")
	default:
		what := textOf(rawjson.Get(p.Raw, "type"))
		if what == "" {
			what = "content of an unknown kind"
		}
		e.lose(what)
	}
}
