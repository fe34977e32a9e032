package copilot_test

import (
	"context"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"detour/internal/dialect"
	"detour/internal/llm"
	"detour/providers"
	"detour/providers/copilot"
)

var uuid = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

func build(t *testing.T, w *world, c *providers.Call) *http.Request {
	t.Helper()
	r, err := w.NewRequest(t.Context(), w.account, c)
	if err != nil {
		t.Fatalf("NewRequest: %v", err)
	}
	return r
}

func TestRequestTargets(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldConfig{})
	for endpoint, want := range map[dialect.Endpoint]string{
		dialect.EndpointChat:        "POST https://api.individual.githubcopilot.com/chat/completions",
		dialect.EndpointResponses:   "POST https://api.individual.githubcopilot.com/responses",
		dialect.EndpointMessages:    "POST https://api.individual.githubcopilot.com/v1/messages",
		dialect.EndpointCountTokens: "POST https://api.individual.githubcopilot.com/v1/messages/count_tokens",
		dialect.EndpointEmbeddings:  "POST https://api.individual.githubcopilot.com/embeddings",
		dialect.EndpointModels:      "GET https://api.individual.githubcopilot.com/models",
	} {
		r := build(t, w, &providers.Call{Endpoint: endpoint, Body: []byte(`{"store":false}`)})
		if got := r.Method + " " + r.URL.String(); got != want {
			t.Errorf("%s: %s, want %s", endpoint, got, want)
		}
		if !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer tid="+marker) {
			t.Errorf("%s: wrong credential", endpoint)
		}
		if r.Method == http.MethodPost && (r.GetBody == nil || r.ContentLength != 15) {
			t.Errorf("%s: body of %d bytes cannot be sent again", endpoint, r.ContentLength)
		}
	}
	_, err := w.NewRequest(t.Context(), w.account, &providers.Call{Endpoint: "audio/speech"})
	if e := asError(t, err); e.Kind != providers.KindInvalid || e.Failure.Status != 404 {
		t.Errorf("unknown endpoint: %v", err)
	}
	other := providers.NewAccount(providers.AccountConfig{ID: "x"}, nil)
	if _, err := w.NewRequest(t.Context(), other, &providers.Call{Endpoint: dialect.EndpointChat}); asError(t, err).Kind != providers.KindInvalid {
		t.Errorf("account of another provider: %v", err)
	}
}

// The whole header set of each kind of request, with what changes from one to the next taken out.
func TestRequestHeaders(t *testing.T) {
	t.Parallel()
	identity := map[string]string{
		"User-Agent": "GitHubCopilotChat/0.52.0", "Editor-Version": "vscode/1.124.2", "Editor-Plugin-Version": "copilot-chat/0.52.0",
		"Copilot-Integration-Id": "vscode-chat", "X-Github-Api-Version": "2026-06-01",
		"Editor-Device-Id": "11111111-2222-4333-8444-555555555555", "Vscode-Machineid": strings.Repeat("ab", 32),
		"X-Vscode-User-Agent-Library-Version": "electron-fetch", "Accept": "application/json",
	}
	agentic := map[string]string{"Openai-Intent": "conversation-agent", "X-Interaction-Type": "conversation-agent", "X-Initiator": "user", "Content-Type": "application/json"}
	for name, tc := range map[string]struct {
		call providers.Call
		want []map[string]string
	}{
		"chat":       {providers.Call{Endpoint: dialect.EndpointChat}, []map[string]string{agentic}},
		"streamed":   {providers.Call{Endpoint: dialect.EndpointChat, Stream: true}, []map[string]string{agentic, {"Accept": "text/event-stream"}}},
		"agent":      {providers.Call{Endpoint: dialect.EndpointResponses, Initiator: llm.InitiatorAgent}, []map[string]string{agentic, {"X-Initiator": "agent"}}},
		"subagent":   {providers.Call{Endpoint: dialect.EndpointMessages, Initiator: llm.InitiatorAgent, Purpose: llm.PurposeSubagent}, []map[string]string{agentic, {"X-Initiator": "agent", "X-Interaction-Type": "conversation-subagent", "Anthropic-Version": "2023-06-01"}}},
		"compaction": {providers.Call{Endpoint: dialect.EndpointResponses, Initiator: llm.InitiatorAgent, Purpose: llm.PurposeCompaction}, []map[string]string{agentic, {"X-Initiator": "agent", "X-Interaction-Type": "conversation-compaction"}}},
		"vision":     {providers.Call{Endpoint: dialect.EndpointChat, Vision: true}, []map[string]string{agentic, {"Copilot-Vision-Request": "true"}}},
		"messages":   {providers.Call{Endpoint: dialect.EndpointMessages}, []map[string]string{agentic, {"Anthropic-Version": "2023-06-01"}}},
		"models":     {providers.Call{Endpoint: dialect.EndpointModels}, []map[string]string{{"Openai-Intent": "model-access", "X-Interaction-Type": "model-access"}}},
		"embeddings": {providers.Call{Endpoint: dialect.EndpointEmbeddings, Initiator: llm.InitiatorUser}, []map[string]string{{"Openai-Intent": "copilot-panel", "X-Interaction-Type": "copilot-panel", "Content-Type": "application/json"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, worldConfig{})
			tc.call.Body = []byte(`{"store":false}`)
			h := build(t, w, &tc.call).Header
			want := maps.Clone(identity)
			for _, m := range tc.want {
				maps.Copy(want, m)
			}
			if id := h.Get("X-Request-Id"); !uuid.MatchString(id) || h.Get("X-Agent-Task-Id") != id {
				t.Errorf("request id %q, task id %q", id, h.Get("X-Agent-Task-Id"))
			}
			if session := h.Get("Vscode-Sessionid"); len(session) != 36+13 || !uuid.MatchString(session[:36]) {
				t.Errorf("session id %q", session)
			}
			_, initiated := want["X-Initiator"]
			if id := h.Get("X-Interaction-Id"); uuid.MatchString(id) != initiated {
				t.Errorf("interaction id %q", id)
			}
			for _, varying := range []string{"X-Request-Id", "X-Agent-Task-Id", "Vscode-Sessionid", "X-Interaction-Id", "Authorization"} {
				h.Del(varying)
			}
			for _, key := range slices.Sorted(maps.Keys(want)) {
				if got := h.Values(key); len(got) != 1 || got[0] != want[key] {
					t.Errorf("%s: %q, want %q", key, got, want[key])
				}
				h.Del(key)
			}
			if len(h) > 0 {
				t.Errorf("further headers: %v", h)
			}
		})
	}
}

func TestIdsChangeAsTheyShould(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldConfig{})
	call := func(interaction string) http.Header {
		return build(t, w, &providers.Call{Endpoint: dialect.EndpointChat, Interaction: interaction}).Header
	}
	a, b := call("conversation"), call("conversation")
	if a.Get("X-Request-Id") == b.Get("X-Request-Id") {
		t.Error("two requests share an id")
	}
	if a.Get("Vscode-Sessionid") != b.Get("Vscode-Sessionid") {
		t.Error("the session changed within the process")
	}
	if a.Get("X-Interaction-Id") != b.Get("X-Interaction-Id") || a.Get("X-Interaction-Id") == call("other").Get("X-Interaction-Id") {
		t.Error("interaction ids do not follow the conversation")
	}
	if one, other := call("").Get("X-Interaction-Id"), call("").Get("X-Interaction-Id"); one == other {
		t.Error("requests of no conversation share an interaction")
	}
	const given = "0F3C4B1A-9A7B-4C11-8D22-1234567890AB"
	if got := call(given).Get("X-Interaction-Id"); got != strings.ToLower(given) {
		t.Errorf("a UUID became %q", got)
	}
	for _, odd := range []string{"user_" + marker + "_account", "\x10\x10345678-9a7b-4c11-8d22-1234567890ab", "line\r\nbreak"} {
		if got := call(odd).Get("X-Interaction-Id"); !uuid.MatchString(got) || strings.Contains(got, marker) {
			t.Errorf("%q became %q", odd, got)
		}
	}
	other := newWorld(t, worldConfig{})
	if a.Get("Vscode-Sessionid") == build(t, other, &providers.Call{Endpoint: dialect.EndpointChat}).Header.Get("Vscode-Sessionid") {
		t.Error("two processes share a session")
	}
}

func TestIdentityIsMadeUpWhenNoneIsGiven(t *testing.T) {
	t.Parallel()
	a, b := copilot.NewIdentity(), copilot.NewIdentity()
	if a == b || !uuid.MatchString(a.DeviceID) || !regexp.MustCompile(`^[0-9a-f]{64}$`).MatchString(a.MachineID) {
		t.Errorf("identities %+v, %+v", a, b)
	}
}

func TestInitiator(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		mode, sent string
		judged     llm.Initiator
		want       string
	}{
		"user by judgement":            {"", "", llm.InitiatorUser, "user"},
		"agent by judgement":           {"auto", "", llm.InitiatorAgent, "agent"},
		"unknown":                      {"", "", "", "user"},
		"client says agent":            {"", "agent", llm.InitiatorUser, "agent"},
		"client says user":             {"", "user", llm.InitiatorAgent, "user"},
		"in capitals":                  {"", " Agent ", llm.InitiatorUser, "agent"},
		"client says nonsense":         {"", "robot", llm.InitiatorAgent, "agent"},
		"client injects":               {"", "agent\r\nX: y", llm.InitiatorUser, "user"},
		"header only, silent":          {"header-only", "", llm.InitiatorAgent, "user"},
		"header only, said":            {"header_only", "agent", llm.InitiatorUser, "agent"},
		"always user":                  {"always-user", "", llm.InitiatorAgent, "user"},
		"always user, but client says": {"always-user", "agent", llm.InitiatorUser, "agent"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, worldConfig{settings: map[string]string{"initiator_mode": tc.mode}})
			for _, e := range []dialect.Endpoint{dialect.EndpointChat, dialect.EndpointResponses, dialect.EndpointMessages} {
				h := http.Header{}
				if tc.sent != "" {
					h["X-Initiator"] = []string{tc.sent}
				}
				r := build(t, w, &providers.Call{Endpoint: e, Initiator: tc.judged, Header: h, Body: []byte(`{}`)})
				if got := r.Header.Values("X-Initiator"); len(got) != 1 || got[0] != tc.want {
					t.Errorf("%s: %q, want %q", e, got, tc.want)
				}
			}
		})
	}
}

func TestBetasAreFiltered(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		sent []string
		long string
		want string
	}{
		"none":          {},
		"known":         {[]string{"interleaved-thinking-2025-05-14, context-management-2025-06-27", "advanced-tool-use-2025-11-20"}, "", "interleaved-thinking-2025-05-14,context-management-2025-06-27,advanced-tool-use-2025-11-20"},
		"unknown":       {[]string{"claude-code-20250219,oauth-2025-04-20,interleaved-thinking-2025-05-14,fine-grained-tool-streaming-2025-05-14"}, "", "interleaved-thinking-2025-05-14"},
		"only unknown":  {[]string{"claude-code-20250219"}, "", ""},
		"long context":  {[]string{"context-1m-2025-08-07"}, "", ""},
		"long, allowed": {[]string{"context-1m-2025-08-07"}, "true", "context-1m-2025-08-07"},
		"endless":       {[]string{"context-management-" + strings.Repeat("x", 1<<16)}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, worldConfig{settings: map[string]string{"long_context": tc.long}})
			h := http.Header{"Anthropic-Beta": tc.sent}
			if got := build(t, w, &providers.Call{Endpoint: dialect.EndpointMessages, Header: h, Body: []byte(`{}`)}).Header.Get("Anthropic-Beta"); got != tc.want {
				t.Errorf("messages: %q, want %q", got, tc.want)
			}
			if got := build(t, w, &providers.Call{Endpoint: dialect.EndpointChat, Header: h, Body: []byte(`{}`)}).Header.Values("Anthropic-Beta"); got != nil {
				t.Errorf("chat: %q, want none", got)
			}
		})
	}
}

func TestHeadersCanBeSetAndLeftOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldConfig{settings: map[string]string{
		"editor_version": "vscode/9.9.9", "editor_plugin_version": "none", "user_agent": "me/1", "copilot_integration_id": "none",
		"openai_intent": "conversation-panel", "api_version": "none", "management_api_version": "2030-01-01",
	}})
	h := build(t, w, &providers.Call{Endpoint: dialect.EndpointChat, Body: []byte(`{}`)}).Header
	for name, want := range map[string]string{
		"Editor-Version": "vscode/9.9.9", "Editor-Plugin-Version": "", "User-Agent": "me/1", "Copilot-Integration-Id": "",
		"Openai-Intent": "conversation-panel", "X-Interaction-Type": "conversation-panel", "X-Github-Api-Version": "",
	} {
		if got := h.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if got := w.github.requests()[0].Header.Get("X-Github-Api-Version"); got != "2030-01-01" {
		t.Errorf("management version %q", got)
	}
}

func TestHeadersShowTheIdentityAndNoCredential(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldConfig{})
	h, err := w.Headers(w.account, dialect.EndpointChat)
	if err != nil {
		t.Fatal(err)
	}
	if h.Get("Authorization") != "Bearer ***" || h.Get("Editor-Device-Id") == "" || h.Get("X-Initiator") != "user" {
		t.Errorf("headers %v", h)
	}
	if n := len(w.github.requests()); n != 0 {
		t.Errorf("%d requests were made", n)
	}
	h.Set("User-Agent", "changed")
	if again, _ := w.Headers(w.account, dialect.EndpointChat); again.Get("User-Agent") == "changed" {
		t.Error("the shown headers are the ones that are sent")
	}
}

func TestNewRequestEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, worldConfig{serve: func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := w.NewRequest(ctx, w.account, &providers.Call{Endpoint: dialect.EndpointChat})
		if e := asError(t, err); e.Kind != providers.KindCanceled {
			t.Errorf("kind %v, want canceled", e.Kind)
		}
		w.account.Close()
	})
}

// edited returns the body that goes upstream for c.
