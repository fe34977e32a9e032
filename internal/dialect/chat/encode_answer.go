package chat

import (
	"strconv"

	"detour/internal/dialect"
	"detour/internal/dialect/rawjson"
	"detour/internal/llm"
)

// EncodeAnswer implements dialect.Client.
func (Codec) EncodeAnswer(dst []byte, a *llm.Answer, o dialect.AnswerOptions) []byte {
	w := answerWriter{o: o, e: encoder{o: o, legacy: isLegacy(o)}}
	for i := range a.Parts {
		w.part(&a.Parts[i], a.Stop)
	}
	dst = append(dst, `{"id":`...)
	dst = rawjson.AppendString(dst, answerID(a.ID, o))
	dst = append(dst, `,"object":"chat.completion","created":`...)
	dst = strconv.AppendInt(dst, o.Created, 10)
	dst = append(dst, `,"model":`...)
	dst = rawjson.AppendString(dst, answerModel(a.Model, o))
	dst = append(dst, `,"choices":[{"index":0,"message":{"role":"assistant","content":`...)
	dst = w.message(dst)
	dst = append(dst, `},"logprobs":null,"finish_reason":"`...)
	dst = append(dst, finishReason(a.Stop, w.e.calls, w.e.legacy)...)
	dst = append(dst, `"}]`...)
	if a.Usage.Reported {
		dst = append(dst, `,"usage":`...)
		dst = appendUsage(dst, a.Usage)
	}
	return append(dst, '}')
}

// answerWriter gathers the members of the one message that an answer is here.
type answerWriter struct {
	o dialect.AnswerOptions
	e encoder // decides on the form of calls, and counts them

	text, refusal, thought []byte
	opaque                 string
	citations, calls       []byte // JSON, without the brackets
}

func (w *answerWriter) part(p *llm.Part, stop llm.Stop) {
	switch p.Kind {
	case llm.PartText:
		w.text = append(w.text, p.Text...)
		for _, raw := range p.Citations {
			if c := appendCitation(nil, raw); len(c) > 0 {
				w.citations = append(comma(w.citations), c...)
			}
		}
	case llm.PartRefusal:
		w.refusal = append(w.refusal, p.Text...)
	case llm.PartThinking:
		if !hidden(w.o) && p.Text != "" {
			if len(w.thought) > 0 {
				w.thought = append(w.thought, "\n\n"...)
			}
			w.thought = append(w.thought, p.Text...)
		}
		if w.opaque == "" {
			w.opaque = ownOpaque(p.Opaque)
		}
	case llm.PartCall:
		if p.Call != nil {
			w.call(p.Call, stop)
		}
	}
}

func comma(list []byte) []byte {
	if len(list) > 0 {
		list = append(list, ',')
	}
	return list
}

// call takes a call, in the form that a stream would have it in.
func (w *answerWriter) call(c *llm.Call, stop llm.Stop) {
	form := w.e.form(c)
	if form == formNone {
		return
	}
	w.e.calls++
	arguments := c.Arguments
	switch {
	case form == formWrapped:
		arguments = string(wrap(arguments))
	case arguments == "" && form != formCustom && stop != llm.StopLength && stop != llm.StopWindow && stop != llm.StopFilter:
		arguments = "{}"
	}
	kind, member := "function", "arguments"
	if form == formCustom {
		kind, member = "custom", "input"
	}
	list := w.calls
	if form != formLegacy {
		list = append(comma(list), `{"id":`...)
		list = rawjson.AppendString(list, c.ID)
		list = append(list, `,"type":"`+kind+`","`+kind+`":`...)
	}
	list = append(list, `{"name":`...)
	list = rawjson.AppendString(list, callName(c))
	list = append(list, `,"`+member+`":`...)
	list = rawjson.AppendString(list, arguments)
	list = append(list, '}')
	if form != formLegacy {
		list = append(list, '}')
	}
	w.calls = list
}

// message appends the members of the message, beginning with the value of content.
func (w *answerWriter) message(dst []byte) []byte {
	if len(w.text) == 0 && (len(w.calls) > 0 || len(w.refusal) > 0) {
		dst = append(dst, "null"...)
	} else {
		dst = rawjson.AppendString(dst, w.text)
	}
	dst = append(dst, `,"refusal":`...)
	if len(w.refusal) > 0 {
		dst = rawjson.AppendString(dst, w.refusal)
	} else {
		dst = append(dst, "null"...)
	}
	if len(w.citations) > 0 {
		dst = append(dst, `,"annotations":[`...)
		dst = append(append(dst, w.citations...), ']')
	}
	if len(w.thought) > 0 {
		dst = append(dst, `,"`+reasoningKey(w.o)+`":`...)
		dst = rawjson.AppendString(dst, w.thought)
	}
	if w.opaque != "" {
		dst = append(dst, `,"reasoning_opaque":`...)
		dst = rawjson.AppendString(dst, w.opaque)
	}
	switch {
	case len(w.calls) == 0:
	case w.e.legacy:
		dst = append(dst, `,"function_call":`...)
		dst = append(dst, w.calls...)
	default:
		dst = append(dst, `,"tool_calls":[`...)
		dst = append(append(dst, w.calls...), ']')
	}
	return dst
}
