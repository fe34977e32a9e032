package door_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"detour/internal/clientkey"
	"detour/internal/door"
)

// reply is what a client got, and what the router saw of it.
type reply struct {
	status    int
	header    http.Header
	body      string
	routed    bool
	principal string
	seen      http.Header
}

// ask sends one request through a door. The edit may change anything about it, RemoteAddr and Host too.
func ask(t *testing.T, o door.Options, method, target string, edit func(*http.Request)) reply {
	t.Helper()
	var out reply
	o.Router = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key, _ := door.Principal(r.Context())
		out.routed, out.principal, out.seen = true, key.Name, r.Header.Clone()
		_, _ = io.WriteString(w, "routed")
	})
	r := httptest.NewRequest(method, target, nil)
	r.Host = "127.0.0.1:4141"
	r.RemoteAddr = "127.0.0.1:5000"
	r = r.WithContext(context.WithValue(t.Context(), http.LocalAddrContextKey, &net.TCPAddr{IP: net.IPv4(192, 168, 1, 5), Port: 4141}))
	if edit != nil {
		edit(r)
	}
	w := httptest.NewRecorder()
	door.New(o).ServeHTTP(w, r)
	out.status, out.header, out.body = w.Code, w.Header(), w.Body.String()
	return out
}

func set(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

func TestHostHeader(t *testing.T) {
	t.Parallel()
	o := door.Options{Hosts: []string{"Box.LAN", "10.0.0.7", "fd00::1"}}
	for host, want := range map[string]bool{
		"127.0.0.1:4141": true, "127.0.0.1": true, "127.9.9.9:1": true, "localhost": true, "LocalHost:4141": true, "localhost.": true,
		"x.localhost": true, "[::1]:4141": true, "[::1]": true, "[::ffff:127.0.0.1]:80": true,
		"192.168.1.5:4141": true, "192.168.1.6:4141": false,
		"box.lan": true, "BOX.lan.:99": true, "10.0.0.7:4141": true, "[fd00::1]:4141": true, "[FD00:0::1]": true,
		"evil.example": false, "localhost.evil.example": false, "127.0.0.1.evil.example": false, "notlocalhost": false,
		"": false, ":4141": false, "localhost:": false, "localhost:x": false, "localhost:4141:4141": false, "[::1": false, "::1]": false, "[::1]x": false,
		"[localhost]": false, "local host": false, "localhost\"": false, "localhost'": false, "a@localhost": false, "localhost/x": false, "[::1%25lo]": false,
		"0x7f.1": false, "2130706433": false, "127.1": false,
	} {
		got := ask(t, o, http.MethodPost, "/v1/messages", func(r *http.Request) { r.Host = host })
		if got.routed != want {
			t.Errorf("host %q: routed %v, want %v (%d)", host, got.routed, want, got.status)
		}
		if !want && (got.status != http.StatusMisdirectedRequest || !json.Valid([]byte(got.body)) || !strings.Contains(got.body, "allowed_hosts")) {
			t.Errorf("host %q: %d %s", host, got.status, got.body)
		}
	}
}

func TestHostIsCheckedBeforeAnythingIsServed(t *testing.T) {
	t.Parallel()
	cert, _, _ := root(t)
	for _, path := range []string{"/", "/health", "/-/lan/ca.crt", "/-/lan/env", "/-/lan/bootstrap.json", "/v1/models"} {
		got := ask(t, door.Options{LAN: lan(cert)}, http.MethodGet, path, func(r *http.Request) { r.Host = "evil.example" })
		if got.status != http.StatusMisdirectedRequest || strings.Contains(got.body, "evil") {
			t.Errorf("%s: %d %s", path, got.status, got.body)
		}
	}
}

func TestOrigin(t *testing.T) {
	t.Parallel()
	o := door.Options{Origins: []string{"https://chat.example", "vscode-webview://abc"}}
	for _, test := range []struct {
		name   string
		header map[string]string
		method string
		want   bool
		cors   string
	}{
		{name: "no browser", want: true},
		{name: "configured", header: map[string]string{"Origin": "https://chat.example"}, want: true, cors: "https://chat.example"},
		{name: "configured, cross-site", header: map[string]string{"Origin": "https://chat.example", "Sec-Fetch-Site": "cross-site"}, want: true, cors: "https://chat.example"},
		{name: "configured web view", header: map[string]string{"Origin": "vscode-webview://abc"}, want: true, cors: "vscode-webview://abc"},
		{name: "own page", header: map[string]string{"Origin": "http://127.0.0.1:4141"}, want: true},
		{name: "own page over another scheme", header: map[string]string{"Origin": "https://127.0.0.1:4141"}},
		{name: "another port", header: map[string]string{"Origin": "http://127.0.0.1:3000"}},
		{name: "another name of the same machine", header: map[string]string{"Origin": "http://localhost:4141"}},
		{name: "elsewhere", header: map[string]string{"Origin": "https://evil.example"}},
		{name: "configured as a prefix", header: map[string]string{"Origin": "https://chat.example.evil.example"}},
		{name: "configured with a port", header: map[string]string{"Origin": "https://chat.example:444"}},
		{name: "other case", header: map[string]string{"Origin": "https://CHAT.example"}},
		{name: "null", header: map[string]string{"Origin": "null"}},
		{name: "empty", header: map[string]string{"Origin": ""}},
		{name: "image of a page elsewhere", method: http.MethodGet, header: map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}},
		{name: "link from elsewhere", method: http.MethodGet, header: map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, want: true},
		{name: "form from elsewhere without origin", header: map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}},
		{name: "own image", method: http.MethodGet, header: map[string]string{"Sec-Fetch-Site": "same-origin"}, want: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			method := test.method
			if method == "" {
				method = http.MethodPost
			}
			got := ask(t, o, method, "/v1/messages", func(r *http.Request) {
				for k, v := range test.header {
					r.Header[k] = []string{v}
				}
			})
			if got.routed != test.want {
				t.Errorf("routed %v, want %v: %s", got.routed, test.want, got.body)
			}
			if !test.want && (got.status != http.StatusForbidden || !strings.Contains(got.body, "allowed_origins")) {
				t.Errorf("%d %s", got.status, got.body)
			}
			if acao := got.header.Get("Access-Control-Allow-Origin"); acao != test.cors {
				t.Errorf("Access-Control-Allow-Origin %q, want %q", acao, test.cors)
			}
			if got.header.Get("Vary") != "Origin" {
				t.Errorf("Vary %q", got.header.Values("Vary"))
			}
			if got.header.Get("Access-Control-Allow-Credentials") != "" {
				t.Error("credentials allowed")
			}
		})
	}
}

func TestNoCORSHeadersUnlessConfigured(t *testing.T) {
	t.Parallel()
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodOptions} {
		for _, origin := range []string{"", "http://127.0.0.1:4141", "https://evil.example"} {
			got := ask(t, door.Options{}, method, "/v1/models", func(r *http.Request) {
				if origin != "" {
					r.Header.Set("Origin", origin)
					r.Header.Set("Access-Control-Request-Method", "POST")
				}
			})
			for name := range got.header {
				if strings.HasPrefix(name, "Access-Control") || name == "Vary" {
					t.Errorf("%s from %q: %s", method, origin, name)
				}
			}
		}
	}
}

func TestPreflightNeedsNoKeyAndStaysAtTheDoor(t *testing.T) {
	t.Parallel()
	o := door.Options{Origins: []string{"https://chat.example"}, Verify: func(string) (clientkey.Key, bool) { return clientkey.Key{}, false }}
	preflight := func(origin string) reply {
		return ask(t, o, http.MethodOptions, "/v1/messages", func(r *http.Request) {
			r.Header.Set("Origin", origin)
			r.Header.Set("Access-Control-Request-Method", "POST")
			r.Header.Set("Access-Control-Request-Headers", "authorization, content-type")
			r.Header.Set("Access-Control-Request-Private-Network", "true")
		})
	}
	got := preflight("https://chat.example")
	if got.status != http.StatusNoContent || got.routed || got.header.Get("Access-Control-Allow-Origin") != "https://chat.example" ||
		got.header.Get("Access-Control-Allow-Headers") != "authorization, content-type" || !strings.Contains(got.header.Get("Access-Control-Allow-Methods"), "POST") ||
		got.header.Get("Access-Control-Allow-Private-Network") != "true" {
		t.Errorf("%d %v", got.status, got.header)
	}
	if got := preflight("https://evil.example"); got.status != http.StatusForbidden || got.header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("from elsewhere: %d %v", got.status, got.header)
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()
	o := door.Options{Verify: verify, Health: func() any { return map[string]int{"accounts": 2} }}
	remote := func(r *http.Request) { r.RemoteAddr = "192.168.1.9:5000" }
	if got := ask(t, o, http.MethodGet, "/health", nil); got.status != http.StatusOK || !strings.Contains(got.body, `"accounts": 2`) {
		t.Errorf("from loopback: %d %s", got.status, got.body)
	}
	if got := ask(t, o, http.MethodGet, "/health", func(r *http.Request) { r.RemoteAddr = "[::1]:5000" }); got.status != http.StatusOK {
		t.Errorf("from IPv6 loopback: %d", got.status)
	}
	if got := ask(t, o, http.MethodGet, "/health", remote); got.status != http.StatusUnauthorized || strings.Contains(got.body, "accounts\"") {
		t.Errorf("from elsewhere: %d %s", got.status, got.body)
	}
	if got := ask(t, o, http.MethodGet, "/health", func(r *http.Request) { remote(r); r.Header.Set("X-Api-Key", goodKey) }); got.status != http.StatusOK || got.routed {
		t.Errorf("from elsewhere with a key: %d", got.status)
	}
	if got := ask(t, o, http.MethodPost, "/health", nil); got.status != http.StatusMethodNotAllowed || got.header.Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: %d", got.status)
	}
	if got := ask(t, door.Options{}, http.MethodGet, "/health", remote); got.status != http.StatusOK {
		t.Errorf("no keys needed: %d", got.status)
	}
}

func TestIndex(t *testing.T) {
	t.Parallel()
	o := door.Options{Verify: verify, Version: "1.2.3"}
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		got := ask(t, o, method, "/", nil)
		if got.status != http.StatusOK || got.routed || !json.Valid([]byte(got.body)) {
			t.Errorf("%s: %d %s", method, got.status, got.body)
		}
	}
	if got := ask(t, o, http.MethodGet, "/", func(r *http.Request) { r.RemoteAddr = "192.168.1.9:1" }); strings.Contains(got.body, "1.2.3") {
		t.Error("the version is shown to the network")
	}
	if got := ask(t, door.Options{}, http.MethodPost, "/", nil); !got.routed {
		t.Error("POST / is not the router's")
	}
}

func TestPathsOfTheRouter(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/v1/models", "/healthz", "//health", "/-/lan/ca.crt", "/-/other", "/metrics", "/a/../health"} {
		if got := ask(t, door.Options{}, http.MethodGet, path, nil); !got.routed {
			t.Errorf("%s did not reach the router: %d", path, got.status)
		}
	}
}

func TestNoKeyIsLogged(t *testing.T) {
	t.Parallel()
	var logs bytes.Buffer
	o := door.Options{Verify: verify, Logger: slog.New(slog.NewTextHandler(&logs, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	for _, header := range []string{"Authorization", "X-Api-Key", "X-Goog-Api-Key"} {
		ask(t, o, http.MethodPost, "/v1/messages", set(header, "Bearer dtr_secretmarker"))
	}
	ask(t, o, http.MethodPost, "/v1/messages", set("Authorization", "Bearer "+goodKey))
	if strings.Contains(logs.String(), "secretmarker") || strings.Contains(logs.String(), goodKey) {
		t.Errorf("logged: %s", logs.String())
	}
	if !strings.Contains(logs.String(), "client key refused") {
		t.Errorf("no line about the refusal: %s", logs.String())
	}
}

// TestBothHTTPVersions goes over real connections.
func TestBothHTTPVersions(t *testing.T) {
	t.Parallel()
	for _, version := range []int{1, 2} {
		server := httptest.NewUnstartedServer(door.New(door.Options{
			Verify: verify,
			Router: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				key, _ := door.Principal(r.Context())
				_, _ = io.WriteString(w, key.Name+r.Header.Get("Authorization"))
			}),
		}))
		server.EnableHTTP2 = version == 2
		server.StartTLS()
		t.Cleanup(server.Close)
		send := func(host, origin string) (*http.Response, string) {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/v1/messages", nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Host = host
			req.Header.Set("Authorization", "Bearer "+goodKey)
			if origin != "" {
				req.Header.Set("Origin", origin)
			}
			resp, err := server.Client().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			return resp, string(body)
		}
		if resp, body := send("", server.URL); resp.ProtoMajor != version || resp.StatusCode != http.StatusOK || body != "laptop" {
			t.Errorf("HTTP/%d: %d %s", resp.ProtoMajor, resp.StatusCode, body)
		}
		if resp, _ := send("evil.example", ""); resp.StatusCode != http.StatusMisdirectedRequest {
			t.Errorf("HTTP/%d: rebound host: %d", version, resp.StatusCode)
		}
		if resp, _ := send("", "https://evil.example"); resp.StatusCode != http.StatusForbidden {
			t.Errorf("HTTP/%d: origin: %d", version, resp.StatusCode)
		}
	}
}
