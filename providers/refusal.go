package providers

import (
	"bytes"
	"math"
	"mime"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tidwall/gjson"

	"detour/internal/dialect"
	"detour/internal/secret"
)

// MaxRetryAfter bounds what is believed of a wait that an upstream names: allowances come back within a month.
const MaxRetryAfter = 31 * 24 * time.Hour

// IsPage reports whether an answer is a web page. JSON is none, whatever its label says.
func IsPage(h http.Header, body []byte) bool {
	t, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err == nil && t == "text/html" && !gjson.ValidBytes(body) {
		return true
	}
	start := bytes.ToLower(bytes.TrimSpace(body[:min(len(body), 512)]))
	return bytes.HasPrefix(start, []byte("<!doctype html")) || bytes.HasPrefix(start, []byte("<html"))
}

// Refusal reads an error answer with its body, for a provider's Check to classify. The credential that the request
// carried is masked wherever the upstream repeats it. ids are the headers that may name the request, the best first.
func Refusal(resp *http.Response, body []byte, credential secret.String, ids ...string) *Error {
	// Before parsing, because that may cut a text in the middle of the credential; and after, because the credential
	// may have been written with escapes.
	f := dialect.ParseFailure(resp.StatusCode, resp.Header.Get("Content-Type"), []byte(credential.Mask(string(body))))
	for _, s := range []*string{&f.Message, &f.Code, &f.Type, &f.Param} {
		*s = credential.Mask(*s)
	}
	return &Error{Failure: f, RequestID: RequestID(resp.Header, credential, ids...)}
}

// RequestID is what the upstream calls a request, for people who ask its support: the first of the headers ids that is
// there. A credential in it is masked. Upstreams like to repeat a key less its middle: that is no secret.
func RequestID(h http.Header, credential secret.String, ids ...string) string {
	for _, name := range ids {
		if v := credential.Mask(h.Get(name)); v != "" {
			for n := min(len(v), 128); ; n-- {
				if n == len(v) || utf8.RuneStart(v[n]) {
					return v[:n]
				}
			}
		}
	}
	return ""
}

// RetryAfter reads how long to wait: Retry-After-Ms, Retry-After in seconds or as a date (RFC 9110 §10.2.3), else the
// reset of the limit that is used up, among OpenAI's X-Ratelimit-Reset-* (spans such as 6m0s) and Anthropic's
// Anthropic-Ratelimit-*-Reset (dates), else X-Ratelimit-Reset. Dates are compared with the answer's own Date, so that a
// wrong local clock does no harm. The result is ≥ 0 and at most MaxRetryAfter; 0 means that nothing usable was said.
func RetryAfter(h http.Header, now time.Time) time.Duration {
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		now = date
	}
	if ms, ok := number(h.Get("Retry-After-Ms")); ok && ms > 0 {
		return clamp(ms / 1000)
	}
	if v := strings.TrimSpace(h.Get("Retry-After")); v != "" {
		if s, ok := number(v); ok {
			return clamp(s)
		}
		if at, err := http.ParseTime(v); err == nil {
			return clamp(at.Sub(now).Seconds())
		}
	}
	var longest time.Duration
	for _, what := range []string{"Requests", "Tokens", "Input-Tokens", "Output-Tokens"} {
		if h.Get("X-Ratelimit-Remaining-"+what) == "0" {
			longest = max(longest, Span(h.Get("X-Ratelimit-Reset-"+what), now))
		}
		if h.Get("Anthropic-Ratelimit-"+what+"-Remaining") == "0" {
			longest = max(longest, Span(h.Get("Anthropic-Ratelimit-"+what+"-Reset"), now))
		}
	}
	if longest > 0 {
		return longest
	}
	return Span(h.Get("X-Ratelimit-Reset"), now)
}

// Span reads a time to wait however it is written: 6m0s, seconds, RFC 3339, or Unix time in seconds or milliseconds.
func Span(v string, now time.Time) time.Duration {
	if v == "" {
		return 0
	}
	if d, err := time.ParseDuration(v); err == nil {
		return clamp(d.Seconds())
	}
	if at, err := time.Parse(time.RFC3339, v); err == nil {
		return clamp(at.Sub(now).Seconds())
	}
	s, ok := number(v)
	switch {
	case !ok:
		return 0
	case s > 1e11: // Unix time in milliseconds: OpenRouter's
		s = s/1000 - float64(now.Unix())
	case s > 1e8: // Unix time: as a wait it would be years
		s -= float64(now.Unix())
	}
	return clamp(s)
}

var waitText = regexp.MustCompile(`(?i)\b(?:retry|try again) (?:after|in) (?:(\d{1,6}) ?h(?:ours?)?,? ?)?(?:(\d{1,6}) ?m(?:in(?:ute)?s?)?,? ?)?(?:(\d{1,9}(?:\.\d{1,9})?) ?(ms|s(?:ec(?:ond)?s?)?))?\b`)

// RetryInText finds the wait in messages such as "Please retry after 2733 seconds" and "Please try again in 1m12.5s":
// limits that hold for hours come without a header.
func RetryInText(message string) time.Duration {
	m := waitText.FindStringSubmatch(message)
	if m == nil {
		return 0
	}
	hours, _ := number(m[1])
	minutes, _ := number(m[2])
	seconds, _ := number(m[3])
	if m[4] == "ms" {
		seconds /= 1000
	}
	return clamp(hours*3600 + minutes*60 + seconds)
}

func clamp(s float64) time.Duration {
	return time.Duration(max(0, min(s, MaxRetryAfter.Seconds())) * float64(time.Second))
}

// number reads a finite decimal number that may have a fraction; ok is false for anything else.
func number(s string) (float64, bool) {
	f, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	return f, err == nil && !math.IsNaN(f) && !math.IsInf(f, 0)
}
