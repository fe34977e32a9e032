//go:build e2e

package e2e_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"detour/internal/sim"
)

// viaProxy is a client of ours that goes through the proxy and trusts detour's CA.
func (w *world) viaProxy(t *testing.T, h2 bool) *http.Client {
	t.Helper()
	pem, err := os.ReadFile(filepath.Join(w.home, "detour", "ca", "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	p := new(http.Protocols)
	p.SetHTTP1(!h2)
	p.SetHTTP2(h2)
	tr := &http.Transport{
		Proxy:     http.ProxyURL(&url.URL{Scheme: "http", Host: w.proxy}),
		Protocols: p, TLSClientConfig: &tls.Config{RootCAs: roots}, MaxIdleConnsPerHost: 256,
	}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: time.Minute}
}

func (w *world) ask(t *testing.T, c *http.Client, ctx context.Context, question string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://api.openai.com/v1/chat/completions", strings.NewReader(body(question, true)))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

func TestTwoHundredConcurrentStreams(t *testing.T) {
	t.Parallel()
	for _, h2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("h2=%t", h2), func(t *testing.T) {
			t.Parallel()
			gate := &sim.Gate{}
			w := newWorld(t, &sim.Scenario{Gates: map[string]*sim.Gate{"all": gate}}, "", "alice", "ivan")
			client := w.viaProxy(t, h2)
			var wg sync.WaitGroup
			for i := range 200 {
				wg.Go(func() {
					marker := fmt.Sprintf("stream-%d-", i)
					resp := w.ask(t, client, t.Context(), marker+" [[sim:gate=all@2]] [[sim:chunks=8]]")
					defer resp.Body.Close()
					b, err := io.ReadAll(resp.Body)
					if err != nil || resp.StatusCode != 200 || !strings.HasSuffix(string(b), "data: [DONE]\n\n") {
						t.Errorf("stream %d: status %d, %v, %q", i, resp.StatusCode, err, b)
					}
					for j := range 200 { // no stream has a piece of another
						if other := fmt.Sprintf("stream-%d-", j); j != i && strings.Contains(string(b), other) {
							t.Errorf("stream %d holds a piece of stream %d", i, j)
						}
					}
				})
			}
			ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
			defer cancel()
			if err := gate.Arrived(ctx, 200); err != nil {
				t.Errorf("not all 200 streams were open at once: %v", err)
			}
			gate.Open()
			wg.Wait()
			if a, b := w.sim.Account("alice").Requests(), w.sim.Account("ivan").Requests(); a+b < 200 || a < 80 || b < 80 {
				t.Errorf("accounts served %d and %d of 200", a, b)
			}
			if n := w.sim.Account("alice").Exchanges(); n != 1 {
				t.Errorf("%d exchanges for alice, want 1", n)
			}
		})
	}
}

func TestClientCancelReachesCopilot(t *testing.T) {
	t.Parallel()
	for _, h2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("h2=%t", h2), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil, "", "alice")
			ctx, cancel := context.WithCancel(t.Context())
			resp := w.ask(t, w.viaProxy(t, h2), ctx, "cancel-me [[sim:fault=stall=2]]")
			defer resp.Body.Close()
			if _, err := bufio.NewReader(resp.Body).ReadString('\n'); err != nil {
				t.Fatal(err)
			}
			cancel()
			wait, stop := context.WithTimeout(t.Context(), 15*time.Second)
			defer stop()
			if _, err := w.sim.Await(wait, 1, func(r sim.Request) bool { return r.Canceled && strings.Contains(string(r.Body), "cancel-me") }); err != nil {
				t.Errorf("Copilot was not told: %v", err)
			}
		})
	}
}

func TestAccountFailover(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil, "", "erin", "alice") // erin has no Copilot
	client := w.viaProxy(t, true)
	for i := range 4 {
		resp := w.ask(t, client, t.Context(), fmt.Sprintf("failover-%d", i))
		b, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != 200 || !strings.Contains(string(b), "[DONE]") {
			t.Errorf("ask %d: %d %s", i, resp.StatusCode, b)
		}
	}
	health, err := w.run(t, nil, "curl", "-sS", "http://"+w.api+"/health")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(health, "erin") || !strings.Contains(health, "No access to GitHub Copilot") {
		t.Errorf("health does not say why erin rests: %s", health)
	}
}

func TestTokenStormMakesOneExchange(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil, "", "alice")
	client := w.viaProxy(t, false)
	resp := w.ask(t, client, t.Context(), "warm up")
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	before := w.sim.Account("alice").Exchanges()
	w.sim.Account("alice").RevokeCopilotTokens()
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			resp := w.ask(t, client, t.Context(), fmt.Sprintf("storm-%d", i))
			defer resp.Body.Close()
			if b, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != 200 || !strings.Contains(string(b), "[DONE]") {
				t.Errorf("storm %d: %d %v", i, resp.StatusCode, err)
			}
		})
	}
	wg.Wait()
	if n := w.sim.Account("alice").Exchanges() - before; n != 1 {
		t.Errorf("%d exchanges for 100 refused requests, want 1", n)
	}
}

func TestInterruptEndsOpenStreamsAndNothingLeaks(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil, "", "alice")
	resp := w.ask(t, w.viaProxy(t, true), t.Context(), "open-stream [[sim:fault=stall=2]]")
	defer resp.Body.Close()
	if _, err := bufio.NewReader(resp.Body).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	w.stop() // checks that it ends, and with 0
	if took := time.Since(start); took > 12*time.Second {
		t.Errorf("took %v with a grace period of 3 s", took)
	}
	if b, err := io.ReadAll(resp.Body); err == nil && strings.Contains(string(b), `"finish_reason":"stop"`) {
		t.Errorf("the cut stream ended like a whole one: %q", b)
	}
	if log := w.stderr.String(); strings.Contains(log, sim.Marker) || strings.Contains(log, "sk-client-own") {
		t.Errorf("a secret is in the log:\n%s", log)
	}
}

func TestServeStartsWithoutAccounts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil, "")
	if !strings.Contains(w.stderr.String()+w.rest(), "detour login") {
		t.Errorf("serve does not say what to do next:\n%s", w.stderr)
	}
	resp := w.ask(t, w.viaProxy(t, true), t.Context(), "nobody")
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusServiceUnavailable || !strings.Contains(string(b), "detour login") {
		t.Errorf("%d %s", resp.StatusCode, b)
	}
}

// rest gives the last lines of the greeting a moment to arrive.
func (w *world) rest() string {
	var b strings.Builder
	timeout := time.After(2 * time.Second)
	for {
		select {
		case line, ok := <-w.stderr.lines:
			b.WriteString(line)
			if !ok || strings.Contains(line, "next") {
				return b.String()
			}
		case <-timeout:
			return b.String()
		}
	}
}

func TestLocalAuthKeepsOthersOff(t *testing.T) {
	t.Parallel()
	need(t, "curl")
	w := newWorld(t, nil, "[proxy_mode]\nlocal_auth = true\n", "alice")
	out := w.inShell(t, "sh", "curl -sS --fail -d "+quote(body("auth-ok", false))+" https://api.openai.com/v1/chat/completions")
	if !strings.Contains(out, "auth-ok") {
		t.Errorf("with the secret: %q", out)
	}
	if _, err := w.run(t, []string{"https_proxy=http://" + w.proxy}, "curl", "-sS", "https://"+site+"/"); err == nil || !strings.Contains(err.Error(), "407") {
		t.Errorf("without the secret: %v, want 407", err)
	}
}

func TestRouteModeInTheProxyUserName(t *testing.T) {
	t.Parallel()
	need(t, "curl")
	w := newWorld(t, nil, "", "alice")
	out, err := w.run(t, []string{"https_proxy=http://passthrough@" + w.proxy}, "curl", "-sS", "--fail", "--cacert", filepath.Join(w.home, "detour", "ca", "ca.crt"),
		"-H", "Authorization: Bearer sk-client-own", "-d", body("straight", false), "https://api.openai.com/v1/chat/completions")
	if err != nil {
		t.Fatal(err)
	}
	seen := w.sim.Requests(func(r sim.Request) bool {
		return r.Plane == sim.PlaneOrigin && strings.Contains(string(r.Body), "straight")
	})
	if len(seen) != 1 || seen[0].Header.Get("Authorization") != "Bearer sk-client-own" {
		t.Errorf("the original host saw %d requests; the client got %q", len(seen), out)
	}
}

func TestSecondDetourOnTheSamePort(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil, "", "alice")
	_, port, _ := strings.Cut(w.api, ":")
	_, err := w.run(t, nil, binary, "serve", "--port", port)
	if err == nil || !strings.Contains(err.Error(), "address already in use") || !strings.Contains(err.Error(), "hint:") {
		t.Errorf("got %v", err)
	}
}

func TestServeNeedsConsentToBeReachable(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil, "", "alice")
	_, err := w.run(t, nil, binary, "serve", "--host", "0.0.0.0", "--port", "0")
	if err == nil || !strings.Contains(err.Error(), "--insecure-allow-remote") || !strings.Contains(err.Error(), "exit status 2") {
		t.Errorf("got %v", err)
	}
}
