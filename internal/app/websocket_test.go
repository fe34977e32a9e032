package app_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/tidwall/gjson"

	"detour/internal/app"
	"detour/internal/clientkey"
	"detour/internal/config"
	"detour/internal/sim"
)

func TestWebSockets(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil, nil, "alice")
	c := w.client(false)
	for name, url := range map[string]string{
		"relayed on an intercepted host": "wss://api.openai.com/ws",
		"through a tunnel":               "wss://www.example.test/ws",
	} {
		t.Run(name, func(t *testing.T) {
			conn, _, err := websocket.Dial(t.Context(), url, &websocket.DialOptions{HTTPClient: c})
			if err != nil {
				t.Fatal(err)
			}
			for _, msg := range []string{"one", "two"} {
				if err := conn.Write(t.Context(), websocket.MessageText, []byte(msg)); err != nil {
					t.Fatal(err)
				}
				if _, got, err := conn.Read(t.Context()); err != nil || string(got) != msg {
					t.Errorf("echo of %s: %q, %v", msg, got, err)
				}
			}
			if err := conn.Close(websocket.StatusNormalClosure, ""); err != nil {
				t.Errorf("close: %v", err)
			}
		})
	}
	t.Run("on a path that is served over HTTP only", func(t *testing.T) {
		_, resp, err := websocket.Dial(t.Context(), "wss://api.openai.com/v1/chat/completions", &websocket.DialOptions{HTTPClient: c})
		if err == nil || resp == nil || resp.StatusCode != http.StatusUpgradeRequired {
			t.Errorf("got %v, %v; want 426", resp, err)
		}
	})
}

// talk is a WebSocket to /responses.
type talk struct {
	t    *testing.T
	conn *websocket.Conn
	resp *http.Response
}

func dial(t *testing.T, c *http.Client, url string, header http.Header) talk {
	t.Helper()
	conn, resp, err := websocket.Dial(t.Context(), url, &websocket.DialOptions{HTTPClient: c, HTTPHeader: header, CompressionMode: websocket.CompressionContextTakeover})
	if err != nil {
		t.Fatalf("dial %s: %v", url, err)
	}
	conn.SetReadLimit(-1)
	t.Cleanup(func() { _ = conn.CloseNow() })
	return talk{t, conn, resp}
}

// ask sends a message and returns the last event of the answer.
func (c talk) ask(message string) gjson.Result {
	c.t.Helper()
	if err := c.conn.Write(c.t.Context(), websocket.MessageText, []byte(message)); err != nil {
		c.t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(c.t.Context(), 20*time.Second)
	defer stop()
	for {
		_, b, err := c.conn.Read(ctx)
		if err != nil {
			c.t.Fatal(err)
		}
		switch e := gjson.ParseBytes(b); e.Get("type").Str {
		case "response.completed", "response.failed", "response.incomplete", "error":
			return e
		}
	}
}

func TestResponsesOverAWebSocketThroughBothDoors(t *testing.T) {
	t.Parallel()
	w := newWorld(t, &sim.Scenario{OriginCopilot: true}, nil, "alice")
	proxied := w.client(false)
	for name, door := range map[string]struct {
		client *http.Client
		url    string
	}{
		"api":              {http.DefaultClient, "ws://" + w.app.APIAddr() + "/v1/responses"},
		"api without v1":   {http.DefaultClient, "ws://" + w.app.APIAddr() + "/responses"},
		"api by proxy":     {proxied, "ws://" + w.app.APIAddr() + "/v1/responses"},
		"proxy":            {proxied, "wss://api.openai.com/v1/responses"},
		"proxy, ChatGPT's": {proxied, "wss://chatgpt.com/backend-api/codex/responses"},
		"proxy, Copilot's": {proxied, "wss://api.githubcopilot.com/responses"},
	} {
		for _, model := range []string{"gpt-5.4", "claude-sonnet-4.6", "gpt-4o"} {
			t.Run(name+"/"+model, func(t *testing.T) {
				t.Parallel()
				marker := "ping-" + strings.NewReplacer(" ", "-", ",", "-", "'", "-", ".", "-").Replace(name+"-"+model)
				c := dial(t, door.client, door.url, http.Header{"Authorization": {"Bearer client-own"}})
				if strings.Contains(door.url, "githubcopilot") != (c.resp.Header.Get("X-Github-Request-Id") != "") {
					t.Errorf("request id of the handshake: %q", c.resp.Header.Get("X-Github-Request-Id"))
				}
				rest := `"model":"` + model + `","store":false,"include":["reasoning.encrypted_content"],"reasoning":{"effort":"low"},`
				warm := c.ask(`{"type":"response.create","generate":false,` + rest + `"input":[{"role":"developer","content":"` + marker + `"}]}`)
				id := warm.Get("response.id").Str
				for _, say := range []string{"first", "second", "third"} {
					e := c.ask(`{"type":"response.create",` + rest + `"previous_response_id":"` + id + `","input":[{"role":"user","content":"` + say + ` question"}]}`)
					if e.Get("type").Str != "response.completed" || !strings.Contains(e.Raw, "answer from "+model+" to: "+say) {
						t.Fatalf("%s: %s", say, e)
					}
					id = e.Get("response.id").Str
				}
				seen := w.sim.Requests(func(r sim.Request) bool {
					return r.Plane == sim.PlaneCopilot && strings.Contains(string(r.Body), marker) && r.Status == 200
				})
				if len(seen) != 3 || seen[0].Socket {
					t.Fatalf("the simulated Copilot saw %d requests", len(seen))
				}
				last := string(seen[2].Body)
				for _, want := range []string{"first question", "second question", "third question", "to: first", "to: second"} {
					if !strings.Contains(last, want) {
						t.Errorf("no %q in the last request: %s", want, last)
					}
				}
				for _, r := range seen {
					for name, v := range r.Header {
						if all := strings.Join(v, " "); strings.Contains(all, "client-own") || strings.HasPrefix(name, "Sec-Websocket") || name == "Upgrade" {
							t.Errorf("%s: %s went upstream", name, all)
						}
					}
				}
			})
		}
	}
}

func TestPassthroughRelaysTheWebSocketOfResponses(t *testing.T) {
	t.Parallel()
	w := newWorld(t, &sim.Scenario{OriginCopilot: true}, nil, "alice")
	own := http.Header{"Authorization": {"Bearer " + w.sim.Account("bob").Token()}, "X-Route-Mode": {"passthrough"}}
	c := dial(t, w.client(false), "wss://api.githubcopilot.com/responses", own)
	e := c.ask(`{"type":"response.create","model":"gpt-5.4","store":false,"initiator":"agent","input":"relayed"}`)
	if !strings.Contains(e.Raw, "to: relayed") || !e.Get("copilot_quota_snapshots").Exists() {
		t.Errorf("got %s", e)
	}
	seen := w.sim.Requests(func(r sim.Request) bool { return r.Socket })
	if len(seen) != 1 || seen[0].Account != "bob" || seen[0].Initiator != "agent" {
		t.Errorf("the simulated Copilot saw %+v", seen)
	}
}

// A client of Copilot's own says in each message on whose behalf it asks.
func TestInitiatorInAMessageIsHonoured(t *testing.T) {
	t.Parallel()
	w := newWorld(t, &sim.Scenario{OriginCopilot: true}, nil, "alice")
	c := dial(t, w.client(false), "wss://api.githubcopilot.com/responses", http.Header{"X-Route-Mode": {"switch"}})
	for _, by := range []string{"agent", "user"} {
		if e := c.ask(`{"type":"response.create","model":"gpt-5.4","store":false,"initiator":"` + by + `","input":"as-` + by + `"}`); e.Get("type").Str != "response.completed" {
			t.Fatalf("got %s", e)
		}
		seen := w.sim.Requests(func(r sim.Request) bool { return strings.Contains(string(r.Body), "as-"+by) })
		if len(seen) != 1 || seen[0].Initiator != by || seen[0].Account != "alice" || strings.Contains(string(seen[0].Body), `"initiator"`) {
			t.Errorf("%s: the simulated Copilot saw %+v", by, seen)
		}
	}
}

// What a client says of that in the handshake is about the first message: later ones may be steps of its own.
func TestInitiatorOfTheHandshakeIsAboutTheFirstMessage(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil, nil, "alice")
	for _, by := range []string{"user", "agent"} {
		c := dial(t, http.DefaultClient, "ws://"+w.app.APIAddr()+"/v1/responses", http.Header{"X-Initiator": {by}})
		e := c.ask(`{"type":"response.create","model":"gpt-5.4","store":false,"input":"first-` + by + `"}`)
		c.ask(`{"type":"response.create","model":"gpt-5.4","store":false,"previous_response_id":"` + e.Get("response.id").Str + `","input":[{"type":"function_call_output","call_id":"c","output":"x"}]}`)
		seen := w.sim.Requests(func(r sim.Request) bool { return strings.Contains(string(r.Body), "first-"+by) })
		if len(seen) != 2 || seen[0].Initiator != by || seen[1].Initiator != "agent" {
			t.Errorf("%s: the simulated Copilot saw %+v", by, seen)
		}
	}
}

func TestWebPagesGetNoWebSocket(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil, nil, "alice")
	page := http.Header{"Origin": {"https://evil.example"}}
	_, resp, err := websocket.Dial(t.Context(), "ws://"+w.app.APIAddr()+"/v1/responses", &websocket.DialOptions{HTTPHeader: page})
	if err == nil || resp.StatusCode != http.StatusForbidden {
		t.Errorf("API door: %v, %v", resp, err)
	}
	// Through the proxy it goes where it was going, with what it brought along: the site has no WebSocket there.
	_, resp, err = websocket.Dial(t.Context(), "wss://api.openai.com/v1/responses", &websocket.DialOptions{HTTPClient: w.client(false), HTTPHeader: page})
	if err == nil || resp.Header.Get("X-Sim-Origin") == "" {
		t.Errorf("proxy door: %v, %v", resp, err)
	}
	if n := len(w.sim.Requests(func(r sim.Request) bool { return r.Plane == sim.PlaneCopilot && r.Op != sim.OpModels })); n != 0 {
		t.Errorf("%d requests went to the accounts", n)
	}
}

func TestKeysKeepAnswersApartAndEndWebSockets(t *testing.T) {
	t.Parallel()
	var paths config.Paths
	w := newWorld(t, nil, func(o *app.Options) { paths, o.Config.Server.RequireKeys = o.Paths, "true" }, "alice")
	headers, proxied := map[string]http.Header{}, w.client(false)
	for _, name := range []string{"laptop", "desktop"} {
		_, key, err := clientkey.Create(paths.Keys, name, clientkey.ScopeAll, clientkey.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		headers[name] = http.Header{"Authorization": {"Bearer " + key.Reveal()}}
		if name == "laptop" {
			proxied.Transport.(*http.Transport).Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: w.app.ProxyAddr(), User: url.UserPassword("any", key.Reveal())})
		}
	}
	c, p := dial(t, http.DefaultClient, "ws://"+w.app.APIAddr()+"/v1/responses", headers["laptop"]), dial(t, proxied, "wss://api.openai.com/v1/responses", nil)
	if e := p.ask(`{"type":"response.create","model":"gpt-5.4","input":"of the laptop"}`); e.Get("type").Str != "response.completed" {
		t.Fatalf("by proxy: %s", e)
	}
	e := c.ask(`{"type":"response.create","model":"gpt-5.4","input":"of the laptop"}`)
	for name, want := range map[string]int{"laptop": 200, "desktop": 404} {
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+w.app.APIAddr()+"/v1/responses/"+e.Get("response.id").Str, nil)
		req.Header = headers[name].Clone()
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s: status %d, want %d", name, resp.StatusCode, want)
		}
	}
	if _, err := clientkey.Revoke(paths.Keys, "laptop"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []talk{c, p} {
		if e := c.ask(`{"type":"response.create","model":"gpt-5.4","input":"x"}`); e.Get("status").Int() != 401 || e.Get("error.code").Str != "invalid_api_key" {
			t.Errorf("after the key was revoked: %s", e)
		}
		if _, _, err := c.conn.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusPolicyViolation {
			t.Errorf("the connection goes on: %v", err)
		}
	}
}

func TestStopEndsWebSockets(t *testing.T) {
	t.Parallel()
	for name, busy := range map[string]bool{"idle": false, "answering": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			gate := new(sim.Gate)
			w := newWorld(t, &sim.Scenario{Gates: map[string]*sim.Gate{"g": gate}}, func(o *app.Options) { o.Config.Server.ShutdownGrace = 3 * time.Second }, "alice")
			talks := []talk{
				dial(t, w.client(false), "wss://api.openai.com/v1/responses", nil),
				dial(t, http.DefaultClient, "ws://"+w.app.APIAddr()+"/v1/responses", nil),
			}
			ends := make(chan string, len(talks))
			for _, c := range talks {
				if busy {
					if err := c.conn.Write(t.Context(), websocket.MessageText, []byte(`{"type":"response.create","model":"gpt-5.4","store":false,"input":"x [[sim:gate=g@1]]"}`)); err != nil {
						t.Fatal(err)
					}
				}
				go func() {
					last := ""
					for {
						_, b, err := c.conn.Read(context.Background()) // ends with the connection
						if err != nil {
							ends <- last + " " + websocket.CloseStatus(err).String()
							return
						}
						last = gjson.GetBytes(b, "type").Str
					}
				}()
			}
			if busy {
				if err := gate.Arrived(t.Context(), len(talks)); err != nil {
					t.Fatal(err)
				}
				time.AfterFunc(300*time.Millisecond, gate.Open)
			}
			begun := time.Now()
			w.stop()
			if took := time.Since(begun); took > 2500*time.Millisecond {
				t.Errorf("stopping took %v", took)
			}
			want := " StatusGoingAway"
			if busy {
				want = "response.completed StatusGoingAway"
			}
			for range talks {
				if end := <-ends; end != want {
					t.Errorf("a connection ended with %q, want %q", end, want)
				}
			}
		})
	}
}
