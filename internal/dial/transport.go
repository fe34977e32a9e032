package dial

import (
	"context"
	"crypto/rand"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Transport returns a new transport that dials by d's rules; a nil p means HTTP/1 and HTTP/2. Bodies arrive as they
// were sent: nothing is decompressed. There is no limit on the time until a response starts or ends, callers bring
// their own; dead HTTP/2 connections are found by pings. The caller owns it and calls CloseIdleConnections at the end.
//
// An http:// request goes to an http or https proxy in absolute form (RFC 9112, section 3.2.2), because many proxies
// refuse CONNECT to port 80; the proxy's own errors then arrive as ordinary responses. With the guard on it takes a
// tunnel to the checked address all the same, since in absolute form the proxy would resolve the name again.
func (d *Dialer) Transport(p *http.Protocols) *http.Transport {
	var protocols http.Protocols
	if p != nil {
		protocols = *p
	} else {
		protocols.SetHTTP1(true)
		protocols.SetHTTP2(true)
	}
	t := &http.Transport{
		DialContext:           d.DialContext,
		TLSClientConfig:       d.tls.Clone(),
		TLSHandshakeTimeout:   10 * time.Second,
		DisableCompression:    true,
		MaxIdleConns:          0, // no limit over all hosts
		MaxIdleConnsPerHost:   256,
		IdleConnTimeout:       90 * time.Second,
		ExpectContinueTimeout: time.Second,
		Protocols:             &protocols,
		HTTP2:                 &http.HTTP2Config{SendPingTimeout: 20 * time.Second, PingTimeout: 15 * time.Second},
	}
	if d.http != nil && d.http.isHTTP() && d.guard == nil {
		d.addAbsoluteForm(t)
	}
	return t
}

// addAbsoluteForm makes t send http:// requests to the proxy d.http. net/http dials the proxy through DialContext,
// like any target; a name that nobody can guess tells the two apart and leaves TLS to the proxy in our hands.
func (d *Dialer) addAbsoluteForm(t *http.Transport) {
	marker := strings.ToLower(rand.Text()) + ".invalid"
	via := &url.URL{Scheme: "http", Host: marker + ":80", User: d.http.userinfo()}
	t.Proxy = func(r *http.Request) (*url.URL, error) {
		if r.URL.Scheme != "http" {
			return nil, nil
		}
		addr := r.URL.Host
		if r.URL.Port() == "" {
			addr = net.JoinHostPort(r.URL.Hostname(), "80")
		}
		to, err := parseTarget(addr)
		if err != nil {
			return nil, err
		}
		if _, pinned := d.pins.lookup(to); pinned || d.self.has(to) || d.bypass.direct(to) {
			return nil, nil // DialContext takes it from there
		}
		return via, nil
	}
	t.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if addr != via.Host {
			return d.DialContext(ctx, network, addr)
		}
		ctx, cancel := context.WithTimeout(ctx, d.timeout)
		defer cancel()
		return d.dialUpstream(ctx, d.http)
	}
}
