package app_test

import (
	"strings"
	"testing"

	"detour/internal/app"
	"detour/internal/config"
	"detour/internal/secret"
)

func TestUnencryptedUpstreamsAreSaid(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil, func(o *app.Options) {
		o.Config.Accounts = append(o.Config.Accounts, config.Account{
			ID: "far", Provider: "github-copilot", GitHubToken: secret.New("ghu_x"), Source: "test", Tier: "fallback",
			Settings: map[string]string{"copilot_api_url": "http://copilot.example.com"},
		}, config.Account{
			ID: "near", Provider: "github-copilot", GitHubToken: secret.New("ghu_y"), Source: "test", Tier: "fallback",
			Settings: map[string]string{"copilot_api_url": "http://127.0.0.1:1"},
		})
	})
	notes := strings.Join(w.app.Upstream().Notes, "\n")
	if !strings.Contains(notes, "copilot_api_url of account far") || strings.Contains(notes, "near") {
		t.Errorf("notes: %q", notes)
	}
}
