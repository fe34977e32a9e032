package router_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/anthropics/anthropic-sdk-go"
	assestream "github.com/anthropics/anthropic-sdk-go/packages/ssestream"
	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/packages/ssestream"
	"github.com/openai/openai-go/v3/responses"
	"github.com/tidwall/gjson"
	"google.golang.org/genai"

	"detour/internal/dialect"
	chatcodec "detour/internal/dialect/chat"
	messagescodec "detour/internal/dialect/messages"
	responsescodec "detour/internal/dialect/responses"
	"detour/internal/llm"
	"detour/internal/sse"
	"detour/providers"
	"detour/router"
)

// heard is what a client's official SDK understood of an answer, in words that are the same for all dialects.
type heard struct {
	text, thinking string
	calls          []string // name and arguments
	stop           string   // end, tool, length, filter
	in, out        int64    // tokens: the whole prompt, the whole answer
	err            bool
}

// scenario is one answer as each upstream dialect gives it, and what it means.
type scenario struct {
	chat, responses, messages string // streams
	means                     heard
}

func data(lines ...string) string {
	var b strings.Builder
	for _, l := range lines {
		if typ := gjson.Get(l, "type").Str; typ != "" {
			b.WriteString("event: " + typ + "\n")
		}
		b.WriteString("data: " + l + "\n\n")
	}
	return b.String()
}

func chatStream(deltas []string, finish string) string {
	var lines []string
	for _, d := range deltas {
		lines = append(lines, `{"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":`+d+`,"finish_reason":null}]}`)
	}
	if finish != "" {
		lines = append(lines, `{"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"`+finish+`"}]}`,
			`{"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[],"usage":{"prompt_tokens":100,"completion_tokens":20,"total_tokens":120,"prompt_tokens_details":{"cached_tokens":40},"completion_tokens_details":{"reasoning_tokens":5}}}`)
		return data(lines...) + "data: [DONE]\n\n"
	}
	return data(lines...)
}

func messagesStream(events []string, stop string) string {
	lines := append([]string{`{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":60,"cache_read_input_tokens":40,"cache_creation_input_tokens":0,"output_tokens":1}}}`}, events...)
	if stop != "" {
		lines = append(lines, `{"type":"message_delta","delta":{"stop_reason":"`+stop+`","stop_sequence":null},"usage":{"output_tokens":20}}`, `{"type":"message_stop"}`)
	}
	return data(lines...)
}

func responsesStream(events []string, items, end string) string {
	lines := append([]string{`{"type":"response.created","response":{"id":"resp_1","object":"response","created_at":1,"status":"in_progress","model":"m","output":[]}}`}, events...)
	usage := `"usage":{"input_tokens":100,"input_tokens_details":{"cached_tokens":40},"output_tokens":20,"output_tokens_details":{"reasoning_tokens":5},"total_tokens":120}`
	switch end {
	case "":
	case "completed":
		lines = append(lines, `{"type":"response.completed","response":{"id":"resp_1","object":"response","created_at":1,"status":"completed","model":"m","output":[`+items+`],`+usage+`}}`)
	default:
		lines = append(lines, `{"type":"response.incomplete","response":{"id":"resp_1","object":"response","created_at":1,"status":"incomplete","incomplete_details":{"reason":"`+end+`"},"model":"m","output":[`+items+`],`+usage+`}}`)
	}
	return data(lines...)
}

// rText and rCall are items of a Responses stream with their events.
func rText(index int, text string) ([]string, string) {
	item := fmt.Sprintf(`{"id":"m_%d","type":"message","role":"assistant","status":"completed","content":[{"type":"output_text","text":%q,"annotations":[]}]}`, index, text)
	return []string{
		fmt.Sprintf(`{"type":"response.output_item.added","output_index":%d,"item":{"id":"m_%d","type":"message","role":"assistant","status":"in_progress","content":[]}}`, index, index),
		fmt.Sprintf(`{"type":"response.content_part.added","item_id":"m_%d","output_index":%d,"content_index":0,"part":{"type":"output_text","text":"","annotations":[]}}`, index, index),
		fmt.Sprintf(`{"type":"response.output_text.delta","item_id":"m_%d","output_index":%d,"content_index":0,"delta":%q}`, index, index, text),
		fmt.Sprintf(`{"type":"response.output_item.done","output_index":%d,"item":%s}`, index, item),
	}, item
}

func rCall(index int, id, args string) (added, delta, done, item string) {
	item = fmt.Sprintf(`{"id":"f_%d","type":"function_call","status":"completed","call_id":%q,"name":"look","arguments":%q}`, index, id, args)
	return fmt.Sprintf(`{"type":"response.output_item.added","output_index":%d,"item":{"id":"f_%d","type":"function_call","status":"in_progress","call_id":%q,"name":"look","arguments":""}}`, index, index, id),
		fmt.Sprintf(`{"type":"response.function_call_arguments.delta","item_id":"f_%d","output_index":%d,"delta":%q}`, index, index, args),
		fmt.Sprintf(`{"type":"response.output_item.done","output_index":%d,"item":%s}`, index, item), item
}

func scenarios() map[string]scenario {
	mText := func(index int, text string) []string {
		return []string{
			fmt.Sprintf(`{"type":"content_block_start","index":%d,"content_block":{"type":"text","text":""}}`, index),
			fmt.Sprintf(`{"type":"content_block_delta","index":%d,"delta":{"type":"text_delta","text":%q}}`, index, text),
			fmt.Sprintf(`{"type":"content_block_stop","index":%d}`, index),
		}
	}
	mCall := func(index int, id, args string) []string {
		return []string{
			fmt.Sprintf(`{"type":"content_block_start","index":%d,"content_block":{"type":"tool_use","id":%q,"name":"look","input":{}}}`, index, id),
			fmt.Sprintf(`{"type":"content_block_delta","index":%d,"delta":{"type":"input_json_delta","partial_json":%q}}`, index, args),
			fmt.Sprintf(`{"type":"content_block_stop","index":%d}`, index),
		}
	}
	cCall := func(index int, id, args string) []string {
		return []string{
			fmt.Sprintf(`{"tool_calls":[{"index":%d,"id":%q,"type":"function","function":{"name":"look","arguments":""}}]}`, index, id),
			fmt.Sprintf(`{"tool_calls":[{"index":%d,"function":{"arguments":%q}}]}`, index, args),
		}
	}
	hello, helloItem := rText(0, "Hello")
	role := `{"role":"assistant","content":""}`
	a1, d1, z1, i1 := rCall(0, "call_1", `{"at":"a"}`)
	a2, d2, z2, i2 := rCall(1, "call_2", `{"at":"b"}`)
	thought := `{"id":"rs_1","type":"reasoning","summary":[{"type":"summary_text","text":"Hm."}],"encrypted_content":"gAAAAblob"}`
	afterThought, afterItem := rText(1, "Hello")
	refused := `{"id":"m_0","type":"message","role":"assistant","status":"completed","content":[{"type":"refusal","refusal":"No."}]}`
	tokens := heard{in: 100, out: 20}
	with := func(h heard) heard { h.in, h.out = tokens.in, tokens.out; return h }
	return map[string]scenario{
		"text": {
			chat:      chatStream([]string{role, `{"content":"Hello"}`}, "stop"),
			responses: responsesStream(hello, helloItem, "completed"),
			messages:  messagesStream(mText(0, "Hello"), "end_turn"),
			means:     with(heard{text: "Hello", stop: "end"}),
		},
		"parallel tools": {
			chat:      chatStream(slices.Concat([]string{role}, cCall(0, "call_1", `{"at":"a"}`), cCall(1, "call_2", `{"at":"b"}`)), "tool_calls"),
			responses: responsesStream([]string{a1, a2, d2, d1, z1, z2}, i1+","+i2, "completed"),
			messages:  messagesStream(append(mCall(0, "call_1", `{"at":"a"}`), mCall(1, "call_2", `{"at":"b"}`)...), "tool_use"),
			means:     with(heard{calls: []string{`look {"at":"a"}`, `look {"at":"b"}`}, stop: "tool"}),
		},
		"thinking": {
			chat: chatStream([]string{role, `{"reasoning_text":"Hm."}`, `{"reasoning_opaque":"opaque-blob","content":""}`, `{"content":"Hello"}`}, "stop"),
			responses: responsesStream(append([]string{
				`{"type":"response.output_item.added","output_index":0,"item":{"id":"rs_1","type":"reasoning","summary":[]}}`,
				`{"type":"response.reasoning_summary_part.added","item_id":"rs_1","output_index":0,"summary_index":0,"part":{"type":"summary_text","text":""}}`,
				`{"type":"response.reasoning_summary_text.delta","item_id":"rs_1","output_index":0,"summary_index":0,"delta":"Hm."}`,
				`{"type":"response.output_item.done","output_index":0,"item":` + thought + `}`,
			}, afterThought...), thought+","+afterItem, "completed"),
			messages: messagesStream(append([]string{
				`{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}`,
				`{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"Hm."}}`,
				`{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"EqSignature"}}`,
				`{"type":"content_block_stop","index":0}`,
			}, mText(1, "Hello")...), "end_turn"),
			means: with(heard{text: "Hello", thinking: "Hm.", stop: "end"}),
		},
		"thinking alone": {
			chat: chatStream([]string{role, `{"reasoning_content":"Hm."}`}, "stop"),
			responses: responsesStream([]string{
				`{"type":"response.output_item.added","output_index":0,"item":{"id":"rs_1","type":"reasoning","summary":[]}}`,
				`{"type":"response.reasoning_summary_part.added","item_id":"rs_1","output_index":0,"summary_index":0,"part":{"type":"summary_text","text":""}}`,
				`{"type":"response.reasoning_summary_text.delta","item_id":"rs_1","output_index":0,"summary_index":0,"delta":"Hm."}`,
				`{"type":"response.output_item.done","output_index":0,"item":` + thought + `}`,
			}, thought, "completed"),
			messages: messagesStream([]string{
				`{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}`,
				`{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"Hm."}}`,
				`{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"EqSignature"}}`,
				`{"type":"content_block_stop","index":0}`,
			}, "end_turn"),
			means: with(heard{thinking: "Hm.", stop: "end"}),
		},
		"text behind a call, and a call behind that": {
			chat: chatStream(slices.Concat([]string{role}, cCall(0, "call_1", `{"at":"a"}`), []string{`{"content":"Hello"}`}, cCall(1, "call_2", `{"at":"b"}`)), "stop"),
			responses: responsesStream(slices.Concat([]string{a1, d1, z1}, afterThought, []string{
				strings.Replace(a2, `"output_index":1`, `"output_index":2`, 1), strings.Replace(d2, `"output_index":1`, `"output_index":2`, 1), strings.Replace(z2, `"output_index":1`, `"output_index":2`, 1),
			}), i1+","+afterItem+","+i2, "completed"),
			messages: messagesStream(slices.Concat(mCall(0, "call_1", `{"at":"a"}`), mText(1, "Hello"), mCall(2, "call_2", `{"at":"b"}`)), "end_turn"),
			means:    with(heard{text: "Hello", calls: []string{`look {"at":"a"}`, `look {"at":"b"}`}, stop: "tool"}),
		},
		"refusal": {
			chat: chatStream([]string{role, `{"refusal":"No."}`}, "content_filter"),
			responses: responsesStream([]string{
				`{"type":"response.output_item.added","output_index":0,"item":{"id":"m_0","type":"message","role":"assistant","status":"in_progress","content":[]}}`,
				`{"type":"response.content_part.added","item_id":"m_0","output_index":0,"content_index":0,"part":{"type":"refusal","refusal":""}}`,
				`{"type":"response.refusal.delta","item_id":"m_0","output_index":0,"content_index":0,"delta":"No."}`,
				`{"type":"response.output_item.done","output_index":0,"item":` + refused + `}`,
			}, refused, "content_filter"),
			messages: messagesStream(mText(0, "No."), "refusal"),
			means:    with(heard{text: "No.", stop: "filter"}),
		},
		"length": {
			chat:      chatStream([]string{role, `{"content":"Hello"}`}, "length"),
			responses: responsesStream(hello, helloItem, "max_output_tokens"),
			messages:  messagesStream(mText(0, "Hello"), "max_tokens"),
			means:     with(heard{text: "Hello", stop: "length"}),
		},
		"error before any text": {
			chat:      `data: {"error":{"message":"broken","type":"server_error","code":"x"}}` + "\n\n",
			responses: responsesStream([]string{`{"type":"response.failed","response":{"id":"resp_1","object":"response","status":"failed","error":{"code":"server_error","message":"broken"},"output":[]}}`}, "", ""),
			messages:  messagesStream([]string{`{"type":"error","error":{"type":"api_error","message":"broken"}}`}, ""),
			means:     heard{err: true},
		},
		"error in the middle": {
			chat:      chatStream([]string{role, `{"content":"Hello"}`}, "") + `data: {"error":{"message":"broken","type":"server_error"}}` + "\n\n",
			responses: responsesStream(append(hello[:3:3], `{"type":"response.failed","response":{"id":"resp_1","object":"response","status":"failed","error":{"code":"server_error","message":"broken"},"output":[]}}`), "", ""),
			messages:  messagesStream(append(mText(0, "Hello")[:2], `{"type":"error","error":{"type":"api_error","message":"broken"}}`), ""),
			means:     heard{text: "Hello", err: true},
		},
		"cut in the middle": {
			chat:      chatStream([]string{role, `{"content":"Hello"}`}, ""),
			responses: responsesStream(hello[:3], "", ""),
			messages:  messagesStream(mText(0, "Hello")[:2], ""),
			means:     heard{text: "Hello", err: true},
		},
	}
}

// asker is a client of one dialect: how it asks and how its official SDK reads the answer.
type asker struct {
	path   func(model string, stream bool) string
	body   func(model string, stream bool) string
	stream func(*http.Response) heard
	plain  func([]byte) heard
}

func askers() map[string]asker {
	const tool = `"description":"looks","`
	schema := `{"type":"object","properties":{"at":{"type":"string"}},"required":["at"]}`
	fixed := func(p string) func(string, bool) string { return func(string, bool) string { return p } }
	return map[string]asker{
		"chat": {
			fixed("/v1/chat/completions"), func(model string, stream bool) string {
				more := ""
				if stream {
					more = `"stream_options":{"include_usage":true},`
				}
				return fmt.Sprintf(`{"model":%q,"stream":%t,%s"messages":[{"role":"user","content":"hi"}],"tools":[{"type":"function","function":{"name":"look",%sparameters":%s}}]}`, model, stream, more, tool, schema)
			}, hearChat, func(b []byte) heard {
				var c openai.ChatCompletion
				return chatHeard(json.Unmarshal(b, &c), &c)
			},
		},
		"responses": {
			fixed("/v1/responses"), func(model string, stream bool) string {
				return fmt.Sprintf(`{"model":%q,"stream":%t,"store":false,"include":["reasoning.encrypted_content"],"reasoning":{"summary":"auto"},"input":[{"role":"user","content":"hi"}],"tools":[{"type":"function","name":"look","strict":false,%sparameters":%s}]}`, model, stream, tool, schema)
			}, hearResponses, func(b []byte) heard {
				var r responses.Response
				err := json.Unmarshal(b, &r)
				return responsesHeard(err, &r)
			},
		},
		"messages": {
			fixed("/v1/messages"), func(model string, stream bool) string {
				return fmt.Sprintf(`{"model":%q,"stream":%t,"max_tokens":500,"thinking":{"type":"adaptive"},"messages":[{"role":"user","content":"hi"}],"tools":[{"name":"look",%sinput_schema":%s}]}`, model, stream, tool, schema)
			}, hearMessages, func(b []byte) heard {
				var m anthropic.Message
				err := json.Unmarshal(b, &m)
				return messagesHeard(err, &m)
			},
		},
		"gemini": {
			func(model string, stream bool) string {
				if stream {
					return "/v1beta/models/" + model + ":streamGenerateContent?alt=sse"
				}
				return "/v1beta/models/" + model + ":generateContent"
			}, func(string, bool) string {
				return fmt.Sprintf(`{"contents":[{"role":"user","parts":[{"text":"hi"}]}],"generationConfig":{"thinkingConfig":{"includeThoughts":true}},"tools":[{"functionDeclarations":[{"name":"look",%sparametersJsonSchema":%s}]}]}`, tool, schema)
			}, hearGemini, func(b []byte) heard {
				var h heard
				h.gemini(b)
				return h
			},
		},
	}
}

func hearChat(resp *http.Response) heard {
	var acc openai.ChatCompletionAccumulator
	var thinking string
	s := ssestream.NewStream[openai.ChatCompletionChunk](ssestream.NewDecoder(resp), nil)
	for s.Next() {
		c := s.Current()
		acc.AddChunk(c)
		if len(c.Choices) > 0 {
			thinking += gjson.Get(c.RawJSON(), "choices.0.delta.reasoning_content").Str
		}
	}
	h := chatHeard(s.Err(), &acc.ChatCompletion)
	h.thinking = thinking
	return h
}

func chatHeard(err error, c *openai.ChatCompletion) heard {
	h := heard{err: err != nil, in: c.Usage.PromptTokens, out: c.Usage.CompletionTokens}
	if len(c.Choices) == 0 {
		return h
	}
	m := c.Choices[0]
	h.text, h.thinking = m.Message.Content+m.Message.Refusal, gjson.Get(m.Message.RawJSON(), "reasoning_content").Str
	for _, t := range m.Message.ToolCalls {
		h.calls = append(h.calls, t.Function.Name+" "+t.Function.Arguments)
	}
	h.stop = map[string]string{"stop": "end", "tool_calls": "tool", "length": "length", "content_filter": "filter"}[m.FinishReason]
	return h
}

func hearResponses(resp *http.Response) heard {
	var h heard
	var text string
	s := ssestream.NewStream[responses.ResponseStreamEventUnion](ssestream.NewDecoder(resp), nil)
	for s.Next() {
		switch e := s.Current(); e.Type {
		case "response.output_text.delta", "response.refusal.delta":
			text += e.Delta
		case "response.completed", "response.incomplete", "response.failed":
			h = responsesHeard(nil, &e.Response)
		}
	}
	h.err = h.err || s.Err() != nil || h.stop == "" // no terminal event is an error to whoever waits for one
	h.text = text
	return h
}

func responsesHeard(err error, r *responses.Response) heard {
	h := heard{err: err != nil || r.Status == "failed", in: r.Usage.InputTokens, out: r.Usage.OutputTokens}
	for _, item := range r.Output {
		switch item.Type {
		case "message":
			for _, c := range item.Content {
				h.text += c.Text + c.Refusal
			}
		case "reasoning":
			for _, p := range item.Summary {
				h.thinking += p.Text
			}
		case "function_call":
			h.calls = append(h.calls, item.Name+" "+item.AsFunctionCall().Arguments)
		}
	}
	refused := slices.ContainsFunc(r.Output, func(i responses.ResponseOutputItemUnion) bool {
		return slices.ContainsFunc(i.Content, func(c responses.ResponseOutputMessageContentUnion) bool { return c.Type == "refusal" })
	})
	switch {
	case refused: // the API itself says completed then
		h.stop = "filter"
	case r.Status == "completed" && len(h.calls) > 0:
		h.stop = "tool"
	case r.Status == "completed":
		h.stop = "end"
	default:
		h.stop = map[string]string{"max_output_tokens": "length", "content_filter": "filter"}[r.IncompleteDetails.Reason]
	}
	return h
}

func hearMessages(resp *http.Response) heard {
	var m anthropic.Message
	var failed error
	s := assestream.NewStream[anthropic.MessageStreamEventUnion](assestream.NewDecoder(resp), nil)
	for s.Next() {
		if err := m.Accumulate(s.Current()); err != nil {
			failed = err
		}
	}
	if failed == nil {
		failed = s.Err()
	}
	return messagesHeard(failed, &m)
}

func messagesHeard(err error, m *anthropic.Message) heard {
	h := heard{err: err != nil, in: m.Usage.InputTokens + m.Usage.CacheReadInputTokens + m.Usage.CacheCreationInputTokens, out: m.Usage.OutputTokens}
	for _, b := range m.Content {
		switch b.Type {
		case "text":
			h.text += b.Text
		case "thinking":
			h.thinking += b.Thinking
		case "tool_use":
			h.calls = append(h.calls, b.Name+" "+string(b.Input))
		}
	}
	h.stop = map[string]string{"end_turn": "end", "tool_use": "tool", "max_tokens": "length", "refusal": "filter"}[string(m.StopReason)]
	return h
}

func hearGemini(resp *http.Response) heard {
	var h heard
	frames := sse.NewReader(resp.Body)
	for {
		f, err := frames.Next()
		if err != nil {
			break
		}
		if len(f.Data) > 0 {
			h.gemini(f.Data)
		}
	}
	h.err = h.err || h.stop == ""
	return h
}

func (h *heard) gemini(b []byte) {
	var r genai.GenerateContentResponse
	if gjson.GetBytes(b, "error").Exists() || json.Unmarshal(b, &r) != nil {
		h.err = true
		return
	}
	if u := r.UsageMetadata; u != nil {
		h.in, h.out = int64(u.PromptTokenCount), int64(u.CandidatesTokenCount+u.ThoughtsTokenCount)
	}
	for _, c := range r.Candidates {
		if c.Content != nil {
			for _, p := range c.Content.Parts {
				switch {
				case p.FunctionCall != nil:
					args, _ := json.Marshal(p.FunctionCall.Args)
					h.calls = append(h.calls, p.FunctionCall.Name+" "+string(args))
				case p.Thought:
					h.thinking += p.Text
				default:
					h.text += p.Text
				}
			}
		}
		switch c.FinishReason {
		case genai.FinishReasonStop:
			if h.stop = "end"; len(h.calls) > 0 {
				h.stop = "tool"
			}
		case genai.FinishReasonMaxTokens:
			h.stop = "length"
		case genai.FinishReasonSafety, genai.FinishReasonProhibitedContent:
			h.stop = "filter"
		}
	}
}

// plainOf makes a plain answer of a stream, as the upstream of that dialect would give it.
func plainOf(t *testing.T, upstream dialect.Upstream, client dialect.Client, stream string) (int, []byte) {
	t.Helper()
	var fold llm.Folder
	dec := upstream.NewDecoder()
	frames := sse.NewReader(strings.NewReader(stream))
	for {
		f, err := frames.Next()
		if err != nil {
			break
		}
		for _, e := range dec.Decode(nil, f) {
			fold.Add(e)
		}
	}
	for _, e := range dec.Close(nil) {
		fold.Add(e)
	}
	a, ok := fold.Answer()
	if !ok || fold.Err() != nil {
		return 500, []byte(`{"error":{"message":"broken","type":"server_error"}}`)
	}
	return 200, client.EncodeAnswer(nil, a, dialect.AnswerOptions{Request: &llm.Request{WantUsage: true}, Model: "m", ID: "x", Created: 1})
}

// Every dialect of clients with every dialect of models, plain and streamed, as the official SDKs understand it.
func TestEveryClientUnderstandsEveryModel(t *testing.T) {
	t.Parallel()
	upstreams := map[string]struct {
		endpoint dialect.Endpoint
		codec    interface {
			dialect.Upstream
			dialect.Client
		}
		stream func(scenario) string
	}{
		"chat":      {dialect.EndpointChat, chatcodec.Codec{}, func(s scenario) string { return s.chat }},
		"responses": {dialect.EndpointResponses, responsescodec.Codec{}, func(s scenario) string { return s.responses }},
		"messages":  {dialect.EndpointMessages, messagescodec.Codec{}, func(s scenario) string { return s.messages }},
	}
	for clientName, client := range askers() {
		for upstreamName, up := range upstreams {
			for name, s := range scenarios() {
				for _, streamed := range []bool{true, false} {
					t.Run(fmt.Sprintf("%s client, %s model/%s/streamed=%t", clientName, upstreamName, name, streamed), func(t *testing.T) {
						t.Parallel()
						w := newWorld(t, false, func(rw http.ResponseWriter, r *http.Request) {
							body, _ := io.ReadAll(r.Body)
							if gjson.GetBytes(body, "stream").Bool() {
								stream(rw, up.stream(s))
								return
							}
							status, answer := plainOf(t, up.codec, up.codec, up.stream(s))
							plain(rw, status, string(answer))
						}, func(c *router.Config, f *fake) {
							f.models = []providers.Model{{ID: "m", Picker: true, Endpoints: []dialect.Endpoint{up.endpoint}}}
							c.Retry.Connection, c.Retry.MaxWait = 1, 1
						})
						resp := w.post(client.path("m", streamed), client.body("m", streamed))
						want := s.means
						if resp.StatusCode != 200 {
							if got := text(t, resp); !want.err || !strings.Contains(got, "broken") && !strings.Contains(got, "ended") || !json.Valid([]byte(got)) {
								t.Fatalf("status %d: %s", resp.StatusCode, got)
							}
							return
						}
						var got heard
						var raw bytes.Buffer
						resp.Body = io.NopCloser(io.TeeReader(resp.Body, &raw))
						if streamed {
							got = client.stream(resp)
						} else {
							got = client.plain([]byte(text(t, resp)))
						}
						if want.err {
							if !got.err || !streamed {
								t.Errorf("the failure was not heard: %+v of %s", got, &raw)
							}
							return
						}
						if clientName == upstreamName && clientName == "chat" { // Copilot's own words for reasoning pass as they are
							want.thinking, got.thinking = "", ""
						}
						if fmt.Sprint(got) != fmt.Sprint(want) {
							t.Errorf("heard %+v, want %+v, of\n%s", got, want, &raw)
						}
					})
				}
			}
		}
	}
}
