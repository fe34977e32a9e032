package router_test

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"
	openaioption "github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/responses"
	"github.com/tidwall/gjson"

	"detour/internal/recall"
	"detour/router"
)

// response returns the response object of an answer, streamed or not.
func response(t *testing.T, resp *http.Response) gjson.Result {
	t.Helper()
	body := text(t, resp)
	if resp.StatusCode != 200 {
		t.Fatalf("status %d: %s", resp.StatusCode, body)
	}
	if !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
		return gjson.Parse(body)
	}
	last := ""
	for line := range strings.Lines(body) {
		if data, ok := strings.CutPrefix(line, "data: "); ok && strings.Contains(data, `"response.completed"`) {
			last = data
		}
	}
	return gjson.Get(last, "response")
}

// whole answers one request of a client that does not stream.
const whole = `{"id":"up-1","object":"response","created_at":1,"model":"gpt-x","status":"completed","output":[{"id":"rs-1","type":"reasoning","summary":[],"encrypted_content":"gAAAA"},{"id":"msg-1","type":"message","role":"assistant","status":"completed","content":[{"type":"output_text","text":"answer","annotations":[]}]}],"usage":{"input_tokens":5,"output_tokens":2,"total_tokens":7}}`

func TestPreviousResponseOverHTTP(t *testing.T) {
	t.Parallel()
	for _, model := range []string{"gpt-x", "messages-only", "chat-only"} {
		for _, streamed := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s streamed=%t", model, streamed), func(t *testing.T) {
				t.Parallel()
				up := &says{}
				w := newWorld(t, false, func(rw http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/responses" && !streamed {
						up.ServeHTTP(&silent{}, r)
						plain(rw, 200, whole)
						return
					}
					up.ServeHTTP(rw, r)
				})
				rest := fmt.Sprintf(`"stream":%t,"model":%q`, streamed, model)
				one := response(t, w.post("/v1/responses", `{"input":"first",`+rest+`}`))
				id := one.Get("id").Str
				if !strings.HasPrefix(id, "resp_") || len(id) < 30 {
					t.Fatalf("id %q can be guessed", id)
				}
				two := response(t, w.post("/v1/responses", `{"previous_response_id":"`+id+`","input":[`+hi+`],`+rest+`}`))
				three := response(t, w.post("/v1/responses", `{"input":[],"previous_response_id":"`+two.Get("id").Str+`",`+rest+`}`))
				items := func(r gjson.Result) (s string) {
					for _, i := range r.Get("output").Array() {
						s += "," + i.Raw
					}
					return s
				}
				first := `{"role":"user","content":"first"}`
				response(t, w.post("/v1/responses", `{"input":[`+first+items(one)+","+hi+`],`+rest+`}`))
				response(t, w.post("/v1/responses", `{"input":[`+first+items(one)+","+hi+items(two)+`],`+rest+`}`))
				asked := up.asked()
				if asked[1] != asked[3] || asked[2] != asked[4] {
					t.Errorf("chained\n%s\n%s\nwhole\n%s\n%s", asked[1], asked[2], asked[3], asked[4])
				}
				got := text(t, w.do(w.door, "GET", "/v1/responses/"+three.Get("id").Str, ""))
				if got != three.Raw {
					t.Errorf("GET: %s\nwant %s", got, three.Raw)
				}
			})
		}
	}
}

// silent is a ResponseWriter that nobody reads.
type silent struct{ h http.Header }

func (s *silent) Header() http.Header {
	if s.h == nil {
		s.h = http.Header{}
	}
	return s.h
}
func (*silent) Write(b []byte) (int, error) { return len(b), nil }
func (*silent) WriteHeader(int)             {}
func (*silent) Flush()                      {}

func TestItemReferences(t *testing.T) {
	t.Parallel()
	up := &says{}
	w := newWorld(t, false, up.ServeHTTP)
	const rest = `"stream":true,"model":"gpt-x"`
	one := response(t, w.post("/v1/responses", `{"input":[`+hi+`],`+rest+`}`))
	refs, items := "", ""
	for _, i := range one.Get("output").Array() {
		refs += `,{"type":"item_reference","id":"` + i.Get("id").Str + `"}`
		items += "," + i.Raw
	}
	response(t, w.post("/v1/responses", `{"input":[`+hi+refs+","+hi+`],`+rest+`}`))
	response(t, w.post("/v1/responses", `{"input":[`+hi+items+","+hi+`],`+rest+`}`))
	if asked := up.asked(); asked[1] != asked[2] || !strings.Contains(asked[1], `"gAAAA1"`) {
		t.Errorf("referred\n%s\nsaid\n%s", asked[1], asked[2])
	}
	resp := w.post("/v1/responses", `{"input":[`+hi+`,{"type":"item_reference","id":"rs_unknown"}],`+rest+`}`)
	if e := gjson.Get(text(t, resp), "error"); resp.StatusCode != 400 || e.Get("code").Str != "previous_response_not_found" || e.Get("param").Str != "input[1]" {
		t.Errorf("unknown item: %d %s", resp.StatusCode, e)
	}
}

func TestOnlyWhoeverMadeAnAnswerCanNameIt(t *testing.T) {
	t.Parallel()
	up := &says{}
	w := newWorld(t, false, up.ServeHTTP)
	const ask = `{"input":"secret of alice","stream":true,"model":"gpt-x"}`
	mine := []string{"Authorization", "Bearer alice"}
	one := response(t, w.post("/v1/responses", ask, mine...))
	id, item := one.Get("id").Str, one.Get("output.0.id").Str
	next := `{"previous_response_id":"` + id + `","input":"x","stream":true,"model":"gpt-x"}`
	named := `{"input":[{"type":"item_reference","id":"` + item + `"}],"stream":true,"model":"gpt-x"}`
	for who, headers := range map[string][]string{"nobody": nil, "bob": {"Authorization", "Bearer bob"}, "bob by key": {"X-Api-Key", "alice"}} {
		for _, body := range []string{next, named} {
			resp := w.post("/v1/responses", body, headers...)
			if got := text(t, resp); resp.StatusCode != 400 || gjson.Get(got, "error.code").Str != "previous_response_not_found" {
				t.Errorf("%s: %d %s", who, resp.StatusCode, got)
			}
		}
		for _, method := range []string{"GET", "DELETE"} {
			resp := w.do(w.door, method, "/v1/responses/"+id, "", headers...)
			if got := text(t, resp); resp.StatusCode != 404 || strings.Contains(got, "alice") || gjson.Get(got, "error.type").Str != "invalid_request_error" {
				t.Errorf("%s %s: %d %s", who, method, resp.StatusCode, got)
			}
		}
		if resp := w.do(w.door, "GET", "/v1/responses/"+id+"/input_items", "", headers...); resp.StatusCode != 404 {
			t.Errorf("%s lists what it was made from: %d %s", who, resp.StatusCode, text(t, resp))
		}
	}
	resp := w.do(w.proxy, "POST", "/v1/responses", next, append(mine, "X-Test-Host", "api.openai.com")...)
	if got := text(t, resp); resp.StatusCode != 400 {
		t.Errorf("through the other door: %d %s", resp.StatusCode, got)
	}
	response(t, w.post("/v1/responses", next, mine...))
	if asked := up.asked(); len(asked) != 2 {
		t.Errorf("%d requests went upstream", len(asked))
	}
	if resp := w.do(w.door, "HEAD", "/responses/"+id, "", mine...); resp.StatusCode != 200 {
		t.Errorf("HEAD: %d", resp.StatusCode)
	}
	if got := text(t, w.do(w.door, "DELETE", "/v1/responses/"+id, "", mine...)); got != `{"id":"`+id+`","object":"response","deleted":true}` {
		t.Errorf("DELETE: %s", got)
	}
	for _, r := range []*http.Response{w.do(w.door, "GET", "/v1/responses/"+id, "", mine...), w.post("/v1/responses", next, mine...)} {
		if r.StatusCode != 404 && r.StatusCode != 400 {
			t.Errorf("after DELETE: %d", r.StatusCode)
		}
	}
	for path, status := range map[string]int{"/v1/responses/": 404, "/v1/responses/a/cancel": 404, "/v1/responses/a/input_items": 404, "/v1/responses//input_items": 404, "/v1/responses/a/b/input_items": 404, "/v1/responses/a": 404} {
		if r := w.do(w.door, "GET", path, ""); r.StatusCode != status {
			t.Errorf("GET %s: %d, want %d", path, r.StatusCode, status)
		}
	}
}

// The official SDK pages through what an answer was made from, those before it included.
func TestItemsThatAnAnswerWasMadeFrom(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false, (&says{}).ServeHTTP)
	one := response(t, w.post("/v1/responses", `{"input":"first","stream":true,"model":"gpt-x"}`))
	two := response(t, w.post("/v1/responses", `{"previous_response_id":"`+one.Get("id").Str+`","input":[{"role":"user","content":"again"},
		{"role":"assistant","content":"so"},{"type":"message","id":"msg_mine","role":"user","content":[{"type":"input_text","text":"and"}],"x":1.0}],"stream":true,"model":"gpt-x"}`))
	client := openai.NewClient(openaioption.WithBaseURL(w.door.URL+"/v1"), openaioption.WithAPIKey(""), openaioption.WithHTTPClient(w.door.Client()), openaioption.WithMaxRetries(0), openaioption.WithHeaderDel("Authorization"))
	say := func(item gjson.Result) string { return cmp.Or(item.Get("content.0.text").Str, item.Get("type").Str) }
	want := []string{"first"}
	for _, item := range one.Get("output").Array() {
		want = append(want, say(item))
	}
	want = append(want, "again", "so", "and")
	for _, order := range []responses.InputItemListParamsOrder{"asc", "desc"} {
		for _, limit := range []int64{1, 2, 4, 5, 100} {
			pages := client.Responses.InputItems.ListAutoPaging(t.Context(), two.Get("id").Str, responses.InputItemListParams{Order: order, Limit: openai.Int(limit)})
			var got []string
			ids := map[string]bool{}
			for pages.Next() {
				item := pages.Current()
				if item.Type == "" || item.Type == "message" && item.Status != "completed" {
					t.Errorf("item %s", item.RawJSON())
				}
				got, ids[item.ID] = append(got, say(gjson.Parse(item.RawJSON()))), true
			}
			if order == "desc" {
				slices.Reverse(got)
			}
			if pages.Err() != nil || !slices.Equal(got, want) || len(ids) != len(want) || !ids["msg_mine"] {
				t.Errorf("%s by %d: %q with ids %v, %v; want %q", order, limit, got, ids, pages.Err(), want)
			}
		}
	}
	path := "/v1/responses/" + two.Get("id").Str
	if got := text(t, w.do(w.door, "GET", path+"/input_items?limit=1", "")); !strings.Contains(got, `"id":"msg_mine","role":"user","content":[{"type":"input_text","text":"and"}],"x":1.0}`) || !gjson.Get(got, "has_more").Bool() {
		t.Errorf("the newest item: %s", got)
	}
	for query, param := range map[string]string{"/input_items?limit=0": "limit", "/input_items?limit=101": "limit", "/input_items?limit=x": "limit", "/input_items?order=up": "order", "/input_items?after=msg_other": "after", "?stream=true": "stream"} {
		resp := w.do(w.door, "GET", path+query, "")
		if got := text(t, resp); resp.StatusCode != 400 || gjson.Get(got, "error.param").Str != param {
			t.Errorf("%s: %d %s", query, resp.StatusCode, got)
		}
	}
	empty := response(t, w.post("/v1/responses", `{"input":[],"stream":true,"model":"gpt-x"}`))
	if got := text(t, w.do(w.door, "GET", "/responses/"+empty.Get("id").Str+"/input_items", "")); got != `{"object":"list","data":[],"first_id":null,"last_id":null,"has_more":false}` {
		t.Errorf("made from nothing: %s", got)
	}
}

func TestWhatIsNotRemembered(t *testing.T) {
	t.Parallel()
	up := &says{}
	w := newWorld(t, false, func(rw http.ResponseWriter, r *http.Request) {
		switch parts := responsesSay(1, "x"); r.Header.Get("X-Initiator") {
		case "agent":
			stream(rw, append(parts[:6], `data: {"type":"response.failed","response":{"id":"r","error":{"code":"server_error","message":"boom"}}}`+"\n\n")...)
		default:
			up.ServeHTTP(rw, r)
		}
	})
	ids := map[string]string{}
	store := func(name, body string) {
		for line := range strings.Lines(text(t, w.post("/v1/responses", body))) {
			if data, ok := strings.CutPrefix(line, "data: "); ok {
				ids[name] = gjson.Get(data, "response.id").Str
			}
		}
	}
	store("store is false", `{"input":"x","stream":true,"store":false,"model":"gpt-x"}`)
	store("it failed", `{"input":[{"type":"function_call_output","call_id":"c","output":"x"}],"stream":true,"model":"gpt-x"}`)
	c := w.wire(w.door)
	c.send(create)
	ids["of a connection"] = c.last().Get("response.id").Str
	for name, id := range ids {
		resp := w.post("/v1/responses", `{"previous_response_id":"`+id+`","input":"x","stream":true,"model":"gpt-x"}`)
		if id == "" || resp.StatusCode != 400 {
			t.Errorf("%s: %q gives %d", name, id, resp.StatusCode)
		}
	}
	if ids["store is false"] != "up-a" {
		t.Errorf("the upstream's id is gone where it does not matter: %q", ids["store is false"])
	}
	// On the connection itself that answer can be gone on from; once it is closed, by nobody.
	next := `{"type":"response.create","model":"gpt-x","store":false,"input":"y","previous_response_id":"` + ids["of a connection"] + `"}`
	other := w.wire(w.door)
	other.send(next)
	if e := other.last(); e.Get("error.code").Str != "previous_response_not_found" {
		t.Errorf("on another connection: %s", e)
	}
	c.send(next)
	if e := c.last(); e.Get("type").Str != "response.completed" {
		t.Errorf("on its own connection: %s", e)
	}
	// One that is to be stored can be gone on from anywhere.
	c.send(strings.Replace(create, `"store":false,`, "", 1))
	id := c.last().Get("response.id").Str
	response(t, w.post("/v1/responses", `{"previous_response_id":"`+id+`","input":"x","stream":true,"model":"gpt-x"}`))
}

func TestMemoryIsBoundedAndCanBeOff(t *testing.T) {
	t.Parallel()
	up := &says{}
	w := newWorld(t, false, up.ServeHTTP, func(c *router.Config, _ *fake) { c.Memory = recall.Limits{Bytes: 64 << 10, Answers: 5} })
	c := w.wire(w.door)
	var ids []string
	for range 8 {
		c.send(create)
		ids = append(ids, c.last().Get("response.id").Str)
	}
	for i, id := range ids {
		c.send(`{"type":"response.create","model":"gpt-x","input":[],"store":false,"generate":false,"previous_response_id":"` + id + `"}`)
		if found := c.last().Get("type").Str == "response.completed"; i < 3 && found || i == 7 && !found {
			t.Errorf("answer %d of 8: found %t", i, found)
		}
	}
	c.send(strings.Replace(create, "hi", strings.Repeat("x", 64<<10), 1))
	c.send(`{"type":"response.create","model":"gpt-x","store":false,"previous_response_id":"` + c.last().Get("response.id").Str + `"}`)
	if e := c.last(); e.Get("error.code").Str != "previous_response_not_found" {
		t.Errorf("one that is too large: %s", e)
	}

	off := newWorld(t, false, up.ServeHTTP, func(c *router.Config, _ *fake) { c.Memory.Bytes = -1 })
	if resp := off.do(off.door, "GET", "/v1/responses", "", "Connection", "Upgrade", "Upgrade", "websocket"); resp.StatusCode != http.StatusUpgradeRequired {
		t.Errorf("a WebSocket without memory: %d, want 426", resp.StatusCode)
	}
	id := response(t, off.post("/v1/responses", `{"input":"x","stream":true,"model":"chat-only"}`)).Get("id").Str
	resp := off.post("/v1/responses", `{"previous_response_id":"`+id+`","input":"x","stream":true,"model":"chat-only"}`)
	if got := text(t, resp); resp.StatusCode != 400 || gjson.Get(got, "error.code").Str != "previous_response_not_found" {
		t.Errorf("without memory: %d %s", resp.StatusCode, got)
	}
	if resp := off.do(off.door, "GET", "/v1/responses/"+id, ""); resp.StatusCode != 404 {
		t.Errorf("GET without memory: %d", resp.StatusCode)
	}
}

func TestARequestThatBecomesTooLargeByWhatItRefersTo(t *testing.T) {
	t.Parallel()
	up := &says{}
	w := newWorld(t, false, up.ServeHTTP, func(c *router.Config, _ *fake) { c.BodyLimit = 10 << 10 })
	body := `{"input":"` + strings.Repeat("x", 8<<10) + `","stream":true,"model":"gpt-x"}`
	id := response(t, w.post("/v1/responses", body)).Get("id").Str
	resp := w.post("/v1/responses", strings.Replace(body, "{", `{"previous_response_id":"`+id+`",`, 1))
	if resp.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("status %d", resp.StatusCode)
	}
}

// response.append is an older way to go on: without saying from what, and with or without repeating the answer.
func TestResponseAppend(t *testing.T) {
	t.Parallel()
	up := &says{}
	w := newWorld(t, false, up.ServeHTTP)
	c := w.wire(w.door)
	c.send(`{"type":"response.create","model":"gpt-x","store":false,"instructions":"be brief","input":[` + hi + `]}`)
	one := c.last().Get("response.output")
	c.send(`{"type":"response.append","input":[` + hi + `]}`)
	two := c.last().Get("response.output")
	c.send(`{"type":"response.append","input":[` + strings.Trim(two.Raw, "[]") + `,` + hi + `]}`)
	if e := c.last(); e.Get("type").Str != "response.completed" {
		t.Fatalf("got %s", e)
	}
	full := func(outputs ...gjson.Result) string {
		items := hi
		for _, o := range outputs {
			for _, i := range o.Array() {
				items += "," + i.Raw
			}
			items += "," + hi
		}
		return `{"type":"response.create","model":"gpt-x","store":false,"instructions":"be brief","input":[` + items + `],"stream":true}`
	}
	c.send(full(one))
	c.answer()
	c.send(full(one, two))
	c.answer()
	asked := up.asked()
	if a, b := gjson.Get(asked[1], "input").Raw, gjson.Get(asked[3], "input").Raw; a != b {
		t.Errorf("appended\n%s\nwhole\n%s", a, b)
	}
	if a, b := gjson.Get(asked[2], "input").Raw, gjson.Get(asked[4], "input").Raw; a != b {
		t.Errorf("appended with the answer\n%s\nwhole\n%s", a, b)
	}
	if i := gjson.Get(asked[2], "instructions").Str; i != "be brief" {
		t.Errorf("instructions are %q", i)
	}
}
