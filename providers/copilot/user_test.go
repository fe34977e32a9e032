package copilot_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"detour/providers"
	"detour/providers/copilot"
)

func TestUser(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ body, want string }{
		"paid": {
			`{"login":"octocat","access_type_sku":"plus_monthly_subscriber_quota","copilot_plan":"individual_pro","quota_reset_date":"2026-12-01","quota_reset_date_utc":"2026-12-01T00:00:00.000Z","future":[],
			"quota_snapshots":{"premium_interactions":{"entitlement":1500,"remaining":1112,"quota_remaining":1112.67,"percent_remaining":74.2,"unlimited":false,"overage_count":2,"overage_permitted":true},
			"chat":{"entitlement":0,"remaining":0,"percent_remaining":100.0,"unlimited":true,"has_quota":true}}}`,
			`{"login":"octocat","plan":"individual_pro","sku":"plus_monthly_subscriber_quota","token_billed":false,"resets":"2026-12-01T00:00:00Z","quotas":[` +
				`{"name":"chat","entitlement":0,"remaining":0,"percent":100,"unlimited":true,"applicable":true,"overage_count":0,"overage_permitted":false},` +
				`{"name":"premium_interactions","entitlement":1500,"remaining":1112.67,"percent":74.2,"unlimited":false,"applicable":true,"overage_count":2,"overage_permitted":true}]}`,
		},
		"free, with an allowance that the plan has not": {
			`{"copilot_plan":"free","quota_reset_date":"2026-12-01","quota_snapshots":{"premium_interactions":{"entitlement":0,"has_quota":false,"percent_remaining":0}}}`,
			`{"plan":"free","token_billed":false,"resets":"2026-12-01T00:00:00Z","quotas":[{"name":"premium_interactions","entitlement":0,"remaining":-1,"percent":0,"unlimited":false,"applicable":false,"overage_count":0,"overage_permitted":false}]}`,
		},
		"free, older": {
			`{"limited_user_quotas":{"completions":500,"chat":10},"monthly_quotas":{"chat":50},"limited_user_reset_date":1796083200}`,
			`{"token_billed":false,"resets":"2026-12-01T00:00:00Z","quotas":[` +
				`{"name":"chat","entitlement":50,"remaining":10,"percent":20,"unlimited":false,"applicable":true,"overage_count":0,"overage_permitted":false},` +
				`{"name":"completions","entitlement":-1,"remaining":500,"percent":-1,"unlimited":false,"applicable":true,"overage_count":0,"overage_permitted":false}]}`,
		},
		"billed by tokens, entitlement in words": {
			`{"token_based_billing":true,"quota_snapshots":{"premium_interactions":{"entitlement":"300","quota_reset_at":1796083200},"odd":7,"empty":{}}}`,
			`{"token_billed":true,"quotas":[{"name":"empty","entitlement":-1,"remaining":-1,"percent":-1,"unlimited":false,"applicable":true,"overage_count":0,"overage_permitted":false},` +
				`{"name":"premium_interactions","entitlement":300,"remaining":-1,"percent":-1,"unlimited":false,"applicable":true,"overage_count":0,"overage_permitted":false,"resets":"2026-12-01T00:00:00Z"}]}`,
		},
		"empty snapshots": {`{"quota_snapshots":{}}`, `{"token_billed":false}`},
		"nothing":         {`{}`, `{"token_billed":false}`},
		"odd types":       {`{"login":{"a":1},"quota_snapshots":[1],"limited_user_quotas":"x","quota_reset_date":true}`, `{"login":"{\"a\":1}","token_billed":false}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, worldConfig{serve: func(w http.ResponseWriter, r *http.Request) {
				if r.URL.String() != "https://api.github.com/copilot_internal/user" || r.Header.Get("Authorization") != "token "+githubToken {
					t.Errorf("asked %s", r.URL)
				}
				_, _ = io.WriteString(w, tc.body)
			}})
			u, err := w.User(t.Context(), w.account)
			if err != nil {
				t.Fatal(err)
			}
			got, err := json.Marshal(u)
			if err != nil || string(got) != tc.want {
				t.Errorf("%v\n got %s\nwant %s", err, got, tc.want)
			}
			if string(u.Raw) != tc.body {
				t.Errorf("raw %s", u.Raw)
			}
		})
	}
}

func TestUserRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldConfig{serve: text401})
	if _, err := w.User(t.Context(), w.account); asError(t, err).Kind != providers.KindLogin {
		t.Errorf("User: %v", err)
	}
}

func TestQuotaHeaders(t *testing.T) {
	t.Parallel()
	h := http.Header{}
	h.Set("x-quota-snapshot-chat", "ent=-1&ov=0.0&ovPerm=false&rem=100.0&rst=2026-12-01T00%3A00%3A00Z&totRem=-1")
	h.Set("x-quota-snapshot-premium_interactions", "ent=1500&ov=2.5&ovPerm=true&rem=74.2&rst=2026-12-01T00%3A00%3A00Z&totRem=1112.7")
	h.Set("x-usage-ratelimit-session", "ent=0&ov=0.0&ovPerm=false&rem=99.6&rst=2026-11-05T14%3A30%3A56Z")
	h.Set("x-usage-ratelimit-weekly", "rem=nonsense&ent=Inf")
	h.Set("x-quota-snapshot-broken", "%zz")
	h.Set("x-quota-snapshot-", "rem=1")
	h.Set("x-other", "rem=1")
	got, err := json.Marshal(copilot.QuotaHeaders(h))
	want := `[{"name":"chat","entitlement":-1,"remaining":-1,"percent":100,"unlimited":true,"applicable":true,"overage_count":0,"overage_permitted":false,"resets":"2026-12-01T00:00:00Z"},` +
		`{"name":"premium_interactions","entitlement":1500,"remaining":1112.7,"percent":74.2,"unlimited":false,"applicable":true,"overage_count":2.5,"overage_permitted":true,"resets":"2026-12-01T00:00:00Z"},` +
		`{"name":"session","entitlement":0,"remaining":-1,"percent":99.6,"unlimited":false,"applicable":true,"overage_count":0,"overage_permitted":false,"resets":"2026-11-05T14:30:56Z"},` +
		`{"name":"weekly","entitlement":-1,"remaining":-1,"percent":-1,"unlimited":false,"applicable":true,"overage_count":0,"overage_permitted":false}]`
	if err != nil || string(got) != want {
		t.Errorf("%v\n got %s\nwant %s", err, got, want)
	}
	if list := copilot.QuotaHeaders(nil); list != nil {
		t.Errorf("no headers give %v", list)
	}
}

func FuzzUser(f *testing.F) {
	f.Add(`{"quota_snapshots":{"a":{"entitlement":1e400,"quota_reset_at":1e18}},"limited_user_quotas":{"a.b":1},"monthly_quotas":{"a.b":2}}`)
	f.Add(`{"quota_reset_date":"9999-99-99"}`)
	f.Fuzz(func(t *testing.T, body string) {
		w := newWorld(t, worldConfig{serve: func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }})
		if !json.Valid([]byte(body)) || !strings.HasPrefix(strings.TrimSpace(body), "{") {
			return // three pauses for each
		}
		u, err := w.User(t.Context(), w.account)
		if err != nil {
			return
		}
		if _, err := json.Marshal(u); err != nil {
			t.Errorf("cannot be shown: %v", err)
		}
	})
}
