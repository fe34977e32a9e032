//go:build e2e

package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"detour/internal/sim"
)

// binary is the detour that all tests run; TestMain builds it.
var binary string

func TestMain(m *testing.M) {
	if code, done := inNamespace(); done {
		os.Exit(code)
	}
	dir, err := os.MkdirTemp("", "detour-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binary = filepath.Join(dir, "detour")
	out, err := exec.Command("go", "build", "-o", binary, "detour/cmd/detour").CombinedOutput()
	if err != nil {
		fmt.Fprintf(os.Stderr, "build detour: %v\n%s", err, out)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// world is a running detour between this machine's tools and a simulated upstream.
type world struct {
	t          *testing.T
	sim        *sim.Sim
	home       string
	env        []string // of an owner's shell, before `proxy env`
	api, proxy string   // host:port
	serve      *exec.Cmd
	stderr     *tail
}

// site is an ordinary site that nobody intercepts.
const site = "www.example.test"

// tail keeps what a process prints and lets a test wait for a line.
type tail struct {
	mu    sync.Mutex
	all   bytes.Buffer
	lines chan string
}

func (t *tail) follow(cmd *exec.Cmd) error {
	r, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	t.lines = make(chan string, 4096)
	go func() { // ends with the process; joined by cmd.Wait's closing the pipe
		defer close(t.lines)
		sc := bufio.NewScanner(r)
		sc.Buffer(nil, 1<<20)
		for sc.Scan() {
			t.mu.Lock()
			t.all.WriteString(sc.Text() + "\n")
			t.mu.Unlock()
			select {
			case t.lines <- sc.Text():
			default:
			}
		}
	}()
	return nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.all.String()
}

// newWorld starts sim and detour. tokens are names of simulated accounts; config is appended to config.toml.
func newWorld(t *testing.T, scenario *sim.Scenario, config string, accounts ...string) *world {
	t.Helper()
	s, err := sim.Start(sim.Options{TLS: true, HTTP2: true, Seed: 7, Scenario: scenario})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	w := &world{t: t, sim: s, home: t.TempDir(), stderr: &tail{}}
	w.env = []string{
		"PATH=" + filepath.Dir(binary) + string(os.PathListSeparator) + os.Getenv("PATH"), "HOME=" + w.home, "LANG=C.UTF-8",
		"DETOUR_HOME=" + filepath.Join(w.home, "detour"), "GIT_TERMINAL_PROMPT=0", "TMPDIR=" + os.TempDir(),
	}
	for _, name := range []string{"SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "NODE_EXTRA_CA_CERTS"} {
		w.env = append(w.env, name+"="+s.CAPath()) // the owner trusts the simulated sites
	}
	for k, v := range s.Env() {
		w.env = append(w.env, k+"="+v)
	}
	var toml strings.Builder
	fmt.Fprintf(&toml, "[server]\nshutdown_grace = \"3s\"\n[log]\nlevel = \"debug\"\n[proxy_mode.hosts]\n")
	// The second line is what agents call beside their model: nothing may leave this machine.
	for _, h := range []string{
		"api.openai.com", "api.anthropic.com", "api.githubcopilot.com", site,
		"generativelanguage.googleapis.com", "play.googleapis.com", "opencode.ai",
		"chatgpt.com", "ab.chatgpt.com", "github.com", "api.github.com", "raw.githubusercontent.com", "statsig.anthropic.com", "mcp-proxy.anthropic.com", "downloads.claude.ai", "storage.googleapis.com",
	} {
		fmt.Fprintf(&toml, "%q = %q\n%q = %q\n", h+":443", s.OriginAddr(), h+":80", s.PlainAddr())
	}
	for _, h := range []string{"models.opencode.ai", "models.dev"} { // lists that agents believe: better none
		fmt.Fprintf(&toml, "%q = %q\n", h+":443", "127.0.0.1:9")
	}
	toml.WriteString(config)
	for _, a := range accounts {
		fmt.Fprintf(&toml, "\n[[accounts]]\nid = %q\nprovider = \"github-copilot\"\ngithub_token = %q\n", a, s.Account(a).Token())
	}
	w.write("detour/config.toml", toml.String())
	w.start()
	return w
}

func (w *world) write(name, content string) {
	w.t.Helper()
	path := filepath.Join(w.home, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

var address = regexp.MustCompile(`^\s+(API|proxy)\s+https?://([0-9.\[\]:]+:[0-9]+)`)

// start runs `detour serve --with-proxy` on free ports and waits until it says where it listens.
func (w *world) start(flags ...string) {
	w.t.Helper()
	w.serve = exec.Command(binary, append([]string{"serve", "--with-proxy", "--port", "0", "--proxy-port", "0"}, flags...)...)
	w.stderr = &tail{}
	w.serve.Env = w.env
	if err := w.stderr.follow(w.serve); err != nil {
		w.t.Fatal(err)
	}
	if err := w.serve.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if w.serve.ProcessState == nil {
			w.stop()
		}
		if w.t.Failed() {
			w.t.Logf("detour printed:\n%s", w.stderr)
		}
	})
	deadline := time.After(20 * time.Second)
	for w.api == "" || w.proxy == "" {
		select {
		case line, ok := <-w.stderr.lines:
			if !ok {
				w.t.Fatalf("detour ended at once:\n%s", w.stderr)
			}
			if m := address.FindStringSubmatch(line); m != nil && m[1] == "API" {
				w.api = m[2]
			} else if m != nil {
				w.proxy = m[2]
			}
		case <-deadline:
			w.t.Fatalf("detour does not say where it listens:\n%s", w.stderr)
		}
	}
}

// stop interrupts detour and checks that it ends by itself.
func (w *world) stop() {
	_ = w.serve.Process.Signal(syscall.SIGINT)
	timer := time.AfterFunc(15*time.Second, func() { _ = w.serve.Process.Kill() })
	err := w.serve.Wait()
	if !timer.Stop() {
		w.t.Errorf("detour did not end after an interrupt")
	} else if err != nil {
		w.t.Errorf("detour ended with %v", err)
	}
}

func (w *world) proxyPort() string {
	_, port, _ := net.SplitHostPort(w.proxy)
	return port
}

// need skips the test, with a word, where a program is missing.
func need(t *testing.T, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("%s is not on this machine", p)
		}
	}
}

// run executes argv in the owner's environment plus env and returns its output.
func (w *world) run(t *testing.T, env []string, argv ...string) (stdout string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	c := exec.CommandContext(ctx, argv[0], argv[1:]...)
	c.Env, c.Dir = append(append([]string{}, w.env...), env...), w.home
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	if err = c.Run(); err != nil {
		err = fmt.Errorf("%s: %w\n%s%s", argv[0], err, out.String(), errs.String())
	}
	return out.String(), err
}

// shells are the ways in which each shell takes the variables in.
var shells = map[string]string{
	"sh":   `eval "$(detour proxy env --shell sh --port %[1]s)"`,
	"bash": `eval "$(detour proxy env --shell bash --port %[1]s)"`,
	"zsh":  `eval "$(detour proxy env --shell zsh --port %[1]s)"`,
	"fish": `detour proxy env --shell fish --port %[1]s | source`,
}

// inShell runs a command line in a shell that has evaluated `detour proxy env`.
func (w *world) inShell(t *testing.T, shell, line string) string {
	t.Helper()
	out, err := w.run(t, nil, shell, "-c", fmt.Sprintf(shells[shell], w.proxyPort())+"\n"+line)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// answered returns the inference requests that the simulated Copilot saw with marker in their body.
func (w *world) answered(marker string) []sim.Request {
	return w.sim.Requests(func(r sim.Request) bool {
		return r.Plane == sim.PlaneCopilot && strings.Contains(string(r.Body), marker)
	})
}
