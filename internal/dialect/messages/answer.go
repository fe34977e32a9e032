package messages

import (
	"errors"

	"detour/internal/dialect"
	"detour/internal/dialect/rawjson"
	"detour/internal/llm"
)

// errNoAnswer says that a body is no message of this dialect.
var errNoAnswer = errors.New("decode messages answer: the body is no message")

// EncodeAnswer implements dialect.Client.
func (Codec) EncodeAnswer(dst []byte, a *llm.Answer, o dialect.AnswerOptions) []byte {
	e := encoder{o: o, show: visibilityOf(o.Request), id: messageID(a.ID, o.ID)}
	model := o.Model
	if model == "" {
		model = a.Model
	}
	dst = rawjson.AppendString(append(dst, `{"id":`...), e.id)
	dst = rawjson.AppendString(append(dst, `,"type":"message","role":"assistant","model":`...), model)
	dst = append(dst, `,"content":[`...)
	for i := range a.Parts {
		from := len(dst)
		if e.next > 0 {
			dst = append(dst, ',')
		}
		var ok bool
		if dst, ok = e.appendPart(dst, i, &a.Parts[i], a.Stop); ok {
			e.next++
		} else {
			dst = dst[:from]
		}
	}
	reason, sequence := stopWord(a.Stop, a.StopSequence, e.calls > 0)
	stop := appendStop(nil, reason, sequence)
	dst = append(append(dst, "],"...), stop[1:]...)
	dst = appendUsage(append(dst, `,"usage":`...), a.Usage)
	return append(dst, '}')
}

// appendPart appends one part of a whole answer. ok is false for one that has nothing to say here.
func (e *encoder) appendPart(dst []byte, i int, p *llm.Part, stop llm.Stop) (out []byte, ok bool) {
	kind := e.kindOf(p)
	seal := ""
	if sealsInto(p.Opaque.Kind, kind) {
		seal = p.Opaque.Value
	}
	switch kind {
	case targetText:
		dst = rawjson.AppendString(append(dst, `{"type":"text","text":`...), p.Text)
		return append(appendCitations(dst, p), '}'), p.Text != ""
	case targetThinking:
		text := p.Text
		if e.show != showAll {
			text = ""
		}
		dst = rawjson.AppendString(append(dst, `{"type":"thinking","thinking":`...), text)
		dst = rawjson.AppendString(append(dst, `,"signature":`...), seal)
		return append(dst, '}'), text != "" || seal != ""
	case targetRedacted:
		dst = rawjson.AppendString(append(dst, `{"type":"redacted_thinking","data":`...), seal)
		return append(dst, '}'), seal != ""
	case targetTool:
		input := callInput(p.Call)
		if input == nil {
			if cutShort(stop) {
				return dst, false // half a call is none
			}
			input = []byte("{}")
		}
		e.calls++
		dst = rawjson.AppendString(append(dst, `{"type":"tool_use","id":`...), e.callID(p.Call.ID, i))
		dst = rawjson.AppendString(append(dst, `,"name":`...), wireName(p.Call))
		return append(append(append(dst, `,"input":`...), input...), '}'), true
	case targetHosted:
		return append(dst, p.Raw...), true
	}
	return dst, false
}

// callInput returns the arguments of a call as a JSON object, or nil when they are none.
func callInput(c *llm.Call) []byte {
	if c.Kind == llm.ToolCustom {
		return dialect.Wrap(c.Arguments)
	}
	var guard objectGuard
	if text := guard.pass([]byte(c.Arguments)); isObject(text) {
		return text
	}
	return nil
}

func appendCitations(dst []byte, p *llm.Part) []byte {
	n := 0
	for _, c := range p.Citations {
		if !isCitation(c) {
			continue
		}
		if n++; n == 1 {
			dst = append(dst, `,"citations":[`...)
		} else {
			dst = append(dst, ',')
		}
		dst = append(dst, c...)
	}
	if n > 0 {
		dst = append(dst, ']')
	}
	return dst
}

// DecodeAnswer implements dialect.Upstream. An error that the body reports is a *dialect.Failure.
func (Codec) DecodeAnswer(dst []llm.Event, body []byte) ([]llm.Event, error) {
	if !rawjson.Valid(body) {
		return dst, errNoAnswer
	}
	var list, reason, match, details []byte
	var failed bool
	start := llm.Event{Kind: llm.EventStart}
	for it := rawjson.Members(body, 0); it.Next(); {
		v := it.Raw()
		switch string(it.Key()) {
		case "id":
			start.ID = string(rawjson.Text(v))
		case "model":
			start.Model = string(rawjson.Text(v))
		case "content":
			list = v
		case "stop_reason":
			reason = rawjson.Text(v)
		case "stop_sequence":
			match = rawjson.Text(v)
		case "stop_details":
			details = v
		case "usage":
			readUsage(&start.Usage, v)
		case "copilot_usage":
			dialect.ReadPrice(&start.Usage, v)
		case "error":
			failed = !rawjson.Empty(v)
		}
	}
	if failed {
		failure := dialect.ParseFailure(0, "", body)
		return dst, &failure
	}
	if rawjson.Of(list) != rawjson.Array {
		return dst, errNoAnswer
	}
	r := replay{events: append(dst, start)}
	for it := rawjson.Elements(list, 0); it.Next(); {
		r.block(it.Raw())
	}
	if r.bad {
		return dst, errNoAnswer
	}
	stop := stopOf(reason, r.calls > 0)
	if why := rawjson.Text(rawjson.Get(details, "explanation")); stop == llm.StopFilter && !r.text && len(why) > 0 {
		r.add(llm.Part{Kind: llm.PartRefusal}, llm.Event{Kind: llm.EventText, Delta: why})
	}
	if start.Usage.Reported || start.Usage.Priced {
		r.events = append(r.events, llm.Event{Kind: llm.EventUsage, Usage: start.Usage})
	}
	finish := llm.Event{Kind: llm.EventFinish, Stop: stop}
	if stop == llm.StopMatch {
		finish.StopSequence = string(match)
	}
	return append(r.events, finish), nil
}

// replay makes the events of whole blocks.
type replay struct {
	events []llm.Event
	next   int
	calls  int
	text   bool
	bad    bool // a call without a name, or too many calls
}

// add adds a block and its content.
func (r *replay) add(p llm.Part, content ...llm.Event) {
	r.events = append(r.events, llm.Event{Kind: llm.EventBlock, Block: r.next, Part: &p})
	for _, e := range content {
		if e.Kind == llm.EventSeal || e.Kind == llm.EventCitation || len(e.Delta) > 0 {
			e.Block = r.next
			r.events = append(r.events, e)
		}
	}
	r.events = append(r.events, llm.Event{Kind: llm.EventStop, Block: r.next})
	r.next++
}

func (r *replay) block(raw []byte) {
	c := readContent(raw)
	switch c.kind() {
	case blockText:
		r.text = r.text || len(c.text) > 0
		content := []llm.Event{{Kind: llm.EventText, Delta: c.text}}
		for it := rawjson.Elements(c.citations, 0); it.Next(); {
			content = append(content, llm.Event{Kind: llm.EventCitation, Part: &llm.Part{Raw: it.Raw()}})
		}
		r.add(llm.Part{Kind: llm.PartText}, content...)
	case blockThinking:
		redacted := string(c.typ) == "redacted_thinking"
		content := []llm.Event{{Kind: llm.EventThinking, Delta: c.thinking}}
		switch {
		case redacted:
			content = []llm.Event{sealed(0, llm.OpaqueRedacted, c.data)}
		case len(c.signature) > 0:
			content = append(content, sealed(0, llm.OpaqueSignature, c.signature))
		}
		r.add(llm.Part{Kind: llm.PartThinking, Redacted: redacted}, content...)
	case blockTool:
		if r.calls == maxCalls || len(c.name) == 0 {
			r.bad = true
			return
		}
		r.calls++
		arguments := c.arguments()
		if len(arguments) == 0 || rawjson.Of(arguments) == rawjson.Null {
			arguments = []byte("{}")
		}
		call := llm.Call{ID: string(c.id), Name: string(c.name)}
		r.add(llm.Part{Kind: llm.PartCall, Call: &call}, llm.Event{Kind: llm.EventArgs, Delta: arguments})
	case blockHosted:
		r.add(llm.Part{Kind: llm.PartOpaque, Raw: raw})
	}
}
