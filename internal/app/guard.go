package app

import (
	"fmt"
	"net/http"
	"runtime/debug"

	"detour/internal/door"
)

// keyless keeps client keys out of requests that are forwarded to other hosts.
type keyless struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (k keyless) RoundTrip(r *http.Request) (*http.Response, error) {
	if h := door.WithoutKeys(r.Header); len(h) != len(r.Header) {
		r = r.WithContext(r.Context())
		r.Header = h
	}
	return k.next.RoundTrip(r)
}

// guard turns a handler's panic into a log line that the owner sees, and an aborted exchange. The proxy does so itself.
func (a *App) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			v := recover()
			if v == nil {
				return
			}
			if v != http.ErrAbortHandler { //nolint:errorlint // the sentinel is a panic value, compared as net/http does
				a.opts.Logger.Error("handler panicked", "component", "api", "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
			}
			panic(http.ErrAbortHandler)
		}()
		next.ServeHTTP(w, r)
	})
}
