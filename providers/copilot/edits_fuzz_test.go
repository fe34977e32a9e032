package copilot_test

import (
	"bytes"
	"encoding/json"
	"io"
	"testing"

	"detour/internal/dialect"
	"detour/providers"
)

// Edits of valid JSON give valid JSON, twice is once, nothing panics, and a request that no edit concerns keeps its
// bytes.
func FuzzEdits(f *testing.F) {
	for _, body := range []string{
		`{}`, ` { "a" : 1 } `, `{"max_tokens":null,"messages":[{"content":[{"type":"image_url","image_url":{"detail":"auto"}}]}]}`,
		`{"store":true,"service_tier":1,"include":[],"reasoning":{},"tools":[{"type":"image_generation"},{"type":"namespace"}]}`,
		`{"cache_control":{"type":"ephemeral","scope":"x"},"system":"s","tools":[{"input_examples":1,"eager_input_streaming":1}],"messages":[{"content":"a"},{"content":[{"type":"text","text":""},{"type":"tool_result","content":[{"type":"text","text":"x"}]}]}]}`,
		`{"input":"x"}`, `{"a":1,"a":2,"speed":1,"speed":2}`, `[`, `{"messages":7,"tools":"x","system":{}}`,
	} {
		f.Add(body)
	}
	w := newWorld(f, worldConfig{token: "tid=x", base: "https://upstream.test"})
	edit := func(t *testing.T, e dialect.Endpoint, body []byte) ([]byte, bool) {
		r, err := w.NewRequest(t.Context(), w.account, &providers.Call{Endpoint: e, Model: providers.Model{ID: "m", MaxOutput: 5}, Body: body})
		if err != nil {
			return nil, false
		}
		out, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		return out, true
	}
	f.Fuzz(func(t *testing.T, body string) {
		for _, e := range []dialect.Endpoint{dialect.EndpointChat, dialect.EndpointResponses, dialect.EndpointMessages, dialect.EndpointEmbeddings} {
			in := []byte(body)
			once, ok := edit(t, e, in)
			if string(in) != body {
				t.Fatalf("%s: the caller's body was changed", e)
			}
			if !ok {
				continue
			}
			if !json.Valid(in) {
				if !bytes.Equal(once, in) {
					t.Errorf("%s: what is no JSON was edited to %s", e, once)
				}
				continue
			}
			if !json.Valid(once) {
				t.Fatalf("%s: %s\nbecame  %s", e, body, once)
			}
			if twice, _ := edit(t, e, once); !bytes.Equal(once, twice) {
				t.Errorf("%s: %s\nonce  %s\ntwice %s", e, body, once, twice)
			}
		}
	})
}
