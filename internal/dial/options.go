package dial

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"time"
)

const (
	defaultTimeout = 10 * time.Second

	// Configuration keys, named in errors so that the owner finds the line to mend.
	keyProxy   = "proxy.url"
	keyNoProxy = "proxy.no_proxy"
	keyHosts   = "proxy_mode.hosts"
)

// Options describe a Dialer. The zero value dials everything directly.
type Options struct {
	// Proxy is the upstream proxy for everything that NoProxy does not cover: an http, https, socks5 (names resolved
	// here) or socks5h (names resolved there) URL, with optional user and password. No scheme means http. It wins
	// over the proxies that System finds.
	Proxy string

	// System takes http_proxy, https_proxy and all_proxy (either case) from Env when New is called, and adds no_proxy
	// to NoProxy. A variable that points at one of our own listeners is passed over: detour may have been started in
	// a shell that sends everything to detour.
	System bool

	// NoProxy lists what is dialled directly: host names (which cover their sub-domains), ".domain" (sub-domains
	// only), IP addresses, CIDR prefixes, any of the first three with ":port", and "*". Loopback always is.
	NoProxy []string

	// Self lists the addresses that detour listens on, "host:port" with the real port. A wildcard host stands for
	// every address of this machine.
	Self []string

	// Hosts pins names to addresses: "api.example.com" or "api.example.com:443" to "127.0.0.1:8443"; the port of the
	// value may be left out, and then stays that of the request. The entry with a port wins.
	Hosts map[string]string

	// RootCAs is the path of a PEM file with roots to trust beside those of the system, for TLS made here: to the
	// hosts that Transport reaches and to an https proxy.
	RootCAs string

	// Guard refuses targets in private, loopback, link-local, multicast and other special-purpose networks.
	Guard bool

	// AllowPrivate lists networks that Guard lets through.
	AllowPrivate []netip.Prefix

	// Timeout limits one dial, proxy handshake included. Zero means 10 seconds.
	Timeout time.Duration

	// Env looks up environment variables for System. Nil means os.Getenv.
	Env func(string) string

	// Resolver resolves names. Nil means net.DefaultResolver.
	Resolver *net.Resolver
}

// Format implements fmt.Formatter: Proxy may hold a password, so only what cannot hold one is printed.
func (o Options) Format(f fmt.State, _ rune) {
	proxy := ""
	if o.Proxy != "" {
		proxy = "***"
	}
	_, _ = fmt.Fprintf(f, "dial.Options{Proxy:%s System:%t NoProxy:%q Self:%q Guard:%t}", proxy, o.System, o.NoProxy, o.Self, o.Guard)
}

// LogValue implements slog.LogValuer.
func (o Options) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(o)) }
