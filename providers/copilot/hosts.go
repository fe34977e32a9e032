package copilot

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"golang.org/x/net/idna"
)

const (
	githubURL    = "https://github.com"
	githubAPIURL = "https://api.github.com"
	genericBase  = "https://api.githubcopilot.com"
)

// NormalizeDomain turns what people write for their enterprise ("https://Acme.ghe.com/", "acme.ghe.com") into a bare
// lower-case host name. github.com itself, and "", become "".
func NormalizeDomain(s string) (string, error) {
	s = strings.ToLower(strings.TrimSpace(s))
	if _, rest, ok := strings.Cut(s, "://"); ok {
		s = rest
	}
	s, _, _ = strings.Cut(s, "/")
	s = strings.TrimSuffix(s, ".")
	if s == "" || s == "github.com" || s == "api.github.com" {
		return "", nil
	}
	host, err := idna.Lookup.ToASCII(s)
	if err != nil || !dnsName(host) || !strings.Contains(host, ".") {
		return "", fmt.Errorf("%q is no domain name", s)
	}
	return strings.TrimPrefix(host, "api."), nil
}

// dnsName accepts lower-case host names of letters, digits and hyphens.
func dnsName(s string) bool {
	if len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			if c := label[i]; c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') {
				return false
			}
		}
	}
	return true
}

// ownURL checks an address that the owner configured and returns it without a trailing slash. Any host will do.
func ownURL(raw string) (string, error) {
	u, err := url.Parse(strings.TrimSpace(raw))
	switch {
	case err != nil:
		return "", errors.New("is no URL")
	case u.Scheme != "https" && u.Scheme != "http", u.Host == "", u.Opaque != "":
		return "", errors.New("must begin with https:// or http:// and name a host")
	case u.User != nil:
		return "", errors.New("must not hold a user name or password")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return "", errors.New("must not have a query or fragment")
	}
	return strings.TrimRight(u.String(), "/"), nil
}

// allowedBase checks an inference address that an answer named and returns it in canonical form. The credential may
// go to GitHub's own hosts over TLS on the usual port, and nowhere else: an answer is not to be trusted with the
// choice.
func allowedBase(raw, domain string) (string, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Host == "" || u.Opaque != "":
		return "", errors.New("it is no absolute URL")
	case u.User != nil:
		return "", fmt.Errorf("host %q comes with a user name", u.Hostname())
	case u.Scheme != "https":
		return "", fmt.Errorf("host %q would be reached by %s, not https", u.Hostname(), u.Scheme)
	case u.Port() != "" && u.Port() != "443", strings.HasSuffix(u.Host, ":"):
		return "", fmt.Errorf("host %q is on an unusual port", u.Host)
	case u.Path != "" && u.Path != "/", u.RawQuery != "", u.ForceQuery, u.Fragment != "":
		return "", fmt.Errorf("host %q comes with a path or query", u.Hostname())
	}
	host := strings.ToLower(u.Hostname())
	if !dnsName(host) || !strings.HasSuffix(host, ".githubcopilot.com") && (domain == "" || host != "copilot-api."+domain) {
		return "", fmt.Errorf("host %q does not belong to GitHub Copilot", host)
	}
	return "https://" + host, nil
}

// fallbackBase is the inference address of an account whose token names none.
func (s *settings) fallbackBase() string {
	switch {
	case s.domain != "":
		return "https://copilot-api." + s.domain
	case s.accountType != "":
		return "https://api." + s.accountType + ".githubcopilot.com"
	}
	return genericBase
}
