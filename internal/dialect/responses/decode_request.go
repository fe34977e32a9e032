package responses

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"

	"detour/internal/dialect"
	"detour/internal/dialect/rawjson"
	"detour/internal/llm"
)

// notStored is the code that clients know for state which the server does not hold; on it they send the whole history.
const notStored = "previous_response_not_found"

// requestDecoder is one DecodeRequest.
type requestDecoder struct {
	r     *llm.Request
	items history
	text  []byte // scratch
}

// str returns the string that raw quotes.
func (d *requestDecoder) str(raw []byte) string {
	if rawjson.Of(raw) != rawjson.String || len(raw) < 2 {
		return ""
	}
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1 : len(raw)-1])
	}
	d.text = rawjson.AppendText(d.text[:0], raw)
	return string(d.text)
}

// DecodeRequest implements dialect.Client.
func (Codec) DecodeRequest(body []byte) (*llm.Request, error) {
	if !rawjson.Valid(body) || rawjson.Of(bytes.TrimLeft(body, " \t\r\n")) != rawjson.Object {
		_, err := dialect.ReadBody(body) // says what is wrong
		return nil, err
	}
	d := requestDecoder{r: &llm.Request{WantUsage: true, Source: string(dialect.Responses), Raw: body}}
	var head dialect.Body
	var input []byte
	for it := rawjson.Members(body, 0); it.Next(); {
		switch key := string(it.Key()); key {
		case "model":
			head.Model = it.Raw()
		case "stream":
			head.Stream = it.Raw()
		case "input":
			input = it.Raw()
		default:
			if err := d.member(key, it.Raw()); err != nil {
				return nil, err
			}
		}
	}
	p, err := head.Peek()
	if err != nil {
		return nil, err
	}
	d.r.Model, d.r.Stream = p.Model, p.Stream
	if err := d.input(input); err != nil {
		return nil, err
	}
	return d.r, nil
}

// member takes one member of the request other than its input.
func (d *requestDecoder) member(key string, raw []byte) error {
	r := d.r
	kind := rawjson.Of(raw)
	if kind == rawjson.Null {
		return nil
	}
	switch key {
	case "instructions":
		if kind != rawjson.String {
			return dialect.InvalidRequest(key, "must be a string, not %s", kind)
		}
		if text := d.str(raw); text != "" {
			r.System = append(r.System, llm.Part{Kind: llm.PartText, Text: text})
		}
	case "tools":
		return d.tools("tools", raw, true)
	case "tool_choice":
		return d.choice(raw)
	case "parallel_tool_calls":
		return boolAt(key, raw, &r.Parallel)
	case "max_output_tokens":
		n, ok := rawjson.Int(raw)
		if !ok || n < 0 || n > 1<<40 {
			return dialect.InvalidRequest(key, "must be a number of tokens")
		}
		r.MaxOutput = int(n)
	case "temperature":
		return floatAt(key, raw, &r.Temperature)
	case "top_p":
		return floatAt(key, raw, &r.TopP)
	case "reasoning":
		return d.reasoning(raw)
	case "text":
		return d.output(raw)
	case "include":
		for it := rawjson.Elements(raw, 0); it.Next(); {
			r.Reasoning.Encrypted = r.Reasoning.Encrypted || string(it.Raw()) == `"reasoning.encrypted_content"`
		}
		d.extra(key, raw)
	case "user":
		r.User = string(rawjson.Text(raw))
	case "safety_identifier":
		if r.User == "" {
			r.User = string(rawjson.Text(raw))
		}
		d.extra(key, raw)
	case "prompt_cache_key":
		r.Session = string(rawjson.Text(raw))
	case "previous_response_id":
		f := dialect.InvalidRequest(key, "no answer is stored here; send the whole input")
		f.Code = notStored
		return f
	case "conversation", "prompt":
		return dialect.InvalidRequest(key, "is not stored here; send the whole input and instructions")
	case "background":
		if kind != rawjson.Bool || raw[0] == 't' {
			return dialect.InvalidRequest(key, "answers are not made in the background here")
		}
	default:
		d.extra(key, raw)
	}
	return nil
}

func (d *requestDecoder) extra(key string, raw []byte) {
	if d.r.Extras == nil {
		d.r.Extras = map[string]json.RawMessage{}
	}
	d.r.Extras[key] = raw
}

func (d *requestDecoder) reasoning(raw []byte) error {
	if kind := rawjson.Of(raw); kind != rawjson.Object {
		return dialect.InvalidRequest("reasoning", "must be an object, not %s", kind)
	}
	o := &d.r.Reasoning
	for it := rawjson.Members(raw, 0); it.Next(); {
		if rawjson.Of(it.Raw()) == rawjson.Null {
			continue
		}
		key := string(it.Key())
		switch key {
		case "effort":
			effort, err := textAt("reasoning.effort", it.Raw())
			if err != nil {
				return err
			}
			if o.Effort = llm.Effort(effort); !slices.Contains(efforts(), o.Effort) {
				return dialect.InvalidRequest("reasoning.effort", "%q is no level of effort", effort)
			}
		case "summary", "generate_summary":
			summary, err := textAt("reasoning."+key, it.Raw())
			if err != nil {
				return err
			}
			if key == "summary" || o.Summary == "" {
				o.Summary = string(summary)
			}
		}
	}
	return nil
}

// efforts returns the levels of effort in order.
func efforts() []llm.Effort {
	return []llm.Effort{
		llm.EffortNone, llm.EffortMinimal, llm.EffortLow, llm.EffortMedium, llm.EffortHigh, llm.EffortXHigh, llm.EffortMax,
	}
}

// output reads the shape that the answer must have.
func (d *requestDecoder) output(raw []byte) error {
	if kind := rawjson.Of(raw); kind != rawjson.Object {
		return dialect.InvalidRequest("text", "must be an object, not %s", kind)
	}
	o := &d.r.Output
	o.Verbosity = string(rawjson.Text(rawjson.Get(raw, "verbosity")))
	format := rawjson.Get(raw, "format")
	switch kind := rawjson.Of(format); kind {
	case rawjson.None, rawjson.Null:
		return nil
	case rawjson.Object:
	default:
		return dialect.InvalidRequest("text.format", "must be an object, not %s", kind)
	}
	for it := rawjson.Members(format, 0); it.Next(); {
		switch string(it.Key()) {
		case "type":
			o.Format = string(rawjson.Text(it.Raw()))
		case "name":
			o.Name = string(rawjson.Text(it.Raw()))
		case "schema":
			o.Schema = it.Raw()
		case "strict":
			if err := boolAt("text.format.strict", it.Raw(), &o.Strict); err != nil {
				return err
			}
		}
	}
	switch o.Format {
	case "text", "json_object":
	case "json_schema":
		if rawjson.Of(o.Schema) != rawjson.Object {
			return dialect.InvalidRequest("text.format.schema", "must be an object")
		}
	default:
		return dialect.InvalidRequest("text.format.type", "%q is not supported", o.Format)
	}
	return nil
}

// textAt returns the string that raw must be.
func textAt(path string, raw []byte) ([]byte, error) {
	if kind := rawjson.Of(raw); kind != rawjson.String {
		return nil, dialect.InvalidRequest(path, "must be a string, not %s", kind)
	}
	return rawjson.Text(raw), nil
}

func boolAt(path string, raw []byte, to **bool) error {
	switch kind := rawjson.Of(raw); kind {
	case rawjson.Null:
	case rawjson.Bool:
		*to = new(raw[0] == 't')
	default:
		return dialect.InvalidRequest(path, "must be a boolean, not %s", kind)
	}
	return nil
}

func floatAt(path string, raw []byte, to **float64) error {
	if kind := rawjson.Of(raw); kind != rawjson.Number {
		return dialect.InvalidRequest(path, "must be a number, not %s", kind)
	}
	f, err := strconv.ParseFloat(string(raw), 64)
	if err != nil {
		return dialect.InvalidRequest(path, "is out of range")
	}
	*to = &f
	return nil
}
