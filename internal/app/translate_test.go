package app_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"detour/internal/sim"
)

// A client of every dialect on a model of every other one, plain and streamed: text, then a tool call, then its result.
func TestEveryDialectOnEveryModel(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil, nil, "alice")
	models := map[string]string{ // by what they speak upstream
		"gpt-4o": sim.OpChat, "gemini-3.5-flash": sim.OpChat, "gpt-5.4": sim.OpResponses, "claude-sonnet-4.6": "", "claude-haiku-4.5": "",
	}
	for _, c := range dialectClients() {
		for model, op := range models {
			if op == "" { // Claude speaks Messages and Chat: whichever is the client's own, else Messages
				op = map[bool]string{true: sim.OpChat, false: sim.OpMessages}[c.name == "chat" || c.name == "gemini"]
			}
			for _, stream := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s on %s stream=%t", c.name, model, stream), func(t *testing.T) {
					t.Parallel()
					path := strings.NewReplacer("MODEL", model, "METHOD", map[bool]string{true: "streamGenerateContent?alt=sse", false: "generateContent"}[stream]).Replace(c.path)
					marker := fmt.Sprintf("ask-%s-%s-%t", c.name, model, stream)
					status, body := w.post(t, path, c.text(model, marker, stream))
					if status != 200 || !c.ended(body, stream) {
						t.Fatalf("text: %d %s", status, body)
					}
					if !strings.Contains(strings.Join(strings.Fields(c.said(body, stream)), " "), "simulated answer from "+model+" to: "+marker) {
						t.Errorf("text: %q in %s", c.said(body, stream), body)
					}
					seen := w.sim.Requests(func(r sim.Request) bool { return strings.Contains(string(r.Body), marker) })
					if len(seen) != 1 || seen[0].Op != op {
						t.Errorf("the model was asked as %v, want %s", seen, op)
					}
					status, body = w.post(t, path, c.tool(model, marker+` [[sim:tool=weather {"city":"Oslo"}]]`, stream))
					if status != 200 || !c.ended(body, stream) || !strings.Contains(body, "weather") || !strings.Contains(body, `city`) || !strings.Contains(body, c.calls) {
						t.Errorf("tool call: %d %s", status, body)
					}
					status, body = w.post(t, path, c.result(model, marker+` [[sim:tool=weather {"city":"Oslo"}]]`, stream))
					if status != 200 || !c.ended(body, stream) || !strings.Contains(c.said(body, stream), "rainy") {
						t.Errorf("after the result: %d %q in %s", status, c.said(body, stream), body)
					}
				})
			}
		}
	}
}

func (w *world) post(t *testing.T, path, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+w.app.APIAddr()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// dialectClient writes the three requests of a tool round, and reads what came back.
type dialectClient struct {
	name, path         string
	calls              string // in an answer that calls a tool
	text, tool, result func(model, say string, stream bool) string
	terminal           string // ends a stream
	delta              string // name of the member that holds streamed text
}

// ended tells whether the answer came to its proper end.
func (c dialectClient) ended(body string, stream bool) bool {
	return !stream || strings.Contains(body, c.terminal)
}

// said is the text of an answer: the streamed pieces put together, or the body itself.
func (c dialectClient) said(body string, stream bool) string {
	if !stream {
		return body
	}
	var out strings.Builder
	for line := range strings.Lines(body) {
		data, ok := strings.CutPrefix(line, "data: ")
		_, text, found := strings.Cut(data, c.delta)
		if !ok || !found {
			continue
		}
		end := 0
		for end < len(text) && text[end] != '"' {
			if text[end] == '\\' {
				end++
			}
			end++
		}
		out.WriteString(strings.ReplaceAll(text[:min(end, len(text))], `\n`, "\n"))
	}
	return out.String()
}

func dialectClients() []dialectClient {
	const schema = `{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}`
	const args = `"{\"city\":\"Oslo\"}"`
	chat := func(rest string) func(string, string, bool) string {
		return func(model, say string, stream bool) string {
			return fmt.Sprintf(`{"model":%q,"stream":%t,"messages":[{"role":"system","content":"Be brief."},{"role":"user","content":%q}%s}`, model, stream, say, rest)
		}
	}
	chatTools := `,"tools":[{"type":"function","function":{"name":"weather","description":"Weather of a city","parameters":` + schema + `}}]`
	responses := func(rest string) func(string, string, bool) string {
		return func(model, say string, stream bool) string {
			return fmt.Sprintf(`{"model":%q,"stream":%t,"store":false,"instructions":"Be brief.","input":[{"type":"message","role":"user","content":[{"type":"input_text","text":%q}]}%s}`, model, stream, say, rest)
		}
	}
	responsesTools := `,"tools":[{"type":"function","name":"weather","description":"Weather of a city","parameters":` + schema + `}]`
	messages := func(rest string) func(string, string, bool) string {
		return func(model, say string, stream bool) string {
			return fmt.Sprintf(`{"model":%q,"stream":%t,"max_tokens":512,"system":"Be brief.","messages":[{"role":"user","content":%q}%s}`, model, stream, say, rest)
		}
	}
	messagesTools := `,"tools":[{"name":"weather","description":"Weather of a city","input_schema":` + schema + `}]`
	gemini := func(rest string) func(string, string, bool) string {
		return func(_, say string, _ bool) string {
			return fmt.Sprintf(`{"systemInstruction":{"parts":[{"text":"Be brief."}]},"contents":[{"role":"user","parts":[{"text":%q}]}%s}`, say, rest)
		}
	}
	geminiTools := `,"tools":[{"functionDeclarations":[{"name":"weather","description":"Weather of a city","parametersJsonSchema":` + schema + `}]}]`
	return []dialectClient{
		{
			name: "gemini", path: "/v1beta/models/MODEL:METHOD", calls: `"functionCall"`, terminal: `"finishReason":"STOP"`, delta: `"text":"`,
			text: gemini(`]`), tool: gemini(`]` + geminiTools),
			result: gemini(`,{"role":"model","parts":[{"functionCall":{"name":"weather","args":{"city":"Oslo"}}}]},{"role":"user","parts":[{"functionResponse":{"name":"weather","response":{"output":"rainy"}}}]}]` + geminiTools),
		},
		{
			name: "chat", path: "/v1/chat/completions", calls: `"tool_calls"`, terminal: "data: [DONE]", delta: `"content":"`,
			text: chat(`]`), tool: chat(`]` + chatTools),
			result: chat(`,{"role":"assistant","content":null,"tool_calls":[{"id":"call_1","type":"function","function":{"name":"weather","arguments":` + args + `}}]},{"role":"tool","tool_call_id":"call_1","content":"rainy"}]` + chatTools),
		},
		{
			name: "responses", path: "/v1/responses", calls: `"function_call"`, terminal: "event: response.completed", delta: `"delta":"`,
			text: responses(`]`), tool: responses(`]` + responsesTools),
			result: responses(`,{"type":"function_call","call_id":"call_1","name":"weather","arguments":` + args + `},{"type":"function_call_output","call_id":"call_1","output":"rainy"}]` + responsesTools),
		},
		{
			name: "messages", path: "/v1/messages", calls: `"tool_use"`, terminal: "event: message_stop", delta: `"text":"`,
			text: messages(`]`), tool: messages(`]` + messagesTools),
			result: messages(`,{"role":"assistant","content":[{"type":"tool_use","id":"toolu_1","name":"weather","input":{"city":"Oslo"}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"toolu_1","content":"rainy"}]}]` + messagesTools),
		},
	}
}

func TestTokensAreCountedForEveryModel(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil, nil, "alice")
	for name, tc := range map[string]struct{ path, body, has string }{
		"native":              {"/v1/messages/count_tokens", `{"model":"claude-haiku-4.5","messages":[{"role":"user","content":"hello there"}]}`, `"input_tokens":`},
		"a model without it":  {"/v1/messages/count_tokens", `{"model":"gpt-4o","messages":[{"role":"user","content":"hello there"}]}`, `"input_tokens":`},
		"Gemini":              {"/v1beta/models/gpt-4o:countTokens", `{"contents":[{"parts":[{"text":"hello there"}]}]}`, `"totalTokens":`},
		"Gemini, unknown one": {"/v1beta/models/none:countTokens", `{"contents":[{"parts":[{"text":"x"}]}]}`, `"NOT_FOUND"`},
	} {
		status, body := w.post(t, tc.path, tc.body)
		if !strings.Contains(body, tc.has) || strings.Contains(body, ":0}") || (status != 200) != strings.Contains(name, "unknown") {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
	w.sim.Update(func(s *sim.Scenario) {
		s.Faults = []sim.Fault{{On: sim.OpCountTokens, Status: 429, Body: "rate limit exceeded\n", Times: -1}}
	})
	if status, body := w.post(t, "/v1/messages/count_tokens", `{"model":"claude-haiku-4.5","messages":[{"role":"user","content":"hello there"}]}`); status != 200 {
		t.Errorf("under a rate limit: %d %s, want an estimate", status, body)
	}
}
