package router_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"detour/internal/dialect"
	"detour/internal/dialect/compaction"
	"detour/providers"
	"detour/router"
)

// scripted answers each request with the next of some handlers, the last one for ever, and keeps what it was asked.
type scripted struct {
	mu    sync.Mutex
	asked []asked
	next  []http.HandlerFunc
}

type asked struct{ path, account, body, initiator string }

func (u *scripted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b, _ := io.ReadAll(r.Body)
	u.mu.Lock()
	u.asked = append(u.asked, asked{r.URL.Path, r.Header.Get("X-Account"), string(b), r.Header.Get("X-Initiator")})
	h := u.next[0]
	if len(u.next) > 1 {
		u.next = u.next[1:]
	}
	u.mu.Unlock()
	h(w, r)
}

func (u *scripted) requests() []asked {
	u.mu.Lock()
	defer u.mu.Unlock()
	return append([]asked(nil), u.asked...)
}

// compactors are the models of compaction tests, one of each dialect.
func compactors(_ *router.Config, f *fake) {
	f.models = []providers.Model{
		{ID: "native", Picker: true, Endpoints: []dialect.Endpoint{dialect.EndpointResponses}},
		{ID: "chat-only", Picker: true, Endpoints: []dialect.Endpoint{dialect.EndpointChat}},
		{ID: "messages-only", Picker: true, Endpoints: []dialect.Endpoint{dialect.EndpointMessages}},
	}
}

const (
	turns     = `{"type":"message","role":"user","content":[{"type":"input_text","text":"the goal"}]},{"type":"message","role":"assistant","content":[{"type":"output_text","text":"on it"}]}`
	triggered = turns + `,{"type":"compaction_trigger"}`
)

func responsesBody(model string, stream bool, items string) string {
	return fmt.Sprintf(`{"model":%q,"stream":%t,"input":[%s]}`, model, stream, items)
}

// response is a whole answer of a Responses model.
func responseOf(items string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		plain(w, 200, `{"id":"resp_1","object":"response","status":"completed","model":"native","output":[`+items+`],"usage":{"input_tokens":9,"output_tokens":1,"total_tokens":10}}`)
	}
}

func item(typ, id, blob string) string {
	return fmt.Sprintf(`{"type":%q,"id":%q,"encrypted_content":%q}`, typ, id, blob)
}

// saying is the stream of a Chat model.
func saying(parts ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		var all []string
		for _, p := range parts {
			all = append(all, chunk(p))
		}
		stream(w, append(all, finish)...)
	}
}

func refusing(status int, code, message string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		plain(w, status, fmt.Sprintf(`{"error":{"code":%q,"message":%q}}`, code, message))
	}
}

// capsule returns the encrypted content of the one compaction of an answer.
func capsule(t *testing.T, body string) string {
	t.Helper()
	for line := range strings.Lines(body) {
		if data, ok := strings.CutPrefix(line, "data: "); ok && strings.Contains(data, "response.completed") {
			body = data
		}
	}
	var a struct {
		Output   []struct{ Type, Encrypted_Content string }
		Response struct {
			Output []struct{ Type, Encrypted_Content string }
		}
	}
	if err := json.Unmarshal([]byte(body), &a); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	var found []string
	for _, i := range append(a.Output, a.Response.Output...) {
		if i.Type == "compaction" {
			found = append(found, i.Encrypted_Content)
		}
	}
	if len(found) != 1 || found[0] == "" {
		t.Fatalf("%d compactions in %s", len(found), body)
	}
	return found[0]
}

// ways are the ways to ask for a compaction: path, and whether the answer is streamed.
var ways = []struct {
	name, path, items string
	stream            bool
}{{"endpoint", "/v1/responses/compact", turns, false}, {"trigger", "/v1/responses", triggered, false}, {"stream", "/v1/responses", triggered, true}}

func TestANativeCompactionKeepsTheClientsWords(t *testing.T) {
	t.Parallel()
	for _, way := range ways {
		u := &scripted{next: []http.HandlerFunc{responseOf(item("compaction", "long-raw-id", "gAAAA1") + "," + item("compaction", "raw-2", "gAAAA2"))}}
		w := newWorld(t, false, u.ServeHTTP, compactors)
		body := `{"zeta":{"a":1.0},"model":"native", "stream":` + fmt.Sprint(way.stream) + `,"input":[` + way.items + `]}`
		sealed := capsule(t, text(t, w.post(way.path, body)))
		got := u.requests()
		want := strings.Replace(body, turns+"]", triggered+"]", 1)
		if len(got) != 1 || got[0].body != want || got[0].path != "/responses" || got[0].initiator != "agent" {
			t.Errorf("%s: the upstream got %+v, want %s", way.name, got, want)
		}
		if !strings.HasPrefix(sealed, "dtr1.r.") {
			t.Errorf("%s: %s", way.name, sealed)
		}
		// The last of two, with the id that it is bound to.
		w.post("/v1/responses", responsesBody("native", false, item("compaction", "cmp_x", sealed)))
		if got = u.requests(); !strings.Contains(got[1].body, item("compaction", "raw-2", "gAAAA2")) {
			t.Errorf("%s: back comes %s", way.name, got[1].body)
		}
	}
}

func TestAnAnswerWithoutACompactionIsAnErrorAndNotAskedForAgain(t *testing.T) {
	t.Parallel()
	for model, answers := range map[string]http.HandlerFunc{
		"native":    responseOf(`{"type":"message","id":"m","role":"assistant","content":[{"type":"output_text","text":"hello"}]}`),
		"chat-only": saying(" "),
	} {
		for _, way := range ways {
			u := &scripted{next: []http.HandlerFunc{answers}}
			w := newWorld(t, false, u.ServeHTTP, compactors, withAccounts("a", "b"))
			resp := w.post(way.path, responsesBody(model, way.stream, way.items))
			if got := text(t, resp); resp.StatusCode != 400 || !strings.Contains(got, `"code":"compaction_failed"`) {
				t.Errorf("%s %s: %d %s", model, way.name, resp.StatusCode, got)
			}
			if n := len(u.requests()); n != 1 {
				t.Errorf("%s %s: the model was asked %d times", model, way.name, n)
			}
		}
	}
}

func TestAModelThatCannotCompactIsAskedForASummary(t *testing.T) {
	t.Parallel()
	for _, way := range ways {
		u := &scripted{next: []http.HandlerFunc{
			refusing(400, "invalid_value", "Invalid value: 'compaction_trigger'."),
			responseOf(`{"type":"message","id":"m","role":"assistant","content":[{"type":"output_text","text":"the summary"}]}`),
		}}
		w := newWorld(t, false, u.ServeHTTP, compactors)
		sealed := capsule(t, text(t, w.post(way.path, responsesBody("native", way.stream, way.items))))
		got := u.requests()
		if len(got) != 2 || strings.Contains(got[1].body, "compaction_trigger") || !strings.Contains(got[1].body, compaction.Prompt[:40]) || !strings.Contains(got[1].body, "the goal") {
			t.Errorf("%s: the upstream got %+v", way.name, got)
		}
		if !strings.HasPrefix(sealed, "dtr1.s.") {
			t.Errorf("%s: %s", way.name, sealed)
		}
	}
}

func TestASummaryThatDoesNotFitIsAskedForWithLess(t *testing.T) {
	t.Parallel()
	tooLong := refusing(400, "context_length_exceeded", "prompt is too long")
	var items []string
	for i := range 20 {
		items = append(items, fmt.Sprintf(`{"type":"function_call","call_id":"c%d","name":"shell","arguments":"{}"},{"type":"function_call_output","call_id":"c%d","output":"%s"}`, i, i, strings.Repeat("line of output\\n", 500)))
	}
	long := turns + "," + strings.Join(items, ",")
	for name, tc := range map[string]struct {
		answers []http.HandlerFunc
		status  int
		asked   int
	}{
		"once":  {[]http.HandlerFunc{tooLong, saying("the summary")}, 200, 2},
		"twice": {[]http.HandlerFunc{tooLong, tooLong, saying("the summary")}, 200, 3},
		"ever":  {[]http.HandlerFunc{tooLong}, 400, 4},
	} {
		u := &scripted{next: tc.answers}
		w := newWorld(t, false, u.ServeHTTP, compactors)
		resp := w.post("/v1/responses/compact", responsesBody("chat-only", false, long))
		got, all := text(t, resp), u.requests()
		if resp.StatusCode != tc.status || len(all) != tc.asked {
			t.Fatalf("%s: %d after %d requests: %.300s", name, resp.StatusCode, len(all), got)
		}
		for i := 1; i < len(all); i++ {
			if len(all[i].body) > len(all[i-1].body)*4/5 || !strings.Contains(all[i].body, "bytes left out") || !strings.Contains(all[i].body, "the goal") {
				t.Errorf("%s: request %d has %d bytes after %d", name, i, len(all[i].body), len(all[i-1].body))
			}
		}
	}
}

// Nothing of a compaction goes out before it is whole, so another account can still serve when one breaks off.
func TestACompactionFailsOverUntilItIsWhole(t *testing.T) {
	t.Parallel()
	failed := `data: {"type":"response.created","response":{"id":"r"}}` + "\n\n" + `data: {"type":"response.failed","response":{"id":"r","error":{"code":"server_error","message":"broke"}}}` + "\n\n"
	for name, tc := range map[string]struct {
		model string
		first http.HandlerFunc
		then  http.HandlerFunc
	}{
		"a status": {"chat-only", refusing(500, "", "oops"), saying("the summary")},
		"in band":  {"native", func(w http.ResponseWriter, _ *http.Request) { stream(w, failed) }, responseOf(item("compaction", "i", "gAAAA"))},
		"in the middle of the text": {"chat-only", func(w http.ResponseWriter, _ *http.Request) {
			stream(w, chunk("half a"), `data: {"error":{"message":"broke"}}`+"\n\n")
		}, saying("the summary")},
		"cut in the middle": {"chat-only", func(w http.ResponseWriter, _ *http.Request) { stream(w, chunk("half a")) }, saying("the summary")},
	} {
		for _, way := range ways {
			u := &scripted{next: []http.HandlerFunc{tc.first, tc.then}}
			w := newWorld(t, false, u.ServeHTTP, compactors, withAccounts("a", "b"))
			resp := w.post(way.path, responsesBody(tc.model, way.stream, way.items))
			got := text(t, resp)
			if resp.StatusCode != 200 || strings.Contains(got, "half") {
				t.Errorf("%s, %s: %d %s", name, way.name, resp.StatusCode, got)
				continue
			}
			capsule(t, got)
			if all := u.requests(); len(all) != 2 || all[0].account == all[1].account {
				t.Errorf("%s, %s: asked %+v", name, way.name, all)
			}
		}
	}
}

func TestInvariant2_ACutCompactionIsNoCompaction(t *testing.T) {
	t.Parallel()
	for model, whole := range map[string]string{
		"native": `data: {"type":"response.created","response":{"id":"r"}}` + "\n\n" +
			`data: {"type":"response.output_item.added","output_index":0,"item":{"type":"compaction","id":"i"}}` + "\n\n" +
			`data: {"type":"response.output_item.done","output_index":0,"item":` + item("compaction", "i", "gAAAA") + "}\n\n" +
			`data: {"type":"response.completed","response":{"id":"r","status":"completed","output":[` + item("compaction", "i", "gAAAA") + "]}}\n\n",
		"chat-only": chunk("the ") + chunk("summary") + finish,
	} {
		frames := strings.SplitAfter(whole, "\n\n")
		end := len(frames) - 1 // what is behind the last blank line
		if model == "chat-only" {
			end-- // without [DONE] it is whole all the same
		}
		for n := range end {
			for _, way := range ways {
				w := newWorld(t, false, func(rw http.ResponseWriter, _ *http.Request) { stream(rw, frames[:n]...) }, compactors)
				resp := w.post(way.path, responsesBody(model, way.stream, way.items))
				if got := text(t, resp); strings.Contains(got, `"completed"`) || strings.Contains(got, `"type":"compaction"`) || resp.StatusCode == 200 && !strings.Contains(got, "response.failed") {
					t.Errorf("%s, %s, cut behind frame %d: %d %s", model, way.name, n, resp.StatusCode, got)
				}
			}
		}
	}
}

// A summary is nobody's: it outlives the account whose model wrote it. A compaction that only its maker can read is an
// error everywhere else, and so is one that nobody made here.
func TestWhoCanReadACompaction(t *testing.T) {
	t.Parallel()
	u := &scripted{next: []http.HandlerFunc{saying("the summary"), responseOf(item("compaction", "raw", "gAAAA")), saying("go on")}}
	w := newWorld(t, false, u.ServeHTTP, compactors)
	summary := capsule(t, text(t, w.post("/v1/responses/compact", responsesBody("chat-only", false, turns))))
	native := capsule(t, text(t, w.post("/v1/responses/compact", responsesBody("native", false, turns))))
	forged := summary[:len(summary)-4] + "AAAA"
	other := newWorld(t, false, (&scripted{next: []http.HandlerFunc{responseOf(item("compaction", "raw", "gAAAA"))}}).ServeHTTP, compactors, withAccounts("other"))
	for _, tc := range []struct {
		name, blob, model string
		w                 *world
		status            int
		code              string
	}{
		{"a summary on another model", summary, "messages-only", w, 502, ""}, // which answers nonsense here
		{"a summary with the account gone", summary, "native", other, 200, ""},
		{"a model's own, with the account gone", native, "native", other, 400, "foreign_compaction"},
		{"a model's own on another family", native, "chat-only", w, 400, "foreign_compaction"},
		{"a model's own on another family, other account", native, "messages-only", other, 400, "foreign_compaction"},
		{"one from before detour, on another family", "gAAAAold", "chat-only", w, 400, "foreign_compaction"},
		{"one from before detour, on its own family", "gAAAAold", "native", other, 200, ""},
		{"a forged summary", forged, "chat-only", w, 400, "foreign_compaction"},
		{"a forged summary, natively", forged, "native", other, 400, "foreign_compaction"},
		{"a bare prefix", "dtr1.s.", "native", other, 400, "foreign_compaction"},
	} {
		for _, items := range []string{turns, ""} {
			resp := tc.w.post("/v1/responses", responsesBody(tc.model, false, strings.TrimPrefix(items+","+item("compaction", "cmp_1", tc.blob), ",")+`,{"role":"user","content":"go on"}`))
			if got := text(t, resp); resp.StatusCode != tc.status || !strings.Contains(got, tc.code) || tc.code != "" && !strings.Contains(got, "nvalid_request_error") {
				t.Errorf("%s: %d %s", tc.name, resp.StatusCode, got)
			}
		}
	}
}

func TestAStandInCompactsInItsOwnWay(t *testing.T) {
	t.Parallel()
	u := &scripted{next: []http.HandlerFunc{refusing(402, "quota_exceeded", "spent"), saying("the summary")}}
	w := newWorld(t, false, u.ServeHTTP, compactors, withAccounts("a", "b"), func(c *router.Config, _ *fake) {
		c.Fallbacks = []router.Fallback{{Model: "native", Then: []string{"chat-only"}, On: []string{"quota"}}}
	})
	sealed := capsule(t, text(t, w.post("/v1/responses", responsesBody("native", true, triggered))))
	if got := u.requests(); len(got) != 2 || got[1].path != "/chat/completions" || !strings.HasPrefix(sealed, "dtr1.s.") {
		t.Errorf("%s after %+v", sealed, got)
	}
}

func TestSwitchModeLeavesRequestsToCompactAlone(t *testing.T) {
	t.Parallel()
	u := &scripted{next: []http.HandlerFunc{responseOf("")}}
	w := newWorld(t, false, u.ServeHTTP, compactors, func(c *router.Config, f *fake) {
		c.Providers["openai"] = f
		c.ProxyMode = router.ModeSwitch
		a, _ := f.Open(providers.AccountConfig{ID: "a", Provider: "openai"})
		c.Accounts = []*providers.Account{a}
	})
	body := responsesBody("native", true, turns)
	w.do(w.proxy, http.MethodPost, "/v1/responses/compact", body, "X-Test-Host", "api.openai.com")
	if got := u.requests(); len(got) != 1 || got[0].body != body || got[0].path != "/responses/compact" {
		t.Errorf("the upstream got %+v", got)
	}
}

func TestNothingToCompactIsTheClientsMistake(t *testing.T) {
	t.Parallel()
	u := &scripted{next: []http.HandlerFunc{saying("x")}}
	w := newWorld(t, false, u.ServeHTTP, compactors)
	for _, body := range []string{`{"model":"chat-only"}`, `{"model":"chat-only","input":[]}`, `{"model":"chat-only","instructions":"x","input":[{"role":"developer","content":"y"}]}`} {
		if resp := w.post("/v1/responses/compact", body); resp.StatusCode != 400 {
			t.Errorf("%s: %d %s", body, resp.StatusCode, text(t, resp))
		}
	}
	if n := len(u.requests()); n != 0 {
		t.Errorf("the model was asked %d times", n)
	}
}

func TestEveryHostThatServesResponsesServesCompactions(t *testing.T) {
	t.Parallel()
	u := &scripted{next: []http.HandlerFunc{responseOf(item("compaction", "raw", "gAAAA"))}}
	w := newWorld(t, true, u.ServeHTTP, compactors)
	pack := packers()["zstd"]
	for _, at := range []string{
		"api.openai.com/v1", "chatgpt.com/backend-api/codex", "openrouter.ai/api/v1", "opencode.ai/zen/v1", "opencode.ai/zen/go/v1",
		"api.githubcopilot.com", "api.githubcopilot.com/v1", "api.individual.githubcopilot.com",
	} {
		host, prefix, _ := strings.Cut(at, "/")
		if prefix != "" {
			prefix = "/" + prefix
		}
		resp := w.do(w.proxy, http.MethodPost, prefix+"/responses/compact", pack(responsesBody("native", false, turns)), "X-Test-Host", host, "Content-Encoding", "zstd")
		if got := text(t, resp); resp.StatusCode != 200 || !strings.Contains(got, `"object":"response.compaction"`) {
			t.Errorf("%s: %d %s", at, resp.StatusCode, got)
		}
	}
}

// One way to read answers of other dialects is enough, and a long answer does not sit silent.
func TestModelsOfOtherDialectsAreAlwaysAskedForAStream(t *testing.T) {
	t.Parallel()
	u := &scripted{next: []http.HandlerFunc{saying("hello")}}
	w := newWorld(t, false, u.ServeHTTP, compactors)
	for _, wants := range []bool{false, true} {
		got := text(t, w.post("/v1/responses", responsesBody("chat-only", wants, turns)))
		if !strings.Contains(got, "hello") || wants != strings.Contains(got, "event: response.completed") {
			t.Errorf("stream=%t: %s", wants, got)
		}
	}
	for _, a := range u.requests() {
		if !strings.Contains(a.body, `"stream":true`) {
			t.Errorf("the model got %s", a.body)
		}
	}
}

func TestAPortableCompactionIsWordsOnEveryModel(t *testing.T) {
	t.Parallel()
	u := &scripted{next: []http.HandlerFunc{responseOf(`{"type":"message","id":"m","role":"assistant","content":[{"type":"output_text","text":"the summary"}]}`), saying("go on")}}
	w := newWorld(t, false, u.ServeHTTP, compactors, func(c *router.Config, _ *fake) { c.PortableCompaction = true })
	sealed := capsule(t, text(t, w.post("/v1/responses/compact", responsesBody("native", false, turns))))
	w.post("/v1/responses", responsesBody("chat-only", false, item("compaction", "cmp_1", sealed)+`,{"role":"user","content":"and now?"}`))
	if got := u.requests(); len(got) != 2 || strings.Contains(got[0].body, "compaction_trigger") || !strings.Contains(got[1].body, "the summary") {
		t.Errorf("the models got %+v", got)
	}
}
