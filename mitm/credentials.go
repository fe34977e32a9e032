package mitm

import (
	"context"
	"encoding/base64"
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	proxyAuthorization = "Proxy-Authorization"
	maxCredentials     = 4 << 10 // bytes of a Proxy-Authorization value
)

// proxyCredentials returns what Proxy-Authorization: Basic carries (RFC 7617). ok is false when the header is absent,
// repeated, too long, of another scheme or malformed.
func proxyCredentials(h http.Header) (user, password string, ok bool) {
	values := h[proxyAuthorization]
	if len(values) != 1 || len(values[0]) > maxCredentials {
		return "", "", false
	}
	scheme, encoded, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Basic") {
		return "", "", false
	}
	decoded, err := base64.StdEncoding.DecodeString(strings.Trim(encoded, " "))
	if err != nil {
		return "", "", false
	}
	user, password, ok = strings.Cut(string(decoded), ":")
	if !ok || !utf8.ValidString(user) || strings.ContainsFunc(user, unicode.IsControl) {
		return "", "", false
	}
	return user, password, true
}

// authorize returns the proxy user name of r, and whom Authorize takes it for. When r is not allowed it has answered
// 407 and returns false.
func (s *server) authorize(w http.ResponseWriter, r *http.Request) (user string, principal any, ok bool) {
	user, password, given := proxyCredentials(r.Header)
	if s.proxy.Authorize == nil {
		return user, nil, true
	}
	if given {
		if principal, ok = s.proxy.Authorize(r.Context(), user, password); ok {
			return user, principal, true
		}
	} else if s.proxy.AuthorizeOptional {
		return "", nil, true
	}
	// The connection stays open: clients such as git and curl send their credentials on it after this answer.
	w.Header().Set("Proxy-Authenticate", `Basic realm="detour"`)
	http.Error(w, "detour: proxy authentication required", http.StatusProxyAuthRequired)
	return "", nil, false
}

type principalKey struct{}

// Principal returns what Proxy.Authorize took the client of a request to Handler for, or nil.
func Principal(ctx context.Context) any { return ctx.Value(principalKey{}) }
