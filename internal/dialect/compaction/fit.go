package compaction

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"detour/internal/llm"
)

const (
	keepResult = 200  // bytes of each end of a tool output that stay when it is shortened
	worth      = 1000 // bytes below which shortening gains nothing
	perImage   = 1500 // tokens that an image is taken to have
	rounds     = 4    // how often is counted whether it fits now
)

// fit leaves out of r what is needed to bring it down to limit tokens: first it shortens the outputs of tools, the
// oldest first, then the arguments of calls, and then it leaves out whole turns: what the user said goes last. The last
// turn and earlier summaries stay. It reports whether it left out anything; what it changes is a copy.
func fit(r *llm.Request, limit int, count func(*llm.Request) int) bool {
	if limit <= 0 {
		return false
	}
	size := bytesOf(r)
	if 2*size <= limit {
		return false // no token is shorter than a byte, and no estimate twice as high
	}
	tokens := count(r)
	if tokens <= limit {
		return false
	}
	f := fitter{turns: slices.Clone(r.Turns)}
	for range rounds {
		f.perByte = float64(tokens) / float64(max(size, 1))
		f.need = float64(tokens) - float64(limit)*0.97
		f.results()
		f.arguments()
		f.drop()
		r.Turns = f.turns
		size, tokens = bytesOf(r), count(r)
		if tokens <= limit {
			break
		}
	}
	if f.dropped > 0 {
		r.Turns = slices.Insert(f.turns, 0, ask(fmt.Sprintf("[%d earlier turns left out]", f.dropped)))
	}
	return true
}

// fitter is one fit. need is how many tokens still have to go, by what a byte of this conversation has on average.
type fitter struct {
	turns   []llm.Turn
	perByte float64
	need    float64
	dropped int
}

func (f *fitter) gained(bytes, images int) {
	f.need -= float64(bytes)*f.perByte + float64(images*perImage)
}

// edit calls change for each part of all turns but the last, the oldest first, until enough has gone. change returns
// what the part becomes, and whether that is another.
func (f *fitter) edit(change func(llm.Part) (llm.Part, bool)) {
	for i := 0; i < len(f.turns)-1 && f.need > 0; i++ {
		var parts []llm.Part
		for j := range f.turns[i].Parts {
			if f.need <= 0 {
				break
			}
			p, changed := change(f.turns[i].Parts[j])
			if !changed {
				continue
			}
			if parts == nil {
				parts = slices.Clone(f.turns[i].Parts)
			}
			parts[j] = p
		}
		if parts != nil {
			f.turns[i].Parts = parts
		}
	}
}

func (f *fitter) results() {
	f.edit(func(p llm.Part) (llm.Part, bool) {
		if p.Result == nil {
			return p, false
		}
		before, images := partsSize(p.Result.Parts)
		if before < worth && images == 0 {
			return p, false
		}
		var text strings.Builder
		for i := range p.Result.Parts {
			text.WriteString(p.Result.Parts[i].Text)
		}
		short := llm.Part{Kind: llm.PartText, Text: shortened(text.String(), images)}
		result := *p.Result
		result.Parts = []llm.Part{short}
		p.Result = &result
		f.gained(before-len(short.Text), images)
		return p, true
	})
}

func (f *fitter) arguments() {
	f.edit(func(p llm.Part) (llm.Part, bool) {
		if p.Call == nil || len(p.Call.Arguments) < worth {
			return p, false
		}
		c := *p.Call
		c.Arguments = fmt.Sprintf("[%d bytes left out]", len(p.Call.Arguments))
		if c.Kind != llm.ToolCustom {
			c.Arguments = fmt.Sprintf(`{"left_out":"%d bytes"}`, len(p.Call.Arguments))
		}
		f.gained(len(p.Call.Arguments)-len(c.Arguments), 0)
		p.Call = &c
		return p, true
	})
}

// drop leaves out the oldest turns, those of the model and its tools before those of the user.
func (f *fitter) drop() {
	for _, users := range []bool{false, true} {
		last := len(f.turns) - 1
		i := -1
		f.turns = slices.DeleteFunc(f.turns, func(t llm.Turn) bool {
			i++
			if i == last || f.need <= 0 || t.Role == llm.RoleSystem || summaryIn(t) || saidByUser(t) != users {
				return false
			}
			bytes, images := partsSize(t.Parts)
			f.gained(bytes, images)
			f.dropped++
			return true
		})
	}
}

func saidByUser(t llm.Turn) bool {
	return t.Role == llm.RoleUser && slices.ContainsFunc(t.Parts, func(p llm.Part) bool { return p.Kind == llm.PartText })
}

func summaryIn(t llm.Turn) bool {
	return slices.ContainsFunc(t.Parts, func(p llm.Part) bool { return IsText(p.Text) || p.Kind == llm.PartCompaction })
}

// shortened keeps both ends of a tool's output.
func shortened(text string, images int) string {
	mark := fmt.Sprintf("\n[… %d bytes left out …]\n", max(0, len(text)-2*keepResult))
	if images > 0 {
		mark += fmt.Sprintf("[%d images left out]\n", images)
	}
	if len(text) <= 2*keepResult {
		return text + mark
	}
	head, tail := keepResult, len(text)-keepResult
	for head > 0 && !utf8.RuneStart(text[head]) {
		head--
	}
	for tail < len(text) && !utf8.RuneStart(text[tail]) {
		tail++
	}
	return text[:head] + mark + text[tail:]
}

// bytesOf is how long the text of a request is.
func bytesOf(r *llm.Request) int {
	n, _ := partsSize(r.System)
	for i := range r.Turns {
		size, images := partsSize(r.Turns[i].Parts)
		n += size + images*perImage
	}
	for i := range r.Tools {
		t := &r.Tools[i]
		n += len(t.Name) + len(t.Description) + len(t.Schema) + len(t.Format) + 8
	}
	return n + 400
}

// partsSize counts the bytes of text in parts, and the images.
func partsSize(parts []llm.Part) (bytes, images int) {
	for i := range parts {
		p := &parts[i]
		bytes += len(p.Text) + 4
		if p.Media != nil {
			bytes += len(p.Media.Text)
			images++
		}
		if p.Call != nil {
			bytes += len(p.Call.Name) + len(p.Call.Arguments)
		}
		if p.Result != nil {
			b, n := partsSize(p.Result.Parts)
			bytes, images = bytes+b, images+n
		}
	}
	return bytes, images
}
