package router_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"detour/internal/dialect"
	"detour/providers"
	"detour/router"
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

// targeting is a provider that tells what its models take.
type targeting struct {
	*fake
	target dialect.Target
}

func (p targeting) Target(m providers.Model) dialect.Target {
	t := p.target
	t.Model = m.ID
	return t
}

func withTarget(t dialect.Target) option {
	return func(c *router.Config, f *fake) { c.Providers = providers.NewRegistry(targeting{f, t}) }
}

const freeText = `,"tools":[{"type":"custom","name":"apply_patch"}]}`

func TestFreeTextToolsGoUpAsTheModelTakesThem(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		option
		wrapped bool
	}{
		"taken":            {withTarget(dialect.Target{CustomTools: true}), false},
		"refused":          {withTarget(dialect.Target{}), true},
		"nobody says":      {func(*router.Config, *fake) {}, false},
		"without any tool": {withTarget(dialect.Target{}), false},
	} {
		u := &scripted{next: []http.HandlerFunc{responseOf(item("compaction", "raw", "gAAAA"))}}
		w := newWorld(t, false, u.ServeHTTP, compactors, tc.option)
		body := strings.TrimSuffix(responsesBody("native", false, turns), "}") + freeText
		if name == "without any tool" {
			body = responsesBody("native", false, turns)
		}
		w.post("/v1/responses", body)
		if got := u.requests()[0].body; strings.Contains(got, `"type":"function"`) != tc.wrapped || !tc.wrapped && got != body {
			t.Errorf("%s: the model got %s", name, got)
		}
	}
}

// A compaction that only its account can read is an error on another one, on whichever way the request goes up.
func TestACompactionOfAnotherAccountIsAnErrorInTranslationToo(t *testing.T) {
	t.Parallel()
	u := &scripted{next: []http.HandlerFunc{responseOf(item("compaction", "raw", "gAAAA"))}}
	mine := newWorld(t, false, u.ServeHTTP, compactors, withTarget(dialect.Target{}))
	other := newWorld(t, false, u.ServeHTTP, compactors, withTarget(dialect.Target{}), withAccounts("other"))
	native := capsule(t, text(t, mine.post("/v1/responses/compact", responsesBody("native", false, turns))))
	body := strings.TrimSuffix(responsesBody("native", false, item("compaction", "cmp_1", native)+","+turns), "}") + freeText
	for name, tc := range map[string]struct {
		w      *world
		status int
		has    string
	}{"its account": {mine, 200, `"id":"raw"`}, "another": {other, 400, "foreign_compaction"}} {
		resp := tc.w.post("/v1/responses", body)
		got := text(t, resp)
		if all := u.requests(); tc.status == 200 {
			got += all[len(all)-1].body
		}
		if resp.StatusCode != tc.status || !strings.Contains(got, tc.has) {
			t.Errorf("%s: %d %s", name, resp.StatusCode, got)
		}
	}
}
