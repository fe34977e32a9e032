package mitm

import (
	"net/http"
)

// serveInner answers a request inside an intercepted connection.
func (s *server) serveInner(w http.ResponseWriter, r *http.Request) {
	t, ok := r.Context().Value(targetKey{}).(*target)
	if !ok {
		http.Error(w, "detour: connection without target", http.StatusInternalServerError)
		return
	}
	if r.Method == http.MethodConnect {
		// Another proxy hop, or WebSocket over HTTP/2 (RFC 8441), which the server does not announce.
		refuse(w, http.StatusNotImplemented, "CONNECT inside an intercepted connection is not supported")
		return
	}
	if t.local {
		s.serveLocal(w, r)
		return
	}
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	if !t.matches(r, scheme) {
		http.Error(w, "detour: this connection was opened to "+t.authority, http.StatusMisdirectedRequest)
		return
	}
	// Meant for us and sent to the origin by mistake: it must not travel on.
	delete(r.Header, proxyAuthorization)
	// Changed in place: a copy of the request would not see trailers that arrive undeclared.
	r.URL.Scheme, r.URL.Host, r.URL.User = scheme, t.authority, t.user
	s.proxy.Handler.ServeHTTP(w, r)
}

// matches reports whether r is for the host and port of the CONNECT (RFC 9110 section 7.4). Otherwise a client could
// CONNECT to a host it may reach and talk to another one.
func (t *target) matches(r *http.Request, scheme string) bool {
	if r.URL.Scheme != "" && r.URL.Scheme != scheme { // absolute form
		return false
	}
	if r.Host == "" {
		return !r.ProtoAtLeast(1, 1)
	}
	defaultPort := 80
	if scheme == "https" {
		defaultPort = 443
	}
	if r.Host == t.authority || r.Host == t.host && t.port == defaultPort {
		return true
	}
	host, port, err := parseHostPort(r.Host)
	if port == 0 {
		port = defaultPort
	}
	return err == nil && host == t.host && port == t.port
}
