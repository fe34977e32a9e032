package chat

import (
	"encoding/json"
	"slices"

	"detour/internal/dialect"
	"detour/internal/dialect/rawjson"
	"detour/internal/llm"
)

// DecodeRequest implements dialect.Client. Beside Chat Completions it takes what clients that mix dialects send to its
// endpoint: a whole Responses body, blocks and tools in the words of Messages, and tools in the flat form of Responses.
func (Codec) DecodeRequest(body []byte) (*llm.Request, error) {
	b, err := dialect.ReadBody(body)
	if err != nil {
		return nil, err
	}
	p, err := b.Peek()
	if err != nil {
		return nil, err
	}
	d := requestDecoder{r: &llm.Request{Model: p.Model, Stream: p.Stream, Source: string(dialect.Chat), Raw: body}}
	for it := b.Members(); it.Next(); {
		if err := d.member(string(it.Key()), it.Raw()); err != nil {
			return nil, err
		}
	}
	switch kind := rawjson.Of(d.messages); {
	case kind == rawjson.Array:
	case kind == rawjson.None && !rawjson.Empty(d.r.Extras["input"]):
		return decodeResponses(body, d.r.WantUsage)
	case kind == rawjson.None:
		return nil, dialect.InvalidRequest("messages", "is required")
	default:
		return nil, dialect.InvalidRequest("messages", "must be an array, not %s", kind)
	}
	if err := d.tools(); err != nil {
		return nil, err
	}
	if err := d.conversation(); err != nil {
		return nil, err
	}
	return d.r, nil
}

// requestDecoder builds one request. What depends on other members waits until all were seen.
type requestDecoder struct {
	r *llm.Request

	messages, system         []byte // raw
	declared, functions      []byte // raw tools, and their older form
	choice, functionCall     []byte
	maxCompletion, maxTokens int
	buf                      []byte // for unescaping

	// kinds and open follow the calls of the history, for the results that come later.
	kinds  map[string]llm.ToolKind // by id, of calls that are not functions
	open   []openCall
	minted int // calls without an id
}

// member takes one member of the body's top level.
func (d *requestDecoder) member(key string, raw []byte) error {
	r := d.r
	switch key {
	case "model", "stream":
	case "messages":
		d.messages = raw
	case "system": // of a Messages body
		d.system = raw
	case "tools":
		d.declared = raw
	case "functions":
		d.functions = raw
	case "tool_choice":
		d.choice = raw
	case "function_call":
		d.functionCall = raw
	case "parallel_tool_calls":
		return readOptional(key, raw, &r.Parallel)
	case "max_completion_tokens":
		if err := readCount(key, raw, &d.maxCompletion); err != nil {
			return err
		}
		r.MaxOutput = d.maxCompletion
	case "max_tokens":
		if err := readCount(key, raw, &d.maxTokens); err != nil || d.maxCompletion > 0 {
			return err
		}
		r.MaxOutput = d.maxTokens
	case "temperature":
		return readFloat(key, raw, &r.Temperature)
	case "top_p":
		return readFloat(key, raw, &r.TopP)
	case "top_k":
		if rawjson.Of(raw) == rawjson.Null {
			return nil
		}
		r.TopK = new(int)
		return readCount(key, raw, r.TopK)
	case "stop", "stop_sequences":
		return readStrings(key, raw, &r.Stop)
	case "n":
		if err := readCount(key, raw, &r.Candidates); err != nil || r.Candidates <= 1 {
			return err
		}
		return dialect.InvalidRequest(key, "only one answer per request can be had from this model")
	case "modalities":
		return refuseAudio(key, raw)
	case "user":
		return readString(key, raw, &r.User)
	case "safety_identifier":
		if r.User != "" {
			return nil
		}
		return readString(key, raw, &r.User)
	case "prompt_cache_key":
		return readString(key, raw, &r.Session)
	case "stream_options":
		return readBool("stream_options.include_usage", rawjson.Get(raw, "include_usage"), &r.WantUsage)
	default:
		return d.outputMember(key, raw)
	}
	return nil
}

// outputMember takes members that say how to think and what shape the answer has. All others are kept as they are.
func (d *requestDecoder) outputMember(key string, raw []byte) error {
	switch key {
	case "reasoning_effort":
		return readEffort(key, raw, &d.r.Reasoning.Effort)
	case "reasoning":
		return d.reasoning(raw)
	case "thinking":
		return d.thinking(raw)
	case "thinking_budget":
		return readCount(key, raw, &d.r.Reasoning.Budget)
	case "response_format":
		return d.format(raw)
	case "verbosity":
		return readString(key, raw, &d.r.Output.Verbosity)
	}
	if rawjson.Of(raw) == rawjson.Null {
		return nil
	}
	if d.r.Extras == nil {
		d.r.Extras = map[string]json.RawMessage{}
	}
	d.r.Extras[key] = raw
	return nil
}

// refuseAudio refuses an answer that is to be spoken: no dialect but this one can carry it.
func refuseAudio(path string, raw []byte) error {
	var modalities []string
	if err := readStrings(path, raw, &modalities); err != nil {
		return err
	}
	if slices.Contains(modalities, "audio") {
		return dialect.InvalidRequest(path, "audio output cannot be had from this model")
	}
	return nil
}

// efforts returns the levels in order.
func efforts() []llm.Effort {
	return []llm.Effort{
		llm.EffortNone, llm.EffortMinimal, llm.EffortLow, llm.EffortMedium, llm.EffortHigh, llm.EffortXHigh, llm.EffortMax,
	}
}

func readEffort(path string, raw []byte, into *llm.Effort) error {
	var word string
	if err := readString(path, raw, &word); err != nil {
		return err
	}
	switch e := llm.Effort(word); {
	case word == "", word == "auto", word == "default":
	case slices.Contains(efforts(), e):
		*into = e
	default:
		return dialect.InvalidRequest(path, "must be one of none, minimal, low, medium, high, xhigh and max")
	}
	return nil
}

// reasoning takes the object that Responses and some gateways have in the place of reasoning_effort.
func (d *requestDecoder) reasoning(raw []byte) error {
	if rawjson.Of(raw) == rawjson.Null {
		return nil
	}
	if err := needObject("reasoning", raw); err != nil {
		return err
	}
	to := &d.r.Reasoning
	for it := rawjson.Members(raw, 0); it.Next(); {
		var err error
		switch string(it.Key()) {
		case "effort":
			err = readEffort("reasoning.effort", it.Raw(), &to.Effort)
		case "max_tokens":
			err = readCount("reasoning.max_tokens", it.Raw(), &to.Budget)
		case "summary":
			err = readString("reasoning.summary", it.Raw(), &to.Summary)
		case "exclude":
			err = readBool("reasoning.exclude", it.Raw(), &to.Hidden)
		case "enabled":
			on := true
			err = readBool("reasoning.enabled", it.Raw(), &on)
			to.Disabled = !on
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// thinking takes the object of Messages, which several services also take in Chat Completions.
func (d *requestDecoder) thinking(raw []byte) error {
	if rawjson.Of(raw) == rawjson.Null {
		return nil
	}
	if err := needObject("thinking", raw); err != nil {
		return err
	}
	switch textOf(rawjson.Get(raw, "type")) {
	case "disabled":
		d.r.Reasoning.Disabled = true
	case "adaptive":
		d.r.Reasoning.Adaptive = true
	}
	return readCount("thinking.budget_tokens", rawjson.Get(raw, "budget_tokens"), &d.r.Reasoning.Budget)
}

// format takes response_format.
func (d *requestDecoder) format(raw []byte) error {
	const path = "response_format"
	if rawjson.Of(raw) == rawjson.Null {
		return nil
	}
	if err := needObject(path, raw); err != nil {
		return err
	}
	out := &d.r.Output
	out.Format = textOf(rawjson.Get(raw, "type"))
	switch out.Format {
	case "text", "json_object":
		return nil
	case "json_schema":
	default:
		return dialect.InvalidRequest(path+".type", "must be text, json_object or json_schema")
	}
	at, spec := path+".json_schema", rawjson.Get(raw, "json_schema")
	if spec == nil && rawjson.Get(raw, "schema") != nil {
		at, spec = path, raw // flat, as in Responses
	}
	if err := needObject(at, spec); err != nil {
		return err
	}
	out.Schema = rawjson.Get(spec, "schema")
	if out.Schema != nil {
		if err := needObject(at+".schema", out.Schema); err != nil {
			return err
		}
	}
	if err := readString(at+".name", rawjson.Get(spec, "name"), &out.Name); err != nil {
		return err
	}
	if strict := rawjson.Get(spec, "strict"); strict != nil {
		return readOptional(at+".strict", strict, &out.Strict)
	}
	return nil
}
