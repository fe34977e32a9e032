package dial

import (
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"detour/internal/secret"
)

// upstream is a proxy that detour is told to use.
type upstream struct {
	scheme   string // http, https, socks5, socks5h
	addr     target
	user     secret.String
	password secret.String
	source   string      // configuration key or environment variable it came from
	tls      *tls.Config // for https; nil else
}

// parseUpstream reads a proxy URL. Its errors never quote the input, nor what net/url says about it: either may hold
// the password.
func parseUpstream(source, raw string) (*upstream, error) {
	if !strings.Contains(raw, "://") {
		raw = "http://" + raw
	}
	u, err := url.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: not a URL (special characters in user and password must be percent-encoded)", source)
	}
	up := &upstream{scheme: strings.ToLower(u.Scheme), source: source}
	port := ""
	switch up.scheme {
	case "http":
		port = "80"
	case "https":
		port = "443"
	case "socks5", "socks5h":
		port = "1080"
	case "socks": // what GNOME writes into all_proxy
		up.scheme, port = "socks5", "1080"
	default:
		return nil, fmt.Errorf("%s: scheme must be http, https, socks5 or socks5h", source)
	}
	if (u.Path != "" && u.Path != "/") || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("%s: only scheme, user, password, host and port are allowed", source)
	}
	if p := u.Port(); p != "" {
		port = p
	}
	if up.addr, err = parseHost(u.Hostname()); err != nil {
		return nil, fmt.Errorf("%s: host is not a name or an IP address", source)
	}
	if up.addr.port, err = parsePort(port); err != nil {
		return nil, fmt.Errorf("%s: %w", source, err)
	}
	if u.User != nil {
		password, _ := u.User.Password()
		if err := up.checkCredentials(u.User.Username(), password); err != nil {
			return nil, fmt.Errorf("%s: %w", source, err)
		}
		up.user, up.password = secret.New(u.User.Username()), secret.New(password)
	}
	return up, nil
}

// checkCredentials refuses what the proxy protocol cannot carry (RFC 7617, section 2; RFC 1929, section 2).
func (u *upstream) checkCredentials(user, password string) error {
	if strings.ContainsFunc(user+password, func(r rune) bool { return r < 0x20 || r == 0x7f }) {
		return errors.New("user and password must not hold control characters")
	}
	if u.isHTTP() {
		if strings.Contains(user, ":") {
			return errors.New("user must not hold a colon")
		}
		return nil
	}
	if user == "" || password == "" || len(user) > 255 || len(password) > 255 {
		return errors.New("socks5 wants user and password of 1 to 255 bytes each")
	}
	return nil
}

// String returns "scheme://host:port".
func (u *upstream) String() string { return u.scheme + "://" + u.addr.String() }

// isHTTP reports whether the proxy speaks HTTP, over TLS or not.
func (u *upstream) isHTTP() bool { return u.scheme == "http" || u.scheme == "https" }

// resolvesNames reports whether names are left to the proxy.
func (u *upstream) resolvesNames() bool { return u.scheme != "socks5" }

// authorization returns the Proxy-Authorization value, "" without credentials.
func (u *upstream) authorization() secret.String {
	if u.user.IsZero() && u.password.IsZero() {
		return secret.String{}
	}
	return secret.New("Basic " + base64.StdEncoding.EncodeToString([]byte(u.user.Reveal()+":"+u.password.Reveal())))
}

// userinfo is authorization in the form that net/http wants.
func (u *upstream) userinfo() *url.Userinfo {
	if u.user.IsZero() && u.password.IsZero() {
		return nil
	}
	return url.UserPassword(u.user.Reveal(), u.password.Reveal())
}
