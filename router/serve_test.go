package router_test

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"detour/providers"
	"detour/router"
)

func TestModelNames(t *testing.T) {
	t.Parallel()
	models := router.Models{
		Alias:    map[string]string{"fast": "gpt-x", "chat-only": "gpt-x", "own": "fake/gpt-x", "faster": "fast"},
		Prefix:   map[string]string{"o-": "gpt-x", "o-special-": "claude-sonnet-4.5"},
		Families: map[string]string{"sonnet": "claude-sonnet-4.6"},
		Roles:    map[string]string{"opus": "gpt-x", "haiku": "claude-opus-99"},
	}
	for _, tc := range []struct {
		name, sent, mode, want string // want "" for an unknown model
	}{
		{"as it is", "gpt-x", "", "gpt-x"},
		{"alias", "fast", "", "gpt-x"},
		{"alias beats a model of that name", "chat-only", "", "gpt-x"},
		{"alias to a provider", "own", "", "gpt-x"},
		{"prefix", "o-anything", "", "gpt-x"},
		{"longest prefix", "o-special-1", "", "claude-sonnet-4.5"},
		{"family", "sonnet", "fuzzy", "claude-sonnet-4.6"},
		{"family with 1m", "sonnet[1m]", "fuzzy", "claude-sonnet-4.6"},
		{"family out of fuzzy mode", "sonnet", "", ""},
		{"alias of an alias", "faster", "", "gpt-x"},
		{"dashes for dots", "claude-sonnet-4-5", "", "claude-sonnet-4.5"},
		{"dated", "claude-sonnet-4-5-20250929", "", "claude-sonnet-4.5"},
		{"upper case and vendor", "anthropic/Claude-Sonnet-4.5", "", "claude-sonnet-4.5"},
		{"1m", "claude-sonnet-4.5[1m]", "", "claude-sonnet-4.5"},
		{"1m of an alias", "fast[1m]", "", "gpt-x"},
		{"provider in front", "fake/gpt-x", "", "gpt-x"},
		{"unknown", "claude-sonnet-9", "", ""},
		{"fuzzy takes the newest of the family", "claude-sonnet-9", "fuzzy", "claude-sonnet-4.6"},
		{"fuzzy knows no such family", "mystery-1", "fuzzy", ""},
		{"role", "claude-opus-5-5", "", "gpt-x"},
		{"role by its bare name", "opus", "", "gpt-x"},
		{"role, dated and with 1m", "claude-3-opus-20240229[1m]", "", "gpt-x"},
		{"role without a model", "claude-sonnet-5-5", "", ""},
		{"role without a model, in fuzzy mode", "claude-sonnet-5-5", "fuzzy", "claude-sonnet-4.6"},
		{"role whose model nobody has", "claude-haiku-9", "", ""},
		{"no role", "my-opus", "", ""},
		{"exact has no roles", "claude-opus-5-5", "exact", ""},
		{"exact", "fake/gpt-x", "exact", "gpt-x"},
		{"exact wants a provider", "gpt-x", "exact", ""},
		{"exact has no aliases", "fake/fast", "exact", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var got string
			w := newWorld(t, false, func(rw http.ResponseWriter, r *http.Request) {
				var b struct{ Model string }
				_ = json.NewDecoder(r.Body).Decode(&b)
				got = b.Model
				plain(rw, 200, answer)
			}, func(c *router.Config, _ *fake) { c.Models = models })
			headers := []string{}
			if tc.mode != "" {
				headers = append(headers, "X-Route-Mode", tc.mode)
			}
			resp := w.post("/v1/chat/completions", strings.Replace(hello, "gpt-x", tc.sent, 1), headers...)
			body := text(t, resp)
			if tc.want == "" {
				if resp.StatusCode != 404 || !strings.Contains(body, "model_not_found") {
					t.Errorf("got %d %s, want model_not_found", resp.StatusCode, body)
				}
				return
			}
			if resp.StatusCode != 200 || got != tc.want {
				t.Errorf("upstream got %q (status %d %s), want %q", got, resp.StatusCode, body, tc.want)
			}
			if m := resp.Header.Get("X-Detour-Model"); m != tc.want {
				t.Errorf("X-Detour-Model is %q", m)
			}
		})
	}
}

func TestUnknownModelNamesNearOnes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false, nil)
	if body := text(t, w.post("/v1/chat/completions", strings.Replace(hello, "gpt-x", "gpt-y", 1))); !strings.Contains(body, "gpt-x") {
		t.Errorf("no near name in %s", body)
	}
}

func TestBadInputGetsTheClientsOwnErrorShape(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, method, path, body string
		status                   int
		has                      []string
	}{
		{"not JSON", "POST", "/v1/chat/completions", `{"model":`, 400, []string{`"error":{`, `"type":"invalid_request_error"`}},
		{"not an object", "POST", "/v1/chat/completions", `[1]`, 400, []string{`invalid_request_error`}},
		{"no model", "POST", "/v1/chat/completions", `{"messages":[]}`, 400, []string{`"param":"model"`}},
		{"model of the wrong type", "POST", "/v1/chat/completions", `{"model":7,"messages":[]}`, 400, []string{`"param":"model"`}},
		{"messages of the wrong type", "POST", "/v1/chat/completions", `{"model":"gpt-x","messages":"hi"}`, 400, []string{`messages`}},
		{"stream of the wrong type", "POST", "/v1/chat/completions", `{"model":"gpt-x","stream":"yes","messages":[]}`, 400, []string{`stream`}},
		{"Messages dialect", "POST", "/v1/messages", `{"model":`, 400, []string{`"type":"error"`, `"invalid_request_error"`}},
		{"Messages dialect, unknown model", "POST", "/v1/messages", `{"model":"nope-nope","max_tokens":1,"messages":[{"role":"user","content":"x"}]}`, 404, []string{`"type":"error"`, `not_found_error`}},
		{"Responses dialect", "POST", "/v1/responses", `{"model":"gpt-x","input":7}`, 400, []string{`input`}},
		{"a model that cannot chat", "POST", "/v1/responses", `{"model":"embed","input":"x"}`, 400, []string{`unsupported_api_for_model`, `embed`}},
		{"a request that cannot be translated", "POST", "/v1/chat/completions", `{"model":"messages-only","n":2,"messages":[{"role":"user","content":"x"}]}`, 400, []string{`"param":"n"`}},
		{"a model that is switched off", "POST", "/v1/chat/completions", `{"model":"off","messages":[{"role":"user","content":"x"}]}`, 400, []string{`model_not_supported`}},
		{"embeddings without input", "POST", "/v1/embeddings", `{"model":"embed"}`, 400, []string{`"param":"input"`}},
		{"body over the limit", "POST", "/v1/chat/completions", `{"model":"gpt-x","x":"` + strings.Repeat("y", 2000) + `"}`, 413, []string{`request_too_large`, `limits.request_body`}},
		{"unknown path", "GET", "/v1/nothing", ``, 404, []string{`Unknown request URL`}},
		{"wrong method", "GET", "/v1/chat/completions", ``, 405, []string{`POST`}},
		{"unknown route mode", "POST", "/v1/chat/completions", hello, 400, []string{`unknown route mode`}},
		{"deep nesting", "POST", "/v1/chat/completions", `{"model":"gpt-x","messages":` + strings.Repeat("[", 900) + strings.Repeat("]", 900) + `}`, 400, []string{`error`}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, false, func(rw http.ResponseWriter, _ *http.Request) {
				t.Error("the upstream was asked")
				plain(rw, 200, answer)
			}, func(c *router.Config, _ *fake) { c.BodyLimit = 1900 })
			var headers []string
			if tc.name == "unknown route mode" {
				headers = []string{"X-Route-Mode", "sideways"}
			}
			resp := w.do(w.door, tc.method, tc.path, tc.body, headers...)
			got := text(t, resp)
			if resp.StatusCode != tc.status || !json.Valid([]byte(got)) {
				t.Errorf("got %d %s, want %d", resp.StatusCode, got, tc.status)
			}
			for _, s := range tc.has {
				if !strings.Contains(got, s) {
					t.Errorf("no %s in %s", s, got)
				}
			}
		})
	}
}

func TestBodyOverTheLimitWithoutALength(t *testing.T) {
	t.Parallel()
	run(t, func(t *testing.T, h2 bool) {
		w := newWorld(t, h2, nil, func(c *router.Config, _ *fake) { c.BodyLimit = 1000 })
		req, _ := http.NewRequestWithContext(t.Context(), "POST", w.door.URL+"/v1/chat/completions", struct{ *strings.Reader }{strings.NewReader(strings.Repeat("x", 5000))})
		req.ContentLength = -1
		resp, err := w.door.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.StatusCode != 413 {
			t.Errorf("status %d", resp.StatusCode)
		}
	})
}

func TestUpstreamErrorsKeepTheirMeaning(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		status int
		body   string
		want   int
		has    string
		after  string
	}{
		{400, `{"error":{"message":"prompt token count of 9 exceeds the limit of 8","code":"model_max_prompt_tokens_exceeded"}}`, 400, "context_length_exceeded", ""},
		{401, "unauthorized: token expired\n", 503, "account", ""},
		{402, `{"error":{"message":"You have no quota","code":"quota_exceeded"}}`, 402, "You have no quota", ""},
		{422, "off topic", 422, "off topic", ""},
		{429, "rate limit exceeded\n", 429, "rate limit exceeded", "7"},
		{500, "<html><title>Unicorn!</title>", 500, "Unicorn!", ""},
	} {
		t.Run(fmt.Sprint(tc.status), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, false, func(rw http.ResponseWriter, _ *http.Request) {
				rw.Header().Set("Content-Type", "text/plain")
				rw.WriteHeader(tc.status)
				fmt.Fprint(rw, tc.body)
			})
			resp := w.post("/v1/chat/completions", hello)
			got := text(t, resp)
			if resp.StatusCode != tc.want || !strings.Contains(got, tc.has) || !json.Valid([]byte(got)) {
				t.Errorf("got %d %s", resp.StatusCode, got)
			}
			if resp.Header.Get("Retry-After") != tc.after {
				t.Errorf("Retry-After is %q, want %q", resp.Header.Get("Retry-After"), tc.after)
			}
		})
	}
}

func TestARefusedCredentialIsRenewedOnceAndTheRequestReplayed(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	w := newWorld(t, false, func(rw http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		if strings.HasSuffix(r.Header.Get("Authorization"), "-1") {
			plain(rw, 401, "unauthorized: token expired")
			return
		}
		plain(rw, 200, answer)
	})
	if resp := w.post("/v1/chat/completions", hello); resp.StatusCode != 200 {
		t.Errorf("status %d", resp.StatusCode)
	}
	if n := calls.Load(); n != 2 {
		t.Errorf("%d calls, want 2", n)
	}
	if s := w.router.Accounts()[0]; s.State != "ok" {
		t.Errorf("account is %s", s.State)
	}
}

func TestFailoverOnLimitIsOffUnlessAsked(t *testing.T) {
	t.Parallel()
	for _, on := range []bool{false, true} {
		w := newWorld(t, false, func(rw http.ResponseWriter, r *http.Request) {
			if r.Header.Get("X-Account") == "a" {
				plain(rw, 429, `{"error":{"message":"slow","code":"rate_limited"}}`)
				return
			}
			plain(rw, 200, answer)
		}, withAccounts("a", "b"), func(c *router.Config, _ *fake) { c.Pool.FailoverOnLimit, c.Retry.MaxWait = on, 1 })
		want := map[bool]int{false: 429, true: 200}[on]
		if resp := w.post("/v1/chat/completions", hello); resp.StatusCode != want {
			t.Errorf("failover_on_limit=%t: status %d, want %d", on, resp.StatusCode, want)
		}
	}
}

func TestRateLimitIsWaitedOutAtTheSameAccountWithinTheBudget(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		limited  int32 // requests answered 429
		failover bool
		retry    router.Retry
		status   int
		calls    string // the accounts asked, in order
	}{
		"passes in time":               {2, false, router.Retry{InitialBackoff: 1, Multiplier: 1}, 200, "aaa"},
		"outlasts the budget":          {9, false, router.Retry{InitialBackoff: 1, Multiplier: 2, MaxWait: 7}, 429, "aaaa"},
		"asks for more than one sleep": {9, false, router.Retry{InitialBackoff: 5, MaxSingleWait: 4}, 429, "a"},
		"goes on elsewhere if allowed": {1, true, router.Retry{InitialBackoff: 1}, 200, "ab"},
		"waits when all are limited":   {3, true, router.Retry{InitialBackoff: 1, Multiplier: 1}, 200, "abbb"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			var calls strings.Builder
			w := newWorld(t, false, func(rw http.ResponseWriter, r *http.Request) {
				mu.Lock()
				defer mu.Unlock()
				calls.WriteString(r.Header.Get("X-Account"))
				if calls.Len() <= int(tt.limited) {
					rw.Header().Set("X-Wait", "0s")
					plain(rw, 429, `{"error":{"message":"slow","code":"rate_limited"}}`)
					return
				}
				plain(rw, 200, answer)
			}, withAccounts("a", "b"), func(c *router.Config, _ *fake) { c.Retry, c.Pool.FailoverOnLimit = tt.retry, tt.failover })
			resp := w.post("/v1/chat/completions", hello)
			_ = text(t, resp)
			mu.Lock()
			defer mu.Unlock()
			if resp.StatusCode != tt.status || calls.String() != tt.calls {
				t.Errorf("status %d after asking %s, want %d after %s", resp.StatusCode, calls.String(), tt.status, tt.calls)
			}
		})
	}
}

func TestLimitThatEndsSoonIsWaitedForByThoseWhoComeMeanwhile(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	w := newWorld(t, false, func(rw http.ResponseWriter, _ *http.Request) {
		if calls.Add(1) == 1 {
			rw.Header().Set("X-Wait", "0s")
			plain(rw, 429, `{"error":{"message":"slow","code":"rate_limited"}}`)
			return
		}
		plain(rw, 200, answer)
	}, func(c *router.Config, _ *fake) {
		c.Pool.Cooldown, c.Retry.InitialBackoff = 50*time.Millisecond, time.Hour
	})
	if resp := w.post("/v1/chat/completions", hello); resp.StatusCode != 429 {
		t.Fatalf("status %d, want 429: an hour is over the budget", resp.StatusCode)
	}
	if resp := w.post("/v1/chat/completions", hello); resp.StatusCode != 200 {
		t.Errorf("status %d: %s", resp.StatusCode, text(t, resp))
	}
}

func TestAllCoolingNamesTheSoonestReset(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	w := newWorld(t, false, func(rw http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		plain(rw, 429, `{"error":{"message":"slow","code":"rate_limited"}}`)
	}, func(c *router.Config, _ *fake) { c.Retry.MaxWait = 1 })
	text(t, w.post("/v1/chat/completions", hello))
	resp := w.post("/v1/chat/completions", hello)
	if got := text(t, resp); resp.StatusCode != 429 || resp.Header.Get("Retry-After") == "" || !strings.Contains(got, "until") {
		t.Errorf("got %d, Retry-After %q: %s", resp.StatusCode, resp.Header.Get("Retry-After"), got)
	}
	if n := calls.Load(); n != 1 {
		t.Errorf("upstream was asked %d times, want 1", n)
	}
}

func TestModelsAreMergedAndUnchangedButForOurBlock(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false, nil, withAccounts("a", "b"))
	resp := w.do(w.door, "GET", "/v1/models", "")
	got := text(t, resp)
	if !strings.Contains(got, `{"id":"gpt-x","object":"model","zeta":1, "alpha":[2],"x_detour":{"provider":"fake","accounts":["a","b"]`) {
		t.Errorf("got %s", got)
	}
	var list struct {
		Data []struct {
			ID     string
			Detour struct{ Usable bool } `json:"x_detour"`
		}
	}
	if err := json.Unmarshal([]byte(got), &list); err != nil || len(list.Data) != 7 {
		t.Errorf("%d models, %v", len(list.Data), err)
	}
	one := text(t, w.do(w.door, "GET", "/v1/models/gpt-x", ""))
	if !strings.HasPrefix(one, `{"id":"gpt-x"`) {
		t.Errorf("one model: %s", one)
	}
	if resp := w.do(w.door, "GET", "/v1/models/none", ""); resp.StatusCode != 404 {
		t.Errorf("unknown model: status %d", resp.StatusCode)
	}
}

func TestAWebSocketOnAServedPathIsToldToUseHTTP(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false, func(http.ResponseWriter, *http.Request) { t.Error("relayed") })
	for path, protocol := range map[string]string{"/v1/chat/completions": "websocket", "/v1/responses": "other/1"} {
		resp := w.do(w.proxy, "GET", path, "", "X-Test-Host", "api.openai.com", "Connection", "Upgrade", "Upgrade", protocol)
		if resp.StatusCode != http.StatusUpgradeRequired {
			t.Errorf("%s to %s: status %d, want 426", path, protocol, resp.StatusCode)
		}
	}
}

func TestRepliesOfOurOwnOnGitHubHostsCarryARequestID(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false, nil)
	resp := w.do(w.proxy, "POST", "/chat/completions", "{", "X-Test-Host", "api.githubcopilot.com")
	if resp.StatusCode != 400 || resp.Header.Get("X-Github-Request-Id") == "" {
		t.Errorf("status %d, headers %v", resp.StatusCode, resp.Header)
	}
}

func TestSwitchModeReplacesTheCredentialOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false, func(rw http.ResponseWriter, _ *http.Request) { plain(rw, 200, answer) }, func(c *router.Config, _ *fake) {
		c.Models.Alias = map[string]string{"gpt-x": "chat-only"}
	})
	// The pool has no account of the provider whose host this is.
	resp := w.do(w.proxy, "POST", "/v1/chat/completions", hello, "X-Test-Host", "api.openai.com", "X-Test-User", "switch")
	if got := text(t, resp); resp.StatusCode != 503 {
		t.Errorf("got %d %s", resp.StatusCode, got)
	}
}

func TestManyConversationsAtOnce(t *testing.T) {
	t.Parallel()
	run(t, func(t *testing.T, h2 bool) {
		w := newWorld(t, h2, func(rw http.ResponseWriter, _ *http.Request) { stream(rw, chunk("x"), finish) }, withAccounts("a", "b", "c"))
		var wg sync.WaitGroup
		for i := range 64 {
			wg.Go(func() {
				for range 3 {
					resp := w.post("/v1/chat/completions", helloStream, "Session_id", fmt.Sprint("conversation-", i))
					if got := text(t, resp); !strings.HasSuffix(got, "[DONE]\n\n") {
						t.Errorf("got %q", got)
					}
				}
			})
		}
		wg.Wait()
		for _, s := range w.router.Accounts() {
			if s.Active != 0 || s.State != "ok" {
				t.Errorf("account %+v", s)
			}
		}
		for _, e := range w.exchanges() {
			if e.Status != 200 {
				t.Errorf("recorded %+v", e)
			}
		}
	})
}

func TestAStalledUpstreamIsCutAndReported(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false, func(rw http.ResponseWriter, r *http.Request) {
		stream(rw, chunk("first"))
		<-r.Context().Done()
	}, func(c *router.Config, _ *fake) {
		c.Upstream = &providers.Watchdog{Base: c.Upstream, Stall: time.Second}
	})
	got := text(t, w.post("/v1/chat/completions", helloStream))
	if !strings.Contains(got, "first") || !strings.Contains(got, `"error"`) {
		t.Errorf("got %q", got)
	}
}

func TestBytesBehindAnUpgradeRequestAreNotLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false, func(rw http.ResponseWriter, r *http.Request) {
		conn, brw, err := http.NewResponseController(rw).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		_, _ = conn.Write([]byte("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"))
		got := make([]byte, 5)
		_, _ = io.ReadFull(brw, got)
		_, _ = conn.Write(append([]byte("echo "), got...))
	})
	conn, err := tls.Dial("tcp", w.proxy.Listener.Addr().String(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}}) //nolint:gosec // the test server's own certificate
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = conn.Write([]byte("GET /live HTTP/1.1\r\nHost: x\r\nX-Test-Host: api.openai.com\r\nX-Test-Real: 1\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nearly"))
	b, err := io.ReadAll(conn)
	if err != nil || !strings.HasSuffix(string(b), "echo early") {
		t.Errorf("got %q, %v", b, err)
	}
}

func TestAHostThatAnswersBeforeItReadEverything(t *testing.T) {
	t.Parallel()
	run(t, func(t *testing.T, h2 bool) {
		w := newWorld(t, h2, func(rw http.ResponseWriter, r *http.Request) {
			_ = http.NewResponseController(rw).EnableFullDuplex()
			first := make([]byte, 1)
			_, _ = io.ReadFull(r.Body, first)
			stream(rw, "early ")
			rest, _ := io.ReadAll(r.Body)
			_, _ = fmt.Fprint(rw, len(rest))
		})
		body, send := io.Pipe()
		req, _ := http.NewRequestWithContext(t.Context(), "POST", w.proxy.URL+"/upload", body)
		req.Header.Set("X-Test-Host", "api.openai.com")
		req.Header.Set("X-Test-Real", "1")
		answered := make(chan struct{})
		go func() { // ends when the answer has begun
			_, _ = send.Write([]byte("x"))
			<-answered
			_, _ = send.Write([]byte("yyyy"))
			_ = send.Close()
		}()
		resp, err := w.proxy.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		head := make([]byte, 6)
		_, err = io.ReadFull(resp.Body, head)
		close(answered)
		rest, rerr := io.ReadAll(resp.Body)
		if err != nil || rerr != nil || string(head)+string(rest) != "early 4" {
			t.Errorf("got %q %q, %v %v", head, rest, err, rerr)
		}
	})
}

func TestProbesAndUpgradesOnTheAPIDoor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false, nil)
	if resp := w.do(w.door, "HEAD", "/v1/models", ""); resp.StatusCode != 200 {
		t.Errorf("HEAD /v1/models: %d", resp.StatusCode)
	}
	if resp := w.do(w.door, "GET", "/v1/messages", "", "Connection", "Upgrade", "Upgrade", "websocket"); resp.StatusCode != http.StatusUpgradeRequired {
		t.Errorf("upgrade: %d, want 426", resp.StatusCode)
	}
}

func TestOurTroubleIsNeverTheClients401(t *testing.T) {
	t.Parallel()
	for _, status := range []int{401, 421} {
		for _, kind := range []string{"application/json", "text/html"} {
			w := newWorld(t, false, func(rw http.ResponseWriter, _ *http.Request) {
				rw.Header().Set("Content-Type", kind)
				rw.WriteHeader(status)
				fmt.Fprint(rw, "<html><title>Sign in</title></html>")
			})
			if resp := w.post("/v1/chat/completions", hello); resp.StatusCode != 503 {
				t.Errorf("%d %s became %d, want 503", status, kind, resp.StatusCode)
			}
		}
	}
}
