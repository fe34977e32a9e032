package shellenv

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Java describes a trust store that holds the JVM's roots and ours.
type Java struct {
	TrustStore string // path
	Type       string // "PKCS12" if empty
	Password   string // of the trust store; it protects public certificates only and is visible to every process of the user
}

// extras sets what is only set on request.
func (c *computation) extras() error {
	if slices.ContainsFunc([]string{c.p.Wget, c.p.NodeShim}, hasControl) {
		return errors.New("compute environment: path holds control characters")
	}
	if c.p.Wget != "" {
		c.set("WGETRC", c.p.Wget)
	}
	if c.p.NodeShim != "" {
		c.append("NODE_OPTIONS", "--require "+quoteNode(c.p.NodeShim))
	}
	if c.p.Java == nil {
		return nil
	}
	options, err := c.javaOptions()
	if err != nil {
		return fmt.Errorf("compute JAVA_TOOL_OPTIONS: %w", err)
	}
	c.append("JAVA_TOOL_OPTIONS", options)
	if c.proxy.User != nil {
		c.out.Warnings = append(c.out.Warnings, "the JVM has no setting for a proxy password: Java programs will be refused by the proxy")
	}
	return nil
}

// append adds to the words that the user has in a variable.
func (c *computation) append(name, words string) {
	if old, ok := c.before(name); ok && strings.TrimSpace(old) != "" {
		words = old + " " + words
	}
	c.set(name, words)
}

// quoteNode quotes a word of NODE_OPTIONS: double quotes, in which a backslash escapes.
func quoteNode(s string) string {
	if !strings.ContainsAny(s, ` "\`) {
		return s
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// javaOptions returns system properties for HttpURLConnection and java.net.http. JAVA_TOOL_OPTIONS is split at blanks
// outside quotes of either kind, and knows no escapes (JVM TI, "JAVA_TOOL_OPTIONS").
func (c *computation) javaOptions() (string, error) {
	port := c.proxy.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[c.proxy.Scheme]
	}
	kind := c.p.Java.Type
	if kind == "" {
		kind = "PKCS12"
	}
	properties := [][2]string{
		{"https.proxyHost", c.proxy.Hostname()},
		{"https.proxyPort", port},
		{"http.proxyHost", c.proxy.Hostname()},
		{"http.proxyPort", port},
		{"http.nonProxyHosts", "localhost|127.*|[::1]"},
		{"javax.net.ssl.trustStore", c.p.Java.TrustStore},
		{"javax.net.ssl.trustStoreType", kind},
	}
	if c.p.Java.Password != "" {
		properties = append(properties, [2]string{"javax.net.ssl.trustStorePassword", c.p.Java.Password})
	}
	var words []string
	for _, p := range properties {
		word := "-D" + p[0] + "=" + p[1]
		switch {
		case p[1] == "" || hasControl(p[1]) || strings.Contains(p[1], `"`) && strings.Contains(p[1], "'"):
			return "", fmt.Errorf("%s cannot be written there", p[0])
		case strings.Contains(p[1], `"`):
			word = "'" + word + "'"
		case strings.ContainsAny(p[1], " '|*[]"):
			word = `"` + word + `"`
		}
		words = append(words, word)
	}
	return strings.Join(words, " "), nil
}
