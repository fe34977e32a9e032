package app_test

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"detour/internal/app"
	"detour/internal/config"
	"detour/internal/sim"
)

// TestWhatBecomesOfFailures is the table of what a policy makes of a failure: which accounts are asked, how they stand
// afterwards, and what the client gets. The failure is always that of account a, and it lasts. Each cell reads
//
//	accounts that were asked: status, Retry-After; accounts that are not ok
func TestWhatBecomesOfFailures(t *testing.T) {
	t.Parallel()
	rows := []struct {
		fault string // of internal/sim; error=0:CODE comes inside a 200
		alone string // there is no other account
		three string // a, b and c, nothing configured
		limit string // the same with failover_on_limit
	}{
		{"model_not_supported", "a: 400; a not for gpt-4o", "ab: 200; a not for gpt-4o", "ab: 200; a not for gpt-4o"},
		{"no_available_model_endpoints", "a: 400; a not for gpt-4o", "ab: 200; a not for gpt-4o", "ab: 200; a not for gpt-4o"},
		{"unsupported_api_for_model", "a: 400", "a: 400", "a: 400"},
		{"model_max_prompt_tokens_exceeded", "a: 400", "a: 400", "a: 400"},
		{"context_length_exceeded", "a: 400", "a: 400", "a: 400"},
		{"missing_vision", "a: 400", "a: 400", "a: 400"},
		{"invalid_request_body", "a: 400", "a: 400", "a: 400"},
		{"off_topic", "a: 400", "a: 400", "a: 400"},
		{"bad_request", "a: 400", "a: 400", "a: 400"},
		{"pat", "a: 503; a login 10m0s", "ab: 200; a login 10m0s", "ab: 200; a login 10m0s"},
		{"token_expired", "aa: 503; a auth 10m0s", "aab: 200; a auth 10m0s", "aab: 200; a auth 10m0s"},
		{"ide_token_expired", "aa: 503; a auth 10m0s", "aab: 200; a auth 10m0s", "aab: 200; a auth 10m0s"},
		{"authorize_url", "a: 503; a policy 10m0s", "ab: 200; a policy 10m0s", "ab: 200; a policy 10m0s"},
		{"not_licensed", "a: 403; a policy 10m0s", "ab: 200; a policy 10m0s", "ab: 200; a policy 10m0s"},
		{"not_authorized", "a: 403; a policy 10m0s", "ab: 200; a policy 10m0s", "ab: 200; a policy 10m0s"},
		{"html401", "a: 503, 60; a policy 1m0s", "ab: 200; a policy 1m0s", "ab: 200; a policy 1m0s"},
		{"html403", "a: 403, 60; a policy 1m0s", "ab: 200; a policy 1m0s", "ab: 200; a policy 1m0s"},
		{"quota_exceeded", "a: 402; a quota 1h0m0s", "a: 402; a quota 1h0m0s", "ab: 200; a quota 1h0m0s"},
		{"quota_exceeded=120", "a: 402, 120; a quota 2m0s", "a: 402, 120; a quota 2m0s", "ab: 200; a quota 2m0s"},
		{"quota_exceeded=in an hour", "a: 402, 3600; a quota 1h0m0s", "a: 402, 3600; a quota 1h0m0s", "ab: 200; a quota 1h0m0s"},
		{"free_quota_exceeded", "a: 402; a quota 1h0m0s", "a: 402; a quota 1h0m0s", "ab: 200; a quota 1h0m0s"},
		{"overage_limit_reached", "a: 402; a quota 1h0m0s", "a: 402; a quota 1h0m0s", "ab: 200; a quota 1h0m0s"},
		{"billing_not_configured", "a: 402; a quota 1h0m0s", "a: 402; a quota 1h0m0s", "ab: 200; a quota 1h0m0s"},
		{"not_found", "a: 404", "a: 404", "a: 404"},
		{"not_found_json", "a: 404", "a: 404", "a: 404"},
		{"user_request_timeout", "aaaa: 502; a network 1m0s", "ab: 200; a network 1m0s", "ab: 200; a network 1m0s"},
		{"too_large", "a: 413", "a: 413", "a: 413"},
		{"failed_to_parse", "a: 413", "a: 413", "a: 413"},
		{"misdirected", "aa: 503; a misdirected 1m0s", "aab: 200; a misdirected 1m0s", "aab: 200; a misdirected 1m0s"},
		{"filtered", "a: 422", "a: 422", "a: 422"},
		{"dependency", "a: 424", "a: 424", "a: 424"},
		{"client_not_supported", "a: 403; a policy 10m0s", "ab: 200; a policy 10m0s", "ab: 200; a policy 10m0s"},
		{"server_canceled", "aaaa: 502; a server 1m0s", "ab: 200; a server 1m0s", "ab: 200; a server 1m0s"},
		{"internal", "aaaa: 500; a server 1m0s", "ab: 200; a server 1m0s", "ab: 200; a server 1m0s"},
		{"html500", "aaaa: 500; a server 1m0s", "ab: 200; a server 1m0s", "ab: 200; a server 1m0s"},
		{"bad_gateway", "aaaa: 502; a server 1m0s", "ab: 200; a server 1m0s", "ab: 200; a server 1m0s"},
		{"unavailable", "aaaa: 503; a overloaded 1m0s", "ab: 200; a overloaded 1m0s", "ab: 200; a overloaded 1m0s"},
		{"unavailable=3", "a: 503, 3; a overloaded 3s", "ab: 200; a overloaded 3s", "ab: 200; a overloaded 3s"},
		{"gateway_timeout", "aaaa: 504; a server 1m0s", "ab: 200; a server 1m0s", "ab: 200; a server 1m0s"},
		{"rate_limited", "aaaaa: 429, 60; a rate_limit 1m0s", "aaaaa: 429, 60; a rate_limit 1m0s", "ab: 200; a rate_limit 1m0s"},
		{"rate_limited=7", "a: 429, 7; a rate_limit 7s", "a: 429, 7; a rate_limit 7s", "ab: 200; a rate_limit 7s"},
		{"rate_limited=0.005", "aaaaa: 429, 1; a rate_limit 5ms", "aaaaa: 429, 1; a rate_limit 5ms", "ab: 200; a rate_limit 5ms"},
		{"rate_limited=99999999999", "a: 429, 2678400; a rate_limit 744h0m0s", "a: 429, 2678400; a rate_limit 744h0m0s", "ab: 200; a rate_limit 744h0m0s"},
		{"rate_limited=soon", "aaaaa: 429, 60; a rate_limit 1m0s", "aaaaa: 429, 60; a rate_limit 1m0s", "ab: 200; a rate_limit 1m0s"},
		{"user_model_rate_limited", "aaaaa: 429, 60; a not for gpt-4o", "aaaaa: 429, 60; a not for gpt-4o", "ab: 200; a not for gpt-4o"},
		{"user_model_rate_limited:gpt-5.4", "aaaaa: 429, 60; a not for gpt-4o", "aaaaa: 429, 60; a not for gpt-4o", "ab: 200; a not for gpt-4o"},
		{"user_global_rate_limited:pro", "a: 429, 1800; a rate_limit 30m0s", "a: 429, 1800; a rate_limit 30m0s", "ab: 200; a rate_limit 30m0s"},
		{"five_hours", "a: 429, 2733; a rate_limit 45m33s", "a: 429, 2733; a rate_limit 45m33s", "ab: 200; a rate_limit 45m33s"},
		{"user_weekly_rate_limited", "a: 429, 1800; a rate_limit 30m0s", "a: 429, 1800; a rate_limit 30m0s", "ab: 200; a rate_limit 30m0s"},
		{"integration_rate_limited", "aaaaa: 429, 60; a rate_limit 1m0s", "aaaaa: 429, 60; a rate_limit 1m0s", "ab: 200; a rate_limit 1m0s"},
		{"model_overloaded", "aaaa: 429; a not for gpt-4o", "ab: 200; a not for gpt-4o", "ab: 200; a not for gpt-4o"},
		{"agent_mode_limit_exceeded", "aaaaa: 429, 60; a rate_limit 1m0s", "aaaaa: 429, 60; a rate_limit 1m0s", "ab: 200; a rate_limit 1m0s"},
		{"upstream_provider_rate_limit", "aaaa: 429; a not for gpt-4o", "ab: 200; a not for gpt-4o", "ab: 200; a not for gpt-4o"},
		{"extension_blocked", "a: 429, 1800; a rate_limit 30m0s", "a: 429, 1800; a rate_limit 30m0s", "ab: 200; a rate_limit 30m0s"},
		{"rate_limit_text", "aaaaa: 429, 60; a rate_limit 1m0s", "aaaaa: 429, 60; a rate_limit 1m0s", "ab: 200; a rate_limit 1m0s"},
		{"quota_text", "a: 402; a quota 1h0m0s", "a: 402; a quota 1h0m0s", "ab: 200; a quota 1h0m0s"},
		{"too_many_requests", "aaaaa: 429, 60; a rate_limit 1m0s", "aaaaa: 429, 60; a rate_limit 1m0s", "ab: 200; a rate_limit 1m0s"},
		{"rst=0", "a: 502; a incomplete 1m0s", "ab: 200; a incomplete 1m0s", "ab: 200; a incomplete 1m0s"},
		{"abort=0", "a: 502; a incomplete 1m0s", "ab: 200; a incomplete 1m0s", "ab: 200; a incomplete 1m0s"},
		{"eof=0", "a: 502; a incomplete 1m0s", "ab: 200; a incomplete 1m0s", "ab: 200; a incomplete 1m0s"},
		{"html200", "aaaa: 502; a network 1m0s", "ab: 200; a network 1m0s", "ab: 200; a network 1m0s"},
		{"error=0:rate_limited", "a: 429, 60; a rate_limit 1m0s", "a: 429, 60; a rate_limit 1m0s", "ab: 200; a rate_limit 1m0s"},
		{"error=0:user_model_rate_limited", "a: 429, 60; a not for gpt-4o", "a: 429, 60; a not for gpt-4o", "ab: 200; a not for gpt-4o"},
		{"error=0:quota_exceeded", "a: 402; a quota 1h0m0s", "a: 402; a quota 1h0m0s", "ab: 200; a quota 1h0m0s"},
		{"error=0:model_overloaded", "a: 503; a not for gpt-4o", "ab: 200; a not for gpt-4o", "ab: 200; a not for gpt-4o"},
		{"error=0:model_not_supported", "a: 400; a not for gpt-4o", "ab: 200; a not for gpt-4o", "ab: 200; a not for gpt-4o"},
		{"error=0:context_length_exceeded", "a: 400", "a: 400", "a: 400"},
		{"error=0:invalid_request_body", "a: 400", "a: 400", "a: 400"},
		{"error=0:server_error", "a: 502; a server 1m0s", "ab: 200; a server 1m0s", "ab: 200; a server 1m0s"},
		{"error=0:something_else", "a: 502; a server 1m0s", "ab: 200; a server 1m0s", "ab: 200; a server 1m0s"},
		{"rate_limited=in an hour", "a: 429, 3600; a rate_limit 1h0m0s", "a: 429, 3600; a rate_limit 1h0m0s", "ab: 200; a rate_limit 1h0m0s"},
		{"rate_limited=Fri, 01 Jan 2100 00:00:00 GMT", "a: 429, 2678400; a rate_limit 744h0m0s", "a: 429, 2678400; a rate_limit 744h0m0s", "ab: 200; a rate_limit 744h0m0s"},
	}
	for policy, failover := range map[string]bool{"as it comes": false, "failover_on_limit": true} {
		t.Run(policy, func(t *testing.T) {
			t.Parallel()
			scenario := &sim.Scenario{Models: slices.DeleteFunc(sim.DefaultModels(), func(m sim.Model) bool { return m.ID != "gpt-4o" })}
			var profiles []config.Profile
			var names []string
			for i, row := range rows {
				for _, of := range []string{"alone", "three"} {
					if failover && of == "alone" {
						continue // there is nobody to fail over to
					}
					p := config.Profile{Name: fmt.Sprintf("%s%d", of, i), Mode: "route"}
					for j, a := range []string{"a", "b", "c"} {
						if of == "alone" && j > 0 {
							break
						}
						name := p.Name + a
						scenario.Accounts = append(scenario.Accounts, sim.Account{Name: name, Token: "ghu_" + name + sim.Marker, ID: int64(len(names) + 1)})
						names = append(names, name)
						p.Accounts = append(p.Accounts, name)
					}
					profiles = append(profiles, p)
					fault, arg, _ := strings.Cut(row.fault, "=")
					script := sim.Fault{Account: p.Name + "a", Name: fault, Arg: arg, Times: -1}
					if arg == "in an hour" { // as a date, by the upstream's own clock
						script.Name, script.Status, script.Body = "", http.StatusTooManyRequests, fmt.Sprintf(`{"error":{"message":"not now","code":%q}}`, fault)
						if fault == "quota_exceeded" {
							script.Status = http.StatusPaymentRequired
						}
						script.Header = map[string]string{"Date": "Fri, 27 Nov 2026 22:00:00 GMT", "Retry-After": "Fri, 27 Nov 2026 23:00:00 GMT"}
					}
					scenario.Faults = append(scenario.Faults, script)
				}
			}
			clk := &clock{t: time.Now()} // it stands still, so that rests are as long as they were said to be
			w := newWorld(t, scenario, func(o *app.Options) {
				o.Now = clk.now
				o.Config.Profiles, o.Config.Pool.FailoverOnLimit = profiles, failover
				o.Config.Retry = config.Retry{ // a thousandth of the defaults
					MaxAttempts: 3, MaxConnectionRetries: 3, InitialBackoff: time.Millisecond, Multiplier: 2, MaxSingleWait: 10 * time.Millisecond, MaxWait: 20 * time.Millisecond,
				}
			}, names...)
			w.listed()
			for i, row := range rows {
				wants := map[string]string{"alone": row.alone, "three": row.three}
				if failover {
					wants = map[string]string{"three": row.limit}
				}
				for of, want := range wants {
					profile := fmt.Sprintf("%s%d", of, i)
					if got := w.outcome(clk.now(), profile, strings.HasPrefix(row.fault, "error=")); got != want {
						t.Errorf("%s, %s, %s: %s; want %s", row.fault, of, policy, got, want)
					}
				}
			}
		})
	}
}

// listed waits until every account has said which models it has, or that it cannot.
func (w *world) listed() {
	w.t.Helper()
	resp, err := http.Get("http://" + w.app.APIAddr() + "/v1/models")
	if err != nil {
		w.t.Fatal(err)
	}
	_ = resp.Body.Close()
}

// outcome asks once through a profile and says what became of it.
func (w *world) outcome(now time.Time, profile string, stream bool) string {
	w.t.Helper()
	return w.became(now, profile, "/"+profile+"/v1/chat/completions", fmt.Sprintf(`{"model":"gpt-4o","stream":%t,"messages":[{"role":"user","content":"hello"}]}`, stream))
}

// became asks and says what became of it, of the accounts whose names begin with prefix.
func (w *world) became(now time.Time, prefix, path, body string) string {
	w.t.Helper()
	before := w.sim.Requests()
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, "http://"+w.app.APIAddr()+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	var out strings.Builder
	for _, r := range w.sim.Requests()[len(before):] {
		if r.Op == sim.OpChat || r.Op == sim.OpResponses || r.Op == sim.OpMessages {
			out.WriteString(strings.TrimPrefix(r.Account, prefix))
		}
	}
	fmt.Fprintf(&out, ": %d", resp.StatusCode)
	if after := resp.Header.Get("Retry-After"); after != "" {
		out.WriteString(", " + after)
	}
	for _, a := range w.app.Health().Accounts {
		name, is := strings.CutPrefix(a.ID, prefix)
		switch {
		case !is || len(name) != 1:
		case a.State != "ok":
			fmt.Fprintf(&out, "; %s %s %s", name, a.State, a.Until.Sub(now))
		case len(a.Models) > 0:
			fmt.Fprintf(&out, "; %s not for %s", name, strings.Join(a.Models, " "))
		case a.Premium != "":
			fmt.Fprintf(&out, "; %s not for premium %s", name, a.PremiumUntil.Sub(now))
		}
	}
	return out.String()
}

// step is what happens next in a story.
type step struct {
	after   time.Duration // on the clock, which may be set back
	restart bool          // of detour
	faults  string        // from now on, such as "a rate_limited=7, b internal"; "none" ends them
	ask     string        // a conversation
	model   string        // gpt-4o unless said
	want    string        // as in TestWhatBecomesOfFailures
}

// TestWhatBecomesOfFailuresInTime goes on where that table ends: with requests that come later.
func TestWhatBecomesOfFailuresInTime(t *testing.T) {
	t.Parallel()
	once := func(o *app.Options) {
		o.Config.Retry = config.Retry{MaxAttempts: 3, MaxConnectionRetries: -1, InitialBackoff: time.Millisecond, Multiplier: 2, MaxSingleWait: 1, MaxWait: 1}
	}
	failover := func(o *app.Options) {
		once(o)
		o.Config.Pool.FailoverOnLimit = true
	}
	const month = 31 * 24 * time.Hour
	for name, story := range map[string]struct {
		accounts string
		policy   func(*app.Options)
		steps    []step
	}{
		"all accounts rest: the soonest is named": {"abc", failover, []step{
			{faults: "a rate_limited=300, b rate_limited=60, c rate_limited=600", ask: "one", want: "abc: 429, 60; a rate_limit 5m0s; b rate_limit 1m0s; c rate_limit 10m0s"},
			{ask: "two", want: ": 429, 60; a rate_limit 5m0s; b rate_limit 1m0s; c rate_limit 10m0s"},
			{after: 10 * time.Second, ask: "two", want: ": 429, 50; a rate_limit 4m50s; b rate_limit 50s; c rate_limit 9m50s"},
			{after: 50 * time.Second, faults: "none", ask: "two", want: "b: 200; a rate_limit 4m0s; c rate_limit 9m0s"},
		}},
		"a conversation stays where its limit is": {"ab", once, []step{
			{ask: "one", want: "a: 200"},
			{faults: "a rate_limited=300", ask: "one", want: "a: 429, 300; a rate_limit 5m0s"},
			{ask: "one", want: ": 429, 300; a rate_limit 5m0s"},
			{ask: "another", want: "b: 200; a rate_limit 5m0s"},
			{after: 300 * time.Second, faults: "none", ask: "one", want: "a: 200"},
		}},
		"a limit that outlasts a restart": {"ab", failover, []step{
			{faults: "a rate_limited=300, b rate_limited=400", ask: "one", want: "ab: 429, 300; a rate_limit 5m0s; b rate_limit 6m40s"},
			{after: time.Minute, restart: true, ask: "one", want: ": 429, 240; a rate_limit 4m0s; b rate_limit 5m40s"},
			{after: 240 * time.Second, faults: "none", ask: "one", want: "a: 200; b rate_limit 1m40s"},
		}},
		"a login that is dead is tried again after a restart": {"a", once, []step{
			{faults: "a pat", ask: "one", want: "a: 503; a login 10m0s"},
			{ask: "one", want: ": 503, 600; a login 10m0s"},
			{restart: true, faults: "none", ask: "one", want: "a: 200"},
		}},
		"the clock jumps ahead": {"a", once, []step{
			{faults: "a rate_limited=3600", ask: "one", want: "a: 429, 3600; a rate_limit 1h0m0s"},
			{after: 8 * time.Hour, faults: "none", ask: "one", want: "a: 200"},
		}},
		"the clock is set back": {"a", once, []step{
			{faults: "a rate_limited=3600", ask: "one", want: "a: 429, 3600; a rate_limit 1h0m0s"},
			{after: -time.Second, ask: "one", want: ": 429, 3601; a rate_limit 1h0m1s"},
			{after: -8 * time.Hour, faults: "none", ask: "one", want: "a: 200"},
		}},
		"an absurd wait is checked once": {"a", once, []step{
			{faults: "a rate_limited=99999999999", ask: "one", want: "a: 429, 2678400; a rate_limit 744h0m0s"},
			{after: 59 * time.Second, ask: "one", want: ": 429, 2678341; a rate_limit 743h59m1s"},
			{after: time.Second, ask: "one", want: "a: 429, 2678400; a rate_limit 744h0m0s"},
			{after: time.Hour, ask: "one", want: ": 429, 2674800; a rate_limit 743h0m0s"},
			{after: month, faults: "none", ask: "one", want: "a: 200"},
		}},
		"an absurd wait that is not true": {"a", once, []step{
			{faults: "a rate_limited=99999999999", ask: "one", want: "a: 429, 2678400; a rate_limit 744h0m0s"},
			{after: time.Minute, faults: "none", ask: "one", want: "a: 200"},
			{ask: "one", want: "a: 200"},
		}},
		"five failures break the circuit": {"a", once, []step{
			{faults: "a internal", ask: "one", want: "a: 500; a server 1m0s"},
			{ask: "one", want: "a: 500; a server 1m0s"},
			{ask: "one", want: "a: 500; a server 1m0s"},
			{ask: "one", want: "a: 500; a server 1m0s"},
			{ask: "one", want: "a: 500; a server 30s"},
			{ask: "one", want: ": 503, 30; a server 30s"},
			{after: 30 * time.Second, ask: "one", want: "a: 500; a server 30s"},
			{ask: "one", want: ": 503, 30; a server 30s"},
			{after: 30 * time.Second, faults: "none", ask: "one", want: "a: 200"},
		}},
		"a failure moves a conversation, which stays there": {"ab", once, []step{
			{ask: "one", want: "a: 200"},
			{faults: "a internal", ask: "one", want: "ab: 200; a server 1m0s"},
			{after: time.Hour / 2, faults: "none", ask: "one", want: "b: 200"},
		}},
		"premium requests are spent": {"a", once, []step{
			{faults: "a quota_exceeded=600", model: "claude-opus-4.8", ask: "one", want: "a: 402, 600; a not for premium 10m0s"},
			{faults: "none", ask: "one", want: "a: 200; a not for premium 10m0s"},
			{model: "claude-opus-4.8", ask: "one", want: ": 402, 600; a not for premium 10m0s"},
			{after: 600 * time.Second, model: "claude-opus-4.8", ask: "one", want: "a: 200"},
		}},
		"a model rests, the others do not": {"a", once, []step{
			{faults: "a user_model_rate_limited=60", ask: "one", want: "a: 429, 60; a not for gpt-4o"},
			{faults: "none", ask: "one", want: ": 429, 60; a not for gpt-4o"},
			{model: "claude-haiku-4.5", ask: "one", want: "a: 200; a not for gpt-4o"},
			{after: time.Minute, ask: "one", want: "a: 200"},
		}},
		"a credential that is refused at the exchange": {"abc", once, []step{
			{faults: "a@bad_credentials", ask: "one", want: "b: 200; a login 10m0s"},
			{ask: "two", want: "c: 200; a login 10m0s"},
			{ask: "three", want: "b: 200; a login 10m0s"},
		}},
		"no licence": {"ab", once, []step{
			{faults: "a@no_copilot_access", ask: "one", want: "b: 200; a policy 10m0s"},
			{ask: "two", want: "b: 200; a policy 10m0s"},
		}},
		"an exchange over its limit": {"ab", once, []step{
			{faults: "a@429=30", ask: "one", want: "b: 200; a rate_limit 30s"},
			{ask: "two", want: "b: 200; a rate_limit 30s"},
			{after: time.Minute, faults: "none", ask: "three", want: "b: 200"},
		}},
		"no exchange works": {"ab", once, []step{
			{faults: "a@bad_credentials, b@no_copilot_access", ask: "one", want: ": 503, 600; a login 10m0s; b policy 10m0s"},
			{ask: "one", want: ": 503, 600; a login 10m0s; b policy 10m0s"},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clk := &clock{t: time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)}
			var names []string
			// Tokens outlast the story: one that was being fetched when the clock jumped is good for what comes after.
			scenario := &sim.Scenario{Exchange: sim.Exchange{ExpiresIn: 90 * 24 * time.Hour}}
			for i, n := range strings.Split(story.accounts, "") {
				names = append(names, n)
				scenario.Accounts = append(scenario.Accounts, sim.Account{Name: n, Token: "ghu_" + n + sim.Marker, ID: int64(i + 1)})
			}
			dir := t.TempDir()
			begin := func() *world {
				again := *scenario
				w := newWorld(t, &again, inData(dir, func(o *app.Options) {
					o.Now = clk.now
					story.policy(o)
				}), names...)
				w.listed()
				return w
			}
			var w *world
			for i, s := range story.steps {
				clk.add(s.after)
				if s.faults != "" {
					scenario.Faults = scripted(s.faults)
				}
				switch {
				case w == nil:
					w = begin()
				case s.restart:
					w.stop()
					w = begin()
				case s.faults != "":
					w.sim.Update(func(sc *sim.Scenario) { sc.Faults = scripted(s.faults) })
				}
				body := fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":%q}]}`, cmp.Or(s.model, "gpt-4o"), s.ask)
				if got := w.became(clk.now(), "", "/v1/chat/completions", body); got != s.want {
					t.Errorf("%d, %q: %s\nwant %s", i+1, s.ask, got, s.want)
				}
			}
		})
	}
}

// scripted makes faults that last, of inference or, where an @ stands between account and fault, of the token exchange.
func scripted(all string) []sim.Fault {
	var out []sim.Fault
	for one := range strings.SplitSeq(all, ", ") {
		account, fault, found := strings.Cut(one, " ")
		on := ""
		if !found {
			account, fault, found = strings.Cut(one, "@")
			on = sim.OpExchange
		}
		if found {
			name, arg, _ := strings.Cut(fault, "=")
			out = append(out, sim.Fault{On: on, Account: account, Name: name, Arg: arg, Times: -1})
		}
	}
	return out
}

// TestWhatBecomesOfAStreamThatFailsAtAnyEvent cuts the first answer at each of its events. Before the first of them
// another account answers, whole; after it nobody is asked again, and the stream ends with its dialect's error.
func TestWhatBecomesOfAStreamThatFailsAtAnyEvent(t *testing.T) {
	t.Parallel()
	type client struct {
		path, body string // with model and question
		end, err   string // of a good and of a bad stream
	}
	clients := map[string]client{
		"chat":      {"/v1/chat/completions", `{"model":%q,"stream":true,"messages":[{"role":"user","content":%q}]}`, `"finish_reason":"stop"`, `data: {"error"`},
		"responses": {"/v1/responses", `{"model":%q,"stream":true,"input":%q}`, `"response.completed"`, `"response.failed"`},
		"messages":  {"/v1/messages", `{"model":%q,"stream":true,"max_tokens":99,"messages":[{"role":"user","content":%q}]}`, `"message_stop"`, `event: error`},
		"gemini":    {"/v1beta/models/%s:streamGenerateContent?alt=sse", `{"contents":[{"role":"user","parts":[{"text":%q}]}]}`, `"finishReason":"STOP"`, `"error"`},
	}
	const chunks = 3
	for name, c := range clients {
		for _, model := range []string{"gpt-4o", "gpt-5.4", "claude-haiku-4.5"} {
			t.Run(name+" on "+model, func(t *testing.T) {
				t.Parallel()
				clk := &clock{t: time.Now()}
				w := newWorld(t, &sim.Scenario{Chunks: chunks}, func(o *app.Options) { o.Now = clk.now }, "alice", "ivan")
				w.listed()
				for how, state := range map[string]string{"rst": "network", "abort": "network", "eof": "incomplete", "error": "rate_limit"} {
					for at := range chunks + 2 {
						clk.add(90 * time.Second) // whatever came before is over
						arg := fmt.Sprint(at)
						if how == "error" {
							arg += ":rate_limited"
						}
						question := fmt.Sprintf("[[sim:once=%s=%s]] what is the time?", how, arg)
						path, body := c.path, fmt.Sprintf(c.body, model, question)
						if name == "gemini" {
							path, body = fmt.Sprintf(c.path, model), fmt.Sprintf(c.body, question)
						}
						before := len(w.sim.Requests())
						status, got := w.spend(path, body)
						var asked []string
						for _, r := range w.sim.Requests()[before:] {
							if r.Op == sim.OpChat || r.Op == sim.OpResponses || r.Op == sim.OpMessages {
								asked = append(asked, r.Account)
							}
						}
						var rests []string
						for _, a := range w.app.Health().Accounts {
							if a.State != "ok" {
								rests = append(rests, a.ID+" "+a.State)
							}
						}
						what := fmt.Sprintf("%s at %d: status %d, asked %v, resting %v: %.200s", how, at, status, asked, rests, got)
						whole, failed := strings.Contains(got, c.end), strings.Contains(got, c.err)
						switch {
						case len(asked) == 0 || !slices.Equal(rests, []string{asked[0] + " " + state}):
							t.Error(what)
						case how == "error" && at == 0: // a limit, and going on elsewhere is not allowed
							if len(asked) != 1 || status != http.StatusTooManyRequests || whole {
								t.Error(what)
							}
						case at == 0:
							if len(asked) != 2 || status != 200 || !whole || failed {
								t.Error(what)
							}
						default:
							if len(asked) != 1 || status != 200 || whole || !failed {
								t.Error(what)
							}
						}
					}
				}
			})
		}
	}
}

// TestConversationsAreBalancedAndStay has each conversation ask three times, among many at once.
func TestConversationsAreBalancedAndStay(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		conversations, accounts int
		dead                    string // of the accounts; "" for none
	}{
		"four accounts":        {500, 4, ""},
		"one of three is dead": {90, 3, "b"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			scenario := &sim.Scenario{}
			var names []string
			for i := range tc.accounts {
				a := sim.Account{Name: string(rune('a' + i)), ID: int64(i + 1)}
				a.Token = "ghu_" + a.Name + sim.Marker
				if a.Name == tc.dead {
					a.Access = sim.AccessNone
				}
				names, scenario.Accounts = append(names, a.Name), append(scenario.Accounts, a)
			}
			w := newWorld(t, scenario, nil, names...)
			w.listed()
			client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}}
			defer client.CloseIdleConnections()
			homes := make([][]string, tc.conversations)
			var workers errgroup.Group
			workers.SetLimit(16)
			for i := range homes {
				workers.Go(func() error {
					for turn := range 3 {
						said := `{"role":"user","content":` + fmt.Sprintf("%q", fmt.Sprint("conversation ", i)) + `}` + strings.Repeat(`,{"role":"assistant","content":"yes"},{"role":"user","content":"go on"}`, turn)
						req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+w.app.APIAddr()+"/v1/chat/completions", strings.NewReader(`{"model":"gpt-4o","messages":[`+said+`]}`))
						if err != nil {
							return err
						}
						resp, err := client.Do(req)
						if err != nil {
							return err
						}
						b, err := io.ReadAll(resp.Body)
						if err = errors.Join(err, resp.Body.Close()); err != nil || resp.StatusCode != http.StatusOK {
							return fmt.Errorf("%d %s %w", resp.StatusCode, b, err)
						}
						homes[i] = append(homes[i], resp.Header.Get("X-Detour-Account"))
					}
					return nil
				})
			}
			if err := workers.Wait(); err != nil {
				t.Fatal(err)
			}
			share := map[string]float64{}
			for i, h := range homes {
				if h[0] == "" || h[0] != h[1] || h[1] != h[2] {
					t.Errorf("conversation %d was at %v", i, h)
				}
				share[h[0]]++
			}
			alive := float64(tc.accounts)
			if tc.dead != "" {
				alive--
			}
			fair := float64(tc.conversations) / alive
			for _, name := range names {
				if n := share[name]; name == tc.dead && n != 0 || name != tc.dead && (n < 0.9*fair || n > 1.1*fair) {
					t.Errorf("%s has %v conversations, %v would be fair", name, n, fair)
				}
			}
			wasted := w.sim.Requests(func(r sim.Request) bool { return r.Account == tc.dead && r.Op == sim.OpExchange })
			if tc.dead != "" && len(wasted) > 2 {
				t.Errorf("the dead account was asked for a token %d times", len(wasted))
			}
		})
	}
}
