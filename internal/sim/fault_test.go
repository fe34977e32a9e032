package sim_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"detour/internal/sim"
)

// transport are the faults that are no error answers of their own.
var transport = []string{
	"rst", "abort", "eof", "stall", "error", "hang", "delay", "first", "silence", "gate",
	"bytes", "big", "finish", "finish_error", "whitespace", "html200",
}

func TestEveryErrorFault(t *testing.T) {
	t.Parallel()
	r := start(t, sim.Options{})
	for _, name := range sim.Faults() {
		if slices.Contains(transport, name) {
			continue
		}
		byHeader := r.infer("/chat/completions", chatHello, "X-Sim-Fault", name+"=120")
		byText := r.infer("/v1/messages", `{"model":"claude-sonnet-4.6","max_tokens":9,"messages":[{"role":"user","content":"[[sim:fault=`+name+`]]"}]}`)
		if byHeader.status < 400 || byHeader.status == 500 && strings.Contains(byHeader.body, "simulator:") {
			t.Errorf("%s: %d %s", name, byHeader.status, byHeader.body)
		}
		if byHeader.header.Get("Retry-After") != "120" || byText.header.Get("Retry-After") != "" {
			t.Errorf("%s: retry-after %q with argument, %q without", name, byHeader.header.Get("Retry-After"), byText.header.Get("Retry-After"))
		}
		if byHeader.status != byText.status || byHeader.body != byText.body {
			t.Errorf("%s: by header %d %q, by text %d %q", name, byHeader.status, byHeader.body, byText.status, byText.body)
		}
		if byHeader.header.Get("X-Quota-Snapshot-Chat") != "" || byHeader.header.Get("X-Github-Request-Id") == "" {
			t.Errorf("%s: headers %v", name, byHeader.header)
		}
	}
	for _, tc := range []struct {
		fault  string
		status int
		want   string
	}{
		{"status=503", 503, ""}, {"502", 502, ""}, {"quota_exceeded", 402, `"code":"quota_exceeded"`},
		{"user_model_rate_limited:gpt-5.4", 429, "user_model_rate_limited:gpt-5.4"}, {"rate_limit_text", 429, "rate limit exceeded\n"},
		{"html403", 403, "<!DOCTYPE html>"}, {"client_not_supported", 466, "client not supported"}, {"nonsense", 500, "unknown fault"},
		{"gate=nothing", 500, "no gate"}, {"delay=x", 500, "invalid duration"},
	} {
		if g := r.infer("/chat/completions", chatHello, "X-Sim-Fault", tc.fault); g.status != tc.status || !strings.Contains(g.body, tc.want) {
			t.Errorf("%s: %d %s, want %d %s", tc.fault, g.status, g.body, tc.status, tc.want)
		}
	}
}

// surfaces are requests with a text to be filled in, and their terminal event.
var surfaces = map[string]struct{ body, terminal, failure string }{
	"/chat/completions": {`{"model":"gpt-4.1","stream":true,"messages":[{"role":"user","content":"%s one two three"}]}`, "data: [DONE]", `"error":{`},
	"/responses":        {`{"model":"gpt-5.4","stream":true,"input":"%s one two three"}`, "event: response.completed", "event: error"},
	"/v1/messages":      {`{"model":"claude-sonnet-4.6","stream":true,"max_tokens":99,"messages":[{"role":"user","content":"%s one two three"}]}`, "event: message_stop", "event: error"},
}

func TestStreamFaults(t *testing.T) {
	t.Parallel()
	for _, o := range []sim.Options{{}, {TLS: true}, {HTTP2: true}, {TLS: true, HTTP2: true}} {
		t.Run(fmt.Sprintf("tls %v, h2 %v", o.TLS, o.HTTP2), func(t *testing.T) {
			t.Parallel()
			r := start(t, o)
			for path, s := range surfaces {
				for _, fault := range []string{"rst=2", "rst=0", "rst=999", "abort=2", "eof=2", "error=2:rate_limited", "bytes", "big=100000", "first=1ms", "silence=1ms@2", "delay=1ms"} {
					g := r.infer(path, fmt.Sprintf(s.body, "[[sim:fault="+fault+"]]"))
					broken := strings.HasPrefix(fault, "rst") || strings.HasPrefix(fault, "abort")
					whole := !broken && !strings.HasPrefix(fault, "eof") && !strings.HasPrefix(fault, "error")
					if (g.err != nil) != broken {
						t.Errorf("%s %s: read error %v", path, fault, g.err)
					}
					if strings.Contains(g.body, s.terminal) != whole {
						t.Errorf("%s %s: whole stream want %v:\n%s", path, fault, whole, g.body)
					}
					if strings.Contains(g.body, s.failure) != strings.HasPrefix(fault, "error") {
						t.Errorf("%s %s: error frame:\n%s", path, fault, g.body)
					}
					if fault == "big=100000" && len(g.body) < 100000 {
						t.Errorf("%s %s: only %d bytes", path, fault, len(g.body))
					}
				}
			}
		})
	}
}

func TestRSTIsAReset(t *testing.T) {
	t.Parallel()
	r := start(t, sim.Options{})
	g := r.infer("/chat/completions", fmt.Sprintf(surfaces["/chat/completions"].body, "[[sim:fault=rst=2]]"))
	if !errors.Is(g.err, syscall.ECONNRESET) {
		t.Errorf("error %v, want a reset connection", g.err)
	}
}

func TestCutAfterTheChunksAskedFor(t *testing.T) {
	t.Parallel()
	r := start(t, sim.Options{})
	for n := range 4 {
		g := r.infer("/v1/messages", fmt.Sprintf(surfaces["/v1/messages"].body, fmt.Sprintf("[[sim:fault=eof=%d]]", n)))
		if got := strings.Count(g.body, "content_block_delta\n"); got != n {
			t.Errorf("eof=%d: %d chunks", n, got)
		}
	}
}

func TestPlainFaults(t *testing.T) {
	t.Parallel()
	for _, h2 := range []bool{false, true} {
		r := start(t, sim.Options{HTTP2: h2})
		for _, fault := range []string{"rst", "abort", "eof"} {
			if g := r.infer("/chat/completions", chatHello, "X-Sim-Fault", fault); g.err == nil {
				t.Errorf("h2 %v, %s: a whole answer: %s", h2, fault, g.body)
			}
		}
		g := r.infer("/chat/completions", chatHello, "X-Sim-Fault", "html200")
		if g.status != 200 || !strings.Contains(g.body, "<html>") {
			t.Errorf("html200: %d %s", g.status, g.body)
		}
	}
}

func TestFinishFaults(t *testing.T) {
	t.Parallel()
	r := start(t, sim.Options{})
	for fault, want := range map[string]string{"finish_error": `"finish_reason":"error"`, "finish=length": `"finish_reason":"length"`} {
		if g := r.infer("/chat/completions", chatHello, "X-Sim-Fault", fault); !strings.Contains(g.body, want) {
			t.Errorf("%s: %s", fault, g.body)
		}
	}
}

func TestWhitespaceLoop(t *testing.T) {
	t.Parallel()
	r := start(t, sim.Options{})
	g := r.infer("/chat/completions", strings.Replace(chatHello, `{`, `{"stream":true,`, 1), "X-Sim-Fault", "whitespace=50")
	if n := strings.Count(g.body, `\n"`); n < 50 || !strings.Contains(g.body, `"finish_reason":"length"`) {
		t.Errorf("%d white space chunks:\n%s", n, g.body)
	}
}

func TestGatesAndStalls(t *testing.T) {
	t.Parallel()
	before, within := new(sim.Gate), new(sim.Gate)
	r := start(t, sim.Options{Scenario: &sim.Scenario{Gates: map[string]*sim.Gate{"before": before, "within": within}}})
	for name, gate := range map[string]*sim.Gate{"before": before, "within@2": within} {
		done := make(chan got, 1)
		go func() {
			done <- r.infer("/responses", fmt.Sprintf(surfaces["/responses"].body, "[[sim:gate="+name+"]]"))
		}()
		if err := gate.Arrived(soon(t), 1); err != nil {
			t.Fatal(err)
		}
		select {
		case g := <-done:
			t.Errorf("%s: answered with the gate closed: %+v", name, g)
		default:
		}
		gate.Open()
		if g := <-done; !strings.Contains(g.body, "response.completed") {
			t.Errorf("%s: %s", name, g.body)
		}
	}
}

func TestFaultQueue(t *testing.T) {
	t.Parallel()
	g := new(sim.Gate)
	g.Open()
	r := start(t, sim.Options{Scenario: &sim.Scenario{Faults: []sim.Fault{
		{Model: "gpt-4o", Name: "503"},
		{Account: "ivan", Name: "500", Times: -1},
		{Name: "429", Arg: "3", Times: 2},
		{Name: "gate", Gate: g},
	}}})
	ask := func(account, model string) int {
		return r.send("POST", r.CopilotURL()+"/chat/completions", strings.Replace(chatHello, "gpt-4.1", model, 1),
			"Authorization", "Bearer "+r.Account(account).Token()).status
	}
	for i, tc := range []struct {
		account, model string
		want           int
	}{
		{"alice", "gpt-4.1", 429}, {"ivan", "gpt-4.1", 500}, {"alice", "gpt-4o", 503}, {"alice", "gpt-4o", 429},
		{"alice", "gpt-4o", 200}, {"ivan", "gpt-4o", 500}, {"alice", "gpt-4o", 200},
	} {
		if got := ask(tc.account, tc.model); got != tc.want {
			t.Errorf("request %d as %s for %s: %d, want %d", i, tc.account, tc.model, got, tc.want)
		}
	}
	left := 0
	r.Update(func(sc *sim.Scenario) { left = len(sc.Faults) })
	if left != 1 {
		t.Errorf("%d faults left, want the endless one", left)
	}
}

func TestOnceThenWell(t *testing.T) {
	t.Parallel()
	r := start(t, sim.Options{})
	for _, text := range []string{"[[sim:once=502]]a", "[[sim:once=502]]b"} {
		body := strings.Replace(chatHello, "hello there", text, 1)
		if g := r.infer("/chat/completions", body); g.status != 502 {
			t.Errorf("%s first: %d", text, g.status)
		}
		if g := r.infer("/chat/completions", body); g.status != 200 {
			t.Errorf("%s second: %d", text, g.status)
		}
	}
}

func TestPacedStream(t *testing.T) {
	t.Parallel()
	r := start(t, sim.Options{})
	begin := time.Now()
	g := r.infer("/responses", fmt.Sprintf(surfaces["/responses"].body, "[[sim:chunks=5]][[sim:delay=10ms]]"))
	if n := strings.Count(g.body, "event: response.output_text.delta"); n != 5 {
		t.Errorf("%d chunks, want 5", n)
	}
	if took := time.Since(begin); took < 40*time.Millisecond {
		t.Errorf("took %v, want at least four delays", took)
	}
}

func TestSilentAnswersEndWithTheClient(t *testing.T) {
	t.Parallel()
	for _, h2 := range []bool{false, true} {
		r := start(t, sim.Options{HTTP2: h2})
		for _, fault := range []string{"hang", "stall=1"} {
			ctx, cancel := context.WithCancel(t.Context())
			req, err := http.NewRequestWithContext(ctx, "POST", r.CopilotURL()+"/v1/messages",
				strings.NewReader(fmt.Sprintf(surfaces["/v1/messages"].body, "[[sim:fault="+fault+"]]")))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer "+r.Account("alice").Token())
			done := make(chan error, 1)
			go func() {
				resp, err := r.client.Do(req)
				if err == nil {
					_, err = io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
				done <- err
			}()
			mine := func(q sim.Request) bool { return strings.Contains(string(q.Body), fault) }
			if _, err := r.Await(soon(t), 1, mine, func(q sim.Request) bool { return q.Status != 0 || fault == "hang" && q.Model != "" }); err != nil {
				t.Fatal(err)
			}
			cancel()
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Errorf("h2 %v, %s: %v", h2, fault, err)
			}
			q, err := r.Await(soon(t), 1, mine, func(q sim.Request) bool { return q.Done })
			if err != nil {
				t.Fatal(err)
			}
			if !q[0].Canceled || (q[0].Status == 0) != (fault == "hang") {
				t.Errorf("h2 %v, %s: recorded %+v", h2, fault, q[0])
			}
		}
	}
}

func TestBytewiseWrites(t *testing.T) {
	t.Parallel()
	r := start(t, sim.Options{})
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(r.CopilotURL(), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	body := fmt.Sprintf(surfaces["/responses"].body, "[[sim:fault=bytes]]")
	_, err = fmt.Fprintf(conn, "POST /responses HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s",
		r.Account("alice").Token(), len(body), body)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	_, stream, _ := strings.Cut(string(raw), "\r\n\r\n")
	if n := strings.Count(stream, "\r\n1\r\n"); n < 1000 || len(stream) > 6*(n+3) {
		t.Errorf("%d chunks of one byte in %d bytes of stream", n, len(stream))
	}
}
