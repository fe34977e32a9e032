package door_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"detour/internal/door"
)

func TestFromPage(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		header http.Header
		want   bool
	}{
		{"a program", http.Header{}, false},
		{"a page of another site", http.Header{"Origin": {"https://evil.example"}}, true},
		{"a page in clear", http.Header{"Origin": {"http://api.openai.com"}}, true},
		{"a local page", http.Header{"Origin": {"http://localhost:3000"}}, true},
		{"a page on another port", http.Header{"Origin": {"https://api.openai.com:8443"}}, true},
		{"a page that hides its origin", http.Header{"Origin": {"null"}}, true},
		{"two origins", http.Header{"Origin": {"https://good.example", "https://evil.example"}}, true},
		{"an allowed page", http.Header{"Origin": {"https://good.example"}, "Sec-Fetch-Site": {"cross-site"}}, false},
		{"the host's own page", http.Header{"Origin": {"https://API.openai.com"}, "Sec-Fetch-Site": {"same-origin"}}, false},
		{"a program built like a page", http.Header{"Origin": {"app://notes.example"}, "Sec-Fetch-Site": {"cross-site"}}, false},
		{"an image in a page", http.Header{"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Mode": {"no-cors"}}, true},
		{"a page of a sister site", http.Header{"Sec-Fetch-Site": {"same-site"}, "Sec-Fetch-Mode": {"no-cors"}}, true},
		{"a link that was followed", http.Header{"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Mode": {"navigate"}}, false},
		{"Node's fetch", http.Header{"Sec-Fetch-Mode": {"cors"}}, false},
	} {
		r := httptest.NewRequest(http.MethodPost, "https://api.openai.com:443/v1/chat/completions", http.NoBody)
		r.Host, r.Header = "api.openai.com:443", test.header
		if got := door.FromPage(r, []string{"https://good.example"}); got != test.want {
			t.Errorf("%s: %t", test.name, got)
		}
	}
}
