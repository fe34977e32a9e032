package router_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/tidwall/gjson"
)

// Chat models that take functions only refuse a whole request over one free-text tool, and agents send such tools in
// Chat too.
func TestFreeTextToolsReachChatModelsAsFunctionsAndComeBack(t *testing.T) {
	t.Parallel()
	run(t, func(t *testing.T, h2 bool) {
		var asked string
		w := newWorld(t, h2, func(rw http.ResponseWriter, r *http.Request) {
			asked = text(t, &http.Response{Body: r.Body})
			call := `{"index":0,"id":"call_1","type":"function","function":{"name":"apply_patch","arguments":"{\"input\":\"*** Begin\"}"}}`
			stream(rw, `data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"chat-only","choices":[{"index":0,"delta":{"role":"assistant","tool_calls":[`+call+`]},"finish_reason":null}]}`+"\n\n",
				strings.Replace(finish, `"stop"`, `"tool_calls"`, 1))
		})
		body := `{"model":"chat-only","messages":[{"role":"user","content":"hi"}],"tools":[{"type":"custom","custom":{"name":"apply_patch","description":"patches files"}}]}`
		resp := w.post("/v1/chat/completions", body)
		got := text(t, resp)
		if typ := gjson.Get(asked, "tools.0.type").Str; typ != "function" || gjson.Get(asked, "tools.0.function.parameters.properties.input").Raw == "" {
			t.Errorf("upstream was asked %s", asked)
		}
		call := gjson.Get(got, "choices.0.message.tool_calls.0")
		if resp.StatusCode != 200 || call.Get("type").Str != "custom" || call.Get("custom.input").Str != "*** Begin" {
			t.Errorf("status %d: %s", resp.StatusCode, got)
		}
	})
}
