//go:build e2e

package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"detour/internal/sim"
)

// agent is a coding agent, as it comes from npm. It is asked to run a tool: the simulated model calls the agent's own
// shell and answers from what that printed.
type agent struct {
	name   string
	family string   // folder of its packages; several agents may share one
	pins   []string // packages
	node   bool     // run by the Node of its packages, because it needs a newer one than machines have
	bin    string   // below node_modules
	slow   bool     // left to `make e2e-all`
	env    []string
	models []string // of its own dialect, and of each other one; NAME=MODEL for a name that the owner gives a model
	argv   func(model, question string) []string
	// at points the agent at base, which is the API door's address, or the host that the agent has built in and that the
	// proxy intercepts: variables, arguments in front, and files in its home.
	at func(base, model string) (env, front []string, files map[string]string)
	// host is the origin that the agent calls by itself.
	host string
	// beside is how many requests the agent makes beside the task, such as for a title, that a person is billed for.
	beside int
	config string // of detour
	// socket names the doors through which the agent speaks over a WebSocket.
	socket []string
	// clean says that the upstream must refuse none of its requests, however far it is ahead of it.
	clean bool
}

func TestUnmodifiedAgentsRunTheirToolsOnEveryModel(t *testing.T) {
	t.Parallel()
	for _, a := range agents() {
		t.Run(a.name, func(t *testing.T) {
			t.Parallel()
			if a.slow && os.Getenv("DETOUR_E2E_ALL") == "" {
				t.Skip("left to `make e2e-all`")
			}
			dir := npm(t, a.family, a.pins...)
			config := a.config + "\n[models.alias]\n"
			for _, model := range a.models {
				if name, to, ok := strings.Cut(model, "="); ok {
					config += fmt.Sprintf("%q = %q\n", name, to)
				}
			}
			w := newWorld(t, &sim.Scenario{Brain: sim.ShellBrain("echo hello-from-tool"), Messages: sim.Messages{RejectBetas: true, RejectTTL: true}}, config, "alice")
			for _, model := range a.models {
				for _, door := range []string{"proxy", "api"} {
					t.Run(model+" through the "+door+" door", func(t *testing.T) { a.check(t, w, dir, model, door) })
				}
			}
			refused := w.sim.Requests(func(r sim.Request) bool { return r.Plane == sim.PlaneCopilot && r.Status != 200 })
			if a.clean && len(refused) > 0 {
				t.Errorf("%d requests were refused upstream, the first one: %s", len(refused), refused[0].Body)
			}
		})
	}
}

// command is the agent's command line less its arguments.
func (a agent) command(dir string) []string {
	program := filepath.Join(dir, "node_modules", a.bin)
	if a.node {
		return []string{filepath.Join(dir, "node_modules", "node", "bin", "node"), program}
	}
	return []string{program}
}

func (a agent) check(t *testing.T, w *world, dir, model, door string) {
	model, upstream, renamed := strings.Cut(model, "=")
	if !renamed {
		upstream = model
	}
	question := fmt.Sprintf("run the tool %s %s %s", a.name, strings.ReplaceAll(model, ".", "-"), door)
	home := t.TempDir()
	base := a.host
	if door == "api" {
		base = "http://" + w.api
	}
	env := append([]string{"HOME=" + home, "DETOUR_HOME=" + filepath.Join(w.home, "detour")}, a.env...)
	more, front, files := a.at(base, model)
	for name, content := range files {
		path := filepath.Join(home, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	command := append(a.command(dir), front...)
	if door == "proxy" {
		command = append([]string{binary, "proxy", "exec", "--port", w.proxyPort(), "--"}, command...)
	}
	out, err := w.run(t, append(env, more...), append(command, a.argv(model, question)...)...)
	if err != nil || !strings.Contains(out, "simulated answer from "+upstream) || !strings.Contains(out, "hello-from-tool") {
		t.Fatalf("the agent said %q, %v", out, err)
	}
	seen := w.answered(question)
	if len(seen) < 2 {
		t.Fatalf("the simulated Copilot saw %d requests, want the question and the tool's answer", len(seen))
	}
	if len(seen) > 8 {
		t.Errorf("the simulated Copilot saw %d requests for one task: something goes round", len(seen))
	}
	user, agentTurns := 0, 0
	for _, r := range seen {
		switch {
		case r.Status != 200: // refused once and mended
		case r.Initiator == "user":
			user++
		default:
			agentTurns++
		}
		if strings.Contains(string(r.Body), "x-anthropic-billing-header") {
			t.Error("what differs in every request stands in front of the prompt")
		}
		for name, v := range r.Header {
			if strings.Contains(strings.Join(v, " "), "sk-client-own") {
				t.Errorf("%s carries the client's credential", name)
			}
		}
	}
	if user < 1 || user > 1+a.beside || agentTurns == 0 {
		t.Errorf("billed as %d user and %d agent requests, want 1 (and up to %d beside the task) and at least 1", user, agentTurns, a.beside)
	}
	over, plain := w.transports(model, door)
	if socket := slices.Contains(a.socket, door); socket && (len(over) < 2 || len(plain) > 0) || !socket && len(over) > 0 {
		t.Errorf("%d exchanges over a WebSocket and %d over HTTP:\n%s\n%s", len(over), len(plain), strings.Join(over, "\n"), strings.Join(plain, "\n"))
	}
}

// transports returns the log lines of exchanges with a model through a door: those of WebSockets, and the others.
func (w *world) transports(model, door string) (socket, plain []string) {
	for line := range strings.Lines(w.stderr.String()) {
		switch {
		case !strings.Contains(line, "msg=exchange") || !strings.Contains(line, "requested_model="+model+" ") || !strings.Contains(line, "door="+door+" "):
		case strings.Contains(line, " transport=websocket "):
			socket = append(socket, line)
		default:
			plain = append(plain, line)
		}
	}
	return socket, plain
}

// What Codex does where detour remembers nothing, too little, or where an answer breaks off.
func TestCodexOverAWebSocketThatFailsIt(t *testing.T) {
	t.Parallel()
	all := agents()
	codex := all[slices.IndexFunc(all, func(a agent) bool { return a.name == "codex" })]
	dir := npm(t, codex.family, codex.pins...)
	for _, tc := range []struct {
		name, config string
		faults       []sim.Fault
		socket       bool   // it uses one
		says         string // in the log
	}{
		{"no WebSocket is served", "[limits]\nresponse_memory = 0\n", nil, false, "error=websocket_unsupported"},
		{"answers are forgotten", "[limits]\nresponse_memory = \"2KiB\"\n", nil, true, "error=previous_response_not_found"},
		{"an answer is cut", "", []sim.Fault{{On: sim.OpMessages, Name: "abort", Arg: "1"}}, true, "error=network"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			const model, question = "claude-sonnet-4.6", "run the tool in spite of it"
			w := newWorld(t, &sim.Scenario{Brain: sim.ShellBrain("echo hello-from-tool"), Messages: sim.Messages{Lenient: true}, Faults: tc.faults}, tc.config, "alice")
			env := append([]string{"HOME=" + t.TempDir(), "DETOUR_HOME=" + filepath.Join(w.home, "detour")}, codex.env...)
			command := append([]string{binary, "proxy", "exec", "--port", w.proxyPort(), "--"}, append(codex.command(dir), codex.argv(model, question)...)...)
			out, err := w.run(t, env, command...)
			if err != nil || !strings.Contains(out, "simulated answer from "+model) || !strings.Contains(out, "hello-from-tool") {
				t.Fatalf("the agent said %q, %v", out, err)
			}
			over, plain := w.transports(model, "proxy")
			if tc.socket != (len(over) > 0) || tc.socket != (len(plain) == 0) {
				t.Errorf("%d exchanges over a WebSocket and %d over HTTP", len(over), len(plain))
			}
			if n := strings.Count(w.stderr.String(), tc.says); n == 0 || n > 2 {
				t.Errorf("%q is %d times in the log", tc.says, n)
			}
		})
	}
}
