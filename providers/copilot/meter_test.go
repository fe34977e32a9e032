package copilot_test

import (
	"io"
	"net/http"
	"testing"
	"time"

	"detour/internal/dialect"
	"detour/internal/llm"
	"detour/internal/secret"
	"detour/providers"
	"detour/providers/copilot"
)

func TestAllowance(t *testing.T) {
	t.Parallel()
	const models, interactions = "X-Quota-Snapshot-Premium_models", "X-Quota-Snapshot-Premium_interactions"
	resets := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		header map[string]string
		want   llm.Allowance
	}{
		"usual":        {map[string]string{interactions: "ent=1500&ov=0.0&ovPerm=true&rem=74.2&rst=2026-12-01T00%3A00%3A00Z&totRem=1112.7"}, llm.Allowance{Used: 387.3, Left: 1112.7, Resets: resets, Known: true}},
		"over":         {map[string]string{interactions: "ent=300&ov=12.5&ovPerm=true&rem=0.0&totRem=0"}, llm.Allowance{Used: 312.5, Left: 0, Known: true}},
		"share alone":  {map[string]string{interactions: "ent=1500&ov=0.0&rem=50.0"}, llm.Allowance{Used: 750, Left: 750, Known: true}},
		"models win":   {map[string]string{interactions: "ent=1500&rem=50.0&totRem=750", models: "ent=100&rem=90.0&totRem=90"}, llm.Allowance{Used: 10, Left: 90, Known: true}},
		"unlimited":    {map[string]string{interactions: "ent=-1&ov=0.0&rem=100.0&totRem=-1"}, llm.Allowance{}},
		"none":         {map[string]string{interactions: "ent=0&ov=0.0&rem=0.0&totRem=0"}, llm.Allowance{}},
		"nothing left": {map[string]string{interactions: "ent=10"}, llm.Allowance{}},
		"rubbish":      {map[string]string{interactions: "%zz"}, llm.Allowance{}},
		"chat alone":   {map[string]string{"X-Quota-Snapshot-Chat": "ent=50&rem=1.0&totRem=1"}, llm.Allowance{}},
		"windows": {map[string]string{"X-Usage-Ratelimit-Session": "ent=0&ov=0.0&ovPerm=false&rem=99.6&rst=2026-12-01T00%3A00%3A00Z", "X-Usage-Ratelimit-Weekly": "ent=0&rem=0.0"}, llm.Allowance{
			Session: llm.Window{Left: 99.6, Resets: resets, Known: true}, Week: llm.Window{Known: true},
		}},
		"windows of rubbish": {map[string]string{"X-Usage-Ratelimit-Session": "rem=lots", "X-Usage-Ratelimit-Weekly": "rem=101"}, llm.Allowance{}},
		"no such thing":      {nil, llm.Allowance{}},
	} {
		h := http.Header{}
		for k, v := range c.header {
			h.Set(k, v)
		}
		got := copilot.New(copilot.Options{}).Allowance(h)
		got.Used = float64(int(got.Used*10+0.5)) / 10
		if got != c.want {
			t.Errorf("%s: got %+v, want %+v", name, got, c.want)
		}
	}
}

func TestPremiumIsWhatTheUpstreamIsToldToCharge(t *testing.T) {
	t.Parallel()
	p := copilot.New(copilot.Options{})
	open := func(settings map[string]string) *providers.Account {
		t.Helper()
		a, err := p.Open(providers.AccountConfig{ID: "work", Provider: copilot.Name, Secret: secret.New("ghu_x"), Settings: settings})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(a.Close)
		return a
	}
	usual, user := open(nil), open(map[string]string{"initiator_mode": "always-user"})
	opus := providers.Model{ID: "opus", Multiplier: 10}
	says := func(v string) http.Header { return http.Header{"X-Initiator": {v}} }
	for name, c := range map[string]struct {
		account *providers.Account
		call    providers.Call
		want    float64
	}{
		"a person":           {usual, providers.Call{Endpoint: dialect.EndpointChat, Model: opus, Initiator: llm.InitiatorUser}, 10},
		"nobody knows":       {usual, providers.Call{Endpoint: dialect.EndpointMessages, Model: opus}, 10},
		"an agent":           {usual, providers.Call{Endpoint: dialect.EndpointResponses, Model: opus, Initiator: llm.InitiatorAgent}, 0},
		"an agent, unheard":  {user, providers.Call{Endpoint: dialect.EndpointResponses, Model: opus, Initiator: llm.InitiatorAgent}, 10},
		"the client says so": {usual, providers.Call{Endpoint: dialect.EndpointChat, Model: opus, Initiator: llm.InitiatorUser, Header: says("agent")}, 0},
		"or otherwise":       {usual, providers.Call{Endpoint: dialect.EndpointChat, Model: opus, Initiator: llm.InitiatorAgent, Header: says("user")}, 10},
		"embeddings":         {usual, providers.Call{Endpoint: dialect.EndpointEmbeddings, Model: opus}, 0},
		"counted tokens":     {usual, providers.Call{Endpoint: dialect.EndpointCountTokens, Model: opus}, 0},
		"free model":         {usual, providers.Call{Endpoint: dialect.EndpointChat, Model: providers.Model{ID: "gpt"}}, 0},
	} {
		if got := p.Premium(c.account, &c.call); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestAccountsAreChargedByTokensWhenGitHubSaysSo(t *testing.T) {
	t.Parallel()
	says := func(billing string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/copilot_internal/user" {
				_, _ = io.WriteString(w, `{"endpoints":{"api":"https://api.individual.githubcopilot.com"}`+billing+`}`)
				return
			}
			healthy(w, r)
		}
	}
	direct := map[string]string{"auth": "direct"}
	for name, c := range map[string]struct {
		settings map[string]string
		billing  string
		used     llm.Usage
		want     bool
	}{
		"not a word":              {direct, "", llm.Usage{Input: 5, Reported: true}, false},
		"with the host":           {direct, `,"token_based_billing":true`, llm.Usage{}, true},
		"that it is not":          {direct, `,"token_based_billing":false`, llm.Usage{Input: 5, Reported: true}, false},
		"in no way that is meant": {direct, `,"token_based_billing":"true"`, llm.Usage{}, false},
		"in a price":              {nil, "", llm.Usage{NanoAIU: 5, Priced: true, Reported: true}, true},
		"in a price of nothing, which is no word": {nil, "", llm.Usage{Priced: true, Reported: true}, false},
	} {
		w := newWorld(t, worldConfig{token: "gho_" + marker, settings: c.settings, serve: says(c.billing)})
		if _, err := w.account.Lease(t.Context()); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := w.ByTokens(w.account, c.used); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
		if got := w.ByTokens(w.account, llm.Usage{}); got != c.want {
			t.Errorf("%s: %t afterwards", name, got)
		}
	}

	w := newWorld(t, worldConfig{serve: says(`,"token_based_billing":true`)})
	if w.ByTokens(w.account, llm.Usage{}) {
		t.Error("known before it was said")
	}
	if _, err := w.User(t.Context(), w.account); err != nil || !w.ByTokens(w.account, llm.Usage{}) {
		t.Errorf("asked about its use: %v", err)
	}
}
