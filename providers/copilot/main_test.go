package copilot_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"detour/internal/secret"
	"detour/providers"
	"detour/providers/copilot"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// marker is part of every credential in these tests, so that a leak can be found by looking for it.
const marker = "MARKER"

const githubToken = "ghu_" + marker + "0123456789"

// github is GitHub and the inference hosts, in memory. Handlers may block: they see the request's context.
type github struct {
	mu    sync.Mutex
	seen  []*http.Request // their bodies are readable
	serve func(w http.ResponseWriter, r *http.Request)
}

// RoundTrip implements http.RoundTripper.
func (g *github) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	var body []byte
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
		_ = r.Body.Close()
	}
	note := r.Clone(context.Background())
	note.Body = io.NopCloser(bytes.NewReader(body))
	g.mu.Lock()
	g.seen = append(g.seen, note)
	g.mu.Unlock()
	w := httptest.NewRecorder()
	in := r.Clone(r.Context())
	in.Body = io.NopCloser(bytes.NewReader(body))
	g.serve(w, in)
	if w.Header().Get("X-Test-Broken") != "" {
		return nil, io.ErrUnexpectedEOF
	}
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	resp := w.Result()
	resp.Request = r
	return resp, nil
}

// broken makes the transport fail instead of answering.
func broken(w http.ResponseWriter) { w.Header().Set("X-Test-Broken", "yes") }

func (g *github) requests() []*http.Request {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]*http.Request(nil), g.seen...)
}

// hits counts the requests for path.
func (g *github) hits(path string) int {
	n := 0
	for _, r := range g.requests() {
		if r.URL.Path == path {
			n++
		}
	}
	return n
}

const tokenPath = "/copilot_internal/v2/token"

// lines collects log output.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// world is a provider with an account, and the upstream that both talk to.
type world struct {
	*copilot.Provider
	github  *github
	account *providers.Account
	logs    *lines
}

// setting up a world
type worldConfig struct {
	token    string // githubToken when empty
	settings map[string]string
	base     string
	urls     copilot.URLs
	now      func() time.Time
	serve    http.HandlerFunc // nil: healthy
}

func newWorld(t testing.TB, c worldConfig) *world {
	t.Helper()
	w := &world{github: &github{serve: c.serve}, logs: &lines{}}
	if c.serve == nil {
		w.github.serve = healthy
	}
	w.Provider = copilot.New(copilot.Options{
		Transport: w.github,
		URLs:      c.urls,
		Install:   copilot.Identity{DeviceID: "11111111-2222-4333-8444-555555555555", MachineID: strings.Repeat("ab", 32)},
		Logger:    slog.New(slog.NewTextHandler(w.logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Now:       c.now,
		Version:   "1.2.3",
	})
	token := c.token
	if token == "" {
		token = githubToken
	}
	var err error
	w.account, err = w.Open(providers.AccountConfig{ID: "personal", Provider: copilot.Name, Secret: secret.New(token), BaseURL: c.base, Settings: c.settings})
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() {
		w.account.Close()
		if strings.Contains(w.logs.String(), marker) {
			t.Errorf("a secret is in the log:\n%s", w.logs)
		}
	})
	return w
}

// grant is a token answer with further members put in.
func grant(n int, more string) string {
	exp := time.Now().Add(30 * time.Minute).Unix()
	return fmt.Sprintf(`{"token":"tid=%s%d;exp=%d;sku=x","expires_at":%d,"refresh_in":1500%s}`, marker, n, exp, exp, more)
}

// healthy is an upstream without faults.
func healthy(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Date", time.Now().UTC().Format(http.TimeFormat))
	w.Header().Set("Content-Type", "application/json")
	switch r.URL.Path {
	case tokenPath:
		_, _ = io.WriteString(w, grant(1, `,"endpoints":{"api":"https://api.individual.githubcopilot.com"}`))
	case "/user":
		_, _ = io.WriteString(w, `{"login":"octocat","id":583231,"email":null,"name":"The Octocat"}`)
	default:
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `{"message":"Not Found"}`)
	}
}

// answering serves one answer to every token request and is healthy otherwise.
func answering(status int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != tokenPath {
			healthy(w, r)
			return
		}
		w.Header().Set("Date", time.Now().UTC().Format(http.TimeFormat))
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// asError is err as the seam's type, and fails the test if err is none or shows a secret.
func asError(t *testing.T, err error) *providers.Error {
	t.Helper()
	e, ok := err.(*providers.Error)
	if !ok {
		t.Fatalf("error is %T (%v), want *providers.Error", err, err)
	}
	for _, s := range []string{fmt.Sprintf("%v %+v %#v", e, e, *e), e.Hint, e.Failure.Message} {
		if strings.Contains(s, marker) {
			t.Errorf("a secret is in the error: %s", s)
		}
	}
	return e
}
