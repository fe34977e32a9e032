package router_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"detour/providers"
	"detour/router"
)

// Every answer of detour's own says what decided on it, and who was asked if anybody was.
func TestAnswersSayWhatHappened(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false, func(rw http.ResponseWriter, r *http.Request) { rw.WriteHeader(http.StatusBadRequest) }, withAccounts("a"))
	for name, tc := range map[string]struct {
		method, path, body string
		want               string // route, model, account, attempts
	}{
		"a refusal of the upstream": {"POST", "/v1/chat/completions", hello, "route; door|gpt-x|a|1"},
		"a model that nobody has":   {"POST", "/v1/chat/completions", strings.Replace(hello, "gpt-x", "nope", 1), "route; door|||0"},
		"a list of models":          {"GET", "/v1/models", "", "route; door|||"},
		"no such path":              {"GET", "/v1/nothing", "", "route; door|||0"},
	} {
		resp := w.do(w.door, tc.method, tc.path, tc.body)
		var got []string
		for _, header := range []string{"Route", "Model", "Account", "Attempts"} {
			got = append(got, resp.Header.Get("X-Detour-"+header))
		}
		if strings.Join(got, "|") != tc.want {
			t.Errorf("%s: %v, want %s", name, got, tc.want)
		}
	}
	conn, resp, err := websocket.Dial(t.Context(), w.door.URL+"/v1/responses", &websocket.DialOptions{HTTPClient: w.door.Client()})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	if got := resp.Header.Get("X-Detour-Route"); got != "route; door" || resp.Header.Get("X-Detour-Attempts") != "" {
		t.Errorf("handshake: %v", resp.Header)
	}
}

// Nobody is told of models that they may not use.
func TestNearNamesKeepToWhatTheClientMayUse(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false, upstreamOf)
	ask := func(c router.Client, method, path string) string {
		t.Helper()
		req := httptest.NewRequest(method, path, strings.NewReader(strings.Replace(hello, "gpt-x", "claude-sonnet-4.7", 1)))
		rec := httptest.NewRecorder()
		w.router.ServeHTTP(rec, req.WithContext(router.WithClient(t.Context(), c)))
		if rec.Code != http.StatusNotFound {
			t.Errorf("%s %s: status %d", method, path, rec.Code)
		}
		return rec.Body.String()
	}
	for _, path := range []string{"POST /v1/chat/completions", "GET /v1/models/claude-sonnet-4.7"} {
		method, path, _ := strings.Cut(path, " ")
		if got := ask(router.Client{Name: "all"}, method, path); !strings.Contains(got, "claude-sonnet-4.5, claude-sonnet-4.6") {
			t.Errorf("%s: %s", path, got)
		}
		if got := ask(router.Client{Name: "one", Models: []string{"*-4.6"}}, method, path); strings.Contains(got, "4.5") || !strings.Contains(got, "claude-sonnet-4.6") {
			t.Errorf("%s with a limited key: %s", path, got)
		}
	}
}

func TestAListThatNobodyToldSaysWhy(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false, upstreamOf, withAccounts("a"), func(_ *router.Config, f *fake) {
		f.models = nil
		f.dead = map[string]error{"a": &providers.Error{Kind: providers.KindLogin, Hint: "sign in again"}}
	})
	_ = text(t, w.post("/v1/chat/completions", hello))
	if got := text(t, w.do(w.door, "GET", "/v1/models", "")); !strings.Contains(got, "a: sign in again") {
		t.Error(got)
	}
}
