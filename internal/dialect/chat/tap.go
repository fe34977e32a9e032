package chat

import (
	"bytes"

	"detour/internal/dialect"
	"detour/internal/dialect/rawjson"
	"detour/internal/llm"
	"detour/internal/sse"
)

const (
	maxHeld    = 64 << 10 // bytes of leading chunks that are kept until the answer has an id
	maxTracked = 128      // choices of an answer, and tool calls of a choice, that are mended
)

// NewTap implements dialect.Format.
func (Format) NewTap(o dialect.TapOptions) dialect.Tap {
	if o.ID == "" {
		o.ID = "chatcmpl-0"
	}
	return &tap{o: o}
}

// tap follows one stream of chat.completion.chunk objects. It mends what clients are known to stumble over:
//   - object, created, id and model where they are missing or empty; one id for the whole answer;
//   - choices that is null or missing becomes [], a missing index 0, a missing delta {};
//   - the role in the first delta of a choice;
//   - tool calls: a dense index, id and type in the first fragment, the name only once, arguments that never come {};
//   - finish_reason stop after tool calls becomes tool_calls, and one that never came is put in before [DONE];
//   - "error":null is taken out, a usage chunk that repeats the one before is dropped.
type tap struct {
	o     dialect.TapOptions
	patch rawjson.Patch

	id      []byte // JSON text; the same for the whole answer once it is known
	model   []byte // JSON text; the first that is not empty
	created []byte // JSON text; the first that is not 0
	held    []byte // data of leading chunks that have no id, each ended by a line feed

	choices []choice
	usage   llm.Usage
	last    []byte // JSON text of the usage that was passed on last
	failure dialect.Failure
	failed  bool
	runaway bool // the arguments of a call are white space without end
	done    bool // [DONE] is appended
}

// Usage implements dialect.Tap.
func (t *tap) Usage() llm.Usage { return t.usage }

// Failure implements dialect.Tap.
func (t *tap) Failure() dialect.Failure { return t.failure }

// Frame implements dialect.Tap. A frame that the stream ended in counts only if its data is whole.
func (t *tap) Frame(dst []byte, f sse.Frame) ([]byte, dialect.Class) {
	if !f.HasData {
		if !dialect.Terminated(f) {
			return dst, dialect.Meta
		}
		return dialect.AppendRaw(dst, f), dialect.Meta
	}
	if t.done {
		return dst, dialect.Meta
	}
	data := bytes.Trim(f.Data, " \t\r\n")
	switch {
	case string(data) == dialect.Done:
		return t.onDone(dst, f)
	case t.failed || len(data) == 0:
		return dst, dialect.Meta
	case !rawjson.Valid(data) || data[0] != '{':
		if !dialect.Terminated(f) {
			return dst, dialect.Meta
		}
		return t.fail(dst, dialect.NotAnEvent(data))
	}
	return t.chunk(dst, f)
}

// onDone takes the [DONE] of the upstream. It is its word that the answer is whole, even if a finish_reason is missing.
func (t *tap) onDone(dst []byte, f sse.Frame) ([]byte, dialect.Class) {
	if !t.failed && len(t.choices) == 0 {
		return t.fail(dst, dialect.Failure{Status: 502, Message: "upstream sent an empty answer"})
	}
	t.done = true
	if t.failed {
		return dialect.AppendRaw(dst, f), dialect.Meta
	}
	for i := range t.choices {
		if c := &t.choices[i]; !c.finished {
			dst = t.appendMissingArguments(dst, c)
			dst = t.appendFinish(dst, c)
		}
	}
	return dialect.AppendRaw(dst, f), dialect.Terminal
}

// fail ends the answer with an error of our wording.
func (t *tap) fail(dst []byte, failure dialect.Failure) ([]byte, dialect.Class) {
	t.failed, t.failure = true, failure
	return sse.AppendFrame(dst, "", dialect.AppendOpenAIError(nil, failure)), dialect.Failed
}

// terminal reports whether every choice that began is finished.
func (t *tap) terminal() bool {
	for i := range t.choices {
		if !t.choices[i].finished {
			return false
		}
	}
	return len(t.choices) > 0
}

// Close implements dialect.Tap.
func (t *tap) Close(dst []byte, cause error) ([]byte, error) {
	terminal := t.terminal()
	if !terminal && !t.failed {
		dst, _ = t.fail(dst, dialect.EndFailure(cause))
	}
	if !t.done {
		t.done = true
		dst = sse.AppendFrame(dst, "", []byte(dialect.Done))
	}
	if terminal && !t.failed {
		return dst, nil
	}
	return dst, dialect.EndError(cause)
}
