package chat

import (
	"bytes"
	"strconv"

	"detour/internal/dialect"
	"detour/internal/dialect/rawjson"
	"detour/internal/llm"
)

// Repair implements dialect.Format. It fills in object, created and id, gives each choice an index and a
// finish_reason, and merges the choices that some upstreams split one message into.
func (Format) Repair(body []byte, o dialect.TapOptions) ([]byte, llm.Usage) {
	var u llm.Usage
	if !rawjson.Valid(body) || rawjson.Of(bytes.TrimLeft(body, " \t\r\n")) != rawjson.Object {
		return body, u
	}
	var id, object, created, choices rawjson.Field
	failed := false
	for it := rawjson.Members(body, 0); it.Next(); {
		switch string(it.Key()) {
		case "id":
			id = it.Field()
		case "object":
			object = it.Field()
		case "created":
			created = it.Field()
		case "choices":
			choices = it.Field()
		case "usage":
			readUsage(&u, it.Raw())
		case "copilot_usage":
			dialect.ReadPrice(&u, it.Raw())
		case "error":
			failed = failed || !rawjson.Empty(it.Raw())
		}
	}
	if failed || rawjson.Of(choices.Raw) != rawjson.Array {
		return body, u
	}
	open := bytes.IndexByte(body, '{')
	t := tap{o: o} // for its patch
	if o.ID != "" && rawjson.Empty(id.Raw) {
		t.patch.Set(open, "id", id, rawjson.AppendString(nil, o.ID))
	}
	if rawjson.Empty(object.Raw) {
		t.patch.Set(open, "object", object, []byte(`"chat.completion"`))
	}
	if n, ok := rawjson.Int(created.Raw); !ok || n == 0 && o.Created != 0 {
		t.patch.Set(open, "created", created, strconv.AppendInt(nil, o.Created, 10))
	}
	if mended := mendChoices(choices.Raw); !bytes.Equal(mended, choices.Raw) {
		t.patch.Replace(choices.Lo, choices.Hi, mended)
	}
	if t.patch.Empty() {
		return body, u
	}
	return t.patch.Apply(make([]byte, 0, len(body)+128), body), u
}

// answer is one element of choices.
type answer struct {
	raw                    []byte
	index, message, finish rawjson.Field
	content, calls         rawjson.Field // of the message; offsets are relative to it
}

func readAnswer(raw []byte) answer {
	a := answer{raw: raw}
	for it := rawjson.Members(raw, 0); it.Next(); {
		switch string(it.Key()) {
		case "index":
			a.index = it.Field()
		case "message":
			a.message = it.Field()
		case "finish_reason":
			a.finish = it.Field()
		}
	}
	for it := rawjson.Members(a.message.Raw, 0); it.Next(); {
		switch string(it.Key()) {
		case "content":
			a.content = it.Field()
		case "tool_calls":
			a.calls = it.Field()
		}
	}
	return a
}

// place returns the index of the choice, which is its place in the array where the upstream gives none.
func (a answer) place(i int) int64 {
	if n, ok := rawjson.Int(a.index.Raw); ok {
		return n
	}
	return int64(i)
}

// mendChoices returns the text of the choices array, mended where it needs that.
func mendChoices(raw []byte) []byte {
	var answers []answer
	for it := rawjson.Elements(raw, 0); it.Next(); {
		if rawjson.Of(it.Raw()) != rawjson.Object {
			return raw
		}
		answers = append(answers, readAnswer(it.Raw()))
	}
	if len(answers) > 1 && split(answers) {
		merged := readAnswer(merge(answers))
		answers = []answer{merged}
		raw = append(append([]byte("["), merged.raw...), ']')
	}
	out := []byte("[")
	mended := false
	for i, a := range answers {
		one := finishAnswer(a, i)
		mended = mended || len(one) != len(a.raw) || !bytes.Equal(one, a.raw)
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, one...)
	}
	if !mended {
		return raw
	}
	return append(out, ']')
}

// finishAnswer gives a choice the index and the finish_reason that clients need.
func finishAnswer(a answer, i int) []byte {
	var t tap
	open := bytes.IndexByte(a.raw, '{')
	if _, ok := rawjson.Int(a.index.Raw); !ok {
		t.patch.Set(open, "index", a.index, strconv.AppendInt(nil, int64(i), 10))
	}
	switch called := !rawjson.Empty(a.calls.Raw); {
	case called && (rawjson.Empty(a.finish.Raw) || string(a.finish.Raw) == `"stop"`):
		t.patch.Set(open, "finish_reason", a.finish, []byte(`"tool_calls"`))
	case rawjson.Empty(a.finish.Raw):
		t.patch.Set(open, "finish_reason", a.finish, []byte(`"stop"`))
	}
	return t.patch.Apply(nil, a.raw)
}

// split reports whether the choices are parts of one message rather than alternatives: they have the same index, or
// text is in at most one of them and all others hold only tool calls.
func split(answers []answer) bool {
	texts := 0
	same, parts := true, true
	for i, a := range answers {
		same = same && a.place(i) == answers[0].place(0)
		if !rawjson.Empty(a.content.Raw) {
			texts++
		} else if rawjson.Empty(a.calls.Raw) {
			parts = false
		}
	}
	return same || parts && texts <= 1
}

// merge makes one choice of the parts of a message: all text, all tool calls, and what else only a later part has.
func merge(answers []answer) []byte {
	first := answers[0]
	var text, calls []byte
	finish := first.finish.Raw
	extra := &rawjson.Patch{}
	open := bytes.IndexByte(first.message.Raw, '{')
	if open < 0 {
		return first.raw
	}
	known := map[string]bool{"content": true, "tool_calls": true}
	for it := rawjson.Members(first.message.Raw, 0); it.Next(); {
		known[string(it.Key())] = true
	}
	for i, a := range answers {
		if rawjson.Of(a.content.Raw) == rawjson.String {
			text = append(text, a.content.Raw[1:len(a.content.Raw)-1]...)
		}
		for it := rawjson.Elements(a.calls.Raw, 0); it.Next(); {
			if calls != nil {
				calls = append(calls, ',')
			}
			calls = append(calls, it.Raw()...)
		}
		if string(a.finish.Raw) == `"tool_calls"` || rawjson.Empty(finish) {
			finish = a.finish.Raw
		}
		for it := rawjson.Members(a.message.Raw, 0); i > 0 && it.Next(); {
			if key := string(it.Key()); !known[key] {
				known[key] = true
				name := rawjson.AppendString(nil, key)
				extra.Insert(open, string(name[1:len(name)-1]), it.Raw())
			}
		}
	}
	m := tap{patch: *extra}
	if rawjson.Of(first.content.Raw) != rawjson.Array {
		content := []byte("null")
		if text != nil {
			content = append(append([]byte(`"`), text...), '"')
		}
		m.patch.Set(open, "content", first.content, content)
	}
	if calls != nil {
		m.patch.Set(open, "tool_calls", first.calls, append(append([]byte("["), calls...), ']'))
	}
	c := tap{}
	c.patch.Replace(first.message.Lo, first.message.Hi, m.patch.Apply(nil, first.message.Raw))
	if finish != nil {
		c.patch.Set(bytes.IndexByte(first.raw, '{'), "finish_reason", first.finish, finish)
	}
	return c.patch.Apply(nil, first.raw)
}
