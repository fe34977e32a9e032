package sim

import (
	"encoding/json"
	"errors"
	"hash/fnv"
)

// defaultDimensions is the length of an embedding when the request does not
// say.
const defaultDimensions = 1536

// embeddings answers POST /embeddings.
func (c *call) embeddings() {
	var r struct {
		Model      string          `json:"model"`
		Input      json.RawMessage `json:"input"`
		Dimensions int             `json:"dimensions"`
	}
	if err := c.decode(&r); err != nil {
		c.unreadable(err)
		return
	}
	c.note(func(rec *Request) { rec.Model = r.Model })
	if err := c.collect(r.Model, "", nil); err != nil {
		c.mistake(err)
		return
	}
	if c.faulted() {
		return
	}
	var no *errRefused
	a := &ask{modelID: r.Model}
	if err := c.gates(a); errors.As(err, &no) {
		c.reply(no.reply.status, no.reply.contentType, []byte(no.reply.body))
		return
	}
	var input []string
	if json.Unmarshal(r.Input, &input) != nil || len(input) == 0 {
		c.refuse(400, codeBody("invalid_request_body", "input must be an array of strings"))
		return
	}
	if m := a.model.MaxInputs; m > 0 && len(input) > m {
		c.refuse(400, codeBody("invalid_request_body", "too many inputs"))
		return
	}
	if r.Dimensions <= 0 || r.Dimensions > 4096 {
		r.Dimensions = defaultDimensions
	}
	if !c.charge(a.model) {
		return
	}
	tokens := 0
	data := make([]object, len(input))
	for i, text := range input {
		tokens += len(text)/4 + 1
		data[i] = object{"object": "embedding", "index": i, "embedding": embed(text, r.Dimensions)}
	}
	c.plain(mustJSON(object{
		"object": "list", "model": r.Model, "data": data, "usage": c.addCost(object{"prompt_tokens": tokens, "total_tokens": tokens}, &ask{prompt: tokens}, &answer{}),
	}))
}

// embed is a deterministic vector for text.
func embed(text string, n int) []float32 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(text))
	x := h.Sum64()
	v := make([]float32, n)
	for i := range v {
		x = mix(x + 0x9e3779b97f4a7c15)
		v[i] = float32(int64(x>>40)-1<<23) / (1 << 23)
	}
	return v
}
