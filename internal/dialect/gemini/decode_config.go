package gemini

import (
	"slices"
	"strings"

	"detour/internal/dialect"
	"detour/internal/dialect/rawjson"
	"detour/internal/llm"
)

// config reads generationConfig. Without thinkingConfig.includeThoughts no thoughts are in an answer.
func (d *decoder) config(raw []byte, at *path) error {
	d.r.Reasoning.Hidden = true
	if rawjson.Of(raw) == rawjson.None || rawjson.Of(raw) == rawjson.Null {
		return nil
	}
	if err := object(raw, at); err != nil {
		return err
	}
	var f format
	for it := rawjson.Members(raw, 0); it.Next(); {
		v := it.Raw()
		if rawjson.Of(v) == rawjson.Null {
			continue
		}
		name := string(camel(it.Key()))
		at := at.member(name)
		known, err := d.sampling(name, v, at)
		if err == nil && !known {
			known, err = f.member(name, v, at)
		}
		if err == nil && name == "thinkingConfig" {
			known, err = true, d.thinking(v, at)
		}
		if err != nil {
			return err
		}
		if !known {
			d.extra("generationConfig.", it.Key(), v)
		}
	}
	return f.into(&d.r.Output, at)
}

// sampling takes what says how to sample and how much.
func (d *decoder) sampling(name string, raw []byte, at *path) (known bool, err error) {
	r := d.r
	switch name {
	case "temperature":
		var n float64
		n, err = number(raw, at)
		r.Temperature = &n
	case "topP":
		var n float64
		n, err = number(raw, at)
		r.TopP = &n
	case "topK":
		var n int
		n, err = integer(raw, at)
		r.TopK = &n
	case "maxOutputTokens":
		if r.MaxOutput, err = integer(raw, at); err == nil && r.MaxOutput < 0 {
			err = dialect.InvalidRequest(at.String(), "must not be negative")
		}
	case "stopSequences":
		r.Stop, err = texts(raw, at)
		r.Stop = slices.DeleteFunc(r.Stop, func(s string) bool { return s == "" })
	case "candidateCount":
		if r.Candidates, err = integer(raw, at); err == nil && r.Candidates > 1 {
			err = dialect.InvalidRequest(at.String(), "only one candidate is supported, not %d", r.Candidates)
		}
	default:
		return false, nil
	}
	return true, err
}

// thinking reads thinkingConfig. A level says more than a budget.
func (d *decoder) thinking(raw []byte, at *path) error {
	if err := object(raw, at); err != nil {
		return err
	}
	r := &d.r.Reasoning
	for it := rawjson.Members(raw, 0); it.Next(); {
		v := it.Raw()
		if rawjson.Of(v) == rawjson.Null {
			continue
		}
		switch name := string(camel(it.Key())); name {
		case "includeThoughts":
			include, err := boolean(v, at.member(name))
			if err != nil {
				return err
			}
			r.Hidden = !include
		case "thinkingBudget":
			n, err := integer(v, at.member(name))
			if err != nil {
				return err
			}
			r.Budget, r.Disabled, r.Adaptive = max(n, 0), n == 0, n < 0
		case "thinkingLevel":
			level, err := text(v, at.member(name))
			if err != nil {
				return err
			}
			switch e := llm.Effort(strings.ToLower(level)); e {
			case "thinking_level_unspecified", llm.EffortUnset:
			case llm.EffortMinimal, llm.EffortLow, llm.EffortMedium, llm.EffortHigh:
				r.Effort = e
			default:
				return dialect.InvalidRequest(at.member(name).String(), "must be MINIMAL, LOW, MEDIUM or HIGH, not %q", level)
			}
		default:
			d.extra("generationConfig.thinkingConfig.", it.Key(), v)
		}
	}
	if r.Effort != llm.EffortUnset {
		r.Budget, r.Disabled, r.Adaptive = 0, false, false
	}
	return nil
}

// format gathers what the config says of the shape of the answer, in older and newer words.
type format struct {
	mime           string
	schema, native []byte // JSON Schema, and a Schema of the API
}

func (f *format) member(name string, raw []byte, at *path) (known bool, err error) {
	switch name {
	case "responseMimeType":
		f.mime, err = text(raw, at)
	case "responseJsonSchema", "_responseJsonSchema":
		f.schema, err = raw, object(raw, at)
	case "responseSchema":
		f.native, err = raw, object(raw, at)
	case "responseFormat":
		err = each(raw, at, f.response)
	case "responseModalities":
		err = modalities(raw, at)
	default:
		return false, nil
	}
	return true, err
}

// response reads one element of responseFormat.
func (f *format) response(_ int, raw []byte, at *path) error {
	if err := object(raw, at); err != nil {
		return err
	}
	for it := rawjson.Members(raw, 0); it.Next(); {
		name := string(camel(it.Key()))
		if rawjson.Of(it.Raw()) == rawjson.Null {
			continue
		}
		if name != "text" {
			return dialect.InvalidRequest(at.member(name).String(), "is not supported: answers are text")
		}
		at := at.member(name)
		if err := object(it.Raw(), at); err != nil {
			return err
		}
		for it := rawjson.Members(it.Raw(), 0); it.Next(); {
			var err error
			switch v := it.Raw(); string(camel(it.Key())) {
			case "mimeType":
				f.mime, err = text(v, at.member("mimeType"))
				f.mime = strings.Replace(strings.ToLower(f.mime), "_", "/", 1) // APPLICATION_JSON
			case "schema":
				f.schema, err = v, object(v, at.member("schema"))
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// modalities checks that an answer of text alone is one that the client can use.
func modalities(raw []byte, at *path) error {
	names, err := texts(raw, at)
	if err != nil || len(names) == 0 {
		return err
	}
	if !slices.ContainsFunc(names, func(s string) bool { return strings.EqualFold(s, "TEXT") || s == "MODALITY_UNSPECIFIED" }) {
		return dialect.InvalidRequest(at.String(), "must have TEXT: answers are text")
	}
	return nil
}

func (f *format) into(o *llm.Output, at *path) error {
	switch f.mime {
	case "", "text/plain", "application/json":
	default:
		return dialect.InvalidRequest(at.member("responseMimeType").String(), "must be text/plain or application/json, not %q", f.mime)
	}
	switch {
	case f.schema != nil:
		o.Format, o.Schema = "json_schema", f.schema
	case f.native != nil:
		o.Format, o.Schema = "json_schema", appendSchema(nil, f.native)
	case f.mime == "application/json":
		o.Format = "json_object"
	case f.mime == "text/plain":
		o.Format = "text"
	}
	return nil
}
