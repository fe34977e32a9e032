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
