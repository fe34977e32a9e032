package app_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

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
			scenario := &sim.Scenario{}
			var profiles []config.Profile
			var names []string
			for i, row := range rows {
				for _, of := range []string{"alone", "three"} {
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
						script.Name, script.Status, script.Body = "", http.StatusTooManyRequests, `{"error":{"message":"slow down","code":"rate_limited"}}`
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
			for i, row := range rows {
				for of, want := range map[string]string{"alone": row.alone, "three": row.three} {
					if failover && of == "three" {
						want = row.limit
					}
					profile := fmt.Sprintf("%s%d", of, i)
					if got := w.outcome(clk.now(), profile, strings.HasPrefix(row.fault, "error=")); got != want {
						t.Errorf("%s, %s, %s: %s; want %s", row.fault, of, policy, got, want)
					}
				}
			}
		})
	}
}

// outcome asks once through a profile and says what became of it.
func (w *world) outcome(now time.Time, profile string, stream bool) string {
	w.t.Helper()
	mine := func(r sim.Request) bool {
		return strings.HasPrefix(r.Account, profile) && (r.Op == sim.OpChat || r.Op == sim.OpResponses || r.Op == sim.OpMessages)
	}
	body := fmt.Sprintf(`{"model":"gpt-4o","stream":%t,"messages":[{"role":"user","content":"hello"}]}`, stream)
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, "http://"+w.app.APIAddr()+"/"+profile+"/v1/chat/completions", strings.NewReader(body))
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
	for _, r := range w.sim.Requests(mine) {
		out.WriteString(strings.TrimPrefix(r.Account, profile))
	}
	fmt.Fprintf(&out, ": %d", resp.StatusCode)
	if after := resp.Header.Get("Retry-After"); after != "" {
		out.WriteString(", " + after)
	}
	for _, a := range w.app.Health().Accounts {
		name, is := strings.CutPrefix(a.ID, profile)
		switch {
		case !is || len(name) != 1:
		case a.State != "ok":
			fmt.Fprintf(&out, "; %s %s %s", name, a.State, a.Until.Sub(now))
		case len(a.Models) > 0:
			fmt.Fprintf(&out, "; %s not for %s", name, strings.Join(a.Models, " "))
		case a.Premium != "":
			fmt.Fprintf(&out, "; %s not for premium", name)
		}
	}
	return out.String()
}
