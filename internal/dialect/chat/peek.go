package chat

import (
	"detour/internal/dialect"
	"detour/internal/dialect/rawjson"
	"detour/internal/llm"
)

// Peek implements dialect.Format.
func (Format) Peek(body []byte) (dialect.Peek, error) {
	b, err := dialect.ReadBody(body)
	if err != nil {
		return dialect.Peek{}, err
	}
	p, err := b.Peek()
	if err != nil {
		return p, err
	}
	var messages []byte
	for it := b.Members(); it.Next(); {
		switch string(it.Key()) {
		case "messages":
			messages = it.Raw()
		case "prompt_cache_key":
			p.Session = string(rawjson.Text(it.Raw()))
		}
	}
	switch kind := rawjson.Of(messages); kind {
	case rawjson.Array:
	case rawjson.None:
		return p, dialect.InvalidRequest("messages", "is required")
	default:
		return p, dialect.InvalidRequest("messages", "must be an array, not %s", kind)
	}
	var g dialect.Gist
	it := rawjson.Elements(messages, 0)
	for i := 0; it.Next(); i++ {
		if err := peekMessage(&g, it.Raw(), i); err != nil {
			return p, err
		}
	}
	g.Into(&p)
	return p, nil
}

// peekMessage looks into messages[i].
func peekMessage(g *dialect.Gist, raw []byte, i int) error {
	path := func() string { return dialect.Index("messages", i) }
	if kind := rawjson.Of(raw); kind != rawjson.Object {
		return dialect.InvalidRequest(path(), "must be an object, not %s", kind)
	}
	var role, content []byte
	for it := rawjson.Members(raw, 0); it.Next(); {
		switch string(it.Key()) {
		case "role":
			role = it.Raw()
		case "content":
			content = it.Raw()
		}
	}
	if kind := rawjson.Of(role); kind != rawjson.String {
		return dialect.InvalidRequest(path()+".role", "must be a string, not %s", kind)
	}
	kind := rawjson.Of(content)
	switch kind {
	case rawjson.None, rawjson.Null, rawjson.String, rawjson.Array:
	default:
		return dialect.InvalidRequest(path()+".content", "must be a string or an array, not %s", kind)
	}
	take := func([]byte) {}
	switch string(rawjson.Text(role)) {
	case "system", "developer":
		take = g.System
	case "user":
		by := llm.InitiatorUser
		if first := rawjson.Elements(content, 0); kind == rawjson.Array && !first.Next() {
			by = llm.InitiatorAgent // no part at all that a person could have written
		}
		g.Turn(by, true)
		take = g.UserText
	default:
		g.Turn(llm.InitiatorAgent, false)
	}
	if kind == rawjson.String {
		take(content)
		return nil
	}
	it := rawjson.Elements(content, 0)
	for j := 0; it.Next(); j++ {
		if kind := rawjson.Of(it.Raw()); kind != rawjson.Object {
			return dialect.InvalidRequest(dialect.Index(path()+".content", j), "must be an object, not %s", kind)
		}
		peekPart(g, it.Raw(), take)
	}
	return nil
}

// peekPart looks into one part of a message's content.
func peekPart(g *dialect.Gist, raw []byte, take func([]byte)) {
	var typ, text []byte
	for it := rawjson.Members(raw, 0); it.Next(); {
		switch string(it.Key()) {
		case "type":
			typ = it.Raw()
		case "text":
			text = it.Raw()
		case "image_url":
			g.Vision = true
		}
	}
	switch string(typ) {
	case `"image_url"`, `"input_image"`, `"image"`:
		g.Vision = true
	}
	if text != nil {
		take(text)
	}
}
