package door_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"detour/internal/clientkey"
	"detour/internal/door"
)

const goodKey = "dtr_goodgoodgood"

func verify(key string) (clientkey.Key, bool) { return clientkey.Key{Name: "laptop"}, key == goodKey }

func TestClientKey(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, header, value string
		want                bool
	}{
		{"none", "X-Nothing", "x", false},
		{"bearer", "Authorization", "Bearer " + goodKey, true},
		{"bearer in lower case", "Authorization", "bearer  " + goodKey, true},
		{"x-api-key", "X-Api-Key", goodKey, true},
		{"x-goog-api-key", "X-Goog-Api-Key", goodKey, true},
		{"wrong", "Authorization", "Bearer dtr_bad", false},
		{"basic", "Authorization", "Basic " + goodKey, false},
		{"no scheme", "Authorization", goodKey, false},
		{"empty", "X-Api-Key", "", false},
		{"other header", "Cookie", goodKey, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := ask(t, door.Options{Verify: verify}, http.MethodPost, "/v1/chat/completions", set(test.header, test.value))
			if got.routed != test.want {
				t.Fatalf("routed %v: %s", got.routed, got.body)
			}
			if !test.want {
				if got.status != http.StatusUnauthorized || got.header.Get("WWW-Authenticate") == "" || strings.Contains(got.body, "dtr_bad") {
					t.Errorf("%d %v %s", got.status, got.header, got.body)
				}
				return
			}
			if got.principal != "laptop" {
				t.Errorf("principal %q", got.principal)
			}
			if v := got.seen.Get(test.header); v != "" {
				t.Errorf("the router saw %s: %s", test.header, v)
			}
		})
	}
}

func TestAKeyThatDoesNotHoldIsRefusedWhereNoneIsNeeded(t *testing.T) {
	t.Parallel()
	o := door.Options{Verify: verify, KeysOptional: true}
	for key, want := range map[string]bool{"": true, "sk-own": true, goodKey: true, "dtr_revoked": false} {
		got := ask(t, o, http.MethodPost, "/v1/messages", set("X-Api-Key", key))
		if got.routed != want || !want && (got.status != http.StatusUnauthorized || !strings.Contains(got.body, "revoked")) {
			t.Errorf("%q: routed %v, %d %s", key, got.routed, got.status, got.body)
		}
	}
}

func TestOnlyOurKeysAreTakenOut(t *testing.T) {
	t.Parallel()
	both := func(r *http.Request) {
		r.Header.Set("Authorization", "Bearer sk-own")
		r.Header.Set("X-Api-Key", goodKey)
		r.Header.Set("X-Goog-Api-Key", "dtr_revoked")
	}
	for name, o := range map[string]door.Options{"keys needed": {Verify: verify}, "no keys needed": {}} {
		got := ask(t, o, http.MethodPost, "/v1/messages", both)
		if !got.routed || got.seen.Get("Authorization") != "Bearer sk-own" || got.seen.Get("X-Api-Key") != "" || got.seen.Get("X-Goog-Api-Key") != "" {
			t.Errorf("%s: routed %v, seen %v", name, got.routed, got.seen)
		}
	}
}

func TestRefusalHasTheShapeOfTheClientsDialect(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ path, header, want string }{
		{"/v1/messages", "", `{"error":{"message":"M","type":"authentication_error"},"type":"error"}`},
		{"/v1/messages/count_tokens", "", `{"error":{"message":"M","type":"authentication_error"},"type":"error"}`},
		{"/v1/models", "Anthropic-Version", `{"error":{"message":"M","type":"authentication_error"},"type":"error"}`},
		{"/v1beta/models/x:generateContent", "", `{"error":{"code":401,"message":"M","status":"UNAUTHENTICATED"}}`},
		{"/v1/chat/completions", "", `{"error":{"code":"invalid_api_key","message":"M","param":null,"type":"invalid_request_error"}}`},
		{"/anything", "", `{"error":{"code":"invalid_api_key","message":"M","param":null,"type":"invalid_request_error"}}`},
	} {
		got := ask(t, door.Options{Verify: verify}, http.MethodPost, test.path, func(r *http.Request) {
			if test.header != "" {
				r.Header.Set(test.header, "2023-06-01")
			}
		})
		var body map[string]any
		if err := json.Unmarshal([]byte(got.body), &body); err != nil {
			t.Fatal(err)
		}
		body["error"].(map[string]any)["message"] = "M"
		again, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		if string(again) != test.want || got.status != http.StatusUnauthorized {
			t.Errorf("%s: %d %s, want %s", test.path, got.status, again, test.want)
		}
	}
}
