package config

import (
	"net/netip"
	"slices"
	"strings"
)

// crossCheck finds mistakes that lie between settings.
func crossCheck(f *parsed) []Problem {
	var out []Problem
	c := f.config
	add := func(message, suggestion string, names ...string) {
		p := Problem{Key: names[0], Message: message, Suggestion: suggestion}
		for _, name := range names { // the line of the last one that is written down
			if line := f.doc.lineOf(dotted(name)); line > 0 {
				p.Line, p.Key = line, name
			}
		}
		out = append(out, p)
	}
	if c.Server.Port == c.ProxyMode.Port && c.Server.Port != 0 && overlap(c.Server.Host, c.ProxyMode.Host) {
		add("server and proxy_mode cannot both listen on port "+itoa(c.Server.Port), "", "server.port", "proxy_mode.port")
	}
	pairs := []struct{ a, b, nameA, nameB string }{
		{c.Server.TLSCert, c.Server.TLSKey, "server.tls_cert", "server.tls_key"},
		{c.ProxyMode.TLSCert, c.ProxyMode.TLSKey, "proxy_mode.tls_cert", "proxy_mode.tls_key"},
		{c.ProxyMode.CA.Cert, c.ProxyMode.CA.Key, "proxy_mode.ca.cert", "proxy_mode.ca.key"},
	}
	for _, p := range pairs {
		switch {
		case p.a != "" && p.b == "":
			add("needs "+p.nameB+" beside it", "", p.nameA)
		case p.a == "" && p.b != "":
			add("needs "+p.nameA+" beside it", "", p.nameB)
		}
	}
	if c.ProxyMode.CA.Chain != "" && c.ProxyMode.CA.Cert == "" {
		add("needs proxy_mode.ca.cert beside it", "", "proxy_mode.ca.chain")
	}
	if c.Proxy.System && !c.Proxy.URL.IsZero() {
		add("proxy.system and proxy.url exclude each other", "remove one of them", "proxy.url", "proxy.system")
	}
	if len(c.Budgets) > 0 && !c.Usage.Enabled {
		c.Notices = append(c.Notices, Problem{Line: f.doc.lineOf(dotted("usage.enabled")), Key: "usage.enabled",
			Message: "is off, so budgets count from zero whenever detour is started"})
	}
	return append(append(out, aliasLoops(f)...), policyProblems(f)...)
}

// overlap reports whether listeners on a and b, at the same port, are in each other's way.
func overlap(a, b string) bool {
	if strings.EqualFold(a, b) || (IsLoopback(a) && IsLoopback(b) && (strings.EqualFold(a, "localhost") || strings.EqualFold(b, "localhost"))) {
		return true
	}
	ipA, errA := netip.ParseAddr(a)
	ipB, errB := netip.ParseAddr(b)
	if errA != nil || errB != nil {
		return errA == nil && ipA.IsUnspecified() || errB == nil && ipB.IsUnspecified()
	}
	if ipA.IsUnspecified() || ipB.IsUnspecified() {
		return ipA.Is4() == ipB.Is4() || ipA == netip.IPv6Unspecified() || ipB == netip.IPv6Unspecified()
	}
	return ipA.Unmap() == ipB.Unmap()
}

// aliasLoops reports each loop of aliases once, at its first name.
func aliasLoops(f *parsed) []Problem {
	var out []Problem
	alias := f.config.Models.Alias
	reported := map[string]bool{}
	for _, start := range sortedKeys(alias) {
		var chain []string
		for at := start; !slices.Contains(chain, at); {
			chain = append(chain, at)
			next, ok := alias[at]
			if !ok || reported[at] {
				chain = nil
				break
			}
			at = next
		}
		if len(chain) == 0 || alias[chain[len(chain)-1]] != start {
			continue // no loop, or one that is reported where it begins
		}
		for _, name := range chain {
			reported[name] = true
		}
		p := path{{"models", -1}, {"alias", -1}, {start, -1}}
		out = append(out, Problem{
			Line: f.doc.lineOf(p), Key: p.String(), Message: "the alias leads back to itself: " + strings.Join(append(chain, start), " → "),
		})
	}
	return out
}
