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

const maxMessage = 8 << 10 // of an error's text

// parseFailure reads an error body of any shape that the upstream uses: an error object, nested or not, a text in its
// place, or no JSON at all. The content type says nothing; JSON comes as text/plain.
func parseFailure(status int, body []byte) dialect.Failure {
	f := dialect.Failure{Status: status}
	if gjson.ValidBytes(body) {
		doc := gjson.ParseBytes(body)
		e := doc.Get("error")
		switch {
		case e.IsObject():
		case e.Type == gjson.String:
			f.Message = e.String()
			e = doc
		default:
			e = doc
		}
		message := e.Get("message")
		if message.IsObject() { // {"message":{"text":…}}
			for _, name := range []string{"text", "message", "title"} {
				if v := message.Get(name); v.Type == gjson.String {
					message = v
					break
				}
			}
		}
		if f.Message == "" {
			f.Message = message.String()
		}
		f.Type, f.Code, f.Param = word(e.Get("type")), word(e.Get("code")), word(e.Get("param"))
		if f.Type == "error" {
			f.Type = ""
		}
		if f.Message == "" && doc.Type == gjson.String {
			f.Message = doc.String()
		}
	}
	if f.Message == "" && !isHTML(body) {
		f.Message = strings.TrimSpace(string(body))
	}
	if f.Message == "" {
		f.Message = strings.TrimSpace(http.StatusText(status))
	}
	f.Message = clip(strings.ToValidUTF8(f.Message, "\uFFFD"), maxMessage)
	return f
}

func word(v gjson.Result) string {
	if v.Type != gjson.String && v.Type != gjson.Number {
		return ""
	}
	return clip(v.String(), 256)
}

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

// isPage reports whether an answer is a web page.
func isPage(h http.Header, body []byte) bool {
	t, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	return err == nil && t == "text/html" || isHTML(body)
}

func isHTML(body []byte) bool {
	start := bytes.ToLower(bytes.TrimSpace(body[:min(len(body), 512)]))
	return bytes.HasPrefix(start, []byte("<!doctype html")) || bytes.HasPrefix(start, []byte("<html"))
}

// requestID is what the upstream calls a request, for people who ask its support.
func requestID(h http.Header) string {
	for _, name := range []string{"X-Github-Request-Id", "X-Copilot-Service-Request-Id", "X-Request-Id"} {
		if v := h.Get(name); v != "" {
			return clip(v, 128)
		}
	}
	return ""
}

// scrub masks token wherever e repeats it: an upstream may quote what it was sent.
func scrub(e *providers.Error, token secret.String) {
	e.Failure.Message = masked(e.Failure.Message, token)
	e.Failure.Code = masked(e.Failure.Code, token)
	e.Failure.Type = masked(e.Failure.Type, token)
	e.Failure.Param = masked(e.Failure.Param, token)
	e.Hint = masked(e.Hint, token)
	e.RequestID = masked(e.RequestID, token)
}

func masked(s string, token secret.String) string {
	if token.IsZero() || s == "" {
		return s
	}
	return strings.ReplaceAll(s, token.Reveal(), token.String())
}
