package copilot_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"detour/providers"
)

func TestExchangeRequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldConfig{})
	l, err := w.account.Lease(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(l.Token.Reveal(), "tid="+marker+"1;") || l.Base != "https://api.individual.githubcopilot.com" {
		t.Errorf("lease = %q at %q", l.Token.Reveal(), l.Base)
	}
	r := w.github.requests()[0]
	if got, want := r.Method+" "+r.URL.String(), "GET https://api.github.com/copilot_internal/v2/token"; got != want {
		t.Errorf("asked %s, want %s", got, want)
	}
	for name, want := range map[string]string{
		"Authorization":         "token " + githubToken,
		"Accept":                "application/json",
		"User-Agent":            "GitHubCopilotChat/0.52.0",
		"X-GitHub-Api-Version":  "2025-04-01",
		"Editor-Version":        "vscode/1.124.2",
		"Editor-Plugin-Version": "copilot-chat/0.52.0",
	} {
		if got := r.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestExchangeOutcomes(t *testing.T) {
	t.Parallel()
	denied := func(id string) string {
		return `{"can_signup_for_limited":true,"error_details":{"message":"No access to GitHub Copilot found. Ask your admin.","notification_id":"` + id +
			`","title":"Signup for GitHub Copilot","url":"https://github.com/settings/copilot"},"message":"Resource not accessible by integration"}`
	}
	const words = "Signup for GitHub Copilot: No access to GitHub Copilot found. Ask your admin.: https://github.com/settings/copilot"
	for name, tc := range map[string]struct {
		token  string
		status int
		body   string
		header []string
		reset  time.Duration // X-RateLimit-Reset after now
		kind   providers.Kind
		hint   string // part of it
		wait   time.Duration
		tries  int // 0 means 1
	}{
		"revoked":                       {status: 401, body: `{"message":"Bad credentials","documentation_url":"https://docs.github.com/rest","status":"401"}`, kind: providers.KindLogin, hint: "detour login"},
		"no copilot":                    {status: 403, body: denied("no_copilot_access"), kind: providers.KindPolicy, hint: words},
		"ended":                         {status: 403, body: denied("subscription_ended"), kind: providers.KindPolicy, hint: words},
		"unknown notice":                {status: 403, body: denied("something_new"), kind: providers.KindPolicy, hint: words},
		"spammy":                        {status: 403, body: denied("spammy_user"), kind: providers.KindSuspended, hint: words},
		"revoked access":                {status: 403, body: denied("access_revoked"), kind: providers.KindSuspended, hint: words},
		"embargo":                       {status: 403, body: denied("trade_restricted_country"), kind: providers.KindSuspended, hint: words},
		"go client":                     {status: 403, body: denied("go_http_client"), kind: providers.KindPolicy, hint: "editor_version"},
		"notice of a server error":      {status: 403, body: denied("server_error"), kind: providers.KindServer, hint: words, tries: 4},
		"notice that steers a terminal": {status: 403, body: `{"error_details":{"message":"a\u001b]0;b\u0007c\u009bd","title":"T"}}`, kind: providers.KindPolicy, hint: "T: a]0;bcd"},
		"rate limit in words":           {status: 403, body: `{"message":"API rate limit exceeded for user ID 123."}`, kind: providers.KindRateLimit},
		"rate limit in headers":         {status: 403, body: `{}`, header: []string{"X-RateLimit-Remaining", "0"}, reset: 90 * time.Second, kind: providers.KindRateLimit, wait: 90 * time.Second},
		"429":                           {status: 429, body: ``, header: []string{"Retry-After", "17"}, kind: providers.KindRateLimit, wait: 17 * time.Second},
		"wrong app":                     {status: 403, body: `{"message":"Resource not accessible by integration"}`, kind: providers.KindLogin, hint: "detour login"},
		"fine-grained token":            {token: "github_pat_" + marker, status: 403, body: `{"message":"Resource not accessible by personal access token"}`, kind: providers.KindLogin, hint: "personal access token"},
		"classic token":                 {token: "ghp_" + marker, status: 404, body: `{"message":"Not Found"}`, kind: providers.KindLogin, hint: "personal access token"},
		"token of gh":                   {token: "gho_" + marker, status: 404, body: `{"message":"Not Found"}`, kind: providers.KindLogin, hint: `auth = "direct"`},
		"account without copilot":       {status: 404, body: `{"message":"Not Found"}`, kind: providers.KindPolicy, hint: "settings/copilot"},
		"page":                          {status: 403, body: "<!DOCTYPE html><p>blocked", header: []string{"Content-Type", "text/html; charset=utf-8"}, kind: providers.KindPolicy, hint: "editor_version"},
		"other 403":                     {status: 403, body: `nope`, kind: providers.KindPolicy, hint: "settings/copilot"},
		"400":                           {status: 400, body: `nope`, kind: providers.KindInvalid},
		"500":                           {status: 500, body: `oops`, kind: providers.KindServer, tries: 4},
		"503 page":                      {status: 503, body: `<html>unicorn`, kind: providers.KindServer, tries: 4},
		"captive portal":                {status: 200, body: "<html><form>accept our terms", header: []string{"Content-Type", "text/html"}, kind: providers.KindNetwork, hint: "captive portal", tries: 4},
		"redirect":                      {status: 302, body: "", header: []string{"Location", "https://evil.example/copilot_internal/v2/token"}, kind: providers.KindNetwork, hint: "captive portal", tries: 4},
		"no token":                      {status: 200, body: `{"expires_at":1,"refresh_in":1}`, kind: providers.KindServer},
		"token no header can hold":      {status: 200, body: `{"token":"tid=a\r\nX-Evil: 1","expires_at":1,"refresh_in":1}`, kind: providers.KindServer},
		"token that is no string":       {status: 200, body: `{"token":{"a":"b c"}}`, kind: providers.KindServer},
		"endless answer":                {status: 200, body: `{"a":"` + strings.Repeat("x", 2<<20) + `"}`, kind: providers.KindServer, tries: 4},
		"answer that quotes the token":  {status: 403, body: `{"message":"token ` + githubToken + ` is bad","error_details":{"message":"` + githubToken + `"}}`, kind: providers.KindPolicy, hint: "***"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				header := tc.header
				if tc.reset != 0 {
					header = append(header, "X-RateLimit-Reset", fmt.Sprint(time.Now().Add(tc.reset).Unix()))
				}
				w := newWorld(t, worldConfig{token: tc.token, serve: answering(tc.status, tc.body, header...)})
				_, err := w.account.Lease(t.Context())
				e := asError(t, err)
				if e.Kind != tc.kind {
					t.Errorf("kind %v, want %v (%v)", e.Kind, tc.kind, e)
				}
				if !strings.Contains(e.Hint, tc.hint) {
					t.Errorf("hint %q, want %q in it", e.Hint, tc.hint)
				}
				if e.RetryAfter != tc.wait {
					t.Errorf("retry after %v, want %v", e.RetryAfter, tc.wait)
				}
				if got, want := w.github.hits(tokenPath), max(1, tc.tries); got != want {
					t.Errorf("%d tries, want %d", got, want)
				}
				for _, r := range w.github.requests() {
					if r.URL.Host != "api.github.com" {
						t.Errorf("the credential went to %s", r.URL.Host)
					}
				}
			})
		})
	}
}

func TestExchangeRetriesWhatPasses(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]func(http.ResponseWriter){
		"500":     func(w http.ResponseWriter) { w.WriteHeader(500) },
		"502":     func(w http.ResponseWriter) { w.WriteHeader(502) },
		"network": broken,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var at []time.Duration
				start := time.Now()
				w := newWorld(t, worldConfig{serve: func(w http.ResponseWriter, r *http.Request) {
					at = append(at, time.Since(start))
					if len(at) < 4 {
						fault(w)
						return
					}
					healthy(w, r)
				}})
				if _, err := w.account.Lease(t.Context()); err != nil {
					t.Fatalf("Lease: %v", err)
				}
				if got := fmt.Sprint(at); got != "[0s 1s 3s 7s]" {
					t.Errorf("tries at %s, want [0s 1s 3s 7s]", got)
				}
			})
		})
	}
}

func TestExchangeThatHangsIsTriedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := 0
		w := newWorld(t, worldConfig{serve: func(w http.ResponseWriter, r *http.Request) {
			if n++; n == 1 {
				<-r.Context().Done()
				return
			}
			healthy(w, r)
		}})
		if _, err := w.account.Lease(t.Context()); err != nil {
			t.Fatalf("Lease: %v", err)
		}
		if n != 2 {
			t.Errorf("%d tries, want 2", n)
		}
	})
}

// TestInvariant6_CredentialGoesOnlyToTheProvidersHosts: whatever an answer names, no credential leaves for a host that
// is not GitHub's, and the refusal says which host it was.
func TestLeaseTellsAboutTheAccount(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldConfig{serve: answering(200, grant(1, `,"sku":"plus_monthly_subscriber_quota","individual":true,"chat_enabled":false,
		"limited_user_quotas":{"chat":3,"completions":9},"new_thing":[1,{"x":null}],
		"user_notification":{"message":"It ends on Friday.","notification_id":"subscription_ending","title":"Trial","url":"https://github.com/x"}`))})
	l, err := w.account.Lease(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"sku": "plus_monthly_subscriber_quota", "individual": "true", "chat_enabled": "false", "chat_left": "3", "notice": "Trial: It ends on Friday.: https://github.com/x"}
	if fmt.Sprint(l.Attributes) != fmt.Sprint(want) {
		t.Errorf("attributes %v, want %v", l.Attributes, want)
	}
}

func TestAccountWithoutCredential(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldConfig{token: " \n"})
	_, err := w.account.Lease(t.Context())
	if e := asError(t, err); e.Kind != providers.KindLogin || !strings.Contains(e.Hint, "detour login") {
		t.Errorf("Lease: %v", err)
	}
}
