package messages

import (
	"encoding/base64"
	"strings"

	"detour/internal/dialect"
	"detour/internal/dialect/rawjson"
	"detour/internal/llm"
)

// material writes what both messages and tool results consist of. ok is false for a part that has nothing to say.
func (e *requestEncoder) material(p *llm.Part) (b piece, ok bool, err error) {
	b = piece{lo: len(e.buf), kind: p.Kind, cache: p.Cache != nil}
	text := p.Text
	switch p.Kind {
	case llm.PartText, llm.PartRefusal:
	case llm.PartImage, llm.PartFile:
		if p.Media == nil {
			return b, false, nil
		}
		if ok, err = e.media(p); ok || err != nil {
			b.hi = len(e.buf)
			return b, ok, err
		}
		text = omitted(p)
		e.lose(text[1 : len(text)-1])
	case llm.PartCompaction:
		if !blank(text) {
			text = "<summary>\n" + text + "\n</summary>"
			break
		}
		e.lose("compacted history of another model")
	case llm.PartOpaque:
		if e.native {
			e.buf = appendOpen(e.buf, p.Raw)
			b.hi = len(e.buf)
			return b, true, nil
		}
		e.lose("content that only its own dialect knows")
	default:
		return b, false, nil
	}
	if blank(text) {
		return b, false, nil
	}
	b.kind = llm.PartText
	e.buf = rawjson.AppendString(append(e.buf, `{"type":"text","text":`...), text)
	b.hi = len(e.buf)
	return b, true, nil
}

// omitted stands in the place of media that the model cannot see, so that neither side wonders.
func omitted(p *llm.Part) string {
	what := "document"
	if p.Kind == llm.PartImage {
		what = "image"
	}
	name := p.Media.Name
	if name == "" {
		name = p.Media.Type
	}
	if name != "" {
		what += " " + name
	}
	return "[" + what + " omitted: not supported by this model]"
}

// media writes an image or a document. ok is false, and nothing is written, for one that this dialect has no words for.
func (e *requestEncoder) media(p *llm.Part) (ok bool, err error) {
	m := *p.Media
	if rest, isData := strings.CutPrefix(m.URL, "data:"); isData {
		head, data, _ := strings.Cut(rest, ",")
		typ, encoded := strings.CutSuffix(head, ";base64")
		if !encoded {
			return false, nil
		}
		m.URL, m.Data = "", data
		if typ, _, _ = strings.Cut(typ, ";"); typ != "" {
			m.Type = typ
		}
	}
	switch {
	case strings.HasPrefix(m.Type, "audio/"), strings.HasPrefix(m.Type, "video/"):
		return false, dialect.InvalidRequest("", "the model cannot read input of type %s", m.Type)
	case p.Kind == llm.PartImage, strings.HasPrefix(m.Type, "image/"):
		return e.image(&m), nil
	}
	return e.document(&m), nil
}

func (e *requestEncoder) image(m *llm.Media) bool {
	const open = `{"type":"image","source":`
	switch {
	case m.Data != "":
		e.buf = rawjson.AppendString(append(e.buf, open+`{"type":"base64","media_type":`...), imageType(m))
		e.buf = rawjson.AppendString(append(e.buf, `,"data":`...), m.Data)
	case strings.HasPrefix(m.URL, "http"):
		e.buf = rawjson.AppendString(append(e.buf, open+`{"type":"url","url":`...), m.URL)
	case m.FileID != "" && e.native:
		e.buf = rawjson.AppendString(append(e.buf, open+`{"type":"file","file_id":`...), m.FileID)
	default:
		return false
	}
	e.buf = append(e.buf, '}')
	return true
}

// imageType returns the media type of an image, which some clients leave out or give as image/*.
func imageType(m *llm.Media) string {
	if m.Type == "image/jpg" {
		return "image/jpeg"
	}
	if strings.HasPrefix(m.Type, "image/") && m.Type != "image/*" {
		return m.Type
	}
	switch {
	case strings.HasPrefix(m.Data, "/9j/"):
		return "image/jpeg"
	case strings.HasPrefix(m.Data, "R0lGOD"):
		return "image/gif"
	case strings.HasPrefix(m.Data, "UklGR"):
		return "image/webp"
	}
	return "image/png"
}

func (e *requestEncoder) document(m *llm.Media) bool {
	const open = `{"type":"document","source":`
	text := m.Text
	if text == "" && m.Data != "" && (strings.HasPrefix(m.Type, "text/") || m.Type == "application/json") {
		plain, err := base64.StdEncoding.DecodeString(m.Data)
		if err != nil {
			return false
		}
		text = string(plain)
	}
	switch pdf := m.Type == "application/pdf" || m.Type == "" && strings.HasPrefix(m.Data, "JVBER"); {
	case !blank(text):
		e.buf = rawjson.AppendString(append(e.buf, open+`{"type":"text","media_type":"text/plain","data":`...), text)
	case m.Data != "" && pdf:
		e.buf = rawjson.AppendString(append(e.buf, open+`{"type":"base64","media_type":"application/pdf","data":`...), m.Data)
	case strings.HasPrefix(m.URL, "http") && (pdf || m.Type == ""):
		e.buf = rawjson.AppendString(append(e.buf, open+`{"type":"url","url":`...), m.URL)
	case m.FileID != "" && e.native:
		e.buf = rawjson.AppendString(append(e.buf, open+`{"type":"file","file_id":`...), m.FileID)
	default:
		return false
	}
	e.buf = append(e.buf, '}')
	if m.Name != "" {
		e.buf = rawjson.AppendString(append(e.buf, `,"title":`...), m.Name)
	}
	return true
}

// resultBlock writes a tool_result.
func (e *requestEncoder) resultBlock(wire string, p *llm.Part) (piece, error) {
	b := piece{kind: llm.PartResult, result: true, cache: p.Cache != nil}
	parts := p.Result.Parts
	var inner []piece
	for i := range parts {
		if parts[i].Cache != nil {
			b.cache = true
		}
		if len(parts) == 1 && parts[i].Kind == llm.PartText {
			break // written as a string
		}
		part, ok, err := e.material(&parts[i])
		if err != nil {
			return b, err
		}
		if part.cache = false; ok {
			inner = append(inner, part)
		}
	}
	b.lo = len(e.buf)
	e.buf = rawjson.AppendString(append(e.buf, `{"type":"tool_result","tool_use_id":`...), wire)
	e.buf = append(e.buf, `,"content":`...)
	switch {
	case len(parts) == 1 && parts[0].Kind == llm.PartText && !blank(parts[0].Text):
		e.buf = rawjson.AppendString(e.buf, parts[0].Text)
	case len(inner) > 0:
		e.buf = e.appendBlocks(e.buf, inner)
	case p.Result.IsError:
		e.buf = append(e.buf, `"Error"`...) // an error has to say something
	default:
		e.buf = append(e.buf, `""`...)
	}
	if p.Result.IsError {
		e.buf = append(e.buf, `,"is_error":true`...)
	}
	b.hi = len(e.buf)
	return b, nil
}
