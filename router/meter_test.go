package router_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"detour/internal/dialect"
	"detour/internal/llm"
	"detour/internal/record"
	"detour/providers"
	"detour/router"
)

// metered is a fake whose accounts have premium requests, but for those that are known to be charged by tokens.
type metered struct {
	*fake
	byTokens bool
}

func (*metered) Premium(*providers.Account, *providers.Call) float64 { return 3 }
func (*metered) Allowance(http.Header) llm.Allowance                 { return llm.Allowance{} }
func (m *metered) ByTokens(_ *providers.Account, u llm.Usage) bool {
	return m.byTokens || u.NanoAIU > 0
}

// withPrices gives models prices: 100, 10 and 1000 nanocredits a token of input, cache and output.
func withPrices(ids ...string) option {
	return func(_ *router.Config, f *fake) {
		for i := range f.models {
			for _, id := range ids {
				if f.models[i].ID == id {
					f.models[i].Cost = providers.Cost{Input: 0.001, CacheRead: 0.0001, Output: 0.01}
				}
			}
		}
	}
}

func withMeter(byTokens bool) option {
	return func(c *router.Config, f *fake) { c.Providers = providers.NewRegistry(&metered{f, byTokens}) }
}

// only waits until everything is served and returns the one record that there must be.
func (w *world) only() record.Exchange {
	w.t.Helper()
	w.door.Close()
	w.proxy.Close()
	for _, e := range w.exchanges() {
		if e.Endpoint != "" {
			return e
		}
	}
	w.t.Fatal("nothing was recorded")
	return record.Exchange{}
}

const (
	used       = `"usage":{"prompt_tokens":10,"prompt_tokens_details":{"cached_tokens":4},"completion_tokens":5,"total_tokens":15}`
	usedChunk  = `data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"gpt-x","choices":[],` + used + `}` + "\n\n"
	usedCost   = 6*100 + 4*10 + 5*1000
	messagesUp = `"usage":{"input_tokens":6,"cache_read_input_tokens":4,"output_tokens":5}`
)

func TestCreditsAreEstimatedWhereNoPriceWasNamed(t *testing.T) {
	t.Parallel()
	whole := strings.Replace(answer, `"usage":{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7}`, used, 1)
	ended := strings.Replace(finish, "data: [DONE]\n\n", "", 1)
	priced := func(s string) string {
		return strings.Replace(s, `"total_tokens":15`, `"total_tokens":15,"cost":0.02`, 1)
	}
	sum := llm.Usage{Input: 6, CacheRead: 4, Output: 5, Reported: true}
	named := sum
	named.NanoAIU, named.Priced = 2e9, true
	for name, c := range map[string]struct {
		path, body string
		said       string // by the upstream
		options    []option
		want       llm.Usage
		estimate   int64
		premium    float64
	}{
		"whole":             {"/v1/chat/completions", hello, whole, nil, sum, usedCost, 0},
		"streamed":          {"/v1/chat/completions", helloStream, chunk("hey") + ended + usedChunk + "data: [DONE]\n\n", nil, sum, usedCost, 0},
		"a stream is whole": {"/v1/chat/completions", helloStream, whole, nil, sum, usedCost, 0},
		"translated":        {"/v1/messages", `{"model":"chat-only","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}`, whole, nil, sum, usedCost, 0},
		"translated stream": {"/v1/messages", `{"model":"chat-only","stream":true,"max_tokens":9,"messages":[{"role":"user","content":"hi"}]}`,
			chunk("hey") + ended + usedChunk + "data: [DONE]\n\n", nil, sum, usedCost, 0},
		"in its own dialect": {"/v1/messages", `{"model":"gpt-x","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}`,
			`{"id":"m","type":"message","role":"assistant","model":"gpt-x","content":[{"type":"text","text":"hey"}],"stop_reason":"end_turn",` + messagesUp + `}`, nil, sum, usedCost, 0},
		"embeddings":                 {"/v1/embeddings", `{"model":"embed","input":"hi"}`, `{"object":"list","data":[],"usage":{"prompt_tokens":7,"total_tokens":7}}`, nil, llm.Usage{Input: 7, Reported: true}, 700, 0},
		"priced embeddings":          {"/v1/embeddings", `{"model":"embed","input":"hi"}`, `{"object":"list","data":[],"usage":{"prompt_tokens":7,"cost":1e-9}}`, nil, llm.Usage{Input: 7, NanoAIU: 100, Priced: true, Reported: true}, 0, 0},
		"the upstream's":             {"/v1/chat/completions", hello, priced(whole), nil, named, 0, 0},
		"the upstream's, streamed":   {"/v1/chat/completions", helloStream, chunk("hey") + ended + priced(usedChunk) + "data: [DONE]\n\n", nil, named, 0, 0},
		"the upstream's, translated": {"/v1/messages", `{"model":"chat-only","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}`, priced(whole), nil, named, 0, 0},
		"no tokens":                  {"/v1/chat/completions", helloStream, chunk("hey") + finish, nil, llm.Usage{}, 0, 0},
		"unknown prices":             {"/v1/chat/completions", strings.Replace(hello, "gpt-x", "claude-sonnet-4.6", 1), whole, nil, sum, 0, 0},
		"premium requests":           {"/v1/chat/completions", hello, whole, []option{withMeter(false)}, sum, 0, 3},
		"by tokens instead":          {"/v1/chat/completions", hello, whole, []option{withMeter(true)}, sum, usedCost, 0},
		"by tokens, as it says":      {"/v1/chat/completions", hello, priced(whole), []option{withMeter(false)}, named, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, false, func(rw http.ResponseWriter, _ *http.Request) {
				if strings.HasPrefix(c.said, "data:") {
					stream(rw, c.said)
					return
				}
				plain(rw, 200, c.said)
			}, append(c.options, withPrices("gpt-x", "chat-only", "embed"))...)
			if resp := w.post(c.path, c.body); resp.StatusCode != 200 {
				t.Fatalf("%d %s", resp.StatusCode, text(t, resp))
			} else {
				_ = text(t, resp)
			}
			if e := w.only(); e.Usage != c.want || e.EstimatedNanoAIU != c.estimate || e.Premium != c.premium {
				t.Errorf("got %+v, %d estimated, %v premium\nwant %+v, %d, %v", e.Usage, e.EstimatedNanoAIU, e.Premium, c.want, c.estimate, c.premium)
			}
		})
	}
}

func TestWhatAFailedAttemptUsedIsAddedUp(t *testing.T) {
	t.Parallel()
	ok := strings.Replace(finish, "data: [DONE]\n\n", usedChunk+"data: [DONE]\n\n", 1)
	const fails = `"error":{"code":502,"message":"no"}`
	responded := func(event, status, more string) string {
		return "event: response." + event + "\ndata: " + `{"type":"response.` + event + `","sequence_number":1,"response":{"id":"r","object":"response","status":"` + status + `","output":[],` + more +
			`"usage":{"input_tokens":10,"input_tokens_details":{"cached_tokens":4},"output_tokens":5,"total_tokens":15}}}` + "\n\n"
	}
	twice := llm.Usage{Input: 12, CacheRead: 8, Output: 10, Reported: true}
	for name, c := range map[string]struct {
		path, body  string
		first, then string
		want        llm.Usage
		estimate    int64
	}{
		"chat":                 {"/v1/chat/completions", helloStream, `data: {"id":"c1","choices":[],` + fails + `,` + used + "}\n\n", ok, twice, 2 * usedCost},
		"chat, whole":          {"/v1/chat/completions", helloStream, `{` + fails + `,` + used + `}`, ok, twice, 2 * usedCost},
		"chat, priced":         {"/v1/chat/completions", helloStream, `{` + fails + `,` + strings.Replace(used, "{", `{"cost":0.03,`, 1) + `}`, ok, llm.Usage{Input: 12, CacheRead: 8, Output: 10, NanoAIU: 3e9, Priced: true, Reported: true}, usedCost},
		"chat, nothing told":   {"/v1/chat/completions", helloStream, `{` + fails + `}`, ok, llm.Usage{Input: 6, CacheRead: 4, Output: 5, Reported: true}, usedCost},
		"responses":            {"/v1/responses", `{"model":"gpt-x","stream":true,"input":"hi"}`, responded("failed", "failed", `"error":{"code":"server_error","message":"no"},`), responded("completed", "completed", ""), twice, 2 * usedCost},
		"messages from chat":   {"/v1/messages", `{"model":"chat-only","stream":true,"max_tokens":9,"messages":[{"role":"user","content":"hi"}]}`, `data: {"id":"c1","choices":[],` + fails + `,` + used + "}\n\n", chunk("hey") + ok, twice, 2 * usedCost},
		"whole, from a stream": {"/v1/messages", `{"model":"chat-only","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}`, "data: {\"id\":\"c1\",\"choices\":[]," + fails + `,` + used + "}\n\n", chunk("hey") + ok, twice, 2 * usedCost},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int32
			w := newWorld(t, false, func(rw http.ResponseWriter, _ *http.Request) {
				said := c.then
				if asked.Add(1) == 1 {
					said = c.first
				}
				if strings.HasPrefix(said, "{") {
					plain(rw, 200, said)
					return
				}
				stream(rw, said)
			}, withAccounts("a", "b"), withPrices("gpt-x", "chat-only"))
			resp := w.post(c.path, c.body)
			if got := text(t, resp); resp.StatusCode != 200 || asked.Load() != 2 {
				t.Fatalf("asked %d times: %d %s", asked.Load(), resp.StatusCode, got)
			}
			if e := w.only(); e.Usage != c.want || e.EstimatedNanoAIU != c.estimate || len(e.Attempts) != 2 {
				t.Errorf("got %+v, %d estimated\nwant %+v, %d", e.Usage, e.EstimatedNanoAIU, c.want, c.estimate)
			}
		})
	}
}

// Each attempt costs what its own model costs, and premium requests of an account that has them stay beside the price of
// one that has not.
func TestAStandInCostsItsOwnPrice(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false, func(rw http.ResponseWriter, r *http.Request) {
		if strings.Contains(text(t, &http.Response{Body: r.Body}), `"gpt-x"`) {
			plain(rw, 200, `{"error":{"code":"server_error","message":"no"},`+used+`}`)
			return
		}
		stream(rw, chunk("hey"), strings.Replace(finish, "data: [DONE]\n\n", usedChunk, 1))
	}, withPrices("gpt-x"), func(c *router.Config, f *fake) {
		for i := range f.models {
			if f.models[i].ID == "chat-only" {
				f.models[i].Cost = providers.Cost{Input: 1, Output: 1}
			}
		}
		c.Fallbacks = []router.Fallback{{Model: "gpt-x", Then: []string{"chat-only"}, On: []string{"error"}}}
		c.Retry.Connection, c.Retry.MaxWait = 0, 1
	})
	resp := w.post("/v1/chat/completions", helloStream)
	if got := text(t, resp); resp.StatusCode != 200 {
		t.Fatalf("%d %s", resp.StatusCode, got)
	}
	e := w.only()
	first := int64(len(e.Attempts) - 1)
	if want := first*usedCost + 15*100_000; e.Model != "chat-only" || first < 1 || e.EstimatedNanoAIU != want || e.Usage.Output != 5*(first+1) {
		t.Errorf("%+v, want %d", e, want)
	}
}

// A client that leaves has used what was told by then; where usage comes last that is nothing.
func TestACancelledStreamCostsWhatWasTold(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		path, body, said string
		want             llm.Usage
		estimate         int64
	}{
		"chat": {"/v1/chat/completions", helloStream, chunk("hey"), llm.Usage{}, 0},
		"messages": {"/v1/messages", `{"model":"gpt-x","stream":true,"max_tokens":9,"messages":[{"role":"user","content":"hi"}]}`,
			"event: message_start\ndata: " + `{"type":"message_start","message":{"id":"m","type":"message","role":"assistant","model":"gpt-x","content":[],"usage":{"input_tokens":6,"cache_read_input_tokens":4,"output_tokens":1}}}` + "\n\n" +
				"event: content_block_start\ndata: " + `{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}` + "\n\n" +
				"event: content_block_delta\ndata: " + `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"hey"}}` + "\n\n",
			llm.Usage{Input: 6, CacheRead: 4, Output: 1, Reported: true}, 6*100 + 4*10 + 1000},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, false, func(rw http.ResponseWriter, r *http.Request) {
				stream(rw, c.said)
				<-r.Context().Done()
			}, withPrices("gpt-x"))
			resp := w.post(c.path, c.body)
			if _, err := resp.Body.Read(make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if e := w.only(); e.Error != "canceled" || e.Usage != c.want || e.EstimatedNanoAIU != c.estimate {
				t.Errorf("got %s, %+v, %d estimated, want %+v, %d", e.Error, e.Usage, e.EstimatedNanoAIU, c.want, c.estimate)
			}
		})
	}
}

// asking is a fake whose upstream tells the usage of Chat streams to those who ask.
type asking struct{ *fake }

func (asking) Target(m providers.Model) dialect.Target {
	return dialect.Target{Model: m.ID, UsageIfAsked: true}
}

func TestUsageOfChatStreamsIsAskedFor(t *testing.T) {
	t.Parallel()
	const say = `"messages":[{"role":"user","content":"hi"}]`
	ended := strings.Replace(finish, "data: [DONE]", usedChunk+"data: [DONE]", 1)
	for name, c := range map[string]struct {
		body, want string // of the client, and of what goes up
		seen       bool   // by the client
	}{
		"not asked":       {`{"model":"gpt-x","stream":true, ` + say + `,"x":1.0}`, `{"model":"gpt-x","stream":true, ` + say + `,"x":1.0,"stream_options":{"include_usage":true}}`, false},
		"asked":           {`{"model":"gpt-x","stream":true,"stream_options":{"include_usage":true} ,` + say + `}`, `{"model":"gpt-x","stream":true,"stream_options":{"include_usage":true} ,` + say + `}`, true},
		"asked not to":    {`{"model":"gpt-x","stream":true,"stream_options":{"include_usage":false},` + say + `}`, `{"model":"gpt-x","stream":true,"stream_options":{"include_usage":true},` + say + `}`, false},
		"other options":   {`{"model":"gpt-x","stream":true,"stream_options":{"a":[1]},` + say + `}`, `{"model":"gpt-x","stream":true,"stream_options":{"a":[1],"include_usage":true},` + say + `}`, false},
		"null":            {`{"model":"gpt-x","stream":true,"stream_options":null,` + say + `}`, `{"model":"gpt-x","stream":true,"stream_options":{"include_usage":true},` + say + `}`, false},
		"nobody's option": {`{"model":"gpt-x","stream":true,"stream_options":[7],` + say + `}`, `{"model":"gpt-x","stream":true,"stream_options":[7],` + say + `}`, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var sent atomic.Value
			w := newWorld(t, false, func(rw http.ResponseWriter, r *http.Request) {
				sent.Store(text(t, &http.Response{Body: r.Body}))
				stream(rw, chunk("hey"), ended)
			}, withPrices("gpt-x"), func(c *router.Config, f *fake) { c.Providers = providers.NewRegistry(asking{f}) })
			got := text(t, w.post("/v1/chat/completions", c.body))
			if sent.Load() != c.want || strings.Contains(got, "prompt_tokens") != c.seen || !strings.HasSuffix(got, "data: [DONE]\n\n") {
				t.Errorf("sent %v\nwant %s\ngot  %s", sent.Load(), c.want, got)
			}
			if e := w.only(); e.EstimatedNanoAIU != usedCost {
				t.Errorf("%+v", e)
			}
		})
	}

	w := newWorld(t, false, func(rw http.ResponseWriter, r *http.Request) {
		if b := text(t, &http.Response{Body: r.Body}); b != hello {
			t.Errorf("sent %s", b)
		}
		plain(rw, 200, answer)
	}, func(c *router.Config, f *fake) { c.Providers = providers.NewRegistry(asking{f}) })
	_ = text(t, w.post("/v1/chat/completions", hello)) // whole answers tell it anyway
}
