package messages

import (
	"slices"
	"strconv"

	"detour/internal/dialect"
	"detour/internal/dialect/rawjson"
	"detour/internal/sse"
)

// block is what is known of one content block. Its place in tap.blocks is the index that the client sees.
type block struct {
	index int64 // the upstream's own
	open  bool
	tool  bool
	call  bool // of a tool that the client runs
	blank dialect.BlankRun
}

// onStart takes message_start. keep is false for a second one, of which only the usage counts.
func (t *tap) onStart(h head) (keep bool) {
	var content, usage rawjson.Field
	for it := rawjson.Members(h.message.Raw, 0); it.Next(); {
		switch string(it.Key()) {
		case "content":
			content = shift(it.Field(), h.message.Lo)
		case "usage":
			usage = shift(it.Field(), h.message.Lo)
		case "copilot_usage":
			dialect.ReadPrice(&t.usage, it.Raw())
		}
	}
	readUsage(&t.usage, usage.Raw)
	if t.started {
		return false
	}
	t.started = true
	if rawjson.Of(h.message.Raw) != rawjson.Object {
		t.patch.Set(h.open, "message", h.message, t.message())
		return true
	}
	if rawjson.Of(content.Raw) != rawjson.Array {
		t.patch.Set(h.message.Lo, "content", content, []byte("[]"))
	}
	if rawjson.Of(usage.Raw) != rawjson.Object {
		t.patch.Set(h.message.Lo, "usage", usage, []byte(`{"input_tokens":0,"output_tokens":0}`))
	}
	return true
}

// shift moves a field that was found in a value to the text around it.
func shift(f rawjson.Field, by int) rawjson.Field {
	f.Lo += by
	f.Hi += by
	return f
}

// message is the message of a message_start that the upstream left out.
func (t *tap) message() []byte {
	m := rawjson.AppendString([]byte(`{"id":`), t.o.ID)
	return append(m, `,"type":"message","role":"assistant","model":"","content":[],"stop_reason":null,`+
		`"stop_sequence":null,"usage":{"input_tokens":0,"output_tokens":0}}`...)
}

func (t *tap) ensureStart(dst []byte) []byte {
	if t.started {
		return dst
	}
	t.started = true
	start := append([]byte(`{"type":"message_start","message":`), t.message()...)
	return sse.AppendFrame(dst, "message_start", append(start, '}'))
}

// blockAt returns the place of the latest block with the upstream's index, or -1. Without an index it is the last.
func (t *tap) blockAt(index rawjson.Field) int {
	n, ok := rawjson.Int(index.Raw)
	for i := range slices.Backward(t.blocks) {
		if !ok || t.blocks[i].index == n {
			return i
		}
	}
	return -1
}

// begin adds a block and returns its place, or -1 when there are too many to follow.
func (t *tap) begin(index rawjson.Field, tool bool) int {
	if len(t.blocks) == maxBlocks {
		return -1
	}
	n, ok := rawjson.Int(index.Raw)
	if !ok {
		n = int64(len(t.blocks))
	}
	t.blocks = append(t.blocks, block{index: n, open: true, tool: tool})
	return len(t.blocks) - 1
}

// place makes the event carry the index that the client sees.
func (t *tap) place(h head, i int) {
	if n, ok := rawjson.Int(h.index.Raw); i >= 0 && (!ok || n != int64(i)) {
		t.patch.Set(h.open, "index", h.index, strconv.AppendInt(nil, int64(i), 10))
	}
}

func (t *tap) onBlockStart(dst, data []byte, h head) []byte {
	if i := t.blockAt(h.index); i >= 0 && h.index.Raw != nil && t.blocks[i].open {
		dst = t.appendStop(dst, i) // the index is used again without a stop
	}
	var typ []byte
	var input rawjson.Field
	for it := rawjson.Members(data, h.block.Lo); it.Next(); {
		switch string(it.Key()) {
		case "type":
			typ = it.Raw()
		case "input":
			input = it.Field()
		}
	}
	tool := string(typ) == `"tool_use"` || string(typ) == `"server_tool_use"` || string(typ) == `"mcp_tool_use"`
	if tool && rawjson.Of(input.Raw) != rawjson.Object {
		t.patch.Set(h.block.Lo, "input", input, []byte("{}"))
	}
	at := t.begin(h.index, tool)
	if at >= 0 {
		t.blocks[at].call = string(typ) == `"tool_use"`
	}
	t.place(h, at)
	return dst
}

// onBlockDelta takes a delta. Without the start of its block, text and thinking are given one; arguments without the
// name of their tool are of no use to anyone.
func (t *tap) onBlockDelta(dst, data []byte, h head) ([]byte, *dialect.Failure) {
	var typ, arguments []byte
	for it := rawjson.Members(data, h.delta.Lo); it.Next(); {
		switch string(it.Key()) {
		case "type":
			typ = it.Raw()
		case "partial_json":
			arguments = it.Raw()
		}
	}
	i := t.blockAt(h.index)
	if i < 0 && len(t.blocks) < maxBlocks {
		start := ""
		switch string(typ) {
		case `"text_delta"`, `"citations_delta"`:
			start = `{"type":"text","text":""}`
		case `"thinking_delta"`, `"signature_delta"`:
			start = `{"type":"thinking","thinking":"","signature":""}`
		case `"input_json_delta"`:
			return dst, &dialect.Failure{Status: 502, Message: "upstream sent tool arguments without the tool's name"}
		default:
			return dst, nil
		}
		i = t.begin(h.index, false)
		event := append([]byte(`{"type":"content_block_start","index":`), strconv.Itoa(i)...)
		event = append(append(append(event, `,"content_block":`...), start...), '}')
		dst = sse.AppendFrame(dst, "content_block_start", event)
	}
	t.place(h, i)
	if i >= 0 && arguments != nil {
		b := &t.blocks[i]
		if b.blank.Add(arguments); b.blank.Runaway() {
			failure := dialect.Runaway()
			return dst, &failure
		}
	}
	return dst, nil
}

// onBlockStop takes the stop of a block. keep is false if the block is not open.
func (t *tap) onBlockStop(h head) (keep bool) {
	i := t.blockAt(h.index)
	if i < 0 {
		return len(t.blocks) == maxBlocks
	}
	keep = t.blocks[i].open
	t.blocks[i].open = false
	t.place(h, i)
	return keep
}

func (t *tap) appendStop(dst []byte, i int) []byte {
	t.blocks[i].open = false
	event := append([]byte(`{"type":"content_block_stop","index":`), strconv.Itoa(i)...)
	return sse.AppendFrame(dst, "content_block_stop", append(event, '}'))
}

func (t *tap) appendStops(dst []byte) []byte {
	for i := range t.blocks {
		if t.blocks[i].open {
			dst = t.appendStop(dst, i)
		}
	}
	return dst
}

// onMessageDelta takes the delta of the message. With a stop reason, the answer is complete.
func (t *tap) onMessageDelta(dst, data []byte, h head) ([]byte, dialect.Class) {
	readUsage(&t.usage, h.usage.Raw)
	if rawjson.Of(h.usage.Raw) != rawjson.Object {
		t.patch.Set(h.open, "usage", h.usage, t.outputTokens())
	}
	var reason rawjson.Field
	if rawjson.Of(h.delta.Raw) == rawjson.Object {
		reason = reasonIn(data, h.delta.Lo)
	}
	if rawjson.Empty(reason.Raw) {
		return dst, dialect.Content
	}
	if t.called() {
		mendReason(&t.patch, reason)
	}
	t.reason = true
	return t.appendStops(dst), dialect.Terminal
}

// called reports whether the answer calls tools of the client.
func (t *tap) called() bool {
	return slices.ContainsFunc(t.blocks, func(b block) bool { return b.call })
}

// reasonIn returns the stop reason in the object whose opening brace is at position open.
func reasonIn(data []byte, open int) (reason rawjson.Field) {
	for it := rawjson.Members(data, open); it.Next(); {
		if string(it.Key()) == "stop_reason" {
			reason = it.Field()
		}
	}
	return reason
}

// mendReason puts in the stop reason of an answer that calls tools where an upstream gives that of any other: clients
// that go by it would leave the calls alone.
func mendReason(p *rawjson.Patch, reason rawjson.Field) {
	if string(reason.Raw) == `"end_turn"` {
		p.Replace(reason.Lo, reason.Hi, []byte(`"tool_use"`))
	}
}

func (t *tap) outputTokens() []byte {
	return append(strconv.AppendInt([]byte(`{"output_tokens":`), t.usage.Output, 10), '}')
}

// onStop comes before message_stop, with which the upstream says that the answer is complete.
func (t *tap) onStop(dst []byte) []byte {
	dst = t.appendStops(dst)
	t.stopped = true
	if t.reason {
		return dst
	}
	t.reason = true
	reason := "end_turn"
	if t.called() {
		reason = "tool_use"
	}
	event := append([]byte(`{"type":"message_delta","delta":{"stop_reason":"`), reason...)
	event = append(event, `","stop_sequence":null},"usage":`...)
	event = append(append(event, t.outputTokens()...), '}')
	return sse.AppendFrame(dst, "message_delta", event)
}
