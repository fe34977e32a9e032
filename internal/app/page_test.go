package app_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"detour/internal/app"
	"detour/internal/config"
	"detour/internal/sim"
)

// A page that a browser shows can send a simple request to any host, and the browser may go through the proxy. Such a
// request is relayed as it is, so that no page spends the owner's accounts.
func TestWebPagesDoNotSpendTheAccounts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil, func(o *app.Options) {
		o.Config.Server.AllowedOrigins = []string{"http://localhost:3000"}
		o.Config.Rules = []config.Rule{{Mode: "route"}} // no rule hands the accounts to a page
	}, "alice")
	for _, test := range []struct {
		name   string
		header http.Header
		plane  string
	}{
		{"program", http.Header{}, sim.PlaneCopilot},
		{"page", http.Header{"Origin": {"https://evil.example"}, "Content-Type": {"text/plain"}}, sim.PlaneOrigin},
		{"page-that-names-a-mode", http.Header{"Origin": {"https://evil.example"}, "X-Route-Mode": {"route"}}, sim.PlaneOrigin},
		{"hidden-page", http.Header{"Origin": {"null"}, "Sec-Fetch-Site": {"cross-site"}}, sim.PlaneOrigin},
		{"image", http.Header{"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Mode": {"no-cors"}}, sim.PlaneOrigin},
		{"allowed-page", http.Header{"Origin": {"http://localhost:3000"}}, sim.PlaneCopilot},
	} {
		for version, c := range map[string]*http.Client{"h1": w.client(false), "h2": w.client(true)} {
			marker := test.name + "-" + version + "-marker"
			body := `{"model":"gpt-4o","messages":[{"role":"user","content":"` + marker + `"}]}`
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://api.openai.com/v1/chat/completions", strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header = test.header.Clone()
			resp, err := c.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
			seen := w.sim.Requests(func(r sim.Request) bool { return strings.Contains(string(r.Body), marker) })
			if len(seen) != 1 || seen[0].Plane != test.plane {
				t.Errorf("%s: seen %d times, first %+v; want %s", marker, len(seen), seen, test.plane)
			}
		}
	}
}
