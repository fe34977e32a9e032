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
	var messages, input []byte
	for it := b.Members(); it.Next(); {
		switch string(it.Key()) {
		case "messages":
			messages = it.Raw()
		case "input":
			input = it.Raw()
		case "system":
			p.Mixed = p.Mixed || !rawjson.Empty(it.Raw())
		case "tools":
			p.Mixed = p.Mixed || mixedTools(it.Raw())
		case "tool_choice":
			p.Mixed = p.Mixed || mixedChoice(it.Raw())
		case "prompt_cache_key":
			p.Session = string(rawjson.Text(it.Raw()))
		}
	}
	switch kind := rawjson.Of(messages); kind {
	case rawjson.Array:
	case rawjson.None:
		if !rawjson.Empty(input) {
			return peekResponses(body)
		}
		return p, dialect.InvalidRequest("messages", "is required")
	default:
		return p, dialect.InvalidRequest("messages", "must be an array, not %s", kind)
	}
	var g gist
	it := rawjson.Elements(messages, 0)
	for i := 0; it.Next(); i++ {
		if err := g.message(it.Raw(), i); err != nil {
			return p, err
		}
	}
	g.Into(&p)
	p.Mixed = p.Mixed || g.mixed
	return p, nil
}

// gist gathers what a Peek says, and whether the messages are in other words than this dialect's.
type gist struct {
	dialect.Gist
	mixed bool
}

// message looks into messages[i].
func (g *gist) message(raw []byte, i int) error {
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
	var parts parts
	it := rawjson.Elements(content, 0)
	for j := 0; it.Next(); j++ {
		if kind := rawjson.Of(it.Raw()); kind != rawjson.Object {
			return dialect.InvalidRequest(dialect.Index(path()+".content", j), "must be an object, not %s", kind)
		}
		parts.add(&g.Gist, it.Raw())
	}
	g.mixed = g.mixed || parts.foreign
	take := func([]byte) {}
	switch string(rawjson.Text(role)) {
	case "system", "developer":
		take = g.System
	case "user":
		by := llm.InitiatorUser
		if kind == rawjson.Array && !parts.said && (parts.result || !parts.reminds) {
			by = llm.InitiatorAgent // no part at all that a person could have written
		}
		g.Turn(by, true)
		take = g.UserText
	case "assistant":
		g.mixed = g.mixed || kind == rawjson.Array && rawjson.Empty(content)
		g.Turn(llm.InitiatorAgent, false)
	default:
		g.Turn(llm.InitiatorAgent, false)
	}
	if kind == rawjson.String {
		take(content)
		return nil
	}
	for it := rawjson.Elements(content, 0); it.Next(); {
		if text := rawjson.Get(it.Raw(), "text"); text != nil {
			take(text)
		}
	}
	return nil
}

// parts says what the parts of a message are.
type parts struct {
	foreign bool // some are not this dialect's
	result  bool // the result of a tool, in the words of Messages
	said    bool // something that a person may have said
	reminds bool // what a client puts beside that by itself
}

// add notes one part.
func (p *parts) add(g *dialect.Gist, raw []byte) {
	var typ, text, content []byte
	for it := rawjson.Members(raw, 0); it.Next(); {
		switch string(it.Key()) {
		case "type":
			typ = rawjson.Text(it.Raw())
		case "text":
			text = it.Raw()
		case "content":
			content = it.Raw()
		case "image_url":
			g.Vision = true
		}
	}
	p.foreign = p.foreign || foreignPart(typ)
	switch string(typ) {
	case "image_url", "input_image", "image":
		g.Vision = true
		p.said = true
	case "tool_result":
		p.result = true
		for it := rawjson.Elements(content, 0); it.Next(); {
			switch string(rawjson.Text(rawjson.Get(it.Raw(), "type"))) {
			case "image", "image_url":
				g.Vision = true
			}
		}
	default:
		reminder := dialect.IsReminder(text)
		p.said, p.reminds = p.said || !reminder, p.reminds || reminder
	}
}
