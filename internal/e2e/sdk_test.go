//go:build e2e

package e2e_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"detour/internal/sim"
)

// sdk is a library of a vendor's, or of many programs, as it comes from npm.
type sdk struct {
	name, family string
	pins         []string
	models       []string
}

func sdks() []sdk {
	official := []string{node22, "openai@7.55.0", "@anthropic-ai/sdk@1.11.0", "@google/genai@3.1.0"}
	vercel := []string{node22, "ai@7.0.173", "@ai-sdk/openai@4.0.118", "@ai-sdk/anthropic@4.0.105", "@ai-sdk/openai-compatible@3.0.92", "@ai-sdk/google@4.0.121"}
	return []sdk{
		{"openai", "sdks", official, chatFirst},
		{"anthropic", "sdks", official, messagesFirst[:3]},
		{"genai", "sdks", official, []string{"gemini-3.5-flash", "gpt-5.4", "claude-sonnet-4.6"}},
		{"ai", "ai-sdk", vercel, chatFirst},
	}
}

func TestUnmodifiedSDKsOnModelsOfEveryDialect(t *testing.T) {
	t.Parallel()
	for _, s := range sdks() {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			dir := npm(t, s.family, s.pins...)
			w := newWorld(t, &sim.Scenario{Messages: sim.Messages{Lenient: true}}, "", "alice")
			for _, model := range s.models {
				for _, door := range []string{"proxy", "api"} {
					t.Run(model+" through the "+door+" door", func(t *testing.T) { s.check(t, w, dir, model, door) })
				}
			}
		})
	}
}

func (s sdk) check(t *testing.T, w *world, dir, model, door string) {
	for _, name := range []string{"steps.mjs", s.name + ".mjs"} { // beside node_modules, where Node looks for packages
		script, err := os.ReadFile(filepath.Join("testdata", "sdk", name))
		if err != nil {
			t.Fatal(err)
		}
		if old, err := os.ReadFile(filepath.Join(dir, name)); err == nil && string(old) == string(script) {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, name), script, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	marker := "sdk-" + s.name + "-" + strings.ReplaceAll(model, ".", "-") + "-" + door
	base, command := "http://"+w.api, []string{filepath.Join(dir, "node_modules", "node", "bin", "node"), filepath.Join(dir, s.name+".mjs")}
	if door == "proxy" {
		base, command = "", append([]string{binary, "proxy", "exec", "--port", w.proxyPort(), "--"}, command...)
	}
	env := []string{"HOME=" + t.TempDir(), "DETOUR_HOME=" + filepath.Join(w.home, "detour")}
	out, err := w.run(t, env, append(command, base, model, marker)...)
	for line := range strings.Lines(out) {
		if !strings.HasPrefix(line, "ok ") {
			t.Error(strings.TrimSpace(line))
		}
	}
	if n := strings.Count(out, "ok "); err != nil || n < 6 {
		t.Errorf("%d steps went well: %v", n, err)
	}
	for _, r := range w.answered(marker) {
		for name, v := range r.Header {
			if strings.Contains(strings.Join(v, " "), "sk-client-own") {
				t.Errorf("%s carries the client's credential", name)
			}
		}
	}
}

// A stream that lost its end makes opencode begin the next step again and again, for as long as nobody stops it, each
// time at the owner's cost.
func TestOpencodeStopsWhenTheUpstreamDiesInMidStream(t *testing.T) {
	t.Parallel()
	if os.Getenv("DETOUR_E2E_ALL") == "" {
		t.Skip("left to `make e2e-all`")
	}
	for _, a := range opencodeAgents() {
		for _, fault := range []string{"eof", "rst"} {
			t.Run(a.name+" "+fault, func(t *testing.T) {
				t.Parallel()
				dir := npm(t, a.family, a.pins...)
				w := newWorld(t, &sim.Scenario{Messages: sim.Messages{Lenient: true}}, "", "alice")
				home := t.TempDir()
				_, _, files := a.at("http://"+w.api, a.models[0])
				for name, content := range files {
					if err := os.MkdirAll(filepath.Dir(filepath.Join(home, name)), 0o700); err != nil {
						t.Fatal(err)
					}
					if err := os.WriteFile(filepath.Join(home, name), []byte(content), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				marker := "dying-" + a.name
				start := time.Now()
				out, err := w.run(t, []string{"HOME=" + home}, append(a.command(dir), a.argv(a.models[0], marker+" [[sim:chunks=5]] [[sim:fault="+fault+"=2]]")...)...)
				n := len(w.answered(marker))
				t.Logf("%d requests in %v: %v %.200s", n, time.Since(start).Round(time.Second), err, out)
				if n == 0 || n > 20 {
					t.Errorf("the simulated Copilot saw %d requests, want a few", n)
				}
			})
		}
	}
}
