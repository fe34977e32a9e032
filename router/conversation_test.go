package router_test

import (
	"net/http"
	"sync"
	"testing"
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
