package router_test

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"detour/internal/dialect/filter"
	"detour/router"
)

func TestFiltersReachEveryPath(t *testing.T) {
	t.Parallel()
	rules := filter.Rules{SystemRemove: []string{"REMOVE-ME"}, SystemAdd: []string{"ADDED"}, ResultSuffixRemove: []string{"<end>"}}
	const (
		messages = `{"model":"MODEL","max_tokens":9,"system":"sys REMOVE-ME","messages":[{"role":"user","content":"hi REMOVE-ME"},{"role":"assistant","content":[{"type":"tool_use","id":"t1","name":"f","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"t1","content":"out<end>"}]}]}`
		chat     = `{"model":"MODEL","messages":[{"role":"system","content":"sys REMOVE-ME"},{"role":"user","content":"hi REMOVE-ME"},{"role":"assistant","tool_calls":[{"id":"t1","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"t1","content":"out<end>"}]}`
		resp     = `{"model":"MODEL","instructions":"sys REMOVE-ME","input":[{"role":"user","content":"hi REMOVE-ME"},{"type":"function_call","call_id":"t1","name":"f","arguments":"{}"},{"type":"function_call_output","call_id":"t1","output":"out<end>"}]}`
		gemini   = `{"systemInstruction":{"parts":[{"text":"sys REMOVE-ME"}]},"contents":[{"role":"user","parts":[{"text":"hi REMOVE-ME"}]},{"role":"model","parts":[{"functionCall":{"name":"f","args":{}}}]},{"role":"user","parts":[{"functionResponse":{"name":"f","response":{"output":"out<end>"}}}]}]}`
	)
	var mu sync.Mutex
	var last string
	upstream := func(rw http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		mu.Lock()
		last = string(b)
		mu.Unlock()
		plain(rw, 400, `{"error":{"message":"enough seen"}}`)
	}
	for name, tc := range map[string]struct{ path, body string }{
		"chat":           {"/v1/chat/completions", chat},
		"responses":      {"/v1/responses", resp},
		"messages":       {"/v1/messages", messages},
		"counted tokens": {"/v1/messages/count_tokens", messages},
		"gemini":         {"/v1beta/models/MODEL:generateContent", gemini},
	} {
		for _, model := range []string{"gpt-x", "chat-only", "messages-only"} {
			if name == "counted tokens" && model == "chat-only" {
				continue // counted here
			}
			t.Run(name+" to "+model, func(t *testing.T) {
				w := newWorld(t, false, upstream, func(c *router.Config, _ *fake) { c.Filters = rules })
				w.post(strings.Replace(tc.path, "MODEL", model, 1), strings.Replace(tc.body, "MODEL", model, 1))
				mu.Lock()
				got := last
				mu.Unlock()
				if strings.Contains(got, "sys REMOVE-ME") || !strings.Contains(got, "hi REMOVE-ME") || !strings.Contains(got, "sys ") || !strings.Contains(got, "ADDED") || strings.Contains(got, "out<end>") || !strings.Contains(got, `"out"`) {
					t.Errorf("sent upstream: %s", got)
				}
			})
		}
	}
}

func TestFiltersAreForTheModelsThatTheOwnerNames(t *testing.T) {
	t.Parallel()
	rules := filter.Rules{SystemAdd: []string{"ADDED"}}
	var mu sync.Mutex
	seen := map[string]bool{}
	w := newWorld(t, false, func(rw http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		for _, m := range []string{"gpt-x", "chat-only", "claude-sonnet-4.5"} {
			if strings.Contains(string(b), `"`+m+`"`) {
				seen[m] = strings.Contains(string(b), "ADDED")
			}
		}
		plain(rw, 200, answer)
	}, func(c *router.Config, _ *fake) {
		c.Filters, c.FilterModels = rules, []string{"gpt-*", "claude-sonnet-4-5"}
	})
	for _, model := range []string{"gpt-x", "chat-only", "claude-sonnet-4-5"} { // the last one by the client's name
		w.post("/v1/chat/completions", strings.Replace(hello, "gpt-x", model, 1))
	}
	mu.Lock()
	defer mu.Unlock()
	if !seen["gpt-x"] || seen["chat-only"] || !seen["claude-sonnet-4.5"] {
		t.Errorf("filtered: %v", seen)
	}
}

func TestFiltersLeaveVerbatimRequestsAlone(t *testing.T) {
	t.Parallel()
	rules := filter.Rules{SystemAdd: []string{"ADDED"}}
	var mu sync.Mutex
	got := ""
	w := newWorld(t, false, func(rw http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		mu.Lock()
		got = string(b)
		mu.Unlock()
		plain(rw, 200, answer)
	}, func(c *router.Config, _ *fake) { c.Filters = rules })
	w.do(w.proxy, http.MethodPost, "/v1/chat/completions", hello, "X-Test-Host", "api.openai.com", "X-Route-Mode", "passthrough", "X-Test-Real", "1")
	mu.Lock()
	defer mu.Unlock()
	if got != hello {
		t.Errorf("the host got %q", got)
	}
}
