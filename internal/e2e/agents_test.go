//go:build e2e

package e2e_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"detour/internal/sim"
)

// agent is a coding agent, as it comes from npm. It is asked to run a tool: the simulated model calls the agent's own
// shell and answers from what that printed.
type agent struct {
	name, pin string
	bin       string // below node_modules
	env       []string
	models    []string // of its own dialect, and of each other one
	argv      func(model, question string) []string
	// base points the agent at the API door instead of the proxy: variables, and arguments in front.
	base func(w *world) (env, argv []string)
}

func agents() []agent {
	return []agent{
		{
			name: "claude", pin: "@anthropic-ai/claude-code@2.1.329", bin: ".bin/claude",
			env:    []string{"ANTHROPIC_API_KEY=sk-client-own", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1", "DISABLE_AUTOUPDATER=1"},
			models: []string{"claude-sonnet-4.6", "gpt-5.4", "gpt-4o", "gemini-3.5-flash"},
			argv: func(model, question string) []string {
				return []string{"-p", question, "--model", model, "--allowedTools", "Bash"}
			},
			base: func(w *world) ([]string, []string) { return []string{"ANTHROPIC_BASE_URL=http://" + w.api}, nil },
		},
		{
			name: "codex", pin: "@openai/codex@0.169.0", bin: ".bin/codex",
			env:    []string{"OPENAI_API_KEY=sk-client-own", "CODEX_API_KEY=sk-client-own"},
			models: []string{"gpt-5.4", "claude-sonnet-4.6", "gpt-4o", "gemini-3.5-flash"},
			argv: func(model, question string) []string {
				return []string{"exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", "-m", model, question}
			},
			base: func(w *world) ([]string, []string) {
				return nil, []string{
					"-c", `model_provider="detour"`, "-c", `model_providers.detour.name="detour"`, "-c", `model_providers.detour.wire_api="responses"`,
					"-c", `model_providers.detour.base_url="http://` + w.api + `/v1"`, "-c", `model_providers.detour.env_key="OPENAI_API_KEY"`,
				}
			},
		},
	}
}

func TestUnmodifiedAgentsRunTheirToolsOnEveryModel(t *testing.T) {
	t.Parallel()
	for _, a := range agents() {
		t.Run(a.name, func(t *testing.T) {
			t.Parallel()
			dir := npm(t, a.name, a.pin)
			w := newWorld(t, &sim.Scenario{Brain: sim.ShellBrain("echo hello-from-tool"), Messages: sim.Messages{Lenient: true}}, "", "alice")
			for _, model := range a.models {
				for _, door := range []string{"proxy", "api"} {
					t.Run(model+" through the "+door+" door", func(t *testing.T) { a.check(t, w, dir, model, door) })
				}
			}
		})
	}
}

func (a agent) check(t *testing.T, w *world, dir, model, door string) {
	question := fmt.Sprintf("run the tool %s %s %s", a.name, strings.ReplaceAll(model, ".", "-"), door)
	argv := a.argv(model, question)
	env := append([]string{"HOME=" + t.TempDir(), "DETOUR_HOME=" + filepath.Join(w.home, "detour")}, a.env...)
	command := []string{filepath.Join(dir, "node_modules", a.bin)}
	if door == "proxy" {
		command = append([]string{binary, "proxy", "exec", "--port", w.proxyPort(), "--"}, command...)
	} else {
		more, front := a.base(w)
		env, command = append(env, more...), append(command, front...)
	}
	out, err := w.run(t, env, append(command, argv...)...)
	if err != nil || !strings.Contains(out, "simulated answer from "+model) || !strings.Contains(out, "hello-from-tool") {
		t.Fatalf("the agent said %q, %v", out, err)
	}
	seen := w.answered(question)
	if len(seen) < 2 {
		t.Fatalf("the simulated Copilot saw %d requests, want the question and the tool's answer", len(seen))
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
		for name, v := range r.Header {
			if strings.Contains(strings.Join(v, " "), "sk-client-own") {
				t.Errorf("%s carries the client's credential", name)
			}
		}
	}
	if user != 1 || agentTurns == 0 {
		t.Errorf("billed as %d user and %d agent requests, want 1 and at least 1", user, agentTurns)
	}
}
