package sim_test

import (
	"strings"
	"testing"
	"time"

	"detour/internal/sim"
)

func (r *rig) exchange(account string, headers ...string) got {
	r.t.Helper()
	return r.send("GET", r.APIURL()+"/copilot_internal/v2/token", "",
		append([]string{"Authorization", "token " + r.Account(account).Token()}, headers...)...)
}

func TestExchange(t *testing.T) {
	t.Parallel()
	c := newClock()
	r := start(t, sim.Options{Now: c.now, Scenario: &sim.Scenario{Exchange: sim.Exchange{
		ExpiresIn: 10 * time.Minute, RefreshIn: 8 * time.Minute, Skew: time.Hour, Extra: map[string]any{"codesearch": "maybe"},
	}}})
	a, b := r.exchange("alice").json(t), r.exchange("alice").json(t)
	if a["token"] == b["token"] || !strings.Contains(a["token"].(string), sim.Marker) || !strings.HasPrefix(a["token"].(string), "tid=") {
		t.Errorf("tokens %v and %v", a["token"], b["token"])
	}
	if want := float64(c.now().Add(70 * time.Minute).Unix()); a["expires_at"] != want || a["refresh_in"] != 480.0 {
		t.Errorf("expires_at %v, refresh_in %v; want %v, 480", a["expires_at"], a["refresh_in"], want)
	}
	if at(a, "endpoints", "api") != r.CopilotURL() || a["codesearch"] != "maybe" || a["member_nobody_knows"] == nil {
		t.Errorf("answer = %v", a)
	}
	if n := r.Account("alice").Exchanges(); n != 2 {
		t.Errorf("exchanges = %d", n)
	}
}

func TestExchangeByAccount(t *testing.T) {
	t.Parallel()
	r := start(t, sim.Options{Scenario: &sim.Scenario{Accounts: append(sim.DefaultAccounts(),
		sim.Account{Name: "off", Token: "ghu_off_" + sim.Marker, Access: sim.AccessChatOff, NotificationID: "subscription_ending"},
		sim.Account{Name: "app", Token: "ghu_app_" + sim.Marker, Access: sim.AccessApp},
	)}})
	for _, tc := range []struct {
		account string
		status  int
		want    string
	}{
		{"alice", 200, `"sku":"plus_monthly_subscriber_quota"`},
		{"bob", 200, r.BusinessURL()},
		{"carol", 200, `"limited_user_quotas":{"chat":48,"completions":1990}`},
		{"dave", 200, r.EnterpriseURL()},
		{"erin", 403, `"notification_id":"no_copilot_access"`},
		{"frank", 404, "Not Found"},
		{"grace", 403, "Resource not accessible by personal access token"},
		{"heidi", 404, "Not Found"},
		{"off", 200, `"chat_enabled":false`},
		{"off", 200, `"notification_id":"subscription_ending"`},
		{"app", 403, "Resource not accessible by integration"},
	} {
		g := r.exchange(tc.account)
		if g.status != tc.status || !strings.Contains(g.body, tc.want) {
			t.Errorf("%s: %d %s, want %d %s", tc.account, g.status, g.body, tc.status, tc.want)
		}
		if g.header.Get("X-Github-Request-Id") == "" {
			t.Errorf("%s: no x-github-request-id", tc.account)
		}
	}
}

func TestExchangeEndpoints(t *testing.T) {
	t.Parallel()
	r := start(t, sim.Options{})
	for _, tc := range []struct {
		mode string
		want any
	}{
		{"", r.CopilotURL()}, {"absent", nil}, {"wrong", r.BusinessURL()},
		{"http://evil.test", "http://evil.test"},
		{"https://user:pw@api.githubcopilot.com:8443", "https://user:pw@api.githubcopilot.com:8443"},
	} {
		r.Update(func(sc *sim.Scenario) { sc.Exchange.Endpoints = tc.mode })
		if got := at(r.exchange("alice").json(t), "endpoints", "api"); got != tc.want {
			t.Errorf("%q: %v, want %v", tc.mode, got, tc.want)
		}
	}
}

func TestExchangeChecks(t *testing.T) {
	t.Parallel()
	r := start(t, sim.Options{Scenario: &sim.Scenario{Exchange: sim.Exchange{RejectGoClient: true, RequireEditor: true}}})
	if g := r.exchange("alice", "User-Agent", "Go-http-client/2.0"); g.status != 403 || !strings.Contains(g.body, "go_http_client") {
		t.Errorf("Go client: %d %s", g.status, g.body)
	}
	if g := r.exchange("alice"); g.status != 403 || !strings.Contains(g.body, "programmatic_token_generation") {
		t.Errorf("no editor: %d %s", g.status, g.body)
	}
	if g := r.exchange("alice", "Editor-Version", "vscode/1", "Editor-Plugin-Version", "copilot-chat/1"); g.status != 200 {
		t.Errorf("editor: %d %s", g.status, g.body)
	}
	url := r.APIURL() + "/copilot_internal/v2/token"
	auth := "token " + r.Account("alice").Token()
	if g := r.send("POST", url, "", "Authorization", auth); g.status != 404 {
		t.Errorf("POST: %d", g.status)
	}
	if g := r.send("GET", url, "", "Authorization", auth, "User-Agent", ""); g.status != 403 {
		t.Errorf("no User-Agent: %d", g.status)
	}
	for _, bad := range []string{"", "Basic eA==", "token nothing"} {
		if g := r.send("GET", url, "", "Authorization", bad); g.status != 401 || at(g.json(t), "message") != "Bad credentials" {
			t.Errorf("Authorization %q: %d %s", bad, g.status, g.body)
		}
	}
}

func TestExchangeFaultsComeInOrder(t *testing.T) {
	t.Parallel()
	on := func(name, arg string) sim.Fault { return sim.Fault{On: sim.OpExchange, Name: name, Arg: arg} }
	r := start(t, sim.Options{Scenario: &sim.Scenario{Faults: []sim.Fault{
		on("html403", ""), on("rate_limited", "7"),
		{On: sim.OpExchange, Account: "bob", Name: "500", Times: 2},
		{On: sim.OpExchange, Status: 418, Body: "teapot", Header: map[string]string{"Content-Type": "text/x-tea"}},
	}}})
	type step struct {
		account string
		status  int
	}
	for i, want := range []step{{"alice", 403}, {"alice", 429}, {"alice", 418}, {"alice", 200}, {"bob", 500}, {"bob", 500}, {"bob", 200}} {
		g := r.exchange(want.account)
		if g.status != want.status {
			t.Errorf("exchange %d of %s: %d, want %d", i, want.account, g.status, want.status)
		}
		if g.status == 429 && g.header.Get("Retry-After") != "7" {
			t.Errorf("retry-after = %q", g.header.Get("Retry-After"))
		}
	}
}

func TestUsageShapes(t *testing.T) {
	t.Parallel()
	shapes := map[string]string{
		sim.UsagePaid: `"premium_interactions":{"credits_used":0,"entitlement":300`, sim.UsageUnlimited: `"unlimited":true`,
		sim.UsageFree: `"has_quota":false`, sim.UsageFreeLegacy: `"monthly_quotas"`, sim.UsageTokens: `"token_based_billing":true`,
		sim.UsageEmpty: `"quota_reset_date"`, sim.UsageOtherHost: "",
	}
	var accounts []sim.Account
	for shape := range shapes {
		accounts = append(accounts, sim.Account{Name: shape, Token: "ghu_" + shape, Usage: shape})
	}
	r := start(t, sim.Options{Scenario: &sim.Scenario{Accounts: accounts}})
	shapes[sim.UsageOtherHost] = r.BusinessURL()
	for shape, want := range shapes {
		g := r.send("GET", r.APIURL()+"/copilot_internal/user", "", "Authorization", "token ghu_"+shape)
		if g.status != 200 || !strings.Contains(g.body, want) {
			t.Errorf("%s: %d %s, want %s", shape, g.status, g.body, want)
		}
	}
}

func TestIdentity(t *testing.T) {
	t.Parallel()
	r := start(t, sim.Options{})
	get := func(account string) map[string]any {
		return r.send("GET", r.APIURL()+"/user", "", "Authorization", "Bearer "+r.Account(account).Token()).json(t)
	}
	if v := get("alice"); v["login"] != "alice" || v["id"] != 1001.0 || v["email"] != "alice@example.test" {
		t.Errorf("alice = %v", v)
	}
	if v := get("carol"); v["email"] != nil {
		t.Errorf("carol = %v", v)
	}
	r.Update(func(sc *sim.Scenario) { sc.Login.NullEmail = true })
	if v := get("alice"); v["email"] != nil {
		t.Errorf("alice without email = %v", v)
	}
}
