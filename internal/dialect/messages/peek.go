package messages

import (
	"bytes"

	"detour/internal/dialect"
	"detour/internal/dialect/rawjson"
	"detour/internal/llm"
)

// Peek implements dialect.Format. It serves messages and messages/count_tokens.
func (Format) Peek(body []byte) (dialect.Peek, error) {
	b, err := dialect.ReadBody(body)
	if err != nil {
		return dialect.Peek{}, err
	}
	p, err := b.Peek()
	if err != nil {
		return p, err
	}
	var messages, system, tools, input []byte
	var g dialect.Gist
	for it := b.Members(); it.Next(); {
		switch string(it.Key()) {
		case "messages":
			messages = it.Raw()
		case "system":
			system = it.Raw()
		case "tools":
			tools = it.Raw()
		case "input":
			input = it.Raw()
		case "metadata":
			p.Session = session(rawjson.Text(rawjson.Get(it.Raw(), "user_id")))
		case "max_tokens":
			if string(it.Raw()) == "1" {
				g.Mark(llm.PurposeBackground) // a client that asks whether the account still has quota
			}
		}
	}
	if err := peekSystem(&g, system); err != nil {
		return p, err
	}
	if first := rawjson.Elements(tools, 0); first.Next() && rawjson.Of(rawjson.Get(first.Raw(), "function")) == rawjson.Object {
		return p, ofChat("tools[0].function", "is how")
	}
	switch kind := rawjson.Of(messages); kind {
	case rawjson.Array:
	case rawjson.None:
		if !rawjson.Empty(input) {
			return p, dialect.InvalidRequest("messages", "is required; a request with input is one of OpenAI Responses: send it to /v1/responses")
		}
		return p, dialect.InvalidRequest("messages", "is required")
	default:
		return p, dialect.InvalidRequest("messages", "must be an array, not %s", kind)
	}
	it := rawjson.Elements(messages, 0)
	for i := 0; it.Next(); i++ {
		if err := peekMessage(&g, it.Raw(), i); err != nil {
			return p, err
		}
	}
	if rawjson.Empty(tools) && isWarmup(system, messages) {
		g.Mark(llm.PurposeBackground)
	}
	g.Into(&p)
	return p, nil
}

// isWarmup reports whether the conversation is the one word by which Claude Code fills the caches of its agents'
// prompts when it starts. It offers no tools then, as it does to a person.
func isWarmup(system, messages []byte) bool {
	if len(messages) > 200 || !bytes.Contains(system, []byte("Claude Code")) && !bytes.Contains(system, []byte("Claude Agent SDK")) {
		return false
	}
	it := rawjson.Elements(messages, 0)
	if !it.Next() {
		return false
	}
	content := rawjson.Get(it.Raw(), "content")
	if rawjson.Of(content) == rawjson.Array {
		in := rawjson.Elements(content, 0)
		if !in.Next() {
			return false
		}
		content = rawjson.Get(in.Raw(), "text")
		if in.Next() {
			return false
		}
	}
	return string(rawjson.Text(content)) == "Warmup" && !it.Next()
}

func peekSystem(g *dialect.Gist, system []byte) error {
	switch kind := rawjson.Of(system); kind {
	case rawjson.None, rawjson.Null:
	case rawjson.String:
		g.System(system)
	case rawjson.Array:
		it := rawjson.Elements(system, 0)
		for i := 0; it.Next(); i++ {
			if kind := rawjson.Of(it.Raw()); kind != rawjson.Object {
				return dialect.InvalidRequest(dialect.Index("system", i), "must be an object, not %s", kind)
			}
			g.System(rawjson.Get(it.Raw(), "text"))
		}
	default:
		return dialect.InvalidRequest("system", "must be a string or an array, not %s", kind)
	}
	return nil
}

// ofChat refuses what only Chat Completions knows. The upstream would say less clearly what is wrong.
func ofChat(path, what string) error {
	return dialect.InvalidRequest(path, "%s OpenAI Chat Completions words it; send such a request to /v1/chat/completions", what)
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
		case "tool_calls":
			if !rawjson.Empty(it.Raw()) {
				return ofChat(path()+".tool_calls", "is how")
			}
		}
	}
	if kind := rawjson.Of(role); kind != rawjson.String {
		return dialect.InvalidRequest(path()+".role", "must be a string, not %s", kind)
	}
	if word := rawjson.Text(role); string(word) == "tool" || string(word) == "function" {
		return ofChat(path()+".role", `must be user, assistant or system; "`+string(word)+`" is how`)
	}
	blocks, err := readBlocks(g, content, path)
	if err != nil {
		return err
	}
	switch string(rawjson.Text(role)) {
	case "system", "developer":
		return nil // in the middle of a conversation it belongs to nobody's turn
	case "user":
	default:
		g.Turn(llm.InitiatorAgent, false)
		return nil
	}
	by := llm.InitiatorAgent
	if blocks.other || blocks.text && !(blocks.result && blocks.reminders) {
		by = llm.InitiatorUser
	}
	g.Turn(by, true)
	if rawjson.Of(content) == rawjson.String {
		g.UserText(content)
		return nil
	}
	for it := rawjson.Elements(content, 0); it.Next(); {
		if text := rawjson.Get(it.Raw(), "text"); text != nil {
			g.UserText(text)
		}
	}
	return nil
}

// blocks says what kinds of blocks the content of a message has.
type blocks struct {
	result    bool // a tool result
	text      bool
	reminders bool // all of the text is what a client puts beside a person's words
	other     bool // anything else, such as an image
}

func readBlocks(g *dialect.Gist, content []byte, path func() string) (b blocks, err error) {
	switch kind := rawjson.Of(content); kind {
	case rawjson.None, rawjson.Null:
		return b, nil
	case rawjson.String:
		return blocks{text: true}, nil
	case rawjson.Array:
	default:
		return b, dialect.InvalidRequest(path()+".content", "must be a string or an array, not %s", kind)
	}
	b.reminders = true
	it := rawjson.Elements(content, 0)
	for j := 0; it.Next(); j++ {
		if kind := rawjson.Of(it.Raw()); kind != rawjson.Object {
			return b, dialect.InvalidRequest(dialect.Index(path()+".content", j), "must be an object, not %s", kind)
		}
		b.add(g, it.Raw(), 0)
	}
	return b, nil
}

// add notes one block. Blocks inside it count only for the images that they hold.
func (b *blocks) add(g *dialect.Gist, raw []byte, depth int) {
	const maxDepth = 8 // image in a document in a search result in a tool result
	var typ, text, content, source []byte
	for it := rawjson.Members(raw, 0); it.Next(); {
		switch string(it.Key()) {
		case "type":
			typ = rawjson.Text(it.Raw())
		case "text":
			text = it.Raw()
		case "content":
			content = it.Raw()
		case "source":
			source = rawjson.Get(it.Raw(), "content")
		}
	}
	switch {
	case string(typ) == "image":
		g.Vision = true
		b.other = true
	case string(typ) == "text":
		b.text = true
		b.reminders = b.reminders && dialect.IsReminder(text)
	case bytes.HasSuffix(typ, []byte("tool_result")):
		b.result = true
	default:
		b.other = true
	}
	if depth == maxDepth {
		return
	}
	for _, inner := range [...][]byte{content, source} {
		var ignored blocks
		for it := rawjson.Elements(inner, 0); it.Next(); {
			ignored.add(g, it.Raw(), depth+1)
		}
	}
}

// session finds the conversation in what a client gives as its user's id: newer ones send a JSON object with a
// session_id, older ones user_…_account_…_session_<id>. Any other id names a person, not a conversation.
func session(userID []byte) string {
	if id := rawjson.Text(rawjson.Get(userID, "session_id")); len(id) > 0 {
		return string(id)
	}
	if i := bytes.LastIndex(userID, []byte("_session_")); i >= 0 {
		return string(userID[i+len("_session_"):])
	}
	return ""
}
