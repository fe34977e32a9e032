package ca

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"net"
	"slices"
	"strings"
)

// oidNameConstraints is id-ce-nameConstraints, RFC 5280 section 4.2.1.10.
func oidNameConstraints() asn1.ObjectIdentifier { return asn1.ObjectIdentifier{2, 5, 29, 30} }

// allAddresses are the ranges that exclude every IP address of both families.
func allAddresses() []*net.IPNet {
	return []*net.IPNet{
		{IP: make(net.IP, net.IPv4len), Mask: make(net.IPMask, net.IPv4len)},
		{IP: make(net.IP, net.IPv6len), Mask: make(net.IPMask, net.IPv6len)},
	}
}

// constrained reports whether cert limits DNS names by permitted names, critically.
func constrained(cert *x509.Certificate) bool {
	critical := slices.ContainsFunc(cert.Extensions, func(e pkix.Extension) bool {
		return e.Critical && e.Id.Equal(oidNameConstraints())
	})
	return critical && len(cert.PermittedDNSDomains) > 0
}

// excludesAddresses reports whether cert excludes all IPv4 and IPv6 addresses.
func excludesAddresses(cert *x509.Certificate) bool {
	return !slices.ContainsFunc(allAddresses(), func(want *net.IPNet) bool {
		return !slices.ContainsFunc(cert.ExcludedIPRanges, func(have *net.IPNet) bool {
			return have.String() == want.String()
		})
	})
}

// permits reports whether the DNS name constraints of cert allow host, which must be canonical.
func permits(cert *x509.Certificate, host string) bool {
	match := func(constraint string) bool { return within(host, constraint) }
	if slices.ContainsFunc(cert.ExcludedDNSDomains, match) {
		return false
	}
	return len(cert.PermittedDNSDomains) == 0 || slices.ContainsFunc(cert.PermittedDNSDomains, match)
}

// within reports whether host satisfies a DNS constraint: it is that name or below it. A leading dot, which RFC 5280
// does not define for DNS names but company CAs write, asks for at least one more label, as in crypto/x509. The
// empty constraint is satisfied by every name.
func within(host, constraint string) bool {
	c := strings.ToLower(constraint)
	if c == "" || host == c {
		return true
	}
	if !strings.HasPrefix(c, ".") {
		c = "." + c
	}
	return len(host) > len(c) && strings.HasSuffix(host, c)
}
