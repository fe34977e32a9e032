// Package tokens estimates how many tokens a request has, for models that do not say so themselves. Clients use the
// figure to decide when to compact a conversation, so it errs on the high side.
package tokens

import (
	"bytes"
	"encoding/json"
	"math"
	"sync"

	"github.com/tiktoken-go/tokenizer/codec"

	"detour/internal/llm"
)

// What a request costs beside its text.
const (
	perMessage = 4
	perTool    = 8
	toolPrompt = 346 // the instructions that a provider adds once there are tools
)

// Estimator counts tokens. It is safe for concurrent use, does no I/O and never waits for a rate limit. Its vocabulary,
// of about 6 MB, is built on the first Count.
type Estimator struct {
	vocabulary func() *codec.Codec
}

// New returns an Estimator that has built nothing yet.
func New() *Estimator {
	return &Estimator{vocabulary: sync.OnceValue(codec.NewO200kBase)}
}

// Count returns about how many tokens the prompt of r has for a model of a family. family is a model's name or the
// beginning of one, such as claude-opus-4.7 or gpt. The same request always gives the same figure. Data in base64 is
// never taken for text. Of texts beyond 2 MiB in all the rest is judged by what came before, which bounds the time that
// Count takes whatever it is given.
func (e *Estimator) Count(r *llm.Request, family string) int {
	c := counter{vocabulary: e.vocabulary()}
	c.parts(r.System)
	if len(r.System) > 0 {
		c.extra += perMessage
	}
	for i := range r.Turns {
		c.extra += perMessage
		c.parts(r.Turns[i].Parts)
	}
	for i := range r.Tools {
		c.tool(&r.Tools[i])
	}
	if len(r.Tools) > 0 {
		c.extra += toolPrompt
	}
	c.json(r.Output.Schema)
	return int(math.Ceil((c.tokens() + float64(c.extra)) * factor(family)))
}

// counter sums up one request.
type counter struct {
	vocabulary *codec.Codec
	read       int // bytes of text that were tokenised
	found      int // tokens in them
	unread     int // bytes of text beyond the limit
	extra      int // tokens of what is no text
}

func (c *counter) tokens() float64 {
	if c.unread == 0 {
		return float64(c.found)
	}
	return float64(c.found) * (1 + float64(c.unread)/float64(c.read))
}

func (c *counter) parts(parts []llm.Part) {
	for i := range parts {
		p := &parts[i]
		c.text(p.Text)
		if p.Media != nil {
			c.media(p)
		}
		if p.Call != nil {
			c.text(p.Call.Name)
			c.text(p.Call.Arguments)
		}
		if p.Result != nil {
			c.parts(p.Result.Parts)
		}
	}
}

func (c *counter) media(p *llm.Part) {
	c.text(p.Media.Text)
	switch {
	case p.Kind == llm.PartImage:
		c.extra += image(p.Media.Data)
	case p.Media.Text == "":
		c.extra += document(p.Media.Data)
	}
}

// tool counts a declaration: of a function what the model is told of it, of any other tool all there is.
func (c *counter) tool(t *llm.Tool) {
	c.extra += perTool
	if t.Kind == llm.ToolHosted || t.Kind == llm.ToolNative && t.Schema == nil {
		c.json(t.Raw)
		return
	}
	c.text(t.Namespace)
	c.text(t.Name)
	c.text(t.Description)
	c.json(t.Schema)
	c.json(t.Format)
}

// json counts JSON text as it is without white space.
func (c *counter) json(raw json.RawMessage) {
	if len(raw) == 0 {
		return
	}
	var b bytes.Buffer
	if json.Compact(&b, raw) != nil {
		c.text(string(raw))
		return
	}
	c.text(b.String())
}
