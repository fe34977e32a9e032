package copilot_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"detour/internal/secret"
	"detour/providers"
	"detour/providers/copilot"
)

func quote(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func TestOpenRefusesMistakes(t *testing.T) {
	t.Parallel()
	p := copilot.New(copilot.Options{Transport: http.DefaultTransport})
	for name, tc := range map[string]struct {
		cfg  providers.AccountConfig
		want []string
	}{
		"slip":               {providers.AccountConfig{Settings: map[string]string{"editor_verison": "x"}}, []string{`unknown setting "editor_verison": did you mean "editor_version"?`}},
		"unknown":            {providers.AccountConfig{Settings: map[string]string{"colour": "x"}}, []string{`unknown setting "colour": known are account_type, api_version`}},
		"all at once":        {providers.AccountConfig{Settings: map[string]string{"auth": "magic", "account_type": "team", "x": "y"}}, []string{`setting auth: "magic" is none of exchange, direct`, `setting account_type: "team" is none of individual, business, enterprise`, `unknown setting "x"`}},
		"forced agent":       {providers.AccountConfig{Settings: map[string]string{"initiator_mode": "always_agent"}}, []string{"initiator cannot be forced to agent", "abuse"}},
		"agent":              {providers.AccountConfig{Settings: map[string]string{"initiator_mode": "Agent"}}, []string{"initiator cannot be forced to agent"}},
		"unknown mode":       {providers.AccountConfig{Settings: map[string]string{"initiator_mode": "sometimes"}}, []string{`"sometimes" is none of auto, header-only, always-user`}},
		"header injection":   {providers.AccountConfig{Settings: map[string]string{"user_agent": "a\r\nX: y"}}, []string{"setting user_agent: holds characters"}},
		"no user agent":      {providers.AccountConfig{Settings: map[string]string{"user_agent": "none"}}, []string{"user_agent: cannot be left out"}},
		"address":            {providers.AccountConfig{Settings: map[string]string{"copilot_api_url": "api.test"}}, []string{"setting copilot_api_url: must begin with https:// or http://"}},
		"address with user":  {providers.AccountConfig{Settings: map[string]string{"github_api_url": "https://me:" + marker + "@x.test"}}, []string{"setting github_api_url: must not hold a user name or password"}},
		"address with query": {providers.AccountConfig{BaseURL: "https://x.test?y"}, []string{"setting base_url: must not have a query"}},
		"domain":             {providers.AccountConfig{Settings: map[string]string{"enterprise_domain": "not a domain"}}, []string{"setting enterprise_domain", "is no domain name"}},
		"token":              {providers.AccountConfig{Secret: secret.New("ghu_" + marker + "\nx")}, []string{"the credential holds characters"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tc.cfg.ID = "work"
			_, err := p.Open(tc.cfg)
			if err == nil {
				t.Fatal("accepted")
			}
			for _, want := range append(tc.want, `open account "work"`) {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v\nlacks %q", err, want)
				}
			}
			if strings.Contains(err.Error(), marker) {
				t.Errorf("a secret is in the error: %v", err)
			}
		})
	}
}

func TestNormalizeDomain(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                            "",
		"github.com":                  "",
		"https://GitHub.com/":         "",
		"api.github.com":              "",
		"acme.ghe.com":                "acme.ghe.com",
		" HTTPS://Acme.GHE.com/login": "acme.ghe.com",
		"acme.ghe.com.":               "acme.ghe.com",
		"api.acme.ghe.com":            "acme.ghe.com",
		"bücher.example":              "xn--bcher-kva.example",
		"acme":                        "error",
		"acme.ghe.com:8443":           "error",
		"user@acme.ghe.com":           "error",
		"acme..com":                   "error",
		"-acme.com":                   "error",
		"a b.com":                     "error",
		"a.com?x":                     "error",
		"[::1]":                       "error",
	} {
		got, err := copilot.NormalizeDomain(in)
		if err != nil {
			got = "error"
		}
		if got != want {
			t.Errorf("NormalizeDomain(%q) = %q, %v, want %q", in, got, err, want)
		}
	}
}

func TestEnterpriseDomainMovesEveryPlane(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldConfig{settings: map[string]string{"enterprise_domain": "acme.ghe.com"}, serve: answering(200, grant(1, ""))})
	if _, err := w.account.Lease(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, want := w.github.requests()[0].URL.String(), "https://api.acme.ghe.com"+tokenPath; got != want {
		t.Errorf("asked %s, want %s", got, want)
	}
}

func TestUserAgentFollowsThePluginVersion(t *testing.T) {
	t.Parallel()
	for plugin, want := range map[string]string{"copilot-chat/9.9.9": "GitHubCopilotChat/9.9.9", "none": "GitHubCopilotChat/0.52.0", "": "GitHubCopilotChat/0.52.0"} {
		w := newWorld(t, worldConfig{settings: map[string]string{"editor_plugin_version": plugin}})
		h, err := w.Headers(w.account, "chat/completions")
		if err != nil || h.Get("User-Agent") != want {
			t.Errorf("plugin %q: agent %q, %v, want %q", plugin, h.Get("User-Agent"), err, want)
		}
	}
}
