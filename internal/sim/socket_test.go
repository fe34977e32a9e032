package sim_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"detour/internal/sim"
)

// frames is a client's end of the WebSocket of /responses.
type frames struct {
	t    *testing.T
	conn *websocket.Conn
}

func (r *rig) frames(t *testing.T, account string, headers ...string) *frames {
	t.Helper()
	h := http.Header{"Authorization": {"Bearer " + r.Account(account).Token()}}
	for i := 0; i < len(headers); i += 2 {
		h.Set(headers[i], headers[i+1])
	}
	conn, resp, err := websocket.Dial(soon(t), r.CopilotURL()+"/responses", &websocket.DialOptions{HTTPClient: r.client, HTTPHeader: h, CompressionMode: websocket.CompressionContextTakeover})
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	if resp.Header.Get("X-Github-Request-Id") == "" {
		t.Error("the handshake has no request id")
	}
	conn.SetReadLimit(-1)
	t.Cleanup(func() { _ = conn.CloseNow() })
	return &frames{t, conn}
}

type socketEvent struct {
	Type     string
	Error    struct{ Code, Message string }
	Response struct {
		ID     string
		Output json.RawMessage
	}
	Quota map[string]struct {
		Entitlement any
		Percent     float64 `json:"percent_remaining"`
		Reset       string  `json:"reset_date"`
	} `json:"copilot_quota_snapshots"`
	raw string
}

func (f *frames) send(frame string) {
	f.t.Helper()
	if err := f.conn.Write(soon(f.t), websocket.MessageText, []byte(frame)); err != nil {
		f.t.Fatal(err)
	}
}

// ask sends a frame and returns the events of its answer, the last of them, and how the connection ended if it did.
func (f *frames) ask(frame string) (all []string, last socketEvent, err error) {
	f.t.Helper()
	f.send(frame)
	for {
		_, b, err := f.conn.Read(soon(f.t))
		if err != nil {
			return all, last, err
		}
		last = socketEvent{raw: string(b)}
		if err := json.Unmarshal(b, &last); err != nil {
			f.t.Fatalf("%s: %v", b, err)
		}
		all = append(all, last.Type)
		switch last.Type {
		case "response.completed", "response.incomplete", "response.failed", "error":
			return all, last, nil
		}
	}
}

const frame = `{"type":"response.create","model":"gpt-5.4","store":false,"include":["reasoning.encrypted_content"],"reasoning":{"effort":"low"},"initiator":"user","input":`

func TestSocketAnswersFramesAndRemembersThem(t *testing.T) {
	t.Parallel()
	r := start(t, sim.Options{TLS: true})
	f := r.frames(t, "alice", "X-Initiator", "agent") // which does not count: it is in the frame
	all, one, err := f.ask(frame + `[{"role":"user","content":"first"}]}`)
	if err != nil || one.Type != "response.completed" || all[0] != "response.created" {
		t.Fatalf("got %v, %s, %v", all, one.raw, err)
	}
	if q := one.Quota["premium_interactions"]; q.Entitlement == nil || q.Reset == "" {
		t.Errorf("no quota in %s", one.raw)
	} else if _, ok := q.Entitlement.(string); !ok {
		t.Errorf("the entitlement is no string in %s", one.raw)
	}
	_, two, err := f.ask(strings.Replace(frame, `"user"`, `"agent"`, 1) + `"second","previous_response_id":"` + one.Response.ID + `"}`)
	if err != nil || !strings.Contains(two.raw, "to: second") {
		t.Fatalf("got %s, %v", two.raw, err)
	}
	got := r.Requests(func(r sim.Request) bool { return r.Op == sim.OpResponses })
	if len(got) != 2 || !got[1].Socket || !got[1].Done || got[1].Status != 200 || got[0].Initiator != "user" || got[1].Initiator != "agent" || got[0].Premium != 1 {
		t.Errorf("recorded as %+v", got)
	}
	if open := r.Requests(func(r sim.Request) bool { return r.Op == sim.OpSocket }); len(open) != 1 || open[0].Status != 101 {
		t.Errorf("the connection is recorded as %+v", open)
	}
	// Another connection knows nothing of it.
	_, other, _ := r.frames(t, "alice").ask(frame + `"x","previous_response_id":"` + one.Response.ID + `"}`)
	if other.Type != "error" || other.Error.Code != "previous_response_not_found" {
		t.Errorf("got %s", other.raw)
	}
}

// The model sees the whole conversation of a chain.
func TestSocketChainHoldsTheConversation(t *testing.T) {
	t.Parallel()
	turns := make(chan int, 3)
	r := start(t, sim.Options{TLS: true, Scenario: &sim.Scenario{Brain: func(q sim.BrainRequest) sim.BrainAnswer {
		turns <- q.Turns
		return sim.BrainAnswer{}
	}}})
	f := r.frames(t, "alice")
	previous := ""
	for _, want := range []int{1, 4, 7} { // reasoning and message of each answer between the questions
		_, e, err := f.ask(frame + `"x"` + previous + `}`)
		if err != nil || e.Type != "response.completed" {
			t.Fatalf("got %s, %v", e.raw, err)
		}
		if got := <-turns; got != want {
			t.Errorf("the model saw %d items, want %d", got, want)
		}
		previous = `,"previous_response_id":"` + e.Response.ID + `"`
	}
}

func TestSocketErrors(t *testing.T) {
	t.Parallel()
	models := append(sim.DefaultModels(), sim.Model{ID: "no-ws", Endpoints: []string{"/responses"}})
	r := start(t, sim.Options{TLS: true, Scenario: &sim.Scenario{Models: models}})
	f := r.frames(t, "alice")
	for _, tc := range []struct{ name, frame, code, say string }{
		{"not JSON", `{`, "invalid_request_body", "frame"},
		{"no type", `{"model":"gpt-5.4","input":"x"}`, "invalid_request_body", "response.create"},
		{"nested", `{"type":"response.create","response":{"model":"gpt-5.4","input":"x"}}`, "invalid_request_body", "nested"},
		{"odd input", `{"type":"response.create","model":"gpt-5.4","input":7}`, "invalid_request_body", "input"},
		{"a model without it", `{"type":"response.create","model":"no-ws","input":"x"}`, "unsupported_api_for_model", "no-ws"},
		{"an unknown model", `{"type":"response.create","model":"none","input":"x"}`, "model_not_supported", "not supported"},
		{"store", `{"type":"response.create","model":"gpt-5.4","input":"x","store":true}`, "unsupported_value", "store"},
		{"a limit", frame + `"x [[sim:fault=five_hours]]"}`, "user_global_rate_limited:pro", "5 hour"},
		{"plain text", frame + `"x [[sim:fault=unavailable]]"}`, "503", "no healthy upstream"},
		{"an error within", frame + `"x [[sim:fault=error=1:boom]]"}`, "boom", "failed"},
	} {
		_, e, err := f.ask(tc.frame)
		if err != nil || e.Type != "error" || e.Error.Code != tc.code || !strings.Contains(e.Error.Message, tc.say) || e.Quota["premium_interactions"].Entitlement == nil {
			t.Errorf("%s: got %s, %v", tc.name, e.raw, err)
		}
	}
	if _, e, _ := f.ask(frame + `"still there"}`); e.Type != "response.completed" {
		t.Errorf("got %s", e.raw)
	}
}

func TestSocketEndsAsAFaultWants(t *testing.T) {
	t.Parallel()
	r := start(t, sim.Options{TLS: true})
	for fault, code := range map[string]websocket.StatusCode{"abort=1": -1, "rst=1": -1, "eof=1": websocket.StatusNormalClosure} {
		f := r.frames(t, "alice")
		all, _, err := f.ask(frame + `"x [[sim:fault=` + fault + `]]"}`)
		if err == nil || websocket.CloseStatus(err) != code || len(all) == 0 {
			t.Errorf("%s: %v after %v", fault, err, all)
		}
	}
}

func TestSocketNoticesThatTheClientLeft(t *testing.T) {
	t.Parallel()
	gate := new(sim.Gate)
	r := start(t, sim.Options{TLS: true, Scenario: &sim.Scenario{Gates: map[string]*sim.Gate{"g": gate}}})
	f := r.frames(t, "alice")
	f.send(frame + `"x [[sim:gate=g@1]]"}`)
	if _, _, err := f.conn.Read(soon(t)); err != nil {
		t.Fatal(err)
	}
	_ = f.conn.CloseNow()
	if _, err := r.Await(soon(t), 1, func(r sim.Request) bool { return r.Socket && r.Canceled && r.Done }); err != nil {
		t.Error(err)
	}
}

func TestSocketRefusesStrangersAndOtherUpgrades(t *testing.T) {
	t.Parallel()
	r := start(t, sim.Options{TLS: true})
	for name, tc := range map[string]struct {
		header http.Header
		status int
	}{
		"no token":  {http.Header{}, 401},
		"no socket": {http.Header{"Authorization": {"Bearer " + r.Account("alice").Token()}, "Upgrade": {"other"}, "Connection": {"Upgrade"}}, 404},
	} {
		req, _ := http.NewRequestWithContext(context.Background(), http.MethodGet, r.CopilotURL()+"/responses", nil)
		req.Header = tc.header
		if name == "no token" {
			_, resp, err := websocket.Dial(soon(t), req.URL.String(), &websocket.DialOptions{HTTPClient: r.client})
			if err == nil || resp == nil || resp.StatusCode != tc.status {
				t.Errorf("%s: %v, %v", name, resp, err)
			}
			continue
		}
		resp, err := r.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != tc.status {
			t.Errorf("%s: status %d, want %d", name, resp.StatusCode, tc.status)
		}
	}
}
