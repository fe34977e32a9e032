package dialect

import (
	"bytes"
	"errors"
	"hash/crc32"
	"strconv"

	"detour/internal/dialect/rawjson"
	"detour/internal/llm"
)

// Body is the top level of a request, checked to be one JSON object.
type Body struct {
	Model, Stream []byte // raw values; nil when absent
	raw           []byte
}

// ReadBody checks that raw is one JSON object and finds what all dialects share. Its error is a *Failure that names
// the position of the fault.
func ReadBody(raw []byte) (Body, error) {
	if err := rawjson.Check(raw); err != nil {
		fault, _ := errors.AsType[*rawjson.SyntaxError](err)
		return Body{}, InvalidRequest("", "the request body is not valid JSON: %s", fault)
	}
	trimmed := bytes.TrimSpace(raw)
	if kind := rawjson.Of(trimmed); kind != rawjson.Object {
		return Body{}, InvalidRequest("", "the request body must be a JSON object, not %s", kind)
	}
	b := Body{raw: raw}
	for it := b.Members(); it.Next(); {
		switch string(it.Key()) {
		case "model":
			b.Model = it.Raw()
		case "stream":
			b.Stream = it.Raw()
		}
	}
	return b, nil
}

// Members walks over the fields of the request.
func (b Body) Members() rawjson.Iter { return rawjson.Members(b.raw, 0) }

// Peek fills in model and stream, which must be of the right type.
func (b Body) Peek() (Peek, error) {
	var p Peek
	p.Model = string(rawjson.Text(b.Model))
	switch {
	case b.Model == nil:
		return p, InvalidRequest("model", "is required")
	case rawjson.Of(b.Model) != rawjson.String:
		return p, InvalidRequest("model", "must be a string, not %s", rawjson.Of(b.Model))
	case p.Model == "":
		return p, InvalidRequest("model", "must not be empty")
	}
	switch kind := rawjson.Of(b.Stream); kind {
	case rawjson.None, rawjson.Null:
	case rawjson.Bool:
		p.Stream = b.Stream[0] == 't'
	default:
		return p, InvalidRequest("stream", "must be a boolean, not %s", kind)
	}
	return p, nil
}

// PeekModel looks into a request of an endpoint without a conversation, such as embeddings: model and stream only.
func PeekModel(body []byte) (Peek, error) {
	b, err := ReadBody(body)
	if err != nil {
		return Peek{}, err
	}
	return b.Peek()
}

// Index returns the path of an element: messages[3].
func Index(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

// Gist gathers what a Peek says about a conversation while a dialect's package walks over the messages.
type Gist struct {
	Vision, Compact bool

	initiator llm.Initiator
	purpose   llm.Purpose // not "" where a text says that no person wrote the request
	begun     bool        // the first user message is past
	first     bool        // and it is the one being read
	system    uint32
	opening   uint32
	last      [][]byte // texts of the user message that was read last
}

// System takes text of the instructions in front of the conversation, as the JSON text of a string. Those that come
// later belong to a turn.
func (g *Gist) System(raw []byte) {
	start := lead(raw)
	if g.begun || bytes.HasPrefix(start, []byte("x-anthropic-billing-header:")) {
		return // the latter differs between the requests of one conversation
	}
	g.system = crc32.Update(g.system, crc32.MakeTable(crc32.Castagnoli), inside(raw))
	if purpose := housekeepingSystem(start); purpose != "" {
		g.purpose = purpose
	}
}

// Turn begins a message that is not from the system or developer role. by counts if it stays the last one.
func (g *Gist) Turn(by llm.Initiator, user bool) {
	g.initiator, g.last = by, g.last[:0]
	g.first = user && !g.begun
	g.begun = g.begun || user
}

// UserText takes text of the user message that began last, as the JSON text of a string.
func (g *Gist) UserText(raw []byte) {
	if g.first {
		g.opening = crc32.Update(g.opening, crc32.MakeTable(crc32.Castagnoli), inside(raw))
	}
	if mayBeReminder(raw) && isReminder(lead(raw)) && bytes.Contains(raw, []byte("__SUBAGENT_MARKER__")) {
		g.purpose = llm.PurposeSubagent
	}
	g.last = append(g.last, raw)
}

// Mark says that no person wrote the request, whatever its last message is.
func (g *Gist) Mark(p llm.Purpose) { g.purpose = p }

// Into completes p.
func (g *Gist) Into(p *Peek) {
	p.Vision, p.Compact, p.Purpose = g.Vision, g.Compact, g.purpose
	p.Opening = uint64(g.system)<<32 | uint64(g.opening)
	if p.Initiator = g.initiator; p.Initiator == "" {
		p.Initiator = llm.InitiatorUser
	}
	if p.Initiator == llm.InitiatorUser && p.Purpose == "" {
		for _, raw := range g.last {
			if purpose := housekeepingUser(lead(raw)); purpose != "" {
				p.Purpose = purpose
			}
		}
	}
	if p.Purpose != "" || g.notified() {
		p.Initiator = llm.InitiatorAgent
	}
}

// notified reports whether the last message is nothing but a client's own notes, one of which says that no person wrote
// them: Claude Code tells its model like that how a background task ended.
func (g *Gist) notified() bool {
	says := false
	for _, raw := range g.last {
		if !IsReminder(raw) {
			return false
		}
		says = says || bytes.Contains(raw, []byte("[SYSTEM NOTIFICATION - NOT USER INPUT]"))
	}
	return says
}

// inside returns what is between the quotes, still escaped: a client escapes the same text the same way each time.
func inside(raw []byte) []byte {
	if rawjson.Of(raw) != rawjson.String || len(raw) < 2 {
		return nil
	}
	return raw[1 : len(raw)-1]
}

// lead returns how a text begins. Long texts are not worth unescaping as a whole.
func lead(raw []byte) []byte {
	const enough = 256
	s := inside(raw)
	if len(s) <= enough {
		return rawjson.Text(raw)
	}
	if bytes.IndexByte(s[:enough], '\\') < 0 {
		return s[:enough]
	}
	return rawjson.Unescape(s[:enough])
}

// mayBeReminder spares most texts the unescaping.
func mayBeReminder(raw []byte) bool {
	s := bytes.TrimLeft(inside(raw), " ")
	return len(s) > 0 && (s[0] == '<' || s[0] == '\\')
}

// IsReminder reports whether a text, given as JSON text, is nothing but what a client itself puts beside a person's
// words.
func IsReminder(raw []byte) bool {
	return mayBeReminder(raw) && isReminder(lead(raw)) && bytes.HasSuffix(bytes.TrimSpace(rawjson.Text(raw)), []byte("</system-reminder>"))
}

func isReminder(start []byte) bool {
	return bytes.HasPrefix(bytes.TrimSpace(start), []byte("<system-reminder>"))
}

// phrase is how a text begins by which a client's own request is known.
type phrase struct {
	start   string
	purpose llm.Purpose
}

func purposeOf(text []byte, phrases []phrase) llm.Purpose {
	text = bytes.TrimLeft(text, " \t\r\n")
	for _, p := range phrases {
		if len(text) >= len(p.start) && string(text[:len(p.start)]) == p.start {
			return p.purpose
		}
	}
	return ""
}

// housekeepingSystem knows how the instructions of requests begin that a client makes by itself: titles, topics,
// summaries. A person never sees or writes them.
func housekeepingSystem(text []byte) llm.Purpose {
	return purposeOf(text, []phrase{
		{"You are a title generator", llm.PurposeBackground},                                              // opencode
		{"You are a helpful AI assistant tasked with summarizing conversations", llm.PurposeCompaction},   // Claude Code
		{"Analyze if this message indicates a new conversation topic", llm.PurposeBackground},             // Claude Code
		{"Summarize this coding conversation in under", llm.PurposeBackground},                            // Claude Code
		{"Generate a concise, sentence-case title", llm.PurposeBackground},                                // Claude Code
		{"Extract any file paths that this command reads or modifies", llm.PurposeBackground},             // Claude Code
		{"You are a helpful assistant that generates titles for the conversation", llm.PurposeBackground}, // several
	})
}

// housekeepingUser knows how the last message of such requests begins when a client appends it to a conversation.
func housekeepingUser(text []byte) llm.Purpose {
	return purposeOf(text, []phrase{
		{"Your task is to create a detailed summary of", llm.PurposeCompaction},                    // Claude Code
		{"CRITICAL: Respond with TEXT ONLY. Do NOT call any tools.", llm.PurposeCompaction},        // Claude Code
		{"You are performing a CONTEXT CHECKPOINT COMPACTION", llm.PurposeCompaction},              // Codex
		{"Generate a title for this conversation", llm.PurposeBackground},                          // opencode
		{"Provide a detailed prompt for continuing our conversation above", llm.PurposeCompaction}, // opencode
	})
}
