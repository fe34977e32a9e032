package router_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// White space without end is cut where it costs: at the upstream. No account is to blame for it, and none is asked to do
// it again.
func TestEndlessWhiteSpaceIsCutAtTheUpstream(t *testing.T) {
	t.Parallel()
	const (
		call   = `data: {"type":"response.created","response":{"id":"r"}}` + "\n\n" + `data: {"type":"response.output_item.added","output_index":0,"item":{"type":"function_call","id":"f","call_id":"c","name":"shell","arguments":""}}` + "\n\n"
		blanks = `data: {"type":"response.function_call_arguments.delta","output_index":0,"item_id":"f","delta":"\n\n\n\n\n\n"}` + "\n\n"
		chat   = `data: {"id":"c1","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"c","type":"function","function":{"name":"shell","arguments":"\n\n\n\n\n\n"}}]}}]}` + "\n\n"
	)
	for model, parts := range map[string][2]string{"native": {call, blanks}, "chat-only": {chat, chat}} {
		for _, wants := range []bool{true, false} {
			if model == "native" && !wants {
				continue // such an answer comes whole
			}
			cut := make(chan struct{}, 8)
			w := newWorld(t, false, func(rw http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				stream(rw, parts[0])
				for range 5000 { // without a cut it ends nevertheless
					if r.Context().Err() != nil {
						cut <- struct{}{}
						return
					}
					stream(rw, parts[1])
					time.Sleep(time.Millisecond)
				}
			}, compactors, withAccounts("a", "b"))
			resp := w.post("/v1/responses", responsesBody(model, wants, turns))
			got := text(t, resp)
			select {
			case <-cut:
			case <-time.After(10 * time.Second):
				t.Fatalf("%s: the upstream goes on", model)
			}
			if !strings.Contains(got, "degenerate_output") || strings.Contains(got, "completed") {
				t.Errorf("%s stream=%t: %d %s", model, wants, resp.StatusCode, got)
			}
			if len(cut) != 0 {
				t.Errorf("%s stream=%t: asked again", model, wants)
			}
			for _, a := range w.router.Accounts() {
				if a.State != "ok" {
					t.Errorf("%s stream=%t: account %s is %s", model, wants, a.ID, a.State)
				}
			}
		}
	}
}
