package gemini

import (
	"bytes"

	"detour/internal/dialect"
	"detour/internal/dialect/rawjson"
	"detour/internal/llm"
)

// Peek is what dialect.Format.Peek is for the other dialects. It serves all methods.
func (c Codec) Peek(body []byte) (dialect.Peek, error) {
	b, err := dialect.ReadBody(body)
	if err != nil {
		return dialect.Peek{}, err
	}
	raw := body
	if inner := wholeRequest(body); inner != nil {
		raw = inner
		if m := rawjson.Get(raw, "model"); m != nil {
			b.Model = m
		}
	}
	p := dialect.Peek{Stream: c.Stream}
	if p.Model, err = c.model(b.Model); err != nil {
		return p, err
	}
	var contents, system []byte
	for it := rawjson.Members(raw, 0); it.Next(); {
		switch string(camel(it.Key())) {
		case "contents":
			contents = it.Raw()
		case "systemInstruction":
			system = it.Raw()
		}
	}
	var g dialect.Gist
	if rawjson.Of(system) == rawjson.String {
		g.System(system)
	}
	_ = each(rawjson.Get(system, "parts"), nil, func(_ int, raw []byte, _ *path) error {
		g.System(rawjson.Get(raw, "text"))
		return nil
	})
	if err := each(contents, (*path)(nil).member("contents"), func(_ int, raw []byte, at *path) error {
		return peekContent(&g, raw, at)
	}); err != nil {
		return p, err
	}
	g.Into(&p)
	return p, nil
}

// peekContent looks into one content.
func peekContent(g *dialect.Gist, raw []byte, at *path) error {
	if err := object(raw, at); err != nil {
		return err
	}
	who, err := speaker(rawjson.Get(raw, "role"), at)
	if err != nil {
		return err
	}
	switch who {
	case llm.RoleSystem:
		return nil
	case llm.RoleAssistant:
		g.Turn(llm.InitiatorAgent, false)
	}
	parts := rawjson.Get(raw, "parts")
	by, answered, said := llm.InitiatorAgent, false, false
	err = each(parts, at.member("parts"), func(_ int, raw []byte, at *path) error {
		p, err := readPart(raw, at)
		switch p.kind {
		case partNone:
		case partResponse:
			answered = true
			g.Vision = g.Vision || hasImage(rawjson.Get(p.raw, "parts"))
		case partText:
			said = said || !dialect.IsReminder(p.raw)
		default:
			g.Vision = g.Vision || isImage(p)
		}
		return err
	})
	if err != nil || who == llm.RoleAssistant {
		return err
	}
	// Clients put files that a function read beside its result; only words of a person are a person's turn.
	if said || !answered {
		by = llm.InitiatorUser
	}
	g.Turn(by, true)
	return each(parts, nil, func(_ int, raw []byte, _ *path) error {
		if p, err := readPart(raw, nil); err == nil && p.kind == partText {
			g.UserText(p.raw)
		}
		return nil
	})
}

func hasImage(parts []byte) (found bool) {
	for it := rawjson.Elements(parts, 0); it.Next(); {
		if p, err := readPart(it.Raw(), nil); err == nil {
			found = found || isImage(p)
		}
	}
	return found
}

func isImage(p part) bool {
	if p.kind != partInline && p.kind != partFile {
		return false
	}
	for it := rawjson.Members(p.raw, 0); it.Next(); {
		if string(camel(it.Key())) == "mimeType" {
			return bytes.HasPrefix(rawjson.Text(it.Raw()), []byte("image/"))
		}
	}
	return p.kind == partFile
}
