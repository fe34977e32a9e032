package copilot

import (
	"net/http"
	"unicode/utf8"

	"detour/internal/secret"
	"detour/providers"
)

// clip cuts s to at most n bytes, between characters.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}

// refused reads an error answer of GitHub's.
func refused(resp *http.Response, body []byte, token secret.String) *providers.Error {
	return providers.Refusal(resp, body, token, requestIDs()...)
}

// requestIDs are the headers in which GitHub names a request.
func requestIDs() []string {
	return []string{"X-Github-Request-Id", "X-Copilot-Service-Request-Id", "X-Request-Id"}
}
