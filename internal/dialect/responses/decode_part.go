package responses

import (
	"bytes"
	"strings"

	"detour/internal/dialect"
	"detour/internal/dialect/rawjson"
	"detour/internal/llm"
)

// textParts makes parts of a JSON string. An empty text is none.
func (d *requestDecoder) textParts(raw []byte) []llm.Part {
	if rawjson.Empty(raw) {
		return nil
	}
	return []llm.Part{{Kind: llm.PartText, Text: d.str(raw)}}
}

// parts reads the content of a message or the output of a tool: a string or a list of parts.
func (d *requestDecoder) parts(in *inputItem, member string, raw []byte) ([]llm.Part, error) {
	switch kind := rawjson.Of(raw); kind {
	case rawjson.None, rawjson.Null:
		return nil, nil
	case rawjson.String:
		return d.textParts(raw), nil
	case rawjson.Array:
	default:
		return nil, dialect.InvalidRequest(in.path(member), "must be a string or an array, not %s", kind)
	}
	var parts []llm.Part
	it := rawjson.Elements(raw, 0)
	for i := 0; it.Next(); i++ {
		path := func() string { return dialect.Index(in.path(member), i) }
		if kind := rawjson.Of(it.Raw()); kind != rawjson.Object {
			return nil, dialect.InvalidRequest(path(), "must be an object, not %s", kind)
		}
		p, ok, err := d.part(path, it.Raw())
		if err != nil {
			return nil, err
		}
		if ok {
			parts = append(parts, p)
		}
	}
	return parts, nil
}

// part reads one part. ok is false for a part that says nothing.
func (d *requestDecoder) part(path func() string, raw []byte) (p llm.Part, ok bool, err error) {
	switch typ := string(rawjson.Text(rawjson.Get(raw, "type"))); typ {
	case "input_text", "output_text", "text", "summary_text", "reasoning_text":
		text, annotations := textOf(raw)
		if kind := rawjson.Of(text); kind != rawjson.String {
			return p, false, dialect.InvalidRequest(path()+".text", "must be a string, not %s", kind)
		}
		p = llm.Part{Kind: llm.PartText, Text: d.str(text)}
		for it := rawjson.Elements(annotations, 0); it.Next(); {
			p.Citations = append(p.Citations, it.Raw())
		}
		return p, p.Text != "", nil
	case "refusal":
		p = llm.Part{Kind: llm.PartRefusal, Text: string(rawjson.Text(rawjson.Get(raw, "refusal")))}
		return p, p.Text != "", nil
	case "input_image", "image_url", "computer_screenshot":
		p = llm.Part{Kind: llm.PartImage, Media: readImage(raw)}
		if p.Media.Data == "" && p.Media.URL == "" && p.Media.FileID == "" {
			return p, false, dialect.InvalidRequest(path(), "needs image_url or file_id")
		}
		return p, true, nil
	case "input_file", "file":
		m := readFile(raw)
		if m.Data == "" && m.URL == "" && m.FileID == "" && m.Text == "" {
			return p, false, dialect.InvalidRequest(path(), "needs file_data, file_url or file_id")
		}
		return llm.Part{Kind: llm.PartFile, Media: m}, true, nil
	case "":
		return p, false, dialect.InvalidRequest(path()+".type", "is required")
	case "input_audio":
		return p, false, dialect.InvalidRequest(path(), "audio is not supported")
	default:
		return p, false, dialect.InvalidRequest(path()+".type", "%q is not supported", typ)
	}
}

// textOf returns the members of a part that is text.
func textOf(raw []byte) (text, annotations []byte) {
	for it := rawjson.Members(raw, 0); it.Next(); {
		switch string(it.Key()) {
		case "text":
			text = it.Raw()
		case "annotations":
			annotations = it.Raw()
		}
	}
	return text, annotations
}

func readImage(raw []byte) *llm.Media {
	m := &llm.Media{
		FileID: string(rawjson.Text(rawjson.Get(raw, "file_id"))),
		Detail: string(rawjson.Text(rawjson.Get(raw, "detail"))),
	}
	url := rawjson.Get(raw, "image_url")
	if rawjson.Of(url) == rawjson.Object { // as Chat writes it
		m.Detail = string(rawjson.Text(rawjson.Get(url, "detail")))
		url = rawjson.Get(url, "url")
	}
	locate(m, rawjson.Text(url))
	return m
}

func readFile(raw []byte) *llm.Media {
	if inner := rawjson.Get(raw, "file"); rawjson.Of(inner) == rawjson.Object { // as Chat writes it
		raw = inner
	}
	m := &llm.Media{
		FileID: string(rawjson.Text(rawjson.Get(raw, "file_id"))),
		Name:   string(rawjson.Text(rawjson.Get(raw, "filename"))),
		URL:    string(rawjson.Text(rawjson.Get(raw, "file_url"))),
	}
	if data := rawjson.Text(rawjson.Get(raw, "file_data")); bytes.HasPrefix(data, []byte("data:")) {
		locate(m, data)
	} else {
		m.Data = string(data)
	}
	if m.Type == "" && m.Data != "" && (m.Name == "" || strings.HasSuffix(strings.ToLower(m.Name), ".pdf")) {
		m.Type = "application/pdf"
	}
	return m
}

// locate reads a URL, which may hold the data itself.
func locate(m *llm.Media, url []byte) {
	rest, ok := bytes.CutPrefix(url, []byte("data:"))
	typ, data, found := bytes.Cut(rest, []byte(","))
	base, is64 := bytes.CutSuffix(typ, []byte(";base64"))
	if !ok || !found || !is64 {
		m.URL = string(url)
		return
	}
	base, _, _ = bytes.Cut(base, []byte(";"))
	m.Type, m.Data = string(base), string(data)
}
