package providertest

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

	"detour/internal/secret"
	"detour/providers"
)

// upstream stands for all hosts, in memory. It is an http.RoundTripper.
type upstream struct {
	h Harness
	// serve answers what is no exchange. exchange, if set, answers those in place of Grant.
	serve, exchange http.HandlerFunc

	mu     sync.Mutex // guards what follows
	grants int
	hosts  []string // that were sent a credential
	strays []string // the ones among them that are not allowed
	logs   bytes.Buffer
}

// subject is a provider under test with its upstream.
type subject struct {
	providers.Provider
	*upstream
	account *providers.Account
}

// open makes a subject. serve answers the requests that are no exchanges.
func open(t *testing.T, h Harness, serve http.HandlerFunc) *subject {
	t.Helper()
	u := &upstream{h: h, serve: serve}
	p, a := h.Open(t, Env{
		Transport: u,
		Secret:    secret.New(h.Credential),
		Logger:    slog.New(slog.NewTextHandler(logs{u}, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	t.Cleanup(func() {
		a.Close()
		u.mu.Lock()
		defer u.mu.Unlock()
		if shows(u.logs.String()) {
			t.Errorf("a secret is in the log:\n%s", u.logs.String())
		}
		if len(u.strays) > 0 {
			t.Errorf("a credential went to %s", strings.Join(u.strays, ", "))
		}
	})
	return &subject{p, u, a}
}

// logs writes to the upstream's buffer.
type logs struct{ u *upstream }

func (l logs) Write(p []byte) (int, error) {
	l.u.mu.Lock()
	defer l.u.mu.Unlock()
	return l.u.logs.Write(p)
}

// token is the n-th short-lived credential, counted from 1.
func (u *upstream) token(n int) string {
	if u.h.Exchange == nil {
		return u.h.Credential
	}
	return fmt.Sprintf("short-%s-%d", Marker, n)
}

func (u *upstream) granted() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.grants
}

// RoundTrip implements http.RoundTripper.
func (u *upstream) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	in := r.Clone(r.Context())
	in.Body = http.NoBody
	if r.Body != nil {
		b, err := io.ReadAll(r.Body)
		_ = r.Body.Close()
		if err != nil {
			return nil, err
		}
		in.Body = io.NopCloser(bytes.NewReader(b))
	}
	u.note(r)
	w := httptest.NewRecorder()
	u.answer(w, in)
	if err := context.Cause(r.Context()); err != nil {
		return nil, err
	}
	resp := w.Result()
	resp.Request = r
	return resp, nil
}

// note remembers where credentials go.
func (u *upstream) note(r *http.Request) {
	if !shows(fmt.Sprint(r.Header)) && !shows(r.URL.String()) {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.hosts = append(u.hosts, r.URL.Host)
	if !u.h.Allowed(r.URL.Hostname()) || r.URL.Scheme != "https" {
		u.strays = append(u.strays, r.URL.Scheme+"://"+r.URL.Host)
	}
}

func (u *upstream) answer(w http.ResponseWriter, r *http.Request) {
	switch x := u.h.Exchange; {
	case x == nil || !x.Is(r):
		u.serve(w, r)
	case u.exchange != nil:
		u.exchange(w, r)
	default:
		u.mu.Lock()
		u.grants++
		n := u.grants
		u.mu.Unlock()
		x.Grant(w, u.token(n))
	}
}

// send does what the router does: build, send, check.
func (s *subject) send(ctx context.Context, c *providers.Call) (used string, err error) {
	req, err := s.NewRequest(ctx, s.account, c)
	if err != nil {
		return "", err
	}
	used = s.h.Used(req.Header)
	resp, err := s.RoundTrip(req)
	if err != nil {
		return used, providers.AsError(err)
	}
	defer resp.Body.Close()
	return used, s.Check(resp)
}

func ok(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"id":"x"}`)
}
