package mitm_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"detour/mitm"
)

func TestHandshakeChoosesTheProtocol(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	tests := []struct {
		name string
		alpn []string
		want string
	}{
		{"none", nil, ""},
		{"h1", []string{"http/1.1"}, "http/1.1"},
		{"h2", []string{"h2"}, "h2"},
		{"both", []string{"h2", "http/1.1"}, "h2"},
		{"both, h1 first", []string{"http/1.1", "h2"}, "h2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := tls.Client(r.connect(t, host+":443", 200), r.ca.clientConfig(host, tt.alpn...))
			if err := c.Handshake(); err != nil {
				t.Fatal(err)
			}
			if got := c.ConnectionState().NegotiatedProtocol; got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if tt.want == "h2" {
				return
			}
			fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", host)
			if line := readHead(t, c); line != "HTTP/1.1 200 OK" {
				t.Error(line)
			}
		})
	}
}

func TestHandshakeVersions(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	for version, ok := range map[uint16]bool{tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		config := r.ca.clientConfig(host, "h2", "http/1.1")
		config.MinVersion, config.MaxVersion = version, version
		c := tls.Client(r.connect(t, host+":443", 200), config)
		if err := c.Handshake(); (err == nil) != ok {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
	}
	r.logs.wait(t, "tls handshake failed")
}

// The certificate is the CONNECT host's. The server name may only be missing or the same.
func TestHandshakeServerName(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	for name, ok := range map[string]bool{
		"": true, host: true, strings.ToUpper(host): true, "other.intercepted.test": false, "x." + host: false, "127.1": false,
	} {
		t.Run("name "+name, func(t *testing.T) {
			t.Parallel()
			config := r.ca.clientConfig(name)
			config.InsecureSkipVerify = true
			c := tls.Client(r.connect(t, host+":443", 200), config)
			err := c.Handshake()
			if !ok {
				if op, is := errors.AsType[*net.OpError](err); !is || op.Err.Error() != tls.AlertError(112).Error() {
					t.Errorf("got %v, want unrecognized_name", err)
				}
				if line := r.logs.wait(t, "server name in tls differs from connect host"); line["host"] != host {
					t.Errorf("log: %v", line)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := c.ConnectionState().PeerCertificates[0].DNSNames; len(got) != 1 || got[0] != host {
				t.Errorf("certificate for %v", got)
			}
		})
	}
}

func TestHandshakeResumes(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		config := r.ca.clientConfig(host)
		config.MaxVersion = version
		config.ClientSessionCache = tls.NewLRUClientSessionCache(4)
		for i := range 2 {
			c := tls.Client(r.connect(t, host+":443", 200), config)
			fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", host)
			resp, err := http.ReadResponse(bufio.NewReader(c), nil) // reads the ticket too
			if err != nil {
				t.Fatal(err)
			}
			readAll(t, resp.Body)
			if got := c.ConnectionState().DidResume; got != (i == 1) {
				t.Errorf("%s, connection %d: resumed %v", tls.VersionName(version), i, got)
			}
		}
		// With a ticket in hand no certificate is asked for; the name is checked all the same.
		c := tls.Client(r.connect(t, "other.intercepted.test:443", 200), config)
		if err := c.Handshake(); err == nil {
			t.Errorf("%s: resumed a session in a connection to another host", tls.VersionName(version))
		}
	}
}

func TestCertificateErrorFailsTheHandshake(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(p *mitm.Proxy) {
		p.GetCertificate = func(string) (*tls.Certificate, error) { return nil, errors.New("no key") }
	})
	c := tls.Client(r.connect(t, host+":443", 200), r.ca.clientConfig(host))
	if err := c.Handshake(); err == nil {
		t.Error("handshake succeeded")
	}
	if line := r.logs.wait(t, "tls handshake failed"); !strings.Contains(fmt.Sprint(line["err"]), "get certificate: no key") {
		t.Errorf("log: %v", line)
	}
}

const distrust = "client does not trust the ca"

func TestClientWithoutTheCAIsNamedInTheLog(t *testing.T) {
	t.Parallel()
	// What the client does once it has seen our certificate.
	tests := map[string]func(t *testing.T, c *net.TCPConn){
		"alert in tls 1.3": func(t *testing.T, c *net.TCPConn) {
			if err := tls.Client(c, &tls.Config{ServerName: host}).Handshake(); err == nil {
				t.Error("the client trusts the CA")
			}
		},
		"alert in tls 1.2": func(t *testing.T, c *net.TCPConn) {
			if err := tls.Client(c, &tls.Config{ServerName: host, MaxVersion: tls.VersionTLS12}).Handshake(); err == nil {
				t.Error("the client trusts the CA")
			}
		},
		"hangs up": func(t *testing.T, c *net.TCPConn) {
			sendHello(t, c)
			_ = c.CloseWrite()
		},
		"resets": func(t *testing.T, c *net.TCPConn) {
			sendHello(t, c)
			_ = c.SetLinger(0)
			_ = c.Close()
		},
		"unknown_ca in clear": func(t *testing.T, c *net.TCPConn) {
			sendHello(t, c)
			_, _ = c.Write([]byte{21, 3, 3, 0, 2, 2, 48})
		},
	}
	for name, behave := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			behave(t, r.connect(t, host+":443", 200))
			line := r.logs.wait(t, distrust)
			if line["level"] != "WARN" || line["host"] != host || line["hint"] == nil {
				t.Errorf("log: %v", line)
			}
			if n := strings.Count(r.logs.String(), "\n"); n != 1 {
				t.Errorf("%d lines:\n%s", n, r.logs)
			}
		})
	}
}

// sendHello sends a ClientHello for TLS 1.3 and waits for the first byte of the answer.
func sendHello(t *testing.T, c net.Conn) {
	t.Helper()
	client, server := net.Pipe()
	go func() {
		_ = tls.Client(client, &tls.Config{ServerName: host, MinVersion: tls.VersionTLS13}).Handshake()
	}()
	head := make([]byte, 5)
	if _, err := io.ReadFull(server, head); err != nil {
		t.Fatal(err)
	}
	body := make([]byte, int(head[3])<<8|int(head[4]))
	if _, err := io.ReadFull(server, body); err != nil {
		t.Fatal(err)
	}
	server.Close() // ends the handshake, and its goroutine
	if _, err := c.Write(append(head, body...)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, head[:1]); err != nil {
		t.Fatal(err)
	}
}

func TestUnusedConnectIsNoFault(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.connect(t, host+":443", 200).Close()
	if line := r.logs.wait(t, "connect closed without a byte"); line["level"] != "DEBUG" {
		t.Errorf("log: %v", line)
	}
}

func TestHelloCutShortIsNoDistrust(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	c := r.connect(t, host+":443", 200)
	_, _ = c.Write([]byte{22, 3, 1, 2, 0, 1})
	_ = c.CloseWrite()
	_, _ = io.Copy(io.Discard, c)
	r.logs.wait(t, "tls handshake failed")
	if strings.Contains(r.logs.String(), distrust) {
		t.Error(r.logs)
	}
}

// pipes is a listener of net.Pipe connections, for tests with a fake clock.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (l *pipes) dial() net.Conn {
	client, server := net.Pipe()
	l.conns <- server
	return client
}

func (l *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipes) Close() error   { close(l.done); return nil }
func (l *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes"} }

// serveInBubble runs p on l until the test ends, by when nothing may be left that needs ending.
func serveInBubble(t *testing.T, p *mitm.Proxy, l net.Listener) {
	done := make(chan error, 1)
	go func() { done <- p.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := p.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		<-done
	})
}

// A client that stalls is gone after the time that its stage allows, to the nanosecond, because the clock is fake.
func TestStalledClientIsGoneInTime(t *testing.T) {
	t.Parallel()
	connect := "CONNECT " + host + ":443 HTTP/1.1\r\nHost: " + host + ":443\r\n\r\n"
	plain := "CONNECT " + host + ":80 HTTP/1.1\r\nHost: " + host + ":80\r\n\r\n"
	tests := []struct {
		name   string
		head   string
		behind string // sent after the 200
		want   time.Duration
	}{
		{"sends nothing", "", "", 3 * time.Second},
		{"stalls in the head", "CONNECT " + host + ":443 HTTP/1.1\r\nHo", "", 3 * time.Second},
		{"sends no client hello", connect, "", 7 * time.Second},
		{"stalls in the client hello", connect, "\x16\x03\x01\x02\x00\x01", 7 * time.Second},
		{"stalls in the inner head", plain, "GET / HTTP/1.1\r\nHo", 3 * time.Second},
		{"idles in the inner connection", plain, "GET / HTTP/1.1\r\nHost: " + host + "\r\n\r\n", 50 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l := newPipes()
				p := &mitm.Proxy{
					Intercept:        func(string, int) bool { return true },
					GetCertificate:   sharedCA().certificate,
					Handler:          http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}),
					HeaderTimeout:    3 * time.Second,
					HandshakeTimeout: 7 * time.Second,
					IdleTimeout:      50 * time.Second,
				}
				serveInBubble(t, p, l)
				c := l.dial()
				t.Cleanup(func() { c.Close() })
				start := time.Now()
				if tt.head != "" {
					io.WriteString(c, tt.head)
				}
				if strings.HasSuffix(tt.head, "\r\n\r\n") {
					readHead(t, c)
				}
				if tt.behind != "" {
					io.WriteString(c, tt.behind)
				}
				_, _ = io.Copy(io.Discard, c) // until the proxy closes
				if got := time.Since(start); got != tt.want {
					t.Errorf("gone after %v, want %v", got, tt.want)
				}
			})
		})
	}
}

// The time limits are for heads and handshakes. An answer may stream for ever.
func TestNoTimeoutCutsAStream(t *testing.T) {
	t.Parallel()
	for _, scheme := range []string{"http", "https"} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l := newPipes()
				p := &mitm.Proxy{
					Intercept:      func(string, int) bool { return true },
					GetCertificate: sharedCA().certificate,
					Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
						for range 5 {
							<-time.After(time.Hour)
							_, _ = io.WriteString(w, "x")
							_ = http.NewResponseController(w).Flush()
						}
					}),
				}
				serveInBubble(t, p, l)
				port := map[string]string{"http": "80", "https": "443"}[scheme]
				c := l.dial()
				t.Cleanup(func() { c.Close() })
				io.WriteString(c, "CONNECT "+host+":"+port+" HTTP/1.1\r\nHost: "+host+"\r\n\r\n")
				readHead(t, c)
				if scheme == "https" {
					c = tls.Client(c, sharedCA().clientConfig(host))
				}
				io.WriteString(c, "GET / HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n")
				resp, err := http.ReadResponse(bufio.NewReader(c), nil)
				if err != nil {
					t.Fatal(err)
				}
				if got := readAll(t, resp.Body); got != "xxxxx" {
					t.Errorf("got %q", got)
				}
			})
		})
	}
}
