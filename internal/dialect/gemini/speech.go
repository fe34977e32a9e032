package gemini

import (
	"bytes"
	"encoding/base64"
	"strconv"

	"detour/internal/dialect"
	"detour/internal/dialect/rawjson"
	"detour/internal/llm"
)

// speech writes the parts of one answer, streamed or not.
//
// The state of thinking rides on the part that the thinking led to, as it does in answers of the service: clients drop
// thoughts from the history but keep the signature of a text or call. Only where no such part comes it has one of its
// own, an empty thought.
type speech struct {
	hidden    bool   // thoughts are not wanted
	pending   string // state that waits for its part
	refused   bool   // something was declined in words
	malformed string // name of a function whose arguments are no object
	parts     int    // parts since the list began, for the commas
}

func newSpeech(o dialect.AnswerOptions) speech {
	return speech{hidden: o.Request != nil && o.Request.Reasoning.Hidden}
}

// say appends a part of text.
func (s *speech) say(dst []byte, text []byte, kind llm.PartKind) []byte {
	if len(text) == 0 {
		return dst
	}
	thought := kind == llm.PartThinking
	switch {
	case thought && s.hidden:
		return dst
	case thought:
		dst = s.release(dst) // of the thinking before this one
	case kind == llm.PartRefusal:
		s.refused = true
	}
	dst = append(s.comma(dst), `{"text":`...)
	dst = rawjson.AppendString(dst, text)
	if thought {
		dst = append(dst, `,"thought":true`...)
	}
	return append(s.ride(dst), '}')
}

// seal takes the state of thinking. Only what was packed for a client can be written.
func (s *speech) seal(dst []byte, o llm.Opaque) []byte {
	if o.Kind != llm.OpaqueCarrier {
		return dst
	}
	dst = s.release(dst)
	s.pending = o.Value
	return dst
}

// ride appends the pending state to the part that is being written.
func (s *speech) ride(dst []byte) []byte {
	if s.pending == "" {
		return dst
	}
	dst = append(dst, `,"thoughtSignature":"`...)
	dst = base64.StdEncoding.AppendEncode(dst, []byte(s.pending))
	s.pending = ""
	return append(dst, '"')
}

// release writes the pending state without a part to ride on.
func (s *speech) release(dst []byte) []byte {
	if s.pending == "" {
		return dst
	}
	dst = append(s.comma(dst), `{"text":"","thought":true`...)
	return append(s.ride(dst), '}')
}

// arguments returns the JSON text of the arguments of a call. ok is false for a call that must not be written: one that
// the provider ran itself, and one whose arguments are no JSON object, because they were cut off or are wrong and the
// client would run it all the same.
func (s *speech) arguments(c *llm.Call, raw []byte) (args []byte, ok bool) {
	switch c.Kind {
	case llm.ToolHosted:
		return nil, false
	case llm.ToolCustom:
		return dialect.Wrap(string(raw)), true
	}
	raw = bytes.TrimSpace(raw)
	switch {
	case len(raw) == 0, string(raw) == "null":
		return []byte("{}"), true
	case raw[0] != '{' || !rawjson.Valid(raw):
		s.malformed = c.Name
		return nil, false
	}
	return raw, true
}

// call appends a whole call. args come from arguments.
func (s *speech) call(dst []byte, c *llm.Call, args []byte) []byte {
	dst = append(s.comma(dst), `{"functionCall":{`...)
	if c.ID != "" {
		dst = append(rawjson.AppendString(append(dst, `"id":`...), c.ID), ',')
	}
	dst = rawjson.AppendString(append(dst, `"name":`...), c.Name)
	dst = appendLine(append(dst, `,"args":`...), args)
	return append(s.ride(append(dst, '}')), '}')
}

// media appends an image or file that came as data.
func (s *speech) media(dst []byte, m *llm.Media) []byte {
	if m == nil || m.Data == "" {
		return dst
	}
	dst = append(s.comma(dst), `{"inlineData":{"mimeType":`...)
	dst = rawjson.AppendString(dst, m.Type)
	dst = append(dst, `,"data":`...)
	dst = append(rawjson.AppendString(dst, m.Data), '}')
	return append(s.ride(dst), '}')
}

func (s *speech) comma(dst []byte) []byte {
	s.parts++
	if s.parts > 1 {
		dst = append(dst, ',')
	}
	return dst
}

// finish returns finishReason and, where there is more to say, finishMessage.
func (s *speech) finish(stop llm.Stop) (reason, message string) {
	switch stop {
	case llm.StopLength, llm.StopWindow:
		return "MAX_TOKENS", ""
	case llm.StopFilter:
		return "SAFETY", ""
	}
	if s.malformed != "" {
		return "MALFORMED_FUNCTION_CALL", "the arguments of " + s.malformed + " are not a JSON object"
	}
	if s.refused {
		return "SAFETY", ""
	}
	return "STOP", ""
}

// appendFinish appends the members behind the content of a candidate that is complete.
func (s *speech) appendFinish(dst []byte, stop llm.Stop) []byte {
	reason, message := s.finish(stop)
	dst = append(append(append(dst, `,"finishReason":"`...), reason...), '"')
	if message != "" {
		dst = rawjson.AppendString(append(dst, `,"finishMessage":`...), message)
	}
	return dst
}

// appendLine appends valid JSON text on one line. A line break in it can only be white space between tokens.
func appendLine(dst, raw []byte) []byte {
	from := len(dst)
	dst = append(dst, raw...)
	for i, c := range dst[from:] {
		if c == '\n' || c == '\r' {
			dst[from+i] = ' '
		}
	}
	return dst
}

// appendUsage appends usageMetadata with a comma before it, or nothing where the upstream gave no figures. The prompt
// counts what came from the cache, and candidates leave out the thoughts.
func appendUsage(dst []byte, u llm.Usage) []byte {
	if !u.Reported {
		return dst
	}
	prompt := max(0, u.Input) + max(0, u.CacheRead) + max(0, u.CacheWrite)
	output := max(0, u.Output)
	thoughts := min(max(0, u.Reasoning), output)
	dst = appendInt(append(dst, `,"usageMetadata":{"promptTokenCount":`...), prompt)
	dst = appendInt(append(dst, `,"candidatesTokenCount":`...), output-thoughts)
	dst = appendInt(append(dst, `,"thoughtsTokenCount":`...), thoughts)
	dst = appendInt(append(dst, `,"cachedContentTokenCount":`...), max(0, u.CacheRead))
	dst = appendInt(append(dst, `,"totalTokenCount":`...), prompt+output)
	return append(dst, '}')
}

func appendInt(dst []byte, n int64) []byte { return strconv.AppendInt(dst, n, 10) }

// appendIdentity appends the members that end every chunk, and closes it. Of the model's name it is the client's own
// that counts.
func appendIdentity(dst []byte, model, id string, o dialect.AnswerOptions) []byte {
	if o.Model != "" {
		model = o.Model
	}
	if id == "" {
		id = o.ID
	}
	dst = rawjson.AppendString(append(dst, `,"modelVersion":`...), model)
	dst = rawjson.AppendString(append(dst, `,"responseId":`...), id)
	return append(dst, '}')
}
