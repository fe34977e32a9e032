package copilot_test

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"detour/internal/dialect"
	"detour/internal/llm"
	"detour/internal/secret"
	"detour/internal/sim"
	"detour/providers"
	"detour/providers/copilot"
)

// simulated starts a simulated upstream and a provider that talks to it over loopback.
func simulated(t *testing.T, sc *sim.Scenario) (*sim.Sim, *copilot.Provider, *http.Transport) {
	t.Helper()
	s, err := sim.Start(sim.Options{Scenario: sc, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	logs := &lines{}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if strings.Contains(logs.String(), sim.Marker) {
			t.Errorf("a secret is in the log:\n%s", logs)
		}
	})
	return s, copilot.New(copilot.Options{
		Transport: transport,
		URLs:      copilot.URLs{GitHub: s.GitHubURL(), GitHubAPI: s.APIURL(), CopilotAPI: s.CopilotURL()},
		Logger:    slog.New(slog.NewTextHandler(logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}), transport
}

func openAt(t *testing.T, p *copilot.Provider, token string, settings map[string]string) *providers.Account {
	t.Helper()
	a, err := p.Open(providers.AccountConfig{ID: "sim", Provider: copilot.Name, Secret: secret.New(token), Settings: settings})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	return a
}

// ask sends c and returns the answer's body, or the error that Check makes of it.
func ask(t *testing.T, p *copilot.Provider, rt http.RoundTripper, a *providers.Account, c *providers.Call) (string, error) {
	t.Helper()
	req, err := p.NewRequest(t.Context(), a, c)
	if err != nil {
		return "", err
	}
	resp, err := rt.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := p.Check(resp); err != nil {
		return "", err
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b), nil
}

func tokenOf(t *testing.T, name string) string {
	t.Helper()
	for _, a := range sim.DefaultAccounts() {
		if a.Name == name {
			return a.Token
		}
	}
	t.Fatalf("the simulator knows no %s", name)
	return ""
}

func TestSimulatedFromSignInToAnswer(t *testing.T) {
	t.Parallel()
	s, p, rt := simulated(t, &sim.Scenario{
		Login:    sim.Login{Interval: 1, Polls: []string{"http:502"}, NullEmail: true},
		Exchange: sim.Exchange{RejectGoClient: true, RequireEditor: true},
		Checks:   sim.Checks{RequireIdentity: true},
		Messages: sim.Messages{RejectBetas: true},
	})
	shown := copilot.DeviceCode{}
	c, err := p.Login(t.Context(), copilot.LoginOptions{Prompt: func(d copilot.DeviceCode) { shown = d }})
	if err != nil {
		t.Fatal(err)
	}
	if c.User.ID != 1001 || c.User.Login != "alice" || shown.UserCode == "" || shown.VerificationURI != s.GitHubURL()+"/login/device" {
		t.Errorf("signed in as %+v, shown %+v", c.User, shown)
	}
	for _, gap := range s.PollGaps() {
		if gap.Seconds() < 1 {
			t.Errorf("polled after %v", gap)
		}
	}
	a := openAt(t, p, c.Token.Reveal(), nil)
	models, err := p.Models(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	asked := make(map[dialect.Endpoint]int)
	for _, m := range models {
		if m.Disabled {
			continue
		}
		for _, e := range p.Dialects(m) {
			body := map[dialect.Endpoint]string{
				dialect.EndpointChat:        `{"model":"` + m.ID + `","messages":[{"role":"user","content":"hi"}]}`,
				dialect.EndpointResponses:   `{"model":"` + m.ID + `","input":"hi","store":true,"service_tier":"auto","reasoning":{"effort":"low"},"tools":[{"type":"image_generation"}]}`,
				dialect.EndpointMessages:    `{"model":"` + m.ID + `","max_tokens":50,"speed":"fast","cache_control":{"type":"ephemeral"},"context_management":{"edits":[]},"tools":[{"name":"t","input_schema":{"type":"object"},"eager_input_streaming":true}],"messages":[{"role":"user","content":[{"type":"text","text":""},{"type":"text","text":"hi","cache_control":{"type":"ephemeral","scope":"global"}}]}]}`,
				dialect.EndpointCountTokens: `{"model":"` + m.ID + `","messages":[{"role":"user","content":"hi"}]}`,
				dialect.EndpointEmbeddings:  `{"model":"` + m.ID + `","input":"hi"}`,
			}[e]
			header := http.Header{"Anthropic-Beta": {"claude-code-20250219,interleaved-thinking-2025-05-14"}}
			call := &providers.Call{Endpoint: e, Model: m, Body: []byte(body), Header: header, Initiator: llm.InitiatorUser}
			_, err := ask(t, p, rt, a, call)
			if err != nil {
				if call.Lessons = p.Learn(call, providers.AsError(err)); call.Lessons != nil {
					_, err = ask(t, p, rt, a, call)
				}
			}
			if err != nil && providers.AsError(err).Kind != providers.KindModel { // a catalogue may list what a plan lacks
				t.Errorf("%s through %s: %v", m.ID, e, err)
			}
			asked[e]++
		}
	}
	if len(asked) != 5 {
		t.Errorf("asked %v: want all five endpoints", asked)
	}
	if n := len(s.Requests(func(r sim.Request) bool { return r.Op == sim.OpExchange })); n != 1 {
		t.Errorf("%d exchanges, want 1", n)
	}
	u, err := p.User(t.Context(), a)
	if err != nil || u.Login != "alice" || len(u.Quotas) == 0 {
		t.Errorf("User = %+v, %v", u, err)
	}
}

func TestSimulatedAccounts(t *testing.T) {
	t.Parallel()
	_, p, rt := simulated(t, &sim.Scenario{AnyHost: true})
	body := []byte(`{"model":"gpt-4.1","messages":[{"role":"user","content":"hi"}]}`)
	for _, tc := range []struct {
		account  string
		settings map[string]string
		kind     providers.Kind // KindUnknown: it works
	}{
		{account: "alice"},
		{account: "bob"},
		{account: "carol"},
		{account: "dave", settings: map[string]string{"auth": "direct"}},
		{account: "erin", kind: providers.KindPolicy},
		{account: "frank", kind: providers.KindLogin},
		{account: "frank", settings: map[string]string{"auth": "direct"}, kind: providers.KindLogin},
	} {
		t.Run(tc.account+tc.settings["auth"], func(t *testing.T) {
			t.Parallel()
			a := openAt(t, p, tokenOf(t, tc.account), tc.settings)
			answer, err := ask(t, p, rt, a, &providers.Call{Endpoint: dialect.EndpointChat, Body: body})
			if tc.kind == providers.KindUnknown {
				if err != nil || !strings.Contains(answer, "choices") {
					t.Errorf("%v: %s", err, answer)
				}
				return
			}
			e, ok := errors.AsType[*providers.Error](err)
			if !ok || e.Kind != tc.kind || e.Hint == "" || strings.Contains(e.Error()+e.Hint, sim.Marker) {
				t.Errorf("%v, want %v with a hint", err, tc.kind)
			}
		})
	}
}

// The simulator names a host that is not GitHub's; without the owner's override nothing may be sent there.
func TestSimulatedHostIsRefusedWithoutOverride(t *testing.T) {
	t.Parallel()
	s, _, rt := simulated(t, nil)
	p := copilot.New(copilot.Options{Transport: rt, URLs: copilot.URLs{GitHubAPI: s.APIURL()}})
	a := openAt(t, p, tokenOf(t, "alice"), nil)
	_, err := p.Models(t.Context(), a)
	if e := asError(t, err); e.Kind != providers.KindPolicy || !strings.Contains(e.Hint, "copilot_api_url") {
		t.Errorf("Models: %v", err)
	}
	if n := len(s.Requests(func(r sim.Request) bool { return r.Site == "individual" })); n != 0 {
		t.Errorf("%d requests went there", n)
	}
}

func TestSimulatedWrongHostIsMisdirected(t *testing.T) {
	t.Parallel()
	_, p, rt := simulated(t, nil)
	a := openAt(t, p, tokenOf(t, "bob"), nil) // business, but the provider is set to the individual host
	_, err := ask(t, p, rt, a, &providers.Call{Endpoint: dialect.EndpointChat, Body: []byte(`{"model":"gpt-4.1","messages":[{"role":"user","content":"hi"}]}`)})
	if e := asError(t, err); e.Kind != providers.KindMisdirected {
		t.Errorf("%v, want misdirected", err)
	}
}
