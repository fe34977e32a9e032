package copilot

import (
	"bytes"
	"mime"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/tidwall/gjson"

	"detour/internal/dialect"
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

// isPage reports whether an answer is a web page. JSON is none, whatever its label says.
func isPage(h http.Header, body []byte) bool {
	t, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	return err == nil && t == "text/html" && !gjson.ValidBytes(body) || isHTML(body)
}

func isHTML(body []byte) bool {
	start := bytes.ToLower(bytes.TrimSpace(body[:min(len(body), 512)]))
	return bytes.HasPrefix(start, []byte("<!doctype html")) || bytes.HasPrefix(start, []byte("<html"))
}

// failed reads an error answer. The credential that the request carried is masked wherever the upstream repeats it.
func failed(resp *http.Response, body []byte, token secret.String) *providers.Error {
	// Before parsing, because that may cut a text in the middle of the credential; and after, because the credential
	// may have been written with escapes.
	body = []byte(masked(string(body), token))
	f := dialect.ParseFailure(resp.StatusCode, resp.Header.Get("Content-Type"), body)
	f.Message, f.Code, f.Type, f.Param = masked(f.Message, token), masked(f.Code, token), masked(f.Type, token), masked(f.Param, token)
	return &providers.Error{Failure: f, RequestID: requestID(resp.Header, token)}
}

// requestID is what the upstream calls a request, for people who ask its support.
func requestID(h http.Header, token secret.String) string {
	for _, name := range []string{"X-Github-Request-Id", "X-Copilot-Service-Request-Id", "X-Request-Id"} {
		if v := h.Get(name); v != "" {
			return clip(masked(v, token), 128)
		}
	}
	return ""
}

// masked is s with token hidden wherever it occurs.
func masked(s string, token secret.String) string {
	if token.IsZero() || s == "" {
		return s
	}
	return strings.ReplaceAll(s, token.Reveal(), token.String())
}
