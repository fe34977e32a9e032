package gemini

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"mime"
	"net/url"
	pathpkg "path"
	"strconv"
	"strings"
	"unicode/utf8"

	"detour/internal/dialect"
	"detour/internal/dialect/rawjson"
	"detour/internal/llm"
)

// content reads contents[i]. What the model said in several contents on end is one turn: clients that keep a streamed
// answer as it came have one content for each chunk of it.
func (d *decoder) content(i int, raw []byte, at *path) error {
	if err := object(raw, at); err != nil {
		return err
	}
	var role, parts []byte
	for it := rawjson.Members(raw, 0); it.Next(); {
		switch string(camel(it.Key())) {
		case "role":
			role = it.Raw()
		case "parts":
			parts = it.Raw()
		}
	}
	who, err := speaker(role, at)
	if err != nil {
		return err
	}
	if who != llm.RoleAssistant || d.turn.role != who {
		d.endTurn()
		d.turn.role = who
	}
	return each(parts, at.member("parts"), func(j int, raw []byte, at *path) error {
		return d.part(raw, at, i, j)
	})
}

func speaker(raw []byte, at *path) (llm.Role, error) {
	role, err := text(raw, at.member("role"))
	if err != nil {
		return 0, err
	}
	switch role {
	case "model", "assistant":
		return llm.RoleAssistant, nil
	case "", "user", "function", "tool":
		return llm.RoleUser, nil
	case "system", "developer":
		return llm.RoleSystem, nil
	}
	return 0, dialect.InvalidRequest(at.member("role").String(), "must be user or model, not %q", role)
}

// endTurn puts the turn that was gathered into the request.
func (d *decoder) endTurn() {
	d.turn.flush()
	if len(d.turn.parts) > 0 {
		d.r.Turns = append(d.r.Turns, llm.Turn{Role: d.turn.role, Parts: d.turn.parts})
	}
	d.turn.parts = nil
}

// part reads contents[i].parts[j].
func (d *decoder) part(raw []byte, at *path, i, j int) error {
	p, err := readPart(raw, at)
	if err != nil {
		return err
	}
	model := d.turn.role == llm.RoleAssistant
	var seal llm.Opaque
	if model {
		seal = opaque(p.signature)
	}
	if !p.thought {
		// Beside anything but a thought it is the state of the thinking that led to the part.
		d.turn.seal(seal)
		seal = llm.Opaque{}
	}
	switch p.kind {
	case partText:
		kind := llm.PartText
		if p.thought && model {
			kind = llm.PartThinking
		}
		d.turn.say(kind, rawjson.Text(p.raw))
	case partInline:
		err = d.inline(p.raw, at.member("inlineData"), d.turn.add)
	case partFile:
		err = d.file(p.raw, at.member("fileData"), d.turn.add)
	case partCall:
		if !model {
			return dialect.InvalidRequest(at.member("functionCall").String(), "belongs into a content of role model")
		}
		err = d.call(p.raw, at.member("functionCall"), i, j)
	case partResponse:
		if d.turn.role != llm.RoleUser {
			return dialect.InvalidRequest(at.member("functionResponse").String(), "belongs into a content of role user")
		}
		err = d.result(p.raw, at.member("functionResponse"), i, j)
	case partOther:
		d.turn.add(llm.Part{Kind: llm.PartOpaque, Raw: raw})
	}
	d.turn.seal(seal)
	return err
}

// positional is the id of a call or result that has none. It depends only on where it is, which does not change as a
// conversation grows.
func positional(i, j int) string { return "call_" + strconv.Itoa(i) + "_" + strconv.Itoa(j) }

func (d *decoder) call(raw []byte, at *path, i, j int) error {
	if err := object(raw, at); err != nil {
		return err
	}
	c := llm.Call{Arguments: "{}"}
	var err error
	for it := rawjson.Members(raw, 0); it.Next() && err == nil; {
		switch v := it.Raw(); string(it.Key()) {
		case "id":
			c.ID, err = text(v, at.member("id"))
		case "name":
			c.Name, err = text(v, at.member("name"))
		case "args":
			switch rawjson.Of(v) {
			case rawjson.Object:
				c.Arguments = string(v)
			case rawjson.Null:
			default:
				err = at.member("args").wrong("an object", v)
			}
		}
	}
	switch {
	case err != nil:
		return err
	case c.Name == "":
		return dialect.InvalidRequest(at.member("name").String(), "is required")
	case c.ID == "":
		c.ID = positional(i, j)
	}
	d.calls.add(c.ID, c.Name)
	d.turn.add(llm.Part{Kind: llm.PartCall, Call: &c})
	return nil
}

func (d *decoder) result(raw []byte, at *path, i, j int) error {
	if err := object(raw, at); err != nil {
		return err
	}
	var r llm.Result
	var response, parts []byte
	var err error
	for it := rawjson.Members(raw, 0); it.Next() && err == nil; {
		switch v := it.Raw(); string(it.Key()) {
		case "id":
			r.ID, err = text(v, at.member("id"))
		case "name":
			r.Name, err = text(v, at.member("name"))
		case "response":
			response = v
		case "parts":
			parts = v
		}
	}
	if err != nil {
		return err
	}
	if r.ID == "" && r.Name == "" {
		return dialect.InvalidRequest(at.member("name").String(), "is required")
	}
	if r.ID = d.calls.answer(r.ID, r.Name); r.ID == "" {
		r.ID = positional(i, j)
	}
	var said string
	if said, r.IsError = responseText(response); said != "" {
		r.Parts = append(r.Parts, llm.Part{Kind: llm.PartText, Text: said})
	}
	add := func(p llm.Part) { r.Parts = append(r.Parts, p) }
	err = each(parts, at.member("parts"), func(_ int, raw []byte, at *path) error {
		p, err := readPart(raw, at)
		switch {
		case err != nil:
			return err
		case p.kind == partInline:
			return d.inline(p.raw, at.member("inlineData"), add)
		case p.kind == partFile:
			return d.file(p.raw, at.member("fileData"), add)
		case p.kind == partText:
			add(llm.Part{Kind: llm.PartText, Text: string(rawjson.Text(p.raw))})
		}
		return nil
	})
	d.turn.add(llm.Part{Kind: llm.PartResult, Result: &r})
	return err
}

// responseText makes text of what a function answered: the string itself where it is the only member under one of the
// names that the API documents for it, else the whole as JSON.
func responseText(raw []byte) (said string, isError bool) {
	if rawjson.Of(raw) != rawjson.Object {
		if rawjson.Of(raw) == rawjson.String {
			return string(rawjson.Text(raw)), false
		}
		return compact(raw), false
	}
	var only []byte
	n := 0
	for it := rawjson.Members(raw, 0); it.Next(); n++ {
		switch v := it.Raw(); string(it.Key()) {
		case "output", "result":
			only = v
		case "error":
			only, isError = v, !rawjson.Empty(v)
		}
	}
	if n == 1 && rawjson.Of(only) == rawjson.String {
		return string(rawjson.Text(only)), isError
	}
	return compact(raw), isError
}

// compact returns JSON text without the white space between its tokens. It is otherwise unchanged.
func compact(raw []byte) string {
	if rawjson.Of(raw) == rawjson.Null || rawjson.Empty(raw) && rawjson.Of(raw) != rawjson.Object {
		return ""
	}
	if bytes.IndexByte(raw, '\n') < 0 && bytes.IndexByte(raw, ' ') < 0 && bytes.IndexByte(raw, '\t') < 0 {
		return string(raw)
	}
	var b bytes.Buffer
	if json.Compact(&b, raw) != nil {
		return string(raw)
	}
	return b.String()
}

// inline reads a blob and adds the part that it is.
func (d *decoder) inline(raw []byte, at *path, add func(llm.Part)) error {
	if err := object(raw, at); err != nil {
		return err
	}
	var m llm.Media
	var err error
	for it := rawjson.Members(raw, 0); it.Next() && err == nil; {
		switch v := it.Raw(); string(camel(it.Key())) {
		case "mimeType":
			m.Type, err = text(v, at.member("mimeType"))
		case "data":
			m.Data, err = text(v, at.member("data"))
		case "displayName":
			m.Name, err = text(v, at.member("displayName"))
		}
	}
	switch {
	case err != nil:
		return err
	case m.Data == "":
		return dialect.InvalidRequest(at.member("data").String(), "is required")
	case m.Type == "":
		return dialect.InvalidRequest(at.member("mimeType").String(), "is required")
	}
	m.Type = bareType(m.Type)
	if strings.ContainsAny(m.Data, "-_") { // both alphabets of RFC 4648 are taken here, one elsewhere
		m.Data = strings.NewReplacer("-", "+", "_", "/").Replace(m.Data)
	}
	if n := len(m.Data) % 4; n > 1 {
		m.Data += "=="[:4-n]
	}
	kind, err := mediaKind(m.Type, at)
	if err != nil {
		return err
	}
	if isText(m.Type) {
		said, err := base64.StdEncoding.DecodeString(m.Data)
		if err != nil {
			return dialect.InvalidRequest(at.member("data").String(), "must be base64")
		}
		if utf8.Valid(said) {
			m.Data, m.Text = "", string(said)
		}
	}
	add(llm.Part{Kind: kind, Media: &m})
	return nil
}

// file reads a reference and adds the part that it is. Upstreams can fetch only what anyone can.
func (d *decoder) file(raw []byte, at *path, add func(llm.Part)) error {
	if err := object(raw, at); err != nil {
		return err
	}
	var m llm.Media
	var err error
	for it := rawjson.Members(raw, 0); it.Next() && err == nil; {
		switch v := it.Raw(); string(camel(it.Key())) {
		case "mimeType":
			m.Type, err = text(v, at.member("mimeType"))
		case "fileUri":
			m.URL, err = text(v, at.member("fileUri"))
		case "displayName":
			m.Name, err = text(v, at.member("displayName"))
		}
	}
	if err != nil {
		return err
	}
	u, err := url.Parse(m.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "generativelanguage.googleapis.com" {
		return dialect.InvalidRequest(at.member("fileUri").String(), "must be an http or https URL that needs no key: uploaded files are not available here")
	}
	if m.Type = bareType(m.Type); m.Type == "" {
		m.Type = bareType(mime.TypeByExtension(pathpkg.Ext(u.Path)))
	}
	kind, err := mediaKind(m.Type, at)
	if err != nil {
		return err
	}
	add(llm.Part{Kind: kind, Media: &m})
	return nil
}

// bareType cuts the parameters off a media type.
func bareType(t string) string {
	t, _, _ = strings.Cut(t, ";")
	return strings.ToLower(strings.TrimSpace(t))
}

func isText(t string) bool { return strings.HasPrefix(t, "text/") || t == "application/json" }

func mediaKind(t string, at *path) (llm.PartKind, error) {
	switch family, _, _ := strings.Cut(t, "/"); family {
	case "image":
		return llm.PartImage, nil
	case "audio", "video":
		return 0, dialect.InvalidRequest(at.member("mimeType").String(), "%s is not supported: only images and documents are", t)
	}
	return llm.PartFile, nil
}
