package sim

import (
	"cmp"
	"encoding/json"
	"maps"
	"strings"
)

// responsesWriter renders one answer of /responses.
type responsesWriter struct {
	*stream // nil for a whole answer
	call    *call
	ask     *ask
	out     *answer
	id      string
	tools   map[string]Tool // by name
	seq     int
	stable  []string // ids by output index, with Responses.StableIDs
}

// itemID is the id that an item shows in one event: another one each time.
func (r *responsesWriter) itemID(index int) string {
	if !r.call.st.Responses.StableIDs {
		return r.call.sim.ids.blob()
	}
	for len(r.stable) <= index {
		r.stable = append(r.stable, "item_"+r.call.sim.ids.hex(32))
	}
	return r.stable[index]
}

// items returns the finished output items, without ids.
func (r *responsesWriter) items() []object {
	if r.out.compaction {
		return r.compactions()
	}
	var items []object
	if r.ask.compactAlong {
		items = append(items, r.compactions()[:1]...)
	}
	if len(r.out.reasoning) > 0 {
		items = append(items, r.reasoningItem())
	}
	if len(r.out.chunks) > 0 || len(r.out.calls) == 0 {
		items = append(items, object{
			"type": "message", "role": "assistant", "status": "completed", "phase": "final_answer",
			"content": []object{{"type": "output_text", "text": r.out.text(), "annotations": []any{}, "logprobs": []any{}}},
		})
	}
	for _, call := range r.out.calls {
		if r.tools[call.Name].Type == "custom" {
			items = append(items, object{"type": "custom_tool_call", "call_id": call.ID, "name": call.Name, "input": call.Arguments, "status": "completed"})
			continue
		}
		item := object{"type": "function_call", "call_id": call.ID, "name": call.Name, "arguments": call.Arguments, "status": "completed"}
		if space := r.tools[call.Name].Space; space != "" {
			item["namespace"] = space
		}
		items = append(items, item)
	}
	return items
}

func (r *responsesWriter) reasoningItem() object {
	item := object{"type": "reasoning", "summary": []any{}}
	if r.ask.summary {
		item["summary"] = []object{{"type": "summary_text", "text": strings.Join(r.out.reasoning, "")}}
	}
	return item
}

// stamp gives an item the id that it shows in the next event. Encrypted content
// is made for that id, unless keep says that it stays what it was.
func (r *responsesWriter) stamp(item object, index int, keep bool) {
	id := r.itemID(index)
	item["id"] = id
	switch {
	case keep:
	case item["type"] == "reasoning" && r.ask.encrypted:
		item["encrypted_content"] = r.call.encrypt(id)
	case item["type"] == "compaction":
		text := r.ask.remembered()
		if index < r.ask.model.Compactions-1 {
			text = clip(text, len(text)/2)
		}
		item["encrypted_content"] = r.call.compact(id, text)
	}
}

// status is the final status of the response.
func (r *responsesWriter) status() string {
	switch r.out.finish {
	case "length", "content_filter":
		return "incomplete"
	case "error":
		return "failed"
	}
	return "completed"
}

// envelope is a response object.
func (r *responsesWriter) envelope(status string, items []object) object {
	if items == nil {
		items = []object{}
	}
	o := object{
		"id": r.id, "object": "response", "created_at": r.call.sim.now().Unix(), "status": status, "model": r.ask.model.Version,
		"output": items, "error": nil, "incomplete_details": nil, "parallel_tool_calls": true, "store": false, "usage": nil,
	}
	switch status {
	case "incomplete":
		reason := "max_output_tokens"
		if r.out.finish == "content_filter" {
			reason = "content_filter"
		}
		o["incomplete_details"] = object{"reason": reason}
	case "failed":
		o["error"] = object{"code": "server_error", "message": "the upstream model failed"}
	}
	if status != "in_progress" {
		o["usage"] = r.call.addCost(object{
			"input_tokens": r.ask.prompt, "input_tokens_details": object{"cached_tokens": r.out.cached},
			"output_tokens": r.out.output, "output_tokens_details": object{"reasoning_tokens": r.out.thought},
			"total_tokens": r.ask.prompt + r.out.output,
		}, r.ask, r.out)
	}
	return o
}

// event renders an event with the next sequence number.
func (r *responsesWriter) event(kind string, members object) (string, []byte) {
	o := object{"type": kind, "sequence_number": r.seq}
	r.seq++
	maps.Copy(o, members)
	return kind, mustJSON(o)
}

// tell sends an event without content.
func (r *responsesWriter) tell(kind string, members object) bool {
	return r.control(r.event(kind, members))
}

// piece sends an event with content.
func (r *responsesWriter) piece(kind string, index int, delta string, members object) bool {
	o := object{"output_index": index, "item_id": r.itemID(index), "delta": delta}
	if !r.call.st.Responses.NoObfuscation {
		o["obfuscation"] = r.call.sim.ids.hex(2 * (8 - min(len(delta), 7)))
	}
	maps.Copy(o, members)
	return r.delta(r.event(kind, o))
}

// streamAll streams the answer.
func (r *responsesWriter) streamAll() {
	s, ok := r.call.stream(r.out, func(code string) (string, []byte) {
		return r.event("error", object{"code": code, "message": "the upstream model failed", "param": nil})
	})
	if !ok {
		return
	}
	r.stream = s
	if !r.tell("response.created", object{"response": r.envelope("in_progress", nil)}) ||
		!r.tell("response.in_progress", object{"response": r.envelope("in_progress", nil)}) {
		return
	}
	items := r.items()
	for i, item := range items {
		if !r.item(i, item) {
			return
		}
	}
	if !r.closing() {
		return
	}
	for i, item := range items {
		r.stamp(item, i, true)
	}
	status := r.status()
	last := object{"response": r.envelope(status, items)}
	if r.call.who.TokenBilled {
		last["copilot_usage"] = json.RawMessage(copilotUsage(nil, r.ask.prompt-r.out.cached, r.out.cached, r.out.output))
	}
	if r.tell("response."+status, last) && r.call.st.Responses.TrailingDone {
		r.raw([]byte("data: [DONE]\n\n"))
	}
}

// item streams one output item, and leaves it with the id of output_item.done.
func (r *responsesWriter) item(index int, item object) bool {
	opening := maps.Clone(item)
	opening["status"] = "in_progress"
	var body func(int, object) bool
	switch item["type"] {
	case "reasoning":
		opening["summary"] = []any{}
		delete(opening, "status")
		body = r.reasoning
	case "compaction":
		delete(opening, "status")
		body = func(int, object) bool { return true }
	case "message":
		opening["content"] = []any{}
		body = r.message
	case "custom_tool_call":
		opening["input"] = ""
		body = r.arguments("response.custom_tool_call_input", "input")
	default:
		opening["arguments"] = ""
		body = r.arguments("response.function_call_arguments", "arguments")
	}
	r.stamp(opening, index, item["type"] == "compaction")
	if !r.tell("response.output_item.added", object{"output_index": index, "item": opening}) || !body(index, item) {
		return false
	}
	r.stamp(item, index, false)
	return r.tell("response.output_item.done", object{"output_index": index, "item": item})
}

func (r *responsesWriter) reasoning(index int, _ object) bool {
	if !r.ask.summary {
		return true
	}
	at := func(more object) object {
		o := object{"output_index": index, "item_id": r.itemID(index), "summary_index": 0}
		maps.Copy(o, more)
		return o
	}
	if !r.tell("response.reasoning_summary_part.added", at(object{"part": object{"type": "summary_text", "text": ""}})) {
		return false
	}
	for _, p := range r.out.reasoning {
		if !r.piece("response.reasoning_summary_text.delta", index, p, object{"summary_index": 0}) {
			return false
		}
	}
	all := strings.Join(r.out.reasoning, "")
	return r.tell("response.reasoning_summary_text.done", at(object{"text": all})) &&
		r.tell("response.reasoning_summary_part.done", at(object{"part": object{"type": "summary_text", "text": all}}))
}

func (r *responsesWriter) message(index int, _ object) bool {
	at := func(more object) object {
		o := object{"output_index": index, "item_id": r.itemID(index), "content_index": 0}
		maps.Copy(o, more)
		return o
	}
	part := func(text string) object {
		return object{"type": "output_text", "text": text, "annotations": []any{}, "logprobs": []any{}}
	}
	if !r.tell("response.content_part.added", at(object{"part": part("")})) {
		return false
	}
	for _, p := range r.out.chunks {
		if !r.piece("response.output_text.delta", index, p, object{"content_index": 0, "logprobs": []any{}}) {
			return false
		}
	}
	all := r.out.text()
	return r.tell("response.output_text.done", at(object{"text": all, "logprobs": []any{}})) &&
		r.tell("response.content_part.done", at(object{"part": part(all)}))
}

// arguments streams the arguments of a tool call, which an item keeps in member.
func (r *responsesWriter) arguments(event, member string) func(int, object) bool {
	return func(index int, item object) bool {
		all, _ := item[member].(string)
		for _, p := range r.out.argumentPieces(ToolCall{Arguments: all}) {
			if !r.piece(event+".delta", index, p, nil) {
				return false
			}
		}
		return r.tell(event+".done", object{
			"output_index": index, "item_id": r.itemID(index), member: all, "name": cmp.Or(item["name"], any("")),
		})
	}
}
