package sim_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"detour/internal/sim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a Sim with a client for it.
type rig struct {
	*sim.Sim
	t      testing.TB
	client *http.Client
}

// start runs a Sim for the test.
func start(t testing.TB, o sim.Options) *rig {
	t.Helper()
	s, err := sim.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(s.CAPEM())
	var p http.Protocols
	p.SetHTTP1(!o.HTTP2)
	p.SetHTTP2(o.HTTP2 && o.TLS)
	p.SetUnencryptedHTTP2(o.HTTP2 && !o.TLS)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, Protocols: &p, DisableCompression: true}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return &rig{Sim: s, t: t, client: &http.Client{
		Timeout:       time.Minute, // a hang fails the test
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// soon is a context for what must not take long.
func soon(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// got is a whole answer.
type got struct {
	status int
	header http.Header
	body   string
	err    error // while the body was read
}

// json decodes the body.
func (g got) json(t testing.TB) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal([]byte(g.body), &v); err != nil {
		t.Fatalf("body %.200q: %v", g.body, err)
	}
	return v
}

// at walks through a decoded JSON document: at(v, "choices", 0, "message").
func at(v any, path ...any) any {
	for _, p := range path {
		switch p := p.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[p]
		case int:
			l, _ := v.([]any)
			if p >= len(l) {
				return nil
			}
			v = l[p]
		}
	}
	return v
}

// send sends a request with headers given as name, value pairs.
func (r *rig) send(method, url, body string, headers ...string) got {
	r.t.Helper()
	g := r.try(method, url, body, headers...)
	if g.status == 0 {
		r.t.Fatalf("%s %s: %v", method, url, g.err)
	}
	return g
}

// try is send for requests that may get no answer: status 0 then.
func (r *rig) try(method, url, body string, headers ...string) got {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("User-Agent", "sim-test/1")
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return got{err: err}
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return got{status: resp.StatusCode, header: resp.Header, body: string(b), err: err}
}

// token exchanges the GitHub token of an account.
func (r *rig) token(account string) string {
	r.t.Helper()
	g := r.send("GET", r.APIURL()+"/copilot_internal/v2/token", "", "Authorization", "token "+r.Account(account).Token())
	if g.status != 200 {
		r.t.Fatalf("exchange for %s: %d %s", account, g.status, g.body)
	}
	s, _ := g.json(r.t)["token"].(string)
	return s
}

// infer posts to the individual host as alice.
func (r *rig) infer(path, body string, headers ...string) got {
	r.t.Helper()
	return r.send("POST", r.CopilotURL()+path, body,
		append([]string{"Authorization", "Bearer " + r.Account("alice").Token(), "Content-Type", "application/json"}, headers...)...)
}

// event is one server-sent event.
type event struct {
	name string
	data string
}

// events splits an event stream. It accepts what Copilot sends and no more.
func events(t testing.TB, body string) []event {
	t.Helper()
	var all []event
	var e event
	lines := bufio.NewScanner(strings.NewReader(body))
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		switch line := lines.Text(); {
		case line == "":
			all = append(all, e)
			e = event{}
		case strings.HasPrefix(line, "event: "):
			e.name = line[7:]
		case strings.HasPrefix(line, "data: "):
			e.data = line[6:]
		case strings.HasPrefix(line, ": "):
		default:
			t.Fatalf("line %.100q", line)
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	if e != (event{}) {
		t.Fatalf("last event %+v has no blank line", e)
	}
	return all
}

// decoded is events with the data decoded; [DONE] becomes nil.
func decoded(t testing.TB, body string) []map[string]any {
	t.Helper()
	var all []map[string]any
	for _, e := range events(t, body) {
		if e.data == "[DONE]" || e.data == "" {
			all = append(all, nil)
			continue
		}
		all = append(all, got{body: e.data}.json(t))
	}
	return all
}

// clock is a settable clock.
type clock struct{ ch chan time.Time }

func newClock() *clock {
	c := &clock{ch: make(chan time.Time, 1)}
	c.ch <- time.Date(2026, 11, 5, 8, 0, 0, 0, time.UTC)
	return c
}

func (c *clock) now() time.Time {
	t := <-c.ch
	c.ch <- t
	return t
}

func (c *clock) add(d time.Duration) { c.ch <- (<-c.ch).Add(d) }

const chatHello = `{"model":"gpt-4.1","messages":[{"role":"user","content":"hello there"}]}`

func TestStartOnABusyPortFails(t *testing.T) {
	t.Parallel()
	r := start(t, sim.Options{})
	_, err := sim.Start(sim.Options{Listen: strings.TrimPrefix(r.GitHubURL(), "http://")})
	if err == nil {
		t.Fatal("want an error")
	}
}

func TestCloseEndsHangingAnswers(t *testing.T) {
	t.Parallel()
	for i := range 30 { // whether the handler or the connection ends first is a race
		h2 := i%2 == 0
		r := start(t, sim.Options{HTTP2: h2})
		done := make(chan got, 1)
		go func() {
			done <- r.try("POST", r.CopilotURL()+"/chat/completions", chatHello,
				"Authorization", "Bearer "+r.Account("alice").Token(), "X-Sim-Fault", "hang")
		}()
		if _, err := r.Await(soon(t), 1, func(q sim.Request) bool { return q.Model != "" }); err != nil {
			t.Fatal(err)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		if g := <-done; g.status == 200 && g.err == nil {
			t.Errorf("h2 %v: got a whole answer: %+v", h2, g)
		}
		if q := r.Requests(); q[0].Canceled {
			t.Error("closing the Sim is no cancellation by the client")
		}
	}
}
