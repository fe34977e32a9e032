package app_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"detour/internal/app"
	"detour/internal/config"
	"detour/internal/secret"
	"detour/internal/sim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is a wall clock that tests set.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

type logs struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// world is a whole detour in this process, with its simulated upstream.
type world struct {
	t    *testing.T
	sim  *sim.Sim
	app  *app.App
	logs *logs
	stop func()
}

func newWorld(t *testing.T, scenario *sim.Scenario, change func(*app.Options), accounts ...string) *world {
	t.Helper()
	w := &world{t: t, logs: &logs{}}
	home := t.TempDir()
	o := app.Options{API: true, Proxy: true, Version: "test", Logger: slog.New(slog.NewTextHandler(w.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	so := sim.Options{TLS: true, HTTP2: true, Scenario: scenario}
	env := map[string]string{"DETOUR_HOME": home}
	o.Env = func(k string) string { return env[k] }
	var err error
	if o.Paths, err = config.FindPaths(o.Env); err != nil {
		t.Fatal(err)
	}
	if o.Config, err = config.Load(o.Paths.Config); err != nil {
		t.Fatal(err)
	}
	o.Config.Server.Port, o.Config.ProxyMode.Port, o.Config.Server.ShutdownGrace = 0, 0, 2*time.Second
	if change != nil {
		change(&o)
	}
	so.Now = o.Now
	if w.sim, err = sim.Start(so); err != nil {
		t.Fatal(err)
	}
	for k, v := range w.sim.Env() {
		if _, set := env[k]; !set {
			env[k] = v
		}
	}
	o.Config.ProxyMode.Hosts = map[string]string{}
	for _, h := range []string{"api.openai.com", "api.anthropic.com", "api.githubcopilot.com", "www.example.test", "chatgpt.com", "generativelanguage.googleapis.com", "api.deepseek.com", "openrouter.ai", "api.z.ai", "open.bigmodel.cn", "opencode.ai"} {
		o.Config.ProxyMode.Hosts[h] = w.sim.OriginAddr()
	}
	for _, a := range accounts {
		if provider, name, ok := strings.Cut(a, ":"); ok { // an account of a service that is reached with a key
			service := strings.TrimSuffix(name, "-2")
			o.Config.Accounts = append(o.Config.Accounts, config.Account{
				ID: name, Provider: provider, APIKey: secret.New(w.sim.Account(name).Token()), BaseURL: w.sim.ServiceURL(service), Source: "test",
			})
			continue
		}
		o.Config.Accounts = append(o.Config.Accounts, config.Account{ID: a, Provider: "github-copilot", GitHubToken: secret.New(w.sim.Account(a).Token()), Source: "test"})
	}
	if w.app, err = app.New(t.Context(), o); err != nil {
		_ = w.sim.Close()
		t.Fatal(err)
	}
	w.app.Start(t.Context())
	w.stop = sync.OnceFunc(func() {
		if err := w.app.Stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
		if err := w.sim.Close(); err != nil {
			t.Errorf("close sim: %v", err)
		}
	})
	t.Cleanup(w.stop)
	return w
}

// client goes through the proxy and trusts the CA.
func (w *world) client(h2 bool) *http.Client {
	roots := x509.NewCertPool()
	roots.AddCert(w.app.CA().Root())
	roots.AppendCertsFromPEM(w.sim.CAPEM())
	p := new(http.Protocols)
	p.SetHTTP1(!h2)
	p.SetHTTP2(h2)
	tr := &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: w.app.ProxyAddr()}), Protocols: p, TLSClientConfig: &tls.Config{RootCAs: roots}}
	w.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

func (w *world) ask(c *http.Client, question string) (int, string) {
	w.t.Helper()
	body := fmt.Sprintf(`{"model":"gpt-4o","messages":[{"role":"user","content":%q}]}`, question)
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, "https://api.openai.com/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func TestEightHourClockJump(t *testing.T) {
	t.Parallel()
	for _, jump := range []time.Duration{8 * time.Hour, -8 * time.Hour} {
		t.Run(jump.String(), func(t *testing.T) {
			t.Parallel()
			clk := &clock{t: time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)}
			w := newWorld(t, nil, func(o *app.Options) { o.Now = clk.now }, "alice")
			c := w.client(true)
			if status, b := w.ask(c, "before"); status != 200 {
				t.Fatalf("before: %d %s", status, b)
			}
			clk.add(jump)
			for i := range 3 {
				if status, b := w.ask(c, "after"); status != 200 {
					t.Errorf("after, %d: %d %s", i, status, b)
				}
			}
			if n := w.sim.Account("alice").Exchanges(); n != 2 {
				t.Errorf("%d exchanges, want one before and one after", n)
			}
			refused := w.sim.Requests(func(r sim.Request) bool { return r.Status == http.StatusUnauthorized })
			if len(refused) != 0 {
				t.Errorf("%d requests went out with a token that was over", len(refused))
			}
		})
	}
}

func TestStopLeavesNoFileDescriptor(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("counts /proc/self/fd")
	}
	count := func() int {
		e, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(e)
	}
	before := count()
	w := newWorld(t, nil, nil, "alice")
	c := w.client(true)
	for range 5 {
		w.ask(c, "hello")
	}
	c.CloseIdleConnections()
	w.stop()
	if after := count(); after > before+2 { // the runtime's own poller may stay
		t.Errorf("%d file descriptors before, %d after", before, after)
	}
}

func TestInvariant8_NoSecretReachesTheLog(t *testing.T) {
	t.Parallel()
	w := newWorld(t, &sim.Scenario{Faults: []sim.Fault{
		{On: sim.OpExchange, Status: 500, Body: "echo ghu_sim_alice_" + sim.Marker, Times: 1},
		{Name: "401", Times: 1},
	}}, nil, "alice", "frank", "heidi")
	c := w.client(true)
	for range 4 {
		w.ask(c, "hello")
	}
	w.stop()
	log := w.logs.String()
	if !strings.Contains(log, "exchange") {
		t.Fatalf("the log is empty: %s", log)
	}
	if i := strings.Index(log, sim.Marker); i >= 0 {
		t.Errorf("a secret is in the log: …%s…", log[max(0, i-200):min(len(log), i+40)])
	}
	if strings.Contains(log, "tid=") {
		t.Errorf("a Copilot token is in the log")
	}
}

func TestTheProxyAnswersForItself(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil, nil)
	for _, h2 := range []bool{false, true} {
		resp, err := w.client(h2).Get("https://detour.test/")
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if !strings.Contains(string(b), `"proxy":true`) || !strings.Contains(string(b), w.app.CAInfo().SHA256) {
			t.Errorf("got %s", b)
		}
	}
}

func TestOwnAddressesAreServedAndNeverLooped(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil, nil, "alice")
	proxy := &url.URL{Scheme: "http", Host: w.app.ProxyAddr()}
	force := func(*http.Request) (*url.URL, error) { return proxy, nil } // loopback too
	tr := &http.Transport{Proxy: force}
	defer tr.CloseIdleConnections()
	c := &http.Client{Transport: tr}
	for _, addr := range []string{w.app.APIAddr(), w.app.ProxyAddr(), strings.Replace(w.app.APIAddr(), "127.0.0.1", "localhost", 1)} {
		resp, err := c.Get("http://" + addr + "/health") // absolute-form
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != 200 || !strings.Contains(string(b), `"status"`) {
			t.Errorf("absolute-form %s: %d %s", addr, resp.StatusCode, b)
		}
		conn, err := net.Dial("tcp", w.app.ProxyAddr()) // CONNECT, then plain HTTP inside, as some agents do for any URL
		if err != nil {
			t.Fatal(err)
		}
		_, _ = fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\nGET /health HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", addr, addr, addr)
		b, _ = io.ReadAll(conn)
		_ = conn.Close()
		if !strings.HasPrefix(string(b), "HTTP/1.1 200") || !strings.Contains(string(b), `"uptime_seconds"`) {
			t.Errorf("CONNECT %s: %q", addr, b)
		}
	}
}

func TestStartFailuresUndoThemselves(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	home := t.TempDir()
	env := func(k string) string { return map[string]string{"DETOUR_HOME": home}[k] }
	paths, _ := config.FindPaths(env)
	cfg, err := config.Load(paths.Config)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Server.Port, cfg.ProxyMode.Port = 0, taken.Addr().(*net.TCPAddr).Port
	_, err = app.New(context.Background(), app.Options{Config: cfg, Paths: paths, Env: env, Logger: slog.New(slog.DiscardHandler), API: true, Proxy: true})
	if err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(filepath.Join(home, "ca")); err == nil {
		t.Error("a CA was made although nothing could start")
	}
}

// reloadUnder reads the file again, as serve does under its flags: what the test set up stays.
func reloadUnder(paths config.Paths, base *config.Config) func() (*config.Config, error) {
	return func() (*config.Config, error) {
		c, err := config.Load(paths.Config)
		if err != nil {
			return nil, err
		}
		c.Accounts, c.Server, c.ProxyMode = base.Accounts, base.Server, base.ProxyMode
		return c, nil
	}
}

func TestChangedConfigurationIsTakenUpAndABrokenOneIsNot(t *testing.T) {
	t.Parallel()
	var paths config.Paths
	reloads := make(chan os.Signal, 1)
	w := newWorld(t, nil, func(o *app.Options) {
		paths, o.Reloads = o.Paths, reloads
		o.Reload = reloadUnder(o.Paths, o.Config)
	}, "alice", "ivan")
	c := w.client(true)
	route := func() string {
		resp, err := c.Post("https://api.openai.com/v1/chat/completions", "application/json", strings.NewReader(`{"model":"gpt-4o","messages":[{"role":"user","content":"x"}]}`))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		return fmt.Sprint(resp.StatusCode, " ", resp.Header.Get("X-Detour-Route"), " ", resp.Header.Get("X-Detour-Account"))
	}
	until := func(what string, ok func() bool) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); !ok(); {
			if time.Now().After(deadline) {
				t.Fatalf("%s: %s\n%s", what, route(), w.logs)
			}
			<-time.After(20 * time.Millisecond) // a real file on a real disk: there is nothing to wait on
		}
	}
	save := func(text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(paths.Config), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(paths.Config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	save("[[rules]]\nname = \"to-ivan\"\nmodel = \"gpt-*\"\naccounts = [\"ivan\"]\n\n[log]\nlevel = \"debug\"\n")
	until("the rule", func() bool { return route() == "200 route; rule=to-ivan ivan" })
	if !strings.Contains(w.logs.String(), "log.level") {
		t.Errorf("nothing says that log.level waits for a restart:\n%s", w.logs)
	}
	save("[[rules]]\nmode = \"rout\"\n")
	until("the report of the mistake", func() bool {
		return strings.Contains(w.logs.String(), "not reloaded") && strings.Contains(w.logs.String(), "line 2")
	})
	if got := route(); got != "200 route; rule=to-ivan ivan" {
		t.Errorf("after a broken file: %s", got)
	}
	if c := w.app.Health().Config; c == nil || !strings.Contains(c.Problem, "line 2: rules[0].mode") || c.Since.IsZero() || !slices.Equal(c.Restart, []string{"log.level"}) {
		t.Errorf("health after a broken file: %+v", c)
	}
	if n := strings.Count(w.logs.String(), "msg=reloaded"); n != 1 {
		t.Errorf("%d reloads were logged, want 1: a broken file is none\n%s", n, w.logs)
	}
	save("[[rules]]\nname = \"nobody\"\nproviders = [\"github-copilto\"]\n")
	until("the unknown provider", func() bool { return strings.Contains(w.logs.String(), "did you mean") })
	if got := route(); got != "200 route; rule=to-ivan ivan" {
		t.Errorf("after an unknown provider: %s", got)
	}
	n := strings.Count(w.logs.String(), "msg=reloaded")
	save("")
	reloads <- os.Interrupt // any signal will do here
	until("the signal", func() bool { return strings.Count(w.logs.String(), "msg=reloaded") > n })
	until("the end of the rule", func() bool { return strings.HasPrefix(route(), "200 route; door") })
	if c := w.app.Health().Config; c != nil {
		t.Errorf("health after a good file: %+v", c)
	}
}

// A change of config.toml that could not be used because of accounts.toml must not be forgotten until that is mended.
func TestAChangeWaitsForTheOtherFile(t *testing.T) {
	t.Parallel()
	var paths config.Paths
	reloads := make(chan os.Signal, 1)
	w := newWorld(t, nil, func(o *app.Options) {
		paths, o.Reloads = o.Paths, reloads
		o.Reload = reloadUnder(o.Paths, o.Config)
	}, "alice")
	until := func(what string, ok func() bool) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); !ok(); {
			if time.Now().After(deadline) {
				t.Fatalf("%s:\n%s", what, w.logs)
			}
			<-time.After(20 * time.Millisecond) // a real file on a real disk: there is nothing to wait on
		}
	}
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(paths.Accounts, "not toml [")
	write(paths.Config, "[models.alias]\nfast = \"gpt-4o\"\n")
	reloads <- os.Interrupt
	until("the broken file", func() bool {
		c := w.app.Health().Config
		return c != nil && strings.Contains(c.Problem, "accounts.toml")
	})
	write(paths.Accounts, "")
	until("the good one", func() bool { return w.app.Health().Config == nil })
	resp, err := w.client(true).Post("https://api.openai.com/v1/chat/completions", "application/json", strings.NewReader(`{"model":"fast","messages":[{"role":"user","content":"x"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if got := resp.Header.Get("X-Detour-Model"); resp.StatusCode != http.StatusOK || got != "gpt-4o" {
		t.Errorf("status %d, model %q: the alias was forgotten", resp.StatusCode, got)
	}
}

func TestASignInWhileRunningIsTakenUp(t *testing.T) {
	t.Parallel()
	var paths config.Paths
	w := newWorld(t, nil, func(o *app.Options) { paths = o.Paths })
	c := w.client(true)
	if status, b := w.ask(c, "nobody"); status != http.StatusServiceUnavailable || !strings.Contains(b, "detour login") {
		t.Errorf("without an account: %d %s", status, b)
	}
	save := func(name string) {
		t.Helper()
		if err := config.SaveAccount(paths.Accounts, config.Account{ID: name, Provider: "github-copilot", GitHubToken: secret.New(w.sim.Account(name).Token())}); err != nil {
			t.Fatal(err)
		}
	}
	until := func(what string, ok func() bool) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); !ok(); {
			if time.Now().After(deadline) {
				t.Fatalf("%s was not taken up:\n%s", what, w.logs)
			}
			<-time.After(20 * time.Millisecond) // a real file on a real disk: there is nothing to wait on
		}
	}
	save("alice")
	until("alice", func() bool { status, _ := w.ask(c, "one"); return status == 200 })
	exchanges := w.sim.Account("alice").Exchanges()
	save("ivan")
	until("ivan", func() bool { return len(w.app.Health().Accounts) == 2 })
	if status, _ := w.ask(c, "one"); status != 200 || w.sim.Account("alice").Exchanges() != exchanges {
		t.Errorf("status %d; alice exchanged %d times, was %d: an unchanged account must keep its lease", status, w.sim.Account("alice").Exchanges(), exchanges)
	}
	if err := os.WriteFile(paths.Accounts, []byte("not toml ["), 0o600); err != nil {
		t.Fatal(err)
	}
	until("the broken file's report", func() bool { return strings.Contains(w.logs.String(), "reload failed") })
	if status, _ := w.ask(c, "still"); status != 200 {
		t.Errorf("status %d after a broken file, want the accounts as they were", status)
	}
}
