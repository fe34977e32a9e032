package app_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"detour/internal/app"
	"detour/internal/sim"
)

// What clients of each dialect get to see of an upstream's failure: the status that makes them stop or come back, the
// word for it in their dialect, when to come back, and whether that makes sense at all.
func TestUpstreamFailuresAreWordedSoThatClientsDoTheSensibleThing(t *testing.T) {
	t.Parallel()
	type want struct {
		status                 int
		chat, messages, gemini string // code, type, and status of the dialects
		after, again           string // Retry-After, X-Should-Retry
	}
	var accounts []sim.Account // one for each client: they rest after it
	var names []string
	for i, name := range []string{"a", "b", "c", "d", "e"} {
		accounts = append(accounts, sim.Account{Name: name, Token: "ghu_" + name + sim.Marker, ID: int64(i + 1)})
		names = append(names, name)
	}
	type client struct{ name, path, body string }
	clients := []client{
		{"chat", "/v1/chat/completions", `{"model":"gpt-4o","messages":[{"role":"user","content":%q}]}`},
		{"responses", "/v1/responses", `{"model":"gpt-4o","input":%q}`},
		{"messages", "/v1/messages", `{"model":"gpt-4o","max_tokens":9,"messages":[{"role":"user","content":%q}]}`},
		{"gemini", "/v1beta/models/gpt-4o:generateContent", `{"contents":[{"role":"user","parts":[{"text":%q}]}]}`},
		{"messages in their own dialect", "/v1/messages", `{"model":"claude-haiku-4.5","max_tokens":9,"messages":[{"role":"user","content":%q}]}`},
	}
	for fault, want := range map[string]want{
		"model_not_supported":              {400, "model_not_supported", "invalid_request_error", "INVALID_ARGUMENT", "", ""},
		"no_available_model_endpoints":     {400, "no_available_model_endpoints", "invalid_request_error", "INVALID_ARGUMENT", "", ""},
		"quota_exceeded=120":               {402, "quota_exceeded", "billing_error", "RESOURCE_EXHAUSTED", "120", ""},
		"quota_text":                       {402, "insufficient_quota", "billing_error", "RESOURCE_EXHAUSTED", "", ""},
		"not_licensed":                     {403, "permission_denied", "permission_error", "PERMISSION_DENIED", "", ""},
		"client_not_supported":             {403, "permission_denied", "permission_error", "PERMISSION_DENIED", "", ""},
		"html401":                          {503, "account_policy", "api_error", "UNAVAILABLE", "60", "false"},
		"rate_limited=7":                   {429, "rate_limited", "rate_limit_error", "RESOURCE_EXHAUSTED", "7", ""},
		"five_hours":                       {429, "user_global_rate_limited:pro", "rate_limit_error", "RESOURCE_EXHAUSTED", "2733", "false"},
		"rate_limit_text":                  {429, "rate_limit_exceeded", "rate_limit_error", "RESOURCE_EXHAUSTED", "60", ""},
		"internal":                         {500, "", "api_error", "INTERNAL", "", ""},
		"bad_gateway":                      {502, "", "api_error", "UNAVAILABLE", "", ""},
		"unavailable=3":                    {503, "", "api_error", "UNAVAILABLE", "3", ""},
		"server_canceled":                  {502, "", "api_error", "UNAVAILABLE", "", ""},
		"gateway_timeout":                  {504, "timeout", "timeout_error", "DEADLINE_EXCEEDED", "", ""},
		"too_large":                        {413, "request_too_large", "request_too_large", "INVALID_ARGUMENT", "", ""},
		"filtered":                         {422, "", "invalid_request_error", "INVALID_ARGUMENT", "", ""},
		"context_length_exceeded":          {400, "context_length_exceeded", "invalid_request_error", "INVALID_ARGUMENT", "", ""},
		"error=0:rate_limited":             {429, "rate_limited", "rate_limit_error", "RESOURCE_EXHAUSTED", "60", ""},
		"error=0:quota_exceeded":           {402, "quota_exceeded", "billing_error", "RESOURCE_EXHAUSTED", "", ""},
		"error=0:model_overloaded":         {529, "model_overloaded", "overloaded_error", "UNAVAILABLE", "", ""},
		"error=0:something_else":           {502, "something_else", "api_error", "UNAVAILABLE", "", ""},
		"model_max_prompt_tokens_exceeded": {400, "context_length_exceeded", "invalid_request_error", "INVALID_ARGUMENT", "", ""},
	} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, &sim.Scenario{Accounts: accounts}, func(o *app.Options) {
				o.Config.Retry.MaxAttempts, o.Config.Retry.MaxSingleWait = 1, 1
			}, names...)
			for _, c := range clients {
				body := c.body
				inStream := strings.HasPrefix(fault, "error=")
				if inStream {
					if c.name == "gemini" {
						c.path = strings.Replace(c.path, "generateContent", "streamGenerateContent?alt=sse", 1)
					}
					body = strings.Replace(body, `{"model"`, `{"stream":true,"model"`, 1) // else the upstream answers whole
				}
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+w.app.APIAddr()+c.path, strings.NewReader(fmt.Sprintf(body, "[[sim:fault="+fault+"]]")))
				if err != nil {
					t.Fatal(err)
				}
				resp, err := http.DefaultClient.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				raw, err := io.ReadAll(resp.Body)
				if err != nil {
					t.Fatal(err)
				}
				got := string(raw)
				status, word := want.status, want.chat
				switch {
				case strings.HasPrefix(c.name, "messages"):
					word = want.messages
				case c.name == "gemini":
					word = want.gemini
				}
				if status == 529 && !strings.HasPrefix(c.name, "messages") {
					status = 503
				}
				if resp.StatusCode != status || !strings.Contains(got, `"`+word) || resp.Header.Get("Retry-After") != want.after || resp.Header.Get("X-Should-Retry") != want.again {
					t.Errorf("%s: status %d, Retry-After %q, X-Should-Retry %q: %s\nwant %d, %q, %q and %q", c.name, resp.StatusCode, resp.Header.Get("Retry-After"), resp.Header.Get("X-Should-Retry"), got, status, want.after, want.again, word)
				}
				if strings.Contains(fault, "prompt") && strings.HasPrefix(c.name, "messages") && !strings.Contains(got, "prompt is too long: 138898 tokens > 64000 maximum") {
					t.Errorf("a Messages client cannot tell that it has to compact: %s", got)
				}
			}
		})
	}
}
