package dial

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// SelfError says that a target, or the upstream proxy, is one of detour's own listeners.
type SelfError struct {
	Addr string // what was asked for, "host:port"
}

func (e *SelfError) Error() string {
	return "refuse " + e.Addr + ": it is an address that detour itself listens on"
}

// GuardError says that the egress guard refused an address.
type GuardError struct {
	Host  string     // what was asked for, without the port
	Addr  netip.Addr // the address that was about to be dialled
	Class string     // what kind of network it is in, such as "private" or "link-local"
}

func (e *GuardError) Error() string {
	if e.Host == e.Addr.String() {
		return fmt.Sprintf("refuse %s: %s address", e.Host, e.Class)
	}
	return fmt.Sprintf("refuse %s: it resolves to the %s address %s", e.Host, e.Class, e.Addr)
}

// ProxyError says that the upstream proxy could not be reached or did not connect us. It never holds credentials.
type ProxyError struct {
	Proxy  string // "scheme://host:port"
	Target string // "host:port" that was asked for; empty if the proxy itself was to be reached
	Status int    // HTTP status that the proxy answered with; 0 if it gave none
	Reason string // the proxy's reason, printable and short
	Hint   string // what the owner can do about it, if that is known
	Err    error  // the cause, if Status is 0
}

func (e *ProxyError) Error() string {
	var b strings.Builder
	b.WriteString("connect ")
	if e.Target != "" {
		b.WriteString("to " + e.Target + " ")
	}
	b.WriteString("through proxy " + e.Proxy + ": ")
	switch {
	case e.Status != 0:
		b.WriteString("it answered " + strconv.Itoa(e.Status))
		if e.Reason != "" {
			b.WriteString(" " + e.Reason)
		}
	case e.Err != nil:
		b.WriteString(e.Err.Error())
	}
	if e.Hint != "" {
		b.WriteString(" (" + e.Hint + ")")
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *ProxyError) Unwrap() error { return e.Err }
