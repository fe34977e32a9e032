package dialect_test

import (
	"strings"
	"testing"

	"detour/internal/dialect"
	"detour/internal/dialect/chat"
	"detour/internal/dialect/dialecttest"
	"detour/internal/dialect/messages"
	"detour/internal/dialect/responses"
	"detour/internal/llm"
	"detour/internal/sse"
)

func TestPriceOfAnAnswer(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		usage string // with its copilot_usage
		want  llm.Usage
	}{
		"none":                    {`{"prompt_tokens":1}`, llm.Usage{}},
		"dollars":                 {`{"cost":0.0125}`, llm.Usage{NanoAIU: 1_250_000_000, Priced: true}},
		"less than a nanocredit":  {`{"cost":4e-12}`, llm.Usage{Priced: true}},
		"rounded to the nearest":  {`{"cost":1.5e-11}`, llm.Usage{NanoAIU: 2, Priced: true}},
		"nothing is a price":      {`{"cost":0,"is_byok":false,"cost_details":{"upstream_inference_cost":5}}`, llm.Usage{Priced: true}},
		"a key of the owner's":    {`{"cost":0.01,"is_byok":true,"cost_details":{"upstream_inference_cost":0.2}}`, llm.Usage{NanoAIU: 21e9, Priced: true}},
		"and no word of it":       {`{"cost":0.01,"is_byok":true,"cost_details":{"upstream_inference_cost":null}}`, llm.Usage{NanoAIU: 1e9, Priced: true}},
		"not to be believed":      {`{"cost":1e300,"is_byok":true,"cost_details":{"upstream_inference_cost":1e300}}`, llm.Usage{NanoAIU: llm.MaxNanoAIU, Priced: true}},
		"no number that there is": {`{"cost":1e999}`, llm.Usage{}},
		"less than nothing":       {`{"cost":-1}`, llm.Usage{}},
		"null":                    {`{"cost":null}`, llm.Usage{}},
		"of another shape":        {`{"cost":{"total":1}}`, llm.Usage{}},
		"credits":                 {`{"total_nano_aiu":77}`, llm.Usage{NanoAIU: 77, Priced: true}},
		"no credits":              {`{"total_nano_aiu":0}`, llm.Usage{Priced: true}},
		"credits below nothing":   {`{"total_nano_aiu":-3}`, llm.Usage{Priced: true}},
		"credits beyond belief":   {`{"total_nano_aiu":9e18}`, llm.Usage{NanoAIU: llm.MaxNanoAIU, Priced: true}},
		"credits in words":        {`{"total_nano_aiu":"77"}`, llm.Usage{}},
	} {
		var got llm.Usage
		dialect.ReadCost(&got, []byte(c.usage))
		dialect.ReadPrice(&got, []byte(c.usage))
		if got != c.want {
			t.Errorf("%s: got %+v, want %+v", name, got, c.want)
		}
	}
}

// What an upstream tells of an answer is known however the answer ends, on both paths.
func TestUsageOfAnswersThatEndWellAndThatFail(t *testing.T) {
	t.Parallel()
	type codec interface{ NewDecoder() dialect.Decoder }
	const (
		hello   = `data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":"stop"}]}` + "\n\n"
		spent   = `"prompt_tokens":10,"completion_tokens":5,"total_tokens":15,"cost":0.02`
		created = "event: response.created\n" + `data: {"type":"response.created","sequence_number":0,"response":{"id":"r","object":"response","output":[]}}` + "\n\n"
		tokens  = `"input_tokens":10,"output_tokens":5,"total_tokens":15,"cost":0.02`
		start   = "event: message_start\n" + `data: {"type":"message_start","message":{"id":"m","type":"message","role":"assistant","model":"c","content":[],"usage":{"input_tokens":10,"output_tokens":1}}}` + "\n\n"
		delta   = "event: message_delta\n" + `data: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":5,"cost":0.02}}` + "\n\n"
	)
	for name, c := range map[string]struct {
		format dialect.Format
		codec  codec
		stream string
		fails  bool
	}{
		"chat":                {chat.Format{}, chat.Codec{}, hello + `data: {"id":"c","choices":[],"usage":{` + spent + `}}` + "\n\ndata: [DONE]\n\n", false},
		"chat fails":          {chat.Format{}, chat.Codec{}, `data: {"id":"c","choices":[],"error":{"code":502,"message":"no"},"usage":{` + spent + `}}` + "\n\n", true},
		"chat is cut":         {chat.Format{}, chat.Codec{}, strings.Replace(hello, `"stop"`, "null", 1) + `data: {"id":"c","choices":[],"usage":{` + spent + `}}` + "\n\n", true},
		"responses":           {responses.Format{}, responses.Codec{}, created + "event: response.completed\n" + `data: {"type":"response.completed","sequence_number":1,"response":{"id":"r","status":"completed","output":[],"usage":{` + tokens + `}}}` + "\n\n", false},
		"responses fails":     {responses.Format{}, responses.Codec{}, created + "event: response.failed\n" + `data: {"type":"response.failed","sequence_number":1,"response":{"id":"r","status":"failed","error":{"code":"server_error","message":"no"},"usage":{` + tokens + `}}}` + "\n\n", true},
		"messages":            {messages.Format{}, messages.Codec{}, start + delta + "event: message_stop\n" + `data: {"type":"message_stop"}` + "\n\n", false},
		"messages fails late": {messages.Format{}, messages.Codec{}, start + delta + "event: error\n" + `data: {"type":"error","error":{"type":"overloaded_error","message":"no"}}` + "\n\n", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := llm.Usage{Input: 10, Output: 5, NanoAIU: 2e9, Priced: true, Reported: true}
			if got := dialecttest.Relay(c.format, dialecttest.Options(), strings.NewReader(c.stream)).Tap.Usage(); got != want {
				t.Errorf("on its way: got %+v, want %+v", got, want)
			}
			var got llm.Usage
			failed := false
			d := c.codec.NewDecoder()
			note := func(events []llm.Event) {
				for _, e := range events {
					if e.Usage.Reported {
						got = e.Usage
					}
					failed = failed || e.Kind == llm.EventFailure
				}
			}
			for frames := sse.NewReader(strings.NewReader(c.stream)); ; {
				f, err := frames.Next()
				if err != nil {
					break
				}
				note(d.Decode(nil, f))
			}
			note(d.Close(nil))
			if got != want || failed != c.fails {
				t.Errorf("translated: got %+v, failed %t, want %+v", got, failed, want)
			}
		})
	}
}
