package sim_test

import (
	"bufio"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"

	"detour/internal/sim"
)

// site is a client for one host name of the origin.
func (r *rig) site(t *testing.T, protocols func(*http.Protocols)) *http.Client {
	t.Helper()
	pem, err := os.ReadFile(r.CAPath())
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	var p http.Protocols
	protocols(&p)
	tr := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots}, Protocols: &p, DisableCompression: true,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			target := r.OriginAddr()
			if strings.HasSuffix(addr, ":80") {
				target = r.PlainAddr()
			}
			var d net.Dialer
			return d.DialContext(ctx, network, target)
		},
	}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func onlyH1(p *http.Protocols) { p.SetHTTP1(true) }
func onlyH2(p *http.Protocols) { p.SetHTTP2(true) }

func fetch(t *testing.T, c *http.Client, method, url, body string) got {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Mine", "1")
	req.Header.Set("Content-Type", "text/x-test")
	resp, err := c.Do(req)
	if err != nil {
		return got{err: err}
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return got{status: resp.StatusCode, header: resp.Header, body: string(b), err: err}
}

func TestOriginDescribesRequests(t *testing.T) {
	t.Parallel()
	r := start(t, sim.Options{})
	sum := sha256.Sum256([]byte("payload"))
	for name, tc := range map[string]struct {
		protocols func(*http.Protocols)
		url       string
		proto     string
	}{
		"h1":    {onlyH1, "https://api.openai.com/v1/files?a=b", "HTTP/1.1"},
		"h2":    {onlyH2, "https://api.anthropic.com/v1/files?a=b", "HTTP/2.0"},
		"plain": {onlyH1, "http://example.test/v1/files?a=b", "HTTP/1.1"},
	} {
		g := fetch(t, r.site(t, tc.protocols), "PUT", tc.url, "payload")
		if g.err != nil {
			t.Fatal(g.err)
		}
		v := g.json(t)
		host := g.header.Get("X-Sim-Origin")
		if !strings.Contains(tc.url, host) || v["origin"] != host || v["proto"] != tc.proto || v["method"] != "PUT" || v["path"] != "/v1/files" ||
			v["query"] != "a=b" || v["body_sha256"] != hex.EncodeToString(sum[:]) || at(v, "headers", "X-Mine", 0) != "1" {
			t.Errorf("%s: %v", name, v)
		}
	}
	if q := r.Requests(func(q sim.Request) bool { return q.Plane == sim.PlaneOrigin && q.Host == "api.openai.com" }); len(q) != 1 || string(q[0].Body) != "payload" || q[0].Status != 200 {
		t.Errorf("recorded %+v", q)
	}
}

func TestOriginPaths(t *testing.T) {
	t.Parallel()
	r := start(t, sim.Options{})
	for _, protocols := range []func(*http.Protocols){onlyH1, onlyH2} {
		c := r.site(t, protocols)
		get := func(path string) got { return fetch(t, c, "POST", "https://example.test"+path, "hello") }
		if n := len(events(t, strings.ReplaceAll(get("/sse?n=3&delay=1ms&size=5").body, "id: ", ": "))); n != 3 {
			t.Errorf("/sse: %d events", n)
		}
		if g := get("/sse?delay=x"); g.status != 400 {
			t.Errorf("/sse with a bad delay: %d", g.status)
		}
		if g := get("/big?n=200000"); len(g.body) != 200000 || g.err != nil {
			t.Errorf("/big: %d bytes, %v", len(g.body), g.err)
		}
		if g := get("/status/503"); g.status != 503 {
			t.Errorf("/status: %d", g.status)
		}
		if g := get("/echo"); g.body != "hello" || g.header.Get("Content-Type") != "text/x-test" {
			t.Errorf("/echo: %+v", g)
		}
		if g := get("/page"); !strings.Contains(g.body, "<h1>example.test</h1>") {
			t.Errorf("/page: %s", g.body)
		}
		if g := get("/redirect"); g.status != 302 || g.header.Get("Location") != "/page" {
			t.Errorf("/redirect: %+v", g)
		}
		z, err := gzip.NewReader(strings.NewReader(get("/gzip").body))
		if err != nil {
			t.Fatal(err)
		}
		var v map[string]any
		if err := json.NewDecoder(z).Decode(&v); err != nil || v["origin"] != "example.test" {
			t.Errorf("/gzip: %v %v", v, err)
		}
		for _, path := range []string{"/drop", "/rst"} {
			if g := get(path); g.err == nil {
				t.Errorf("%s: %+v", path, g)
			}
		}
	}
}

func TestOriginServesCopilotOnRealNames(t *testing.T) {
	t.Parallel()
	r := start(t, sim.Options{Scenario: &sim.Scenario{OriginCopilot: true}})
	c := r.site(t, onlyH1)
	ask := func(method, url, auth, body string) got {
		req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", auth)
		resp, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		return got{status: resp.StatusCode, header: resp.Header, body: string(b), err: err}
	}
	v := ask("GET", "https://api.github.com/copilot_internal/v2/token", "token "+r.Account("bob").Token(), "").json(t)
	if at(v, "endpoints", "api") != "https://api.business.githubcopilot.com" || !strings.Contains(v["token"].(string), "proxy-ep=proxy.business.githubcopilot.com") {
		t.Errorf("exchange = %v", v)
	}
	bob := "Bearer " + v["token"].(string)
	for host, want := range map[string]int{"api.business.githubcopilot.com": 200, "api.githubcopilot.com": 200, "api.individual.githubcopilot.com": 421} {
		if g := ask("POST", "https://"+host+"/chat/completions", bob, chatHello); g.status != want {
			t.Errorf("%s: %d %s, want %d", host, g.status, g.body, want)
		}
	}
	if g := ask("GET", "https://github.com/login/device", "", ""); g.status != 200 || !strings.Contains(g.body, "Device Activation") {
		t.Errorf("github.com: %d", g.status)
	}
	if g := ask("GET", "https://api.openai.com/", "", ""); g.header.Get("X-Sim-Origin") == "" {
		t.Error("other hosts stay with the origin")
	}
}

func TestWebSocketEcho(t *testing.T) {
	t.Parallel()
	r := start(t, sim.Options{})
	var d net.Dialer
	conn, err := d.DialContext(t.Context(), "tcp", r.PlainAddr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, err = io.WriteString(conn, "GET /ws HTTP/1.1\r\nHost: example.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: chat, x\r\n\r\n")
	if err != nil {
		t.Fatal(err)
	}
	br := bufio.NewReader(conn)
	resp, err := http.ReadResponse(br, nil)
	if err != nil {
		t.Fatal(err)
	}
	// The accept value of RFC 6455 section 1.3.
	if resp.StatusCode != 101 || resp.Header.Get("Sec-Websocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" || resp.Header.Get("Sec-Websocket-Protocol") != "chat" {
		t.Fatalf("handshake: %d %v", resp.StatusCode, resp.Header)
	}
	frame := func(first byte, payload []byte) []byte {
		mask := []byte{1, 2, 3, 4}
		b := []byte{first}
		switch n := len(payload); {
		case n < 126:
			b = append(b, 0x80|byte(n))
		case n < 1<<16:
			b = append(b, 0x80|126, byte(n>>8), byte(n))
		default:
			b = append(b, 0x80|127, 0, 0, 0, 0, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
		}
		b = append(b, mask...)
		for i, c := range payload {
			b = append(b, c^mask[i%4])
		}
		return b
	}
	for _, tc := range []struct {
		name  string
		first byte
		want  byte
		n     int
	}{{"text", 0x81, 0x81, 5}, {"binary", 0x82, 0x82, 300}, {"long", 0x81, 0x81, 70000}, {"fragment", 0x01, 0x01, 3}, {"ping", 0x89, 0x8A, 4}, {"close", 0x88, 0x88, 2}} {
		payload := []byte(strings.Repeat("x", tc.n))
		if _, err := conn.Write(frame(tc.first, payload)); err != nil {
			t.Fatal(err)
		}
		head := 2
		if tc.n >= 126 {
			head = 4
		}
		if tc.n >= 1<<16 {
			head = 10
		}
		b := make([]byte, head+tc.n)
		if _, err := io.ReadFull(br, b); err != nil {
			t.Fatalf("%s: %v", tc.name, err)
		}
		if b[0] != tc.want || string(b[head:]) != string(payload) {
			t.Errorf("%s: first byte %#x", tc.name, b[0])
		}
	}
	if _, err := br.ReadByte(); err != io.EOF {
		t.Errorf("after close: %v", err)
	}
	if g := fetch(t, r.site(t, onlyH2), "GET", "https://example.test/ws", ""); g.status != 426 {
		t.Errorf("not a WebSocket: %d", g.status)
	}
}
