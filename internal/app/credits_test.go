package app_test

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"detour/internal/app"
	"detour/internal/config"
	"detour/internal/ledger"
	"detour/internal/sim"
	"detour/providers"
)

// tokensOf are the tokens that an answer in whichever of OpenAI's and Anthropic's dialects tells, whole or streamed; of
// a stream the last figures count.
func tokensOf(t *testing.T, body string) (input, cached, output, dollars float64) {
	t.Helper()
	var usage gjson.Result
	for line := range strings.SplitSeq(body, "\n") {
		doc := gjson.Parse(strings.TrimPrefix(line, "data: "))
		for _, path := range []string{"usage", "response.usage"} {
			if u := doc.Get(path); u.IsObject() {
				usage = u
			}
		}
	}
	if !usage.Exists() {
		t.Fatalf("no tokens: %s", body)
	}
	first := func(paths ...string) float64 {
		for _, p := range paths {
			if v := usage.Get(p); v.Exists() {
				return v.Num
			}
		}
		return 0
	}
	input, output = first("prompt_tokens", "input_tokens"), first("completion_tokens", "output_tokens")
	if cached = first("cache_read_input_tokens"); cached == 0 {
		cached = first("prompt_tokens_details.cached_tokens", "input_tokens_details.cached_tokens")
		input -= cached
	}
	return input, cached, output, usage.Get("cost").Num
}

// What keyed accounts cost is estimated at the list prices, unless their upstream says it.
func TestCreditsOfKeyedAccounts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w := newWorld(t, nil, inData(dir, func(o *app.Options) {
		o.Config.ProxyMode.ProviderModes = map[string]string{"openrouter": "switch", "openai": "switch"}
	}), "openai:openai", "anthropic:anthropic", "zai-coding-plan:zai", "deepseek:deepseek", "openrouter:openrouter", "gemini:gemini", "openai-compatible:local")
	prices := map[string]providers.Cost{ // of a million tokens, in dollars
		"openai":    {Input: 2.5, CacheRead: 1.25, Output: 10},
		"anthropic": {Input: 3, CacheRead: 0.3, Output: 15},
		"deepseek":  {Input: 0.28, CacheRead: 0.028, Output: 0.42},
		"gemini":    {Input: 0.3, CacheRead: 0.03, Output: 2.5},
	}
	estimated, reported := map[string]float64{}, 0.0
	note := func(account, body string) {
		t.Helper()
		in, cached, out, cost := tokensOf(t, body)
		if p, ok := prices[account]; ok {
			estimated[account] += (in*p.Input + cached*p.CacheRead + out*p.Output) / 1e6 * 100
		}
		reported += cost * 100
	}
	for account, model := range map[string]string{
		"openai": "gpt-4o", "anthropic": "claude-sonnet-4-5-20250929", "zai": "glm-4.7", "deepseek": "deepseek-chat",
		"openrouter": "openai/gpt-5.4", "gemini": "gemini-2.5-flash",
	} {
		name := map[string]string{"openrouter": "openrouter/" + model}[account]
		if name == "" {
			name = model
		}
		for _, stream := range []bool{false, true} {
			status, b := w.spend("/v1/chat/completions", fmt.Sprintf(`{"model":%q,"stream":%t,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":%q}]}`, name, stream, said))
			if status != 200 {
				t.Fatalf("%s: %d %s", model, status, b)
			}
			if !stream {
				b = strings.Join(strings.Fields(b), " ")
			}
			note(account, b)
			if account == "openrouter" && !strings.Contains(b, `"cost":`) {
				t.Errorf("the client does not hear what it cost: %s", b)
			}
		}
	}
	if status, b := w.spend("/v1/chat/completions", fmt.Sprintf(`{"model":"qwen3:8b","messages":[{"role":"user","content":%q}]}`, said)); status != 200 {
		t.Fatalf("%d %s", status, b)
	}

	// In switch mode the upstream's words pass as they are.
	client := w.client(false)
	for _, stream := range []bool{false, true} {
		for url, body := range map[string]string{
			"https://openrouter.ai/api/v1/chat/completions": `{"model":"openai/gpt-5.4","stream":%t,"messages":[{"role":"user","content":"x"}]}`,
			"https://openrouter.ai/api/v1/responses":        `{"model":"openai/gpt-5.4","stream":%t,"input":"x"}`,
			"https://openrouter.ai/api/v1/messages":         `{"model":"anthropic/claude-sonnet-4.5","stream":%t,"max_tokens":99,"messages":[{"role":"user","content":"x"}]}`,
			"https://openrouter.ai/api/v1/embeddings":       `{"model":"openai/text-embedding-3-small","x":%t,"input":["x"]}`,
			"https://api.openai.com/v1/chat/completions":    `{"model":"gpt-4o","stream":%t,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"x"}]}`,
		} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(fmt.Sprintf(body, stream)))
			if err != nil {
				t.Fatal(err)
			}
			resp, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || resp.StatusCode != 200 {
				t.Fatalf("%s: %d %s, %v", url, resp.StatusCode, b, err)
			}
			b = bytes.ReplaceAll(b, []byte("\r"), nil)
			account := "openrouter"
			if strings.Contains(url, "api.openai.com") {
				account = "openai"
			}
			note(account, string(b))
		}
	}
	w.stop()

	sums, _ := usageIn(t, dir, ledger.Query{By: ledger.ByAccount})
	if len(sums) != 7 {
		t.Fatalf("%+v", sums)
	}
	for _, s := range sums {
		want := ledger.Sum{EstimatedCredits: estimated[s.Key]}
		if want.EstimatedCredits > 0 {
			want.Estimated = s.Requests
		}
		if s.Key == "openrouter" {
			want.Credits, want.Priced = reported, s.Requests
		}
		if math.Abs(s.Credits-want.Credits) > 1e-9 || s.Priced != want.Priced || math.Abs(s.EstimatedCredits-want.EstimatedCredits) > 1e-9 || s.Estimated != want.Estimated || s.PremiumRequests != 0 {
			t.Errorf("got %+v\nwant %+v", s, want)
		}
	}
	if reported == 0 || len(estimated) != len(prices) {
		t.Errorf("nothing was compared: %v, %v", reported, estimated)
	}
}

// A budget in credits binds accounts whose upstream names no price, also if it would not tell the client's streams
// even their tokens; and it is remembered.
func TestBudgetsInCreditsCountEstimates(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	limited := inData(dir, func(o *app.Options) {
		o.Config.Budgets = []config.Budget{{Name: "key", Account: "openai", Period: "month", Unit: "credits", Limit: 0.1, Warn: 0.5}}
	})
	ask := fmt.Sprintf(`{"model":"gpt-4o","stream":true,"messages":[{"role":"user","content":%q}]}`, strings.Repeat("word ", 40))
	w := newWorld(t, nil, limited, "openai:openai")
	refused := ""
	for n := 0; refused == "" && n < 50; n++ {
		status, b := w.spend("/v1/chat/completions", ask)
		switch status {
		case 200:
			if strings.Contains(b, `"prompt_tokens"`) {
				t.Errorf("the client did not ask for usage: %s", b)
			}
		case 429:
			refused = b
		default:
			t.Fatalf("%d %s", status, b)
		}
	}
	if !strings.Contains(refused, "the budget key is spent: 0.1") || !strings.Contains(refused, "of 0.1 credits this month (estimated); it begins anew at") {
		t.Errorf("%q", refused)
	}
	if n := strings.Count(w.logs.String(), "of_it_estimated="); n != 2 {
		t.Errorf("warned %d times that it is an estimate", n)
	}
	if b := w.app.Health().Budgets; len(b) != 1 || b[0].Spent < 0.1 || b[0].Estimated != b[0].Spent {
		t.Errorf("%+v", b)
	}
	w.stop()

	again := newWorld(t, nil, limited, "openai:openai")
	if status, b := again.spend("/v1/chat/completions", ask); status != 429 || !strings.Contains(b, "(estimated)") {
		t.Errorf("the budget is forgotten: %d %s", status, b)
	}
}

// Copilot's prices count for accounts that it charges by tokens, which the price of an answer shows, and for no others.
func TestCreditsOfCopilotAccounts(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		byTokens bool
		premium  float64
	}{
		"by tokens":        {true, 0},
		"premium requests": {false, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			models := sim.DefaultModels()
			for i := range models {
				if models[i].ID == "claude-sonnet-4.5" {
					models[i].Extra = map[string]any{"billing": map[string]any{"is_premium": true, "multiplier": 1, "token_prices": map[string]any{
						"batch_size": 1000000, "default": map[string]any{"input_price": 1000000000, "output_price": 5000000000, "cache_price": 100000000},
					}}}
				}
			}
			w := newWorld(t, &sim.Scenario{Models: models, Accounts: []sim.Account{{Name: "alice", Token: "ghu_alice", ID: 1, TokenBilled: c.byTokens}}}, inData(dir, nil), "alice")
			ask := `{"model":"claude-sonnet-4.5","stream":%t,"max_tokens":99,"messages":[{"role":"user","content":"x"}]}`
			_, b := w.spend("/v1/messages", fmt.Sprintf(ask, false))
			in, cached, out, _ := tokensOf(t, b)
			w.sim.Update(func(s *sim.Scenario) { s.Faults = []sim.Fault{{Name: "rst", Arg: "1", Times: 1}} })
			w.spend("/v1/messages", fmt.Sprintf(ask, true)) // cut: it told what went in, and one token for what comes
			w.stop()
			var reported, estimated float64
			if c.byTokens {
				reported, estimated = (in*1000+cached*100+out*5000)/1e9, (in*1000+cached*100+5000)/1e9
			}
			sums, _ := usageIn(t, dir, ledger.Query{})
			if len(sums) != 1 || math.Abs(sums[0].Credits-reported) > 1e-12 || math.Abs(sums[0].EstimatedCredits-estimated) > 1e-12 || sums[0].PremiumRequests != c.premium {
				t.Errorf("%+v, want %v reported, %v estimated", sums, reported, estimated)
			}
		})
	}
}
