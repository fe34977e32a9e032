package door

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"detour/internal/clientkey"
)

type principalKey struct{}

// Principal returns the client key that the request came with, if any.
func Principal(ctx context.Context) (clientkey.Key, bool) {
	k, ok := ctx.Value(principalKey{}).(clientkey.Key)
	return k, ok
}

// keyHeaders are where clients of the three vendors put their key.
func keyHeaders() []string { return []string{"Authorization", "X-Api-Key", "X-Goog-Api-Key"} }

// admitKey looks for a valid key in the headers that may carry one. Every header that holds one of our keys is taken
// out of the request, so that it goes nowhere else; a client's own credentials for an upstream stay. stale says that
// there were keys of ours, and none that holds: its bearer must not get by revocation what the key did not allow.
func (d *door) admitKey(r *http.Request) (found clientkey.Key, ok, stale bool) {
	for _, header := range keyHeaders() {
		values := r.Header[header]
		for _, v := range values {
			key := keyIn(header, v)
			ours := strings.HasPrefix(key, clientkey.Prefix)
			if d.Verify != nil && key != "" {
				if k, valid := d.Verify(key); valid {
					ours = true
					if !ok {
						found, ok = k, true
					}
				}
			}
			if ours {
				r.Header.Del(header)
				stale = d.Verify != nil
			}
		}
	}
	return found, ok, stale && !ok
}

// WithoutKeys returns h, or a copy that lacks the headers which hold keys of ours. They open this detour, so no other
// host may learn them, be it the one that a client was made to send its key to. It is for requests that pass no door.
func WithoutKeys(h http.Header) http.Header {
	out := h
	for _, header := range keyHeaders() {
		if !slices.ContainsFunc(h[header], func(v string) bool { return strings.HasPrefix(keyIn(header, v), clientkey.Prefix) }) {
			continue
		}
		if len(out) == len(h) {
			out = h.Clone()
		}
		out.Del(header)
	}
	return out
}

// keyIn is the key in a header's value, or "".
func keyIn(header, value string) string {
	if header == "Authorization" {
		return bearer(value)
	}
	return value
}

// bearer returns the token of an Authorization header (RFC 6750, section 2.1), or "".
func bearer(v string) string {
	scheme, token, _ := strings.Cut(v, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.Trim(token, " ")
}

// What an answer 401 says.
const (
	keyNeeded = "a valid detour client key is needed: send it as a bearer token, x-api-key or x-goog-api-key; the owner of this detour can issue one"
	keyStale  = "this detour client key is not valid here: it was revoked, was made for the proxy door, or is not complete; the owner of this detour can issue another"
)

// unauthorized answers 401 in the shape that the client's dialect gives errors.
func unauthorized(w http.ResponseWriter, r *http.Request, message string) {
	var body any
	switch path := r.URL.Path; {
	case strings.HasPrefix(path, "/v1/messages") || r.Header.Get("Anthropic-Version") != "":
		body = map[string]any{"type": "error", "error": map[string]string{"type": "authentication_error", "message": message}}
	case strings.HasPrefix(path, "/v1beta"):
		body = map[string]any{"error": map[string]any{"code": http.StatusUnauthorized, "message": message, "status": "UNAUTHENTICATED"}}
	default:
		body = map[string]any{"error": map[string]any{"message": message, "type": "invalid_request_error", "param": nil, "code": "invalid_api_key"}}
	}
	data, _ := json.Marshal(body) // maps of strings and numbers
	w.Header().Set("WWW-Authenticate", `Bearer realm="detour"`)
	write(w, http.StatusUnauthorized, "application/json", append(data, '\n'))
}
