package keyed

import (
	"bytes"
	"strings"
	"time"

	"detour/providers"
)

// requestIDs are the headers in which services name a request.
func requestIDs() []string { return []string{"X-Request-Id", "Request-Id", "Cf-Ray"} }

// retryInBody finds Google's RetryInfo, such as "retryDelay": "34.07s".
func retryInBody(body []byte) time.Duration {
	_, rest, found := bytes.Cut(body, []byte(`"retryDelay"`))
	if !found {
		return 0
	}
	parts := strings.SplitN(string(rest[:min(len(rest), 64)]), `"`, 3)
	if len(parts) < 3 {
		return 0
	}
	return providers.Span(parts[1], time.Time{})
}
