package app_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"detour/internal/sim"
)

// turn posts a Responses request to the API door and returns the output items of the answer, streamed or plain.
func (w *world) turn(session string, stream bool, input []json.RawMessage) (int, []json.RawMessage, string) {
	w.t.Helper()
	in, _ := json.Marshal(input)
	body := fmt.Sprintf(`{"model":"gpt-5.4","stream":%t,"store":false,"include":["reasoning.encrypted_content"],"reasoning":{"effort":"low","summary":"auto"},"input":%s}`, stream, in)
	req, _ := http.NewRequestWithContext(w.t.Context(), http.MethodPost, "http://"+w.app.APIAddr()+"/v1/responses", strings.NewReader(body))
	req.Header.Set("Session_id", session)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	var whole struct{ Output []json.RawMessage }
	if !stream {
		_ = json.Unmarshal(b, &whole)
		return resp.StatusCode, whole.Output, string(b)
	}
	for line := range bytes.Lines(b) { // as Codex does: the items that were announced as done
		data, ok := bytes.CutPrefix(line, []byte("data: "))
		var e struct {
			Type string
			Item json.RawMessage
		}
		if ok && json.Unmarshal(data, &e) == nil && e.Type == "response.output_item.done" {
			whole.Output = append(whole.Output, e.Item)
		}
	}
	return resp.StatusCode, whole.Output, string(b)
}

func user(text string) json.RawMessage {
	return json.RawMessage(fmt.Sprintf(`{"type":"message","role":"user","content":[{"type":"input_text","text":%q}]}`, text))
}

// withoutIDs drops the items' ids, as Codex does when it sends them back.
func withoutIDs(items []json.RawMessage) []json.RawMessage {
	var out []json.RawMessage
	for _, i := range items {
		var m map[string]json.RawMessage
		_ = json.Unmarshal(i, &m)
		delete(m, "id")
		b, _ := json.Marshal(m)
		out = append(out, b)
	}
	return out
}

func TestReasoningSurvivesItsReplay(t *testing.T) {
	t.Parallel()
	for _, stream := range []bool{true, false} {
		for _, ids := range []bool{true, false} {
			t.Run(fmt.Sprintf("stream=%t ids=%t", stream, ids), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, nil, nil, "alice", "ivan")
				status, items, raw := w.turn("s", stream, []json.RawMessage{user("one [[sim:reasoning=thinking]]")})
				if status != 200 || !strings.Contains(raw, "encrypted_content") {
					t.Fatalf("first turn: %d %s", status, raw)
				}
				if !ids {
					items = withoutIDs(items)
				}
				next := append(append([]json.RawMessage{user("one")}, items...), user("two"))
				if status, _, raw = w.turn("s", stream, next); status != 200 {
					t.Errorf("second turn: %d %s", status, raw)
				}
				last := w.sim.Requests(func(r sim.Request) bool { return r.Op == sim.OpResponses })
				if b := string(last[len(last)-1].Body); strings.Contains(b, "dtr1.") || !strings.Contains(b, "encrypted_content") {
					t.Errorf("upstream got %s", b)
				}
			})
		}
	}
}

func TestInvariant7_EncryptedReasoningOnlyReturnsToItsAccount(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil, nil, "alice", "ivan")
	_, items, _ := w.turn("first", true, []json.RawMessage{user("one [[sim:reasoning=thinking]]")})
	made := w.sim.Requests(func(r sim.Request) bool { return r.Op == sim.OpResponses })[0].Account
	history := append(append([]json.RawMessage{user("one")}, withoutIDs(items)...), user("two"))
	for i := range 4 { // other sessions: only the reasoning itself tells where it belongs
		if status, _, raw := w.turn(fmt.Sprint("other-", i), true, history); status != 200 {
			t.Fatalf("turn %d: %d %s", i, status, raw)
		}
	}
	for _, r := range w.sim.Requests(func(r sim.Request) bool { return r.Op == sim.OpResponses }) {
		if r.Account != made {
			t.Errorf("reasoning of %s went to %s", made, r.Account)
		}
	}
	w.sim.Account(made).Revoke()
	if status, _, raw := w.turn("last", true, history); status != 200 {
		t.Fatalf("with its account gone: %d %s", status, raw)
	}
	all := w.sim.Requests(func(r sim.Request) bool { return r.Op == sim.OpResponses && r.Status == 200 })
	if r := all[len(all)-1]; r.Account == made || bytes.Contains(r.Body, []byte("encrypted_content\":\"")) {
		t.Errorf("served by %s with body %s", r.Account, r.Body)
	}
}
