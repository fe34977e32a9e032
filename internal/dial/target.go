package dial

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

// target is a canonical "host:port": the host is lower-case ASCII without a trailing dot, or an address.
type target struct {
	host string     // a name, or the text of addr
	addr netip.Addr // set if host is an address; v4-mapped forms are unmapped, a zone is kept
	port uint16     // never 0
}

func (t target) String() string { return net.JoinHostPort(t.host, strconv.Itoa(int(t.port))) }

// local reports whether t names this machine whatever a resolver says (RFC 6761, section 6.3).
func (t target) local() bool {
	if t.addr.IsValid() {
		return t.addr.IsLoopback() || t.addr.IsUnspecified()
	}
	return t.host == "localhost" || strings.HasSuffix(t.host, ".localhost")
}

// at returns t at another address.
func (t target) at(a netip.Addr) target {
	a = a.Unmap()
	return target{host: a.String(), addr: a, port: t.port}
}

// parseTarget reads "host:port"; the port must be a number.
func parseTarget(s string) (target, error) {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return target{}, fmt.Errorf("parse address %s: want host:port", quote(s))
	}
	p, err := parsePort(port)
	if err != nil {
		return target{}, fmt.Errorf("parse address %s: %w", quote(s), err)
	}
	t, err := parseHost(host)
	if err != nil {
		return target{}, fmt.Errorf("parse address %s: %w", quote(s), err)
	}
	t.port = p
	return t, nil
}

func parsePort(s string) (uint16, error) {
	p, err := strconv.ParseUint(s, 10, 16)
	if err != nil || p == 0 {
		return 0, errors.New("port must be a number from 1 to 65535")
	}
	return uint16(p), nil
}

// parseHost canonicalises a host without a port. An empty host is refused: package net would take it for localhost.
func parseHost(s string) (target, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		if strings.ContainsFunc(a.Zone(), func(r rune) bool { return r <= ' ' || r > '~' || r == ']' }) {
			return target{}, errors.New("zone is not the name of an interface")
		}
		a = a.Unmap()
		return target{host: a.String(), addr: a}, nil
	}
	s = strings.TrimSuffix(s, ".")
	for i := range len(s) {
		if s[i] < 0x80 {
			continue
		}
		a, err := idna.Lookup.ToASCII(s)
		if err != nil || !utf8.ValidString(s) { // idna would look up U+FFFD
			return target{}, errors.New("host is not a valid internationalised name")
		}
		s = a
		break
	}
	s = strings.ToLower(s)
	if !validName(s) {
		return target{}, errors.New("host is not a name or an IP address")
	}
	return target{host: s}, nil
}

// validName accepts the names that DNS carries in practice, underscores included (RFC 2181, section 11). Nothing it
// accepts can end a line or a field of a proxy request.
func validName(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	label := 0
	for i := range len(s) {
		switch c := s[i]; {
		case c == '.':
			if label == 0 {
				return false
			}
			label = 0
			continue
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_':
			label++
		default:
			return false
		}
		if label > 63 {
			return false
		}
	}
	return label > 0
}

// quote shows untrusted text in an error: escaped and bounded.
func quote(s string) string {
	if len(s) > 100 {
		s = s[:100] + "..."
	}
	return strconv.QuoteToASCII(s)
}
