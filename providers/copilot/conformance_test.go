package copilot_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"detour/internal/dialect"
	"detour/providers"
	"detour/providers/copilot"
	"detour/providers/providertest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	h := providertest.Harness{
		Credential: "ghu_" + providertest.Marker,
		Used: func(h http.Header) string {
			token, ok := strings.CutPrefix(h.Get("Authorization"), "Bearer ")
			if !ok {
				return ""
			}
			return token
		},
		Exchange: &providertest.Exchange{
			Is: func(r *http.Request) bool { return r.URL.Path == tokenPath },
			Grant: func(w http.ResponseWriter, token string) {
				now := time.Now()
				w.Header().Set("Date", now.UTC().Format(http.TimeFormat))
				fmt.Fprintf(w, `{"token":%q,"expires_at":%d,"refresh_in":1500,"endpoints":{"api":"https://api.business.githubcopilot.com"}}`, token, now.Unix()+1800)
			},
		},
		Endpoints: []dialect.Endpoint{
			dialect.EndpointChat, dialect.EndpointResponses, dialect.EndpointMessages, dialect.EndpointCountTokens,
			dialect.EndpointEmbeddings, dialect.EndpointModels,
		},
		Allowed: func(host string) bool {
			return host == "api.github.com" || strings.HasSuffix(host, ".githubcopilot.com")
		},
		Failures: []providertest.Failure{
			{Name: "quota", Status: 402, Body: `{"error":{"code":"quota_exceeded","message":"m"}}`, Want: providers.KindQuota},
			{Name: "policy", Status: 403, Body: "unauthorized: not licensed to use Copilot", Want: providers.KindPolicy},
			{Name: "misdirected", Status: 421, Body: "Misdirected Request", Want: providers.KindMisdirected},
			{Name: "model", Status: 400, Body: `{"error":{"code":"model_not_supported","message":"m"}}`, Want: providers.KindModel},
			{Name: "too long", Status: 400, Body: `{"error":{"code":"model_max_prompt_tokens_exceeded","message":"m"}}`, Want: providers.KindTooLong},
			{Name: "old client", Status: 466, Body: "client not supported", Want: providers.KindPolicy},
		},
	}
	open := func(settings map[string]string) func(testing.TB, providertest.Env) (providers.Provider, *providers.Account) {
		return func(t testing.TB, e providertest.Env) (providers.Provider, *providers.Account) {
			t.Helper()
			p := copilot.New(copilot.Options{Transport: e.Transport, Logger: e.Logger})
			a, err := p.Open(providers.AccountConfig{ID: "a", Provider: copilot.Name, Secret: e.Secret, Settings: settings})
			if err != nil {
				t.Fatal(err)
			}
			return p, a
		}
	}
	exchange, direct := h, h
	exchange.Open = open(nil)
	direct.Open, direct.Exchange = open(map[string]string{"auth": "direct", "account_type": "business"}), nil
	for name, h := range map[string]providertest.Harness{"exchange": exchange, "direct": direct} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			providertest.Run(t, h)
		})
	}
}
