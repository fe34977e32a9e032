package gemini

import (
	"bytes"
	"encoding/json"
	"strings"

	"detour/internal/dialect"
	"detour/internal/dialect/rawjson"
	"detour/internal/llm"
)

// DecodeRequest implements dialect.Client: it reads the body of generateContent and streamGenerateContent. Members may
// be named in camelCase or snake_case. What has no field in an llm.Request is in its Extras under its documented path,
// such as safetySettings or generationConfig.seed.
func (c Codec) DecodeRequest(body []byte) (*llm.Request, error) {
	if err := check(body); err != nil {
		return nil, err
	}
	return c.decode(body, body, nil)
}

// DecodeCount reads the body of countTokens, which holds either contents or a whole generateContentRequest.
func (c Codec) DecodeCount(body []byte) (*llm.Request, error) {
	if err := check(body); err != nil {
		return nil, err
	}
	c.Stream = false
	inner := wholeRequest(body)
	if inner == nil {
		return c.decode(body, body, nil)
	}
	at := (*path)(nil).member("generateContentRequest")
	if err := object(inner, at); err != nil {
		return nil, err
	}
	return c.decode(body, inner, at)
}

// check is dialect.ReadBody without its search for members that this dialect does not have.
func check(body []byte) error {
	if err := rawjson.Check(body); err != nil {
		return dialect.InvalidRequest("", "the request body is not valid JSON: %s", err)
	}
	if kind := rawjson.Of(bytes.TrimLeft(body, " \t\r\n")); kind != rawjson.Object {
		return dialect.InvalidRequest("", "the request body must be a JSON object, not %s", kind)
	}
	return nil
}

// decode reads the request raw, which is at a path of body.
func (c Codec) decode(body, raw []byte, at *path) (*llm.Request, error) {
	d := decoder{r: &llm.Request{Stream: c.Stream, Source: string(dialect.Gemini), Raw: body}}
	err := d.request(raw, at)
	if err == nil {
		d.r.Model, err = c.model(d.model)
	}
	if err != nil {
		return nil, err
	}
	return d.r, nil
}

// AppendCount appends the answer to countTokens.
func (Codec) AppendCount(dst []byte, tokens int) []byte {
	return append(appendInt(append(dst, `{"totalTokens":`...), int64(tokens)), '}')
}

// wholeRequest returns the request inside the body of countTokens, or nil.
func wholeRequest(body []byte) []byte {
	for it := rawjson.Members(body, 0); it.Next(); {
		if string(camel(it.Key())) == "generateContentRequest" && rawjson.Of(it.Raw()) != rawjson.Null {
			return it.Raw()
		}
	}
	return nil
}

// model returns the model's bare name: the path's, else the one that the body has.
func (c Codec) model(raw []byte) (string, error) {
	name := c.Model
	if name == "" {
		if kind := rawjson.Of(raw); kind == rawjson.None || kind == rawjson.Null {
			return "", dialect.InvalidRequest("model", "is required")
		} else if kind != rawjson.String {
			return "", dialect.InvalidRequest("model", "must be a string, not %s", kind)
		}
		name = string(rawjson.Text(raw))
	}
	if name = strings.TrimPrefix(name, "models/"); name == "" {
		return "", dialect.InvalidRequest("model", "must not be empty")
	}
	return name, nil
}

// decoder builds one request.
type decoder struct {
	r     *llm.Request
	model []byte // raw, where the body names one
	calls calls
	turn  turn
}

// request reads the whole. raw is an object.
func (d *decoder) request(raw []byte, at *path) error {
	var contents, system, config, tools, toolConfig []byte
	for it := rawjson.Members(raw, 0); it.Next(); {
		v := it.Raw()
		switch string(camel(it.Key())) {
		case "model":
			d.model = v
		case "stream": // the path says it
		case "contents":
			contents = v
		case "systemInstruction":
			system = v
		case "generationConfig":
			config = v
		case "tools":
			tools = v
		case "toolConfig":
			toolConfig = v
		default:
			d.extra("", it.Key(), v)
		}
	}
	if err := d.system(system, at.member("systemInstruction")); err != nil {
		return err
	}
	if err := each(tools, at.member("tools"), d.tool); err != nil {
		return err
	}
	if err := d.toolConfig(toolConfig, at.member("toolConfig")); err != nil {
		return err
	}
	if err := d.config(config, at.member("generationConfig")); err != nil {
		return err
	}
	if rawjson.Empty(contents) {
		return dialect.InvalidRequest(at.member("contents").String(), "is required")
	}
	if err := each(contents, at.member("contents"), d.content); err != nil {
		return err
	}
	d.endTurn()
	if len(d.r.Turns) == 0 {
		return dialect.InvalidRequest(at.member("contents").String(), "must not be empty")
	}
	return nil
}

// extra keeps a member that has no field. What says nothing is not kept.
func (d *decoder) extra(prefix string, key, raw []byte) {
	if rawjson.Empty(raw) {
		return
	}
	if d.r.Extras == nil {
		d.r.Extras = map[string]json.RawMessage{}
	}
	d.r.Extras[prefix+string(camel(key))] = raw
}

// system reads the instructions: a content, or just a string.
func (d *decoder) system(raw []byte, at *path) error {
	switch rawjson.Of(raw) {
	case rawjson.None, rawjson.Null:
		return nil
	case rawjson.String:
		d.instruct(rawjson.Text(raw))
		return nil
	}
	if err := object(raw, at); err != nil {
		return err
	}
	return each(rawjson.Get(raw, "parts"), at.member("parts"), func(_ int, raw []byte, at *path) error {
		p, err := readPart(raw, at)
		switch {
		case err != nil:
			return err
		case p.kind == partText:
			d.instruct(rawjson.Text(p.raw))
		case p.kind != partNone:
			return dialect.InvalidRequest(at.String(), "must be text")
		}
		return nil
	})
}

func (d *decoder) instruct(text []byte) {
	if len(text) > 0 {
		d.r.System = append(d.r.System, llm.Part{Kind: llm.PartText, Text: string(text)})
	}
}
