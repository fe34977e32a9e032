package chat

import (
	"bytes"
	"fmt"
	"hash/fnv"
	"strconv"

	"detour/internal/dialect"
	"detour/internal/dialect/rawjson"
)

// choice is what is known of one choice of the answer.
type choice struct {
	index    int64
	finished bool // a finish_reason came
	calls    []call
}

// choiceAt returns the choice with the index, or nil when there are too many to follow. fresh says that it is new.
func (t *tap) choiceAt(index int64) (c *choice, fresh bool) {
	for i := range t.choices {
		if t.choices[i].index == index {
			return &t.choices[i], false
		}
	}
	if len(t.choices) == maxTracked {
		return nil, false
	}
	t.choices = append(t.choices, choice{index: index})
	return &t.choices[len(t.choices)-1], true
}

// eachChoice follows the choices of a chunk. What a chunk of its own has to come first for is appended to dst.
func (t *tap) eachChoice(dst, data []byte, lo int) (_ []byte, class dialect.Class, failed bool) {
	for it := rawjson.Elements(data, lo); it.Next(); {
		from, _ := it.Span()
		if data[from] != '{' {
			continue
		}
		var one dialect.Class
		if dst, one, failed = t.choice(dst, data, from); failed {
			return dst, dialect.Failed, true
		}
		class = max(class, one)
	}
	if class == dialect.Terminal && !t.terminal() {
		class = dialect.Content
	}
	return dst, class, false
}

// choice follows the choice that begins at data[open:]. failed means that the upstream gave up.
func (t *tap) choice(dst, data []byte, open int) (_ []byte, class dialect.Class, failed bool) {
	var index, delta, finish rawjson.Field
	for it := rawjson.Members(data, open); it.Next(); {
		switch string(it.Key()) {
		case "index":
			index = it.Field()
		case "delta":
			delta = it.Field()
		case "finish_reason":
			finish = it.Field()
		}
	}
	n, ok := rawjson.Int(index.Raw)
	if !ok {
		t.patch.Set(open, "index", index, []byte("0"))
	}
	reason := rawjson.Of(finish.Raw) == rawjson.String && !rawjson.Empty(finish.Raw)
	if reason && string(finish.Raw) == `"error"` {
		return dst, dialect.Failed, true
	}
	c, fresh := t.choiceAt(n)
	if c == nil {
		return dst, dialect.Content, false
	}
	if rawjson.Of(delta.Raw) != rawjson.Object {
		t.patch.Set(open, "delta", delta, emptyDelta(fresh))
	} else if t.delta(c, data, delta.Lo, fresh, reason) {
		class = dialect.Content
	}
	if reason {
		dst = t.appendMissingArguments(dst, c)
		if string(finish.Raw) == `"stop"` && len(c.calls) > 0 {
			t.patch.Replace(finish.Lo, finish.Hi, []byte(`"tool_calls"`))
		}
		c.finished = true
		class = dialect.Terminal
	}
	return dst, class, false
}

func emptyDelta(first bool) []byte {
	if first {
		return []byte(`{"role":"assistant"}`)
	}
	return []byte("{}")
}

// delta follows the delta at data[open:] and reports whether it holds anything for a client to act on. last says that
// the choice ends with it.
func (t *tap) delta(c *choice, data []byte, open int, first, last bool) (content bool) {
	var role rawjson.Field
	for it := rawjson.Members(data, open); it.Next(); {
		switch string(it.Key()) {
		case "role":
			role = it.Field()
		case "tool_calls":
			lo, _ := it.Span()
			for calls := rawjson.Elements(data, lo); calls.Next(); {
				from, _ := calls.Span()
				if data[from] == '{' {
					t.fragment(c, data, from, last)
					content = true
				}
			}
		default:
			content = content || !rawjson.Empty(it.Raw())
		}
	}
	if first && rawjson.Empty(role.Raw) {
		t.patch.Set(open, "role", role, []byte(`"assistant"`))
	}
	return content
}

// appendMissingArguments gives the calls of a choice that ends without any argument text an empty object: as an empty
// string, clients cannot parse them.
func (t *tap) appendMissingArguments(dst []byte, c *choice) []byte {
	for i := range c.calls {
		if k := &c.calls[i]; k.function && !k.arguments {
			k.arguments = true
			var delta []byte
			delta = append(delta, `{"tool_calls":[{"index":`...)
			delta = strconv.AppendInt(delta, int64(i), 10)
			delta = append(delta, `,"function":{"arguments":"{}"}}]}`...)
			dst = t.appendChunk(dst, c, delta, []byte("null"))
		}
	}
	return dst
}

// call is what is known of one tool call. Its place in choice.calls is the index that the client sees.
type call struct {
	index     int64  // the upstream's own, -1 when it gives none
	id, name  []byte // JSON text
	function  bool   // not a custom tool
	arguments bool   // some text of them came
	blank     dialect.BlankRun
}

// fragment follows the part of a tool call at data[open:].
func (t *tap) fragment(c *choice, data []byte, open int, last bool) {
	var index, id, typ, function, name, arguments rawjson.Field
	var names rawjson.Iter // stands at the name
	custom := false
	for it := rawjson.Members(data, open); it.Next(); {
		switch string(it.Key()) {
		case "index":
			index = it.Field()
		case "id":
			id = it.Field()
		case "type":
			typ = it.Field()
		case "custom":
			custom = true
		case "function":
			function = it.Field()
			for fn := rawjson.Members(data, function.Lo); fn.Next(); {
				switch string(fn.Key()) {
				case "name":
					name, names = fn.Field(), fn
				case "arguments":
					arguments = fn.Field()
				}
			}
		}
	}
	n, hasIndex := rawjson.Int(index.Raw)
	if !hasIndex {
		n = -1
	}
	i, fresh := c.resolve(n, id.Raw, name.Raw)
	if i < 0 {
		return
	}
	k := &c.calls[i]
	if n != int64(i) {
		t.patch.Set(open, "index", index, strconv.AppendInt(nil, int64(i), 10))
	}
	if fresh {
		k.function = !custom && string(typ.Raw) != `"custom"`
		if k.id = bytes.Clone(id.Raw); rawjson.Empty(id.Raw) {
			k.id = t.mintCall(c, i)
			t.patch.Set(open, "id", id, k.id)
		}
		if rawjson.Empty(typ.Raw) && k.function {
			t.patch.Set(open, "type", typ, []byte(`"function"`))
		}
	} else if !rawjson.Empty(id.Raw) && !bytes.Equal(id.Raw, k.id) {
		t.patch.Replace(id.Lo, id.Hi, k.id)
	}
	switch {
	case rawjson.Empty(name.Raw):
	case k.name == nil:
		k.name = bytes.Clone(name.Raw)
	case bytes.Equal(k.name, name.Raw):
		t.patch.Remove(&names)
	}
	switch {
	case !rawjson.Empty(arguments.Raw):
		k.arguments = true
		k.blank.Add(arguments.Raw)
		t.runaway = t.runaway || k.blank.Runaway()
	case last && k.function && !k.arguments && rawjson.Of(function.Raw) == rawjson.Object:
		k.arguments = true
		t.patch.Set(function.Lo, "arguments", arguments, []byte(`"{}"`))
	}
}

// resolve finds the call that a fragment belongs to: by id, else by index, else it is the last one. It returns -1 when
// there are too many to follow.
func (c *choice) resolve(index int64, id, name []byte) (i int, fresh bool) {
	hasID := !rawjson.Empty(id)
	if hasID {
		for i := range c.calls {
			if bytes.Equal(c.calls[i].id, id) {
				return i, false
			}
		}
	}
	starts := hasID && !rawjson.Empty(name) // an index that is used again for another call
	for i := len(c.calls) - 1; i >= 0 && !starts; i-- {
		if index >= 0 && c.calls[i].index == index || index < 0 && !hasID {
			return i, false
		}
	}
	if len(c.calls) == maxTracked {
		return -1, false
	}
	c.calls = append(c.calls, call{index: index})
	return len(c.calls) - 1, true
}

// mintCall makes the id of a call for which the upstream gave none. It follows from the answer's id, so that it is the
// same every time.
func (t *tap) mintCall(c *choice, i int) []byte {
	h := fnv.New64a()
	_, _ = h.Write(t.id)
	return fmt.Appendf(nil, `"call_%016x_%d_%d"`, h.Sum64(), c.index, i)
}
