package responses

import (
	"bytes"
	"strconv"

	"detour/internal/dialect"
	"detour/internal/dialect/rawjson"
	"detour/internal/llm"
)

// trigger is the input item that asks for a compaction in the place of an answer.
const trigger = `{"type":"compaction_trigger"}`

// maxRetained is how much of a conversation stays beside its compaction, in bytes: about 64,000 tokens.
const maxRetained = 4 * 64 << 10

// Compaction is the client half for the endpoint responses/compact: its requests are those of responses, without the
// item that asks for the compaction, and its answers have a shape of their own.
type Compaction struct{ Codec }

var _ dialect.Client = Compaction{}

// DecodeRequest implements dialect.Client.
func (Compaction) DecodeRequest(body []byte) (*llm.Request, error) {
	r, err := Codec{}.DecodeRequest(body)
	if err == nil {
		r.Compact, r.Stream = true, false
	}
	return r, err
}

// EncodeAnswer implements dialect.Client. Beside the compaction stay the newest messages of the request.
func (Compaction) EncodeAnswer(dst []byte, a *llm.Answer, o dialect.AnswerOptions) []byte {
	e := newEncoder(o)
	id := responseID(a.ID, o.ID)
	dst = rawjson.AppendString(append(dst, `{"id":`...), id)
	dst = strconv.AppendInt(append(dst, `,"object":"response.compaction","created_at":`...), o.Created, 10)
	dst = append(dst, `,"output":[`...)
	dst, n := appendRetained(dst, e.o.Request.Raw, []byte(id))
	for i := len(a.Parts) - 1; i >= 0; i-- { // the last stands for the whole conversation
		p := &a.Parts[i]
		if p.Kind != llm.PartCompaction || !own(p.Opaque) {
			continue
		}
		if n > 0 {
			dst = append(dst, ',')
		}
		dst = append(append(dst, `{"id":`...), mint("compaction", nil, []byte(id), n)...)
		dst = append(appendMember(append(dst, `,"type":"compaction"`...), "encrypted_content", p.Opaque.Value), '}')
		break
	}
	return append(appendUsage(append(dst, `],"usage":`...), a.Usage), '}')
}

// appendRetained appends the newest messages of a request, as many as there is room for, and returns how many.
func appendRetained(dst, body, id []byte) ([]byte, int) {
	var kept [][]byte
	for it := rawjson.Members(body, 0); it.Next(); {
		if string(it.Key()) != "input" {
			continue
		}
		if kept = kept[:0]; rawjson.Of(it.Raw()) == rawjson.String && !rawjson.Empty(it.Raw()) {
			kept = append(kept, asMessage(it.Raw()))
		}
		for items := rawjson.Elements(it.Raw(), 0); items.Next(); {
			if isMessage(items.Raw()) {
				kept = append(kept, items.Raw())
			}
		}
	}
	from, room := len(kept), maxRetained
	for from > 0 && len(kept[from-1]) <= room {
		from--
		room -= len(kept[from])
	}
	for i, raw := range kept[from:] {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendKept(dst, raw, mint("message", nil, id, i))
	}
	return dst, len(kept) - from
}

// asMessage makes a message of an input that is a string.
func asMessage(text []byte) []byte {
	return append(append([]byte(`{"type":"message","role":"user","content":[{"type":"input_text","text":`), text...), "}]}"...)
}

func isMessage(raw []byte) bool {
	var typ, role []byte
	for it := rawjson.Members(raw, 0); it.Next(); {
		switch string(it.Key()) {
		case "type":
			typ = rawjson.Text(it.Raw())
		case "role":
			role = rawjson.Text(it.Raw())
		}
	}
	if len(typ) > 0 && string(typ) != "message" {
		return false
	}
	switch string(role) {
	case "user", "assistant", "developer", "system":
		return true
	}
	return false
}

// appendKept appends a message under a new id. What the model said becomes input, as all of it will be.
func appendKept(dst, raw, id []byte) []byte {
	var p rawjson.Patch
	var typ, ids, status rawjson.Field
	open := bytes.IndexByte(raw, '{')
	for it := rawjson.Members(raw, 0); it.Next(); {
		switch string(it.Key()) {
		case "type":
			typ = it.Field()
		case "id":
			ids = it.Field()
		case "status":
			status = it.Field()
		case "content":
			lo, hi := it.Span()
			if rawjson.Of(it.Raw()) == rawjson.String {
				text := append([]byte(`[{"type":"input_text","text":`), it.Raw()...)
				p.Replace(lo, hi, append(text, "}]"...))
			}
			for parts := rawjson.Elements(raw, lo); parts.Next(); {
				if text, _ := textOf(parts.Raw()); typeOf(parts.Raw()) == "output_text" && text != nil {
					from, to := parts.Span()
					input := append([]byte(`{"type":"input_text","text":`), text...)
					p.Replace(from, to, append(input, '}'))
				}
			}
		}
	}
	p.Set(open, "id", ids, id)
	if typ.Raw == nil {
		p.Insert(open, "type", []byte(`"message"`))
	}
	if status.Missing() {
		p.Set(open, "status", status, []byte(`"completed"`))
	}
	return flat(dst, p.Apply(nil, raw))
}

// WithTrigger returns the body of a request to compact as the request for an answer that asks for the same: the item
// that says so comes last in its input, and it does not stream. Other bytes stay as they are.
func WithTrigger(body []byte) []byte {
	if !rawjson.Valid(body) || rawjson.Of(bytes.TrimLeft(body, " \t\r\n")) != rawjson.Object {
		return body
	}
	var p rawjson.Patch
	open := bytes.IndexByte(body, '{')
	var input rawjson.Field
	for it := rawjson.Members(body, 0); it.Next(); {
		lo, hi := it.Span()
		switch string(it.Key()) {
		case "stream":
			p.Replace(lo, hi, []byte("false"))
		case "input":
			input = it.Field()
		}
	}
	switch rawjson.Of(input.Raw) {
	case rawjson.None, rawjson.Null:
		p.Set(open, "input", input, []byte("["+trigger+"]"))
	case rawjson.String:
		list := append([]byte{'['}, asMessage(input.Raw)...)
		p.Replace(input.Lo, input.Hi, append(list, ","+trigger+"]"...))
	case rawjson.Array:
		n, asked := 0, false
		for it := rawjson.Elements(input.Raw, 0); it.Next(); n++ {
			asked = asked || typeOf(it.Raw()) == "compaction_trigger"
		}
		switch end := input.Hi - 1; {
		case asked:
		case n == 0:
			p.Replace(end, end, []byte(trigger))
		default:
			p.Replace(end, end, []byte(","+trigger))
		}
	}
	if p.Empty() {
		return body
	}
	return p.Apply(make([]byte, 0, len(body)+len(trigger)+1), body)
}

// Restore prepares a request that follows a compaction for a model. A compaction that open can read becomes what the
// user said, in open's words. What the model said before a compaction comes back as input and becomes output again. An
// item of which open says that nobody here can read it is an error. It may return body itself.
func Restore(body []byte, open func(sealed string) (text string, ours, ok bool)) ([]byte, error) {
	// Short words are found many times faster than long ones, and most requests have neither.
	if !bytes.Contains(body, []byte("compact")) || !bytes.Contains(body, []byte(`compaction`)) || !rawjson.Valid(body) {
		return body, nil
	}
	var p rawjson.Patch
	var lo int
	compacted := false
	for it := rawjson.Members(body, 0); it.Next(); {
		if string(it.Key()) == "input" {
			lo, _ = it.Span()
		}
	}
	i := -1
	for it := rawjson.Elements(body, lo); it.Next(); {
		i++
		if !isCompaction(typeOf(it.Raw())) {
			continue
		}
		compacted = true
		text, ours, ok := open(string(rawjson.Text(rawjson.Get(it.Raw(), "encrypted_content"))))
		switch {
		case !ours:
		case !ok:
			return body, ForeignCompaction(dialect.Index("input", i))
		default:
			from, to := it.Span()
			p.Replace(from, to, asMessage(rawjson.AppendString(nil, text)))
		}
	}
	for it := rawjson.Elements(body, lo); compacted && it.Next(); {
		if string(rawjson.Text(rawjson.Get(it.Raw(), "role"))) == "assistant" && isMessage(it.Raw()) {
			from, _ := it.Span()
			outputAgain(&p, body, from)
		}
	}
	if p.Empty() {
		return body, nil
	}
	return p.Apply(make([]byte, 0, len(body)), body), nil
}

func isCompaction(typ string) bool {
	return typ == "compaction" || typ == "compaction_summary" || typ == "context_compaction"
}

// ForeignCompaction is the failure of a request whose history nobody who serves it can read. To leave that out would
// be to go on without it, which looks like an answer.
func ForeignCompaction(path string) *dialect.Failure {
	f := dialect.InvalidRequest(path, "the conversation was compacted in a form that the model which serves it now cannot read. "+
		"Go on with the model that compacted it, or go back to before the compaction, or start a new conversation")
	f.Code = "foreign_compaction"
	return f
}

// Unreadable returns the failure of a request for a model of another dialect that holds what such a model cannot read
// and what must not be left out, or nil.
func Unreadable(r *llm.Request) *dialect.Failure {
	for i := range r.Turns {
		for j := range r.Turns[i].Parts {
			switch p := &r.Turns[i].Parts[j]; {
			case p.Kind == llm.PartCompaction && p.Text == "":
				return ForeignCompaction("")
			case p.Kind == llm.PartOpaque && typeOf(p.Raw) == "agent_message":
				f := dialect.InvalidRequest("input", "a message of another agent is encrypted for models of OpenAI, and this model cannot read it. Let a model of OpenAI go on with the conversation")
				f.Code = "encrypted_agent_message"
				return f
			}
		}
	}
	return nil
}

// outputAgain turns the text of the assistant message at lo back into output: upstreams take nothing else there.
func outputAgain(p *rawjson.Patch, body []byte, lo int) {
	for it := rawjson.Members(body, lo); it.Next(); {
		if string(it.Key()) != "content" {
			continue
		}
		at, _ := it.Span()
		for parts := rawjson.Elements(body, at); parts.Next(); {
			from, _ := parts.Span()
			for m := rawjson.Members(body, from); m.Next(); {
				if string(m.Key()) == "type" && string(m.Raw()) == `"input_text"` {
					lo, hi := m.Span()
					p.Replace(lo, hi, []byte(`"output_text"`))
				}
			}
		}
	}
}
