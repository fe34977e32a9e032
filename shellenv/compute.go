package shellenv

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// Params are what Compute needs to know.
type Params struct {
	// ProxyURL is the proxy, such as "http://127.0.0.1:4142"; user and password, if any, are percent-encoded.
	ProxyURL string

	// CACert is the path of the root certificate. It is used where Extra is nil.
	CACert string

	// Bundle returns the path of a file for a variable that replaces a program's roots: the certificates of the
	// existing files if there are any, else the public ones, and ours. variable is the first that needs this list;
	// Bundle is called once for each distinct list. Required.
	Bundle func(variable string, existing []string) (string, error)

	// Extra returns the path of a file for variables that add to a program's roots: the existing files and ours.
	Extra func(existing []string) (string, error)

	// NoProxy is added to loopback and to what the user has.
	NoProxy []string

	// Intercepted lists the hosts that must reach the proxy, "*.host" for sub-domains, for warnings about NO_PROXY.
	Intercepted []string

	// Configured holds certificate files that a program's own configuration names, by the variable that overrides it:
	// git's http.sslCAInfo for GIT_SSL_CAINFO. Optional.
	Configured map[string]string

	// Env looks up a variable, as os.LookupEnv. Required.
	Env func(string) (string, bool)

	// Generation tells one certificate authority from the next. Empty stands for "1".
	Generation string

	// Wget is the path of a wgetrc with a ca_certificate line, for the only common program without a variable for
	// certificates. Empty sets nothing.
	Wget string

	// NodeShim is the path of a script that Node loads first, for versions that know no proxy variables. Empty sets
	// nothing.
	NodeShim string

	// Java points the JVM at the proxy and at a trust store. Nil sets nothing.
	Java *Java
}

// Compute returns the changes that point programs at the proxy. It reads no files itself. An active environment is
// looked at as it was before it became active, except that entries added to NO_PROXY since then stay.
func Compute(p Params) (Set, error) {
	c, err := newComputation(p)
	if err != nil {
		return Set{}, err
	}
	for _, name := range []string{"HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"} {
		c.set(name, p.ProxyURL)
	}
	c.noProxy()
	c.set("NODE_USE_ENV_PROXY", "1")
	if err := c.certificates(); err != nil {
		return Set{}, err
	}
	if err := c.extras(); err != nil {
		return Set{}, err
	}
	return c.finish(), nil
}

// computation is the state of one Compute.
type computation struct {
	p       Params
	proxy   *url.URL
	old     func(string) (string, bool) // the environment as it was before detour
	out     Set
	bundles map[string]string // results of Bundle by list
	extra   map[string]string // results of Extra by list
}

func newComputation(p Params) (*computation, error) {
	if p.Bundle == nil || p.Env == nil {
		return nil, errors.New("compute environment: Bundle and Env are required")
	}
	u, err := url.Parse(p.ProxyURL)
	if err != nil || u.Hostname() == "" || (u.Scheme != "http" && u.Scheme != "https") || hasControl(p.ProxyURL) {
		return nil, errors.New("compute environment: the proxy URL is not an http URL with a host") // it may hold a password
	}
	if p.Generation == "" {
		p.Generation = "1"
	}
	if hasControl(p.Generation) {
		return nil, errors.New("compute environment: the generation holds control characters")
	}
	if p.Extra == nil {
		p.Extra = func([]string) (string, error) { return p.CACert, nil }
	}
	return &computation{p: p, proxy: u, old: Original(p.Env), bundles: map[string]string{}, extra: map[string]string{}}, nil
}

func (c *computation) set(name, value string) {
	_, present := c.p.Env(name)
	c.out.Vars = append(c.out.Vars, Var{Name: name, Value: value, present: present})
}

// before returns the user's value of a variable, "" also if that value can only be ours: left over from an environment
// whose bookkeeping was lost.
func (c *computation) before(name string) (string, bool) {
	v, ok := c.old(name)
	if ok && v == c.p.ProxyURL {
		return "", false
	}
	return v, ok
}

func (c *computation) noProxy() {
	var user []string
	for _, look := range []func(string) (string, bool){c.old, c.p.Env} {
		for _, name := range []string{"NO_PROXY", "no_proxy"} {
			v, _ := look(name)
			user = append(user, v)
		}
	}
	list := mergeNoProxy(c.p.NoProxy, user...)
	value := strings.Join(list, ",")
	c.set("NO_PROXY", value)
	c.set("no_proxy", value)
	c.out.Warnings = append(c.out.Warnings, warnNoProxy(list, c.p.Intercepted)...)
}

// certificates sets the variables of the table.
func (c *computation) certificates() error {
	for _, v := range caVars() {
		own, set := c.before(v.name)
		if v.ifSet && (!set || !isPath(own)) {
			continue
		}
		path, err := c.file(v)
		if err != nil {
			return fmt.Errorf("certificates for %s: %w", v.name, err)
		}
		if path == "" || hasControl(path) {
			return fmt.Errorf("certificates for %s: path is empty or holds control characters", v.name)
		}
		c.set(v.name, path)
	}
	return nil
}

// file returns the value for v, merged with the file that the program uses now.
func (c *computation) file(v caVar) (string, error) {
	var existing []string
	candidates := []string{c.p.Configured[v.name]}
	for _, name := range v.before {
		value, _ := c.before(name)
		candidates = append(candidates, value)
	}
	own, _ := c.before(v.name)
	for _, f := range slices.Insert(candidates, 0, own) {
		if isPath(f) {
			existing = []string{f}
			break
		}
	}
	key := strings.Join(existing, "\x00")
	cache, build := c.bundles, func() (string, error) { return c.p.Bundle(v.name, existing) }
	if v.kind == extra {
		cache, build = c.extra, func() (string, error) { return c.p.Extra(existing) }
	}
	if path, ok := cache[key]; ok {
		return path, nil
	}
	path, err := build()
	if err == nil {
		cache[key] = path
	}
	return path, err
}

// finish drops nothing the user had: it saves what is replaced, and takes back what an earlier activation set and this
// one does not.
func (c *computation) finish() Set {
	var names []string
	for _, v := range c.out.Vars {
		names = append(names, v.Name)
	}
	var stale []string
	for _, n := range active(c.p.Env) {
		if !slices.Contains(names, n) {
			stale = append(stale, n)
		}
	}
	c.out.restore(c.p.Env, stale)
	for _, n := range names {
		if v, ok := c.before(n); ok {
			c.set(oldPrefix+n, v)
		} else if _, ok := c.p.Env(oldPrefix + n); ok { // a leftover that Unset would take for the old value
			c.out.Vars = append(c.out.Vars, Var{Name: oldPrefix + n, Unset: true, present: true})
		}
	}
	c.set(varsVar, strings.Join(names, ","))
	c.set(ActiveVar, c.p.Generation)
	return c.out
}

// isPath reports whether the value of a certificate variable names a file. CONDA_SSL_VERIFY takes other words too.
func isPath(v string) bool {
	switch strings.ToLower(v) {
	case "", "0", "1", "true", "false", "yes", "no", "on", "off", "truststore":
		return false
	}
	return true
}

func hasControl(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r == 0x7f })
}
