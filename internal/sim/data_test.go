package sim_test

import (
	"compress/gzip"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"detour/internal/sim"
)

func TestTokens(t *testing.T) {
	t.Parallel()
	c := newClock()
	r := start(t, sim.Options{Now: c.now, Scenario: &sim.Scenario{Exchange: sim.Exchange{SoftEnd: true}}})
	ask := func(auth string) got {
		return r.send("POST", r.CopilotURL()+"/chat/completions", chatHello, "Authorization", auth)
	}
	expired := func(name string, g got) {
		t.Helper()
		if g.status != 401 || g.body != "unauthorized: token expired\n" || !strings.HasPrefix(g.header.Get("Content-Type"), "text/plain") {
			t.Errorf("%s: %d %q", name, g.status, g.body)
		}
	}
	token := r.token("alice")
	if g := ask("Bearer " + token); g.status != 200 {
		t.Errorf("fresh token: %d %s", g.status, g.body)
	}
	expired("none", ask(""))
	expired("wrong scheme", ask("token "+token))
	expired("unknown", ask("Bearer tid=x"))
	c.add(25 * time.Minute)
	expired("after refresh_in", ask("Bearer "+token))
	r.Update(func(sc *sim.Scenario) { sc.Exchange.SoftEnd = false })
	if g := ask("Bearer " + token); g.status != 200 {
		t.Errorf("before expires_at: %d", g.status)
	}
	c.add(5 * time.Minute)
	expired("after expires_at", ask("Bearer "+token))
	token = r.token("alice")
	r.Account("alice").RevokeCopilotTokens()
	expired("revoked", ask("Bearer "+token))
	if g := ask("Bearer " + r.token("alice")); g.status != 200 {
		t.Errorf("after revocation: %d", g.status)
	}
	if g := ask("Bearer " + r.Account("frank").Token()); g.status != 400 || !strings.Contains(g.body, "Personal Access Tokens are not supported") {
		t.Errorf("PAT: %d %s", g.status, g.body)
	}
	if g := ask("Bearer " + r.Account("heidi").Token()); g.status != 200 {
		t.Errorf("direct token: %d %s", g.status, g.body)
	}
	if g := ask("Bearer " + r.Account("erin").Token()); g.status != 403 || g.body != "unauthorized: not licensed to use Copilot\n" {
		t.Errorf("no licence: %d %s", g.status, g.body)
	}
	r.Update(func(sc *sim.Scenario) { sc.Checks.RejectDirect = true })
	expired("direct", ask("Bearer "+r.Account("heidi").Token()))
}

func TestWrongHostIsMisdirected(t *testing.T) {
	t.Parallel()
	r := start(t, sim.Options{})
	bob := "Bearer " + r.token("bob")
	g := r.send("POST", r.CopilotURL()+"/chat/completions", chatHello, "Authorization", bob)
	if g.status != 421 || g.body != "Misdirected Request" {
		t.Errorf("got %d %q", g.status, g.body)
	}
	if g := r.send("POST", r.BusinessURL()+"/chat/completions", chatHello, "Authorization", bob); g.status != 200 {
		t.Errorf("right host: %d", g.status)
	}
	r.Update(func(sc *sim.Scenario) { sc.AnyHost = true })
	if g := r.send("POST", r.CopilotURL()+"/chat/completions", chatHello, "Authorization", bob); g.status != 200 {
		t.Errorf("any host: %d", g.status)
	}
}

func TestPremiumCounter(t *testing.T) {
	t.Parallel()
	r := start(t, sim.Options{})
	alice := r.Account("alice")
	last := ""
	for _, tc := range []struct {
		model, initiator string
		want             float64
	}{
		{"gpt-4.1", "user", 0}, {"claude-sonnet-4.6", "user", 1}, {"claude-sonnet-4.6", "agent", 1}, {"claude-sonnet-4.6", "AGENT", 1},
		{"claude-sonnet-4.6", "", 2}, {"claude-sonnet-4.6", "garbage", 3}, {"claude-opus-4.8", "USER", 13}, {"claude-haiku-4.5", "user", 13.33},
	} {
		g := r.infer("/chat/completions", `{"model":"`+tc.model+`","messages":[{"role":"user","content":"x"}]}`, "X-Initiator", tc.initiator)
		if got := alice.Premium(); g.status != 200 || got-tc.want > 1e-9 || tc.want-got > 1e-9 {
			t.Errorf("%s as %q: %d, premium %v, want %v", tc.model, tc.initiator, g.status, got, tc.want)
		}
		last = g.header.Get("x-quota-snapshot-premium_interactions")
	}
	if want := "ent=1500&ov=0.0&ovPerm=false&rem=92.4&rst="; !strings.HasPrefix(last, want) || !strings.HasSuffix(last, "&totRem=1386.7") {
		t.Errorf("quota header %q, want %s…", last, want)
	}
	q := r.Requests(func(q sim.Request) bool { return q.Model == "claude-opus-4.8" })
	if len(q) != 1 || q[0].Initiator != "user" || q[0].Premium != 10 || q[0].Account != "alice" {
		t.Errorf("recorded = %+v", q)
	}
	n := alice.Counts()
	if n.User != 6 || n.Agent != 2 || n.Requests != 8 {
		t.Errorf("counts = %+v", n)
	}
}

func TestQuotaRunsOut(t *testing.T) {
	t.Parallel()
	r := start(t, sim.Options{Scenario: &sim.Scenario{Accounts: []sim.Account{{Name: "alice", Token: "ghu_alice", Entitlement: 10, Used: 9}}}})
	sonnet := `{"model":"claude-sonnet-4.6","messages":[{"role":"user","content":"x"}]}`
	if g := r.infer("/chat/completions", sonnet); g.status != 200 {
		t.Fatalf("last premium request: %d %s", g.status, g.body)
	}
	g := r.infer("/chat/completions", sonnet)
	if g.status != 402 || !strings.Contains(g.body, "quota_exceeded") {
		t.Errorf("over the quota: %d %s", g.status, g.body)
	}
	if _, err := http.ParseTime(g.header.Get("Retry-After")); err != nil {
		t.Errorf("retry-after: %v", err)
	}
	if g := r.infer("/chat/completions", chatHello); g.status != 200 {
		t.Errorf("free model: %d", g.status)
	}
	r.Update(func(sc *sim.Scenario) { sc.Accounts[0].Overage = true })
	if g := r.infer("/chat/completions", sonnet); g.status != 200 || !strings.Contains(g.header.Get("X-Quota-Snapshot-Premium_interactions"), "ov=1.0&ovPerm=true&rem=0.0") {
		t.Errorf("overage: %d %v", g.status, g.header)
	}
}

func TestIdentityChecks(t *testing.T) {
	t.Parallel()
	r := start(t, sim.Options{Scenario: &sim.Scenario{Checks: sim.Checks{RequireIdentity: true, RequireInitiator: true, OldPlugins: []string{"copilot-chat/0.1"}}}})
	full := []string{"Editor-Version", "vscode/1.124.2", "Editor-Plugin-Version", "copilot-chat/0.52.0", "Copilot-Integration-Id", "vscode-chat", "X-Initiator", "user"}
	if g := r.infer("/chat/completions", chatHello, full...); g.status != 200 {
		t.Errorf("full identity: %d %s", g.status, g.body)
	}
	if g := r.infer("/chat/completions", chatHello, "User-Agent", "vscode_claude_code/2.1", "X-Initiator", "agent"); g.status != 200 {
		t.Errorf("proxy identity: %d %s", g.status, g.body)
	}
	if g := r.infer("/chat/completions", chatHello, full[:6]...); g.status != 400 || !strings.Contains(g.body, "X-Initiator") {
		t.Errorf("no initiator: %d %s", g.status, g.body)
	}
	for status, want := range map[int]string{400: "text/plain", 401: "text/html", 403: "text/html", 466: "text/plain"} {
		r.Update(func(sc *sim.Scenario) { sc.Checks.IdentityStatus = status })
		for _, headers := range [][]string{nil, {"Editor-Plugin-Version", "copilot-chat/0.1"}} {
			g := r.infer("/chat/completions", chatHello, headers...)
			if g.status != status || !strings.HasPrefix(g.header.Get("Content-Type"), want) {
				t.Errorf("want %d %s: %d %s", status, want, g.status, g.header.Get("Content-Type"))
			}
		}
	}
}

func TestModels(t *testing.T) {
	t.Parallel()
	r := start(t, sim.Options{Scenario: &sim.Scenario{Checks: sim.Checks{Scoped: map[string][]string{"copilot-developer-cli": {"gpt-4.1"}}}}})
	get := func(headers ...string) got {
		return r.send("GET", r.CopilotURL()+"/models", "", append(headers, "Authorization", "Bearer "+r.token("alice"))...)
	}
	g := get()
	data := at(g.json(t), "data").([]any)
	byID := map[any]any{}
	for _, m := range data {
		byID[at(m, "id")] = m
	}
	if len(data) != len(sim.DefaultModels()) || g.header.Get("X-Quota-Snapshot-Chat") != "" {
		t.Errorf("%d models, headers %v", len(data), g.header)
	}
	for _, tc := range []struct {
		model string
		path  []any
		want  any
	}{
		{"gpt-4o", []any{"supported_endpoints"}, nil},
		{"gpt-4o", []any{"policy"}, nil},
		{"gpt-4o", []any{"billing", "multiplier"}, 0.0},
		{"gpt-4o-mini", []any{"billing"}, nil},
		{"gpt-5.4", []any{"supported_endpoints", 1}, "ws:/responses"},
		{"claude-opus-4.8", []any{"new_member_nobody_knows", "a", 1}, 2.0},
		{"claude-opus-4.1", []any{"policy", "state"}, "disabled"},
		{"grok-4.5", []any{"capabilities", "limits"}, nil},
		{"claude-haiku-4.5", []any{"billing", "multiplier"}, 0.33},
		{"text-embedding-3-small", []any{"capabilities", "limits", "max_inputs"}, 256.0},
	} {
		if got := at(byID[tc.model], tc.path...); got != tc.want {
			t.Errorf("%s %v = %v, want %v", tc.model, tc.path, got, tc.want)
		}
	}
	if data := at(get("Copilot-Integration-Id", "copilot-developer-cli").json(t), "data").([]any); len(data) != 1 {
		t.Errorf("scoped catalogue has %d models", len(data))
	}
	r.Update(func(sc *sim.Scenario) {
		sc.Models = append(sc.Models, sim.Model{ID: "new-model"})
		sc.Faults = []sim.Fault{{On: sim.OpModels, Name: "rate_limited", Arg: "60"}}
	})
	if g := get(); g.status != 429 || g.header.Get("Retry-After") != "60" {
		t.Errorf("refetch: %d", g.status)
	}
	if g := get(); !strings.Contains(g.body, "new-model") {
		t.Error("the catalogue did not change")
	}
}

func TestPlanGate(t *testing.T) {
	t.Parallel()
	r := start(t, sim.Options{})
	body := `{"model":"gpt-5.5","input":"x"}`
	if g := r.infer("/responses", body); g.status != 400 || !strings.Contains(g.body, "no_available_model_endpoints") {
		t.Errorf("alice: %d %s", g.status, g.body)
	}
	if g := r.send("POST", r.EnterpriseURL()+"/responses", body, "Authorization", "Bearer "+r.token("dave")); g.status != 200 {
		t.Errorf("dave: %d %s", g.status, g.body)
	}
}

func TestVision(t *testing.T) {
	t.Parallel()
	r := start(t, sim.Options{Scenario: &sim.Scenario{Messages: sim.Messages{NoReplayCheck: true}}})
	for path, body := range map[string]string{
		"/chat/completions": `{"model":"gpt-4o","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:"}}]}]}`,
		"/responses":        `{"model":"gpt-5.4","input":[{"role":"user","content":[{"type":"input_image","image_url":"data:"}]}]}`,
		"/v1/messages":      `{"model":"claude-sonnet-4.6","max_tokens":9,"messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":[{"type":"image","source":{}}]}]}]}`,
	} {
		if g := r.infer(path, body); g.status != 400 || !strings.Contains(g.body, "missing required Copilot-Vision-Request header") {
			t.Errorf("%s without: %d %s", path, g.status, g.body)
		}
		if g := r.infer(path, body, "Copilot-Vision-Request", "true"); g.status != 200 {
			t.Errorf("%s with: %d %s", path, g.status, g.body)
		}
	}
}

func TestHeadersAndLimits(t *testing.T) {
	t.Parallel()
	r := start(t, sim.Options{Scenario: &sim.Scenario{MaxBody: 1000}})
	g := r.infer("/chat/completions", chatHello, "X-Request-Id", "mine")
	if g.header.Get("X-Request-Id") != "mine" || g.header.Get("X-Github-Request-Id") == "" {
		t.Errorf("headers = %v", g.header)
	}
	if g := r.infer("/chat/completions", chatHello); len(g.header.Get("X-Request-Id")) != 36 {
		t.Errorf("x-request-id = %q", g.header.Get("X-Request-Id"))
	}
	if g := r.infer("/chat/completions", chatHello+strings.Repeat(" ", 1000)); g.status != 413 {
		t.Errorf("too large: %d", g.status)
	}
	for _, path := range []string{"/responses/compact", "/v1/chat/completions", "/nothing"} {
		if g := r.infer(path, "{}"); g.status != 404 || g.body != "404 page not found\n" {
			t.Errorf("%s: %d %q", path, g.status, g.body)
		}
	}
	if g := r.send("GET", r.CopilotURL()+"/_ping", ""); g.status != 200 {
		t.Errorf("ping: %d", g.status)
	}
}

func TestGzipOnlyIfAsked(t *testing.T) {
	t.Parallel()
	r := start(t, sim.Options{})
	auth := "Bearer " + r.token("alice")
	if g := r.send("GET", r.CopilotURL()+"/models", "", "Authorization", auth); g.header.Get("Content-Encoding") != "" {
		t.Error("compressed without being asked")
	}
	if g := r.send("GET", r.CopilotURL()+"/models", "", "Authorization", auth, "Accept-Encoding", "gzip;q=0"); g.header.Get("Content-Encoding") != "" {
		t.Error("compressed although refused")
	}
	g := r.send("GET", r.CopilotURL()+"/models", "", "Authorization", auth, "Accept-Encoding", "br, gzip")
	if g.header.Get("Content-Encoding") != "gzip" {
		t.Fatal("not compressed")
	}
	z, err := gzip.NewReader(strings.NewReader(g.body))
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(z); err != nil || !strings.HasPrefix(string(b), `{"data":[`) {
		t.Errorf("content %.50q, %v", b, err)
	}
}

func TestClientCancelIsRecorded(t *testing.T) {
	t.Parallel()
	for _, h2 := range []bool{false, true} {
		g := new(sim.Gate)
		r := start(t, sim.Options{HTTP2: h2, Scenario: &sim.Scenario{Gates: map[string]*sim.Gate{"g": g}}})
		ctx, cancel := context.WithCancel(t.Context())
		req, err := http.NewRequestWithContext(ctx, "POST", r.CopilotURL()+"/chat/completions",
			strings.NewReader(`{"model":"gpt-4.1","stream":true,"messages":[{"role":"user","content":"[[sim:gate=g@2]]"}]}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+r.token("alice"))
		resp, err := r.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if err := g.Arrived(soon(t), 1); err != nil {
			t.Fatal(err)
		}
		cancel()
		resp.Body.Close()
		q, err := r.Await(soon(t), 1, func(q sim.Request) bool { return q.Op == sim.OpChat && q.Done })
		if err != nil {
			t.Fatal(err)
		}
		if !q[0].Canceled || q[0].CancelAfter <= 0 || q[0].Status != 200 {
			t.Errorf("h2 %v: recorded %+v", h2, q[0])
		}
	}
}

func TestCompleteAnswersAreNotCancelled(t *testing.T) {
	t.Parallel()
	r := start(t, sim.Options{})
	for range 20 {
		r.infer("/chat/completions", `{"model":"gpt-4.1","stream":true,"messages":[{"role":"user","content":"x"}]}`)
		r.client.CloseIdleConnections()
	}
	q, err := r.Await(soon(t), 20, func(q sim.Request) bool { return q.Done })
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range q {
		if q.Canceled {
			t.Fatalf("recorded %+v", q)
		}
	}
}

func TestProtocols(t *testing.T) {
	t.Parallel()
	for _, o := range []sim.Options{{}, {HTTP2: true}, {TLS: true}, {TLS: true, HTTP2: true}} {
		r := start(t, o)
		g := r.infer("/chat/completions", chatHello)
		q := r.Requests()
		want := "HTTP/1.1"
		if o.HTTP2 {
			want = "HTTP/2.0"
		}
		if g.status != 200 || q[0].Proto != want || string(q[0].Body) != chatHello {
			t.Errorf("%+v: %d, recorded %+v", o, g.status, q[0])
		}
	}
}

func TestRecordLimits(t *testing.T) {
	t.Parallel()
	r := start(t, sim.Options{Record: -1})
	r.infer("/chat/completions", chatHello)
	if q := r.Requests(); q != nil {
		t.Errorf("recorded %+v", q)
	}
	if _, err := r.Await(soon(t), 1); err == nil {
		t.Error("Await must fail when nothing is recorded")
	}
	r = start(t, sim.Options{Record: 8})
	for range 20 {
		r.infer("/chat/completions", chatHello)
	}
	if n := len(r.Requests()); n > 8 || n < 4 {
		t.Errorf("%d requests kept, want at most 8", n)
	}
}

func TestSameSeedSameAnswers(t *testing.T) {
	t.Parallel()
	answer := func(seed uint64) string {
		c := newClock()
		r := start(t, sim.Options{Seed: seed, Now: c.now})
		return r.infer("/responses", `{"model":"gpt-5.4","stream":true,"input":"x"}`).body
	}
	if first, again := answer(1), answer(1); first != again {
		t.Error("the same seed gave different answers")
	}
	if answer(1) == answer(2) {
		t.Error("different seeds gave the same answer")
	}
}

func TestSession(t *testing.T) {
	t.Parallel()
	r := start(t, sim.Options{})
	v := r.infer("/models/session", `{"auto_mode":{"model_hints":["auto"]}}`).json(t)
	if v["selected_model"] != "gpt-4o" || v["session_token"] == "" {
		t.Errorf("session = %v", v)
	}
}
