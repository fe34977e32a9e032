package copilot_test

import (
	"fmt"
	"strings"
	"testing"

	"detour/internal/dialect"
	"detour/internal/llm"
	"detour/providers"
)

// BenchmarkNewRequest measures what an attempt costs before its first byte, with a small and with a long conversation.
func BenchmarkNewRequest(b *testing.B) {
	turn := `,{"role":"user","content":[{"type":"text","text":` + quote(strings.Repeat("A line of \"code\".\n", 100)) + `,"cache_control":{"type":"ephemeral"}}]}`
	for _, e := range []dialect.Endpoint{dialect.EndpointChat, dialect.EndpointResponses, dialect.EndpointMessages} {
		for name, turns := range map[string]int{"small": 0, "large": 140} {
			body := []byte(`{"model":"m","max_tokens":5,"store":false,"messages":[{"role":"user","content":"hi"}` + strings.Repeat(turn, turns) + `]}`)
			b.Run(fmt.Sprintf("%s/%s", e, name), func(b *testing.B) {
				w := newWorld(b, worldConfig{token: "tid=x"})
				c := &providers.Call{Endpoint: e, Model: providers.Model{ID: "m", MaxOutput: 5}, Body: body, Initiator: llm.InitiatorUser, Interaction: "conversation"}
				b.SetBytes(int64(len(body)))
				b.ReportAllocs()
				for b.Loop() {
					if _, err := w.NewRequest(b.Context(), w.account, c); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
