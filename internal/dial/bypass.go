package dial

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/http/httpproxy"
)

// bypassRules say which targets are dialled directly although there is a proxy.
type bypassRules struct {
	proxyFor func(*url.URL) (*url.URL, error)
}

// newBypassRules reads the owner's list strictly and that of the environment as every other program does: leniently.
func newBypassRules(list []string, environment string) (bypassRules, error) {
	var errs []error
	for _, e := range list {
		if err := checkNoProxy(e); err != nil {
			errs = append(errs, fmt.Errorf("%s: %s: %w", keyNoProxy, quote(e), err))
		}
	}
	c := httpproxy.Config{
		HTTPSProxy: "http://proxy.invalid", // stands for "not bypassed"
		NoProxy:    strings.Join(append(slices.Clip(list), environment), ","),
	}
	return bypassRules{c.ProxyFunc()}, errors.Join(errs...)
}

func checkNoProxy(e string) error {
	switch {
	case strings.TrimSpace(e) == "":
		return errors.New("empty entry")
	case strings.ContainsAny(e, ", \t\r\n"):
		return errors.New("one host to an entry")
	case strings.Contains(e, "://"):
		return errors.New("want a host, not a URL")
	case strings.Contains(e, "/"):
		if _, err := netip.ParsePrefix(e); err != nil {
			return errors.New("not a CIDR prefix")
		}
	case e != "*" && strings.Contains(strings.TrimPrefix(e, "*."), "*"):
		return errors.New(`the only wildcards are "*" and a leading "*."`)
	}
	return nil
}

// direct reports whether t bypasses the proxy. An address with a zone means something on this machine's links only.
func (b bypassRules) direct(t target) bool {
	if t.local() || t.addr.Zone() != "" {
		return true
	}
	u, err := b.proxyFor(&url.URL{Scheme: "https", Host: t.String()})
	return err != nil || u == nil
}
