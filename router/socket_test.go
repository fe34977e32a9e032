package router_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/tidwall/gjson"

	"detour/internal/record"
	"detour/router"
)

// says is an upstream that notes what it was sent, and answers "answer N" in the dialect that it was asked in. An
// answer in Responses also holds a blob, under ids that rotate.
type says struct {
	mu     sync.Mutex
	bodies []string
}

func (s *says) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	s.bodies = append(s.bodies, string(body))
	n := len(s.bodies)
	s.mu.Unlock()
	text := fmt.Sprintf("answer %d", n)
	switch r.URL.Path {
	case "/responses":
		stream(w, responsesSay(n, text)...)
	case "/messages":
		stream(w, messagesSay(text)...)
	default:
		stream(w, chunk(text), finish)
	}
}

func (s *says) asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.bodies)
}

func responsesSay(n int, text string) []string {
	reasoning := func(id, more string) string {
		return fmt.Sprintf(`{"id":"%s-%d","type":"reasoning","summary":[]%s}`, id, n, more)
	}
	message := func(id, content string) string {
		return fmt.Sprintf(`{"id":"%s-%d","type":"message","role":"assistant","status":"completed","content":[%s]}`, id, n, content)
	}
	blob := fmt.Sprintf(`,"encrypted_content":"gAAAA%d"`, n)
	part := fmt.Sprintf(`{"type":"output_text","text":%q,"annotations":[]}`, text)
	var out []string
	for i, e := range []string{
		`"type":"response.created","response":{"id":"up-a","object":"response","created_at":1,"model":"gpt-x","status":"in_progress","output":[]}`,
		`"type":"response.output_item.added","output_index":0,"item":` + reasoning("rsa", ""),
		`"type":"response.output_item.done","output_index":0,"item":` + reasoning("rsb", blob),
		`"type":"response.output_item.added","output_index":1,"item":` + message("ma", ""),
		`"type":"response.content_part.added","item_id":"mb","output_index":1,"content_index":0,"part":{"type":"output_text","text":"","annotations":[]}`,
		fmt.Sprintf(`"type":"response.output_text.delta","item_id":"mc","output_index":1,"content_index":0,"delta":%q`, text),
		`"type":"response.output_item.done","output_index":1,"item":` + message("md", part),
		`"type":"response.completed","response":{"id":"up-b","object":"response","created_at":1,"model":"gpt-x","status":"completed","output":[` +
			reasoning("rsc", blob) + "," + message("me", part) + `],"usage":{"input_tokens":5,"output_tokens":2,"total_tokens":7}}`,
	} {
		out = append(out, fmt.Sprintf("data: {%s,\"sequence_number\":%d}\n\n", e, i))
	}
	return out
}

func messagesSay(text string) []string {
	return []string{
		"event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"m\",\"content\":[],\"usage\":{\"input_tokens\":3,\"output_tokens\":1}}}\n\n",
		"event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}}\n\n",
		"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"thinking_delta\",\"thinking\":\"hm\"}}\n\n",
		"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"signature_delta\",\"signature\":\"sig\"}}\n\n",
		"event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n",
		"event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":1,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n",
		fmt.Sprintf("event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"text_delta\",\"text\":%q}}\n\n", text),
		"event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":1}\n\n",
		"event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":4}}\n\n",
		"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
	}
}

// wire is a client's WebSocket.
type wire struct {
	t    *testing.T
	conn *websocket.Conn
}

// wire opens a WebSocket through a door.
func (w *world) wire(s *httptest.Server, headers ...string) *wire {
	w.t.Helper()
	h := http.Header{}
	if s == w.proxy {
		h.Set("X-Test-Host", "api.openai.com")
	}
	for i := 0; i < len(headers); i += 2 {
		h.Set(headers[i], headers[i+1])
	}
	conn, resp, err := websocket.Dial(w.t.Context(), s.URL+"/v1/responses", &websocket.DialOptions{HTTPClient: s.Client(), HTTPHeader: h, CompressionMode: websocket.CompressionContextTakeover})
	if err != nil {
		w.t.Fatalf("dial: %v, %v", err, resp)
	}
	conn.SetReadLimit(-1)
	w.t.Cleanup(func() { _ = conn.CloseNow() })
	return &wire{w.t, conn}
}

func (c *wire) send(text string) {
	c.t.Helper()
	if err := c.conn.Write(c.t.Context(), websocket.MessageText, []byte(text)); err != nil {
		c.t.Fatalf("send: %v", err)
	}
}

// next returns the next event.
func (c *wire) next() gjson.Result {
	c.t.Helper()
	ctx, stop := context.WithTimeout(c.t.Context(), 10*time.Second)
	defer stop()
	kind, b, err := c.conn.Read(ctx)
	if err != nil || kind != websocket.MessageText || !gjson.ValidBytes(b) {
		c.t.Fatalf("read: %v, %v, %s", kind, err, b)
	}
	return gjson.ParseBytes(b)
}

// answer returns the events up to the end of the answer.
func (c *wire) answer() []gjson.Result {
	c.t.Helper()
	var all []gjson.Result
	for {
		e := c.next()
		all = append(all, e)
		switch e.Get("type").Str {
		case "response.completed", "response.incomplete", "response.failed", "error":
			return all
		}
	}
}

// last returns the event that ends the answer.
func (c *wire) last() gjson.Result {
	c.t.Helper()
	all := c.answer()
	return all[len(all)-1]
}

// closed waits for the end of the connection and returns the code, or -1.
func (c *wire) closed() websocket.StatusCode {
	c.t.Helper()
	ctx, stop := context.WithTimeout(c.t.Context(), 10*time.Second)
	defer stop()
	for {
		if _, _, err := c.conn.Read(ctx); err != nil {
			if errors.Is(err, context.DeadlineExceeded) {
				c.t.Fatal("the connection stays open")
			}
			return websocket.CloseStatus(err)
		}
	}
}

func doors(w *world) map[string]*httptest.Server {
	return map[string]*httptest.Server{"api": w.door, "proxy": w.proxy}
}

// awaitRecords waits until n exchanges were recorded.
func (w *world) awaitRecords(n int) []record.Exchange {
	w.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if got := w.exchanges(); len(got) >= n {
			return got
		}
	}
	w.t.Fatalf("%d exchanges, want %d", len(w.exchanges()), n)
	return nil
}

const hi = `{"type":"message","role":"user","content":[{"type":"input_text","text":"hi"}]}`

// A client that chains makes the upstream see the same bytes as one that says everything itself.
func TestInvariant9_ChainedRequestsAreTheSameAsWholeOnes(t *testing.T) {
	t.Parallel()
	for _, model := range []string{"gpt-x", "messages-only", "chat-only"} {
		for _, door := range []string{"api", "proxy"} {
			t.Run(model+" "+door, func(t *testing.T) {
				t.Parallel()
				up := &says{}
				w := newWorld(t, false, up.ServeHTTP)
				c := w.wire(doors(w)[door], "Session_id", "one")
				head := `"model":"` + model + `","store":false,"instructions":"be brief","stream":true,"input":[`
				c.send(`{"type":"response.create","generate":false,` + head + `{"type":"additional_tools","role":"developer","tools":[{"type":"function","name":"f","parameters":{"type":"object"}}]}]}`)
				warm := c.last()
				if warm.Get("type").Str != "response.completed" || len(up.asked()) != 0 || warm.Get("response.output").Raw != "[]" {
					t.Fatalf("warm-up: %s, %d requests", warm, len(up.asked()))
				}
				items := `{"type":"additional_tools","role":"developer","tools":[{"type":"function","name":"f","parameters":{"type":"object"}}]}`
				id := warm.Get("response.id").Str
				for _, say := range []string{"one", "two", "three"} {
					item := strings.Replace(hi, `"hi"`, `"`+say+`"`, 1)
					c.send(`{"type":"response.create","previous_response_id":"` + id + `",` + head + item + `]}`)
					end := c.last()
					if end.Get("type").Str != "response.completed" || !strings.Contains(end.Raw, "answer") {
						t.Fatalf("%s: %s", say, end)
					}
					chained := up.asked()
					items += "," + item
					resp := w.do(w.door, "POST", "/v1/responses", "{"+head+items+"]}", "Session_id", "one")
					if got := text(t, resp); resp.StatusCode != 200 {
						t.Fatalf("whole: %s", got)
					}
					whole := up.asked()
					if a, b := chained[len(chained)-1], whole[len(whole)-1]; a != b {
						t.Errorf("%s: chained\n%s\nwhole\n%s", say, a, b)
					}
					for _, item := range end.Get("response.output").Array() {
						items += "," + item.Raw
					}
					id = end.Get("response.id").Str
				}
				got := w.awaitRecords(7)
				var sockets []record.Exchange
				for _, e := range got {
					if e.Transport == record.WebSocket {
						sockets = append(sockets, e)
					}
				}
				if len(sockets) != 4 || sockets[0].Account != "" || sockets[3].Account != "a" || sockets[3].Door != door || sockets[3].Status != 200 || sockets[3].Usage.Reported != (model != "chat-only") || sockets[1].ID == sockets[2].ID {
					t.Errorf("records: %+v", sockets)
				}
			})
		}
	}
}

func TestEventsAreThoseOfTheHTTPStream(t *testing.T) {
	t.Parallel()
	for _, model := range []string{"gpt-x", "messages-only", "chat-only"} {
		up := &says{}
		w := newWorld(t, false, up.ServeHTTP)
		body := `{"model":"` + model + `","store":false,"stream":true,"input":"hi"}`
		var want []string
		for line := range strings.Lines(text(t, w.post("/v1/responses", body))) {
			if data, ok := strings.CutPrefix(line, "data: "); ok {
				want = append(want, gjson.Get(data, "type").Str)
			}
		}
		c := w.wire(w.door)
		c.send(`{"type":"response.create","stream_id":"lane 1",` + body[1:])
		var got []string
		for i, e := range c.answer() {
			got = append(got, e.Get("type").Str)
			if e.Get("stream_id").Str != "lane 1" || e.Get("sequence_number").Int() != int64(i) {
				t.Errorf("%s: event %d is %s", model, i, e)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %v\nwant %v", model, got, want)
		}
	}
}

func TestMessagesThatAreNoRequestAndRequestsThatFail(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false, func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch {
		case strings.Contains(string(body), "limit"):
			plain(rw, 429, `{"error":{"message":"slow down","code":"rate_limited"}}`)
		case strings.Contains(string(body), "late"):
			stream(rw, append(responsesSay(1, "x")[:6], "data: {\"type\":\"error\",\"code\":\"server_error\",\"message\":\"boom\",\"sequence_number\":6}\n\n")...)
		case strings.Contains(string(body), "whole"):
			plain(rw, 200, `{"id":"r","object":"response","created_at":1,"model":"gpt-x","status":"completed","output":[{"id":"m","type":"message","role":"assistant","status":"completed","content":[{"type":"output_text","text":"all at once","annotations":[]}]}],"usage":{"input_tokens":1,"output_tokens":1,"total_tokens":2}}`)
		default:
			stream(rw, responsesSay(1, "fine")...)
		}
	}, func(c *router.Config, _ *fake) { c.Retry.MaxSingleWait, c.Retry.MaxWait = 1, 1 })
	c := w.wire(w.door)
	create := func(more string) string { return `{"type":"response.create","store":false,` + more + `}` }
	for _, tc := range []struct {
		name, send string
		status     int64
		code, say  string
	}{
		{"not JSON", `{"type":`, 400, "", "not valid JSON"},
		{"no type", `{"model":"gpt-x","input":"x"}`, 400, "", "response.create"},
		{"unknown type", `{"type":"session.update"}`, 400, "", "session.update"},
		{"no model", create(`"input":"x"`), 400, "", "model"},
		{"nested", `{"type":"response.create","response":{"model":"gpt-x","input":"x"}}`, 400, "", "model"},
		{"unknown model", create(`"model":"gpt-y","input":"x"`), 404, "model_not_found", "gpt-x"},
		{"unknown model, warm-up", create(`"generate":false,"model":"gpt-y","input":"x"`), 404, "model_not_found", "gpt-x"},
		{"unknown answer", create(`"model":"gpt-x","input":"x","previous_response_id":"resp_1"`), 400, "previous_response_not_found", "resp_1"},
		{"unknown item", create(`"model":"gpt-x","input":[{"type":"item_reference","id":"rs_1"}]`), 400, "previous_response_not_found", "rs_1"},
		{"nothing to append to", `{"type":"response.append","input":[]}`, 400, "nothing_to_append_to", "response.create"},
	} {
		c.send(tc.send)
		e := c.last()
		if e.Get("type").Str != "error" || e.Get("status").Int() != tc.status || e.Get("error.code").Str != tc.code || !strings.Contains(e.Get("error.message").Str, tc.say) {
			t.Errorf("%s: got %s", tc.name, e)
		}
	}
	c.send(create(`"model":"gpt-x","input":"late"`))
	all := c.answer()
	if e := all[len(all)-1]; e.Get("type").Str != "response.failed" || e.Get("response.error.message").Str != "boom" || all[0].Get("type").Str != "response.created" {
		t.Errorf("late failure: %s", e)
	}
	for _, mode := range []string{"route", "switch"} {
		c := w.wire(w.proxy, "X-Route-Mode", mode, "X-Test-Host", "api.fake.test")
		c.send(create(`"model":"gpt-x","input":"whole"`))
		e := c.last()
		if mode == "switch" { // nobody's host
			if e.Get("status").Int() != 400 {
				t.Errorf("switch: %s", e)
			}
			continue
		}
		if e.Get("type").Str != "response.completed" || !strings.Contains(e.Raw, "all at once") {
			t.Errorf("whole answer in mode %s: %s", mode, e)
		}
	}
	c.send(create(`"model":"gpt-x","input":"x"`))
	if e := c.last(); !strings.Contains(e.Raw, "fine") {
		t.Errorf("the connection is of no use any more: %s", e)
	}
	c.send(create(`"model":"gpt-x","input":"limit"`))
	if e := c.last(); e.Get("status").Int() != 429 || e.Get("error.message").Str != "slow down" || e.Get("headers.retry-after").Str != "7" {
		t.Errorf("upstream's limit: %s", e)
	}
}

// Rules may name a model, which only a message does; a profile is in the path, and a key's scope in the connection.
func TestEachMessageHasARouteOfItsOwn(t *testing.T) {
	t.Parallel()
	up := &says{}
	w := newWorld(t, false, up.ServeHTTP, func(c *router.Config, _ *fake) {
		c.Rules = []router.Rule{{Name: "own", Model: "chat-only", Door: "proxy", Mode: router.ModePassthrough}, {Name: "none", Model: "messages-only", Accounts: []string{"b"}}}
		c.Profiles = []router.Profile{{Name: "office", Accounts: []string{"b"}}}
	})
	c := w.wire(w.proxy)
	for _, tc := range []struct{ model, code string }{{"gpt-x", ""}, {"chat-only", "passthrough_message"}, {"messages-only", "route_excludes_model"}} {
		c.send(model(tc.model))
		if e := c.last(); e.Get("error.code").Str != tc.code || (tc.code == "") != (e.Get("type").Str == "response.completed") {
			t.Errorf("%s: %s", tc.model, e)
		}
	}
	conn, _, err := websocket.Dial(t.Context(), w.door.URL+"/office/v1/responses", &websocket.DialOptions{HTTPClient: w.door.Client()})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	p := &wire{t, conn}
	p.send(create)
	if e := p.last(); e.Get("status").Int() != 403 || !strings.Contains(e.Raw, "profile office") {
		t.Errorf("in a profile: %s", e)
	}
	got := w.awaitRecords(4)
	if got[0].Mode != "route" || got[1].Mode != "passthrough" || got[3].Path != "/office/v1/responses" {
		t.Errorf("recorded as %+v", got)
	}
}
