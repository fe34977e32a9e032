package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"detour/internal/app"
	"detour/internal/config"
	"detour/internal/ledger"
	"detour/internal/sim"
)

// spend asks the API door and reads the whole answer.
func (w *world) spend(path, body string, header ...string) (int, string) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, "http://"+w.app.APIAddr()+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	tr := &http.Transport{DisableKeepAlives: true}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body) // some answers are cut on purpose
	return resp.StatusCode, string(b)
}

// inData keeps the ledger in dir.
func inData(dir string, change func(*app.Options)) func(*app.Options) {
	return func(o *app.Options) {
		o.Paths.Data = dir
		if change != nil {
			change(o)
		}
	}
}

func usageIn(t *testing.T, dir string, q ledger.Query) ([]ledger.Sum, []ledger.Allowance) {
	t.Helper()
	r, err := ledger.OpenReader(t.Context(), app.LedgerPath(config.Paths{Data: dir}))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	sums, err := r.Usage(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	allowances, err := r.Allowances(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return sums, allowances
}

const said = "promptmarker7Q"

// Everything that costs something, in each dialect and both ways, and the answer to what it cost.
func TestLedgerEqualsWhatTheUpstreamBilled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w := newWorld(t, nil, inData(dir, nil), "alice")
	requests := 0
	ask := func(path, body string, header ...string) {
		t.Helper()
		requests++
		if status, b := w.spend(path, body, header...); status != 200 {
			t.Errorf("%s %s: %d %s", path, body, status, b)
		}
	}
	for _, stream := range []bool{false, true} {
		for _, model := range []string{"gpt-4o", "gpt-5.4", "claude-opus-4.8", "claude-haiku-4.5", "gemini-3.5-flash"} {
			ask("/v1/chat/completions", fmt.Sprintf(`{"model":%q,"stream":%t,"messages":[{"role":"user","content":%q}]}`, model, stream, said))
			ask("/v1/responses", fmt.Sprintf(`{"model":%q,"stream":%t,"input":%q}`, model, stream, said))
			ask("/v1/messages", fmt.Sprintf(`{"model":%q,"stream":%t,"max_tokens":99,"messages":[{"role":"user","content":%q}]}`, model, stream, said))
		}
	}
	ask("/v1/messages", fmt.Sprintf(`{"model":"claude-opus-4.8","max_tokens":99,"messages":[{"role":"user","content":%q}]}`, said), "X-Initiator", "agent")
	ask("/v1/messages/count_tokens", fmt.Sprintf(`{"model":"claude-opus-4.8","messages":[{"role":"user","content":%q}]}`, said))
	ask("/v1/embeddings", fmt.Sprintf(`{"model":"text-embedding-3-small","input":%q}`, said))

	socket := dial(t, http.DefaultClient, "ws://"+w.app.APIAddr()+"/v1/responses", nil)
	for range 2 {
		requests++
		if e := socket.ask(fmt.Sprintf(`{"type":"response.create","model":"gpt-5.4","input":%q}`, said)); e.Get("type").Str != "response.completed" {
			t.Errorf("websocket: %s", e.Raw)
		}
	}
	if err := socket.conn.Close(websocket.StatusNormalClosure, ""); err != nil {
		t.Errorf("close: %v", err)
	}

	// An answer that is cut was billed, whether or not another attempt follows.
	w.sim.Update(func(s *sim.Scenario) {
		s.Faults = []sim.Fault{{Name: "error", Arg: "0", Times: 1}, {Name: "rst", Arg: "3", Times: 1}}
	})
	for range 2 {
		requests++
		w.spend("/v1/chat/completions", fmt.Sprintf(`{"model":"claude-opus-4.8","stream":true,"messages":[{"role":"user","content":%q}]}`, said))
	}

	// In switch mode the body goes as it is.
	requests++
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://api.githubcopilot.com/v1/messages", strings.NewReader(
		fmt.Sprintf(`{"model":"claude-sonnet-4.5","max_tokens":99,"messages":[{"role":"user","content":%q}]}`, said)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Route-Mode", "switch")
	resp, err := w.client(false).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := io.ReadAll(resp.Body); resp.StatusCode != 200 {
		t.Errorf("switch: %d %s", resp.StatusCode, b)
	}
	_ = resp.Body.Close()

	answered := w.sim.Requests(func(r sim.Request) bool { return r.Premium > 0 })
	billed := w.sim.Account("alice").Premium()
	w.stop()
	sums, allowances := usageIn(t, dir, ledger.Query{})
	if len(sums) != 1 || sums[0].Requests != int64(requests) {
		t.Fatalf("%+v, want %d requests", sums, requests)
	}
	if got := sums[0].PremiumRequests; math.Abs(got-billed) > 1e-9 || billed < 70 {
		t.Errorf("%v premium requests are in the ledger, and %v were billed for %d requests", got, billed, len(answered))
	}
	if len(allowances) != 1 || math.Abs(allowances[0].Used-100-billed) > 0.06 || allowances[0].Resets.IsZero() {
		t.Errorf("%+v, want %v used", allowances, 100+billed)
	}
	if s := sums[0]; s.Input == 0 || s.Output == 0 || s.Credits != 0 {
		t.Errorf("%+v", s)
	}
	if byDialect, _ := usageIn(t, dir, ledger.Query{By: ledger.ByDialect}); len(byDialect) < 3 {
		t.Errorf("%+v", byDialect)
	}
}

func TestCreditsAreTheUpstreams(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	scenario := &sim.Scenario{Accounts: []sim.Account{{Name: "alice", Token: "ghu_alice", ID: 1, TokenBilled: true}}}
	w := newWorld(t, scenario, inData(dir, nil), "alice")
	var want float64
	add := func(text string) {
		t.Helper()
		_, text, ok := strings.Cut(text, `"total_nano_aiu":`)
		if !ok {
			t.Fatalf("no price: %s", text)
		}
		var n float64
		if err := json.NewDecoder(strings.NewReader(text)).Decode(&n); err != nil {
			t.Fatal(err)
		}
		want += n / 1e9
	}
	for _, stream := range []bool{false, true} {
		_, b := w.spend("/v1/chat/completions", fmt.Sprintf(`{"model":"gpt-4o","stream":%t,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"x"}]}`, stream))
		add(b)
		_, b = w.spend("/v1/responses", fmt.Sprintf(`{"model":"gpt-5.4","stream":%t,"input":"x"}`, stream))
		add(b)
		_, b = w.spend("/v1/messages", fmt.Sprintf(`{"model":"claude-opus-4.8","stream":%t,"max_tokens":99,"messages":[{"role":"user","content":"x"}]}`, stream))
		add(b)
	}
	w.stop()
	sums, _ := usageIn(t, dir, ledger.Query{})
	if len(sums) != 1 || math.Abs(sums[0].Credits-want) > 1e-12 || sums[0].Priced != 6 || sums[0].PremiumRequests != 0 {
		t.Errorf("%+v, want %v credits", sums, want)
	}
}

func TestWhatAnAbandonedStreamToldIsRecorded(t *testing.T) {
	t.Parallel()
	for path, body := range map[string]string{
		"/v1/messages":  `{"model":"claude-opus-4.8","stream":true,"max_tokens":99,"messages":[{"role":"user","content":"x"}]}`,
		"/v1/responses": `{"model":"claude-opus-4.8","stream":true,"input":"x"}`, // translated
	} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			w := newWorld(t, &sim.Scenario{ChunkDelay: 50 * time.Millisecond, Chunks: 200}, inData(dir, nil), "alice")
			ctx, leave := context.WithCancel(t.Context())
			defer leave()
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+w.app.APIAddr()+path, strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			tr := &http.Transport{}
			defer tr.CloseIdleConnections()
			resp, err := tr.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if _, err := io.ReadAtLeast(resp.Body, make([]byte, 700), 700); err != nil {
				t.Fatal(err)
			}
			leave()
			w.stop()
			sums, _ := usageIn(t, dir, ledger.Query{})
			if len(sums) != 1 || sums[0].Canceled != 1 || sums[0].Input == 0 || sums[0].PremiumRequests != 10 {
				t.Errorf("%+v", sums)
			}
		})
	}
}

func TestLimitsAndBudgetsOutlastARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	limited := inData(dir, func(o *app.Options) {
		o.Config.Budgets = []config.Budget{{Name: "team", Account: "ivan", Period: "month", Unit: "premium_requests", Limit: 10, Warn: 0.5}}
	})
	inference := func(w *world) int {
		return len(w.sim.Requests(func(r sim.Request) bool { return r.Op == sim.OpMessages || r.Op == sim.OpChat }))
	}
	opus := `{"model":"claude-opus-4.8","max_tokens":99,"messages":[{"role":"user","content":"x"}]}`
	first := newWorld(t, &sim.Scenario{Faults: []sim.Fault{{Account: "alice", Status: 429, Header: map[string]string{"Retry-After": "300"}, Body: `{"error":{"message":"slow down","code":"rate_limited"}}`, Times: -1}}}, limited, "alice")
	if status, b := first.spend("/v1/messages", opus); status != 429 || !strings.Contains(b, "slow down") {
		t.Fatalf("%d %s", status, b)
	}
	first.stop()

	again := newWorld(t, nil, limited, "alice")
	if status, b := again.spend("/v1/messages", opus); status != 429 || inference(again) != 0 {
		t.Errorf("the limit is forgotten: %d %s", status, b)
	}
	again.stop()

	spender := newWorld(t, nil, limited, "ivan")
	if status, b := spender.spend("/v1/messages", opus); status != 200 {
		t.Fatalf("%d %s", status, b)
	}
	if status, b := spender.spend("/v1/messages", opus); status != 429 || !strings.Contains(b, "the budget team is spent") {
		t.Errorf("%d %s", status, b)
	}
	free := `{"model":"gpt-4o","messages":[{"role":"user","content":"x"}]}`
	if status, b := spender.spend("/v1/chat/completions", free); status != 200 {
		t.Errorf("a model that costs no premium requests: %d %s", status, b)
	}
	if status, b := spender.spend("/v1/messages", opus, "X-Initiator", "agent"); status != 200 {
		t.Errorf("an agent's own step, which costs none either: %d %s", status, b)
	}
	if n := strings.Count(spender.logs.String(), `msg="budget is `); n != 1 {
		t.Errorf("warned %d times", n)
	}
	spender.stop()

	rested := newWorld(t, nil, limited, "ivan")
	if status, b := rested.spend("/v1/messages", opus); status != 429 || !strings.Contains(b, "the budget team is spent") || inference(rested) != 0 {
		t.Errorf("the budget is forgotten: %d %s", status, b)
	}
}

func TestLedgerThatCannotBeUsedStopsNothing(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, nil, inData(dir, nil), "alice")
	for range 3 {
		if status, b := w.spend("/v1/chat/completions", `{"model":"gpt-4o","messages":[{"role":"user","content":"x"}]}`); status != 200 {
			t.Errorf("%d %s", status, b)
		}
	}
	if n := strings.Count(w.logs.String(), "usage is not recorded"); n != 1 || w.app.Health().Usage != nil {
		t.Errorf("said %d times", n)
	}
	w.stop()

	off := t.TempDir()
	w = newWorld(t, nil, inData(off, func(o *app.Options) { o.Config.Usage.Enabled = false }), "alice")
	w.spend("/v1/chat/completions", `{"model":"gpt-4o","messages":[{"role":"user","content":"x"}]}`)
	w.stop()
	if names, err := os.ReadDir(off); err != nil || len(names) != 0 {
		t.Errorf("%v, %v", names, err)
	}
}

func TestInvariant8_NothingThatWasSaidIsInTheLedger(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w := newWorld(t, nil, inData(dir, nil), "alice")
	const answered = "answermarker8Z"
	w.sim.Update(func(s *sim.Scenario) {
		s.Brain = func(sim.BrainRequest) sim.BrainAnswer { return sim.BrainAnswer{Text: answered} }
	})
	for _, stream := range []bool{false, true} {
		if status, b := w.spend("/v1/chat/completions", fmt.Sprintf(`{"model":"gpt-4o","stream":%t,"messages":[{"role":"user","content":%q}]}`, stream, said), "Authorization", "Bearer keymarker9K"); status != 200 || !strings.Contains(b, answered) {
			t.Fatalf("%d %s", status, b)
		}
		if status, _ := w.spend("/v1/messages", fmt.Sprintf(`{"model":"claude-opus-4.8","stream":%t,"max_tokens":99,"messages":[{"role":"user","content":%q}]}`, stream, said)); status != 200 {
			t.Fatal(status)
		}
	}
	w.sim.Update(func(s *sim.Scenario) {
		s.Faults = []sim.Fault{{Status: 400, Body: `{"error":{"message":"cannot read ` + said + `"}}`}, {Status: 429, Body: `{"error":{"message":"` + said + `"}}`, Header: map[string]string{"Retry-After": "600"}}}
	})
	w.spend("/v1/chat/completions", `{"model":"gpt-4o","messages":[{"role":"user","content":"x"}]}`)
	w.spend("/v1/chat/completions", `{"model":"gpt-4o","messages":[{"role":"user","content":"x"}]}`)
	for _, when := range []string{"while it is written", "afterwards"} {
		for deadline := time.Now().Add(20 * time.Second); w.app.Health().Usage.Written < 6; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("nothing is written")
			}
		}
		names, err := filepath.Glob(filepath.Join(dir, "*"))
		if err != nil || len(names) == 0 {
			t.Fatalf("%v, %v", names, err)
		}
		rows := false
		for _, name := range names {
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			rows = rows || bytes.Contains(data, []byte("claude-opus-4.8"))
			for _, s := range []string{said, answered, "keymarker9K", sim.Marker, "tid="} {
				if bytes.Contains(data, []byte(s)) {
					t.Errorf("%s, %s holds %s", when, name, s)
				}
			}
		}
		if !rows {
			t.Errorf("%s: no row was looked at", when)
		}
		w.stop()
	}
}
