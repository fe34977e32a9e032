package router_test

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"detour/internal/budget"
	"detour/router"
)

// upstreamOf answers as account, or "client" when the client's own credential came.
func upstreamOf(rw http.ResponseWriter, r *http.Request) {
	who := r.Header.Get("X-Account")
	if who == "" {
		who = "client"
	}
	rw.Header().Set("X-Served-By", who)
	plain(rw, 200, answer)
}

func rules(list ...router.Rule) option {
	return func(c *router.Config, _ *fake) { c.Rules = list }
}

func TestFirstRuleThatMatchesDecidesBeforeEverythingElse(t *testing.T) {
	t.Parallel()
	keep := router.Rule{Name: "keep", Door: "proxy", Path: "/v1/*", Model: "claude-*", Mode: router.ModePassthrough}
	tests := map[string]struct {
		rules   []router.Rule
		door    string
		model   string
		headers []string
		status  int
		by      string // who served
		route   string // X-Detour-Route
	}{
		"its model":                {[]router.Rule{keep}, "proxy", "claude-sonnet-4.5", nil, 200, "client", ""},
		"another model":            {[]router.Rule{keep}, "proxy", "gpt-x", nil, 200, "a", "route; door"},
		"another door":             {[]router.Rule{keep}, "api", "claude-sonnet-4.5", nil, 200, "a", "route; door"},
		"wins over the header":     {[]router.Rule{{Name: "all", Mode: router.ModeRoute}}, "proxy", "gpt-x", []string{"X-Route-Mode", "exact"}, 200, "a", "route; rule=all"},
		"the first wins":           {[]router.Rule{{Name: "one", Accounts: []string{"b"}}, {Name: "two", Accounts: []string{"a"}}}, "api", "gpt-x", nil, 200, "b", "route; rule=one"},
		"no name":                  {[]router.Rule{{Model: "no"}, {Model: "gpt-*", Accounts: []string{"b"}}}, "api", "gpt-x", nil, 200, "b", "route; rule=#2"},
		"accounts, mode by header": {[]router.Rule{{Name: "b", Accounts: []string{"b"}}}, "api", "fake/gpt-x", []string{"X-Route-Mode", "exact"}, 200, "b", "exact; rule=b"},
		"provider without account": {[]router.Rule{{Name: "openai", Providers: []string{"openai"}}}, "api", "gpt-x", nil, 403, "", "route; rule=openai"},
		"account without model":    {[]router.Rule{{Name: "b", Accounts: []string{"nobody"}}}, "api", "gpt-x", nil, 403, "", "route; rule=b"},
		"client":                   {[]router.Rule{{Name: "lap", Client: "lap*", Accounts: []string{"b"}}}, "api", "gpt-x", nil, 200, "a", "route; door"},
		"passthrough on the API":   {[]router.Rule{{Name: "p", Mode: router.ModePassthrough}}, "api", "gpt-x", nil, 400, "", "passthrough; rule=p"},
	}
	for name, tt := range tests {
		run(t, func(t *testing.T, h2 bool) {
			w := newWorld(t, h2, upstreamOf, withAccounts("a", "b"), rules(tt.rules...))
			s, headers := w.door, append([]string{"Authorization", "Bearer the-clients-own"}, tt.headers...)
			if tt.door == "proxy" {
				s, headers = w.proxy, append(headers, "X-Test-Host", "api.openai.com", "X-Test-Real", "1")
			}
			resp := w.do(s, "POST", "/v1/chat/completions", strings.Replace(hello, "gpt-x", tt.model, 1), headers...)
			got := text(t, resp)
			if resp.StatusCode != tt.status || resp.Header.Get("X-Served-By") != tt.by || resp.Header.Get("X-Detour-Route") != tt.route {
				t.Errorf("%s: status %d by %q, route %q, want %d by %q, %q: %s", name, resp.StatusCode, resp.Header.Get("X-Served-By"), resp.Header.Get("X-Detour-Route"), tt.status, tt.by, tt.route, got)
			}
		})
	}
}

func TestBodyThatARuleReadIsRelayedByteForByte(t *testing.T) {
	t.Parallel()
	var zipped bytes.Buffer
	zw := gzip.NewWriter(&zipped)
	_, _ = zw.Write([]byte(strings.Replace(hello, "gpt-x", "claude-x", 1)))
	_ = zw.Close()
	tests := map[string]struct{ body, encoding, served string }{
		"plain":      {strings.Replace(hello, "gpt-x", "claude-x", 1), "", "client"},
		"compressed": {zipped.String(), "gzip", "client"},
		"no model":   {`{"messages":[]}`, "", ""},
		"no JSON":    {"}{", "", ""},
	}
	for name, tt := range tests {
		run(t, func(t *testing.T, h2 bool) {
			var seen string
			w := newWorld(t, h2, func(rw http.ResponseWriter, r *http.Request) {
				seen = text(t, &http.Response{Body: r.Body})
				upstreamOf(rw, r)
			}, rules(router.Rule{Model: "claude-*", Mode: router.ModePassthrough}))
			headers := []string{"X-Test-Host", "api.openai.com", "X-Test-Real", "1"}
			if tt.encoding != "" {
				headers = append(headers, "Content-Encoding", tt.encoding)
			}
			resp := w.do(w.proxy, "POST", "/v1/chat/completions", tt.body, headers...)
			got := text(t, resp)
			if resp.Header.Get("X-Served-By") != tt.served || tt.served != "" && seen != tt.body {
				t.Errorf("%s: served by %q, upstream saw %q: %s", name, resp.Header.Get("X-Served-By"), seen, got)
			}
			if tt.served == "" && resp.StatusCode != 400 {
				t.Errorf("%s: status %d, want 400", name, resp.StatusCode)
			}
		})
	}
}

func TestProfileFixesModeAndAccountsBelowItsPath(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false, upstreamOf, withAccounts("a", "b"), func(c *router.Config, _ *fake) {
		c.Profiles = []router.Profile{{Name: "team", Mode: router.ModeExact, Accounts: []string{"b"}}, {Name: "mine", Clients: []string{"laptop"}}}
		c.Rules = []router.Rule{{Accounts: []string{"a"}}}
	})
	resp := w.post("/team/v1/chat/completions", strings.Replace(hello, "gpt-x", "fake/gpt-x", 1), "X-Route-Mode", "route")
	if got := text(t, resp); resp.StatusCode != 200 || resp.Header.Get("X-Served-By") != "b" || resp.Header.Get("X-Detour-Route") != "exact; profile=team" {
		t.Errorf("status %d, %v: %s", resp.StatusCode, resp.Header, got)
	}
	for path, want := range map[string]int{"/mine/v1/chat/completions": 403, "/none/v1/chat/completions": 404, "/team/v1/nothing": 404} {
		if resp := w.post(path, hello); resp.StatusCode != want {
			t.Errorf("%s: status %d, want %d", path, resp.StatusCode, want)
		}
	}
	if resp := w.post("/mine/v1/chat/completions", hello); resp.Header.Get("X-Detour-Route") != "route; profile=mine" || !strings.Contains(text(t, resp), "asks for a client key") {
		t.Errorf("without a key: %v", resp.Header)
	}
	if resp := w.do(w.door, "GET", "/team/v1/models", ""); resp.StatusCode != 200 {
		t.Errorf("models of the profile: %d", resp.StatusCode)
	}
}

func TestClientKeyUsesOnlyWhatItMay(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false, upstreamOf, withAccounts("a", "b"))
	as := func(c router.Client) *http.Response {
		req := httptest.NewRequest("POST", "/v1/chat/completions", strings.NewReader(hello))
		rec := httptest.NewRecorder()
		w.router.ServeHTTP(rec, req.WithContext(router.WithClient(t.Context(), c)))
		return rec.Result()
	}
	tests := map[string]struct {
		client router.Client
		status int
		served string
	}{
		"everything":     {router.Client{Name: "k"}, 200, "a"},
		"account":        {router.Client{Name: "k", Accounts: []string{"b"}}, 200, "b"},
		"provider":       {router.Client{Name: "k", Providers: []string{"fake"}}, 200, "b"},
		"other provider": {router.Client{Name: "k", Providers: []string{"openai"}}, 403, ""},
		"model":          {router.Client{Name: "k", Models: []string{"gpt-*"}}, 200, "b"},
		"other model":    {router.Client{Name: "k", Models: []string{"claude-*"}}, 403, ""},
	}
	for _, name := range []string{"everything", "account", "provider", "other provider", "model", "other model"} {
		tt := tests[name]
		if resp := as(tt.client); resp.StatusCode != tt.status || resp.Header.Get("X-Served-By") != tt.served {
			t.Errorf("%s: status %d by %q, want %d by %q: %s", name, resp.StatusCode, resp.Header.Get("X-Served-By"), tt.status, tt.served, text(t, resp))
		}
	}
	if got := text(t, as(tests["other model"].client)); !strings.Contains(got, "client key k") || !strings.Contains(got, "claude-*") {
		t.Errorf("the refusal does not name key and models: %s", got)
	}
}

// A key that is limited to some models gets no others by way of a fallback.
func TestNoModelStandsInThatTheKeyMayNotUse(t *testing.T) {
	t.Parallel()
	for models, want := range map[string]string{"": "claude-sonnet-4.5", "gpt-*": "gpt-x", "gpt-* chat-*": "chat-only"} {
		w := newWorld(t, false, func(rw http.ResponseWriter, r *http.Request) {
			if body := text(t, &http.Response{Body: r.Body}); strings.Contains(body, `"gpt-x"`) {
				plain(rw, 402, `{"error":{"message":"no"}}`)
				return
			}
			plain(rw, 200, answer)
		}, withAccounts("a", "b"), func(c *router.Config, _ *fake) {
			c.Fallbacks = []router.Fallback{{Model: "gpt-x", Then: []string{"claude-sonnet-4.5", "chat-only"}, On: []string{"quota"}}}
			c.Retry.MaxWait, c.Retry.Connection = 1, 1
		})
		req := httptest.NewRequest("POST", "/v1/chat/completions", strings.NewReader(hello))
		rec := httptest.NewRecorder()
		w.router.ServeHTTP(rec, req.WithContext(router.WithClient(t.Context(), router.Client{Name: "k", Models: strings.Fields(models)})))
		if got := rec.Header().Get("X-Detour-Model"); got != want || (rec.Code == 200) != (want != "gpt-x") {
			t.Errorf("a key for %q: status %d, model %q, want %q", models, rec.Code, got, want)
		}
	}
}

func TestFallbackModelServesWhatTheOwnerNamedItFor(t *testing.T) {
	t.Parallel()
	chain := func(on ...string) option {
		return func(c *router.Config, _ *fake) {
			c.Fallbacks = []router.Fallback{{Model: "gpt-x", Then: []string{"nobody-has-it", "claude-sonnet-4.5", "chat-only"}, On: on}}
			c.Retry.MaxWait, c.Retry.Connection = 1, 1
		}
	}
	tests := map[string]struct {
		option
		fail   map[string]int // status by model
		stream bool
		status int
		model  string
	}{
		"quota":                        {chain("quota"), map[string]int{"gpt-x": 402}, false, 200, "claude-sonnet-4.5"},
		"rate limit":                   {chain("quota"), map[string]int{"gpt-x": 429}, false, 200, "claude-sonnet-4.5"},
		"streamed":                     {chain("quota"), map[string]int{"gpt-x": 402}, true, 200, "claude-sonnet-4.5"},
		"second stand-in":              {chain("quota", "error"), map[string]int{"gpt-x": 402, "claude-sonnet-4.5": 500}, false, 200, "chat-only"},
		"broken upstream":              {chain("error"), map[string]int{"gpt-x": 500}, false, 200, "claude-sonnet-4.5"},
		"not for this":                 {chain("overload"), map[string]int{"gpt-x": 402}, false, 402, ""},
		"bad requests are not retried": {chain("quota", "overload", "error"), map[string]int{"gpt-x": 400}, false, 400, ""},
		"all fail":                     {chain("quota"), map[string]int{"gpt-x": 402, "claude-sonnet-4.5": 402, "chat-only": 402}, false, 402, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, false, func(rw http.ResponseWriter, r *http.Request) {
				body := text(t, &http.Response{Body: r.Body})
				for model, status := range tt.fail {
					if strings.Contains(body, `"`+model+`"`) {
						plain(rw, status, `{"error":{"message":"no"}}`)
						return
					}
				}
				if strings.Contains(body, `"stream":true`) {
					stream(rw, chunk("hey"), finish)
					return
				}
				plain(rw, 200, answer)
			}, withAccounts("a", "b"), tt.option)
			body := hello
			if tt.stream {
				body = helloStream
			}
			resp := w.post("/v1/chat/completions", body)
			got := text(t, resp)
			if resp.StatusCode != tt.status || tt.status == 200 && resp.Header.Get("X-Detour-Model") != tt.model {
				t.Errorf("status %d by %q, want %d by %q: %s", resp.StatusCode, resp.Header.Get("X-Detour-Model"), tt.status, tt.model, got)
			}
			if resp.Header.Get("X-Detour-Attempts") == "" {
				t.Error("the answer does not tell its attempts")
			}
		})
	}
}

func TestSpentBudgetEndsTheRequestOrLeavesItToOthers(t *testing.T) {
	t.Parallel()
	spend := func(l budget.Limit) option {
		return func(c *router.Config, _ *fake) {
			l.Name, l.Period, l.Unit, l.Most = "team", budget.Month, budget.Tokens, 10
			c.Budget = budget.New([]budget.Limit{l}, time.Now, nil)
			c.Budget.Spend("", "a", time.Now(), budget.Amount{Tokens: 10})
		}
	}
	tests := map[string]struct {
		limit  budget.Limit
		served string // "" for 429
	}{
		"everything":      {budget.Limit{}, ""},
		"each account":    {budget.Limit{Account: "*"}, "b"},
		"one account":     {budget.Limit{Account: "a"}, "b"},
		"another account": {budget.Limit{Account: "b"}, "a"},
		"client keys":     {budget.Limit{Client: "*"}, "a"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, false, upstreamOf, withAccounts("a", "b"), spend(tt.limit))
			resp := w.post("/v1/chat/completions", hello)
			got := text(t, resp)
			if resp.Header.Get("X-Served-By") != tt.served {
				t.Errorf("status %d by %q, want %q: %s", resp.StatusCode, resp.Header.Get("X-Served-By"), tt.served, got)
			}
			if tt.served == "" && (resp.StatusCode != 429 || !strings.Contains(got, "budget team") || resp.Header.Get("Retry-After") == "" || resp.Header.Get("X-Should-Retry") != "false") {
				t.Errorf("%d %v: %s", resp.StatusCode, resp.Header, got)
			}
		})
	}
}

func TestPaceHoldsRequestsBackOrSaysWhenToComeAgain(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		option
		says string // "" when the second request waits and is served
	}{
		"client waits":             {func(c *router.Config, _ *fake) { c.ClientPace.MinInterval = 50 * time.Millisecond }, ""},
		"client must go":           {func(c *router.Config, _ *fake) { c.ClientPace.MinInterval = time.Hour }, "client_min_interval"},
		"account waits":            {func(c *router.Config, _ *fake) { c.AccountPace.MinInterval = 50 * time.Millisecond }, ""},
		"account's minute is over": {func(c *router.Config, _ *fake) { c.AccountPace.PerMinute = 1 }, "account_per_minute"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, false, upstreamOf, tt.option)
			start := time.Now()
			first, second := w.post("/v1/chat/completions", hello), w.post("/v1/chat/completions", hello)
			got := text(t, second)
			switch {
			case first.StatusCode != 200:
				t.Errorf("first: %d", first.StatusCode)
			case tt.says == "" && (second.StatusCode != 200 || time.Since(start) < 40*time.Millisecond):
				t.Errorf("second: %d after %v: %s", second.StatusCode, time.Since(start), got)
			case tt.says != "" && (second.StatusCode != 429 || !strings.Contains(got, tt.says) || second.Header.Get("Retry-After") == ""):
				t.Errorf("second: %d: %s", second.StatusCode, got)
			}
			if s := w.router.Accounts()[0]; s.State != "ok" {
				t.Errorf("the account is %s: the pace is not its fault", s.State)
			}
		})
	}
}
