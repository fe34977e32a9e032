package chat

import (
	"strconv"

	"detour/internal/dialect"
	"detour/internal/dialect/rawjson"
	"detour/internal/llm"
)

// isLegacy reports whether the request declares its tools in the older form, so that the answer must call them in it.
func isLegacy(o dialect.AnswerOptions) bool {
	return o.Request != nil && o.Request.Source == string(dialect.Chat) && legacy(o.Request.Raw)
}

// form returns how a call goes out. Calls that the provider executes do not concern the client, and a free-text call
// would break one that did not declare free-text tools.
func (e *encoder) form(c *llm.Call) callForm {
	switch {
	case c.Kind == llm.ToolHosted:
		return formNone
	case e.legacy && e.calls > 0:
		return formNone
	case e.legacy:
		return formLegacy
	case c.Kind != llm.ToolCustom:
		return formFunction
	case declaresCustom(e.o.Request, c):
		return formCustom
	}
	return formWrapped
}

func declaresCustom(r *llm.Request, c *llm.Call) bool {
	if r == nil {
		return false
	}
	for i := range r.Tools {
		if t := &r.Tools[i]; t.Kind == llm.ToolCustom && t.Name == c.Name && t.Namespace == c.Namespace {
			return true
		}
	}
	return false
}

// callName returns the name of a tool. This dialect has no namespaces.
func callName(c *llm.Call) string {
	switch {
	case c.Namespace != "":
		return c.Namespace + "__" + c.Name
	case c.Name == "":
		return c.Type
	}
	return c.Name
}

// call writes the first fragment of a call: all but the arguments.
func (e *encoder) call(dst []byte, b blockState, c *llm.Call) []byte {
	dst = e.open(dst)
	switch b.form {
	case formLegacy:
		dst = append(dst, `"function_call":{"name":`...)
		dst = rawjson.AppendString(dst, callName(c))
		return closeDelta(append(dst, `,"arguments":""}`...))
	case formCustom:
		dst = e.callHead(dst, b, c, "custom")
		dst = append(dst, `,"input":""}}]`...)
	default:
		dst = e.callHead(dst, b, c, "function")
		dst = append(dst, `,"arguments":""}}]`...)
	}
	return closeDelta(dst)
}

func (e *encoder) callHead(dst []byte, b blockState, c *llm.Call, typ string) []byte {
	dst = append(dst, `"tool_calls":[{"index":`...)
	dst = strconv.AppendInt(dst, int64(b.ordinal), 10)
	dst = append(dst, `,"id":`...)
	dst = rawjson.AppendString(dst, c.ID)
	dst = append(dst, `,"type":"`...)
	dst = append(dst, typ...)
	dst = append(dst, `","`...)
	dst = append(dst, typ...)
	dst = append(dst, `":{"name":`...)
	return rawjson.AppendString(dst, callName(c))
}

// arguments writes a fragment of a call's arguments.
func (e *encoder) arguments(dst []byte, b *blockState, delta []byte) []byte {
	if len(delta) == 0 || b.kind != llm.PartCall || b.form == formNone || b.stopped {
		return dst
	}
	if b.form == formWrapped {
		// The text becomes a JSON string, whose quotes are written with the first and behind the last fragment.
		e.scratch = rawjson.AppendString(e.scratch[:0], delta)
		delta = e.scratch[1 : len(e.scratch)-1]
		if !b.any {
			dst = e.fragment(dst, b, []byte(`{"input":"`))
		}
	}
	b.any = true
	return e.fragment(dst, b, delta)
}

func (e *encoder) fragment(dst []byte, b *blockState, delta []byte) []byte {
	dst = e.open(dst)
	if b.form == formLegacy {
		dst = append(dst, `"function_call":{"arguments":`...)
		dst = rawjson.AppendString(dst, delta)
		return closeDelta(append(dst, '}'))
	}
	dst = append(dst, `"tool_calls":[{"index":`...)
	dst = strconv.AppendInt(dst, int64(b.ordinal), 10)
	if b.form == formCustom {
		dst = append(dst, `,"custom":{"input":`...)
	} else {
		dst = append(dst, `,"function":{"arguments":`...)
	}
	dst = rawjson.AppendString(dst, delta)
	return closeDelta(append(dst, "}}]"...))
}

// endCall ends a call.
func (e *encoder) endCall(dst []byte, b *blockState) []byte {
	if b.form == formWrapped && b.any {
		return e.fragment(dst, b, []byte(`"}`))
	}
	return dst
}

// noArguments gives a call without arguments an empty object: clients cannot parse an empty string.
func (e *encoder) noArguments(dst []byte, b *blockState) []byte {
	switch {
	case b.any, b.form == formNone, b.form == formCustom:
		return dst
	case b.form == formWrapped:
		return e.fragment(dst, b, []byte(`{"input":""}`))
	}
	return e.fragment(dst, b, []byte("{}"))
}
