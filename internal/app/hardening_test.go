package app_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	neturl "net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"detour/internal/app"
	"detour/internal/clientkey"
	"detour/internal/config"
	"detour/internal/sim"
)

// raw sends bytes to addr and returns what comes back until the other side closes.
func raw(t *testing.T, addr, request string) string {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, request)
	b, _ := io.ReadAll(conn)
	return string(b)
}

// A request in absolute form is for a proxy, which the API door is not: whatever it names, it must not be fetched.
func TestTheAPIDoorIsNoProxy(t *testing.T) {
	t.Parallel()
	var reached atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	defer other.Close()
	w := newWorld(t, nil, nil, "alice")
	for _, tc := range []struct{ name, line, want string }{
		{"another loopback port", "GET " + other.URL + "/secret", "404"},
		{"ourselves", "GET http://" + w.app.APIAddr() + "/health", "200"},
		{"a mode in the user name", "POST http://passthrough@127.0.0.1:1/v1/nothing", "404"},
		{"an intercepted host", "GET http://api.openai.com/v1/files", "421"},
		{"opaque", "GET http:secret", "4"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := raw(t, w.app.APIAddr(), tc.line+" HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
			if !strings.HasPrefix(got, "HTTP/1.1 "+tc.want) {
				t.Errorf("got %q, want %s", got, tc.want)
			}
		})
	}
	if n := reached.Load(); n != 0 {
		t.Errorf("the other server was asked %d times", n)
	}
}

// Where no key is asked for, one that comes is still heeded: its limits hold on both doors, and revoking it does not lift
// them.
func TestAKeyCountsWhereNoneIsNeeded(t *testing.T) {
	t.Parallel()
	var paths config.Paths
	w := newWorld(t, nil, func(o *app.Options) { paths = o.Paths }, "alice")
	_, key, err := clientkey.Create(paths.Keys, "tool", clientkey.ScopeAll, clientkey.Limits{Models: []string{"claude-*"}})
	if err != nil {
		t.Fatal(err)
	}
	proxied := w.client(false)
	proxied.Transport.(*http.Transport).Proxy = http.ProxyURL(&neturl.URL{Scheme: "http", Host: w.app.ProxyAddr(), User: neturl.UserPassword("any", key.Reveal())})
	door := func() (int, string) {
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+w.app.APIAddr()+"/v1/chat/completions", strings.NewReader(`{"model":"gpt-4o","messages":[{"role":"user","content":"x"}]}`))
		req.Header.Set("X-Api-Key", key.Reveal())
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(b)
	}
	if status, b := door(); status != http.StatusForbidden || !strings.Contains(b, "key_scope") {
		t.Errorf("API door: %d %s", status, b)
	}
	if status, b := w.ask(proxied, "x"); status != http.StatusForbidden || !strings.Contains(b, "key_scope") {
		t.Errorf("proxy door: %d %s", status, b)
	}
	if _, err := clientkey.Revoke(paths.Keys, "tool"); err != nil {
		t.Fatal(err)
	}
	if status, b := door(); status != http.StatusUnauthorized || !strings.Contains(b, "revoked") {
		t.Errorf("API door, revoked: %d %s", status, b)
	}
	if status, b := w.ask(proxied, "x"); status != http.StatusForbidden || !strings.Contains(b, "key_revoked") {
		t.Errorf("proxy door, revoked, on the connection that was there: %d %s", status, b)
	}
	proxied.CloseIdleConnections()
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://detour.test/", nil)
	if resp, err := proxied.Do(req); err == nil || !strings.Contains(err.Error(), "Proxy Authentication Required") {
		t.Errorf("proxy door, revoked, on a new connection: %v %v", resp, err)
	}
	if status, b := w.ask(w.client(false), "without a key"); status != http.StatusOK {
		t.Errorf("without a key: %d %s", status, b)
	}
}

// A client key opens this detour and nothing else, so no other host may learn it: not even the one that a client
// was made to send it to.
func TestClientKeysStayHere(t *testing.T) {
	t.Parallel()
	var paths config.Paths
	w := newWorld(t, nil, func(o *app.Options) { paths = o.Paths }, "alice")
	_, key, err := clientkey.Create(paths.Keys, "tool", clientkey.ScopeAll, clientkey.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	var forwarded atomic.Pointer[http.Header]
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { forwarded.Store(&r.Header) }))
	defer other.Close()
	for _, url := range []string{"https://api.openai.com/v1/files", other.URL, "https://api.openai.com/v1/chat/completions"} {
		for _, h2 := range []bool{false, true} {
			req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader("{}"))
			req.Header.Set("Authorization", "Bearer "+key.Reveal())
			req.Header.Set("X-Api-Key", key.Reveal())
			req.Header.Set("X-Goog-Api-Key", "client's own")
			c := w.client(h2)
			proxy := &neturl.URL{Scheme: "http", Host: w.app.ProxyAddr()}
			c.Transport.(*http.Transport).Proxy = func(*http.Request) (*neturl.URL, error) { return proxy, nil } // loopback too
			if resp, err := c.Do(req); err == nil {
				_ = resp.Body.Close()
			}
		}
	}
	seen := 0
	for _, r := range w.sim.Requests(func(sim.Request) bool { return true }) {
		text := fmt.Sprint(r)
		if strings.Contains(text, clientkey.Prefix) {
			t.Errorf("%s %s%s got a client key", r.Method, r.Host, r.Path)
		}
		if strings.Contains(text, "client's own") {
			seen++
		}
	}
	if h := forwarded.Load(); h == nil || h.Get("Authorization") != "" || h.Get("X-Goog-Api-Key") == "" {
		t.Errorf("forwarded with %v", h)
	}
	if seen == 0 {
		t.Error("the client's own key was not passed on")
	}
	if strings.Contains(w.logs.String(), key.Reveal()) {
		t.Error("the key is in the log")
	}
}

func TestOwnAddressesUnderOtherNames(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil, nil, "alice")
	_, port, _ := net.SplitHostPort(w.app.APIAddr())
	for _, host := range []string{"127.0.0.1", "localhost", "LOCALHOST.", "0.0.0.0", "[::ffff:127.0.0.1]", "127.1", "0x7f.1", "2130706433", "017700000001", "foo.localhost", "[::1]", "[::ffff:7f00:1]", "127.0.0.1.", "[::]"} {
		addr := host + ":" + port
		got := raw(t, w.app.ProxyAddr(), fmt.Sprintf("CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\nGET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", addr, addr))
		abs := raw(t, w.app.ProxyAddr(), fmt.Sprintf("GET http://%s/health HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", addr, addr))
		for _, answer := range []string{got, abs} {
			line, _, _ := strings.Cut(answer, "\r\n")
			if code := strings.TrimPrefix(line, "HTTP/1.1 "); !slices.Contains([]string{"200", "400", "421", "502"}, code[:min(3, len(code))]) {
				t.Errorf("%s: %q", host, line)
			}
		}
	}
	log := w.logs.String()
	if n := strings.Count(log, "tunnel closed"); n != 0 {
		t.Errorf("%d tunnels to ourselves", n)
	}
}

func TestSmugglingOddities(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil, nil, "alice")
	for _, tc := range []struct{ name, req, want string }{
		{"two hosts", "GET /health HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\n\r\n", "HTTP/1.1 400"},
		{"two lengths", "POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}x", "HTTP/1.1 400"},
		{"gzip chunked", "POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "HTTP/1.1 501"},
		{"te list", "POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "HTTP/1.1 501"},
		{"space before colon", "GET /health HTTP/1.1\r\nHost : localhost\r\n\r\n", "HTTP/1.1 400"},
		{"bare lf in a header", "GET /health HTTP/1.1\r\nHost: localhost\r\nX: a\rb\r\n\r\n", "HTTP/1.1 400"},
	} {
		conn, err := net.Dial("tcp", w.app.ProxyAddr())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, tc.req)
		line, _ := bufio.NewReader(conn).ReadString('\n')
		_ = conn.Close()
		if !strings.HasPrefix(line, tc.want) {
			t.Errorf("%s: %q", tc.name, line)
		}
	}
}

// An upstream that lists no models must not hold up the end, nor may what asks it outlive the end.
func TestStopDoesNotWaitForAnUpstreamThatHangs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, &sim.Scenario{Faults: []sim.Fault{{On: sim.OpModels, Name: "hang", Arg: "0", Times: -1}}}, nil, "alice")
	for deadline := time.Now().Add(10 * time.Second); len(w.sim.Requests(func(r sim.Request) bool { return r.Op == sim.OpModels })) == 0 && time.Now().Before(deadline); {
		<-time.After(10 * time.Millisecond) // the request is made in the background and announces itself here only
	}
	began := time.Now()
	w.stop()
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("stop took %s", took)
	}
}
