package router_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"detour/providers"
	"detour/router"
)

// learning is a fake provider whose upstream names the members that it does not take, one at a time.
type learning struct {
	*fake
	raw *atomic.Pointer[string] // the first model's entry in the catalogue, once that has changed
}

func (l learning) Models(ctx context.Context, a *providers.Account) ([]providers.Model, error) {
	models, err := l.fake.Models(ctx, a)
	models = slices.Clone(models)
	if raw := l.raw.Load(); raw != nil {
		models[0].Raw = []byte(*raw)
	}
	return models, err
}

func (learning) Learn(c *providers.Call, e *providers.Error) []string {
	name, found := strings.CutPrefix(e.Failure.Message, "refused: ")
	if !found || slices.Contains(c.Lessons, name) || !strings.Contains(string(c.Body), `"`+name+`":1,`) {
		return nil
	}
	return []string{name}
}

func (l learning) NewRequest(ctx context.Context, a *providers.Account, c *providers.Call) (*http.Request, error) {
	call := *c
	for _, name := range c.Lessons {
		call.Body = []byte(strings.Replace(string(call.Body), `"`+name+`":1,`, "", 1))
	}
	return l.fake.NewRequest(ctx, a, &call)
}

func (l learning) Check(resp *http.Response) error {
	err := l.fake.Check(resp)
	if err == nil {
		return nil
	}
	e := providers.AsError(err)
	if e.Failure.Code == "unsupported_api_for_model" {
		e.Kind, e.WithTools = providers.KindEndpoint, strings.Contains(e.Failure.Message, "tools")
	}
	return e
}

// picky is an upstream that refuses the members in odd, one at a time, and counts.
type picky struct {
	odd   atomic.Pointer[[]string]
	calls atomic.Int32
}

func newPicky(odd ...string) *picky {
	p := &picky{}
	p.odd.Store(&odd)
	return p
}

func (p *picky) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	p.calls.Add(1)
	b, _ := io.ReadAll(r.Body)
	for _, name := range *p.odd.Load() {
		if strings.Contains(string(b), `"`+name+`"`) {
			plain(rw, 400, `{"error":{"message":"refused: `+name+`"}}`)
			return
		}
	}
	plain(rw, 200, answer)
}

func learns(c *router.Config, f *fake) {
	c.Providers = providers.NewRegistry(learning{f, &atomic.Pointer[string]{}})
}

// with returns a request with members for an upstream to refuse.
func with(model string, names ...string) string {
	var members strings.Builder
	for _, n := range names {
		fmt.Fprintf(&members, "%q:1,", n)
	}
	return `{` + members.String() + `"model":"` + model + `","messages":[{"role":"user","content":"hi"}]}`
}

func (w *world) ask(t *testing.T, up *picky, body string, status, calls int) {
	t.Helper()
	before := up.calls.Load()
	resp := w.post("/v1/chat/completions", body)
	if got := int(up.calls.Load() - before); resp.StatusCode != status || got != calls {
		t.Errorf("%s: status %d after %d requests, want %d after %d", body, resp.StatusCode, got, status, calls)
	}
}

func TestWhatARefusalTaughtIsRightTheFirstTimeFromThenOn(t *testing.T) {
	t.Parallel()
	up := newPicky("odd")
	w := newWorld(t, false, up.ServeHTTP, learns)
	w.ask(t, up, with("gpt-x", "odd"), 200, 2)
	w.ask(t, up, with("gpt-x", "odd"), 200, 1)
	w.ask(t, up, with("gpt-x"), 200, 1)
	w.ask(t, up, with("chat-only", "odd"), 200, 2) // of another model nothing is known
	w.ask(t, up, with("chat-only", "odd"), 200, 1)
	if s := w.router.Accounts()[0]; s.State != "ok" {
		t.Errorf("the account is %s", s.State)
	}
}

func TestSeveralComplaintsAreMendedInOneExchangeUpToABound(t *testing.T) {
	t.Parallel()
	up := newPicky("a", "b", "c", "d", "e", "f")
	w := newWorld(t, false, up.ServeHTTP, learns)
	w.ask(t, up, with("gpt-x", "a", "b", "c", "d"), 200, 5)
	w.ask(t, up, with("gpt-x", "d", "c", "b", "a"), 200, 1)
	w.ask(t, up, with("chat-only", "a", "b", "c", "d", "e", "f"), 400, 5)
	w.ask(t, up, with("chat-only", "a"), 200, 2) // what did not help was not learned
}

func TestNoRequestIsSentInVain(t *testing.T) {
	t.Parallel()
	up := newPicky()
	w := newWorld(t, false, func(rw http.ResponseWriter, r *http.Request) {
		up.calls.Add(1)
		plain(rw, 400, `{"error":{"message":"refused: odd"}}`) // whatever is left out
	}, learns)
	w.ask(t, up, with("gpt-x"), 400, 1)
	w.ask(t, up, with("gpt-x", "odd"), 400, 2)
	w.ask(t, up, with("gpt-x", "odd"), 400, 2)
}

func TestLessonsAreForgotten(t *testing.T) {
	t.Parallel()
	var clock atomic.Int64
	start := time.Now()
	now := func() time.Time { return start.Add(time.Duration(clock.Load())) }
	up := newPicky("odd")
	w := newWorld(t, false, up.ServeHTTP, learns, func(c *router.Config, _ *fake) { c.Now = now })
	w.ask(t, up, with("gpt-x", "odd"), 200, 2)
	clock.Store(int64(59 * time.Minute))
	w.ask(t, up, with("gpt-x", "odd"), 200, 1)
	clock.Store(int64(61 * time.Minute)) // an upstream that has begun to accept something is noticed
	up.odd.Store(&[]string{})
	w.ask(t, up, with("gpt-x", "odd"), 200, 1)
	up.odd.Store(&[]string{"odd"})
	w.ask(t, up, with("gpt-x", "odd"), 200, 2)
	clock.Store(int64(time.Minute)) // and a clock that was set back must not keep a lesson for ever
	w.ask(t, up, with("gpt-x", "odd"), 200, 2)
}

func TestAReloadForgetsLessons(t *testing.T) {
	t.Parallel()
	up := newPicky("odd")
	var cfg router.Config
	w := newWorld(t, false, up.ServeHTTP, learns, func(c *router.Config, _ *fake) { cfg = *c })
	w.ask(t, up, with("gpt-x", "odd"), 200, 2)
	w.ask(t, up, with("gpt-x", "odd"), 200, 1)
	if err := w.router.Reload(cfg); err != nil {
		t.Fatal(err)
	}
	w.ask(t, up, with("gpt-x", "odd"), 200, 2)
}

func TestAnEntryThatChangesInTheCatalogueForgetsLessons(t *testing.T) {
	t.Parallel()
	var clock atomic.Int64
	start := time.Now()
	up := newPicky("odd")
	var entry atomic.Pointer[string]
	w := newWorld(t, false, up.ServeHTTP, func(c *router.Config, f *fake) {
		c.Providers = providers.NewRegistry(learning{f, &entry})
		c.Now = func() time.Time { return start.Add(time.Duration(clock.Load())) }
	})
	w.ask(t, up, with("gpt-x", "odd"), 200, 2)
	changed := `{"id":"gpt-x","object":"model","new":true}`
	entry.Store(&changed)
	clock.Store(int64(11 * time.Minute))
	w.router.Warm(t.Context()) // begins to fetch; the picture that is there still serves
	deadline := time.Now().Add(10 * time.Second)
	for !strings.Contains(text(t, w.do(w.door, http.MethodGet, "/v1/models", "")), `"new":true`) {
		if time.Now().After(deadline) {
			t.Fatal("the catalogue was not fetched")
		}
		time.Sleep(time.Millisecond)
	}
	w.ask(t, up, with("gpt-x", "odd"), 200, 2)
}

func TestLessonsOfManyExchangesAtOnce(t *testing.T) {
	t.Parallel()
	up := newPicky("a", "b", "c")
	w := newWorld(t, false, up.ServeHTTP, learns)
	var wg sync.WaitGroup
	for i := range 24 {
		wg.Go(func() {
			resp := w.post("/v1/chat/completions", with([]string{"gpt-x", "chat-only"}[i%2], []string{"a", "b", "c"}[i%3]))
			if resp.StatusCode != 200 {
				t.Errorf("status %d", resp.StatusCode)
			}
		})
	}
	wg.Wait()
	w.ask(t, up, with("gpt-x", "a", "b", "c"), 200, 1)
}

func TestAModelThatIsNotServedInADialectIsAskedInAnother(t *testing.T) {
	t.Parallel()
	const refusal = `{"error":{"message":"model \"gpt-x\" is not accessible via the endpoint","code":"unsupported_api_for_model"}}`
	const tools = `"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{}}}}],`
	for name, tc := range map[string]struct {
		message        string
		refuses        func(path string) bool
		body           string
		first, second  []string
		other, refused string // body of a request that the lesson is not about, and where that goes
		status         int
	}{
		"for good":       {refusal, func(p string) bool { return p == "/chat/completions" }, helloStream, []string{"/chat/completions", "/responses"}, []string{"/responses"}, hello, "/responses", 200},
		"in two of them": {refusal, func(p string) bool { return p != "/messages" }, helloStream, []string{"/chat/completions", "/responses", "/messages"}, []string{"/messages"}, hello, "/messages", 200},
		"in any of them": {refusal, func(string) bool { return true }, helloStream, []string{"/chat/completions", "/responses", "/messages"}, []string{"/chat/completions"}, "", "", 400},
		"only not with tools": {strings.Replace(refusal, "endpoint", "endpoint with tools", 1), func(p string) bool { return p == "/chat/completions" }, strings.Replace(helloStream, `"messages"`, tools+`"messages"`, 1),
			[]string{"/chat/completions", "/responses"}, []string{"/responses"}, hello, "/chat/completions", 200},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			var paths []string
			w := newWorld(t, false, func(rw http.ResponseWriter, r *http.Request) {
				mu.Lock()
				paths = append(paths, r.URL.Path)
				mu.Unlock()
				b, _ := io.ReadAll(r.Body)
				switch {
				case tc.refuses(r.URL.Path) && (!strings.Contains(tc.message, "tools") || strings.Contains(string(b), `"tools"`)):
					plain(rw, 400, tc.message)
				case r.URL.Path == "/responses":
					stream(rw, responsesHey)
				case r.URL.Path == "/messages":
					stream(rw, messagesHey)
				default:
					plain(rw, 200, answer)
				}
			}, learns)
			ask := func(body string, want []string) {
				t.Helper()
				mu.Lock()
				paths = nil
				mu.Unlock()
				resp := w.post("/v1/chat/completions", body)
				got := text(t, resp)
				mu.Lock()
				defer mu.Unlock()
				if resp.StatusCode != tc.status || tc.status == 200 && !strings.Contains(got, "hey") || !slices.Equal(paths, want) {
					t.Errorf("status %d by way of %v, want %d by way of %v\n%s", resp.StatusCode, paths, tc.status, want, got)
				}
				if tc.status != 200 && !strings.Contains(got, "unsupported_api_for_model") {
					t.Errorf("the client was told %s", got)
				}
			}
			ask(tc.body, tc.first)
			ask(tc.body, tc.second)
			if tc.other != "" {
				ask(tc.other, []string{tc.refused})
			}
			if s := w.router.Accounts()[0]; s.State != "ok" {
				t.Errorf("the account is %s", s.State)
			}
		})
	}
}

const (
	responsesHey = "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"id\":\"resp_1\",\"object\":\"response\",\"status\":\"in_progress\",\"output\":[]}}\n\n" +
		"event: response.output_item.added\ndata: {\"type\":\"response.output_item.added\",\"output_index\":0,\"item\":{\"type\":\"message\",\"id\":\"msg_1\",\"role\":\"assistant\",\"content\":[]}}\n\n" +
		"event: response.content_part.added\ndata: {\"type\":\"response.content_part.added\",\"output_index\":0,\"content_index\":0,\"part\":{\"type\":\"output_text\",\"text\":\"\",\"annotations\":[]}}\n\n" +
		"event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"output_index\":0,\"content_index\":0,\"delta\":\"hey\"}\n\n" +
		"event: response.output_item.done\ndata: {\"type\":\"response.output_item.done\",\"output_index\":0,\"item\":{\"type\":\"message\",\"id\":\"msg_1\",\"role\":\"assistant\",\"status\":\"completed\",\"content\":[{\"type\":\"output_text\",\"text\":\"hey\",\"annotations\":[]}]}}\n\n" +
		"event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"id\":\"resp_1\",\"object\":\"response\",\"status\":\"completed\",\"output\":[],\"usage\":{\"input_tokens\":3,\"output_tokens\":1,\"total_tokens\":4}}}\n\n"
	messagesHey = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"content\":[],\"usage\":{\"input_tokens\":3,\"output_tokens\":1}}}\n\n" +
		"event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n" +
		"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"hey\"}}\n\n" +
		"event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n" +
		"event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":1}}\n\n" +
		"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"
)
