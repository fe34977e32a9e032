package responses

import (
	"strconv"

	"detour/internal/dialect"
	"detour/internal/dialect/rawjson"
	"detour/internal/llm"
)

// response appends the response object. wrong and incomplete are JSON text.
func (e *encoder) response(dst []byte, status, wrong, incomplete string) []byte {
	dst = rawjson.AppendString(append(dst, `{"id":`...), e.id)
	dst = append(dst, `,"object":"response","created_at":`...)
	dst = strconv.AppendInt(dst, e.o.Created, 10)
	dst = append(append(append(dst, `,"status":"`...), status...), `","error":`...)
	dst = append(append(append(dst, wrong...), `,"incomplete_details":`...), incomplete...)
	dst = appendMember(dst, "model", e.model)
	dst = append(dst, `,"output":[`...)
	first := true
	for _, item := range e.done {
		if item == nil || status == "in_progress" {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(dst, item...)
	}
	dst = append(dst, ']')
	dst = append(dst, e.echo...)
	if status == "in_progress" {
		return append(dst, `,"usage":null}`...)
	}
	return append(appendUsage(append(dst, `,"usage":`...), e.usage), '}')
}

// appendUsage appends the usage object, in which cached tokens are part of the input.
func appendUsage(dst []byte, u llm.Usage) []byte {
	in := max(0, u.Input) + max(0, u.CacheRead) + max(0, u.CacheWrite)
	out := max(0, u.Output)
	dst = strconv.AppendInt(append(dst, `{"input_tokens":`...), in, 10)
	dst = strconv.AppendInt(append(dst, `,"input_tokens_details":{"cached_tokens":`...), max(0, u.CacheRead), 10)
	dst = strconv.AppendInt(append(dst, `,"cache_write_tokens":`...), max(0, u.CacheWrite), 10)
	dst = strconv.AppendInt(append(dst, `},"output_tokens":`...), out, 10)
	dst = strconv.AppendInt(append(dst, `,"output_tokens_details":{"reasoning_tokens":`...), min(max(0, u.Reasoning), out), 10)
	dst = strconv.AppendInt(append(dst, `},"total_tokens":`...), in+out, 10)
	return append(dst, '}')
}

// echoed is a member of the response that repeats the request, and what it says where the request does not. An empty
// otherwise leaves the member out.
type echoed struct{ name, otherwise string }

// appendEcho appends those members. Nothing is stored, whatever the request says.
func appendEcho(dst []byte, r *llm.Request) []byte {
	fields := [...]echoed{
		{"instructions", "null"}, {"metadata", "{}"}, {"parallel_tool_calls", "true"}, {"temperature", "1"},
		{"tool_choice", `"auto"`}, {"tools", "[]"}, {"top_p", "1"}, {"max_output_tokens", "null"},
		{"previous_response_id", "null"}, {"reasoning", `{"effort":null,"summary":null}`},
		{"text", `{"format":{"type":"text"}}`}, {"truncation", `"disabled"`}, {"service_tier", ""}, {"user", "null"},
		{"prompt_cache_key", ""}, {"safety_identifier", ""}, {"top_logprobs", ""},
	}
	var values [len(fields)][]byte
	if r.Source == string(dialect.Responses) {
		for it := rawjson.Members(r.Raw, 0); it.Next(); {
			for i := range fields {
				if string(it.Key()) == fields[i].name {
					values[i] = it.Raw()
				}
			}
		}
	}
	for i, f := range fields {
		switch {
		case values[i] != nil && rawjson.Of(values[i]) != rawjson.Null:
			dst = flat(appendRawMember(dst, f.name, ""), values[i])
		case f.otherwise != "":
			dst = appendRawMember(dst, f.name, f.otherwise)
		}
	}
	return append(dst, `,"store":false`...)
}
