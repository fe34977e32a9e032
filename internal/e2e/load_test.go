//go:build e2e

package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"detour/internal/sim"
)

// faultScript is what happens to some of the requests of the load: each once, so that a second attempt can serve it.
var faultScript = []string{
	"", "", "", "", "", "", "", "", "", "", "", "", "", "", "", "", "", "", "", "", "", "", "", "", "[[sim:once=500]]", "[[sim:once=503]]", "[[sim:once=rst=0]]", "[[sim:once=hang_up]]", "[[sim:once=eof=3]]", "[[sim:once=error=2:server_error]]",
}

// Sixty-four clients at once, with upstreams that break in every way: whatever each client got is whole and its own, or
// says that it is not, and what detour recorded is what the upstream billed.
func TestManyClientsManyFaults(t *testing.T) {
	t.Parallel()
	span := 8 * time.Second
	if os.Getenv("DETOUR_E2E_ALL") != "" {
		span = time.Minute
	}
	w := newWorld(t, &sim.Scenario{Messages: sim.Messages{Lenient: true}, AnyHost: true}, "\n[retry]\ninitial_backoff = \"50ms\"\n\n[[budget]]\nname = \"plenty\"\nlimit = 1000000\n", "alice", "ivan", "bob")
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}, Timeout: 30 * time.Second}
	defer client.CloseIdleConnections()
	var served, failed, cut atomic.Int64
	var mu sync.Mutex
	asked := map[string]bool{} // markers, and whether a whole answer came
	kinds := map[string]int{}  // of failures
	stop := time.Now().Add(span)
	var wg sync.WaitGroup
	for c := range 64 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(c), 7))
			for n := 0; time.Now().Before(stop); n++ {
				marker := fmt.Sprintf("load-%d-%d-end", c, n)
				fault := strings.Replace(faultScript[r.IntN(len(faultScript))], "hang_up", "abort=0", 1)
				model := []string{"gpt-4o", "gpt-5.4", "claude-sonnet-4.6"}[r.IntN(3)]
				stream := r.IntN(2) == 0
				whole, err := askOnce(client, w.api, model, marker, fault, stream)
				switch {
				case err != nil && strings.HasPrefix(err.Error(), "spliced"):
					t.Error(err)
				case err != nil && stream:
					cut.Add(1)
				case err != nil:
					failed.Add(1)
				default:
					served.Add(1)
				}
				mu.Lock()
				asked[marker] = whole
				if err != nil {
					kinds[kind(err)]++
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	t.Logf("%d served, %d failed, %d cut; failures: %v", served.Load(), failed.Load(), cut.Load(), kinds)
	if served.Load() < 200 {
		t.Errorf("only %d requests were served", served.Load())
	}
	// A whole answer was given once, and every request reached the upstream.
	good := map[string]int{}
	at := regexp.MustCompile(`load-\d+-\d+-end`)
	for _, r := range w.sim.Requests(func(r sim.Request) bool { return r.Plane == sim.PlaneCopilot && r.Status == 200 }) {
		if m := at.FindString(string(r.Body)); m != "" {
			good[m]++
		}
	}
	for marker, whole := range asked {
		if n := good[marker]; whole && n < 1 || n > 3 {
			t.Errorf("%s: a whole answer: %t, and the upstream answered %d times", marker, whole, n)
		}
	}
	var budget float64
	if resp, err := client.Get("http://" + w.api + "/health"); err == nil {
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		budget = gjson.GetBytes(b, "budgets.0.spent").Num
	}
	w.stop() // the ledger is complete then
	out, err := w.run(t, nil, binary, "usage", "--since", "all", "--json")
	if err != nil {
		t.Fatal(err)
	}
	premium := 0.0
	for _, a := range []string{"alice", "ivan", "bob"} {
		premium += w.sim.Account(a).Premium()
	}
	total := gjson.Get(out, "total")
	if got := total.Get("premium_requests_estimated").Num; got != premium {
		t.Errorf("detour usage tells %v premium requests, the simulated Copilot billed %v", got, premium)
	}
	if budget != premium {
		t.Errorf("the budget tells %v premium requests, the simulated Copilot billed %v", budget, premium)
	}
	if got := total.Get("requests").Int(); got != int64(len(asked)) {
		t.Errorf("detour usage tells %d requests, %d were made", got, len(asked))
	}
}

// kind is what a failure is about, less what is particular to it.
func kind(err error) string {
	s := regexp.MustCompile(`"(?:code|type)": ?"[^"]*"`).FindString(err.Error())
	status, _, _ := strings.Cut(err.Error(), ",")
	return status[:min(20, len(status))] + " " + s
}

// askOnce sends one request and checks the answer. whole says that the answer was.
func askOnce(client *http.Client, api, model, marker, fault string, stream bool) (whole bool, err error) {
	body, _ := json.Marshal(map[string]any{"model": model, "stream": stream, "messages": []map[string]string{{"role": "user", "content": strings.TrimSpace(marker + " " + fault)}}})
	resp, err := client.Post("http://"+api+"/v1/chat/completions", "application/json", bytes.NewReader(body))
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return false, fmt.Errorf("status %d, %v: %.200s", resp.StatusCode, err, b)
	}
	text, ended := gjson.GetBytes(b, "choices.0.message.content").Str, gjson.GetBytes(b, "choices.0.finish_reason").Str
	if stream {
		var said strings.Builder
		for line := range strings.Lines(string(b)) {
			if data, ok := strings.CutPrefix(line, "data: "); ok && strings.HasPrefix(data, "{") {
				if gjson.Get(data, "error").Exists() {
					return false, fmt.Errorf("in the stream: %.200s", data)
				}
				said.WriteString(gjson.Get(data, "choices.0.delta.content").Str)
				ended += gjson.Get(data, "choices.0.finish_reason").Str
			}
		}
		text = said.String()
	}
	want := "simulated answer from " + model + " to: " + marker
	if text != want || ended != "stop" {
		return false, fmt.Errorf("spliced: got %q (%s), want %q", text, ended, want)
	}
	return true, nil
}
