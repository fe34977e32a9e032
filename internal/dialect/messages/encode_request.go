package messages

import (
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
	// maxToolName is how long the name of a tool may be.
	maxToolName = 128
	// maxTools is how many tools are sent. More than that no upstream takes.
	maxTools = 128
	// maxUser is how long metadata.user_id may be.
	maxUser = 256
	// maxBreakpoints is how many cache_control members a request may have.
	maxBreakpoints = 4
	// someOutput is the limit where neither the client nor the catalogue names one: all models can do it.
	someOutput = 8192
)

// EncodeRequest implements dialect.Upstream. Its error is a *dialect.Failure with Status 400: the request asks for
// something that this dialect cannot do and that must not be left out.
func (Codec) EncodeRequest(r *llm.Request, t dialect.Target) (dialect.Encoded, error) {
	e := requestEncoder{r: r, t: t, native: r.Source == string(dialect.Messages)}
	if err := e.refuse(); err != nil {
		return dialect.Encoded{}, err
	}
	e.buf = make([]byte, 0, len(r.Raw)+len(r.Raw)/8+4096)
	if err := e.tools(); err != nil {
		return dialect.Encoded{}, err
	}
	e.system()
	if err := e.turns(); err != nil {
		return dialect.Encoded{}, err
	}
	e.think()
	e.finishTurns()
	e.placeCache()
	body := e.body()
	return dialect.Encoded{Body: body, Lost: e.lost, Tools: e.names, Stop: e.unsent}, nil
}

// requestEncoder writes one request. Blocks are written to buf first, as objects without their closing brace, because
// only at the end it is known where cache breakpoints go.
type requestEncoder struct {
	r      *llm.Request
	t      dialect.Target
	native bool // the client speaks this dialect: what it wrote is right for it
	names  *dialect.ToolNames
	lost   []string
	unsent []string // stop sequences that the API refuses

	buf      []byte
	toolList []piece
	sysList  []piece
	list     []message
	choice   string // JSON, or ""
	forced   bool   // a tool has to be called
	pairs    pairing

	thinking  string // JSON, or ""
	effort    llm.Effort
	thinks    bool
	maxOutput int
}

// piece is buf[lo:hi], a block or a tool: an object that lacks its closing brace.
type piece struct {
	lo, hi int
	kind   llm.PartKind
	cache  bool // a breakpoint behind it
	call   bool // a tool_use
	result bool // a tool_result
}

// message is one message of the conversation.
type message struct {
	role   llm.Role
	blocks []piece
}

// lose reports that something was left out, once.
func (e *requestEncoder) lose(what string) {
	if !slices.Contains(e.lost, what) {
		e.lost = append(e.lost, what)
	}
}

// refuse finds what must not be left out.
func (e *requestEncoder) refuse() error {
	switch e.r.Output.Format {
	case "", "text", "json_object", "json_schema":
	default:
		return dialect.InvalidRequest("", "the model cannot answer in the format %q", e.r.Output.Format)
	}
	if e.r.Candidates > 1 {
		return dialect.InvalidRequest("n", "the model gives one answer at a time, not %d", e.r.Candidates)
	}
	return nil
}

// system writes the instructions, a block for each part.
func (e *requestEncoder) system() {
	for i := range e.r.System {
		p := &e.r.System[i]
		if p.Kind != llm.PartText || blank(p.Text) || strings.HasPrefix(p.Text, attribution) {
			continue
		}
		e.sysList = append(e.sysList, e.textBlock(p.Text, p.Cache))
	}
	if e.r.Output.Format == "json_object" {
		e.sysList = append(e.sysList, e.textBlock("Reply with a single JSON object and nothing else.", nil))
	}
}

// blank reports whether text is empty but for white space. The API refuses blocks of such text.
func blank(text string) bool { return strings.TrimSpace(text) == "" }

func (e *requestEncoder) textBlock(text string, cache *llm.Cache) piece {
	lo := len(e.buf)
	e.buf = rawjson.AppendString(append(e.buf, `{"type":"text","text":`...), text)
	return piece{lo: lo, hi: len(e.buf), kind: llm.PartText, cache: cache != nil}
}

// body puts the request together.
func (e *requestEncoder) body() []byte {
	r := e.r
	out := make([]byte, 0, len(e.buf)+len(e.buf)/16+1024)
	out = rawjson.AppendString(append(out, `{"model":`...), e.model())
	out = strconv.AppendInt(append(out, `,"max_tokens":`...), int64(e.maxOutput), 10)
	if len(e.sysList) > 0 {
		out = e.appendBlocks(append(out, `,"system":`...), e.sysList)
	}
	out = append(out, `,"messages":[`...)
	for i := range e.list {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, `{"role":"`...)
		out = append(out, [...]string{"user", "assistant", "system"}[e.list[i].role]...)
		out = append(e.appendBlocks(append(out, `","content":`...), e.list[i].blocks), '}')
	}
	out = append(out, ']')
	if len(e.toolList) > 0 {
		out = e.appendBlocks(append(out, `,"tools":`...), e.toolList)
		if e.choice != "" {
			out = append(append(out, `,"tool_choice":`...), e.choice...)
		}
	}
	if e.thinking != "" {
		out = append(append(out, `,"thinking":`...), e.thinking...)
	}
	out = e.appendOutputConfig(out)
	out = e.appendSampling(out)
	out = e.appendUser(out)
	if e.native {
		out = e.appendExtras(out)
	} else {
		e.loseExtras()
	}
	if r.Stream {
		out = append(out, `,"stream":true`...)
	}
	return append(out, '}')
}

func (e *requestEncoder) model() string {
	if e.t.Model != "" {
		return e.t.Model
	}
	return e.r.Model
}

func (e *requestEncoder) appendBlocks(out []byte, list []piece) []byte {
	out = append(out, '[')
	for i, b := range list {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, e.buf[b.lo:b.hi]...)
		if b.cache {
			out = append(out, `,"cache_control":{"type":"ephemeral"}`...)
		}
		out = append(out, '}')
	}
	return append(out, ']')
}

// appendOutputConfig appends effort and the shape of the answer.
func (e *requestEncoder) appendOutputConfig(out []byte) []byte {
	schema := e.r.Output.Schema
	if e.r.Output.Format != "json_schema" || len(schema) == 0 {
		schema = nil
	} else if !e.native {
		schema = strictSchema(schema)
	}
	if e.effort == "" && schema == nil {
		return out
	}
	out = append(out, `,"output_config":{`...)
	if e.effort != "" {
		out = append(append(append(out, `"effort":"`...), e.effort...), '"')
	}
	if schema != nil {
		if e.effort != "" {
			out = append(out, ',')
		}
		out = append(append(append(out, `"format":{"type":"json_schema","schema":`...), schema...), '}')
	}
	if e.r.Output.Verbosity != "" {
		e.lose("verbosity")
	}
	return append(out, '}')
}

// appendSampling appends what shapes the choice of tokens. Reasoning models refuse most of it.
func (e *requestEncoder) appendSampling(out []byte) []byte {
	r := e.r
	fixed := e.thinks || e.t.Reasons
	switch {
	case r.Temperature == nil:
	case fixed:
		if *r.Temperature != 1 {
			e.lose("temperature")
		}
	default:
		out = strconv.AppendFloat(append(out, `,"temperature":`...), max(0, min(1, *r.Temperature)), 'g', -1, 64)
	}
	switch {
	case r.TopP == nil:
	case !fixed && r.Temperature == nil, e.thinks && !e.t.Reasons && *r.TopP >= 0.95 && *r.TopP <= 1:
		out = strconv.AppendFloat(append(out, `,"top_p":`...), max(0, min(1, *r.TopP)), 'g', -1, 64)
	case *r.TopP != 1:
		e.lose("top_p")
	}
	switch {
	case r.TopK == nil:
	case fixed:
		e.lose("top_k")
	default:
		out = strconv.AppendInt(append(out, `,"top_k":`...), int64(*r.TopK), 10)
	}
	n := 0
	for _, s := range r.Stop {
		switch {
		case blank(s):
			e.unsent = append(e.unsent, s)
			continue
		case n == 0:
			out = append(out, `,"stop_sequences":[`...)
		default:
			out = append(out, ',')
		}
		out = rawjson.AppendString(out, s)
		n++
	}
	if n > 0 {
		out = append(out, ']')
	}
	return out
}

// appendUser appends who the end user is. A client of this dialect said so itself, in a member that is kept.
func (e *requestEncoder) appendUser(out []byte) []byte {
	if e.native || e.r.User == "" {
		return out
	}
	user := e.r.User
	if len(user) > maxUser {
		user = dialect.CallID(user)
	}
	out = append(out, `,"metadata":{"user_id":`...)
	return append(rawjson.AppendString(out, user), '}')
}

// appendExtras appends what the client of this dialect said beyond the neutral words. The other members are written
// from those, so that they are not among the extras.
func (e *requestEncoder) appendExtras(out []byte) []byte {
	for _, name := range slices.Sorted(maps.Keys(e.r.Extras)) {
		out = rawjson.AppendString(append(out, ','), name)
		out = append(append(out, ':'), e.r.Extras[name]...)
	}
	return out
}

// loseExtras reports the members of another dialect that would have changed the answer.
func (e *requestEncoder) loseExtras() {
	for _, name := range slices.Sorted(maps.Keys(e.r.Extras)) {
		if changesAnswer(name, e.r.Extras[name]) {
			e.lose(name)
		}
	}
	if e.r.Output.Verbosity != "" {
		e.lose("verbosity")
	}
}

// changesAnswer reports whether a member of another dialect means something for the answer. Bookkeeping, caching,
// tracing and what only says the default do not.
func changesAnswer(name string, value json.RawMessage) bool {
	switch name {
	case "store", "metadata", "client_metadata", "include", "stream_options", "user", "safety_identifier",
		"prompt_cache_key", "prompt_cache_retention", "prompt_cache_options", "service_tier", "serviceTier", "truncation",
		"labels", "safetySettings", "moderation":
		return false
	}
	return !rawjson.Empty(value) && string(value) != "false" && string(value) != "0"
}
