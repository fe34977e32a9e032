package copilot_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"detour/providers"
	"detour/providers/copilot"
)

const deviceCode = "device-" + marker

// signIn serves the device flow. polls are the answers in turn; the last is repeated.
type signIn struct {
	t      *testing.T
	code   string // answer to the first request
	polls  []func(http.ResponseWriter)
	at     []time.Duration // of each poll, after the code
	begun  time.Time
	shown  bool
	fields []map[string]string
	user   func(http.ResponseWriter)
}

func text(status int, body string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func oauthError(code, more string) func(http.ResponseWriter) {
	return text(200, `{"error":"`+code+`","error_description":"Words of GitHub.","error_uri":"https://docs.github.com/"`+more+`}`)
}

func (s *signIn) serve(w http.ResponseWriter, r *http.Request) {
	if agent := r.Header.Get("User-Agent"); agent == "" || strings.HasPrefix(agent, "Go-http-client") {
		s.t.Errorf("%s: user agent %q", r.URL.Path, agent)
	}
	var fields map[string]string
	if r.Method == http.MethodPost {
		if err := json.NewDecoder(r.Body).Decode(&fields); err != nil {
			s.t.Errorf("%s: %v", r.URL.Path, err)
		}
		s.fields = append(s.fields, fields)
		if got := r.Header.Get("Accept"); got != "application/json" {
			s.t.Errorf("%s: Accept %q", r.URL.Path, got)
		}
	}
	switch r.URL.Path {
	case "/login/device/code":
		s.begun = time.Now()
		_, _ = io.WriteString(w, s.code)
	case "/login/oauth/access_token":
		if !s.shown {
			s.t.Error("polled before the code was shown")
		}
		s.at = append(s.at, time.Since(s.begun))
		s.polls[min(len(s.at), len(s.polls))-1](w)
	case "/user":
		if s.user != nil {
			s.user(w)
			return
		}
		healthy(w, r)
	default:
		http.NotFound(w, r)
	}
}

const plainCode = `{"device_code":"` + deviceCode + `","user_code":"WDJB-MJHT","verification_uri":"https://github.com/login/device","expires_in":899,"interval":5}`

var (
	pending = oauthError("authorization_pending", "")
	granted = text(200, `{"access_token":"`+githubToken+`","token_type":"bearer","scope":""}`)
)

func TestLogin(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		code   string
		polls  []func(http.ResponseWriter)
		at     string // of the polls
		failed string // error code, or ""
		end    time.Duration
	}{
		"at once":                         {polls: []func(http.ResponseWriter){granted}, at: "[5s]"},
		"after a while":                   {polls: []func(http.ResponseWriter){pending, pending, granted}, at: "[5s 10s 15s]"},
		"no interval and no expiry given": {code: `{"device_code":"x","user_code":"y","verification_uri":"https://github.com/login/device"}`, polls: []func(http.ResponseWriter){pending, granted}, at: "[5s 10s]"},
		"interval of its own":             {code: strings.Replace(plainCode, `"interval":5`, `"interval":7`, 1), polls: []func(http.ResponseWriter){pending, granted}, at: "[7s 14s]"},
		"interval as a string":            {code: strings.Replace(plainCode, `"interval":5`, `"interval":"7"`, 1), polls: []func(http.ResponseWriter){granted}, at: "[7s]"},
		"negative interval":               {code: strings.Replace(plainCode, `"interval":5`, `"interval":-7`, 1), polls: []func(http.ResponseWriter){granted}, at: "[5s]"},
		"slow down by five seconds":       {polls: []func(http.ResponseWriter){oauthError("slow_down", ""), oauthError("slow_down", ""), granted}, at: "[5s 15s 30s]"},
		"slow down to more":               {polls: []func(http.ResponseWriter){oauthError("slow_down", `,"interval":20`), granted}, at: "[5s 25s]"},
		"slow down to less is ignored":    {polls: []func(http.ResponseWriter){oauthError("slow_down", `,"interval":1`), granted}, at: "[5s 15s]"},
		"network breaks":                  {polls: []func(http.ResponseWriter){broken, broken, granted}, at: "[5s 10s 15s]"},
		"server breaks":                   {polls: []func(http.ResponseWriter){text(502, "<html>bad gateway"), text(500, ""), granted}, at: "[5s 10s 15s]"},
		"portal in between":               {polls: []func(http.ResponseWriter){text(200, "<html>accept our terms"), granted}, at: "[5s 10s]"},
		"limited":                         {polls: []func(http.ResponseWriter){text(429, "slow"), granted}, at: "[5s 15s]"},
		"form-encoded answers": {
			code:  url.Values{"device_code": {deviceCode}, "user_code": {"WDJB-MJHT"}, "verification_uri": {"https://github.com/login/device"}, "interval": {"6"}}.Encode(),
			polls: []func(http.ResponseWriter){text(200, "error=slow_down&interval=12"), text(200, "access_token="+githubToken+"&token_type=bearer")}, at: "[6s 18s]",
		},
		"denied":               {polls: []func(http.ResponseWriter){pending, oauthError("access_denied", "")}, at: "[5s 10s]", failed: "access_denied", end: 10 * time.Second},
		"expired":              {polls: []func(http.ResponseWriter){oauthError("expired_token", "")}, at: "[5s]", failed: "expired_token", end: 5 * time.Second},
		"disabled":             {polls: []func(http.ResponseWriter){oauthError("device_flow_disabled", "")}, at: "[5s]", failed: "device_flow_disabled", end: 5 * time.Second},
		"wrong client":         {polls: []func(http.ResponseWriter){text(400, `{"error":"incorrect_client_credentials","error_description":"D"}`)}, at: "[5s]", failed: "incorrect_client_credentials", end: 5 * time.Second},
		"refused from outset":  {code: `{"error":"invalid_scope","error_description":"The scopes requested are invalid: models."}`, at: "[]", failed: "invalid_scope"},
		"code without a code":  {code: `{"device_code":"x"}`, at: "[]", failed: "invalid_answer"},
		"nobody enters it":     {code: strings.Replace(plainCode, "899", "12", 1), polls: []func(http.ResponseWriter){pending}, at: "[5s 10s]", failed: "expired_token", end: 12 * time.Second},
		"never any network":    {code: strings.Replace(plainCode, "899", "12", 1), polls: []func(http.ResponseWriter){broken}, at: "[5s 10s]", failed: "expired_token", end: 12 * time.Second},
		"absurd interval":      {code: strings.Replace(plainCode, `"interval":5`, `"interval":1e300`, 1), polls: []func(http.ResponseWriter){granted}, at: "[5m0s]"},
		"token with a newline": {polls: []func(http.ResponseWriter){text(200, `{"access_token":"a\nb"}`)}, at: "[5s]", failed: "invalid_answer", end: 5 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &signIn{t: t, code: tc.code, polls: tc.polls}
				if s.code == "" {
					s.code = plainCode
				}
				w := newWorld(t, worldConfig{serve: s.serve})
				start := time.Now()
				c, err := w.Login(t.Context(), copilot.LoginOptions{Prompt: func(d copilot.DeviceCode) {
					s.shown = true
					if d.UserCode == "" || d.VerificationURI != "https://github.com/login/device" || d.Expires <= 0 {
						t.Errorf("shown %+v", d)
					}
				}})
				if got := fmt.Sprint(s.at); got != tc.at {
					t.Errorf("polls at %s, want %s", got, tc.at)
				}
				if tc.failed == "" {
					if err != nil || c.Token.Reveal() != githubToken || c.User != (copilot.User{ID: 583231, Login: "octocat", Name: "The Octocat"}) || c.Domain != "" {
						t.Errorf("Login = %q %+v, %v", c.Token.Reveal(), c.User, err)
					}
					return
				}
				e, ok := errors.AsType[*copilot.LoginError](err)
				if !ok || e.Code != tc.failed {
					t.Errorf("Login: %v, want %s", err, tc.failed)
				}
				if strings.Contains(fmt.Sprint(err), marker) {
					t.Errorf("a secret is in the error: %v", err)
				}
				if d := time.Since(start); d != tc.end {
					t.Errorf("ended after %v, want %v", d, tc.end)
				}
			})
		})
	}
}

func TestLoginSendsWhatIsConfigured(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &signIn{t: t, code: plainCode, polls: []func(http.ResponseWriter){granted}}
		w := newWorld(t, worldConfig{serve: s.serve})
		prompt := func(copilot.DeviceCode) { s.shown = true }
		c, err := w.Login(t.Context(), copilot.LoginOptions{Domain: "https://Acme.ghe.com", ClientID: "Ov23own", Scope: "read:user copilot", Prompt: prompt})
		if err != nil || c.Domain != "acme.ghe.com" {
			t.Fatalf("Login = %+v, %v", c, err)
		}
		if got := fmt.Sprint(s.fields[0]); got != "map[client_id:Ov23own scope:read:user copilot]" {
			t.Errorf("asked for a code with %s", got)
		}
		if got := fmt.Sprint(s.fields[1]); got != "map[client_id:Ov23own device_code:"+deviceCode+" grant_type:urn:ietf:params:oauth:grant-type:device_code]" {
			t.Errorf("polled with %s", got)
		}
		for i, want := range []string{"https://acme.ghe.com/login/device/code", "https://acme.ghe.com/login/oauth/access_token", "https://api.acme.ghe.com/user"} {
			if got := w.github.requests()[i].URL.String(); got != want {
				t.Errorf("request %d to %s, want %s", i, got, want)
			}
		}
		s.fields = nil
		if _, err := w.Login(t.Context(), copilot.LoginOptions{Prompt: prompt}); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(s.fields[0]); got != "map[client_id:Iv1.b507a08c87ecfe98 scope:read:user]" {
			t.Errorf("by default asked for a code with %s", got)
		}
	})
}

func TestLoginEndsAtOnceWhenItIsInterrupted(t *testing.T) {
	t.Parallel()
	for name, polls := range map[string]func(http.ResponseWriter){"while waiting": pending, "while the network is down": broken} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &signIn{t: t, code: plainCode, polls: []func(http.ResponseWriter){polls}}
				w := newWorld(t, worldConfig{serve: s.serve})
				ctx, cancel := context.WithCancel(t.Context())
				start := time.Now()
				time.AfterFunc(23*time.Second, cancel)
				_, err := w.Login(ctx, copilot.LoginOptions{Prompt: func(copilot.DeviceCode) { s.shown = true }})
				if !errors.Is(err, context.Canceled) {
					t.Errorf("Login: %v, want context.Canceled", err)
				}
				if d := time.Since(start); d != 23*time.Second {
					t.Errorf("ended after %v, want 23s", d)
				}
			})
		})
	}
}

func TestLoginShowsOnlyHonestAddresses(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"https://github.com/login/device":             "https://github.com/login/device",
		"https://github.com/login/device?code=ABCD":   "https://github.com/login/device?code=ABCD",
		"http://github.com/login/device":              "https://github.com/login/device",
		"javascript:alert(1)":                         "https://github.com/login/device",
		"file:///etc/passwd":                          "https://github.com/login/device",
		"":                                            "https://github.com/login/device",
		"https://github.com/$(touch x)":               "https://github.com/login/device",
		"https://github.com/`touch x`":                "https://github.com/login/device",
		"https://user:pass@github.com/":               "https://github.com/login/device",
		"https://github.com/\u001b]8;;https://evil\a": "https://github.com/login/device",
	} {
		synctest.Test(t, func(t *testing.T) {
			s := &signIn{t: t, code: `{"device_code":"d","user_code":"U\u001b[2JX","verification_uri":` + quote(raw) + `}`, polls: []func(http.ResponseWriter){granted}}
			w := newWorld(t, worldConfig{serve: s.serve})
			var shown copilot.DeviceCode
			if _, err := w.Login(t.Context(), copilot.LoginOptions{Prompt: func(d copilot.DeviceCode) { s.shown, shown = true, d }}); err != nil {
				t.Fatal(err)
			}
			if shown.VerificationURI != want || shown.UserCode != "U[2JX" {
				t.Errorf("%q is shown as %q, code %q", raw, shown.VerificationURI, shown.UserCode)
			}
		})
	}
}

func TestLoginIsGoodThoughNobodyIsNamed(t *testing.T) {
	t.Parallel()
	for name, user := range map[string]func(http.ResponseWriter){
		"refused": text(403, `{"message":"no"}`), "broken": broken, "empty": text(200, `{}`), "page": text(200, "<html>"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &signIn{t: t, code: plainCode, polls: []func(http.ResponseWriter){granted}, user: user}
				w := newWorld(t, worldConfig{serve: s.serve})
				c, err := w.Login(t.Context(), copilot.LoginOptions{Prompt: func(copilot.DeviceCode) { s.shown = true }})
				if err != nil || c.Token.Reveal() != githubToken || c.User.ID != 0 {
					t.Errorf("Login = %+v, %v", c, err)
				}
				if !strings.Contains(w.logs.String(), "level=WARN") {
					t.Errorf("no warning in the log: %s", w.logs)
				}
			})
		})
	}
}

func TestIdentify(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldConfig{serve: func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-GitHub-Api-Version") != "2022-11-28" || r.Header.Get("Authorization") != "token "+githubToken {
			t.Errorf("headers %v", r.Header)
		}
		healthy(w, r)
	}})
	u, err := w.Identify(t.Context(), w.account.Config().Secret, "")
	if err != nil || u.Login != "octocat" || u.ID != 583231 {
		t.Errorf("Identify = %+v, %v", u, err)
	}
	w.github.serve = text401
	if _, err := w.Identify(t.Context(), w.account.Config().Secret, ""); asError(t, err).Kind != providers.KindLogin {
		t.Errorf("with a dead token: %v", err)
	}
}

func text401(w http.ResponseWriter, _ *http.Request) { text(401, `{"message":"Bad credentials"}`)(w) }
