package messages

import (
	"bytes"
	"slices"
	"strings"

	"detour/internal/dialect"
	"detour/internal/dialect/rawjson"
	"detour/internal/llm"
)

// carrierPrefix begins replay state of another dialect's in a slot of this one.
const carrierPrefix = "dtr1."

// requestBlock holds the members of a content block that some type uses, as JSON.
type requestBlock struct {
	raw, typ                                    []byte // typ is unescaped
	text, cache, source, title, context, ref    []byte
	id, name, input, content, isError, thinking []byte
	signature, data, callID                     []byte
}

func readBlock(raw []byte) requestBlock {
	b := requestBlock{raw: raw}
	for it := rawjson.Members(raw, 0); it.Next(); {
		v := it.Raw()
		switch string(it.Key()) {
		case "type":
			b.typ = rawjson.Text(v)
		case "text":
			b.text = v
		case "cache_control":
			b.cache = v
		case "source":
			b.source = v
		case "title":
			b.title = v
		case "context":
			b.context = v
		case "tool_name":
			b.ref = v
		case "id":
			b.id = v
		case "name":
			b.name = v
		case "input":
			b.input = v
		case "content":
			b.content = v
		case "is_error":
			b.isError = v
		case "thinking":
			b.thinking = v
		case "signature":
			b.signature = v
		case "data":
			b.data = v
		case "tool_use_id":
			b.callID = v
		}
	}
	return b
}

// messages reads the conversation. Instructions in front of it belong to the system prompt.
func (d *requestDecoder) messages(v []byte) error {
	if err := mustBe("messages", v, rawjson.Array); err != nil {
		return err
	}
	if rawjson.Empty(v) {
		return dialect.InvalidRequest("messages", "at least one message is required")
	}
	it := rawjson.Elements(v, 0)
	for i := 0; it.Next(); i++ {
		path := dialect.Index("messages", i)
		if err := mustBe(path, it.Raw(), rawjson.Object); err != nil {
			return err
		}
		var role, content []byte
		clears := false
		for m := rawjson.Members(it.Raw(), 0); m.Next(); {
			switch string(m.Key()) {
			case "role":
				role = m.Raw()
			case "content":
				content = m.Raw()
			case "clear_at":
				clears = string(rawjson.Text(m.Raw())) == "next_user_message"
			case "output_config": // of one turn: the newest counts
				if effort := rawjson.Text(rawjson.Get(m.Raw(), "effort")); len(effort) > 0 {
					d.r.Reasoning.Effort = llm.Effort(effort)
				}
			}
		}
		if err := mustBe(path+".role", role, rawjson.String); err != nil {
			return err
		}
		turn := llm.Turn{}
		switch word := rawjson.Text(role); string(word) {
		case "user":
		case "assistant":
			turn.Role = llm.RoleAssistant
		case "system", "developer":
			turn.Role = llm.RoleSystem
		default:
			return dialect.InvalidRequest(path+".role", "must be user, assistant or system, not %q", word)
		}
		parts, err := d.content(path+".content", content, turn.Role)
		if err != nil {
			return err
		}
		switch {
		case len(parts) == 0:
		case turn.Role == llm.RoleSystem && len(d.r.Turns) == 0:
			d.r.System = append(d.r.System, parts...)
		default:
			if turn.Role == llm.RoleUser {
				d.clear()
			}
			turn.Parts = parts
			if d.r.Turns = append(d.r.Turns, turn); clears && turn.Role == llm.RoleSystem {
				d.clearing = append(d.clearing, len(d.r.Turns)-1)
			}
		}
	}
	return nil
}

// clear takes out the instructions that were for the turn before.
func (d *requestDecoder) clear() {
	for _, at := range slices.Backward(d.clearing) {
		d.r.Turns = slices.Delete(d.r.Turns, at, at+1)
	}
	d.clearing = nil
}

// addTool takes a tool that is declared in mid-conversation. It is offered from the start: other upstreams know no such
// thing.
func (d *requestDecoder) addTool(path string, raw []byte) error {
	if rawjson.Of(raw) != rawjson.Object {
		return nil // one that is declared in front
	}
	t, err := d.tool(path, raw)
	if err == nil && !slices.ContainsFunc(d.r.Tools, func(o llm.Tool) bool { return o.Name == t.Name }) {
		d.r.Tools = append(d.r.Tools, t)
	}
	return err
}

// content reads the content of a message. Empty text is left out: no upstream takes it.
func (d *requestDecoder) content(path string, v []byte, role llm.Role) ([]llm.Part, error) {
	switch kind := rawjson.Of(v); kind {
	case rawjson.String:
		if text := d.text(v); text != "" {
			return []llm.Part{{Text: text}}, nil
		}
		return nil, nil
	case rawjson.Array:
	case rawjson.None:
		return nil, dialect.InvalidRequest(path, "is required")
	default:
		return nil, dialect.InvalidRequest(path, "must be a string or an array, not %s", kind)
	}
	d.searches = nil
	var parts []llm.Part
	it := rawjson.Elements(v, 0)
	for j := 0; it.Next(); j++ {
		at := dialect.Index(path, j)
		if err := mustBe(at, it.Raw(), rawjson.Object); err != nil {
			return nil, err
		}
		p, keep, err := d.block(at, readBlock(it.Raw()), role)
		if err != nil {
			return nil, err
		}
		if keep {
			parts = append(parts, p)
		}
	}
	return parts, nil
}

// block reads one block of a message. keep is false for one that says nothing.
func (d *requestDecoder) block(path string, b requestBlock, role llm.Role) (p llm.Part, keep bool, err error) {
	p.Cache = readCache(b.cache)
	switch string(b.typ) {
	case "text", "image", "document", "search_result", "tool_reference":
		return d.material(path, b, p)
	case "thinking":
		p = llm.Part{Kind: llm.PartThinking, Text: d.text(b.thinking), Opaque: d.opaque(b.signature, llm.OpaqueSignature)}
		return p, p.Text != "" || p.Opaque.Kind != llm.OpaqueNone, nil
	case "redacted_thinking":
		p = llm.Part{Kind: llm.PartThinking, Redacted: true, Opaque: d.opaque(b.data, llm.OpaqueRedacted)}
		return p, p.Opaque.Kind != llm.OpaqueNone, nil
	case "tool_use":
		return d.call(path, b, p)
	case "tool_result":
		return d.result(path, b, p)
	case "server_tool_use":
		if query := rawjson.Get(b.input, "query"); query != nil {
			if d.searches == nil {
				d.searches = map[string]string{}
			}
			d.searches[string(rawjson.Text(b.id))] = d.text(query)
		}
		return p, false, nil
	case "web_search_tool_result":
		p.Text = d.searched(b)
		return p, p.Text != "", nil
	case "compaction":
		p.Kind, p.Raw = llm.PartCompaction, b.raw
		p.Text = d.text(b.content)
		if strings.HasPrefix(p.Text, carrierPrefix) {
			p.Opaque, p.Text = llm.Opaque{Kind: llm.OpaqueCarrier, Value: p.Text}, ""
		}
		return p, p.Text != "" || p.Opaque.Kind != llm.OpaqueNone, nil
	case "tool_addition":
		return p, false, d.addTool(path+".tool.definition", rawjson.Get(b.raw, "tool", "definition"))
	case "tool_removal":
		return p, false, nil
	case "":
		return p, false, dialect.InvalidRequest(path+".type", "is required")
	}
	if role == llm.RoleAssistant && hosted(b.typ) {
		return p, false, nil // what a hosted tool did: nobody else can continue from it
	}
	p.Kind, p.Raw = llm.PartOpaque, b.raw
	return p, true, nil
}

// opaque reads replay state. What is not of this dialect the router opens before anyone else sees it.
func (d *requestDecoder) opaque(v []byte, native llm.OpaqueKind) llm.Opaque {
	value := d.text(v)
	switch {
	case value == "":
		return llm.Opaque{}
	case strings.HasPrefix(value, carrierPrefix):
		return llm.Opaque{Kind: llm.OpaqueCarrier, Value: value}
	}
	return llm.Opaque{Kind: native, Value: value}
}

// material reads what both messages and tool results consist of.
func (d *requestDecoder) material(path string, b requestBlock, p llm.Part) (llm.Part, bool, error) {
	switch string(b.typ) {
	case "text":
		if err := mustBe(path+".text", b.text, rawjson.String); err != nil {
			return p, false, err
		}
		p.Text = d.text(b.text)
		return p, p.Text != "", nil
	case "tool_reference":
		p.Text = "[Loaded tool: " + d.text(b.ref) + "]"
		return p, true, nil
	case "search_result":
		p.Text = d.searchResult(b)
		return p, p.Text != "", nil
	}
	if err := mustBe(path+".source", b.source, rawjson.Object); err != nil {
		return p, false, err
	}
	m, err := d.media(path+".source", b)
	p.Media = m
	p.Kind = llm.PartImage
	if string(b.typ) == "document" {
		p.Kind = llm.PartFile
	}
	return p, true, err
}

// media reads the source of an image or a document.
func (d *requestDecoder) media(path string, b requestBlock) (*llm.Media, error) {
	m := &llm.Media{Name: d.text(b.title)}
	var typ, data, url, content []byte
	for it := rawjson.Members(b.source, 0); it.Next(); {
		v := it.Raw()
		switch string(it.Key()) {
		case "type":
			typ = rawjson.Text(v)
		case "media_type":
			m.Type = string(rawjson.Text(v))
		case "data":
			data = v
		case "url":
			url = v
		case "file_id":
			m.FileID = d.text(v)
		case "content":
			content = v
		}
	}
	var err error
	switch string(typ) {
	case "base64":
		m.Data, err = d.text(data), mustBe(path+".data", data, rawjson.String)
	case "text":
		m.Text, err = d.text(data), mustBe(path+".data", data, rawjson.String)
		if m.Type == "" {
			m.Type = "text/plain"
		}
	case "url":
		m.URL, err = d.text(url), mustBe(path+".url", url, rawjson.String)
		if m.Type == "" && string(b.typ) == "document" {
			m.Type = "application/pdf"
		}
	case "file":
		if m.FileID == "" {
			err = dialect.InvalidRequest(path+".file_id", "is required")
		}
	case "content":
		m.Type, m.Text = "text/plain", d.plain(content)
	default:
		err = dialect.InvalidRequest(path+".type", "unknown source %q", typ)
	}
	if context := d.text(b.context); context != "" && m.Text != "" {
		m.Text = context + "\n\n" + m.Text
	}
	return m, err
}

// plain joins the text of a string or of blocks.
func (d *requestDecoder) plain(v []byte) string {
	if rawjson.Of(v) == rawjson.String {
		return d.text(v)
	}
	var all strings.Builder
	for it := rawjson.Elements(v, 0); it.Next(); {
		if text := d.text(rawjson.Get(it.Raw(), "text")); text != "" {
			if all.Len() > 0 {
				all.WriteByte('\n')
			}
			all.WriteString(text)
		}
	}
	return all.String()
}

// searchResult puts a search result into words. Its source is where it was found.
func (d *requestDecoder) searchResult(b requestBlock) string {
	head := strings.TrimSpace(d.text(b.title) + " (" + d.text(b.source) + ")")
	text := d.plain(b.content)
	if text == "" {
		return ""
	}
	return head + "\n" + text
}

// searched puts the results of a hosted search into words.
func (d *requestDecoder) searched(b requestBlock) string {
	var all strings.Builder
	for it := rawjson.Elements(b.content, 0); it.Next(); {
		url := d.text(rawjson.Get(it.Raw(), "url"))
		if url == "" {
			continue
		}
		if all.Len() > 0 {
			all.WriteString("; ")
		}
		all.WriteString(d.text(rawjson.Get(it.Raw(), "title")) + " (" + url + ")")
	}
	if all.Len() == 0 {
		return ""
	}
	query := d.searches[string(rawjson.Text(b.callID))]
	return `[web_search "` + query + `" → ` + all.String() + "]"
}

func (d *requestDecoder) call(path string, b requestBlock, p llm.Part) (llm.Part, bool, error) {
	if err := mustBe(path+".id", b.id, rawjson.String); err != nil {
		return p, false, err
	}
	if err := mustBe(path+".name", b.name, rawjson.String); err != nil {
		return p, false, err
	}
	p.Kind = llm.PartCall
	p.Call = &llm.Call{ID: d.text(b.id), Name: d.text(b.name)}
	switch {
	case rawjson.Of(b.input) == rawjson.String:
		p.Call.Arguments = d.text(b.input)
	case len(b.input) == 0 || bytes.Equal(b.input, []byte("null")):
		p.Call.Arguments = "{}"
	default:
		p.Call.Arguments = string(b.input)
	}
	return p, true, nil
}

func (d *requestDecoder) result(path string, b requestBlock, p llm.Part) (llm.Part, bool, error) {
	if err := mustBe(path+".tool_use_id", b.callID, rawjson.String); err != nil {
		return p, false, err
	}
	p.Kind = llm.PartResult
	p.Result = &llm.Result{ID: d.text(b.callID), IsError: string(b.isError) == "true"}
	path += ".content"
	switch kind := rawjson.Of(b.content); kind {
	case rawjson.None, rawjson.Null:
		return p, true, nil
	case rawjson.String:
		if text := d.text(b.content); text != "" {
			p.Result.Parts = []llm.Part{{Text: text}}
		}
		return p, true, nil
	case rawjson.Array:
	default:
		return p, false, dialect.InvalidRequest(path, "must be a string or an array, not %s", kind)
	}
	it := rawjson.Elements(b.content, 0)
	for j := 0; it.Next(); j++ {
		at := dialect.Index(path, j)
		if err := mustBe(at, it.Raw(), rawjson.Object); err != nil {
			return p, false, err
		}
		inner := readBlock(it.Raw())
		switch string(inner.typ) {
		case "text", "image", "document", "search_result", "tool_reference":
		default:
			continue // of no meaning to any other model
		}
		part, keep, err := d.material(at, inner, llm.Part{Cache: readCache(inner.cache)})
		if err != nil {
			return p, false, err
		}
		if keep {
			p.Result.Parts = append(p.Result.Parts, part)
		}
	}
	return p, true, nil
}
