package router_test

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"detour/providers"
	"detour/router"
)

// mending is a fake provider that knows to take out "odd".
type mending struct{ *fake }

func (mending) Mend(c *providers.Call, e *providers.Error) ([]byte, bool) {
	if !strings.Contains(e.Failure.Message, "odd") {
		return nil, false
	}
	return bytes.Replace(c.Body, []byte(`"odd":1,`), nil, 1), true
}

func TestARefusedPartIsTakenOutOnce(t *testing.T) {
	t.Parallel()
	for name, forever := range map[string]bool{"and then it is fine": false, "and not again": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var calls atomic.Int32
			w := newWorld(t, false, func(rw http.ResponseWriter, r *http.Request) {
				calls.Add(1)
				b, _ := io.ReadAll(r.Body)
				if forever || bytes.Contains(b, []byte("odd")) {
					plain(rw, 400, `{"error":{"message":"odd is not permitted"}}`)
					return
				}
				plain(rw, 200, answer)
			}, func(c *router.Config, f *fake) { c.Providers = providers.NewRegistry(mending{f}) })
			resp := w.post("/v1/chat/completions", strings.Replace(hello, `{"model"`, `{"odd":1,"model"`, 1))
			want := map[bool]int{false: 200, true: 400}[forever]
			if resp.StatusCode != want || calls.Load() != 2 {
				t.Errorf("status %d after %d calls, want %d after 2", resp.StatusCode, calls.Load(), want)
			}
			if s := w.router.Accounts()[0]; s.State != "ok" {
				t.Errorf("account is %s", s.State)
			}
		})
	}
}

func TestAWholeAnswerToAStreamRequestBecomesAStream(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false, func(rw http.ResponseWriter, _ *http.Request) { plain(rw, 200, answer) })
	resp := w.post("/v1/chat/completions", helloStream)
	got := text(t, resp)
	if resp.Header.Get("Content-Type") != "text/event-stream" || !strings.Contains(got, "hey") || !strings.Contains(got, `"finish_reason":"stop"`) || !strings.HasSuffix(got, "data: [DONE]\n\n") {
		t.Errorf("got %s %q", resp.Header.Get("Content-Type"), got)
	}
}
