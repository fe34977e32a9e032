package chat

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strconv"

	"detour/internal/dialect"
	"detour/internal/dialect/rawjson"
	"detour/internal/llm"
)

// EncodeRequest implements dialect.Upstream. Its error is a *dialect.Failure with Status 400, for what cannot be left out
// without changing the meaning of the request.
func (Codec) EncodeRequest(r *llm.Request, t dialect.Target) (dialect.Encoded, error) {
	e := requestEncoder{r: r, t: t, out: make([]byte, 0, len(r.Raw)+len(r.Raw)/8+1024)}
	e.names = dialect.NewToolNames(r.Tools, maxName, e.wrapped)
	e.pair()
	e.out = append(e.out, `{"model":`...)
	e.out = rawjson.AppendString(e.out, t.Model)
	e.out = append(e.out, `,"messages":[`...)
	e.messages()
	e.out = append(e.out, ']')
	if err := e.tools(); err != nil {
		return dialect.Encoded{}, err
	}
	e.sampling()
	e.reasoning()
	if err := e.format(); err != nil {
		return dialect.Encoded{}, err
	}
	e.identity()
	e.extras()
	if r.Stream {
		e.out = append(e.out, `,"stream":true,"stream_options":{"include_usage":true}`...)
	}
	e.out = append(e.out, '}')
	return dialect.Encoded{Body: e.out, Lost: e.lost, Tools: e.names, Stop: e.unsent}, nil
}

// maxName is how long the name of a tool may be, in bytes.
const maxName = 64

// requestEncoder writes one request.
type requestEncoder struct {
	r     *llm.Request
	t     dialect.Target
	out   []byte
	lost  []string
	names *dialect.ToolNames
	// unsent has the stop sequences beyond what the API takes.
	unsent []string

	calls  []pairedCall         // of the history, in order
	orphan map[*llm.Result]bool // results without a call
	next   int                  // the first of calls that is not written
	last   [2]int               // where the last messages that a cache marker may go to end, newest first
	marked int                  // system messages that have a cache marker
	count  int                  // messages written
}

// lose notes what was left out.
func (e *requestEncoder) lose(what string) {
	if !slices.Contains(e.lost, what) {
		e.lost = append(e.lost, what)
	}
}

// key begins a member of the body.
func (e *requestEncoder) key(name string) {
	e.out = append(e.out, ',', '"')
	e.out = append(e.out, name...)
	e.out = append(e.out, '"', ':')
}

func (e *requestEncoder) str(name, value string) {
	if value != "" {
		e.key(name)
		e.out = rawjson.AppendString(e.out, value)
	}
}

func (e *requestEncoder) int(name string, value int) {
	e.key(name)
	e.out = strconv.AppendInt(e.out, int64(value), 10)
}

// float writes a sampling parameter, unless the model refuses those.
func (e *requestEncoder) float(name string, value *float64, refused bool) {
	switch {
	case value == nil:
	case refused:
		e.lose(name)
	default:
		e.key(name)
		e.out = strconv.AppendFloat(e.out, *value, 'g', -1, 64)
	}
}

// sampling writes limits and sampling parameters.
func (e *requestEncoder) sampling() {
	limit, budget := e.limits()
	name := "max_completion_tokens"
	if e.t.MaxTokensOld {
		name = "max_tokens"
	}
	if limit > 0 {
		e.int(name, limit)
	}
	if budget > 0 {
		e.int("thinking_budget", budget)
	}
	refused := e.t.Reasons || budget > 0
	e.float("temperature", e.r.Temperature, refused)
	e.float("top_p", e.r.TopP, refused)
	if e.r.TopK != nil {
		e.lose("top_k")
	}
	if e.r.Candidates > 1 {
		e.lose("n")
	}
	e.stops()
}

// stops writes the stop sequences that the API takes. The answer is to be ended at the others here.
func (e *requestEncoder) stops() {
	const most = 4
	sent := e.r.Stop[:min(len(e.r.Stop), most)]
	for i, s := range sent {
		if i == 0 {
			e.key("stop")
			e.out = append(e.out, '[')
		} else {
			e.out = append(e.out, ',')
		}
		e.out = rawjson.AppendString(e.out, s)
	}
	if len(sent) > 0 {
		e.out = append(e.out, ']')
	}
	e.unsent = e.r.Stop[len(sent):]
}

// identity writes who asks. Names of end users that are long, or that another dialect has in a form of its own, go out
// as a digest.
func (e *requestEncoder) identity() {
	const maxUser = 64
	user := e.r.User
	if len(user) > maxUser || user != "" && e.r.Source == string(dialect.Messages) {
		sum := sha256.Sum256([]byte(user))
		user = hex.EncodeToString(sum[:])
	}
	e.str("user", user)
	e.str("prompt_cache_key", e.r.Session)
}

// extras writes what has no word of its own in package llm. Members of another dialect mean nothing here, and what of
// them changes more than cost or bookkeeping is reported.
func (e *requestEncoder) extras() {
	for _, name := range slices.Sorted(maps.Keys(e.r.Extras)) {
		raw := e.r.Extras[name]
		switch name {
		case "service_tier":
			e.lose(name)
			continue
		case "store", "metadata", "include", "truncation", "client_metadata", "stream_options", "prompt_cache_retention",
			"prompt_cache_options", "betas", "context_management", "background", "input", "instructions":
			continue
		case "top_logprobs":
			if e.r.Source == string(dialect.Responses) {
				e.out = append(e.out, `,"logprobs":true,"top_logprobs":`...)
				e.out = append(e.out, raw...)
				continue
			}
		}
		if e.r.Source != string(dialect.Chat) {
			e.lose(name)
			continue
		}
		e.out = append(e.out, ',')
		e.out = rawjson.AppendString(e.out, name)
		e.out = append(e.out, ':')
		e.out = append(e.out, raw...)
	}
}

// format writes the shape that the answer must have.
func (e *requestEncoder) format() error {
	o := &e.r.Output
	switch o.Format {
	case "", "text":
	case "json_object":
		e.out = append(e.out, `,"response_format":{"type":"json_object"}`...)
	case "json_schema":
		e.schema()
	default:
		return dialect.InvalidRequest("", "output in the format %q cannot be had from this model", o.Format)
	}
	e.str("verbosity", o.Verbosity)
	return nil
}

func (e *requestEncoder) schema() {
	o := &e.r.Output
	name := o.Name
	if name == "" {
		name = "structured_output"
	}
	e.out = append(e.out, `,"response_format":{"type":"json_schema","json_schema":{"name":`...)
	e.out = rawjson.AppendString(e.out, name)
	if rawjson.Of(o.Schema) == rawjson.Object {
		e.out = append(e.out, `,"schema":`...)
		e.out = append(e.out, o.Schema...)
	}
	switch strict := strictSchema(o.Schema); {
	case o.Strict == nil && e.r.Source == string(dialect.Chat):
	case o.Strict != nil && *o.Strict && !strict:
		e.lose("strict")
		fallthrough
	case o.Strict != nil && !*o.Strict:
		e.out = append(e.out, `,"strict":false`...)
	default: // the other dialects keep to a schema without being told to
		e.out = append(e.out, `,"strict":`...)
		e.out = strconv.AppendBool(e.out, strict)
	}
	e.out = append(e.out, "}}"...)
}
