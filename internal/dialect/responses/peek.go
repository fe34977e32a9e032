package responses

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
	p.Remember = true
	var g dialect.Gist
	var input, messages []byte
	for it := b.Members(); it.Next(); {
		switch string(it.Key()) {
		case "input":
			input = it.Raw()
		case "messages":
			messages = it.Raw()
		case "instructions":
			g.System(it.Raw())
		case "store":
			p.Remember = string(it.Raw()) != "false"
		case "previous_response_id":
			p.Previous = string(rawjson.Text(it.Raw()))
		case "prompt_cache_key":
			p.Session = string(rawjson.Text(it.Raw()))
		case "conversation":
			if id := rawjson.Text(it.Raw()); p.Session == "" && id != nil {
				p.Session = string(id)
			} else if p.Session == "" {
				p.Session = string(rawjson.Text(rawjson.Get(it.Raw(), "id")))
			}
		}
	}
	switch kind := rawjson.Of(input); kind {
	case rawjson.None, rawjson.Null: // a stored prompt or the end of a chain of answers may take its place
		if !rawjson.Empty(messages) {
			return p, dialect.InvalidRequest("input", "is required; a request with messages is one of OpenAI Chat Completions or Anthropic Messages: send it to /v1/chat/completions or /v1/messages")
		}
	case rawjson.String:
		g.Turn(llm.InitiatorUser, true)
		g.UserText(input)
	case rawjson.Array:
		it := rawjson.Elements(input, 0)
		for i := 0; it.Next(); i++ {
			if err := peekItem(&p, &g, it.Raw(), i); err != nil {
				return p, err
			}
		}
	default:
		return p, dialect.InvalidRequest("input", "must be a string or an array, not %s", kind)
	}
	g.Into(&p)
	return p, nil
}

// peekItem looks into input[i].
func peekItem(p *dialect.Peek, g *dialect.Gist, raw []byte, i int) error {
	path := func() string { return dialect.Index("input", i) }
	if kind := rawjson.Of(raw); kind != rawjson.Object {
		return dialect.InvalidRequest(path(), "must be an object, not %s", kind)
	}
	var typ, role, content, output rawjson.Field
	for it := rawjson.Members(raw, 0); it.Next(); {
		switch string(it.Key()) {
		case "type":
			typ = it.Field()
		case "role":
			role = it.Field()
		case "content":
			content = it.Field()
		case "output":
			output = it.Field()
		}
	}
	for _, f := range [...]struct {
		name  string
		field rawjson.Field
	}{{"type", typ}, {"role", role}} {
		switch kind := rawjson.Of(f.field.Raw); kind {
		case rawjson.None, rawjson.Null, rawjson.String:
		default:
			return dialect.InvalidRequest(path()+"."+f.name, "must be a string, not %s", kind)
		}
	}
	peekOutput(g, output.Raw)
	kind := string(rawjson.Text(typ.Raw))
	if kind == itemReference || typ.Missing() && role.Missing() && content.Missing() {
		p.References = true // or an item that makes no sense, which is for others to say
	}
	g.Compact = g.Compact || kind == "compaction_trigger"
	by := string(rawjson.Text(role.Raw))
	if by == "system" || by == "developer" {
		if kind == "" || kind == "message" {
			return peekContent(g, content.Raw, path, g.System)
		}
		return nil // such as tools that ride along
	}
	if by != "user" || kind != "" && kind != "message" {
		g.Turn(llm.InitiatorAgent, false)
		return peekContent(g, content.Raw, path, nil)
	}
	turn := llm.InitiatorUser
	if first := rawjson.Elements(content.Raw, 0); rawjson.Of(content.Raw) == rawjson.Array && !first.Next() {
		turn = llm.InitiatorAgent // no part at all that a person could have written
	}
	g.Turn(turn, true)
	return peekContent(g, content.Raw, path, g.UserText)
}

// peekContent looks into the content of an item and hands its text to take, if that is not nil.
func peekContent(g *dialect.Gist, content []byte, path func() string, take func([]byte)) error {
	switch kind := rawjson.Of(content); kind {
	case rawjson.None, rawjson.Null:
	case rawjson.String:
		if take != nil {
			take(content)
		}
	case rawjson.Array:
		it := rawjson.Elements(content, 0)
		for j := 0; it.Next(); j++ {
			if kind := rawjson.Of(it.Raw()); kind != rawjson.Object {
				return dialect.InvalidRequest(dialect.Index(path()+".content", j), "must be an object, not %s", kind)
			}
			peekPart(g, it.Raw())
			if text := rawjson.Get(it.Raw(), "text"); take != nil && text != nil {
				take(text)
			}
		}
	default:
		return dialect.InvalidRequest(path()+".content", "must be a string or an array, not %s", kind)
	}
	return nil
}

// peekOutput looks for images in what a tool gave: a list of parts, or one part.
func peekOutput(g *dialect.Gist, output []byte) {
	peekPart(g, output)
	for it := rawjson.Elements(output, 0); it.Next(); {
		peekPart(g, it.Raw())
	}
}

func peekPart(g *dialect.Gist, raw []byte) {
	switch string(rawjson.Get(raw, "type")) {
	case `"input_image"`, `"image_url"`, `"image"`, `"computer_screenshot"`:
		g.Vision = true
	}
}
