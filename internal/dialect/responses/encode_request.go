package responses

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"detour/internal/dialect"
	"detour/internal/dialect/rawjson"
	"detour/internal/llm"
)

const (
	minOutput = 16  // tokens; the API refuses less
	maxTools  = 128 // that are sent
	maxName   = 64  // bytes of a tool's name
	maxUser   = 64  // bytes of an end user's name
)

// requestEncoder is one EncodeRequest.
type requestEncoder struct {
	r      *llm.Request
	t      dialect.Target
	names  *dialect.ToolNames
	tools  []llm.Tool // those that are sent
	hosted []string   // types of hosted tools that are left out
	pairs  pairing
	lost   []string
}

// EncodeRequest implements dialect.Upstream.
func (Codec) EncodeRequest(r *llm.Request, t dialect.Target) (dialect.Encoded, error) {
	e := &requestEncoder{r: r, t: t}
	if r.Candidates > 1 {
		return dialect.Encoded{}, dialect.InvalidRequest(e.word("n"), "only one answer can be had")
	}
	e.chooseTools()
	if err := e.checkChoice(); err != nil {
		return dialect.Encoded{}, err
	}
	e.pairs = pairUp(r.Turns)
	dst := make([]byte, 0, len(r.Raw)+len(r.Raw)/8+1024)
	dst = rawjson.AppendString(append(dst, `{"model":`...), t.Model)
	dst = e.instructions(dst)
	dst = append(dst, `,"input":[`...)
	dst = e.input(dst)
	dst = append(dst, ']')
	dst = e.appendTools(dst)
	dst = e.reasoning(dst)
	var err error
	if dst, err = e.text(dst); err != nil {
		return dialect.Encoded{}, err
	}
	dst = e.sampling(dst)
	dst = append(dst, `,"store":false,"include":["reasoning.encrypted_content"`...)
	dst = append(e.include(dst), ']')
	dst = e.identity(dst)
	dst = e.extras(dst)
	dst = append(append(dst, `,"stream":`...), strconv.FormatBool(r.Stream)...)
	return dialect.Encoded{Body: append(dst, '}'), Lost: e.lost, Tools: e.names, Stop: r.Stop}, nil
}

// lose notes what is left out, once.
func (e *requestEncoder) lose(what string) {
	if !slices.Contains(e.lost, what) {
		e.lost = append(e.lost, what)
	}
}

// word returns what the client calls a field that is named here as Chat names it.
func (e *requestEncoder) word(field string) string {
	switch e.r.Source + " " + field {
	case "gemini n":
		return "candidateCount"
	case "gemini top_k":
		return "topK"
	case "gemini top_p":
		return "topP"
	}
	return field
}

// instructions appends the instructions in front of the conversation. What Claude Code says there about its own build
// differs between the requests of one conversation, so that it would keep the prompt out of every cache.
func (e *requestEncoder) instructions(dst []byte) []byte {
	var texts []string
	for i := range e.r.System {
		p := &e.r.System[i]
		if p.Kind != llm.PartText {
			e.lose("system parts that are no text")
		} else if p.Text != "" && !strings.HasPrefix(p.Text, "x-anthropic-billing-header:") {
			texts = append(texts, p.Text)
		}
	}
	if len(texts) == 0 {
		return dst
	}
	return appendMember(dst, "instructions", strings.Join(texts, "\n\n"))
}

// reasoning appends how hard the model shall think, and that it shall tell, if the client wants to see it.
func (e *requestEncoder) reasoning(dst []byte) []byte {
	o := &e.r.Reasoning
	var effort llm.Effort
	switch {
	case o.Disabled:
		effort = e.leastEffort()
	case o.Effort != llm.EffortUnset:
		effort = clampEffort(o.Effort, e.t.Efforts)
	case o.Budget > 0:
		effort = clampEffort(effortOf(o.Budget), e.t.Efforts)
	}
	summary := o.Summary
	if summary == "" && e.wantsThoughts(effort) {
		summary = "auto"
	}
	if effort == llm.EffortUnset && summary == "" {
		return dst
	}
	dst = append(dst, `,"reasoning":{`...)
	if effort != llm.EffortUnset {
		dst = rawjson.AppendString(append(dst, `"effort":`...), string(effort))
	}
	if summary != "" {
		if effort != llm.EffortUnset {
			dst = append(dst, ',')
		}
		dst = rawjson.AppendString(append(dst, `"summary":`...), summary)
	}
	return append(dst, '}')
}

// leastEffort returns the level that comes nearest to no thinking where the model is known to have one.
func (e *requestEncoder) leastEffort() llm.Effort {
	for _, level := range [...]llm.Effort{llm.EffortNone, llm.EffortMinimal} {
		if slices.Contains(e.t.Efforts, level) {
			return level
		}
	}
	return llm.EffortUnset
}

// wantsThoughts reports whether a client of another dialect expects to see thoughts that the model only tells when
// asked.
func (e *requestEncoder) wantsThoughts(effort llm.Effort) bool {
	o := &e.r.Reasoning
	if e.r.Source == string(dialect.Responses) || o.Hidden || o.Disabled || o.Display == "omitted" || effort == llm.EffortNone {
		return false
	}
	asked := effort != llm.EffortUnset || o.Adaptive
	return asked || e.t.Reasons && e.r.Source != string(dialect.Messages)
}

// effortOf returns the level that stands for a budget in tokens.
func effortOf(budget int) llm.Effort {
	switch {
	case budget <= 1024:
		return llm.EffortLow
	case budget <= 8192:
		return llm.EffortMedium
	case budget <= 24576:
		return llm.EffortHigh
	}
	return llm.EffortXHigh
}

// clampEffort returns the nearest level at or below e that the model has, else the nearest above it.
func clampEffort(e llm.Effort, has []llm.Effort) llm.Effort {
	if len(has) == 0 || slices.Contains(has, e) {
		return e
	}
	all := efforts()
	at := slices.Index(all, e)
	for i := at - 1; i >= 0; i-- {
		if slices.Contains(has, all[i]) && all[i] != llm.EffortNone {
			return all[i]
		}
	}
	for i := at + 1; i < len(all); i++ {
		if slices.Contains(has, all[i]) {
			return all[i]
		}
	}
	return e
}

// text appends the shape that the answer must have.
func (e *requestEncoder) text(dst []byte) ([]byte, error) {
	o := &e.r.Output
	if o.Format == "" && o.Verbosity == "" {
		return dst, nil
	}
	dst = append(dst, `,"text":{`...)
	switch o.Format {
	case "":
	case "text", "json_object":
		dst = append(dst, `"format":{"type":"`+o.Format+`"}`...)
	case "json_schema":
		name := o.Name
		if name == "" {
			name = "structured_output"
		}
		schema := o.Schema
		if rawjson.Of(schema) != rawjson.Object {
			schema = []byte(`{"type":"object"}`)
		}
		dst = append(dst, `"format":{"type":"json_schema"`...)
		dst = appendMember(dst, "name", dialect.NewToolNames(nil, maxName, nil).Wire("", name))
		dst = appendRawMember(dst, "schema", schema)
		strict := o.Strict != nil && *o.Strict && strictReady(schema)
		dst = append(appendRawMember(dst, "strict", strconv.FormatBool(strict)), '}')
	default:
		return dst, dialect.InvalidRequest("", "output in the format %q cannot be had from this model", o.Format)
	}
	if o.Verbosity != "" {
		if o.Format != "" {
			dst = append(dst, ',')
		}
		dst = rawjson.AppendString(append(dst, `"verbosity":`...), o.Verbosity)
	}
	return append(dst, '}'), nil
}

// sampling appends limits and sampling parameters.
func (e *requestEncoder) sampling(dst []byte) []byte {
	if n := e.r.MaxOutput; n > 0 {
		if e.t.MaxOutput > 0 {
			n = min(n, e.t.MaxOutput)
		}
		dst = appendRawMember(dst, "max_output_tokens", strconv.Itoa(max(n, minOutput)))
	}
	for _, p := range [...]struct {
		name  string
		value *float64
	}{{"temperature", e.r.Temperature}, {"top_p", e.r.TopP}} {
		switch {
		case p.value == nil:
		case e.t.Reasons:
			e.lose(e.word(p.name))
		default:
			dst = appendRawMember(dst, p.name, strconv.FormatFloat(*p.value, 'g', -1, 64))
		}
	}
	if e.r.TopK != nil {
		e.lose(e.word("top_k"))
	}
	return dst
}

// include appends what else a Responses client wants included.
func (e *requestEncoder) include(dst []byte) []byte {
	if e.r.Source != string(dialect.Responses) {
		return dst
	}
	for it := rawjson.Elements(e.r.Extras["include"], 0); it.Next(); {
		switch word := it.Raw(); string(word) {
		case `"reasoning.encrypted_content"`:
		case `"message.output_text.logprobs"`:
			e.lose("include: message.output_text.logprobs")
		default:
			if rawjson.Of(word) == rawjson.String {
				dst = append(append(dst, ','), word...)
			}
		}
	}
	return dst
}

// identity appends who asks, and the key under which the prompt is cached.
func (e *requestEncoder) identity(dst []byte) []byte {
	if s := e.r.Session; s != "" {
		dst = appendMember(dst, "prompt_cache_key", shorten(s))
	}
	if e.r.User == "" {
		return dst
	}
	switch id := e.r.Extras["safety_identifier"]; {
	case e.r.Source == string(dialect.Responses) && id != nil:
		return appendRawMember(dst, "safety_identifier", id)
	case e.r.Source == string(dialect.Responses) || e.r.Source == string(dialect.Chat):
		return appendMember(dst, "user", shorten(e.r.User))
	}
	return appendMember(dst, "safety_identifier", hashed(e.r.User))
}

func shorten(s string) string {
	if len(s) <= maxUser {
		return s
	}
	return hashed(s)
}

func hashed(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:16])
}

// extras writes back what only this dialect says, and reports the rest.
func (e *requestEncoder) extras(dst []byte) []byte {
	own := e.r.Source == string(dialect.Responses)
	for _, key := range sortedKeys(e.r.Extras) {
		raw := e.r.Extras[key]
		switch key {
		case "truncation", "metadata", "max_tool_calls", "context_management":
			if own {
				dst = appendRawMember(dst, key, raw)
				continue
			}
		case "include", "safety_identifier", "stream_options", "client_metadata", "web_search_options":
			continue // written elsewhere, or means nothing here
		}
		if !rawjson.Empty(raw) && string(raw) != "false" {
			e.lose(key)
		}
	}
	return dst
}

func sortedKeys(m map[string]json.RawMessage) []string { return slices.Sorted(maps.Keys(m)) }
