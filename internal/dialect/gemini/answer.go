package gemini

import (
	"detour/internal/dialect"
	"detour/internal/llm"
)

// candidate begins an answer or a chunk of one, up to the first part.
const candidate = `{"candidates":[{"content":{"role":"model","parts":[`

// EncodeAnswer implements dialect.Client.
func (Codec) EncodeAnswer(dst []byte, a *llm.Answer, o dialect.AnswerOptions) []byte {
	s := newSpeech(o)
	dst = append(dst, candidate...)
	for i := range a.Parts {
		p := &a.Parts[i]
		switch {
		case p.Call != nil:
			if args, ok := s.arguments(p.Call, []byte(p.Call.Arguments)); ok {
				dst = s.call(dst, p.Call, args)
			}
		case p.Kind == llm.PartImage, p.Kind == llm.PartFile:
			dst = s.media(dst, p.Media)
		case p.Kind == llm.PartText, p.Kind == llm.PartThinking, p.Kind == llm.PartRefusal:
			dst = s.say(dst, []byte(p.Text), p.Kind)
		}
		dst = s.seal(dst, p.Opaque)
	}
	dst = append(s.release(dst), "]}"...)
	dst = s.appendFinish(dst, a.Stop)
	dst = append(dst, `,"index":0}]`...)
	dst = appendUsage(dst, a.Usage)
	return appendIdentity(dst, a.Model, a.ID, o)
}
