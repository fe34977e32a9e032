package dial

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
)

// pinSet maps canonical targets to where they are dialled. A key with port 0 stands for every port, a value with
// port 0 keeps the port of the request.
type pinSet map[target]target

func newPinSet(hosts map[string]string) (pinSet, error) {
	p := make(pinSet, len(hosts))
	var errs []error
	for _, k := range slices.Sorted(maps.Keys(hosts)) {
		from, err := parseOptionalPort(k)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: key %s: %w", keyHosts, quote(k), err))
			continue
		}
		to, err := parseOptionalPort(hosts[k])
		if err != nil {
			errs = append(errs, fmt.Errorf("%s.%s: %s: %w", keyHosts, quote(k), quote(hosts[k]), err))
			continue
		}
		if old, ok := p[from]; ok && old != to {
			errs = append(errs, fmt.Errorf("%s.%s: the same host is pinned twice", keyHosts, quote(k)))
			continue
		}
		p[from] = to
	}
	return p, errors.Join(errs...)
}

// lookup returns where t is to be dialled.
func (p pinSet) lookup(t target) (target, bool) {
	port := t.port
	to, ok := p[t]
	if !ok {
		t.port = 0
		to, ok = p[t]
	}
	if to.port == 0 {
		to.port = port
	}
	return to, ok
}

// parseOptionalPort reads "host", "host:port", "addr", "[v6]" or "[v6]:port".
func parseOptionalPort(s string) (target, error) {
	if inner, ok := strings.CutPrefix(s, "["); ok {
		if inner, ok = strings.CutSuffix(inner, "]"); ok {
			return parseHost(inner)
		}
	}
	if strings.Count(s, ":") != 1 && !strings.HasPrefix(s, "[") {
		return parseHost(s)
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return target{}, errors.New("want host or host:port")
	}
	t, err := parseHost(host)
	if err != nil {
		return target{}, err
	}
	t.port, err = parsePort(port)
	return t, err
}
