package app_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"detour/internal/sim"
)

// Every operation, through both doors, in both HTTP versions, answered by the simulated Copilot natively.
func TestEverySurfaceThroughBothDoors(t *testing.T) {
	t.Parallel()
	const say = `"messages":[{"role":"user","content":"ping"}]`
	cases := []struct {
		name, host, path, body string
		op                     string // what the simulated Copilot saw, "" for nothing
		wants                  []string
	}{
		{"chat", "api.openai.com", "/v1/chat/completions", `{"model":"gpt-4o",` + say + `}`, sim.OpChat, []string{`"object":"chat.completion"`, "answer from gpt-4o"}},
		{"chat streamed", "api.openai.com", "/v1/chat/completions", `{"model":"gpt-4o","stream":true,` + say + `}`, sim.OpChat, []string{`"object":"chat.completion.chunk"`, `"finish_reason":"stop"`, "data: [DONE]"}},
		{"chat, a Claude model", "api.openai.com", "/v1/chat/completions", `{"model":"claude-sonnet-4-5",` + say + `}`, sim.OpChat, []string{"answer from claude-sonnet-4.5"}},
		{"chat, a limit under its old name", "api.openai.com", "/v1/chat/completions", `{"model":"gpt-5-mini","max_tokens":50,` + say + `}`, sim.OpChat, []string{"answer from gpt-5-mini"}},
		{"chat, a model that wants a limit", "api.openai.com", "/v1/chat/completions", `{"model":"grok-4.5",` + say + `}`, sim.OpChat, []string{"answer from grok-4.5"}},
		{"responses", "api.openai.com", "/v1/responses", `{"model":"gpt-5.4","input":"ping"}`, sim.OpResponses, []string{`"status":"completed"`, "answer from gpt-5.4"}},
		{"responses streamed", "api.openai.com", "/v1/responses", `{"model":"gpt-5.4","stream":true,"input":"ping","store":true,"service_tier":"auto"}`, sim.OpResponses, []string{"response.output_item.done", "response.completed"}},
		{"messages", "api.anthropic.com", "/v1/messages?beta=true", `{"model":"claude-sonnet-4-6-20260101","max_tokens":64,` + say + `}`, sim.OpMessages, []string{`"type":"message"`, `"stop_reason":"end_turn"`}},
		{"messages streamed", "api.anthropic.com", "/v1/messages", `{"model":"claude-haiku-4.5","max_tokens":64,"stream":true,` + say + `}`, sim.OpMessages, []string{"event: message_start", "event: message_stop"}},
		{"count_tokens", "api.anthropic.com", "/v1/messages/count_tokens", `{"model":"claude-haiku-4.5",` + say + `}`, sim.OpCountTokens, []string{"input_tokens"}},
		{"embeddings", "api.openai.com", "/v1/embeddings", `{"model":"text-embedding-3-small","input":"one"}`, sim.OpEmbeddings, []string{`"embedding"`}},
		{"Codex with a ChatGPT sign-in", "chatgpt.com", "/backend-api/codex/responses", `{"model":"gpt-5.4","stream":true,"input":"ping","store":false}`, sim.OpResponses, []string{"response.completed"}},
		{"Gemini", "generativelanguage.googleapis.com", "/v1beta/models/gpt-4o:generateContent", `{"contents":[{"role":"user","parts":[{"text":"ping"}]}]}`, sim.OpChat, []string{`"finishReason":"STOP"`, "answer from gpt-4o"}},
		{"Gemini streamed", "generativelanguage.googleapis.com", "/v1beta/models/gpt-4o:streamGenerateContent?alt=sse&key=client-own", `{"contents":[{"role":"user","parts":[{"text":"ping"}]}]}`, sim.OpChat, []string{`"finishReason":"STOP"`}},
		{"Gemini's OpenAI paths", "generativelanguage.googleapis.com", "/v1beta/openai/chat/completions", `{"model":"gpt-4o",` + say + `}`, sim.OpChat, []string{"answer from gpt-4o"}},
		{"DeepSeek", "api.deepseek.com", "/chat/completions", `{"model":"gpt-4o",` + say + `}`, sim.OpChat, []string{"answer from gpt-4o"}},
		{"DeepSeek's Messages", "api.deepseek.com", "/anthropic/v1/messages", `{"model":"claude-haiku-4.5","max_tokens":64,` + say + `}`, sim.OpMessages, []string{`"stop_reason":"end_turn"`}},
		{"OpenRouter", "openrouter.ai", "/api/v1/chat/completions", `{"model":"openai/gpt-4o",` + say + `}`, sim.OpChat, []string{"answer from gpt-4o"}},
		{"Z.ai", "api.z.ai", "/api/coding/paas/v4/chat/completions", `{"model":"gpt-4o",` + say + `}`, sim.OpChat, []string{"answer from gpt-4o"}},
		{"Zhipu", "open.bigmodel.cn", "/api/anthropic/v1/messages", `{"model":"claude-haiku-4.5","max_tokens":64,` + say + `}`, sim.OpMessages, []string{`"stop_reason":"end_turn"`}},
		{"opencode", "opencode.ai", "/zen/v1/responses", `{"model":"gpt-5.4","input":"ping"}`, sim.OpResponses, []string{`"status":"completed"`}},
		{"Copilot's own path", "api.githubcopilot.com", "/chat/completions", `{"model":"gpt-4o",` + say + `}`, sim.OpChat, []string{"answer from gpt-4o"}},
	}
	w := newWorld(t, nil, nil, "alice")
	clients := map[string]*http.Client{"proxy h1": w.client(false), "proxy h2": w.client(true), "api": http.DefaultClient}
	for door, client := range clients {
		for _, tc := range cases {
			if door == "api" && !strings.HasPrefix(tc.path, "/v1/") && !strings.HasPrefix(tc.path, "/v1beta/models/") && tc.path != "/chat/completions" {
				continue // a path of one host only
			}
			t.Run(door+"/"+tc.name, func(t *testing.T) {
				t.Parallel()
				base := "https://" + tc.host
				if door == "api" {
					base = "http://" + w.app.APIAddr()
				}
				marker := strings.ReplaceAll(fmt.Sprintf("ping-%s-%s", door, tc.name), " ", "-")
				body := strings.ReplaceAll(strings.ReplaceAll(tc.body, `"ping"`, `"`+marker+`"`), `"one"`, `"`+marker+`"`)
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+tc.path, strings.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("Authorization", "Bearer client-own")
				req.Header.Set("X-Api-Key", "client-own")
				req.Header.Set("Content-Type", "application/json")
				resp, err := client.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				b, err := io.ReadAll(resp.Body)
				if err != nil || resp.StatusCode != 200 {
					t.Fatalf("status %d, %v: %s", resp.StatusCode, err, b)
				}
				for _, want := range tc.wants {
					if !strings.Contains(string(b), want) {
						t.Errorf("no %q in %s", want, b)
					}
				}
				seen := w.sim.Requests(func(r sim.Request) bool {
					return r.Op == tc.op && strings.Contains(string(r.Body), `"`+marker+`"`) && r.Status == 200
				})
				if len(seen) != 1 {
					t.Fatalf("the simulated Copilot saw %d requests", len(seen))
				}
				for name, v := range seen[0].Header {
					if strings.Contains(strings.Join(v, " "), "client-own") {
						t.Errorf("%s carries the client's credential", name)
					}
				}
				if resp.Header.Get("X-Detour-Account") != "alice" {
					t.Errorf("X-Detour-Account is %q", resp.Header.Get("X-Detour-Account"))
				}
			})
		}
	}
}
