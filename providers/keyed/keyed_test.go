package keyed_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"detour/internal/dialect"
	"detour/internal/secret"
	"detour/providers"
	"detour/providers/anthropic"
	"detour/providers/keyed"
	"detour/providers/openai"
)

// answers is a transport that answers every request by path.
type answers map[string]func() (int, string)

func (a answers) RoundTrip(r *http.Request) (*http.Response, error) {
	f, ok := a[r.URL.RequestURI()]
	if !ok {
		f = func() (int, string) { return 404, "not found" }
	}
	status, body := f()
	return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

func always(status int, body string) func() (int, string) {
	return func() (int, string) { return status, body }
}

func account(t *testing.T, p providers.Provider, cfg providers.AccountConfig) *providers.Account {
	t.Helper()
	cfg.ID = "a"
	a, err := p.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	return a
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	key := secret.New("sk-test")
	for name, tc := range map[string]struct {
		cfg  providers.AccountConfig
		want string
	}{
		"a key with a line break":   {providers.AccountConfig{Secret: secret.New("sk-a\nsk-b"), BaseURL: "https://x.example"}, "line break"},
		"a key with a space":        {providers.AccountConfig{Secret: secret.New("sk a"), BaseURL: "https://x.example"}, "space"},
		"a key with a control":      {providers.AccountConfig{Secret: secret.New("sk\x01"), BaseURL: "https://x.example"}, "characters"},
		"a key beyond ASCII":        {providers.AccountConfig{Secret: secret.New("sk-ä"), BaseURL: "https://x.example"}, "characters"},
		"no address":                {providers.AccountConfig{Secret: key}, "set base_url"},
		"http in public":            {providers.AccountConfig{Secret: key, BaseURL: "http://llm.example.com/v1"}, "allow_http"},
		"http to a public address":  {providers.AccountConfig{Secret: key, BaseURL: "http://8.8.8.8/v1"}, "unencrypted"},
		"another scheme":            {providers.AccountConfig{Secret: key, BaseURL: "ftp://x/"}, "must begin with"},
		"a password in the address": {providers.AccountConfig{Secret: key, BaseURL: "https://u:p@x.example"}, "user name or password"},
		"a query":                   {providers.AccountConfig{Secret: key, BaseURL: "https://x.example/?k=v"}, "query"},
		"an unknown way":            {providers.AccountConfig{Secret: key, BaseURL: "https://x.example", AuthType: "baerer"}, `did you mean "bearer"`},
		"an unknown setting":        {providers.AccountConfig{Secret: key, BaseURL: "https://x.example", Settings: map[string]string{"endpoint": "x"}}, `did you mean "endpoints"`},
		"an unknown endpoint":       {providers.AccountConfig{Secret: key, BaseURL: "https://x.example", Settings: map[string]string{"endpoints": "chat"}}, `"chat" is no endpoint`},
		"a half truth":              {providers.AccountConfig{Secret: key, BaseURL: "https://x.example", Settings: map[string]string{"allow_http": "yes"}}, "neither true nor false"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tc.cfg.ID = "a"
			_, err := openai.Compatible(keyed.Options{}).Open(tc.cfg)
			if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "sk-") {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func TestOpenTakesAddressesWithoutTLSWhereTheyAreTheOwners(t *testing.T) {
	t.Parallel()
	for _, base := range []string{
		"http://127.0.0.1:11434/v1", "http://localhost:8080", "http://[::1]:1/", "http://192.168.1.7/v1", "http://10.1.2.3", "http://ollama:11434/v1",
		"http://box.local/v1", "http://llm.corp.internal", "https://llm.example.com/v1",
	} {
		account(t, openai.Compatible(keyed.Options{}), providers.AccountConfig{Secret: secret.New("sk-x"), BaseURL: base})
	}
	account(t, openai.Compatible(keyed.Options{}), providers.AccountConfig{Secret: secret.New("sk-x"), BaseURL: "http://llm.example.com", Settings: map[string]string{"allow_http": "true"}})
	account(t, openai.Compatible(keyed.Options{}), providers.AccountConfig{BaseURL: "http://llm.example.com"}) // there is no key to lose
}

// People copy what stands in the manual of a client, and each of those wants another part of the address.
func TestAddressesMayHoldWhatRequestsAddToThem(t *testing.T) {
	t.Parallel()
	for base, want := range map[string]string{
		"https://x.example/v1":                  "https://x.example/v1/chat/completions",
		"https://x.example/v1/chat/completions": "https://x.example/v1/chat/completions",
		"https://x.example/v1/responses/":       "https://x.example/v1/chat/completions",
		"https://x.example/models":              "https://x.example/models/chat/completions", // Azure's is such a place
		"http://[::1]:8080/v1":                  "http://[::1]:8080/v1/chat/completions",
	} {
		p := openai.OpenAI(keyed.Options{})
		req, err := p.NewRequest(t.Context(), account(t, p, providers.AccountConfig{Secret: secret.New("sk-x"), BaseURL: base}), &providers.Call{Endpoint: dialect.EndpointChat})
		if err != nil || req.URL.String() != want {
			t.Errorf("%s: %v, want %s (%v)", base, req.URL, want, err)
		}
	}
	for _, base := range []string{"https://x.example/a", "https://x.example/a/v1", "https://x.example/a/v1/", "https://x.example/a/v1/messages", "https://x.example/a/v1/messages/count_tokens"} {
		p := anthropic.Provider(keyed.Options{})
		req, err := p.NewRequest(t.Context(), account(t, p, providers.AccountConfig{Secret: secret.New("sk-x"), BaseURL: base}), &providers.Call{Endpoint: dialect.EndpointMessages})
		if err != nil || req.URL.String() != "https://x.example/a/v1/messages" {
			t.Errorf("%s: %v (%v)", base, req.URL, err)
		}
	}
}

func TestAuthTypeSaysHowTheKeyIsPresented(t *testing.T) {
	t.Parallel()
	for how, header := range map[string]string{"": "Authorization", "bearer": "Authorization", "x-api-key": "X-Api-Key", "api-key": "Api-Key"} {
		p := openai.Compatible(keyed.Options{})
		a := account(t, p, providers.AccountConfig{Secret: secret.New("sk-x"), BaseURL: "https://x.example/v1/", AuthType: how})
		req, err := p.NewRequest(t.Context(), a, &providers.Call{Endpoint: dialect.EndpointChat, Header: http.Header{}, Body: []byte(`{}`)})
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.TrimPrefix(req.Header.Get(header), "Bearer "); got != "sk-x" || req.URL.String() != "https://x.example/v1/chat/completions" {
			t.Errorf("%s: %q in %s, to %s", how, got, header, req.URL)
		}
	}
}

func TestAnAccountWithoutAKeySendsNone(t *testing.T) {
	t.Parallel()
	p := openai.Compatible(keyed.Options{})
	a := account(t, p, providers.AccountConfig{BaseURL: "http://127.0.0.1:1/v1"})
	req, err := p.NewRequest(t.Context(), a, &providers.Call{Endpoint: dialect.EndpointChat, Header: http.Header{}, Body: []byte(`{}`)})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"Authorization", "X-Api-Key", "Api-Key"} {
		if v, there := req.Header[name]; there {
			t.Errorf("%s is sent: %q", name, v)
		}
	}
	_, err = openai.OpenAI(keyed.Options{}).NewRequest(t.Context(), account(t, openai.OpenAI(keyed.Options{}), providers.AccountConfig{}), &providers.Call{Endpoint: dialect.EndpointChat})
	if e := providers.AsError(err); e.Kind != providers.KindLogin || !strings.Contains(e.Hint, "detour login --provider openai") {
		t.Errorf("OpenAI without a key: %v, hint %q", err, e.Hint)
	}
}

func TestUserAgentOfTheClientPassesVerbatimOnly(t *testing.T) {
	t.Parallel()
	p := openai.OpenAI(keyed.Options{Version: "1.2.3"})
	a := account(t, p, providers.AccountConfig{Secret: secret.New("sk-x")})
	for verbatim, want := range map[bool]string{true: "theirs/1", false: "detour/1.2.3"} {
		c := &providers.Call{Endpoint: dialect.EndpointChat, Header: http.Header{"User-Agent": {"theirs/1"}, "Openai-Beta": {"x=1", "bad\nvalue"}}, Body: []byte(`{}`), Verbatim: verbatim}
		req, err := p.NewRequest(t.Context(), a, c)
		if err != nil || req.Header.Get("User-Agent") != want {
			t.Errorf("verbatim %t: %v, %q", verbatim, err, req.Header.Get("User-Agent"))
		}
		if got := req.Header.Values("OpenAI-Beta"); len(got) != 1 || got[0] != "x=1" {
			t.Errorf("OpenAI-Beta is %q", got)
		}
	}
}

func ids(models []providers.Model) string {
	var out []string
	for _, m := range models {
		out = append(out, m.ID)
	}
	return strings.Join(out, " ")
}

func TestModelsOfAServer(t *testing.T) {
	t.Parallel()
	const base = "http://127.0.0.1:1/v1"
	for name, tc := range map[string]struct {
		answer func() (int, string)
		named  []string
		want   string
		kind   providers.Kind
	}{
		"its list":                     {answer: always(200, `{"data":[{"id":"a"},{"id":"b"},{"id":"a"},{"no":"id"},{"id":7}]}`), want: "a b"},
		"a bare array":                 {answer: always(200, `[{"id":"a"}]`), want: "a"},
		"nothing loaded":               {answer: always(200, `{"object":"list","data":null}`), want: ""},
		"the owner's choice":           {answer: always(200, `{"data":[{"id":"a"},{"id":"b","max_model_len":4096}]}`), named: []string{"b", "c"}, want: "b c"},
		"no list, but the owner's":     {answer: always(404, `not here`), named: []string{"x"}, want: "x"},
		"broken, but the owner's":      {answer: always(500, `oops`), named: []string{"x"}, want: "x"},
		"no list":                      {answer: always(404, `not here`), kind: providers.KindInvalid},
		"words":                        {answer: always(200, `hello`), kind: providers.KindServer},
		"no list in JSON":              {answer: always(200, `{"data":{"id":"a"}}`), kind: providers.KindServer},
		"a refused key, though named":  {answer: always(401, `{"error":"no"}`), named: []string{"x"}, kind: providers.KindLogin},
		"a page in place of an answer": {answer: always(302, ``), kind: providers.KindNetwork},
		"limits":                       {answer: always(200, `{"data":[{"id":"a","meta":{"n_ctx_train":8192}}]}`), want: "a"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := openai.Compatible(keyed.Options{Transport: answers{"/v1/models": tc.answer}})
			a := account(t, p, providers.AccountConfig{BaseURL: base, Models: tc.named, Settings: map[string]string{"endpoints": "responses, chat/completions embeddings"}})
			models, err := p.Models(t.Context(), a)
			if tc.kind != 0 {
				if e := providers.AsError(err); err == nil || e.Kind != tc.kind {
					t.Errorf("got %v, want %v", err, tc.kind)
				}
				return
			}
			if err != nil || ids(models) != tc.want {
				t.Errorf("got %q, %v, want %q", ids(models), err, tc.want)
			}
			for _, m := range models {
				if len(p.Dialects(m)) != 2 || p.Dialects(m)[0] != dialect.EndpointResponses {
					t.Errorf("%s speaks %v", m.ID, p.Dialects(m))
				}
				if m.ID == "b" && m.ContextWindow != 4096 && name == "the owner's choice" || name == "limits" && m.ContextWindow != 8192 {
					t.Errorf("%s has a window of %d", m.ID, m.ContextWindow)
				}
			}
		})
	}
}

func TestAServerThatIsDownSaysSoAndKeepsTheOwnersModels(t *testing.T) {
	t.Parallel()
	p := openai.Compatible(keyed.Options{}) // really dials; nothing listens on port 1
	named := account(t, p, providers.AccountConfig{BaseURL: "http://127.0.0.1:1/v1", Models: []string{"m"}})
	if models, err := p.Models(t.Context(), named); err != nil || ids(models) != "m" {
		t.Errorf("named: %q, %v", ids(models), err)
	}
	bare := account(t, p, providers.AccountConfig{BaseURL: "http://127.0.0.1:1/v1"})
	_, err := p.Models(t.Context(), bare)
	if e := providers.AsError(err); err == nil || e.Kind != providers.KindNetwork || !strings.Contains(err.Error(), "127.0.0.1:1") {
		t.Errorf("bare: %v", err)
	}
}

func TestListGoesOnPageByPage(t *testing.T) {
	t.Parallel()
	var pages atomic.Int32
	endless := func() (int, string) { pages.Add(1); return 200, `{"data":[{"id":"b"}],"has_more":true,"last_id":"b"}` }
	p := openai.OpenAI(keyed.Options{Transport: answers{
		"/v1/models":                always(200, `{"data":[{"id":"a"}],"has_more":true,"last_id":"a/1"}`),
		"/v1/models?after_id=a%2F1": endless, "/v1/models?after_id=b": endless,
	}})
	models, err := p.Models(t.Context(), account(t, p, providers.AccountConfig{Secret: secret.New("sk-x")}))
	if err != nil || ids(models) != "a b" || pages.Load() > 30 {
		t.Errorf("%q, %v after %d pages", ids(models), err, pages.Load())
	}
}

func TestVerifyAsksWhatNeedsAKey(t *testing.T) {
	t.Parallel()
	open := always(200, `{"data":[]}`)
	p := openai.OpenRouter(keyed.Options{Transport: answers{"/api/v1/models": open, "/api/v1/key": always(401, `{"error":{"message":"No auth credentials found","code":401}}`)}})
	err := p.Verify(t.Context(), account(t, p, providers.AccountConfig{Secret: secret.New("sk-x")}))
	if e := providers.AsError(err); err == nil || e.Kind != providers.KindLogin {
		t.Errorf("got %v, want login", err)
	}
	for named, fails := range map[string]bool{"": true, "m": false} {
		p := openai.Compatible(keyed.Options{Transport: answers{}})
		cfg := providers.AccountConfig{BaseURL: "http://127.0.0.1:1"}
		if named != "" {
			cfg.Models = []string{named}
		}
		if err := p.Verify(context.Background(), account(t, p, cfg)); (err != nil) != fails {
			t.Errorf("a server without a list, models %q: %v", named, err)
		}
	}
}

func TestWaits(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	p := openai.OpenAI(keyed.Options{Now: func() time.Time { return now }})
	for name, tc := range map[string]struct {
		header map[string]string
		body   string
		want   time.Duration
	}{
		"milliseconds win":         {header: map[string]string{"Retry-After-Ms": "1500", "Retry-After": "9"}, want: 1500 * time.Millisecond},
		"fraction":                 {header: map[string]string{"Retry-After": "0.25"}, want: 250 * time.Millisecond},
		"OpenAI's spans":           {header: map[string]string{"X-Ratelimit-Remaining-Requests": "0", "X-Ratelimit-Reset-Requests": "6m1s", "X-Ratelimit-Remaining-Tokens": "5", "X-Ratelimit-Reset-Tokens": "9h"}, want: 361 * time.Second},
		"both limits used up":      {header: map[string]string{"X-Ratelimit-Remaining-Requests": "0", "X-Ratelimit-Reset-Requests": "1s", "X-Ratelimit-Remaining-Tokens": "0", "X-Ratelimit-Reset-Tokens": "17ms"}, want: time.Second},
		"Anthropic's dates":        {header: map[string]string{"Anthropic-Ratelimit-Input-Tokens-Remaining": "0", "Anthropic-Ratelimit-Input-Tokens-Reset": "2026-11-27T12:00:42Z"}, want: 42 * time.Second},
		"OpenRouter's Unix millis": {header: map[string]string{"X-Ratelimit-Reset": "1795780830000"}, want: 30 * time.Second},
		"words":                    {body: `{"error":{"message":"Rate limit reached. Please try again in 7.66s. Visit …"}}`, want: 7660 * time.Millisecond},
		"longer words":             {body: `{"error":{"message":"Please try again in 1h2m3s."}}`, want: time.Hour + 2*time.Minute + 3*time.Second},
		"whole words":              {body: `{"error":{"message":"Please retry after 2733 seconds."}}`, want: 2733 * time.Second},
		"minutes":                  {body: `{"error":{"message":"Try again in 20 minutes"}}`, want: 20 * time.Minute},
		"shorter words":            {body: `{"error":{"message":"Please try again in 120ms."}}`, want: 120 * time.Millisecond},
		"Google's detail":          {body: `[{"error":{"message":"x","details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay": "34.5s"}]}}]`, want: 34500 * time.Millisecond},
		"nonsense":                 {header: map[string]string{"Retry-After-Ms": "NaN", "X-Ratelimit-Reset": "soon"}, body: `{"error":{"message":"try again in a moment"}}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := http.Header{}
			for k, v := range tc.header {
				h.Set(k, v)
			}
			err := p.Check(&http.Response{StatusCode: 429, Header: h, Body: io.NopCloser(strings.NewReader(tc.body))})
			if e := providers.AsError(err); e.RetryAfter != tc.want {
				t.Errorf("%v, want %v", e.RetryAfter, tc.want)
			}
		})
	}
}

func TestMend(t *testing.T) {
	t.Parallel()
	p := openai.OpenAI(keyed.Options{})
	for name, tc := range map[string]struct {
		failure    dialect.Failure
		body, want string // want "" for no mending
	}{
		"renamed limit":     {dialect.Failure{Message: "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."}, `{"model":"m","max_tokens":9, "x":1}`, `{"model":"m", "x":1,"max_completion_tokens":9}`},
		"unsupported value": {dialect.Failure{Message: "Unsupported value: 'temperature' does not support 0.2 with this model."}, `{"model":"m","temperature":0.2}`, `{"model":"m"}`},
		"by param":          {dialect.Failure{Code: "unknown_parameter", Param: "foo", Message: "no"}, `{"model":"m","foo":{}}`, `{"model":"m"}`},
		"nested":            {dialect.Failure{Message: "Unsupported parameter: 'reasoning.summary'"}, `{"reasoning":{"summary":"auto","effort":"low"}}`, `{"reasoning":{"effort":"low"}}`},
		"extra input":       {dialect.Failure{Message: "speed: Extra inputs are not permitted"}, `{"speed":"fast","model":"m"}`, `{"model":"m"}`},
		"essential":         {dialect.Failure{Message: "Unsupported parameter: 'messages'"}, `{"messages":[]}`, ``},
		"essential inside":  {dialect.Failure{Message: "Unsupported parameter: 'input.0'"}, `{"input":[1]}`, ``},
		"not there":         {dialect.Failure{Message: "Unsupported parameter: 'foo'"}, `{"model":"m"}`, ``},
		"something else":    {dialect.Failure{Message: "bad"}, `{"model":"m"}`, ``},
		"no JSON":           {dialect.Failure{Message: "Unsupported parameter: 'foo'"}, `{"foo":`, ``},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tc.failure.Status = 400
			got, ok := p.Mend(&providers.Call{Body: []byte(tc.body)}, &providers.Error{Kind: providers.KindInvalid, Failure: tc.failure})
			if string(got) != tc.want || ok != (tc.want != "") {
				t.Errorf("got %s, %t, want %s", got, ok, tc.want)
			}
		})
	}
}

func TestWhatAProviderBehindOpenRouterSaidIsTold(t *testing.T) {
	t.Parallel()
	p := openai.OpenRouter(keyed.Options{})
	err := p.Check(&http.Response{StatusCode: 400, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(
		`{"error":{"message":"Provider returned error","code":400,"metadata":{"raw":"{\"error\":{\"message\":\"This model's maximum context length is 8192 tokens.\"}}","provider_name":"X"}}}`))})
	if e := providers.AsError(err); !strings.Contains(e.Failure.Message, "maximum context length is 8192") || e.Kind != providers.KindTooLong {
		t.Errorf("%v: %q", e.Kind, e.Failure.Message)
	}
}

// Whatever an upstream answers, the error is typed, bounded, and never asks to wait for less than nothing or more than a
// month; and what is mended is still a request.
func FuzzCheck(f *testing.F) {
	f.Add(429, "1", "6m0s", `{"error":{"message":"Please try again in 1h2m3s.","code":"rate_limit_exceeded"}}`)
	f.Add(400, "", "", `[{"error":{"message":"Unsupported parameter: 'a.b'","details":[{"retryDelay":"`)
	f.Add(529, "NaN", "-1s", `<html>`)
	f.Add(400, "", "", `{"error":{"metadata":{"raw":"{\"error\":"}}}`)
	p := openai.OpenRouter(keyed.Options{Now: func() time.Time { return time.Unix(1e9, 0) }})
	f.Fuzz(func(t *testing.T, status int, after, reset, body string) {
		if status < 400 || status > 599 {
			return
		}
		h := http.Header{"Retry-After": {after}, "X-Ratelimit-Reset": {reset}, "X-Ratelimit-Remaining-Tokens": {"0"}, "X-Ratelimit-Reset-Tokens": {reset}}
		err := p.Check(&http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body))})
		e := providers.AsError(err)
		if err == nil || e.Failure.Status != status || e.Failure.Message == "" || e.RetryAfter < 0 || e.RetryAfter > 31*24*time.Hour {
			t.Errorf("%d %q: %+v", status, body, e)
		}
		const request = `{"model":"m","messages":[],"a":{"b":1},"max_tokens":1}`
		if out, ok := p.Mend(&providers.Call{Body: []byte(request)}, e); ok {
			if !strings.Contains(string(out), `"model":"m","messages":[]`) || len(out) >= len(request)+len("max_completion_tokens") {
				t.Errorf("mended to %s", out)
			}
		}
	})
}
