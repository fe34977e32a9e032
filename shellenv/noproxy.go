package shellenv

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// splitNoProxy reads a NO_PROXY value: entries end at commas, and in some programs at blanks.
func splitNoProxy(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' || r == '\n' || r == '\r' })
}

// mergeNoProxy returns loopback, extra and what the user has, each entry once. A domain of extra with a leading dot is
// written in both forms, since programs disagree about which of them covers sub-domains.
func mergeNoProxy(extra []string, user ...string) []string {
	list := []string{"localhost", "127.0.0.1", "::1"}
	add := func(e string) {
		if !slices.Contains(list, e) {
			list = append(list, e)
		}
	}
	for _, x := range extra {
		for _, e := range splitNoProxy(x) {
			add(e)
			if bare, ok := strings.CutPrefix(e, "."); ok && bare != "" {
				add(bare)
			}
		}
	}
	for _, u := range user {
		for _, e := range splitNoProxy(u) {
			add(e)
		}
	}
	return list
}

// warnNoProxy says which of hosts will not reach the proxy.
func warnNoProxy(list, hosts []string) []string {
	if slices.Contains(list, "*") {
		return []string{`NO_PROXY holds "*": programs will not use the proxy at all`}
	}
	var warnings []string
	for _, h := range hosts {
		for _, e := range list {
			if noProxyCovers(e, h) {
				warnings = append(warnings, fmt.Sprintf("NO_PROXY entry %.100q covers %s: requests to it will not reach detour", e, h))
				break
			}
		}
	}
	return warnings
}

// noProxyCovers reports whether at least one common program takes entry to cover host, or a part of "*.host".
func noProxyCovers(entry, host string) bool {
	entry = strings.ToLower(entry)
	if p, err := netip.ParsePrefix(entry); err == nil {
		a, err := netip.ParseAddr(host)
		return err == nil && p.Contains(a)
	}
	if i := strings.LastIndexByte(entry, ':'); i >= 0 && strings.Count(entry, ":") == 1 {
		if port := entry[i+1:]; port != "443" {
			return false
		}
		entry = entry[:i]
	}
	entry = strings.TrimPrefix(strings.TrimPrefix(entry, "*"), ".")
	host = strings.ToLower(host)
	if base, ok := strings.CutPrefix(host, "*."); ok {
		if host = base; strings.HasSuffix(entry, "."+base) {
			return true
		}
	}
	return entry != "" && (host == entry || strings.HasSuffix(host, "."+entry))
}
