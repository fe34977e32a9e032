package app_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"detour/internal/app"
	"detour/internal/config"
	"detour/internal/secret"
	"detour/internal/sim"
)

// keyedAccounts is one account of each service, a Copilot account last.
func keyedAccounts() []string {
	return []string{
		"openai:openai", "anthropic:anthropic", "zai-coding-plan:zai", "deepseek:deepseek", "openrouter:openrouter", "gemini:gemini", "openai-compatible:local", "alice",
	}
}

// A client of every dialect on a model of every service, plain and streamed: text, then a tool call, then its result.
func TestEveryDialectOnEveryService(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil, nil, keyedAccounts()...)
	models := map[string]string{
		"openai/gpt-5.4": "openai", "openai/gpt-4o": "openai", "claude-sonnet-4-5-20250929": "anthropic", "claude-opus-4-6": "anthropic", "glm-4.7": "zai", "glm-4-plus": "zai",
		"deepseek-reasoner": "deepseek", "anthropic/claude-sonnet-4.5": "openrouter", "gemini-2.5-flash": "gemini", "gemini-3-pro-preview": "gemini", "qwen3:8b": "local",
	}
	for _, c := range dialectClients() {
		for model, site := range models {
			if c.name == "gemini" && strings.Contains(model, "/") || c.name == "gemini" && strings.Contains(model, ":") {
				continue // its paths have the model in one segment
			}
			for _, stream := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s on %s stream=%t", c.name, model, stream), func(t *testing.T) {
					t.Parallel()
					path := strings.NewReplacer("MODEL", model, "METHOD", map[bool]string{true: "streamGenerateContent?alt=sse", false: "generateContent"}[stream]).Replace(c.path)
					marker := strings.NewReplacer("/", "-", ":", "-").Replace(fmt.Sprintf("ask-%s-%s-%t", c.name, model, stream))
					status, body := w.post(t, path, c.text(model, marker, stream))
					if status != 200 || !c.ended(body, stream) || !strings.Contains(strings.Join(strings.Fields(c.said(body, stream)), " "), "to: "+marker) {
						t.Fatalf("text: %d %s", status, body)
					}
					seen := w.sim.Requests(func(r sim.Request) bool { return strings.Contains(string(r.Body), marker) })
					if len(seen) != 1 || seen[0].Site != site {
						t.Errorf("the model was asked as %+v, want %s", seen, site)
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

// What an agent such as Claude Code sends goes to a Z.ai model with thinking on, and its thoughts come back as such; on
// the next turn they go along again.
func TestMessagesClientThinksOnZai(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil, nil, "zai-coding-plan:zai")
	const head = `{"model":"glm-4.7","max_tokens":4000,"stream":%t,"thinking":{"type":"enabled","budget_tokens":2000},"system":[{"type":"text","text":"You are an agent.","cache_control":{"type":"ephemeral"}}],
		"tools":[{"name":"Bash","description":"d","input_schema":{"type":"object","properties":{"command":{"type":"string"}}}}],"messages":[{"role":"user","content":[{"type":"text","text":"first zai [[sim:tool=Bash {\"command\":\"ls\"}]]"}]}`
	status, body := w.post(t, "/v1/messages", fmt.Sprintf(head, true)+`]}`)
	if status != 200 || !strings.Contains(body, "thinking_delta") || !strings.Contains(body, "event: message_stop") || !strings.Contains(body, "tool_use") {
		t.Fatalf("%d %s", status, body)
	}
	sent := w.sim.Requests(func(r sim.Request) bool { return strings.Contains(string(r.Body), "first zai") })
	if len(sent) != 1 || !strings.HasSuffix(string(sent[0].Body), `"thinking":{"type":"enabled","clear_thinking":false}}`) || sent[0].Path != "/zai/api/coding/paas/v4/chat/completions" {
		t.Fatalf("%+v\n%s", sent, sent[0].Body)
	}
	if strings.Contains(string(sent[0].Body), "cache_control") || strings.Contains(string(sent[0].Body), "max_completion_tokens") {
		t.Errorf("words of other services: %s", sent[0].Body)
	}

	status, body = w.post(t, "/v1/messages", fmt.Sprintf(head, false)+`]}`)
	var answer struct {
		Content []json.RawMessage
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil || status != 200 || len(answer.Content) < 2 || !bytes.Contains(answer.Content[0], []byte("thinking")) {
		t.Fatalf("%v %d %s", err, status, body)
	}
	call := answer.Content[len(answer.Content)-1]
	var id struct{ ID string }
	_ = json.Unmarshal(call, &id)
	content := bytes.Join([][]byte{answer.Content[0], call}, []byte(","))
	status, body = w.post(t, "/v1/messages", fmt.Sprintf(head, false)+fmt.Sprintf(`,{"role":"assistant","content":[%s]},{"role":"user","content":[{"type":"tool_result","tool_use_id":%q,"content":"second zai"}]}]}`, content, id.ID))
	sent = w.sim.Requests(func(r sim.Request) bool { return strings.Contains(string(r.Body), "second zai") })
	if status != 200 || len(sent) != 1 || !strings.Contains(string(sent[0].Body), `"reasoning_content":"Thinking about first zai`) {
		t.Errorf("%d %s\nsent %+v", status, body, sent)
	}
}

// The same id at two providers: the first account's has the bare name, provider/model names either, and the list shows
// both. Prices and limits stand in it.
func TestOneModelAtTwoProviders(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil, nil, "alice", "openai:openai", "openrouter:openrouter")
	for model, site := range map[string]string{
		"gpt-4o": "individual", "openai/gpt-4o": "openai", "github-copilot/gpt-4o": "individual",
		"openai/gpt-5.4": "openai", "openrouter/openai/gpt-5.4": "openrouter", "anthropic/claude-sonnet-4.5": "openrouter",
	} {
		ask := "owner of " + strings.ReplaceAll(model, "/", "-") + "."
		status, body := w.post(t, "/v1/chat/completions", fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":%q}]}`, model, ask))
		seen := w.sim.Requests(func(r sim.Request) bool { return strings.Contains(string(r.Body), ask) })
		if status != 200 || len(seen) != 1 || seen[0].Site != site {
			t.Errorf("%s: %d %s, asked %+v", model, status, body, seen)
		}
	}
	resp, err := http.Get("http://" + w.app.APIAddr() + "/v1/models")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var list struct {
		Data []struct {
			ID     string
			Detour struct {
				Provider string
				Limits   struct{ Context, Output int }
				Cost     struct {
					Input     float64
					CacheRead float64 `json:"cache_read"`
				}
				Input []string
			} `json:"x_detour"`
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&list); err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for _, m := range list.Data {
		seen[m.ID]++
		if m.ID == "openai/gpt-4o" && (m.Detour.Provider != "openai" || m.Detour.Limits.Context != 128000 || m.Detour.Cost.Input != 2.5 || m.Detour.Cost.CacheRead != 1.25 || len(m.Detour.Input) == 0) {
			t.Errorf("%+v", m)
		}
	}
	for _, id := range []string{"gpt-4o", "openai/gpt-4o", "gpt-5-codex", "anthropic/claude-sonnet-4.5"} {
		if seen[id] != 1 {
			t.Errorf("%s is listed %d times", id, seen[id])
		}
	}
	for path, want := range map[string]string{"openai/gpt-4o": `"provider":"openai"`, "gpt-4o": `"provider":"github-copilot"`} {
		resp, err := http.Get("http://" + w.app.APIAddr() + "/v1/models/" + path)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if !bytes.Contains(b, []byte(want)) || !bytes.Contains(b, []byte(`"id":"`+path+`"`)) {
			t.Errorf("%s: %s", path, b)
		}
	}
}

// Route mode switch on a provider's own host: the client's bytes, its own headers, a pool account's key, in both HTTP
// versions.
func TestSwitchOnKeyedProviders(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil, func(o *app.Options) {
		o.Config.ProxyMode.ProviderModes = map[string]string{"openai": "switch", "anthropic": "switch", "zai": "switch"}
	}, "openai:openai", "anthropic:anthropic", "zai-coding-plan:zai")
	for _, h2 := range []bool{false, true} {
		client := w.client(h2)
		for url, body := range map[string]string{
			"https://api.z.ai/api/coding/paas/v4/chat/completions": ` {"model" : "glm-4.7", "messages":[{"role":"user","content":"switch zai"}] }`,
			"https://api.z.ai/api/anthropic/v1/messages":           ` {"model" : "glm-4.7","max_tokens":99, "messages":[{"role":"user","content":"switch beside"}] }`,
			"https://api.openai.com/v1/chat/completions":           ` {"model" : "gpt-4o", "messages":[{"role":"user","content":"switch openai"}],"x":1.0 }`,
			"https://api.openai.com/v1/responses":                  ` {"model" : "gpt-5.4", "input":"switch responses","store":true,"service_tier":"flex" }`,
			"https://api.anthropic.com/v1/messages":                ` {"model" : "claude-opus-4-6","max_tokens":99, "messages":[{"role":"user","content":"switch anthropic"}],"speed":"fast" }`,
		} {
			body := strings.Replace(body, "switch ", fmt.Sprintf("switch %t ", h2), 1)
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			for name, v := range map[string]string{
				"Content-Type": "application/json", "Authorization": "Bearer theirs-own-key", "X-Api-Key": "theirs-own-key", "Cookie": "session=theirs-own-key",
				"User-Agent": "their-tool/1", "Anthropic-Version": "2023-06-01", "Anthropic-Beta": "some-beta-2026-01-01", "OpenAI-Beta": "assistants=v2",
			} {
				req.Header.Set(name, v)
			}
			resp, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			answer, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || resp.StatusCode != 200 {
				t.Errorf("%s: %v %d %s", url, err, resp.StatusCode, answer)
			}
			seen := w.sim.Requests(func(r sim.Request) bool { return string(r.Body) == body })
			if len(seen) != 1 || seen[0].Plane != sim.PlaneService {
				t.Errorf("%s: the body did not arrive as it was: %+v", url, seen)
				continue
			}
			h := seen[0].Header
			if h.Get("User-Agent") != "their-tool/1" || strings.Contains(fmt.Sprint(h), "theirs-own-key") || seen[0].Proto != "HTTP/2.0" {
				t.Errorf("%s: %s with %v", url, seen[0].Proto, h)
			}
			if site := seen[0].Site; (site != "openai") != (h.Get("Anthropic-Beta") != "") || (site == "openai") != (h.Get("OpenAI-Beta") != "") {
				t.Errorf("%s: betas %v", url, h)
			}
		}
	}
}

// What an OpenAI account encrypted for one client comes back to that account, under the id that it gave.
func TestEncryptedReasoningOfOpenAIReturnsToItsAccount(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil, nil, "openai:openai", "openai:openai-2")
	for i := range 4 {
		ask := fmt.Sprintf("seal %d", i)
		status, body := w.post(t, "/v1/responses", fmt.Sprintf(`{"model":"gpt-5.4","store":false,"include":["reasoning.encrypted_content"],"reasoning":{"effort":"low"},"input":[{"role":"user","content":%q}]}`, ask))
		if status != 200 {
			t.Fatalf("%d %s", status, body)
		}
		var answer struct {
			Output []json.RawMessage
		}
		if err := json.Unmarshal([]byte(body), &answer); err != nil || len(answer.Output) < 2 || !strings.Contains(string(answer.Output[0]), "encrypted_content") {
			t.Fatalf("%v %s", err, body)
		}
		first := w.sim.Requests(func(r sim.Request) bool { return strings.Contains(string(r.Body), ask) })[0].Account
		next := fmt.Sprintf(`{"model":"gpt-5.4","store":false,"include":["reasoning.encrypted_content"],"reasoning":{"effort":"low"},"input":[{"role":"user","content":"changed history %d"},%s,{"role":"user","content":"again %d"}]}`, i, bytes.Join([][]byte{answer.Output[0], answer.Output[1]}, []byte(",")), i)
		status, body = w.post(t, "/v1/responses", next)
		seen := w.sim.Requests(func(r sim.Request) bool { return strings.Contains(string(r.Body), fmt.Sprintf("again %d", i)) })
		if status != 200 || len(seen) != 1 || seen[0].Account != first || !strings.Contains(string(seen[0].Body), "encrypted_content") {
			t.Errorf("round %d: %d %s, made by %s, returned to %+v", i, status, body, first, seen)
		}
	}
}

// A server that is not there does not keep the others from their work, and its own models fail with a reason.
func TestADeadServerBreaksNobodyElse(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil, func(o *app.Options) {
		o.Config.Accounts = append(o.Config.Accounts,
			config.Account{ID: "dead", Provider: "openai-compatible", BaseURL: "http://127.0.0.1:1/v1", Models: []string{"ghost"}, Source: "test"},
			config.Account{ID: "nokey", Provider: "openai", Source: "test"})
		o.Config.Retry.InitialBackoff, o.Config.Retry.MaxConnectionRetries = 1, 0
	}, "deepseek:deepseek")
	if status, body := w.post(t, "/v1/chat/completions", `{"model":"deepseek-chat","messages":[{"role":"user","content":"hi"}]}`); status != 200 {
		t.Errorf("the other account: %d %s", status, body)
	}
	status, body := w.post(t, "/v1/chat/completions", `{"model":"ghost","messages":[{"role":"user","content":"hi"}]}`)
	if status != 502 || !strings.Contains(body, "could not be reached") {
		t.Errorf("the dead one: %d %s", status, body)
	}
}

// No key, of detour's or the client's, is in a log, an answer or a request to somebody else's.
func TestKeysDoNotLeak(t *testing.T) {
	t.Parallel()
	w := newWorld(t, &sim.Scenario{Faults: []sim.Fault{
		{On: sim.OpChat, Account: "openai", Name: "openai_quota", Times: 1}, {On: sim.OpMessages, Name: "anthropic_rate", Times: 1}, {On: sim.OpChat, Account: "zai", Name: "zai_balance", Times: 1},
	}}, func(o *app.Options) {
		o.Config.Accounts = append(o.Config.Accounts, config.Account{ID: "bad", Provider: "gemini", APIKey: secret.New("AIza-wrong-" + sim.Marker), Source: "test", BaseURL: "http://127.0.0.1:1"})
		o.Config.Retry.MaxSingleWait = 1
	}, keyedAccounts()...)
	var answers strings.Builder
	for model, want := range map[string]int{"openai/gpt-4o": 402, "glm-4.7": 402, "deepseek-chat": 200, "no-such-model": 404} {
		status, body := w.post(t, "/v1/chat/completions", fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":"hi %s"}]}`, model, strings.ReplaceAll(model, "/", "-")))
		answers.WriteString(body)
		if status != want {
			t.Errorf("%s: %d %s, want %d", model, status, body, want)
		}
	}
	status, body := w.post(t, "/v1/messages", `{"model":"claude-opus-4-6","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}`)
	if answers.WriteString(body); status != 429 || !strings.Contains(body, "rate_limit_error") {
		t.Errorf("Anthropic's limit: %d %s", status, body)
	}
	w.stop()
	for what, text := range map[string]string{"an answer": answers.String(), "the log": w.logs.String()} {
		if i := strings.Index(text, sim.Marker); i >= 0 {
			t.Errorf("a key is in %s: %s", what, text[max(0, i-200):min(len(text), i+50)])
		}
	}
	for _, r := range w.sim.Requests(func(r sim.Request) bool { return r.Plane == sim.PlaneService }) {
		if r.Status == 400 || r.Status == 401 {
			t.Errorf("%s %s was refused: %d", r.Site, r.Path, r.Status)
		}
		name, ok := strings.CutPrefix(r.Account, r.Site)
		if !ok || name != "" && name != "-2" {
			t.Errorf("%s was asked with the key of %q", r.Site, r.Account)
		}
	}
}
