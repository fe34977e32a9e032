package copilot_test

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"detour/providers"
	"detour/providers/copilot"
)

func TestInferenceHost(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		endpoints string
		settings  map[string]string
		base      string
		urls      copilot.URLs
		want      string
	}{
		"named":                           {endpoints: `{"api":"https://api.business.githubcopilot.com"}`, want: "https://api.business.githubcopilot.com"},
		"named with slash, port and caps": {endpoints: `{"api":"https://API.Business.GitHubCopilot.com:443/"}`, want: "https://api.business.githubcopilot.com"},
		"named against the account type":  {endpoints: `{"api":"https://api.enterprise.githubcopilot.com"}`, settings: map[string]string{"account_type": "business"}, want: "https://api.enterprise.githubcopilot.com"},
		"absent":                          {want: "https://api.githubcopilot.com"},
		"null":                            {endpoints: `null`, want: "https://api.githubcopilot.com"},
		"empty":                           {endpoints: `{"api":""}`, want: "https://api.githubcopilot.com"},
		"absent, individual":              {settings: map[string]string{"account_type": "individual"}, want: "https://api.individual.githubcopilot.com"},
		"absent, business":                {settings: map[string]string{"account_type": "Business"}, want: "https://api.business.githubcopilot.com"},
		"absent, enterprise":              {settings: map[string]string{"account_type": "enterprise"}, want: "https://api.enterprise.githubcopilot.com"},
		"absent, data residency":          {settings: map[string]string{"enterprise_domain": "https://Acme.ghe.com/"}, want: "https://copilot-api.acme.ghe.com"},
		"data residency":                  {endpoints: `{"api":"https://copilot-api.acme.ghe.com"}`, settings: map[string]string{"enterprise_domain": "acme.ghe.com"}, want: "https://copilot-api.acme.ghe.com"},
		"setting":                         {endpoints: `{"api":"https://api.business.githubcopilot.com"}`, settings: map[string]string{"copilot_api_url": "http://127.0.0.1:9/x/"}, base: "https://b.test", urls: copilot.URLs{CopilotAPI: "https://c.test"}, want: "http://127.0.0.1:9/x"},
		"base url":                        {endpoints: `{"api":"https://api.business.githubcopilot.com"}`, base: "https://b.test/", urls: copilot.URLs{CopilotAPI: "https://c.test"}, want: "https://b.test"},
		"override for all":                {endpoints: `{"api":"https://evil.example"}`, urls: copilot.URLs{CopilotAPI: "https://c.test"}, want: "https://c.test"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			more := ""
			if tc.endpoints != "" {
				more = `,"endpoints":` + tc.endpoints
			}
			w := newWorld(t, worldConfig{settings: tc.settings, base: tc.base, urls: tc.urls, serve: answering(200, grant(1, more))})
			l, err := w.account.Lease(t.Context())
			if err != nil || l.Base != tc.want {
				t.Errorf("base %q, %v, want %q", l.Base, err, tc.want)
			}
		})
	}
}

func TestInvariant6_CredentialGoesOnlyToTheProvidersHosts(t *testing.T) {
	t.Parallel()
	for _, hostile := range []string{
		"http://api.githubcopilot.com",
		"https://evil.example",
		"https://githubcopilot.com.evil.example",
		"https://evilgithubcopilot.com",
		"https://githubcopilot.com",
		"https://.githubcopilot.com",
		"https://api.githubcopilot.com.",
		"https://api.githubcopilot.com:8443",
		"https://api.githubcopilot.com:",
		"https://user@api.githubcopilot.com",
		"https://api.githubcopilot.com@evil.example",
		"https://api.githubcopilot.com:443@evil.example/",
		"https://evil.example#.githubcopilot.com",
		"https://evil.example?.githubcopilot.com",
		"https://evil.example/.githubcopilot.com",
		`https://evil.example\.githubcopilot.com`,
		"https://evil.example%2f.githubcopilot.com",
		"https://api.githubcopilot.com/redirect?to=evil",
		"https://api.githubcopilot.com/path",
		"https://api.githubcopilot.com?",
		"https:api.githubcopilot.com",
		"//api.githubcopilot.com",
		"api.githubcopilot.com",
		"https://",
		"https://[::1].githubcopilot.com",
		"https://127.0.0.1",
		"https://copilot-api.acme.ghe.com",
		"https://copilot-api.evil.ghe.com",
		"https://аpi.githubcopilot.com", // Cyrillic а
		"https://a b.githubcopilot.com",
		"https://a_b.githubcopilot.com",
		"file:///etc/passwd",
		"javascript:alert(1)",
		"\x00",
		strings.Repeat("https://", 10000),
	} {
		t.Run(hostile[:min(len(hostile), 60)], func(t *testing.T) {
			t.Parallel()
			body := grant(1, `,"endpoints":{"api":`+quote(hostile)+`}`)
			for _, settings := range []map[string]string{nil, {"enterprise_domain": "other.ghe.com"}} {
				w := newWorld(t, worldConfig{settings: settings, serve: answering(200, body)})
				for range 2 {
					l, err := w.account.Lease(t.Context())
					if err == nil {
						t.Fatalf("the credential would go to %s", l.Base)
					}
					if e := asError(t, err); e.Kind != providers.KindPolicy || e.Hint == "" {
						t.Errorf("kind %v, hint %q: want a policy error that says what to do", e.Kind, e.Hint)
					}
				}
				if _, err := w.Models(t.Context(), w.account); err == nil {
					t.Error("models were listed")
				}
				for _, r := range w.github.requests() {
					if host := r.URL.Host; host != "api.github.com" && host != "api.other.ghe.com" {
						t.Errorf("a request went to %s", host)
					}
				}
			}
		})
	}
}

func TestLifetimeIsMeasuredByTheLocalClock(t *testing.T) {
	t.Parallel()
	const never = time.Duration(-1)
	for name, tc := range map[string]struct {
		expires   time.Duration // after the server's now
		refresh   string
		skew      time.Duration // server's clock less ours
		noDate    bool
		refreshAt time.Duration // after our now
		expiresAt time.Duration
	}{
		"ordinary":                   {expires: 30 * time.Minute, refresh: "1000", refreshAt: 1000 * time.Second, expiresAt: 30 * time.Minute},
		"a fifth left":               {expires: 30 * time.Minute, refresh: "1500", refreshAt: 24 * time.Minute, expiresAt: 30 * time.Minute},
		"server an hour ahead":       {expires: 30 * time.Minute, refresh: "1000", skew: time.Hour, refreshAt: 1000 * time.Second, expiresAt: 30 * time.Minute},
		"server a day behind":        {expires: 30 * time.Minute, refresh: "1000", skew: -24 * time.Hour, refreshAt: 1000 * time.Second, expiresAt: 30 * time.Minute},
		"behind, and does not say":   {expires: 30 * time.Minute, refresh: "1000", skew: -24 * time.Hour, noDate: true, refreshAt: 848 * time.Second, expiresAt: 1060 * time.Second},
		"ahead, and does not say":    {expires: 30 * time.Minute, refresh: "1000", skew: 48 * time.Hour, noDate: true, refreshAt: 848 * time.Second, expiresAt: 1060 * time.Second},
		"no date, clocks agree":      {expires: 30 * time.Minute, refresh: "1000", noDate: true, refreshAt: 1000 * time.Second, expiresAt: 30 * time.Minute},
		"expired at birth":           {expires: -time.Hour, refresh: "1000", refreshAt: 848 * time.Second, expiresAt: 1060 * time.Second},
		"short":                      {expires: 100 * time.Second, refresh: "1500", refreshAt: 80 * time.Second, expiresAt: 100 * time.Second},
		"no refresh_in":              {expires: 30 * time.Minute, refresh: "null", refreshAt: 24 * time.Minute, expiresAt: 30 * time.Minute},
		"refresh_in zero":            {expires: 30 * time.Minute, refresh: "0", refreshAt: 24 * time.Minute, expiresAt: 30 * time.Minute},
		"refresh_in negative":        {expires: 30 * time.Minute, refresh: "-5", refreshAt: 24 * time.Minute, expiresAt: 30 * time.Minute},
		"refresh_in absurd":          {expires: 30 * time.Minute, refresh: "1e300", refreshAt: 24 * time.Minute, expiresAt: 30 * time.Minute},
		"refresh_in as a string":     {expires: 30 * time.Minute, refresh: `"1000"`, refreshAt: 1000 * time.Second, expiresAt: 30 * time.Minute},
		"refresh_in with a fraction": {expires: 30 * time.Minute, refresh: "1000.5", refreshAt: 1000*time.Second + 500*time.Millisecond, expiresAt: 30 * time.Minute},
		"expires_at absurd":          {expires: never, refresh: "1000", refreshAt: 848 * time.Second, expiresAt: 1060 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				server := start.Add(tc.skew)
				expires := fmt.Sprint(server.Add(tc.expires).Unix())
				if tc.expires == never {
					expires = "1e300"
				}
				w := newWorld(t, worldConfig{serve: func(w http.ResponseWriter, _ *http.Request) {
					if !tc.noDate {
						w.Header().Set("Date", server.UTC().Format(http.TimeFormat))
					}
					_, _ = io.WriteString(w, `{"token":"tid=`+marker+`","expires_at":`+expires+`,"refresh_in":`+tc.refresh+`}`)
				}})
				l, err := w.account.Lease(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if got := l.RefreshAt.Sub(start); got != tc.refreshAt {
					t.Errorf("refresh after %v, want %v", got, tc.refreshAt)
				}
				if got := l.Expires.Sub(start); got != tc.expiresAt {
					t.Errorf("expires after %v, want %v", got, tc.expiresAt)
				}
			})
		})
	}
}

func TestReadyToken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		exp := time.Now().Add(30 * time.Minute).Unix()
		for name, tc := range map[string]struct{ token, want string }{
			"plain":          {fmt.Sprintf("tid=%s;exp=%d;sku=x", marker, exp), "https://api.githubcopilot.com"},
			"with a host":    {fmt.Sprintf("tid=%s;exp=%d;proxy-ep=proxy.business.githubcopilot.com;st=dotcom", marker, exp), "https://api.business.githubcopilot.com"},
			"with an evil":   {fmt.Sprintf("tid=%s;exp=%d;proxy-ep=proxy.evil.example", marker, exp), "https://api.githubcopilot.com"},
			"without an end": {"tid=" + marker, "https://api.githubcopilot.com"},
		} {
			w := newWorld(t, worldConfig{token: tc.token})
			l, err := w.account.Lease(t.Context())
			if err != nil || l.Base != tc.want || l.Token.Reveal() != tc.token {
				t.Errorf("%s: %q at %q, %v", name, l.Token.Reveal(), l.Base, err)
			}
			if n := len(w.github.requests()); n != 0 {
				t.Errorf("%s: %d requests, want none", name, n)
			}
			if _, err := w.User(t.Context(), w.account); asError(t, err).Kind != providers.KindLogin {
				t.Errorf("%s: User: %v", name, err)
			}
		}
		w := newWorld(t, worldConfig{token: fmt.Sprintf("tid=%s;exp=%d", marker, exp)})
		time.Sleep(36 * time.Minute)
		_, err := w.account.Lease(t.Context())
		if e := asError(t, err); e.Kind != providers.KindLogin || e.Hint == "" {
			t.Errorf("after its end: %v", err)
		}
	})
}

func TestDirect(t *testing.T) {
	t.Parallel()
	const gho = "gho_" + marker
	for name, tc := range map[string]struct {
		settings map[string]string
		base     string
		status   int
		body     string
		want     string
		kind     providers.Kind
		asked    int
	}{
		"host is asked for":       {status: 200, body: `{"endpoints":{"api":"https://api.business.githubcopilot.com"}}`, want: "https://api.business.githubcopilot.com", asked: 1},
		"host is not told":        {status: 200, body: `{}`, want: "https://api.githubcopilot.com", asked: 1},
		"host is hostile":         {status: 200, body: `{"endpoints":{"api":"https://evil.example"}}`, kind: providers.KindPolicy, asked: 1},
		"may not ask":             {status: 403, body: `{"message":"Resource not accessible by integration"}`, want: "https://api.githubcopilot.com", asked: 1},
		"nothing there":           {status: 404, body: `{"message":"Not Found"}`, want: "https://api.githubcopilot.com", asked: 1},
		"revoked":                 {status: 401, body: `{"message":"Bad credentials"}`, kind: providers.KindLogin, asked: 1},
		"limited":                 {status: 429, kind: providers.KindRateLimit, asked: 1},
		"account type":            {settings: map[string]string{"account_type": "enterprise"}, want: "https://api.enterprise.githubcopilot.com"},
		"data residency":          {settings: map[string]string{"enterprise_domain": "acme.ghe.com"}, want: "https://copilot-api.acme.ghe.com"},
		"address of the owner":    {settings: map[string]string{"copilot_api_url": "https://c.test"}, want: "https://c.test"},
		"base url of the account": {base: "https://b.test", want: "https://b.test"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			settings := map[string]string{"auth": "direct"}
			maps.Copy(settings, tc.settings)
			w := newWorld(t, worldConfig{token: gho, settings: settings, base: tc.base, serve: func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/copilot_internal/user" || r.Header.Get("Authorization") != "token "+gho {
					t.Errorf("unexpected request %s %v", r.URL, r.Header)
				}
				w.WriteHeader(tc.status)
				_, _ = io.WriteString(w, tc.body)
			}})
			l, err := w.account.Lease(t.Context())
			if tc.want == "" {
				if e := asError(t, err); e.Kind != tc.kind {
					t.Errorf("kind %v, want %v", e.Kind, tc.kind)
				}
			} else if err != nil || l.Base != tc.want || l.Token.Reveal() != gho {
				t.Errorf("%q at %q, %v, want %q", l.Token.Reveal(), l.Base, err, tc.want)
			}
			if n := len(w.github.requests()); n != tc.asked {
				t.Errorf("%d requests, want %d", n, tc.asked)
			}
		})
	}
}
