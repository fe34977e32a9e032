package dial

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
)

// selfSet knows the addresses that detour listens on.
type selfSet struct {
	addrs map[netip.AddrPort]bool
	names map[target]bool // listeners given by name
	every map[uint16]bool // ports of wildcard listeners
}

func newSelfSet(list []string) (selfSet, error) {
	s := selfSet{addrs: map[netip.AddrPort]bool{}, names: map[target]bool{}, every: map[uint16]bool{}}
	var errs []error
	for _, l := range list {
		if host, port, err := net.SplitHostPort(l); err == nil && host == "" {
			l = net.JoinHostPort("0.0.0.0", port)
		}
		t, err := parseTarget(l)
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("own listener: %w", err))
		case t.addr.IsUnspecified():
			s.every[t.port] = true
		case t.addr.IsValid():
			s.addrs[netip.AddrPortFrom(t.addr.WithZone(""), t.port)] = true
		case t.local():
			s.addLoopback(t.port)
		default:
			s.names[t] = true
		}
	}
	return s, errors.Join(errs...)
}

func (s selfSet) addLoopback(port uint16) {
	s.addrs[netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port)] = true
	s.addrs[netip.AddrPortFrom(netip.IPv6Loopback(), port)] = true
}

// has reports whether a connection to t would reach one of our listeners, as far as that shows without resolving.
func (s selfSet) has(t target) bool {
	if s.names[t] {
		return true
	}
	if t.local() && !t.addr.IsLoopback() { // "localhost", or the unspecified address, which connects to loopback
		return s.every[t.port] ||
			s.addrs[netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), t.port)] ||
			s.addrs[netip.AddrPortFrom(netip.IPv6Loopback(), t.port)]
	}
	if !t.addr.IsValid() {
		return false
	}
	a := t.addr.WithZone("")
	return s.addrs[netip.AddrPortFrom(a, t.port)] || s.every[t.port] && (a.IsLoopback() || ofThisMachine(a))
}

// ofThisMachine asks for the interfaces each time: addresses come and go, and the question is only put for the ports
// that we listen on.
func ofThisMachine(a netip.Addr) bool {
	ifaddrs, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	for _, ia := range ifaddrs {
		if n, ok := ia.(*net.IPNet); ok {
			if b, ok := netip.AddrFromSlice(n.IP); ok && b.Unmap() == a {
				return true
			}
		}
	}
	return false
}
