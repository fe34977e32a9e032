package router_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"detour/router"
)

const create = `{"type":"response.create","model":"gpt-x","store":false,"input":"hi"}`

func model(name string) string { return strings.Replace(create, "gpt-x", name, 1) }

// gate lets a test hold an upstream's answer.
type gate struct {
	reached chan struct{} // the upstream is at it
	open    chan struct{}
	gone    chan struct{} // the upstream's request was cancelled
}

func newGate() *gate {
	return &gate{make(chan struct{}, 16), make(chan struct{}), make(chan struct{}, 16)}
}

// pass waits at the gate. It reports whether the request is still wanted.
func (g *gate) pass(r *http.Request) bool {
	g.reached <- struct{}{}
	select {
	case <-g.open:
		return true
	case <-r.Context().Done():
		g.gone <- struct{}{}
		return false
	}
}

func await(t *testing.T, what string, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(10 * time.Second):
		t.Fatalf("%s: nothing happens", what)
	}
}

// held begins an answer, and ends it behind the gate.
func held(g *gate, after int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // or the server would not notice that the client left
		parts := responsesSay(1, "answer")
		stream(w, parts[:after]...)
		if g.pass(r) {
			stream(w, parts[after:]...)
		}
	}
}

func TestInvariant2_AnAnswerCutAtAnyEventNeverEndsCleanOnAWebSocket(t *testing.T) {
	t.Parallel()
	for name, parts := range map[string][]string{"gpt-x": responsesSay(1, "answer"), "messages-only": messagesSay("answer"), "chat-only": {chunk("a"), chunk("b"), finish}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			left := 0
			w := newWorld(t, false, func(rw http.ResponseWriter, r *http.Request) {
				stream(rw, parts[:left]...)
				panic(http.ErrAbortHandler)
			})
			c := w.wire(w.door)
			for left = range len(parts) {
				if name == "chat-only" && left == len(parts)-1 {
					continue // what is missing is only [DONE]
				}
				c.send(model(name))
				e := c.last()
				if typ := e.Get("type").Str; typ != "response.failed" && (typ != "error" || e.Get("status").Int() < 500) {
					t.Errorf("cut after %d events: %s", left, e)
				}
			}
		})
	}
}

func TestInvariant3_ClientGoneFromItsWebSocketCancelsUpstreamAndPenalisesNobody(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]func(*wire){
		"closes":   func(c *wire) { go c.conn.Close(websocket.StatusNormalClosure, "") },
		"vanishes": func(c *wire) { _ = c.conn.CloseNow() },
	} {
		for at, after := range map[string]int{"before the answer": 0, "within it": 6} {
			t.Run(name+" "+at, func(t *testing.T) {
				t.Parallel()
				g := newGate()
				w := newWorld(t, false, held(g, after))
				c := w.wire(w.door)
				c.send(create)
				await(t, "request", g.reached)
				for range after {
					c.next()
				}
				leave(c)
				await(t, "cancellation", g.gone)
				got := w.awaitRecords(1)[0]
				if got.Error != "canceled" {
					t.Errorf("recorded as %q", got.Error)
				}
				for _, a := range w.router.Accounts() {
					if a.State != "ok" {
						t.Errorf("account is %+v", a)
					}
				}
			})
		}
	}
}

func TestResponseCancel(t *testing.T) {
	t.Parallel()
	for after, want := range map[int]string{0: "error", 6: "response.failed"} {
		g := newGate()
		w := newWorld(t, false, held(g, after))
		c := w.wire(w.door)
		c.send(`{"type":"response.cancel"}`) // nothing to cancel
		c.send(create)
		await(t, "request", g.reached)
		for range after {
			c.next()
		}
		c.send(`{"type":"response.processed","response_id":"resp_0"}`) // is taken note of
		c.send(`{"type":"response.cancel"}`)
		await(t, "cancellation", g.gone)
		e := c.last()
		code := e.Get("error.code").Str + e.Get("response.error.code").Str
		if e.Get("type").Str != want || code != "response_cancelled" {
			t.Errorf("after %d events: %s", after, e)
		}
		if st := w.router.Accounts()[0].State; st != "ok" {
			t.Errorf("account is %s", st)
		}
		close(g.open)
		c.send(create)
		if e := c.last(); e.Get("type").Str != "response.completed" {
			t.Errorf("the connection is of no use any more: %s", e)
		}
	}
}

func TestRequestsWaitTheirTurn(t *testing.T) {
	t.Parallel()
	g := newGate()
	w := newWorld(t, false, func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if g.pass(r) {
			n := 0
			_, _ = fmt.Sscanf(string(body[strings.Index(string(body), "number "):]), "number %d", &n)
			stream(rw, responsesSay(n, fmt.Sprintf("answer to %d", n))...)
		}
	})
	c := w.wire(w.door)
	for i := range 5 {
		c.send(strings.Replace(create, `"hi"`, fmt.Sprintf(`"number %d"`, i), 1))
	}
	await(t, "request", g.reached)
	c.send(`{"type":"response.cancel"}`) // is for the one under way, not for those that wait
	if e := c.last(); e.Get("error.code").Str != "response_cancelled" {
		t.Errorf("got %s", e)
	}
	close(g.open)
	for i := 1; i < 5; i++ {
		if e := c.last(); !strings.Contains(e.Raw, fmt.Sprintf("answer to %d", i)) {
			t.Errorf("%d: got %s", i, e)
		}
	}
	if n := len(g.reached); n != 4 {
		t.Errorf("%d requests went upstream behind the first", n)
	}
}

func TestWhatEndsAConnection(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		do     func(*wire)
		status int64
		say    string
		code   websocket.StatusCode
	}{
		{"a binary message", func(c *wire) { _ = c.conn.Write(c.t.Context(), websocket.MessageBinary, []byte(create)) }, 400, "text", websocket.StatusUnsupportedData},
		{"a message over the limit", func(c *wire) {
			c.send(strings.Replace(create, "hi", strings.Repeat("x", 70<<10), 1))
		}, 413, "limits.request_body", websocket.StatusMessageTooBig},
		{"too many that wait", func(c *wire) {
			for range 12 {
				_ = c.conn.Write(c.t.Context(), websocket.MessageText, []byte(create))
			}
		}, 429, "may wait", websocket.StatusPolicyViolation},
		{"too much that waits", func(c *wire) {
			for range 4 {
				_ = c.conn.Write(c.t.Context(), websocket.MessageText, []byte(strings.Replace(create, "hi", strings.Repeat("x", 30<<10), 1)))
			}
		}, 429, "may wait", websocket.StatusPolicyViolation},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			g := newGate()
			w := newWorld(t, false, held(g, 6), func(c *router.Config, _ *fake) { c.BodyLimit = 64 << 10 })
			c := w.wire(w.door)
			c.send(create)
			await(t, "request", g.reached)
			for range 6 {
				c.next()
			}
			tc.do(c)
			told, failed := false, false
			for range 2 {
				switch e := c.next(); e.Get("type").Str {
				case "error":
					told = e.Get("status").Int() == tc.status && strings.Contains(e.Get("error.message").Str, tc.say)
				case "response.failed":
					failed = e.Get("response.error.code").Str == "connection_closed"
				}
			}
			if !told || !failed {
				t.Errorf("told why: %t; the answer under way failed: %t", told, failed)
			}
			await(t, "cancellation", g.gone)
			if code := c.closed(); code != tc.code {
				t.Errorf("closed with %d, want %d", code, tc.code)
			}
		})
	}
}

func TestDrainLetsAnswersFinishAndClosesTheRest(t *testing.T) {
	t.Parallel()
	g := newGate()
	w := newWorld(t, false, held(g, 6))
	idle, busy := w.wire(w.door), w.wire(w.proxy)
	busy.send(create)
	await(t, "request", g.reached)
	w.router.Close()
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		w.router.Drain(t.Context())
	}()
	if code := idle.closed(); code != websocket.StatusGoingAway {
		t.Errorf("the idle one was closed with %d", code)
	}
	select {
	case <-drained:
		t.Fatal("drained although an answer is being made")
	default:
	}
	close(g.open)
	if e := busy.last(); e.Get("type").Str != "response.completed" {
		t.Errorf("the answer under way ended with %s", e)
	}
	if code := busy.closed(); code != websocket.StatusGoingAway {
		t.Errorf("the busy one was closed with %d", code)
	}
	await(t, "drain", drained)
	_, resp, err := websocket.Dial(t.Context(), w.door.URL+"/v1/responses", &websocket.DialOptions{HTTPClient: w.door.Client()})
	if err == nil || resp == nil || resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("a new one got %v, %v", resp, err)
	}
}

func TestDrainCutsWhatOutlivesItsTime(t *testing.T) {
	t.Parallel()
	g := newGate()
	w := newWorld(t, false, held(g, 6))
	c := w.wire(w.door)
	c.send(create)
	await(t, "request", g.reached)
	ctx, end := context.WithCancel(t.Context())
	end()
	w.router.Close()
	w.router.Drain(ctx)
	await(t, "cancellation", g.gone)
	for {
		if _, b, err := c.conn.Read(t.Context()); err != nil {
			break
		} else if strings.Contains(string(b), "response.completed") {
			t.Errorf("a cut answer looks whole: %s", b)
		}
	}
}

func TestHandshakesThatAreNone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false, nil)
	for name, tc := range map[string]struct {
		headers []string
		status  int
	}{
		"no key":      {[]string{"Connection", "Upgrade", "Upgrade", "websocket", "Sec-Websocket-Version", "13"}, 400},
		"old version": {[]string{"Connection", "Upgrade", "Upgrade", "websocket", "Sec-Websocket-Version", "8", "Sec-Websocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="}, 400},
		"no upgrade":  {nil, 405},
	} {
		resp := w.do(w.door, "GET", "/v1/responses", "", tc.headers...)
		if resp.StatusCode != tc.status {
			t.Errorf("%s: status %d, want %d", name, resp.StatusCode, tc.status)
		}
	}
	if got := w.awaitRecords(3); got[0].Status < 400 || got[0].Error == "" {
		t.Errorf("recorded as %+v", got[0])
	}
}
