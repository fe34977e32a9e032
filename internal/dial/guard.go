package dial

import "net/netip"

// guard knows which addresses a machine on the public Internet has no business being asked for.
type guard struct {
	classes []class
	allow   []netip.Prefix
}

type class struct {
	prefix netip.Prefix
	name   string
}

// newGuard lists the special-purpose registries of RFC 6890 and its successors. The first match names the class.
func newGuard(allow []netip.Prefix) *guard {
	g := &guard{}
	for _, p := range allow {
		if a := p.Addr(); a.Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
		}
		g.allow = append(g.allow, p.Masked())
	}
	for _, c := range []struct{ prefix, name string }{
		{"0.0.0.0/32", "unspecified"},
		{"0.0.0.0/8", "this-network"},
		{"127.0.0.0/8", "loopback"},
		{"169.254.169.254/32", "metadata"},
		{"169.254.170.0/24", "metadata"},
		{"100.100.100.200/32", "metadata"},
		{"168.63.129.16/32", "metadata"},
		{"169.254.0.0/16", "link-local"},
		{"10.0.0.0/8", "private"},
		{"172.16.0.0/12", "private"},
		{"192.168.0.0/16", "private"},
		{"100.64.0.0/10", "shared"},
		{"192.0.0.0/24", "special-purpose"},
		{"192.0.2.0/24", "documentation"},
		{"192.88.99.0/24", "6to4 relay"},
		{"198.18.0.0/15", "benchmarking"},
		{"198.51.100.0/24", "documentation"},
		{"203.0.113.0/24", "documentation"},
		{"224.0.0.0/4", "multicast"},
		{"255.255.255.255/32", "broadcast"},
		{"240.0.0.0/4", "reserved"},

		{"::/128", "unspecified"},
		{"::1/128", "loopback"},
		{"fd00:ec2::/32", "metadata"},
		{"fd20:ce::254/128", "metadata"},
		{"fc00::/7", "private"},
		{"fe80::/10", "link-local"},
		{"fec0::/10", "site-local"},
		{"ff00::/8", "multicast"},
		{"2001:db8::/32", "documentation"},
		{"3fff::/20", "documentation"},
		{"2001::/23", "special-purpose"}, // Teredo, benchmarking, ORCHID
	} {
		g.classes = append(g.classes, class{netip.MustParsePrefix(c.prefix), c.name})
	}
	return g
}

// refuse returns the class that forbids a, or "".
func (g *guard) refuse(a netip.Addr) string {
	a = a.Unmap().WithZone("")
	for _, p := range g.allow {
		if p.Contains(a) {
			return ""
		}
	}
	if a.Is6() {
		v4, translated := embedded(a)
		if translated {
			return g.refuse(v4)
		}
		if v4.IsValid() {
			if name := g.refuse(v4); name != "" {
				return name
			}
		}
	}
	for _, c := range g.classes {
		if c.prefix.Contains(a) {
			return c.name
		}
	}
	if a.Is6() && a.As16()[0]>>5 != 1 { // global unicast is 2000::/3 (RFC 4291, section 2.4)
		return "reserved"
	}
	return ""
}

// embedded returns the IPv4 address that a gateway reads out of an IPv6 address, if there is one: IPv4-compatible
// (RFC 4291), NAT64 (RFC 6052), 6to4 (RFC 3056) and ISATAP (RFC 5214). translated says that a is nothing but another
// way to write it. NAT64 prefixes of local choice (RFC 8215) are outside 2000::/3 and so refused whole.
func embedded(a netip.Addr) (v4 netip.Addr, translated bool) {
	b := a.As16()
	last := netip.AddrFrom4([4]byte(b[12:]))
	switch {
	case a.IsUnspecified() || a.IsLoopback():
		return netip.Addr{}, false
	case [12]byte(b[:12]) == [12]byte{0x00, 0x64, 0xff, 0x9b}:
		return last, true
	case [12]byte(b[:12]) == [12]byte{}:
		return last, false
	case b[0] == 0x20 && b[1] == 0x02:
		return netip.AddrFrom4([4]byte(b[2:6])), false
	case b[8]&^2 == 0 && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe:
		return last, false
	}
	return netip.Addr{}, false
}
