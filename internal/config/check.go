package config

import (
	"errors"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"detour/internal/suggest"
)

// The check functions return what is wrong with one string and what to write instead, both without the string itself
// where that may hold a credential. Two empty strings mean that nothing is wrong.

func checkWord(s string) (wrong, hint string) {
	switch {
	case s == "":
		return "must not be empty", ""
	case strings.ContainsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }):
		return "must not hold spaces or control characters", ""
	}
	return "", ""
}

func checkID(s string) (wrong, hint string) {
	if len(s) > 128 {
		return "must not be longer than 128 bytes", ""
	}
	return checkWord(s)
}

func checkModel(s string) (wrong, hint string) {
	if s == "" {
		return "a model name must not be empty", ""
	}
	if strings.ContainsFunc(s, unicode.IsControl) || strings.TrimSpace(s) != s {
		return "a model name must not hold control characters or begin or end with a space", ""
	}
	return "", ""
}

// checkPath refuses control characters, because file names end up in shell variables and scripts.
func checkPath(s string) (wrong, hint string) {
	if strings.ContainsFunc(s, unicode.IsControl) {
		return "must not hold control characters", ""
	}
	return "", ""
}

func checkListen(s string) (wrong, hint string) {
	if s == "" || s == "*" {
		return "must not be empty or *", `write "0.0.0.0" to listen on every IPv4 address`
	}
	if _, err := netip.ParseAddr(s); err == nil {
		return "", ""
	}
	if host, port, err := net.SplitHostPort(s); err == nil {
		return "must be an address without a port", "write host = " + quote(host) + " and port = " + port
	}
	return checkHost(s)
}

// checkHost accepts a host name or an IP address.
func checkHost(s string) (wrong, hint string) {
	if _, err := netip.ParseAddr(s); err == nil {
		return "", ""
	}
	if strings.Contains(s, "://") {
		hint := ""
		if u, err := url.Parse(s); err == nil && u.Hostname() != "" {
			hint = "write " + quote(u.Hostname())
		}
		return "must be a host name, not a URL", hint
	}
	if host, _, err := net.SplitHostPort(s); err == nil {
		return "must be a host name without a port", "write " + quote(host)
	}
	name := strings.TrimSuffix(s, ".")
	if name == "" || len(name) > 253 {
		return quote(s) + " is not a host name", ""
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' || strings.ContainsFunc(label, notInLabel) {
			return quote(s) + " is not a host name", ""
		}
	}
	return "", ""
}

// notInLabel lets letters of any script pass: the proxy turns them into their ASCII form (IDNA).
func notInLabel(r rune) bool {
	return r != '-' && r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r)
}

// checkHostPattern accepts a host or "*." and a host name.
func checkHostPattern(s string) (wrong, hint string) {
	if base, ok := strings.CutPrefix(s, "*."); ok {
		if _, err := netip.ParseAddr(base); err == nil {
			return quote(s) + " is not a host name", ""
		}
		return checkHost(base)
	}
	return checkHost(s)
}

func checkInterceptHost(s string) (wrong, hint string) {
	if _, err := netip.ParseAddr(s); err == nil {
		return "an IP address cannot be intercepted: detour's certificates are for names only", ""
	}
	return checkHostPattern(s)
}

func checkPinHost(s string) (wrong, hint string) {
	if host, port, err := net.SplitHostPort(s); err == nil {
		if !isPort(port) {
			return quote(s) + " has no valid port", ""
		}
		s = host
	}
	return checkHost(s)
}

func checkPinAddress(s string) (wrong, hint string) {
	host, port, err := net.SplitHostPort(s)
	if err != nil || !isPort(port) {
		return quote(s) + " is not an address with a port", `write "127.0.0.1:8443"`
	}
	return checkHost(host)
}

func isPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0
}

// checkOrigin accepts scheme://host[:port] as browsers and web views send it (RFC 6454 section 6.2).
func checkOrigin(s string) (wrong, hint string) {
	if s == "*" || s == "null" {
		return "every web page could then use your accounts", "name the origins one by one"
	}
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok || scheme == "" || rest == "" {
		return quote(s) + " is not an origin", `write "http://localhost:3000"`
	}
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		return "an origin has no path", "write " + quote(scheme+"://"+rest[:i])
	}
	if strings.ToLower(s) != s || strings.ContainsAny(s, "@*\\\"'<> ") || strings.ContainsFunc(s, unicode.IsControl) {
		return "an origin is written in lower case, without user, wildcard or spaces", ""
	}
	return "", ""
}

// checkURL accepts the address of an upstream. It names no part of s, which may hold a password by mistake.
func checkURL(s string) (wrong, hint string) {
	if s == "" {
		return "", ""
	}
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
		return "is not a URL", `write it as "https://host/path"`
	}
	if u.User != nil {
		return "must not hold a user or password", ""
	}
	if u.RawQuery != "" || u.Fragment != "" {
		return "must not hold a query or fragment", ""
	}
	return "", ""
}

// checkProxyURL names no part of s, which may hold a password.
func checkProxyURL(s string) (wrong, hint string) {
	if s == "" {
		return "", ""
	}
	u, err := url.Parse(s)
	if err != nil || u.Hostname() == "" {
		return "is not a URL", `write it as "http://host:8080" or "socks5h://host:1080"; special characters in a password need %-escapes`
	}
	switch u.Scheme {
	case "http", "https", "socks5", "socks5h":
	default:
		return "has a scheme other than http, https, socks5 and socks5h", ""
	}
	if (u.Path != "" && u.Path != "/") || u.RawQuery != "" || u.Fragment != "" {
		return "must not hold a path, query or fragment", ""
	}
	return "", ""
}

// checkGlob accepts a pattern in which * stands for anything.
func checkGlob(s string) (wrong, hint string) {
	if strings.ContainsFunc(s, unicode.IsControl) || strings.TrimSpace(s) != s {
		return "must not hold control characters or begin or end with a space", ""
	}
	return "", ""
}

// checkHostGlob accepts a host in which * stands for any text. Anything else would never match.
func checkHostGlob(s string) (wrong, hint string) {
	if s == "" {
		return "", ""
	}
	if wrong, hint = checkHost(strings.ReplaceAll(s, "*", "x")); wrong != "" && strings.Contains(s, "*") {
		return "must be a host name, in which * stands for any text", ""
	}
	return wrong, hint
}

// checkPathGlob accepts the path of a request, in which * stands for any text.
func checkPathGlob(s string) (wrong, hint string) {
	if s != "" && s[0] != '/' && s[0] != '*' {
		return "a path begins with /", "write " + quote("/"+s)
	}
	return checkGlob(s)
}

// filterPattern begins a filter that is a regular expression; see package filter.
const filterPattern = "re:"

// checkFilter accepts a text to remove, or a regular expression for one.
func checkFilter(s string) (wrong, hint string) {
	expr, isPattern := strings.CutPrefix(s, filterPattern)
	switch {
	case s == "":
		return "a text to remove must not be empty", "remove the entry"
	case !isPattern:
		return "", ""
	case expr == "":
		return "a regular expression must not be empty", `write it behind re:, as in "re:(?m)^Today is .*$"`
	}
	if _, err := regexp.Compile(expr); err != nil {
		why := err.Error()
		if e, ok := errors.AsType[*syntax.Error](err); ok {
			why = strings.TrimSpace(e.Code.String() + " " + e.Expr)
		}
		return "is not a regular expression: " + why, "the syntax is RE2's: https://github.com/google/re2/wiki/Syntax; put it in single quotes, so that backslashes stay"
	}
	return "", ""
}

func checkParagraph(s string) (wrong, hint string) {
	if strings.TrimSpace(s) == "" {
		return "a paragraph must not be empty", "remove the entry"
	}
	return "", ""
}

// checkHeaderWord accepts what can be told in a header as it is.
func checkHeaderWord(s string) (wrong, hint string) {
	if len(s) > 64 || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`";,=\\`, r) }) {
		return "must have at most 64 letters, digits, dashes and the like", `write it as "keep-claude"`
	}
	return "", ""
}

// checkSegment accepts one segment of a path that no endpoint begins with.
func checkSegment(s string) (wrong, hint string) {
	switch s {
	case "", "v1", "v1beta", "-", "health", "metrics", "api", "debug", "requests", "models", "chat", "responses", "messages", "embeddings", "backend-api":
		return quote(s) + " cannot be the name of a profile", "choose a word that no path of the API begins with"
	}
	if len(s) > 64 || strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
		return "must have at most 64 lower-case letters, digits, dashes and underscores", ""
	}
	return "", ""
}

func checkTrigger(s string) (wrong, hint string) {
	return oneOf(s, []string{"quota", "overload", "error"})
}

func checkRole(s string) (wrong, hint string) { return oneOf(s, []string{"opus", "sonnet", "haiku"}) }

// HostProviders lists the names that [proxy_mode.provider_modes] takes: whose the hosts are that the proxy intercepts. A
// test of package app holds them against the router's.
func HostProviders() []string {
	return []string{"anthropic", "chatgpt", "deepseek", "gemini", "github-copilot", "openai", "opencode", "openrouter", "zai", "zhipuai"}
}

func checkHostProvider(s string) (wrong, hint string) { return oneOf(s, HostProviders()) }

// oneOf accepts one of the choices.
func oneOf(s string, choices []string) (wrong, hint string) {
	if slices.Contains(choices, s) {
		return "", ""
	}
	if n := suggest.Nearest(s, choices); n != "" {
		hint = "did you mean " + quote(n) + "?"
	}
	return quote(s) + " is not one of " + strings.Join(choices, ", "), hint
}
