package sim_test

import (
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"detour/internal/sim"
)

const grant = "urn:ietf:params:oauth:grant-type:device_code"

// deviceCode starts a sign-in.
func (r *rig) deviceCode() map[string]any {
	r.t.Helper()
	return r.send("POST", r.GitHubURL()+"/login/device/code", `{"client_id":"Iv1.x","scope":"read:user"}`,
		"Accept", "application/json", "Content-Type", "application/json").json(r.t)
}

// poll asks for the token once.
func (r *rig) poll(code any) map[string]any {
	r.t.Helper()
	g := r.send("POST", r.GitHubURL()+"/login/oauth/access_token",
		`{"client_id":"Iv1.x","device_code":"`+code.(string)+`","grant_type":"`+grant+`"}`,
		"Accept", "application/json", "Content-Type", "application/json")
	if g.status != 200 {
		r.t.Fatalf("status %d, sign-in errors have 200", g.status)
	}
	return g.json(r.t)
}

func TestDeviceFlowScript(t *testing.T) {
	t.Parallel()
	c := newClock()
	r := start(t, sim.Options{Now: c.now, Scenario: &sim.Scenario{Login: sim.Login{
		Account: "bob", Polls: []string{"authorization_pending", "slow_down", "incorrect_client_credentials"},
	}}})
	d := r.deviceCode()
	if d["interval"] != 5.0 || d["expires_in"] != 899.0 || !strings.HasSuffix(d["verification_uri"].(string), "/login/device") || len(d["user_code"].(string)) != 9 {
		t.Errorf("device code = %v", d)
	}
	wait := 5 * time.Second
	var seen []string
	for range 4 {
		c.add(wait)
		v := r.poll(d["device_code"])
		code, _ := v["error"].(string)
		seen = append(seen, code)
		if code == "slow_down" {
			if v["interval"] != 10.0 {
				t.Errorf("slow_down = %v", v)
			}
			wait = 10 * time.Second
		}
		if code == "" && (v["access_token"] != r.Account("bob").Token() || v["token_type"] != "bearer") {
			t.Errorf("success = %v", v)
		}
	}
	if want := []string{"authorization_pending", "slow_down", "incorrect_client_credentials", ""}; !slices.Equal(seen, want) {
		t.Errorf("answers = %q, want %q", seen, want)
	}
	if got, want := r.PollGaps(), []time.Duration{5 * time.Second, 5 * time.Second, 10 * time.Second, 10 * time.Second}; !slices.Equal(got, want) {
		t.Errorf("gaps = %v, want %v", got, want)
	}
	if v := r.poll(d["device_code"]); v["error"] != "incorrect_device_code" {
		t.Errorf("second use = %v", v)
	}
}

func TestPollingEarlyIsSlowedDown(t *testing.T) {
	t.Parallel()
	c := newClock()
	r := start(t, sim.Options{Now: c.now})
	d := r.deviceCode()
	c.add(4 * time.Second)
	if v := r.poll(d["device_code"]); v["error"] != "slow_down" || v["interval"] != 10.0 {
		t.Errorf("early poll = %v", v)
	}
	c.add(9 * time.Second)
	if v := r.poll(d["device_code"]); v["error"] != "slow_down" || v["interval"] != 15.0 {
		t.Errorf("second early poll = %v", v)
	}
	c.add(15 * time.Second)
	if v := r.poll(d["device_code"]); v["access_token"] == nil {
		t.Errorf("third poll = %v", v)
	}
}

func TestDeviceCodeExpires(t *testing.T) {
	t.Parallel()
	c := newClock()
	r := start(t, sim.Options{Now: c.now, Scenario: &sim.Scenario{Login: sim.Login{ExpiresIn: 60, Interval: -1}}})
	d := r.deviceCode()
	if _, ok := d["interval"]; ok || d["expires_in"] != 60.0 {
		t.Errorf("device code = %v", d)
	}
	c.add(time.Minute)
	if v := r.poll(d["device_code"]); v["error"] != "expired_token" {
		t.Errorf("poll = %v", v)
	}
}

func TestApprovalGate(t *testing.T) {
	t.Parallel()
	g := new(sim.Gate)
	r := start(t, sim.Options{Scenario: &sim.Scenario{Login: sim.Login{Approval: g, AllowEarly: true}}})
	d := r.deviceCode()
	if v := r.poll(d["device_code"]); v["error"] != "authorization_pending" {
		t.Errorf("before = %v", v)
	}
	g.Open()
	if v := r.poll(d["device_code"]); v["access_token"] == nil {
		t.Errorf("after = %v", v)
	}
}

func TestLoginEncodings(t *testing.T) {
	t.Parallel()
	r := start(t, sim.Options{})
	g := r.send("POST", r.GitHubURL()+"/login/device/code", "client_id=x&scope=read%3Auser", "Content-Type", "application/x-www-form-urlencoded")
	form, err := url.ParseQuery(g.body)
	if err != nil || form.Get("device_code") == "" || form.Get("interval") != "5" {
		t.Errorf("form answer = %q, %v", g.body, err)
	}
	g = r.send("POST", r.GitHubURL()+"/login/device/code", "{", "Content-Type", "application/json")
	if g.status != 400 {
		t.Errorf("broken JSON: %d", g.status)
	}
}

func TestLoginErrors(t *testing.T) {
	t.Parallel()
	r := start(t, sim.Options{Scenario: &sim.Scenario{Login: sim.Login{AllowEarly: true, Polls: []string{"http:502", "drop", "access_denied"}}}})
	for _, tc := range []struct{ name, path, body, want string }{
		{"bad scope", "/login/device/code", `{"client_id":"x","scope":"read:user models"}`, "invalid_scope"},
		{"no client", "/login/oauth/access_token", `{"grant_type":"` + grant + `"}`, "incorrect_client_credentials"},
		{"grant", "/login/oauth/access_token", `{"client_id":"x","grant_type":"password"}`, "unsupported_grant_type"},
		{"code", "/login/oauth/access_token", `{"client_id":"x","grant_type":"` + grant + `","device_code":"no"}`, "incorrect_device_code"},
	} {
		g := r.send("POST", r.GitHubURL()+tc.path, tc.body, "Accept", "application/json", "Content-Type", "application/json")
		if g.status != 200 || g.json(t)["error"] != tc.want {
			t.Errorf("%s: %d %s, want %s", tc.name, g.status, g.body, tc.want)
		}
	}
	code := r.deviceCode()["device_code"].(string)
	poll := `{"client_id":"x","device_code":"` + code + `","grant_type":"` + grant + `"}`
	if g := r.send("POST", r.GitHubURL()+"/login/oauth/access_token", poll, "Content-Type", "application/json"); g.status != 502 {
		t.Errorf("http:502 = %d", g.status)
	}
	if g := r.try("POST", r.GitHubURL()+"/login/oauth/access_token", poll, "Content-Type", "application/json"); g.err == nil {
		t.Errorf("drop = %+v", g)
	}
	if v := r.poll(code); v["error"] != "access_denied" {
		t.Errorf("third = %v", v)
	}
	if g := r.send("GET", r.GitHubURL()+"/login/device", ""); g.status != 200 {
		t.Errorf("verification page: %d", g.status)
	}
	if g := r.send("GET", r.GitHubURL()+"/nothing", ""); g.status != 404 {
		t.Errorf("unknown page: %d", g.status)
	}
}

func TestSigningInAfterRevocationMintsAnotherToken(t *testing.T) {
	t.Parallel()
	r := start(t, sim.Options{Scenario: &sim.Scenario{Login: sim.Login{AllowEarly: true}}})
	old := r.Account("alice").Token()
	r.Account("alice").Revoke()
	if g := r.send("GET", r.APIURL()+"/user", "", "Authorization", "token "+old); g.status != 401 {
		t.Fatalf("revoked token: %d", g.status)
	}
	v := r.poll(r.deviceCode()["device_code"])
	if v["access_token"] == old || !strings.Contains(v["access_token"].(string), sim.Marker) {
		t.Errorf("token = %v", v)
	}
	if g := r.send("GET", r.APIURL()+"/user", "", "Authorization", "Bearer "+v["access_token"].(string)); g.status != 200 {
		t.Errorf("new token: %d %s", g.status, g.body)
	}
}
