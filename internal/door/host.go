package door

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// admitHost returns the host name of the request, in lower case, without port and brackets, if the door answers to it.
func (d *door) admitHost(r *http.Request) (string, bool) {
	name, ok := hostname(r.Host)
	if !ok {
		return "", false
	}
	return name, d.hosts[name] || isLoopbackName(name) || isLocalAddr(r, name)
}

// isLoopbackName accepts localhost, names below it (RFC 6761, section 6.3) and loopback addresses.
func isLoopbackName(name string) bool {
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return true
	}
	a, err := netip.ParseAddr(name)
	return err == nil && a.Unmap().IsLoopback()
}

// isLocalAddr accepts the address that the connection was made to: a name that was rebound is never an address.
func isLocalAddr(r *http.Request, name string) bool {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return false
	}
	at, err := netip.ParseAddrPort(local.String())
	if err != nil {
		return false
	}
	a, err := netip.ParseAddr(name)
	return err == nil && a.Unmap() == at.Addr().Unmap().WithZone("")
}

// hostname splits a Host header (RFC 9110, section 7.2) and accepts only the characters of names and addresses, so
// that the result may stand in a script, a URL and JSON.
func hostname(host string) (string, bool) {
	name := host
	if strings.HasPrefix(host, "[") || strings.Count(host, ":") == 1 {
		i := strings.LastIndexByte(host, ':')
		if strings.HasSuffix(host, "]") {
			i = len(host)
		}
		if i < 0 || !isPort(host[min(i+1, len(host)):], i == len(host)) {
			return "", false
		}
		name = host[:i]
	}
	if inner, ok := strings.CutPrefix(name, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		a, err := netip.ParseAddr(inner)
		if !ok || err != nil || !a.Is6() || a.Zone() != "" {
			return "", false
		}
		return a.String(), true
	}
	if a, err := netip.ParseAddr(name); err == nil {
		return a.String(), a.Zone() == ""
	}
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if name == "" || len(name) > 253 {
		return "", false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || strings.ContainsFunc(label, notInLabel) || label[0] == '-' || label[len(label)-1] == '-' {
			return "", false
		}
	}
	return name, true
}

func notInLabel(c rune) bool {
	return (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_'
}

func isPort(s string, none bool) bool {
	if none {
		return true
	}
	for _, c := range s {
		if c < '0' || c > '9' {
			return false
		}
	}
	return s != "" && len(s) <= 5
}

// admitOrigin reports whether a page that made the request may. allowed is the configured origin that it has, or "".
func (d *door) admitOrigin(r *http.Request) (allowed string, ok bool) {
	origins := r.Header.Values("Origin")
	switch {
	case len(origins) > 1:
		return "", false
	case len(origins) == 0:
		// Browsers leave Origin out of some reads, such as images, but say where they come from. Following a link is
		// fine: it shows a page and runs nothing.
		site := r.Header.Get("Sec-Fetch-Site")
		return "", site != "cross-site" && site != "same-site" || r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Method == http.MethodGet
	case d.origins[origins[0]]:
		return origins[0], true
	}
	return "", sameOrigin(r, origins[0])
}

// sameOrigin accepts the door's own pages. The host was admitted before, so it is not a rebound name.
func sameOrigin(r *http.Request, origin string) bool {
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" || u.Path != "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return false
	}
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	return u.Scheme == scheme && strings.EqualFold(u.Host, r.Host)
}

// cors adds what a page of a configured origin needs to read the answer, and answers a preflight itself.
func (d *door) cors(w http.ResponseWriter, r *http.Request, origin string) (done bool) {
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Expose-Headers", "Retry-After, X-Request-Id, X-Should-Retry, X-Detour-Route, X-Detour-Model, X-Detour-Account, X-Detour-Attempts")
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	h.Set("Access-Control-Allow-Methods", "GET, HEAD, POST, DELETE, OPTIONS")
	if asked := r.Header.Get("Access-Control-Request-Headers"); asked != "" {
		h.Set("Access-Control-Allow-Headers", asked)
		h.Add("Vary", "Access-Control-Request-Headers")
	}
	if r.Header.Get("Access-Control-Request-Private-Network") == "true" {
		h.Set("Access-Control-Allow-Private-Network", "true")
	}
	h.Set("Access-Control-Max-Age", "600")
	w.WriteHeader(http.StatusNoContent)
	return true
}

// fromLoopback reports whether the client is on this machine.
func fromLoopback(r *http.Request) bool {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && at.Addr().Unmap().IsLoopback()
}
