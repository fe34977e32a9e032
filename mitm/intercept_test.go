package mitm_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"detour/mitm"
)

// seen is what Handler got to see.
type seen struct {
	proto, url, host, user, remote, principal string
	header                                    http.Header
}

func recordRequests(c chan<- seen) http.Handler {
	return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		s := seen{proto: r.Proto, url: r.URL.String(), host: r.Host, remote: r.RemoteAddr, header: r.Header.Clone()}
		s.principal, _ = mitm.Principal(r.Context()).(string)
		if r.URL.User != nil {
			s.user = r.URL.User.Username()
			if _, ok := r.URL.User.Password(); ok {
				s.user += " with password"
			}
		}
		c <- s
	})
}

func TestInterceptedRequestIsAbsolute(t *testing.T) {
	t.Parallel()
	run(t, func(t *testing.T, v version) {
		requests := make(chan seen, 1)
		r := newRig(t, func(p *mitm.Proxy) { p.Handler = recordRequests(requests) })
		get(t, r.client(t, v), "https://"+host+"/v1/models?a=b%20c", 200)
		got := <-requests
		if want := "https://" + host + ":443/v1/models?a=b%20c"; got.url != want || got.host != host {
			t.Errorf("got %s (Host %s), want %s", got.url, got.host, want)
		}
		if major := int(got.proto[5] - '0'); major != v.major {
			t.Errorf("spoke %s", got.proto)
		}
		if ip, _, _ := net.SplitHostPort(got.remote); ip != "127.0.0.1" {
			t.Errorf("RemoteAddr is %s", got.remote)
		}
		if got.user != "" {
			t.Errorf("user %q", got.user)
		}
		get(t, r.client(t, v), "https://"+host+":8443/", 200)
		if got := <-requests; got.url != "https://"+host+":8443/" {
			t.Errorf("got %s", got.url)
		}
	})
}

func TestProxyUserReachesHandlerAndPasswordDoesNot(t *testing.T) {
	t.Parallel()
	run(t, func(t *testing.T, v version) {
		for _, authorize := range []func(context.Context, string, string) (any, bool){
			nil,
			func(_ context.Context, user, password string) (any, bool) {
				return "principal of " + user, password == "s3cret"
			},
		} {
			requests := make(chan seen, 1)
			r := newRig(t, func(p *mitm.Proxy) {
				p.Handler = recordRequests(requests)
				p.Authorize = authorize
			})
			c := r.client(t, v, "passthrough", "s3cret")
			req, _ := http.NewRequest("GET", "https://"+host+"/", nil)
			req.Header.Set("Proxy-Authorization", "Basic sent-by-mistake")
			resp, err := c.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			want := ""
			if authorize != nil {
				want = "principal of passthrough"
			}
			if got := <-requests; got.user != "passthrough" || got.principal != want || strings.Contains(fmt.Sprint(got), "s3cret") || strings.Contains(fmt.Sprint(got), "mistake") {
				t.Errorf("got %+v", got)
			}
			if strings.Contains(r.logs.String(), "s3cret") {
				t.Error("the log holds the password")
			}
		}
	})
}

func TestHostOtherThanConnectGets421(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, connect, host string
		status              int
	}{
		{"same", "", host, 200},
		{"with default port", "", host + ":443", 200},
		{"upper case", "", strings.ToUpper(host), 200},
		{"trailing dot", "", host + ".", 200},
		{"empty port", "", host + ":", 200},
		{"other host", "", "other.intercepted.test", 421},
		{"sub-host", "", "x." + host, 421},
		{"other port", "", host + ":8443", 421},
		{"port of http", "", host + ":80", 421},
		{"port left out", ":8443", host, 421},
		{"port given", ":8443", host + ":8443", 200},
		{"not a host", "", "a b", 400},
	}
	run(t, func(t *testing.T, v version) {
		r := newRig(t, nil)
		c := r.client(t, v)
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				if strings.Contains(tt.host, " ") {
					t.Skip("a Go client does not send it")
				}
				req, _ := http.NewRequest("GET", "https://"+host+tt.connect+"/", nil)
				req.Host = tt.host
				resp, err := c.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				if resp.StatusCode != tt.status {
					t.Errorf("got %s, want %d", resp.Status, tt.status)
				}
			})
		}
	})
}

func TestAbsoluteFormInsideInterception(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	for target, status := range map[string]int{
		"https://" + host + "/":     200,
		"https://" + host + ":443/": 200,
		"http://" + host + "/":      421,
		"https://other.test/":       421,
	} {
		c := tls.Client(r.connect(t, host+":443", 200), r.ca.clientConfig(host))
		fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", target, host)
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != status {
			t.Errorf("%s: got %s, want %d", target, resp.Status, status)
		}
	}
}

func TestConnectInsideInterceptionIsRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	c := tls.Client(r.connect(t, host+":443", 200), r.ca.clientConfig(host))
	fmt.Fprintf(c, "CONNECT %s:443 HTTP/1.1\r\nHost: %s:443\r\n\r\n", host, host)
	if line := readHead(t, c); !strings.HasPrefix(line, "HTTP/1.1 501") {
		t.Error(line)
	}
}

// A port-80 CONNECT carries plain HTTP; some clients send one even for http:// URLs.
func TestPlainHTTPInsideInterceptedConnect(t *testing.T) {
	t.Parallel()
	for name, pipelined := range map[string]bool{"after the answer": false, "with the connect": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			requests := make(chan seen, 1)
			r := newRig(t, func(p *mitm.Proxy) { p.Handler = recordRequests(requests) })
			request := "GET /x HTTP/1.1\r\nHost: " + host + "\r\n\r\n"
			var c net.Conn
			if pipelined {
				c = r.dial(t)
				fmt.Fprintf(c, "CONNECT %s:80 HTTP/1.1\r\nHost: %s:80\r\n\r\n%s", host, host, request)
				readHead(t, c)
			} else {
				c = r.connect(t, host+":80", 200)
				io.WriteString(c, request)
			}
			if line := readHead(t, c); line != "HTTP/1.1 200 OK" {
				t.Error(line)
			}
			if got := <-requests; got.url != "http://"+host+":80/x" {
				t.Errorf("got %s", got.url)
			}
		})
	}
}

func TestGarbageInsideInterceptedConnectIsRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	for name, raw := range map[string]string{
		"ssh":         "SSH-2.0-OpenSSH_9.2\r\n\r\n",
		"h2 by guess": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"zeros":       "\x00\x00\x00\x00\r\n\r\n",
		"broken tls":  "\x16\x03\x01\xff\xff\xff\xff",
		"no host":     "GET / HTTP/1.1\r\n\r\n",
		"two hosts":   "GET / HTTP/1.1\r\nHost: " + host + "\r\nHost: b\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := r.connect(t, host+":80", 200)
			io.WriteString(c, raw)
			_ = c.CloseWrite()
			b, _ := io.ReadAll(c)
			if s := string(b); strings.Contains(s, " 200 ") {
				t.Errorf("got %q", s)
			}
		})
	}
}

// pipelined sends a CONNECT head together with the first bytes of TLS, before any answer.
type pipelined struct {
	net.Conn
	t    *testing.T
	head string
	once sync.Once
}

func (c *pipelined) Write(p []byte) (int, error) {
	if c.head == "" {
		return c.Conn.Write(p)
	}
	n := len(c.head)
	b := append([]byte(c.head), p...)
	c.head = ""
	m, err := c.Conn.Write(b)
	return m - n, err
}

func (c *pipelined) Read(p []byte) (int, error) {
	c.once.Do(func() { readHead(c.t, c.Conn) })
	return c.Conn.Read(p)
}

func TestClientHelloInThePacketOfTheConnect(t *testing.T) {
	t.Parallel()
	run(t, func(t *testing.T, v version) {
		r := newRig(t, nil)
		c := r.client(t, v)
		tr := c.Transport.(*http.Transport)
		tr.Proxy = nil
		tr.DialContext = func(context.Context, string, string) (net.Conn, error) {
			return &pipelined{
				Conn: r.dial(t), t: t, head: fmt.Sprintf("CONNECT %s:443 HTTP/1.1\r\nHost: %s:443\r\n\r\n", host, host),
			}, nil
		}
		if got := get(t, c, "https://"+host+"/", 200); got != "handled" {
			t.Errorf("got %q", got)
		}
	})
}

func TestInterceptNeedsHandlerAndCertificates(t *testing.T) {
	t.Parallel()
	l := listen(t)
	p := &mitm.Proxy{Intercept: func(string, int) bool { return true }}
	if err := p.Serve(l); err == nil || err == http.ErrServerClosed {
		t.Errorf("Serve = %v", err)
	}
	if _, err := l.Accept(); err == nil {
		t.Error("the listener is open")
	}
}

// The zero Proxy is a plain forward proxy.
func TestZeroProxy(t *testing.T) {
	t.Parallel()
	addr := serveHTTP(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "origin") })
	r := &rig{Proxy: new(mitm.Proxy), logs: new(logBook)}
	l := listen(t)
	r.addr = l.Addr().String()
	r.serve(t, l)
	tr := &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: r.addr})}
	t.Cleanup(tr.CloseIdleConnections)
	if got := get(t, &http.Client{Transport: tr, Timeout: patience}, "http://"+addr+"/", 200); got != "origin" {
		t.Errorf("forwarded: %q", got)
	}
	c := r.connect(t, addr, 200)
	fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", addr)
	if got := readAll(t, c); !strings.HasSuffix(got, "origin") {
		t.Errorf("tunnelled: %q", got)
	}
}
