package mitm

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

const (
	maxAuthority = 1024 // bytes of an authority as sent; an internationalised name may be longer than its ASCII form
	maxHostname  = 253  // RFC 1035 section 2.3.4, without the root's dot
	maxLabel     = 63
)

// The errors name the fault and never repeat the input, which may hold credentials.
var (
	errAuthorityLong = errors.New("longer than 1024 bytes")
	errHostMissing   = errors.New("host missing")
	errHostInvalid   = errors.New("invalid host")
	errHostNumeric   = errors.New("host ends in a number but is no IPv4 address")
	errBrackets      = errors.New("brackets must hold an IPv6 address without zone")
	errPortMissing   = errors.New("port missing")
	errPortInvalid   = errors.New("port is not a number from 1 to 65535")
)

// ParseAuthority takes the target of a CONNECT request apart (RFC 9110 section 9.3.6). The port is required. host
// comes back in its one canonical form: lower case, without trailing dot, internationalised names as A-labels (IDNA
// Lookup profile), IPv6 addresses without brackets and IPv4-mapped ones as IPv4. User information, paths, zones and
// spellings of IPv4 addresses other than four decimal numbers are errors. The canonical form parses to itself.
func ParseAuthority(s string) (host string, port int, err error) {
	host, port, err = parseHostPort(s)
	if err == nil && port == 0 {
		err = errPortMissing
	}
	if err != nil {
		return "", 0, fmt.Errorf("parse authority: %w", err)
	}
	return host, port, nil
}

// parseHostPort is ParseAuthority with an optional port: 0 when there is none, as in a Host header.
func parseHostPort(s string) (host string, port int, err error) {
	if len(s) > maxAuthority {
		return "", 0, errAuthorityLong
	}
	name, rest, bracketed := s, "", strings.HasPrefix(s, "[")
	if bracketed {
		closed := false
		name, rest, closed = strings.Cut(s[1:], "]")
		if !closed {
			return "", 0, errBrackets
		}
	} else if i := strings.IndexByte(s, ':'); i >= 0 {
		name, rest = s[:i], s[i:]
	}
	if rest != "" {
		if rest[0] != ':' {
			return "", 0, errBrackets
		}
		if port, err = parsePort(rest[1:]); err != nil {
			return "", 0, err
		}
	}
	if bracketed {
		host, err = canonicalIPv6(name)
	} else {
		host, err = canonicalName(name)
	}
	if err != nil {
		return "", 0, err
	}
	return host, port, nil
}

// parsePort returns 0 for the empty string: a colon without port is a port left out (RFC 3986 section 3.2.3).
func parsePort(s string) (int, error) {
	if s == "" {
		return 0, nil
	}
	if len(s) > 5 || !isDigits(s) {
		return 0, errPortInvalid
	}
	port, err := strconv.Atoi(s)
	if err != nil || port < 1 || port > 65535 {
		return 0, errPortInvalid
	}
	return port, nil
}

func canonicalIPv6(s string) (string, error) {
	addr, err := netip.ParseAddr(s)
	if err != nil || !addr.Is6() || addr.Zone() != "" {
		return "", errBrackets
	}
	return addr.Unmap().String(), nil
}

// canonicalName canonicalises a host name or an IPv4 address. ASCII names are checked for their letters only, because
// the IDNA profile refuses names that are in use, such as those with an underscore or with hyphens in third and fourth
// place.
func canonicalName(s string) (string, error) {
	if s == "" {
		return "", errHostMissing
	}
	if !isASCII(s) {
		if !utf8.ValidString(s) {
			return "", errHostInvalid
		}
		a, err := idna.Lookup.ToASCII(s)
		if err != nil {
			return "", errHostInvalid
		}
		s = a
	}
	s = strings.TrimSuffix(strings.ToLower(s), ".")
	if addr, err := netip.ParseAddr(s); err == nil && addr.Is4() {
		return addr.String(), nil
	}
	if !isHostname(s) {
		return "", errHostInvalid
	}
	// Some resolvers read "127.1", "0x7f.0.0.1" or "2130706433" as 127.0.0.1, past every check that goes by name.
	if isNumber(s[strings.LastIndexByte(s, '.')+1:]) {
		return "", errHostNumeric
	}
	return s, nil
}

func isHostname(s string) bool {
	if s == "" || len(s) > maxHostname {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > maxLabel {
			return false
		}
		for i := range len(label) {
			c := label[i]
			if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
				return false
			}
		}
	}
	return true
}

// isNumber reports whether inet_aton takes the label for a number.
func isNumber(label string) bool {
	if hex, ok := strings.CutPrefix(label, "0x"); ok {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return isDigits(label)
}

func isDigits(s string) bool { return strings.Trim(s, "0123456789") == "" }

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// joinAuthority is the inverse of ParseAuthority.
func joinAuthority(host string, port int) string {
	return net.JoinHostPort(host, strconv.Itoa(port))
}
