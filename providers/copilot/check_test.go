package copilot_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"detour/providers"
	"detour/providers/copilot"
)

// response is an upstream's answer to a request that carried a credential.
func response(status int, body string, header ...string) *http.Response {
	req, err := http.NewRequest(http.MethodPost, "https://api.githubcopilot.com/chat/completions", nil)
	if err != nil {
		panic(err)
	}
	req.Header.Set("Authorization", "Bearer tid="+marker)
	h := http.Header{"Content-Type": {"text/plain; charset=utf-8"}, "X-Github-Request-Id": {"REQ:1"}}
	for i := 0; i+1 < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body)), Request: req}
}

func TestCheckRelaysSuccess(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldConfig{})
	for _, status := range []int{101, 200, 201, 204} {
		r := response(status, "data: x\n\n", "Content-Type", "text/event-stream")
		if err := w.Check(r); err != nil {
			t.Errorf("%d: %v", status, err)
		}
		if b, _ := io.ReadAll(r.Body); string(b) != "data: x\n\n" {
			t.Errorf("%d: body was touched: %q left", status, b)
		}
	}
}

func TestCheckClassifies(t *testing.T) {
	t.Parallel()
	const html = "<!DOCTYPE html>\n<html><title>Unicorn!</title>"
	now := time.Date(2026, 11, 5, 8, 0, 0, 0, time.UTC)
	inAnHour := now.Add(time.Hour).Format(http.TimeFormat)
	for name, tc := range map[string]struct {
		status   int
		body     string
		header   []string
		kind     providers.Kind
		code     string
		message  string // "" means not looked at
		wait     time.Duration
		perModel bool
		hint     string
	}{
		"model not supported":           {status: 400, body: `{"error":{"message":"The requested model is not supported.","code":"model_not_supported","param":"model","type":"invalid_request_error"}}`, kind: providers.KindModel, code: "model_not_supported", message: "The requested model is not supported.", hint: "features"},
		"model not supported, in words": {status: 400, body: `Model is not supported for this request.`, kind: providers.KindModel, message: "Model is not supported for this request."},
		"no endpoints for model":        {status: 400, body: `{"error":{"message":"no endpoints available for this model under your current plan and policies","code":"no_available_model_endpoints"}}`, kind: providers.KindModel, code: "no_available_model_endpoints"},
		"wrong surface":                 {status: 400, body: `{"error":{"message":"model \"gpt-5.4\" is not accessible via the /chat/completions endpoint","code":"unsupported_api_for_model"}}`, kind: providers.KindEndpoint, code: "unsupported_api_for_model", message: `model "gpt-5.4" is not accessible via the /chat/completions endpoint`},
		"too long by code":              {status: 400, body: `{"error":{"message":"prompt token count of 138898 exceeds the limit of 64000","code":"model_max_prompt_tokens_exceeded"}}`, kind: providers.KindTooLong, code: "model_max_prompt_tokens_exceeded"},
		"too long by other code":        {status: 400, body: `{"error":{"message":"x","code":"context_length_exceeded"}}`, kind: providers.KindTooLong, code: "context_length_exceeded"},
		"too long in words":             {status: 400, body: `{"error":{"message":"prompt token count of 138898 exceeds the limit of 64000"}}`, kind: providers.KindTooLong},
		"too long for the window":       {status: 400, body: `Request body is too large for model context window`, kind: providers.KindTooLong},
		"too long, anthropic":           {status: 400, body: `{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 210000 tokens > 200000 maximum"}}`, kind: providers.KindTooLong},
		"too many images":               {status: 400, body: `image count exceeds the limit of 5`, kind: providers.KindInvalid},
		"vision header":                 {status: 400, body: `{"error":{"message":"missing required Copilot-Vision-Request header for vision requests","code":""}}`, kind: providers.KindInvalid},
		"schema":                        {status: 400, body: `{"error":{"message":"messages.0.content.3: unexpected","code":"invalid_request_body"}}`, kind: providers.KindInvalid, code: "invalid_request_body", message: "messages.0.content.3: unexpected"},
		"schema, bare":                  {status: 400, body: `{"message":"tools.0: Extra inputs are not permitted"}`, kind: providers.KindInvalid, message: "tools.0: Extra inputs are not permitted"},
		"schema, anthropic":             {status: 400, body: `{"type":"error","error":{"type":"invalid_request_error","message":"m"},"request_id":"req_vrtx_011C"}`, kind: providers.KindInvalid, message: "m"},
		"error as a string":             {status: 400, body: `{"error":"nope"}`, kind: providers.KindInvalid, message: "nope"},
		"off topic":                     {status: 400, body: `off_topic`, kind: providers.KindInvalid, message: "off_topic"},
		"malformed":                     {status: 400, body: "Bad request: unexpected end of JSON\n", kind: providers.KindInvalid, message: "Bad request: unexpected end of JSON"},
		"personal token":                {status: 400, body: `Personal Access Tokens are not supported for this endpoint`, kind: providers.KindLogin, hint: "detour login"},
		"token expired":                 {status: 401, body: "unauthorized: token expired\n", kind: providers.KindAuth, message: "unauthorized: token expired"},
		"token expired, IDE":            {status: 401, body: "IDE token expired: unauthorized: token expired", kind: providers.KindAuth},
		"401 with any code":             {status: 401, body: `{"error":{"code":"model_not_supported","message":"m"}}`, kind: providers.KindAuth, code: "model_not_supported"},
		"401 of an agent":               {status: 401, body: `{"authorize_url":"https://github.com/x"}`, kind: providers.KindPolicy, hint: "authorised"},
		"401 page":                      {status: 401, body: html, kind: providers.KindPolicy, message: "Unicorn!", hint: "editor_version", wait: time.Minute},
		"402":                           {status: 402, body: `{"error":{"message":"You have no quota","code":"quota_exceeded"}}`, header: []string{"Retry-After", inAnHour}, kind: providers.KindQuota, code: "quota_exceeded", wait: time.Hour, hint: "billing"},
		"402, seconds":                  {status: 402, body: `{"error":{"code":"free_quota_exceeded"}}`, header: []string{"Retry-After", "7"}, kind: providers.KindQuota, code: "free_quota_exceeded", wait: 7 * time.Second, hint: "billing"},
		"402, overage":                  {status: 402, body: `{"error":{"code":"overage_limit_reached"}}`, kind: providers.KindQuota, code: "overage_limit_reached", hint: "billing"},
		"402, billing":                  {status: 402, body: `{"error":{"code":"billing_not_configured"}}`, kind: providers.KindQuota, code: "billing_not_configured", hint: "billing"},
		"402, bare":                     {status: 402, body: ``, kind: providers.KindQuota, message: "upstream answered 402 Payment Required", hint: "billing"},
		"not licensed":                  {status: 403, body: "unauthorized: not licensed to use Copilot\n", kind: providers.KindPolicy, message: "unauthorized: not licensed to use Copilot", hint: "settings/copilot"},
		"not authorized":                {status: 403, body: "unauthorized: not authorized to use this Copilot feature", kind: providers.KindPolicy},
		"suspended":                     {status: 403, body: `{"error":{"message":"Your account has been suspended"}}`, kind: providers.KindSuspended},
		"403 page":                      {status: 403, body: html, header: []string{"Content-Type", "text/html"}, kind: providers.KindPolicy, message: "Unicorn!", hint: "user_agent", wait: time.Minute},
		"403 page, unlabelled":          {status: 403, body: "  <HTML>x", kind: providers.KindPolicy, hint: "user_agent", wait: time.Minute},
		"404":                           {status: 404, body: "404 page not found\n", kind: providers.KindInvalid, message: "404 page not found", hint: "copilot_api_url"},
		"404, model":                    {status: 404, body: `{"error":{"message":"The model x does not exist","code":"model_not_found"}}`, kind: providers.KindModel, code: "model_not_found"},
		"408":                           {status: 408, body: `{"error":{"message":"Timed out reading request body. Try again, or use a smaller request size.","code":"user_request_timeout"}}`, kind: providers.KindNetwork, code: "user_request_timeout"},
		"408, bare":                     {status: 408, body: ``, kind: providers.KindNetwork},
		"413":                           {status: 413, body: `<html><head><title>413 Request Entity Too Large</title>`, kind: providers.KindInvalid, message: "413 Request Entity Too Large"},
		"413, text":                     {status: 413, body: `failed to parse request`, kind: providers.KindInvalid, message: "failed to parse request"},
		"421":                           {status: 421, body: "Misdirected Request\n", kind: providers.KindMisdirected, message: "Misdirected Request"},
		"422":                           {status: 422, body: "filtered", kind: providers.KindInvalid, message: "filtered"},
		"424":                           {status: 424, body: "agent", kind: providers.KindInvalid},
		"466":                           {status: 466, body: "client not supported", kind: providers.KindPolicy, message: "client not supported", hint: "editor_plugin_version"},
		"499":                           {status: 499, body: "", kind: providers.KindServer},
		"500":                           {status: 500, body: html, kind: providers.KindServer, message: "Unicorn!"},
		"501":                           {status: 501, body: "", kind: providers.KindServer},
		"502":                           {status: 502, body: "bad gateway", kind: providers.KindServer, message: "bad gateway"},
		"503":                           {status: 503, body: "busy", header: []string{"Retry-After", "3"}, kind: providers.KindOverloaded, wait: 3 * time.Second},
		"504":                           {status: 504, body: html, kind: providers.KindServer},
		"529":                           {status: 529, body: `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`, kind: providers.KindOverloaded, message: "Overloaded"},
		"status nobody knows":           {status: 418, body: "teapot", kind: providers.KindInvalid, message: "teapot"},
		"429":                           {status: 429, body: `{"error":{"message":"Sorry, you've exceeded your rate limit.","code":"rate_limited"}}`, header: []string{"Retry-After", "42"}, kind: providers.KindRateLimit, code: "rate_limited", wait: 42 * time.Second},
		"429, model":                    {status: 429, body: `{"error":{"code":"user_model_rate_limited:gpt-5.4","message":"m"}}`, kind: providers.KindRateLimit, code: "user_model_rate_limited:gpt-5.4", perModel: true},
		"429, global":                   {status: 429, body: `{"error":{"code":"user_global_rate_limited:pro","message":"Sorry, you've exceeded your 5 hour session limits. Please retry after 2733 seconds. (user_global_rate_limited:pro)"}}`, kind: providers.KindRateLimit, code: "user_global_rate_limited:pro", wait: 2733 * time.Second},
		"429, weekly":                   {status: 429, body: `{"error":{"code":"user_weekly_rate_limited"}}`, kind: providers.KindRateLimit, code: "user_weekly_rate_limited"},
		"429, integration":              {status: 429, body: `{"error":{"code":"integration_rate_limited"}}`, kind: providers.KindRateLimit, code: "integration_rate_limited"},
		"429, agent mode":               {status: 429, body: `{"error":{"code":"agent_mode_limit_exceeded"}}`, kind: providers.KindRateLimit, code: "agent_mode_limit_exceeded"},
		"429, model overloaded":         {status: 429, body: `{"error":{"code":"model_overloaded"}}`, kind: providers.KindOverloaded, code: "model_overloaded", perModel: true},
		"429, upstream's own upstream":  {status: 429, body: `{"error":{"code":"upstream_provider_rate_limit"}}`, kind: providers.KindOverloaded, code: "upstream_provider_rate_limit", perModel: true},
		"429, extension":                {status: 429, body: `{"error":{"code":"extension_blocked","type":"rate_limit_error","message":{"text":"blocked"}}}`, kind: providers.KindRateLimit, code: "extension_blocked", message: `{"text":"blocked"}`},
		"429, text":                     {status: 429, body: "rate limit exceeded\n", kind: providers.KindRateLimit, message: "rate limit exceeded"},
		"429, text about quota":         {status: 429, body: "quota exceeded", kind: providers.KindQuota, hint: "billing"},
		"429, too many":                 {status: 429, body: "too many requests", kind: providers.KindRateLimit},
		"429, nothing":                  {status: 429, body: "", kind: providers.KindRateLimit, message: "upstream answered 429 Too Many Requests"},
		"429, quota code":               {status: 429, body: `{"error":{"code":"quota_exceeded"}}`, kind: providers.KindQuota, code: "quota_exceeded", hint: "billing"},
		"redirect":                      {status: 302, body: "", header: []string{"Location", "https://evil.example"}, kind: providers.KindNetwork, hint: "captive portal"},
		"page with success":             {status: 200, body: html, header: []string{"Content-Type", "text/html"}, kind: providers.KindNetwork, hint: "captive portal"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, worldConfig{now: func() time.Time { return now }})
			e := asError(t, w.Check(response(tc.status, tc.body, tc.header...)))
			if e.Kind != tc.kind {
				t.Errorf("kind %v, want %v", e.Kind, tc.kind)
			}
			if e.Failure.Code != tc.code {
				t.Errorf("code %q, want %q", e.Failure.Code, tc.code)
			}
			if tc.message != "" && e.Failure.Message != tc.message {
				t.Errorf("message %q, want %q", e.Failure.Message, tc.message)
			}
			if e.Kind != providers.KindNetwork && e.Failure.Status != tc.status {
				t.Errorf("status %d, want %d", e.Failure.Status, tc.status)
			}
			if e.RetryAfter != tc.wait {
				t.Errorf("retry after %v, want %v", e.RetryAfter, tc.wait)
			}
			if e.PerModel != tc.perModel {
				t.Errorf("per model %v, want %v", e.PerModel, tc.perModel)
			}
			if !strings.Contains(e.Hint, tc.hint) {
				t.Errorf("hint %q, want %q in it", e.Hint, tc.hint)
			}
			if e.RequestID != "REQ:1" {
				t.Errorf("request id %q", e.RequestID)
			}
		})
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 5, 8, 0, 0, 0, time.UTC)
	const month = 31 * 24 * time.Hour
	for name, tc := range map[string]struct {
		header []string
		body   string
		want   time.Duration
	}{
		"seconds":                 {header: []string{"Retry-After", "30"}, want: 30 * time.Second},
		"with a fraction":         {header: []string{"Retry-After", "0.5"}, want: 500 * time.Millisecond},
		"date":                    {header: []string{"Retry-After", "Thu, 05 Nov 2026 08:01:30 GMT"}, want: 90 * time.Second},
		"date and a wrong clock":  {header: []string{"Retry-After", "Thu, 05 Nov 2026 12:01:30 GMT", "Date", "Thu, 05 Nov 2026 12:00:00 GMT"}, want: 90 * time.Second},
		"old date":                {header: []string{"Retry-After", "Thu, 05 Nov 2020 08:01:30 GMT"}},
		"negative":                {header: []string{"Retry-After", "-5"}},
		"absurd":                  {header: []string{"Retry-After", "99999999999999999999"}, want: month},
		"infinite":                {header: []string{"Retry-After", "Inf"}},
		"no number":               {header: []string{"Retry-After", "NaN"}},
		"far date":                {header: []string{"Retry-After", "Thu, 31 Dec 9999 23:59:59 GMT"}, want: month},
		"words":                   {header: []string{"Retry-After", "soon"}},
		"empty":                   {header: []string{"Retry-After", ""}},
		"reset as a time":         {header: []string{"X-RateLimit-Reset", fmt.Sprint(now.Add(time.Minute).Unix())}, want: time.Minute},
		"reset as a wait":         {header: []string{"X-RateLimit-Reset", "60"}, want: time.Minute},
		"both":                    {header: []string{"Retry-After", "5", "X-RateLimit-Reset", "60"}, want: 5 * time.Second},
		"unreadable and reset":    {header: []string{"Retry-After", "soon", "X-RateLimit-Reset", "60"}, want: time.Minute},
		"in the text":             {body: "Please retry after 12 seconds.", want: 12 * time.Second},
		"in the text, otherwise":  {body: "Try again in 20s", want: 20 * time.Second},
		"in the text, not a wait": {body: "we retry after 12 attempts"},
		"nothing":                 {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, worldConfig{now: func() time.Time { return now }})
			if got := asError(t, w.Check(response(429, tc.body, tc.header...))).RetryAfter; got != tc.want {
				t.Errorf("%v, want %v", got, tc.want)
			}
		})
	}
}

func TestCheckMasksACredentialThatTheUpstreamQuotes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldConfig{})
	for _, body := range []string{"bad token tid=" + marker, `{"error":{"message":"tid=` + marker + `","code":"tid=` + marker + `","param":"tid=` + marker + `","type":"tid=` + marker + `"}}`} {
		e := asError(t, w.Check(response(401, body, "X-Github-Request-Id", "tid="+marker)))
		if !strings.Contains(e.Failure.Message, "***") {
			t.Errorf("message %q", e.Failure.Message)
		}
	}
}

func TestCheckMasksACredentialHoweverItIsQuoted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldConfig{})
	// Written with escapes, so that only its meaning is the credential.
	asError(t, w.Check(response(400, `{"error":{"message":"t\u0069d=`+marker+`"}}`)))
	// Where the message is cut: no part of it may be left over.
	for n := 8<<10 - len("tid="+marker); n <= 8<<10; n++ {
		if e := asError(t, w.Check(response(400, strings.Repeat("x", n)+"tid="+marker+"yyy"))); strings.Contains(e.Failure.Message, "tid=") {
			t.Errorf("part of the credential is left at %d", n)
		}
	}
}

// counter counts what is read of an endless body.
type counter struct{ n int }

func (c *counter) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	c.n += len(p)
	return len(p), nil
}

func (*counter) Close() error { return nil }

func TestCheckReadsABoundedPart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldConfig{})
	r := response(500, "")
	body := &counter{}
	r.Body = body
	e := asError(t, w.Check(r))
	if body.n > 65<<10 {
		t.Errorf("%d bytes were read", body.n)
	}
	if len(e.Failure.Message) > 9<<10 {
		t.Errorf("the message has %d bytes", len(e.Failure.Message))
	}
}

func TestCheckSurvivesABodyThatBreaks(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldConfig{})
	r := response(503, "")
	r.Body = io.NopCloser(io.MultiReader(strings.NewReader("busy"), errReader{}))
	if e := asError(t, w.Check(r)); e.Kind != providers.KindOverloaded || e.Failure.Message != "busy" {
		t.Errorf("%v", e)
	}
	r.Request = nil
	r.Body = http.NoBody
	if err := w.Check(r); err == nil {
		t.Error("no error")
	}
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, errors.New("connection reset") }

func FuzzCheck(f *testing.F) {
	for _, body := range []string{"", "{}", `{"error":{"message":"m","code":"c"}}`, `{"error":"x"}`, `{"message":{"text":"x"}}`, "<html>", `"text"`, "[]", "\xff", `{"error":{"message":{"a":{}}}}`} {
		for _, status := range []int{200, 400, 401, 403, 429, 500} {
			f.Add(status, body, "5")
		}
	}
	p := copilot.New(copilot.Options{Transport: http.DefaultTransport})
	f.Fuzz(func(t *testing.T, status int, body, after string) {
		err := p.Check(response(status, body, "Retry-After", after))
		if err == nil {
			if status != 101 && (status < 200 || status > 299) {
				t.Errorf("status %d is relayed", status)
			}
			return
		}
		e, ok := errors.AsType[*providers.Error](err)
		if !ok || e.RetryAfter < 0 || e.RetryAfter > 31*24*time.Hour || len(e.Failure.Message) > 9<<10 {
			t.Errorf("%#v", err)
		}
		if e.Kind != providers.KindNetwork && e.Failure.Message == "" && http.StatusText(status) != "" {
			t.Error("an error without words")
		}
		if strings.Contains(e.Error(), marker) {
			t.Error("a secret is in the error")
		}
	})
}
