package ca

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"
)

// maxHosts bounds the constraint list: clients read it on every handshake.
const maxHosts = 512

// canonicalHost returns host as it stands in a certificate: A-labels, lower case, no trailing dot. IP addresses are
// refused, and so are names that a client could take for one (the last label is a number).
func canonicalHost(host string) (string, error) {
	h := strings.TrimSuffix(host, ".")
	if _, err := netip.ParseAddr(strings.Trim(h, "[]")); err == nil {
		return "", fmt.Errorf("%q is an IP address", host)
	}
	h, err := idna.Lookup.ToASCII(h)
	if err != nil {
		return "", fmt.Errorf("%q is not a host name: %w", host, err)
	}
	if h == "" || len(h) > 253 {
		return "", fmt.Errorf("%q is not a host name: its length is %d", host, len(h))
	}
	var last string
	for last = range strings.SplitSeq(h, ".") {
		if last == "" || len(last) > 63 {
			return "", fmt.Errorf("%q is not a host name: a label has %d characters", host, len(last))
		}
	}
	if strings.Trim(last, "0123456789") == "" {
		return "", fmt.Errorf("%q is not a host name: its last label is a number", host)
	}
	return h, nil
}

// constraintHosts returns the names to permit: canonical, sorted, each once. It reports every name that cannot be
// one. A name constraint covers all names below it, so a whole registry ("com", "co.uk") would undo the purpose of
// having constraints.
func constraintHosts(hosts []string) ([]string, error) {
	if len(hosts) == 0 {
		return nil, errors.New("no host to permit")
	}
	if len(hosts) > maxHosts {
		return nil, fmt.Errorf("%d hosts to permit, the most is %d", len(hosts), maxHosts)
	}
	var out []string
	var errs []error
	for _, h := range hosts {
		c, err := canonicalHost(h)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if suffix, icann := publicsuffix.PublicSuffix(c); icann && suffix == c {
			errs = append(errs, fmt.Errorf("%q is a public suffix, it would permit every site below it", h))
			continue
		}
		out = append(out, c)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}
