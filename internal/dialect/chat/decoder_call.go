package chat

import (
	"fmt"
	"hash/fnv"
	"net/http"

	"detour/internal/dialect"
	"detour/internal/dialect/rawjson"
	"detour/internal/llm"
)

// callState is what the decoder knows of a call beside what choice.resolve needs.
type callState struct {
	block   int // none until it began
	stopped bool
	custom  bool
	id      string
	name    string
	pending []byte // arguments that came before the name
	json    jsonEnd
	any     bool // arguments came
}

// fragment is a part of a call; all raw.
type fragment struct {
	index                            int64 // none where there is none
	id, typ, name, arguments, custom []byte
}

func readFragment(raw []byte) fragment {
	f := fragment{index: none}
	for it := rawjson.Members(raw, 0); it.Next(); {
		switch string(it.Key()) {
		case "index":
			if n, ok := rawjson.Int(it.Raw()); ok {
				f.index = n
			}
		case "id":
			f.id = it.Raw()
		case "type":
			f.typ = it.Raw()
		case "function":
			f.body(it.Raw())
		case "custom":
			f.custom = it.Raw()
			f.body(it.Raw())
		}
	}
	return f
}

func (f *fragment) body(raw []byte) {
	for it := rawjson.Members(raw, 0); it.Next(); {
		switch string(it.Key()) {
		case "name":
			f.name = it.Raw()
		case "arguments", "input":
			f.arguments = it.Raw()
		}
	}
}

// fragment follows the part of a call that a stream brings.
func (d *decoder) fragment(dst []llm.Event, raw []byte) []llm.Event {
	f := readFragment(raw)
	i, fresh := d.calls.resolve(f.index, f.id, f.name)
	return d.extend(dst, f, i, fresh)
}

// legacyFragment follows the older form, which has room for one call.
func (d *decoder) legacyFragment(dst []llm.Event, raw []byte) []llm.Event {
	f := fragment{index: 0}
	f.body(raw)
	i, fresh := d.calls.resolve(0, nil, nil)
	return d.extend(dst, f, i, fresh)
}

// whole takes a call of an answer that is not streamed.
func (d *decoder) whole(dst []llm.Event, raw []byte) []llm.Event {
	f := readFragment(raw)
	if len(d.calls.calls) == maxCalls {
		return d.extend(dst, f, none, false)
	}
	d.calls.calls = append(d.calls.calls, call{index: none})
	return d.extend(dst, f, len(d.calls.calls)-1, true)
}

// extend adds a fragment to call i. The call begins with its name and its id, or with its arguments if no id came.
func (d *decoder) extend(dst []llm.Event, f fragment, i int, fresh bool) []llm.Event {
	if i < 0 {
		return d.fail(dst, dialect.Failure{Status: http.StatusBadGateway, Message: "upstream sent more than 128 tool calls"})
	}
	if fresh {
		d.calls.calls[i].id = append([]byte(nil), f.id...)
		d.states = append(d.states, callState{block: none, custom: f.custom != nil || string(f.typ) == `"custom"`})
	}
	k := &d.states[i]
	if k.id == "" && rawjson.Of(f.id) == rawjson.String {
		k.id = textOf(f.id)
		d.calls.calls[i].id = append([]byte(nil), f.id...)
	}
	if k.name == "" && rawjson.Of(f.name) == rawjson.String {
		k.name = textOf(f.name)
	}
	var text []byte
	switch rawjson.Of(f.arguments) {
	case rawjson.String:
		if !rawjson.Empty(f.arguments) {
			d.calls.calls[i].blank.Add(f.arguments)
			d.runaway = d.runaway || d.calls.calls[i].blank.Runaway()
			text = d.unescape(f.arguments)
		}
	case rawjson.Object:
		text = f.arguments
	}
	if k.block == none && k.name != "" && (k.id != "" || len(text) > 0 || len(k.pending) > 0) {
		dst = d.beginCall(dst, i)
	}
	switch {
	case len(text) == 0 || k.stopped:
	case k.block == none:
		if d.pending += len(text); d.pending > maxPending {
			return d.fail(dst, dialect.Failure{Status: http.StatusBadGateway, Message: "upstream sent a tool call without a name"})
		}
		k.pending = append(k.pending, text...)
	default:
		dst = d.arguments(dst, k, text)
	}
	return dst
}

func (d *decoder) arguments(dst []llm.Event, k *callState, text []byte) []llm.Event {
	k.any = true
	k.json.add(text)
	return append(dst, llm.Event{Kind: llm.EventArgs, Block: k.block, Delta: text})
}

// beginCall begins the block of call i. Calls before it whose arguments are whole end here.
func (d *decoder) beginCall(dst []llm.Event, i int) []llm.Event {
	dst = d.stopBlock(dst, &d.thinking)
	dst = d.stopBlock(dst, &d.text)
	dst = d.stopBlock(dst, &d.refusal)
	for j := range d.states {
		if s := &d.states[j]; j != i && s.block != none && !s.stopped && s.json.done {
			s.stopped = true
			dst = append(dst, llm.Event{Kind: llm.EventStop, Block: s.block})
		}
	}
	k := &d.states[i]
	if k.id == "" {
		k.id = mintCallID(d.id, i)
	}
	c := &llm.Call{ID: k.id, Name: k.name}
	if k.custom {
		c.Kind = llm.ToolCustom
	}
	dst, k.block = d.block(dst, &llm.Part{Kind: llm.PartCall, Call: c})
	if len(k.pending) > 0 {
		dst = d.arguments(dst, k, k.pending)
		d.pending -= len(k.pending)
		k.pending = nil
	}
	return dst
}

// endCalls ends all calls. One that got no arguments gets an empty object, because clients cannot parse an empty string,
// unless the answer was cut off: then nobody may run it.
func (d *decoder) endCalls(dst []llm.Event, stop llm.Stop) []llm.Event {
	for i := range d.states {
		k := &d.states[i]
		if k.block == none {
			if k.name == "" {
				return d.fail(dst, dialect.Failure{Status: http.StatusBadGateway, Message: "upstream sent a tool call without a name"})
			}
			dst = d.beginCall(dst, i)
		}
		if k.stopped {
			continue
		}
		k.stopped = true
		if !k.any && !k.custom && stop == llm.StopEnd {
			dst = d.arguments(dst, k, []byte("{}"))
		}
		dst = append(dst, llm.Event{Kind: llm.EventStop, Block: k.block})
	}
	return dst
}

// mintCallID makes the id of a call for which the upstream gave none. It follows from the answer's id, so that it is the
// same every time.
func mintCallID(answer string, i int) string {
	h := fnv.New64a()
	_, _ = h.Write([]byte(answer))
	return fmt.Sprintf("call_%016x_%d", h.Sum64(), i)
}

// jsonEnd finds the end of a JSON object that comes in pieces.
type jsonEnd struct {
	depth           int
	quoted, escaped bool
	done            bool
}

func (j *jsonEnd) add(text []byte) {
	for _, c := range text {
		switch {
		case j.escaped:
			j.escaped = false
		case j.quoted:
			j.escaped = c == '\\'
			j.quoted = c != '"'
		case c == '"':
			j.quoted = true
		case c == '{' || c == '[':
			j.depth++
		case c == '}' || c == ']':
			j.depth--
			j.done = j.done || j.depth == 0
		}
	}
}
