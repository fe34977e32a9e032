package mitm_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"detour/mitm"
)

func basic(user, password string) string {
	return "Proxy-Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password)) + "\r\n"
}

func TestConnectWithInvalidAuthorityGets400(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	for _, authority := range []string{"api.openai.com", "a:0", "/a:443", "u:p@a:443", "127.1:443", "a..b:443", "https://a:443"} {
		t.Run(authority, func(t *testing.T) {
			t.Parallel()
			resp, _ := r.exchange(t, "CONNECT "+authority+" HTTP/1.1\r\nHost: a:443\r\n\r\n")
			if resp.StatusCode != http.StatusBadRequest {
				t.Errorf("got %s", resp.Status)
			}
		})
	}
}

func TestConnectCanonicalisesBeforeItAsks(t *testing.T) {
	t.Parallel()
	asked := make(chan string, 10)
	r := newRig(t, func(p *mitm.Proxy) {
		p.Intercept = func(host string, port int) bool { asked <- fmt.Sprint(host, " ", port); return true }
	})
	for in, want := range map[string]string{
		"API.OpenAI.COM.:443": "api.openai.com 443",
		"bücher.example:8443": "xn--bcher-kva.example 8443",
		"[::FFFF:10.0.0.1]:1": "10.0.0.1 1",
	} {
		c := r.dial(t)
		fmt.Fprintf(c, "CONNECT %s HTTP/1.1\r\nHost: other.test\r\n\r\n", in) // net/http refuses a Host that is not ASCII
		if line := readHead(t, c); !strings.Contains(line, " 200 ") {
			t.Errorf("%s: %s", in, line)
		}
		if got := wait(t, asked, "Intercept"); got != want {
			t.Errorf("%s: asked for %q, want %q", in, got, want)
		}
	}
}

func TestAuthorize(t *testing.T) {
	t.Parallel()
	type creds struct{ user, password string }
	r := newRig(t, func(p *mitm.Proxy) {
		p.Authorize = func(_ context.Context, user, password string) (any, bool) {
			return user, creds{user, password} == creds{"mode", "s3cret"}
		}
		p.IsLocal = func(string, int) bool { return true }
	})
	tests := []struct {
		name, header string
		status       int
	}{
		{"right", basic("mode", "s3cret"), 404},
		{"scheme in lower case", strings.Replace(basic("mode", "s3cret"), "Basic", "basic", 1), 404},
		{"absent", "", 407},
		{"wrong password", basic("mode", "wrong"), 407},
		{"wrong scheme", strings.Replace(basic("mode", "s3cret"), "Basic", "Bearer", 1), 407},
		{"twice", basic("mode", "s3cret") + basic("mode", "s3cret"), 407},
		{"not base64", "Proxy-Authorization: Basic !!!\r\n", 407},
		{"no colon", "Proxy-Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("mode")) + "\r\n", 407},
		{"control character", basic("mo\nde", "s3cret"), 407},
		{"invalid utf-8", basic("\xff", "s3cret"), 407},
		{"too long", basic("mode", strings.Repeat("s", 5000)), 407},
		{"empty", "Proxy-Authorization:\r\n", 407},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			resp, body := r.exchange(t, "GET http://own.test/ HTTP/1.1\r\nHost: own.test\r\n"+tt.header+"\r\n")
			if resp.StatusCode != tt.status {
				t.Fatalf("absolute form: got %s, want %d", resp.Status, tt.status)
			}
			if tt.status != http.StatusProxyAuthRequired {
				r.connect(t, "own.test:80", http.StatusOK, tt.header)
				return
			}
			resp2, _ := r.exchange(t, "CONNECT own.test:80 HTTP/1.1\r\nHost: own.test:80\r\n"+tt.header+"\r\n")
			if resp2.StatusCode != tt.status {
				t.Fatalf("CONNECT: got %s", resp2.Status)
			}
			for _, resp := range []*http.Response{resp, resp2} {
				if got := resp.Header.Get("Proxy-Authenticate"); got != `Basic realm="detour"` {
					t.Errorf("Proxy-Authenticate = %q", got)
				}
				if resp.Close {
					t.Error("a client could not repeat the request on the connection")
				}
			}
			if strings.Contains(body, "s3cret") {
				t.Error("the answer holds the password")
			}
		})
	}
	t.Cleanup(func() {
		if strings.Contains(r.logs.String(), "s3cret") {
			t.Error("the log holds the password")
		}
	})
}

func TestOptionalCredentialsAreStillChecked(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(p *mitm.Proxy) {
		p.Authorize = func(_ context.Context, user, _ string) (any, bool) { return user, user == "u" }
		p.AuthorizeOptional = true
		p.IsLocal = func(string, int) bool { return true }
	})
	for header, want := range map[string]int{"": 200, basic("u", "p"): 200, "Proxy-Authorization: Negotiate x\r\n": 200, basic("v", "p"): 407} {
		if resp, _ := r.exchange(t, "CONNECT own.test:80 HTTP/1.1\r\nHost: own.test:80\r\n"+header+"\r\n"); resp.StatusCode != want {
			t.Errorf("%q: %s, want %d", header, resp.Status, want)
		}
	}
}

// Some clients send credentials only after they were asked (git, curl with --proxy-anyauth), on the same connection.
func TestAuthorizeAfterChallengeOnTheSameConnection(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(p *mitm.Proxy) {
		p.Authorize = func(_ context.Context, user, _ string) (any, bool) { return user, user == "u" }
		p.DialContext = dialTo(origin(t, echo))
	})
	c := r.dial(t)
	br := bufio.NewReader(c)
	io.WriteString(c, "CONNECT o.test:443 HTTP/1.1\r\nHost: o.test:443\r\n\r\n")
	resp, err := http.ReadResponse(br, nil)
	if err != nil || resp.StatusCode != http.StatusProxyAuthRequired {
		t.Fatal(resp, err)
	}
	readAll(t, resp.Body)
	io.WriteString(c, "CONNECT o.test:443 HTTP/1.1\r\nHost: o.test:443\r\n"+basic("u", "p")+"\r\nping")
	if line := readHead(t, br); line != "HTTP/1.1 200 Connection established" {
		t.Fatal(line)
	}
	got := make([]byte, 4)
	if _, err := io.ReadFull(br, got); err != nil || string(got) != "ping" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestPortNotAllowedGets403(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(p *mitm.Proxy) { p.AllowPort = func(port int) bool { return port == 443 } })
	r.connect(t, host+":443", http.StatusOK)
	r.connect(t, host+":25", http.StatusForbidden)
	resp, _ := r.exchange(t, "GET http://a.test:25/ HTTP/1.1\r\nHost: a.test:25\r\n\r\n")
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("absolute form: got %s", resp.Status)
	}
}

func TestOwnAddressIsServedAndNotDialled(t *testing.T) {
	t.Parallel()
	var r *rig
	r = newRig(t, func(p *mitm.Proxy) {
		p.IsLocal = func(host string, port int) bool { return net.JoinHostPort(host, strconv.Itoa(port)) == r.addr }
		p.AllowPort = func(int) bool { return false }
		p.Local = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			fmt.Fprintf(w, "%s|%s|%s|%q", req.URL, req.RequestURI, req.Host, req.Header.Get("Proxy-Authorization"))
		})
	})
	want := "/v1/models?a=b|/v1/models?a=b|" + r.addr + `|""`
	t.Run("connect", func(t *testing.T) {
		t.Parallel()
		c := r.connect(t, r.addr, http.StatusOK)
		br := bufio.NewReader(c)
		for range 2 { // the connection is kept
			fmt.Fprintf(c, "GET /v1/models?a=b HTTP/1.1\r\nHost: %s\r\n\r\n", r.addr)
			resp, err := http.ReadResponse(br, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := readAll(t, resp.Body); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		}
	})
	t.Run("absolute form", func(t *testing.T) {
		t.Parallel()
		_, got := r.exchange(t, "GET http://"+r.addr+"/v1/models?a=b HTTP/1.1\r\nHost: "+r.addr+"\r\n"+basic("u", "p")+"\r\n")
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
	t.Run("origin form", func(t *testing.T) {
		t.Parallel()
		_, got := r.exchange(t, "GET /v1/models?a=b HTTP/1.1\r\nHost: "+r.addr+"\r\n\r\n")
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
}

func TestOriginFormWithoutLocalGets404WithHelp(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	resp, body := r.exchange(t, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if resp.StatusCode != http.StatusNotFound || !strings.Contains(body, "HTTPS_PROXY") || strings.Count(body, "\n") != 1 {
		t.Errorf("got %s %q", resp.Status, body)
	}
}

type timeoutError struct{}

func (timeoutError) Error() string   { return "too slow" }
func (timeoutError) Timeout() bool   { return true }
func (timeoutError) Temporary() bool { return true }

func TestDialFailureIsAnswered(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		err    error
		status int
		reason string
	}{
		{"refused", &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, 502, "connection refused"},
		{"no such host", &net.DNSError{Err: "no such host", IsNotFound: true}, 502, "no such host"},
		{"resolver broken", &net.DNSError{Err: "server misbehaving"}, 502, "name lookup failed"},
		{"timeout", &net.OpError{Op: "dial", Err: timeoutError{}}, 504, "timed out"},
		{"deadline", context.DeadlineExceeded, 504, "timed out"},
		{"other", fmt.Errorf("guard: address is private\r\nX-Injected: 1"), 502, "guard: address is private  X-Injected: 1"},
		{"long", fmt.Errorf("%s", strings.Repeat("ü", 300)), 502, strings.Repeat("ü", 100)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(p *mitm.Proxy) {
				p.DialContext = func(context.Context, string, string) (net.Conn, error) { return nil, tt.err }
			})
			resp, body := r.exchange(t, "CONNECT o.test:443 HTTP/1.1\r\nHost: o.test:443\r\n\r\n")
			if want := "detour: dial o.test:443: " + tt.reason + "\n"; resp.StatusCode != tt.status || body != want {
				t.Errorf("got %d %q, want %d %q", resp.StatusCode, body, tt.status, want)
			}
			if n := r.Stats().Tunnels; n != 0 {
				t.Errorf("%d tunnels open", n)
			}
		})
	}
}

func TestDialTimeout(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(p *mitm.Proxy) {
		p.DialTimeout = time.Millisecond
		p.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
	})
	r.connect(t, "o.test:443", http.StatusGatewayTimeout)
}

func TestDialIsGivenUpWhenTheClientLeaves(t *testing.T) {
	t.Parallel()
	dialling, ended := make(chan struct{}), make(chan struct{})
	r := newRig(t, func(p *mitm.Proxy) {
		p.DialTimeout = time.Hour
		p.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			close(dialling)
			<-ctx.Done()
			close(ended)
			return nil, ctx.Err()
		}
	})
	c := r.dial(t)
	io.WriteString(c, "CONNECT o.test:443 HTTP/1.1\r\nHost: o.test:443\r\n\r\n")
	wait(t, dialling, "dial")
	c.Close()
	wait(t, ended, "end of dial")
}

func TestTunnelBeyondMaxGets503(t *testing.T) {
	t.Parallel()
	addr := origin(t, echo)
	r := newRig(t, func(p *mitm.Proxy) {
		p.MaxTunnels = 2
		p.DialContext = dialTo(addr)
	})
	first := r.connect(t, "o.test:443", http.StatusOK)
	r.connect(t, "o.test:443", http.StatusOK)
	resp, _ := r.exchange(t, "CONNECT o.test:443 HTTP/1.1\r\nHost: o.test:443\r\n\r\n")
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
		t.Errorf("third: %s, %v", resp.Status, resp.Header)
	}
	r.connect(t, host+":443", http.StatusOK) // intercepted connections are no tunnels
	first.Close()
	r.logs.wait(t, "tunnel closed")
	eventually(t, "the counter falls behind the log line", func() bool { return r.Stats().Tunnels == 1 })
	r.connect(t, "o.test:443", http.StatusOK)
}

func TestPanicInCallbackClosesTheConnection(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(p *mitm.Proxy) { p.Intercept = func(string, int) bool { panic("callback") } })
	c := r.dial(t)
	io.WriteString(c, "CONNECT o.test:443 HTTP/1.1\r\nHost: o.test:443\r\n\r\n")
	if n, err := c.Read(make([]byte, 1)); err == nil {
		t.Errorf("read %d bytes", n)
	}
	if line := r.logs.wait(t, "handler panicked"); line["panic"] != "callback" {
		t.Error(line)
	}
}

func TestOversizedHeadGets431(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(p *mitm.Proxy) { p.MaxHeaderBytes = 4 << 10 })
	resp, _ := r.exchange(t, "CONNECT o.test:443 HTTP/1.1\r\nX: "+strings.Repeat("x", 64<<10)+"\r\n\r\n")
	if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("got %s", resp.Status)
	}
}
