package chat

import (
	"strconv"
	"strings"

	"detour/internal/dialect"
	"detour/internal/dialect/rawjson"
	"detour/internal/llm"
)

// carrierPrefix begins what the router packs foreign replay state into.
const carrierPrefix = "dtr1."

// clientOpaque is replay state as a client sent it.
func clientOpaque(kind llm.OpaqueKind, value string) llm.Opaque {
	switch {
	case value == "":
		return llm.Opaque{}
	case strings.HasPrefix(value, carrierPrefix):
		kind = llm.OpaqueCarrier
	}
	return llm.Opaque{Kind: kind, Value: value}
}

func itoa(n int) string { return strconv.Itoa(n) }

// part is a content part; its members are raw.
type part struct {
	typ, text, image, detail, file, source, cache []byte
	raw                                           []byte
}

// part appends element i of the content at path. Beside the parts of Chat Completions there are those of Responses and
// the blocks of Messages, which some clients mix in.
func (d *requestDecoder) part(dst []llm.Part, parent string, i int, raw []byte) ([]llm.Part, error) {
	path := func() string { return dialect.Index(parent, i) }
	if rawjson.Of(raw) == rawjson.String { // as good as a text part
		if !rawjson.Empty(raw) {
			dst = append(dst, llm.Part{Text: d.text(raw)})
		}
		return dst, nil
	}
	if kind := rawjson.Of(raw); kind != rawjson.Object {
		return nil, dialect.InvalidRequest(path(), "must be an object, not %s", kind)
	}
	in := part{raw: raw}
	for it := rawjson.Members(raw, 0); it.Next(); {
		switch string(it.Key()) {
		case "type":
			in.typ = it.Raw()
		case "text":
			in.text = it.Raw()
		case "image_url":
			in.image = it.Raw()
		case "detail":
			in.detail = it.Raw()
		case "file":
			in.file = it.Raw()
		case "source":
			in.source = it.Raw()
		case "cache_control":
			in.cache = it.Raw()
		}
	}
	var p llm.Part
	switch typ := string(rawjson.Text(in.typ)); typ {
	case "text", "input_text", "output_text", "":
		if rawjson.Of(in.text) != rawjson.String {
			return nil, dialect.InvalidRequest(path()+".text", "must be a string, not %s", rawjson.Of(in.text))
		}
		if rawjson.Empty(in.text) {
			return dst, nil
		}
		p.Text = d.text(in.text)
	case "refusal":
		p = llm.Part{Kind: llm.PartRefusal, Text: textOf(rawjson.Get(raw, "refusal"))}
	case "image_url", "input_image":
		media, err := d.image(path, in)
		if err != nil {
			return nil, err
		}
		p = llm.Part{Kind: llm.PartImage, Media: media}
	case "file":
		p = llm.Part{Kind: llm.PartFile, Media: d.file(in.file)}
	case "input_file":
		p = llm.Part{Kind: llm.PartFile, Media: d.file(raw)}
	case "input_audio":
		return nil, dialect.InvalidRequest(path(), "audio input cannot be translated for this model")
	default:
		block, err := d.block(path, typ, in)
		if err != nil {
			return nil, err
		}
		p = block
	}
	p.Cache = readCache(in.cache)
	return append(dst, p), nil
}

// image takes an image_url part, whose image_url may be the URL itself.
func (d *requestDecoder) image(path func() string, in part) (*llm.Media, error) {
	url, detail := in.image, in.detail
	if rawjson.Of(url) == rawjson.Object {
		detail = rawjson.Get(in.image, "detail")
		url = rawjson.Get(in.image, "url")
	}
	media := &llm.Media{Detail: textOf(detail), FileID: textOf(rawjson.Get(in.raw, "file_id"))}
	if rawjson.Empty(url) && media.FileID != "" {
		return media, nil
	}
	if rawjson.Of(url) != rawjson.String || rawjson.Empty(url) {
		return nil, dialect.InvalidRequest(path()+".image_url.url", "must be a URL or a data URL")
	}
	setURL(media, textOf(url))
	return media, nil
}

// file takes a file: a data URL, bare base64, the id of an upload, or (in Responses) a URL.
func (d *requestDecoder) file(raw []byte) *llm.Media {
	media := &llm.Media{
		FileID: textOf(rawjson.Get(raw, "file_id")),
		Name:   textOf(rawjson.Get(raw, "filename")),
		URL:    textOf(rawjson.Get(raw, "file_url")),
	}
	switch data := textOf(rawjson.Get(raw, "file_data")); {
	case strings.HasPrefix(data, "data:"):
		setURL(media, data)
	case data != "":
		media.Data = data
		if strings.HasSuffix(strings.ToLower(media.Name), ".pdf") {
			media.Type = "application/pdf"
		}
	}
	return media
}

// setURL notes where the bytes of media are. Those of a data URL are in it.
func setURL(media *llm.Media, url string) {
	head, data, found := strings.Cut(url, ",")
	typ, isData := strings.CutPrefix(head, "data:")
	typ, base64 := strings.CutSuffix(typ, ";base64")
	if !found || !isData || !base64 {
		media.URL = url
		return
	}
	media.Type, _, _ = strings.Cut(typ, ";")
	media.Data = data
}

// block takes a block in the words of Messages. One of a kind that nobody knows here is kept as it is.
func (d *requestDecoder) block(path func() string, typ string, in part) (llm.Part, error) {
	switch typ {
	case "tool_use":
		call := &llm.Call{ID: textOf(rawjson.Get(in.raw, "id")), Arguments: "{}"}
		if err := readName(path()+".name", rawjson.Get(in.raw, "name"), &call.Name); err != nil {
			return llm.Part{}, err
		}
		if input := rawjson.Get(in.raw, "input"); rawjson.Of(input) == rawjson.Object {
			call.Arguments = string(input)
		}
		d.opened(call)
		return llm.Part{Kind: llm.PartCall, Call: call}, nil
	case "tool_result":
		id := d.answered(textOf(rawjson.Get(in.raw, "tool_use_id")), "")
		if id == "" {
			return llm.Part{}, dialect.InvalidRequest(path()+".tool_use_id", "is required")
		}
		result := &llm.Result{ID: id, Kind: d.kinds[id], IsError: string(rawjson.Get(in.raw, "is_error")) == "true"}
		var err error
		result.Parts, err = d.content(nil, path()+".content", rawjson.Get(in.raw, "content"))
		return llm.Part{Kind: llm.PartResult, Result: result}, err
	case "thinking":
		opaque := clientOpaque(llm.OpaqueSignature, textOf(rawjson.Get(in.raw, "signature")))
		return llm.Part{Kind: llm.PartThinking, Text: textOf(rawjson.Get(in.raw, "thinking")), Opaque: opaque}, nil
	case "redacted_thinking":
		opaque := clientOpaque(llm.OpaqueRedacted, textOf(rawjson.Get(in.raw, "data")))
		return llm.Part{Kind: llm.PartThinking, Redacted: true, Opaque: opaque}, nil
	case "tool_reference":
		return llm.Part{Text: "[Loaded tool: " + textOf(rawjson.Get(in.raw, "tool_name")) + "]"}, nil
	case "image":
		return llm.Part{Kind: llm.PartImage, Media: source(in)}, nil
	case "document":
		return llm.Part{Kind: llm.PartFile, Media: source(in)}, nil
	}
	return llm.Part{Kind: llm.PartOpaque, Raw: in.raw}, nil
}

// source takes the source of an image or a document in the words of Messages.
func source(in part) *llm.Media {
	media := &llm.Media{
		Type:   textOf(rawjson.Get(in.source, "media_type")),
		URL:    textOf(rawjson.Get(in.source, "url")),
		FileID: textOf(rawjson.Get(in.source, "file_id")),
		Name:   textOf(rawjson.Get(in.raw, "title")),
	}
	data := textOf(rawjson.Get(in.source, "data"))
	if textOf(rawjson.Get(in.source, "type")) == "text" {
		media.Text = data
	} else {
		media.Data = data
	}
	return media
}
