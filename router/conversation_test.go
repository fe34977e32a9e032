package router_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"

	"detour/router"
)

func TestAgentsThatWorkForAgentsBeginNoTurnOfAPerson(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var got string
	w := newWorld(t, false, func(rw http.ResponseWriter, r *http.Request) {
		mu.Lock()
		got = r.Header.Get("X-Initiator")
		mu.Unlock()
		plain(rw, 200, answer)
	})
	for _, tc := range []struct{ name, value, want string }{
		{"X-Claude-Code-Session-Id", "s", "user"},
		{"X-Claude-Code-Agent-Id", "a1", "agent"},
		{"X-Claude-Code-Parent-Agent-Id", "a0", "agent"},
		{"X-Openai-Subagent", "review", "agent"},
	} {
		w.post("/v1/chat/completions", hello, tc.name, tc.value)
		mu.Lock()
		if got != tc.want {
			t.Errorf("%s: asked as %s, want %s", tc.name, got, tc.want)
		}
		mu.Unlock()
	}
}

func TestALargerWindowMayBeAModelOfItsOwn(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var got string
	w := newWorld(t, false, func(rw http.ResponseWriter, r *http.Request) {
		var b struct{ Model string }
		_ = json.NewDecoder(r.Body).Decode(&b)
		mu.Lock()
		got = b.Model
		mu.Unlock()
		plain(rw, 200, answer)
	}, func(c *router.Config, f *fake) {
		f.models = append(f.models, chatModel("claude-sonnet-4.5-1m"))
		c.Models.Alias = map[string]string{"big": "claude-sonnet-4.5"}
	})
	for name, want := range map[string]string{
		"claude-sonnet-4-5-20250929[1m]": "claude-sonnet-4.5-1m", "big[1m]": "claude-sonnet-4.5-1m", "claude-sonnet-4.6[1m]": "claude-sonnet-4.6",
		"claude-sonnet-4-5": "claude-sonnet-4.5", "big": "claude-sonnet-4.5",
	} {
		w.post("/v1/chat/completions", strings.Replace(hello, "gpt-x", name, 1))
		mu.Lock()
		if got != want {
			t.Errorf("%s: upstream got %s, want %s", name, got, want)
		}
		mu.Unlock()
	}
}
