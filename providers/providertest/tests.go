package providertest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"detour/internal/dialect"
	"detour/internal/secret"
	"detour/providers"
)

// typed fails the test unless err is an *Error that shows no secret.
func typed(t *testing.T, err error) *providers.Error {
	t.Helper()
	e, ok := errors.AsType[*providers.Error](err)
	if !ok {
		t.Fatalf("error is %T (%v), want *providers.Error", err, err)
	}
	for _, s := range []string{fmt.Sprintf("%v %+v %#v %q", e, e, *e, e), fmt.Sprint(e.Failure), e.Hint, e.RequestID} {
		if shows(s) {
			t.Errorf("a secret is in the error: %s", s)
		}
	}
	return e
}

func testCredential(t *testing.T, h Harness) {
	s := open(t, h, ok)
	for _, e := range h.Endpoints {
		req, err := s.NewRequest(t.Context(), s.account, call(e))
		if err != nil {
			t.Fatalf("%s: %v", e, err)
		}
		if got, want := h.Used(req.Header), s.token(1); got != want {
			t.Errorf("%s: credential %q, want %q", e, got, want)
		}
		if n := strings.Count(fmt.Sprint(req.Header), Marker); n != 1 {
			t.Errorf("%s: a credential is in the headers %d times", e, n)
		}
		if shows(req.URL.String()) || req.URL.User != nil {
			t.Errorf("%s: a credential is in the URL", e)
		}
		if !h.Allowed(req.URL.Hostname()) {
			t.Errorf("%s: the request goes to %s", e, req.URL.Host)
		}
		if agent := req.Header.Get("User-Agent"); agent == "" || strings.HasPrefix(agent, "Go-http-client") {
			t.Errorf("%s: user agent %q", e, agent)
		}
	}
	_, err := s.NewRequest(t.Context(), s.account, call("no/such/endpoint"))
	if e := typed(t, err); e.Kind != providers.KindInvalid {
		t.Errorf("unknown endpoint: kind %v, want invalid", e.Kind)
	}
}

// Fifty requests are refused with the same credential, some while it is being renewed. One renewal serves them all.
func testRenewedOnce(t *testing.T, h Harness) {
	if h.Exchange == nil {
		t.Skip("this provider uses its credential as it is")
	}
	synctest.Test(t, func(t *testing.T) {
		var s *subject
		s = open(t, h, func(w http.ResponseWriter, r *http.Request) {
			select {
			case <-time.After(100 * time.Millisecond):
			case <-r.Context().Done():
			}
			if h.Used(r.Header) == s.token(1) {
				http.Error(w, "unauthorized: token expired", http.StatusUnauthorized)
				return
			}
			ok(w, r)
		})
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * 4 * time.Millisecond)
				used, err := s.send(t.Context(), call(h.Endpoints[0]))
				if err == nil {
					return // came late, with the new one
				}
				if e, ok := errors.AsType[*providers.Error](err); !ok || e.Kind != providers.KindAuth {
					t.Errorf("refusal is %v, want kind auth", err)
				}
				s.account.Expire(secret.New(used))
				if used, err = s.send(t.Context(), call(h.Endpoints[0])); err != nil || used != s.token(2) {
					t.Errorf("replay: %v with %s", err, used)
				}
			})
		}
		wg.Wait()
		if n := s.granted(); n != 2 {
			t.Errorf("%d exchanges, want 2", n)
		}
	})
}

func testFailures(t *testing.T, h Harness) {
	all := append([]Failure{
		{Name: "400", Status: 400, Body: `{"error":{"message":"bad"}}`, Want: providers.KindInvalid},
		{Name: "401", Status: 401, Body: `{"error":{"message":"expired"}}`, Want: cmp.Or(h.Refused, providers.KindAuth)},
		{Name: "429", Status: 429, Body: `{"error":{"message":"slow down"}}`, Want: providers.KindRateLimit},
		{Name: "429 without a body", Status: 429, Want: providers.KindRateLimit},
		{Name: "500", Status: 500, Body: "oops", Want: providers.KindServer},
		{Name: "502 as a page", Status: 502, Header: http.Header{"Content-Type": {"text/html"}}, Body: "<html>bad gateway</html>", Want: providers.KindServer},
		{Name: "503", Status: 503, Want: providers.KindOverloaded},
		{Name: "504", Status: 504, Want: providers.KindServer},
		{Name: "529", Status: 529, Want: providers.KindOverloaded},
	}, h.Failures...)
	for _, f := range all {
		t.Run(f.Name, func(t *testing.T) {
			t.Parallel()
			s := open(t, h, func(w http.ResponseWriter, _ *http.Request) {
				maps.Copy(w.Header(), f.Header)
				w.WriteHeader(f.Status)
				_, _ = io.WriteString(w, f.Body)
			})
			_, err := s.send(t.Context(), call(h.Endpoints[0]))
			e := typed(t, err)
			if e.Kind != f.Want {
				t.Errorf("kind %v, want %v", e.Kind, f.Want)
			}
			if e.Failure.Status != f.Status || e.Failure.Message == "" {
				t.Errorf("failure %+v: want status %d and a message", e.Failure, f.Status)
			}
		})
	}
}

func testRetryAfter(t *testing.T, h Harness) {
	for name, tc := range map[string]struct {
		value    string
		at       time.Duration // a date this far away; value is not used
		from, to time.Duration
	}{
		"seconds":  {value: "30", from: 30 * time.Second, to: 30 * time.Second},
		"date":     {at: time.Minute, from: 58 * time.Second, to: 61 * time.Second},
		"past":     {at: -time.Hour},
		"negative": {value: "-1"},
		"words":    {value: "soon"},
		"absurd":   {value: "99999999999999999999", from: time.Hour, to: 40 * 24 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, h, func(w http.ResponseWriter, _ *http.Request) {
				value := tc.value
				if value == "" {
					value = time.Now().Add(tc.at).UTC().Format(http.TimeFormat)
				}
				w.Header().Set("Retry-After", value)
				w.WriteHeader(http.StatusTooManyRequests)
			})
			_, err := s.send(t.Context(), call(h.Endpoints[0]))
			if e := typed(t, err); e.RetryAfter < tc.from || e.RetryAfter > tc.to {
				t.Errorf("%v, want %v to %v", e.RetryAfter, tc.from, tc.to)
			}
		})
	}
}

// endless is a body without an end.
type endless struct{ read int }

func (b *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	b.read += len(p)
	return len(p), nil
}

func (*endless) Close() error { return nil }

func testBounded(t *testing.T, h Harness) {
	s := open(t, h, ok)
	req, err := s.NewRequest(t.Context(), s.account, call(h.Endpoints[0]))
	if err != nil {
		t.Fatal(err)
	}
	body := &endless{}
	e := typed(t, s.Check(&http.Response{StatusCode: 500, Header: http.Header{}, Body: body, Request: req}))
	if body.read > 128<<10 || len(e.Error()) > 64<<10 {
		t.Errorf("%d bytes were read, %d are in the error", body.read, len(e.Error()))
	}
}

func testSuccess(t *testing.T, h Harness) {
	s := open(t, h, ok)
	for _, kind := range []string{"application/json", "text/event-stream", ""} {
		resp := &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {kind}}, Body: io.NopCloser(strings.NewReader("data: x\n\n"))}
		if err := s.Check(resp); err != nil {
			t.Errorf("%q: %v", kind, err)
		}
		if b, _ := io.ReadAll(resp.Body); string(b) != "data: x\n\n" {
			t.Errorf("%q: %q is left of the body", kind, b)
		}
	}
}

func testCancel(t *testing.T, h Harness) {
	if h.Exchange == nil {
		t.Skip("this provider waits for nothing")
	}
	synctest.Test(t, func(t *testing.T) {
		s := open(t, h, ok)
		s.exchange = func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
		ctx, cancel := context.WithCancel(t.Context())
		start := time.Now()
		time.AfterFunc(time.Second, cancel)
		_, err := s.send(ctx, call(h.Endpoints[0]))
		if e := typed(t, err); e.Kind != providers.KindCanceled {
			t.Errorf("kind %v, want canceled", e.Kind)
		}
		if d := time.Since(start); d != time.Second {
			t.Errorf("let go after %v, want 1s", d)
		}
		s.account.Close() // joins the exchange that goes on
	})
}

// The upstream repeats in its errors whatever it was sent, which is the worst that it can do.
func testNoSecretShown(t *testing.T, h Harness) {
	echo := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			sent := fmt.Sprint(r.Header.Get("Authorization"), h.Used(r.Header))
			w.Header().Set("X-Request-Id", sent)
			w.WriteHeader(status)
			_, _ = io.WriteString(w, `{"error":{"message":`+strconv.Quote(sent)+`,"code":`+strconv.Quote(sent)+`},"message":`+strconv.Quote(sent)+`}`)
		}
	}
	for _, status := range []int{302, 400, 401, 402, 403, 404, 421, 429, 500} {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := open(t, h, echo(status))
				_, err := s.send(t.Context(), call(h.Endpoints[0]))
				typed(t, err)
				if shows(fmt.Sprintf("%v %+v", s.account, s.account.LogValue())) {
					t.Error("the account shows a secret")
				}
				if h.Exchange == nil {
					return
				}
				s = open(t, h, ok)
				s.exchange = echo(status)
				_, err = s.send(t.Context(), call(h.Endpoints[0]))
				typed(t, err)
			})
		})
	}
}

func testClientHeaders(t *testing.T, h Harness) {
	const theirs = "clients-own-secret"
	s := open(t, h, ok)
	for _, e := range h.Endpoints {
		c := call(e)
		for _, name := range []string{
			"Authorization", "Proxy-Authorization", "X-Api-Key", "X-Goog-Api-Key", "Api-Key", "Cookie", "Openai-Organization",
			"Anthropic-Dangerous-Direct-Browser-Access", "X-Stainless-Lang", "X-Forwarded-For", "Forwarded", "Host", "Origin",
			"Referer", "User-Agent", "Anthropic-Beta", "X-Arbitrary", "Content-Length", "Transfer-Encoding", "Connection",
		} {
			c.Header.Set(name, theirs)
		}
		req, err := s.NewRequest(t.Context(), s.account, c)
		if err != nil {
			t.Fatalf("%s: %v", e, err)
		}
		for _, name := range h.Passes {
			if req.Header.Get(name) != theirs && c.Header.Get(name) != "" {
				t.Errorf("%s: the client's %s does not go upstream", e, name)
			}
		}
		for name, values := range req.Header {
			if strings.Contains(strings.Join(values, " "), theirs) && !slices.Contains(h.Passes, name) {
				t.Errorf("%s: the client's %s goes upstream", e, name)
			}
		}
		if strings.Contains(req.Host, theirs) {
			t.Errorf("%s: the client's Host goes upstream", e)
		}
	}
}

// A verbatim request is the client's own but for the credential.
func testVerbatim(t *testing.T, h Harness) {
	s := open(t, h, ok)
	const body = ` { "model" : "model-1", "model":"twice", "messages":[] , "input":"x", "n":1e0}`
	for _, e := range h.Endpoints {
		if e == dialect.EndpointModels {
			continue
		}
		c := call(e)
		c.Body, c.Verbatim = []byte(body), true
		req, err := s.NewRequest(t.Context(), s.account, c)
		if err != nil {
			t.Fatalf("%s: %v", e, err)
		}
		if b, err := io.ReadAll(req.Body); err != nil || string(b) != body {
			t.Errorf("%s: %v, sent %s", e, err, b)
		}
	}
}

// An exchange or model list that is redirected must not take the credential along. The upstream itself looks for
// strays.
func testRedirect(t *testing.T, h Harness) {
	for _, to := range []string{"https://evil.example/", "http://127.0.0.1/"} {
		s := open(t, h, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, http.StatusTemporaryRedirect) })
		if l, ok := s.Provider.(providers.ModelLister); ok {
			if _, err := l.Models(t.Context(), s.account); err == nil {
				t.Error("a redirected list gave models")
			} else {
				typed(t, err)
			}
		}
		if h.Exchange == nil {
			continue
		}
		synctest.Test(t, func(t *testing.T) {
			s := open(t, h, ok)
			s.exchange = func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, http.StatusTemporaryRedirect) }
			if _, err := s.send(t.Context(), call(h.Endpoints[0])); err == nil {
				t.Error("a redirected exchange gave a credential")
			}
		})
	}
}

func testCallUnchanged(t *testing.T, h Harness) {
	s := open(t, h, ok)
	for _, e := range h.Endpoints {
		c := call(e)
		c.Header = http.Header{"X-Initiator": {"user"}, "Anthropic-Beta": {"a", "b"}}
		c.Body = []byte(`{"model":"model-1","store":true,"service_tier":"auto","input":"x","messages":[{"role":"user","content":[{"type":"text","text":""},{"type":"text","text":"x"}]}]}`)
		body, header := string(c.Body), fmt.Sprint(c.Header)
		req, err := s.NewRequest(t.Context(), s.account, c)
		if err != nil {
			t.Fatalf("%s: %v", e, err)
		}
		req.Header.Set("X-Initiator", "changed")
		if string(c.Body) != body || fmt.Sprint(c.Header) != header {
			t.Errorf("%s: the call was changed", e)
		}
	}
}

func testUnknownFields(t *testing.T, h Harness) {
	const unknown = `"x_unknown" : {"b":1.50, "a":[ 1e2,"\u00e9é\/" ],"b":null}`
	s := open(t, h, ok)
	for _, e := range h.Endpoints {
		if e == dialect.EndpointModels {
			continue
		}
		c := call(e)
		c.Body = []byte(`{"model":"model-1",` + unknown + `}`)
		req, err := s.NewRequest(t.Context(), s.account, c)
		if err != nil {
			t.Fatalf("%s: %v", e, err)
		}
		b, err := io.ReadAll(req.Body)
		if err != nil || !strings.Contains(string(b), unknown) {
			t.Errorf("%s: %v, sent %s", e, err, b)
		}
		if req.ContentLength != int64(len(b)) {
			t.Errorf("%s: length %d, sent %d bytes", e, req.ContentLength, len(b))
		}
		if req.GetBody == nil {
			t.Errorf("%s: the transport cannot send the body again", e)
		}
	}
}

func testDialects(t *testing.T, h Harness) {
	s := open(t, h, ok)
	served := make(map[dialect.Endpoint]bool)
	for _, e := range h.Endpoints {
		served[e] = true
	}
	for _, m := range []providers.Model{{}, {ID: "model-1"}, {ID: "claude-opus-5"}, {ID: "gpt-5.4"}, {ID: "e", Embeddings: true}} {
		list := s.Dialects(m)
		if len(list) == 0 {
			t.Errorf("%q: none", m.ID)
		}
		for _, e := range list {
			if !served[e] {
				t.Errorf("%q: %s is not served", m.ID, e)
			}
		}
	}
}
