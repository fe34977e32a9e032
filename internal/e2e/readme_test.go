//go:build e2e

package e2e_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"detour/internal/sim"
)

// The documents whose command blocks a reader may paste. What each fence means:
//
//	sh       runs, in order, in one bash session for each document
//	python   runs with python3 in the same session
//	js       runs with Node 22 and the OpenAI SDK, in the environment of the same session
//	toml     is checked by docs_test.go at the root
//	text     is only looked at; right after a block that runs it is that block's output, where … stands for anything
//
// A block behind the comment <!-- another machine --> runs in a shell and a home folder of its own.
var documents = []string{"README.md", "docs/configuration.md", "docs/security.md"}

func TestREADMEBlocksRun(t *testing.T) {
	need(t, "bash", "make", "curl")
	for _, name := range documents {
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join("..", "..", name))
			if err != nil {
				t.Fatal(err)
			}
			blocks, err := fencedBlocks(string(text))
			if err != nil {
				t.Fatal(err)
			}
			r := newReader(t)
			output := ""
			for i, b := range blocks {
				ok := t.Run(fmt.Sprintf("%s:%d", b.language, b.line), func(t *testing.T) {
					if b.language == "text" {
						if i > 0 && b.follows && blocks[i-1].language != "text" {
							checkShown(t, b.text, output)
						}
						return
					}
					output = r.follow(t, b)
				})
				if !ok {
					t.Fatal("the blocks after this one build on it")
				}
			}
			r.leave(t)
			if name == "README.md" {
				r.checkServed(t)
			}
		})
	}
}

// block is one fenced block of a document.
type block struct {
	language string
	line     int
	text     string
	follows  bool // nothing but blank lines stand between it and the block before
	away     bool // belongs to another machine
}

func fencedBlocks(document string) ([]block, error) {
	var blocks []block
	var open *block
	follows, away := false, false
	for i, line := range strings.Split(document, "\n") {
		language, fence := strings.CutPrefix(line, "```")
		switch {
		case fence && open != nil:
			blocks, open, follows, away = append(blocks, *open), nil, true, false
		case fence:
			open = &block{language: language, line: i + 1, follows: follows, away: away}
			switch language {
			case "sh", "python", "js", "toml", "text":
			default:
				return nil, fmt.Errorf("line %d: a block in %q neither runs nor shows output", i+1, language)
			}
		case open != nil:
			open.text += line + "\n"
		case line == "<!-- another machine -->":
			away = true
		case strings.TrimSpace(line) != "":
			follows, away = false, false
		}
	}
	if open != nil {
		return nil, fmt.Errorf("line %d: the block has no end", open.line)
	}
	return blocks, nil
}

// reader is somebody who follows a document, on a machine whose GitHub is simulated.
type reader struct {
	*session
	sim        *sim.Sim
	dir, root  string
	api, proxy string // the ports that stand in for the default ones
	away       string // home folder of the other machine
}

func newReader(t *testing.T) *reader {
	t.Helper()
	s, err := sim.Start(sim.Options{TLS: true, HTTP2: true, Seed: 11, Scenario: &sim.Scenario{Login: sim.Login{Interval: 1}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	r := &reader{sim: s, dir: t.TempDir(), root: root, api: freePort(t), proxy: freePort(t)}
	r.away = filepath.Join(r.dir, "away")
	home := filepath.Join(r.dir, "home")
	var toml strings.Builder
	fmt.Fprintf(&toml, "[server]\nport = %s\n[proxy_mode]\nport = %s\n[proxy_mode.hosts]\n", r.api, r.proxy)
	for _, h := range []string{"api.openai.com", "api.anthropic.com", "api.githubcopilot.com", "example.com"} {
		fmt.Fprintf(&toml, "%q = %q\n%q = %q\n", h+":443", s.OriginAddr(), h+":80", s.PlainAddr())
	}
	// The GitHub CLI, signed in as ivan; somebody else signs in by the device flow.
	gh := "#!/bin/sh\necho '" + s.Account("ivan").Token() + "'\n"
	for path, content := range map[string]string{
		filepath.Join(home, ".config", "detour", "config.toml"): toml.String(),
		filepath.Join(r.dir, "bin", "gh"):                       gh,
		filepath.Join(home, ".curlrc"):                          "silent\nshow-error\nfail-with-body\n", // an error fails the example
		filepath.Join(r.away, ".keep"):                          "",
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(home, ".config", "detour", "config.toml"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.session = newSession(t, root, r.environ(t, home))
	return r
}

func (r *reader) environ(t *testing.T, home string) []string {
	t.Helper()
	list := string(os.PathListSeparator)
	env := []string{
		"PATH=" + filepath.Join(home, ".local", "bin") + list + filepath.Join(r.dir, "bin") + list + filepath.Dir(binary) + list + os.Getenv("PATH"),
		"HOME=" + home, "SHELL=/bin/bash", "LANG=C.UTF-8", "TMPDIR=" + r.dir, "GIT_TERMINAL_PROMPT=0",
	}
	for _, name := range []string{"GOCACHE", "GOMODCACHE", "GOPATH", "GOROOT", "GOFLAGS", "GOTOOLCHAIN"} {
		out, err := exec.Command("go", "env", name).Output()
		if err != nil {
			t.Fatal(err)
		}
		env = append(env, name+"="+strings.TrimSpace(string(out)))
	}
	for _, name := range []string{"SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "NODE_EXTRA_CA_CERTS"} {
		env = append(env, name+"="+r.sim.CAPath()) // the owner trusts the simulated sites
	}
	for k, v := range r.sim.Env() {
		env = append(env, k+"="+v)
	}
	return env
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// follow runs one block and returns what it printed.
func (r *reader) follow(t *testing.T, b block) string {
	t.Helper()
	text := strings.NewReplacer(
		// The test stays on loopback, and asks for keys as if it did not.
		"server.host 0.0.0.0", "server.require_keys true", "proxy_mode.host 0.0.0.0", "proxy_mode.host 127.0.0.1",
		"4141", r.api, "4142", r.proxy, "192.168.1.10", "127.0.0.1",
		"YOUR_KEY", r.find(`(?m)^(dtr_\S+)$`), "FINGERPRINT", r.find(`(?m)^ +([0-9a-f]{64})$`),
	).Replace(b.text)
	switch b.language {
	case "toml":
		return ""
	case "python":
		need(t, "python3")
		return r.run(t, "python3 "+quote(r.file(t, r.dir, fmt.Sprintf("%d.py", b.line), text)))
	case "js":
		dir := npm(t, "node22-openai", "node@22.23.3", "openai@7.55.0")
		script := r.file(t, dir, fmt.Sprintf("readme-%d.mjs", os.Getpid()), text)
		defer os.Remove(script)
		return r.run(t, quote(filepath.Join(dir, "node_modules", "node", "bin", "node"))+" "+quote(script))
	}
	if strings.TrimSpace(text) == "make test" {
		checkIsWhatCIRuns(t)
		return ""
	}
	if b.away {
		script := r.file(t, r.dir, fmt.Sprintf("%d.sh", b.line), text)
		return r.run(t, "env -i HOME="+quote(r.away)+` PATH="$PATH" LANG=C.UTF-8 bash --noprofile --norc -eu `+quote(script))
	}
	out := r.run(t, text)
	if regexp.MustCompile(`(?m)^detour serve.*&$`).MatchString(text) {
		r.await(t, `(?m)^  proxy  http://`)
	}
	return out
}

func (r *reader) file(t *testing.T, dir, name, content string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// checkIsWhatCIRuns stands in for `make test`, which would run this test again.
func checkIsWhatCIRuns(t *testing.T) {
	t.Helper()
	ci, err := os.ReadFile(filepath.Join("..", "..", ".ci", "run"))
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`(?m)^make test$`).Match(ci) {
		t.Error(".ci/run does not run `make test`")
	}
}

// checkServed checks that what the reader asked was answered by Copilot, in Copilot's own manner, from both accounts.
func (r *reader) checkServed(t *testing.T) {
	t.Helper()
	seen := r.sim.Requests(func(q sim.Request) bool {
		return q.Plane == sim.PlaneCopilot && q.Op != sim.OpModels
	})
	if len(seen) < 6 {
		t.Errorf("the simulated Copilot saw %d requests, want one for each example at least", len(seen))
	}
	for _, q := range seen {
		if q.Status != 200 {
			t.Errorf("%s %s was answered %d", q.Method, q.Path, q.Status)
		}
		if q.Header.Get("Copilot-Integration-Id") == "" || !strings.HasPrefix(q.Header.Get("Authorization"), "Bearer tid=") {
			t.Errorf("%s %s came without Copilot's headers", q.Method, q.Path)
		}
	}
}

// checkShown checks that every line that a document shows is among those that were printed. … stands for anything, and
// runs of spaces do not matter. Lines about a program that this machine lacks are passed over.
func checkShown(t *testing.T, shown, printed string) {
	t.Helper()
	for line := range strings.Lines(shown) {
		fields := strings.Fields(line)
		if len(fields) == 0 || line == "…\n" {
			continue
		}
		switch fields[0] {
		case "curl", "python3", "wget", "git":
			if _, err := exec.LookPath(fields[0]); err != nil {
				t.Logf("%s is not on this machine, its line was not compared", fields[0])
				continue
			}
		}
		pattern := strings.ReplaceAll(regexp.QuoteMeta(strings.Join(fields, " ")), "…", ".*")
		pattern = `(?m)^\s*` + strings.ReplaceAll(pattern, " ", `\s+`) + `\s*$`
		if !regexp.MustCompile(pattern).MatchString(printed) {
			t.Errorf("the document shows %q, which was not printed:\n%s", strings.TrimSpace(line), printed)
		}
	}
}
