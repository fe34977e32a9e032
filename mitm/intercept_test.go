package mitm_test

import (
	"bufio"
	"bytes"
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
	proto, url, host, user, remote string
	header                         http.Header
}

func recordRequests(c chan<- seen) http.Handler {
	return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		s := seen{proto: r.Proto, url: r.URL.String(), host: r.Host, remote: r.RemoteAddr, header: r.Header.Clone()}
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
		for _, authorize := range []func(context.Context, string, string) bool{
			nil,
			func(_ context.Context, _, password string) bool { return password == "s3cret" },
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
			if got := <-requests; got.user != "passthrough" || strings.Contains(fmt.Sprint(got), "s3cret") || strings.Contains(fmt.Sprint(got), "mistake") {
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

func TestExpectContinue(t *testing.T) {
	t.Parallel()
	run(t, func(t *testing.T, v version) {
		r := newRig(t, func(p *mitm.Proxy) { p.Handler = http.HandlerFunc(copyBody) })
		req, _ := http.NewRequest("POST", "https://"+host+"/", strings.NewReader("body"))
		req.Header.Set("Expect", "100-continue") // the client sends the body after 100, or after its patience
		resp, err := r.client(t, v).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if got := readAll(t, resp.Body); got != "body" {
			t.Errorf("got %q", got)
		}
	})
}

// copyBody reads all before it writes: over HTTP/1.1 net/http takes the first bytes of an answer for the end of reading.
func copyBody(w http.ResponseWriter, r *http.Request) {
	if b, err := io.ReadAll(r.Body); err == nil {
		_, _ = w.Write(b)
	}
}

func TestTrailersBothWays(t *testing.T) {
	t.Parallel()
	run(t, func(t *testing.T, v version) {
		r := newRig(t, func(p *mitm.Proxy) {
			p.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Trailer", "X-Sum")
				copyBody(w, r)
				w.Header().Set("X-Sum", "of "+r.Trailer.Get("X-Sum"))
			})
		})
		req, _ := http.NewRequest("POST", "https://"+host+"/", io.MultiReader(strings.NewReader("body")))
		req.Trailer = http.Header{"X-Sum": {"17"}}
		resp, err := r.client(t, v).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if got := readAll(t, resp.Body); got != "body" || resp.Trailer.Get("X-Sum") != "of 17" {
			t.Errorf("got %q, trailer %v", got, resp.Trailer)
		}
	})
}

// An event is in the client's hands before the handler writes the next one.
func TestInvariant4_EventReachesClientBeforeTheNextIsWritten(t *testing.T) {
	t.Parallel()
	run(t, func(t *testing.T, v version) {
		next := make(chan struct{})
		r := newRig(t, func(p *mitm.Proxy) { p.Handler = eventStream(next) })
		checkEvents(t, r.client(t, v), "https://"+host+"/", next)
	})
}

// eventStream writes the next event when it is told that the last one has arrived.
func eventStream(next <-chan struct{}) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_ = http.NewResponseController(w).Flush()
		for i := range 5 {
			select {
			case <-next:
			case <-r.Context().Done():
				return
			}
			fmt.Fprintf(w, "data: %d\n\n", i)
			_ = http.NewResponseController(w).Flush()
		}
	}
}

func checkEvents(t *testing.T, c *http.Client, url string, next chan<- struct{}) {
	t.Helper()
	resp, err := c.Get(url) // returns with the head, before any event
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	br := bufio.NewReader(resp.Body)
	for i := range 5 {
		next <- struct{}{}
		line, err := br.ReadString('\n')
		if want := fmt.Sprintf("data: %d\n", i); err != nil || line != want {
			t.Fatalf("got %q, %v; want %q", line, err, want)
		}
		_, _ = br.ReadString('\n')
	}
	if _, err := br.ReadByte(); err != io.EOF {
		t.Errorf("end: %v", err)
	}
}

func TestCancelReachesHandler(t *testing.T) {
	t.Parallel()
	run(t, func(t *testing.T, v version) {
		started, ended := make(chan struct{}), make(chan error, 1)
		r := newRig(t, func(p *mitm.Proxy) {
			p.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				_ = http.NewResponseController(w).Flush()
				close(started)
				<-r.Context().Done()
				ended <- r.Context().Err()
			})
		})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		req, _ := http.NewRequestWithContext(ctx, "POST", "https://"+host+"/", strings.NewReader("x"))
		resp, err := r.client(t, v).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		wait(t, started, "request")
		cancel()
		if err := wait(t, ended, "end of the handler's context"); err != context.Canceled {
			t.Errorf("got %v", err)
		}
	})
}

func TestPanicInHandlerEndsOneExchange(t *testing.T) {
	t.Parallel()
	run(t, func(t *testing.T, v version) {
		r := newRig(t, func(p *mitm.Proxy) {
			p.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch r.URL.Path {
				case "/panic":
					_, _ = io.WriteString(w, "half")
					_ = http.NewResponseController(w).Flush()
					panic("handler broke")
				case "/abort":
					panic(http.ErrAbortHandler)
				}
			})
		})
		c := r.client(t, v)
		if resp, err := c.Get("https://" + host + "/panic"); err == nil {
			if b, err := io.ReadAll(resp.Body); err == nil {
				t.Errorf("a clean end after %q", b)
			}
			resp.Body.Close()
		}
		if _, err := c.Get("https://" + host + "/abort"); err == nil {
			t.Error("an answer to an aborted request")
		}
		get(t, c, "https://"+host+"/", 200)
		line := r.logs.wait(t, "handler panicked")
		if line["panic"] != "handler broke" || line["level"] != "ERROR" || !strings.Contains(fmt.Sprint(line["stack"]), "intercept_test.go") {
			t.Errorf("log: %v", line)
		}
		if n := strings.Count(r.logs.String(), "handler panicked"); n != 1 {
			t.Errorf("%d panics logged; http.ErrAbortHandler is none", n)
		}
	})
}

func TestOversizedInnerHeadGets431(t *testing.T) {
	t.Parallel()
	run(t, func(t *testing.T, v version) {
		r := newRig(t, func(p *mitm.Proxy) { p.MaxHeaderBytes = 8 << 10 })
		req, _ := http.NewRequest("GET", "https://"+host+"/", nil)
		req.Header.Set("X", strings.Repeat("x", 32<<10))
		resp, err := r.client(t, v).Do(req)
		if err != nil {
			if v.major == 2 { // the client obeys the limit that the server announced
				return
			}
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("got %s", resp.Status)
		}
	})
}

func TestWebSocketThroughInterception(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(p *mitm.Proxy) { p.Handler = http.HandlerFunc(echoWebSocket) })
	checkWebSocket(t, "wss://"+host+"/", r.client(t, http1))
	eventually(t, "the upgraded connection is forgotten", func() bool { return r.Stats().Intercepted == 0 })
}

func TestConcurrentStreams(t *testing.T) {
	t.Parallel()
	run(t, func(t *testing.T, v version) {
		const n = 200
		var all sync.WaitGroup // done when all requests are in their handlers at once
		all.Add(n)
		r := newRig(t, func(p *mitm.Proxy) {
			p.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				all.Done()
				all.Wait()
				copyBody(w, r)
			})
		})
		c := r.client(t, v)
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				want := strings.Repeat(fmt.Sprint(i, " "), 1000)
				resp, err := c.Post("https://"+host+"/", "text/plain", strings.NewReader(want))
				if err != nil {
					t.Error(err)
					return
				}
				defer resp.Body.Close()
				if b, err := io.ReadAll(resp.Body); err != nil || string(b) != want {
					t.Errorf("stream %d: %d bytes, %v", i, len(b), err)
				}
			})
		}
		wg.Wait()
	})
}

// A new connection for each request, many at a time: not one may fail.
func TestConnectionCloseStorm(t *testing.T) {
	t.Parallel()
	run(t, func(t *testing.T, v version) {
		r := newRig(t, func(p *mitm.Proxy) { p.Handler = http.HandlerFunc(copyBody) })
		c := r.client(t, v)
		const workers, each = 8, 40
		var wg sync.WaitGroup
		for range workers {
			wg.Go(func() {
				for range each {
					req, _ := http.NewRequest("POST", "https://"+host+"/", bytes.NewReader([]byte("body")))
					req.Close = true
					resp, err := c.Do(req)
					if err != nil {
						t.Error(err)
						return
					}
					b, err := io.ReadAll(resp.Body)
					resp.Body.Close()
					if err != nil || string(b) != "body" {
						t.Errorf("got %q, %v", b, err)
					}
				}
			})
		}
		wg.Wait()
		if s := r.Stats(); s.InterceptedTotal < workers*each {
			t.Errorf("%d connections for %d requests", s.InterceptedTotal, workers*each)
		}
		c.CloseIdleConnections() // the client dialled ahead of need
		eventually(t, "all connections are forgotten", func() bool { return r.Stats().Intercepted == 0 })
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
