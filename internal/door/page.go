package door

import (
	"net/http"
	"slices"
	"strings"
)

// FromPage reports whether a web page of another site made the request, whose origin is not among allowed. It is for
// requests to the hosts that the proxy intercepts: there, unlike at the API door, pages of their own sites are at home,
// and so are programs that are built like pages and have an origin that no site has, such as app://name. A page can
// hide its origin as "null", which therefore is no such program's.
func FromPage(r *http.Request, allowed []string) bool {
	origins := r.Header.Values("Origin")
	switch len(origins) {
	case 0: // browsers leave it out of some requests, but say where they come from
		site := r.Header.Get("Sec-Fetch-Site")
		return (site == "cross-site" || site == "same-site") && r.Header.Get("Sec-Fetch-Mode") != "navigate"
	case 1:
	default:
		return true
	}
	scheme, host, _ := strings.Cut(origins[0], "://")
	switch {
	case slices.Contains(allowed, origins[0]):
		return false
	case origins[0] == "null" || scheme == "http":
		return true
	case scheme == "https":
		return !strings.EqualFold(host, strings.TrimSuffix(r.Host, ":443"))
	}
	return false
}
