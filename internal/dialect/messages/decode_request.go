package messages

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"detour/internal/dialect"
	"detour/internal/dialect/rawjson"
	"detour/internal/llm"
)

// attribution begins a system block that a client puts in front of its instructions to name itself. It differs from
// request to request, so that it would keep every prompt cache from being used.
const attribution = "x-anthropic-billing-header:"

// DecodeRequest implements dialect.Client. It serves messages and messages/count_tokens: max_tokens may be missing.
func (Codec) DecodeRequest(body []byte) (*llm.Request, error) {
	b, err := dialect.ReadBody(body)
	if err != nil {
		return nil, err
	}
	head, err := b.Peek()
	if err != nil {
		return nil, err
	}
	d := requestDecoder{r: &llm.Request{Model: head.Model, Stream: head.Stream, Source: string(dialect.Messages), Raw: body}}
	var messages []byte
	cached := false
	for it := b.Members(); it.Next(); {
		v := it.Raw()
		name := string(it.Key())
		switch name {
		case "model", "stream":
		case "messages":
			messages = v
		case "cache_control":
			cached = rawjson.Of(v) == rawjson.Object
		default:
			if rawjson.Of(v) == rawjson.Null {
				continue
			}
			if err := d.member(name, v); err != nil {
				return nil, err
			}
		}
	}
	if err := d.messages(messages); err != nil {
		return nil, err
	}
	d.settle()
	if cached {
		d.cacheLast()
	}
	return d.r, nil
}

// requestDecoder reads one request.
type requestDecoder struct {
	r       *llm.Request
	scratch []byte
	// searches are the queries of hosted searches in the turn that is being read, by the id of the call.
	searches map[string]string
	clearing []int // turns of instructions that end with the user's turn
}

// text returns the string that raw quotes.
func (d *requestDecoder) text(raw []byte) string {
	d.scratch = rawjson.AppendText(d.scratch[:0], raw)
	return string(d.scratch)
}

// member takes one member of the request that is not null.
func (d *requestDecoder) member(name string, v []byte) error {
	r := d.r
	switch name {
	case "system":
		return d.system(v)
	case "max_tokens":
		n, err := readInt(name, v)
		r.MaxOutput = max(1, n) // 0 fills the prompt cache only: 1 is the nearest that others can say
		return err
	case "temperature":
		return readFloat(name, v, &r.Temperature)
	case "top_p":
		return readFloat(name, v, &r.TopP)
	case "top_k":
		n, err := readInt(name, v)
		r.TopK = &n
		return err
	case "stop_sequences":
		return d.stops(v)
	case "thinking":
		return d.thinking(v)
	case "output_config":
		return d.outputConfig(v)
	case "output_format":
		return d.format(name, v)
	case "tools":
		return d.tools(v)
	case "tool_choice":
		return d.choice(v)
	case "metadata":
		if err := mustBe(name, v, rawjson.Object); err != nil {
			return err
		}
		d.user(rawjson.Text(rawjson.Get(v, "user_id")))
	}
	if r.Extras == nil {
		r.Extras = map[string]json.RawMessage{}
	}
	r.Extras[name] = v
	return nil
}

// user finds person and conversation in what a client gives as its user's id. Both forms that clients use hold both.
func (d *requestDecoder) user(id []byte) {
	d.r.Session = session(id)
	if rawjson.Valid(id) && rawjson.Of(id) == rawjson.Object {
		for _, key := range []string{"user_id", "account_uuid", "device_id"} {
			if who := rawjson.Text(rawjson.Get(id, key)); len(who) > 0 {
				d.r.User = string(who)
				return
			}
		}
		return
	}
	if i := bytes.LastIndex(id, []byte("_session_")); i >= 0 {
		id = id[:i]
	}
	d.r.User = string(id)
}

func (d *requestDecoder) system(v []byte) error {
	switch kind := rawjson.Of(v); kind {
	case rawjson.String:
		d.instruct(llm.Part{Text: d.text(v)})
		return nil
	case rawjson.Array:
	default:
		return dialect.InvalidRequest("system", "must be a string or an array, not %s", kind)
	}
	it := rawjson.Elements(v, 0)
	for i := 0; it.Next(); i++ {
		path := dialect.Index("system", i)
		if err := mustBe(path, it.Raw(), rawjson.Object); err != nil {
			return err
		}
		b := readBlock(it.Raw())
		if string(b.typ) != "text" {
			return dialect.InvalidRequest(path+".type", "must be text, not %q", b.typ)
		}
		if err := mustBe(path+".text", b.text, rawjson.String); err != nil {
			return err
		}
		d.instruct(llm.Part{Text: d.text(b.text), Cache: readCache(b.cache)})
	}
	return nil
}

func (d *requestDecoder) instruct(p llm.Part) {
	if p.Text != "" && !strings.HasPrefix(p.Text, attribution) {
		d.r.System = append(d.r.System, p)
	}
}

func (d *requestDecoder) stops(v []byte) error {
	if err := mustBe("stop_sequences", v, rawjson.Array); err != nil {
		return err
	}
	it := rawjson.Elements(v, 0)
	for i := 0; it.Next(); i++ {
		if err := mustBe(dialect.Index("stop_sequences", i), it.Raw(), rawjson.String); err != nil {
			return err
		}
		if s := d.text(it.Raw()); s != "" {
			d.r.Stop = append(d.r.Stop, s)
		}
	}
	return nil
}

func (d *requestDecoder) thinking(v []byte) error {
	if err := mustBe("thinking", v, rawjson.Object); err != nil {
		return err
	}
	reasoning := &d.r.Reasoning
	reasoning.Display = string(rawjson.Text(rawjson.Get(v, "display")))
	switch typ := rawjson.Text(rawjson.Get(v, "type")); string(typ) {
	case "":
		return dialect.InvalidRequest("thinking.type", "is required")
	case "disabled":
		reasoning.Disabled = true
	case "enabled":
		n, err := readInt("thinking.budget_tokens", rawjson.Get(v, "budget_tokens"))
		if err != nil {
			return err
		}
		reasoning.Budget = n
	default: // adaptive, and what may come after it
		reasoning.Adaptive = true
	}
	return nil
}

func (d *requestDecoder) outputConfig(v []byte) error {
	if err := mustBe("output_config", v, rawjson.Object); err != nil {
		return err
	}
	for it := rawjson.Members(v, 0); it.Next(); {
		switch string(it.Key()) {
		case "effort":
			if rawjson.Of(it.Raw()) == rawjson.Null {
				continue
			}
			if err := mustBe("output_config.effort", it.Raw(), rawjson.String); err != nil {
				return err
			}
			d.r.Reasoning.Effort = llm.Effort(rawjson.Text(it.Raw()))
		case "format":
			if err := d.format("output_config.format", it.Raw()); err != nil {
				return err
			}
		}
	}
	return nil
}

// format reads the shape that the answer must have. json_schema is the only one.
func (d *requestDecoder) format(path string, v []byte) error {
	if rawjson.Of(v) == rawjson.Null {
		return nil
	}
	if err := mustBe(path, v, rawjson.Object); err != nil {
		return err
	}
	schema := rawjson.Get(v, "schema")
	switch typ := rawjson.Text(rawjson.Get(v, "type")); {
	case string(typ) == "text":
		return nil
	case string(typ) != "json_schema":
		return dialect.InvalidRequest(path+".type", "must be json_schema, not %q", typ)
	case rawjson.Of(schema) != rawjson.Object:
		return dialect.InvalidRequest(path+".schema", "must be an object, not %s", rawjson.Of(schema))
	}
	d.r.Output = llm.Output{Format: "json_schema", Name: string(rawjson.Text(rawjson.Get(v, "name"))), Schema: schema}
	return nil
}

// settle decides what only the whole request tells.
func (d *requestDecoder) settle() {
	reasoning := &d.r.Reasoning
	asked := reasoning.Adaptive || reasoning.Budget > 0
	reasoning.Hidden = !asked // answers to such requests begin with the text
	reasoning.Encrypted = asked || len(d.r.Tools) > 0
}

// cacheLast puts the breakpoint of automatic caching behind the last part that can have one.
func (d *requestDecoder) cacheLast() {
	for _, turn := range slices.Backward(d.r.Turns) {
		parts := turn.Parts
		for j := len(parts) - 1; j >= 0; j-- {
			if p := &parts[j]; p.Kind != llm.PartThinking {
				if p.Cache == nil {
					p.Cache = &llm.Cache{}
				}
				return
			}
		}
	}
}

// mustBe reports a value of another kind.
func mustBe(path string, v []byte, want rawjson.Kind) error {
	switch kind := rawjson.Of(v); kind {
	case want:
		return nil
	case rawjson.None:
		return dialect.InvalidRequest(path, "is required")
	default:
		return dialect.InvalidRequest(path, "must be %s, not %s", want, kind)
	}
}

// readInt reads a count.
func readInt(path string, v []byte) (int, error) {
	if err := mustBe(path, v, rawjson.Number); err != nil {
		return 0, err
	}
	n, ok := rawjson.Int(v)
	if !ok || n < 0 {
		return 0, dialect.InvalidRequest(path, "must not be negative")
	}
	return int(min(n, 1<<31-1)), nil
}

func readFloat(path string, v []byte, into **float64) error {
	if err := mustBe(path, v, rawjson.Number); err != nil {
		return err
	}
	f, err := strconv.ParseFloat(string(v), 64)
	if err != nil {
		return dialect.InvalidRequest(path, "is out of range")
	}
	*into = &f
	return nil
}

// readCache reads a cache_control member.
func readCache(v []byte) *llm.Cache {
	if rawjson.Of(v) != rawjson.Object {
		return nil
	}
	return &llm.Cache{TTL: string(rawjson.Text(rawjson.Get(v, "ttl")))}
}
