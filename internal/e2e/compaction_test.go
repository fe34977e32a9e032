//go:build e2e

package e2e_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"detour/internal/sim"
)

// compacting is a model that works with a shell until its conversation is compacted, and answers then. Asked for a
// summary it states a fact.
func compacting(r sim.BrainRequest) sim.BrainAnswer {
	body := string(r.Body)
	switch {
	case strings.Contains(body, "Stop the task here."), strings.Contains(body, "CONTEXT CHECKPOINT COMPACTION"):
		return sim.BrainAnswer{Text: "SUMMARY: the shell said hello-from-tool"}
	case strings.Contains(body, "SUMMARY: "), strings.Contains(body, `"type":"compaction"`):
		return sim.BrainAnswer{}
	}
	return sim.ShellBrain("echo hello-from-tool")(r)
}

// Codex compacts its conversation in the middle of a turn, because it is told that the window is tiny, and goes on.
func TestUnmodifiedCodexCompactsOnEveryModel(t *testing.T) {
	t.Parallel()
	codex := agents()[slices.IndexFunc(agents(), func(a agent) bool { return a.name == "codex" })]
	dir := npm(t, codex.family, codex.pins...)
	w := newWorld(t, &sim.Scenario{Brain: compacting, Messages: sim.Messages{Lenient: true}}, "", "alice")
	for _, tc := range []struct {
		model, door, provider string // provider is how Codex calls whom it talks to through the API door
		native                bool
	}{
		{"gpt-5.4", "proxy", "", true}, {"gpt-5-mini", "proxy", "", true}, {"claude-sonnet-4.6", "proxy", "", false}, {"gpt-4o", "proxy", "", false}, {"gemini-3.5-flash", "proxy", "", false},
		{"gpt-5.4", "api", "OpenAI", true}, {"claude-sonnet-4.6", "api", "OpenAI", false}, {"gpt-4o", "api", "OpenAI", false},
		{"gpt-4o", "api", "detour", false}, // where Codex does not ask for compactions it writes its own summary
	} {
		t.Run(tc.model+" through the "+tc.door+" door "+tc.provider, func(t *testing.T) {
			question := fmt.Sprintf("compact %s %s %s", strings.ReplaceAll(tc.model, ".", "-"), tc.door, tc.provider)
			env := append([]string{"HOME=" + t.TempDir(), "DETOUR_HOME=" + filepath.Join(w.home, "detour")}, codex.env...)
			command := append(codex.command(dir), "-c", "model_auto_compact_token_limit=500")
			if tc.door == "proxy" {
				command = append([]string{binary, "proxy", "exec", "--port", w.proxyPort(), "--"}, command...)
			} else {
				_, front, _ := codex.at("http://"+w.api, tc.model)
				command = append(append(command, front...), "-c", fmt.Sprintf("model_providers.detour.name=%q", tc.provider))
			}
			out, err := w.run(t, env, append(command, codex.argv(tc.model, question)...)...)
			if err != nil || !strings.Contains(out, "simulated answer from "+tc.model) {
				t.Fatalf("Codex said %q, %v", out, err)
			}
			if want := map[bool]string{true: "(compacted: " + question, false: "SUMMARY: the shell said hello-from-tool"}[tc.native]; tc.provider != "detour" && !strings.Contains(out, want) {
				t.Errorf("the answer does not know what was compacted: %q", out)
			}
			compacted, users := 0, 0
			for _, r := range w.answered(question) {
				body := string(r.Body)
				switch {
				case r.Status != 200: // refused once and mended
				case strings.Contains(body, `"compaction_trigger"`), strings.Contains(body, "Stop the task here."), strings.Contains(body, "CONTEXT CHECKPOINT COMPACTION"):
					compacted++
					if r.Initiator != "agent" {
						t.Errorf("a compaction is billed to %q", r.Initiator)
					}
				case r.Initiator == "user":
					users++
				}
				if strings.Contains(body, "dtr1") {
					t.Errorf("detour's own words went up: %.300s", body)
				}
			}
			if compacted != 1 || users == 0 || tc.provider != "detour" && users != 1 {
				t.Errorf("%d compactions, %d requests billed to a user", compacted, users)
			}
		})
	}
}

// Any other client asks at the endpoint, here curl with bodies as Codex compresses them.
func TestCurlCompactsThroughBothDoors(t *testing.T) {
	t.Parallel()
	need(t, "curl", "bash")
	w := newWorld(t, &sim.Scenario{Brain: compacting}, "", "alice")
	packer, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer packer.Close()
	post := func(t *testing.T, base, path, body string) string {
		t.Helper()
		file := filepath.Join(t.TempDir(), "body.zst")
		if err := os.WriteFile(file, packer.EncodeAll([]byte(body), nil), 0o600); err != nil {
			t.Fatal(err)
		}
		return w.inShell(t, "bash", fmt.Sprintf("curl -sS --fail-with-body -H 'Content-Type: application/json' -H 'Content-Encoding: zstd' --data-binary @%s %s%s", file, base, path))
	}
	for door, base := range map[string]string{"proxy": "https://api.openai.com/v1", "api": "http://" + w.api + "/v1"} {
		for _, model := range []string{"gpt-5.4", "gpt-5-mini", "claude-haiku-4.5", "gpt-4o"} {
			t.Run(model+" through the "+door+" door", func(t *testing.T) {
				t.Parallel()
				var compacted struct {
					Object string
					Output []json.RawMessage
				}
				answer := post(t, base, "/responses/compact", fmt.Sprintf(`{"model":%q,"input":[{"role":"user","content":"the port is 8443"},{"role":"assistant","content":"noted"}]}`, model))
				if err := json.Unmarshal([]byte(answer), &compacted); err != nil || compacted.Object != "response.compaction" || len(compacted.Output) != 3 {
					t.Fatalf("%v in %s", err, answer)
				}
				items, _ := json.Marshal(append(compacted.Output, json.RawMessage(`{"type":"message","role":"user","content":[{"type":"input_text","text":"and now?"}]}`)))
				answer = post(t, base, "/responses", fmt.Sprintf(`{"model":%q,"input":%s}`, model, items))
				if !strings.Contains(answer, "to: and now?") {
					t.Errorf("then: %s", answer)
				}
				seen := w.answered("and now?")
				if body := string(seen[len(seen)-1].Body); !strings.Contains(body, "the port is 8443") {
					t.Errorf("the model got %s", body)
				}
			})
		}
	}
}
