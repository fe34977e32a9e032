package dial

import "errors"

// systemProxies reads the proxy variables. Lower case wins over upper case, as in curl and Go; all_proxy stands in for
// a variable that is not set. Values that point at our own listeners are passed over.
func systemProxies(env func(string) string, self selfSet) (https, http *upstream, noProxy string, err error) {
	first := func(names ...string) (*upstream, error) {
		for _, n := range names {
			v := env(n)
			if v == "" {
				continue
			}
			up, err := parseUpstream(n, v)
			if err != nil {
				return nil, err
			}
			if !self.has(up.addr) {
				return up, nil
			}
		}
		return nil, nil
	}
	https, err1 := first("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
	http, err2 := first("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")
	if noProxy = env("no_proxy"); noProxy == "" {
		noProxy = env("NO_PROXY")
	}
	return https, http, noProxy, errors.Join(err1, err2)
}
