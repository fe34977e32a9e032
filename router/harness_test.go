package router_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"detour/internal/dialect"
	"detour/internal/record"
	"detour/internal/secret"
	"detour/providers"
	"detour/router"
)

const ourToken = "leased-marker-secret"

// fake is a provider whose upstream is a handler of the test. It maps statuses the plain way.
type fake struct {
	base   string
	models []providers.Model
	// lease fails for accounts in it.
	dead map[string]error
}

func (*fake) Name() string { return "fake" }

func (f *fake) Open(c providers.AccountConfig) (*providers.Account, error) {
	n := 0
	return providers.NewAccount(c, func(context.Context) (providers.Lease, error) {
		if err := f.dead[c.ID]; err != nil {
			return providers.Lease{}, err
		}
		n++
		return providers.Lease{Token: secret.New(fmt.Sprintf("%s-%s-%d", ourToken, c.ID, n)), Base: f.base}, nil
	}), nil
}

func (*fake) Dialects(m providers.Model) []dialect.Endpoint {
	if m.Embeddings {
		return []dialect.Endpoint{dialect.EndpointEmbeddings}
	}
	return m.Endpoints
}

func (f *fake) NewRequest(ctx context.Context, a *providers.Account, c *providers.Call) (*http.Request, error) {
	l, err := a.Lease(ctx)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.Base+"/"+string(c.Endpoint), bytes.NewReader(c.Body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+l.Token.Reveal())
	req.Header.Set("X-Account", a.ID())
	req.Header.Set("X-Initiator", string(c.Initiator))
	req.Header.Set("X-Vision", strconv.FormatBool(c.Vision))
	return req, nil
}

func (*fake) Check(resp *http.Response) error {
	if resp.StatusCode < 400 {
		return nil
	}
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
	e := &providers.Error{Failure: dialect.ParseFailure(resp.StatusCode, resp.Header.Get("Content-Type"), body)}
	switch {
	case e.Failure.Code == "context_length_exceeded":
		e.Kind = providers.KindTooLong
	case resp.StatusCode == 401:
		e.Kind = providers.KindAuth
	case resp.StatusCode == 402:
		e.Kind = providers.KindQuota
	case resp.StatusCode == 429:
		e.Kind, e.RetryAfter = providers.KindRateLimit, 7e9
		if v := resp.Header.Get("X-Wait"); v != "" {
			e.RetryAfter, _ = time.ParseDuration(v)
		}
	case resp.StatusCode >= 500:
		e.Kind = providers.KindServer
	default:
		e.Kind = providers.KindInvalid
	}
	return e
}

func (f *fake) Models(context.Context, *providers.Account) ([]providers.Model, error) {
	if f.models == nil {
		return nil, errors.New("no list")
	}
	return f.models, nil
}

func chatModel(id string) providers.Model {
	return providers.Model{ID: id, Picker: true, Endpoints: []dialect.Endpoint{dialect.EndpointChat}, Raw: fmt.Appendf(nil, `{"id":%q,"object":"model","vendor":"x"}`, id)}
}

var allEndpoints = []dialect.Endpoint{dialect.EndpointChat, dialect.EndpointResponses, dialect.EndpointMessages}

// world is a router between clients and an upstream that a test scripts.
type world struct {
	t        *testing.T
	provider *fake
	router   *router.Router
	door     *httptest.Server // the API door
	proxy    *httptest.Server // stands for mitm: requests for any host, by X-Test-Host
	logs     *lockedBuffer
	mu       sync.Mutex
	records  []record.Exchange
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

type option func(*router.Config, *fake)

func withAccounts(ids ...string) option {
	return func(c *router.Config, f *fake) {
		c.Accounts = nil
		for _, id := range ids {
			a, _ := f.Open(providers.AccountConfig{ID: id, Provider: "fake"})
			c.Accounts = append(c.Accounts, a)
		}
	}
}

// run runs a test in both HTTP versions.
func run(t *testing.T, f func(t *testing.T, h2 bool)) {
	t.Helper()
	for _, h2 := range []bool{false, true} {
		t.Run(map[bool]string{false: "h1", true: "h2"}[h2], func(t *testing.T) {
			t.Parallel()
			f(t, h2)
		})
	}
}

func serve(t *testing.T, h http.Handler, h2 bool) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	s.EnableHTTP2 = h2
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func newWorld(t *testing.T, h2 bool, upstream http.HandlerFunc, opts ...option) *world {
	t.Helper()
	up := serve(t, upstream, h2)
	w := &world{t: t, logs: &lockedBuffer{}}
	w.provider = &fake{base: up.URL, models: []providers.Model{
		{ID: "gpt-x", Picker: true, Endpoints: allEndpoints, Raw: []byte(`{"id":"gpt-x","object":"model","zeta":1, "alpha":[2]}`)},
		chatModel("claude-sonnet-4.5"), chatModel("claude-sonnet-4.6"), chatModel("chat-only"),
		{ID: "off", Disabled: true, Endpoints: allEndpoints},
		{ID: "embed", Embeddings: true},
		{ID: "messages-only", Picker: true, Endpoints: []dialect.Endpoint{dialect.EndpointMessages}},
	}}
	cfg := router.Config{
		Providers: providers.NewRegistry(w.provider),
		Upstream:  up.Client().Transport, Relay1: up.Client().Transport, Relay2: up.Client().Transport,
		CarrierKey: []byte("0123456789abcdef0123456789abcdef"),
		Logger:     slog.New(slog.NewTextHandler(w.logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
		OnExchange: func(e *record.Exchange) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.records = append(w.records, *e)
		},
		Retry: router.Retry{InitialBackoff: 1, Connection: 2},
	}
	withAccounts("a")(&cfg, w.provider)
	for _, o := range opts {
		o(&cfg, w.provider)
	}
	var err error
	if w.router, err = router.New(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.router.Close)
	w.door = serve(t, w.router, h2)
	upURL, _ := url.Parse(up.URL)
	w.proxy = serve(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		r.URL.Scheme, r.URL.Host = "https", r.Header.Get("X-Test-Host")+":443"
		if user := r.Header.Get("X-Test-User"); user != "" {
			r.URL.User = url.User(user)
		}
		if r.Header.Get("X-Test-Real") != "" { // relayed for real: to the scripted upstream
			r.URL.Host = upURL.Host
		}
		for _, k := range []string{"X-Test-Host", "X-Test-User", "X-Test-Real"} {
			r.Header.Del(k)
		}
		w.router.ServeHTTP(rw, r)
	}), h2)
	return w
}

// exchanges returns the records once n have been made.
func (w *world) exchanges() []record.Exchange {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]record.Exchange(nil), w.records...)
}

func (w *world) post(path, body string, headers ...string) *http.Response {
	w.t.Helper()
	return w.do(w.door, http.MethodPost, path, body, headers...)
}

func (w *world) do(s *httptest.Server, method, path, body string, headers ...string) *http.Response {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), method, s.URL+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := s.Client().Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { resp.Body.Close() })
	return resp
}

func text(t *testing.T, resp *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("read answer: %v (got %q)", err, b)
	}
	return string(b)
}

const (
	hello       = `{"model":"gpt-x","messages":[{"role":"user","content":"hi"}]}`
	helloStream = `{"model":"gpt-x","stream":true,"messages":[{"role":"user","content":"hi"}]}`
	answer      = `{"id":"c1","object":"chat.completion","created":1,"model":"gpt-x","choices":[{"index":0,"message":{"role":"assistant","content":"hey"},"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7}}`
)

func chunk(content string) string {
	return fmt.Sprintf(`data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"gpt-x","choices":[{"index":0,"delta":{"role":"assistant","content":%q},"finish_reason":null}]}`+"\n\n", content)
}

const finish = `data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"gpt-x","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}` + "\n\ndata: [DONE]\n\n"

func stream(w http.ResponseWriter, parts ...string) {
	w.Header().Set("Content-Type", "text/event-stream")
	for _, p := range parts {
		_, _ = io.WriteString(w, p)
		_ = http.NewResponseController(w).Flush()
	}
}

func plain(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}
