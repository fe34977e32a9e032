package router

import (
	"hash/fnv"
	"net/http"

	"detour/internal/dialect"
)

// conversationHeaders name a conversation in so many words, the most specific first.
var conversationHeaders = [...]string{
	"X-Interaction-Id", "Session_id", "Thread_id", "X-Claude-Code-Session-Id", "X-Client-Session-Id", "X-Session-Id", "Vscode-Sessionid",
}

// isSubagent reports whether a client says that an agent makes the request for another agent. No person's turn begins
// there: that was the request of the other one.
func isSubagent(h http.Header) bool {
	for _, name := range [...]string{"X-Claude-Code-Agent-Id", "X-Claude-Code-Parent-Agent-Id", "X-Openai-Subagent"} {
		if h.Get(name) != "" {
			return true
		}
	}
	return false
}

// conversation returns the affinity key of a request, and the id that the client itself gave, if any. The same
// conversation has the same key on each turn; different ones may share a key only by hash collision, which costs
// nothing but balance.
func conversation(h http.Header, p dialect.Peek) (key uint64, id string) {
	for _, name := range conversationHeaders {
		if id = h.Get(name); id != "" {
			return hash(id), id
		}
	}
	if p.Session != "" {
		return hash(p.Session), p.Session
	}
	return p.Opening, ""
}

func hash(s string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(s))
	return h.Sum64()
}
