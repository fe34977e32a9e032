//go:build e2e

package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// installing holds a lock for each folder of packages.
var installing sync.Map

// npm installs packages into a cache folder that survives the run, one folder per family, and returns it.
func npm(t *testing.T, family string, packages ...string) string {
	t.Helper()
	need(t, "npm")
	cache := os.Getenv("DETOUR_E2E_CACHE")
	if cache == "" {
		cache = filepath.Join("..", "..", ".cache", "e2e")
	}
	dir, err := filepath.Abs(filepath.Join(cache, family))
	if err != nil {
		t.Fatal(err)
	}
	mine, _ := installing.LoadOrStore(dir, new(sync.Mutex))
	mine.(*sync.Mutex).Lock() // agents of one family run at the same time
	defer mine.(*sync.Mutex).Unlock()
	stamp := filepath.Join(dir, "installed")
	want := strings.Join(packages, "\n")
	if got, err := os.ReadFile(stamp); err == nil && string(got) == want {
		return dir
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := installed(t, dir, packages); err != nil {
		t.Skipf("SKIPPED: %s could not be installed from npm: %v", family, err)
	}
	if err := os.WriteFile(stamp, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

const openaiScript = `
import OpenAI from "openai";
const client = new OpenAI({apiKey: "sk-client-own"}); // api.openai.com, hard-coded
const ask = [{role: "user", content: process.argv[2]}];
if (process.argv[3] === "true") {
  let text = "", finish = "";
  for await (const c of await client.chat.completions.create({model: "gpt-4o", messages: ask, stream: true})) {
    text += c.choices[0]?.delta?.content ?? ""; finish ||= c.choices[0]?.finish_reason ?? "";
  }
  console.log(text, finish);
} else {
  const r = await client.chat.completions.create({model: "gpt-4o", messages: ask});
  console.log(r.choices[0].message.content, r.choices[0].finish_reason);
}
`

func TestUnmodifiedOpenAISDKOnNode22(t *testing.T) {
	t.Parallel()
	dir := npm(t, "node22-openai", "node@22.23.3", "openai@7.55.0")
	script := filepath.Join(dir, "ask.mjs")
	if err := os.WriteFile(script, []byte(openaiScript), 0o644); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, nil, "", "alice")
	node := filepath.Join(dir, "node_modules", "node", "bin", "node")
	for shell := range shells {
		for _, stream := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/stream=%t", shell, stream), func(t *testing.T) {
				t.Parallel()
				need(t, shell)
				marker := fmt.Sprintf("node-%s-%t", shell, stream)
				out := w.inShell(t, shell, fmt.Sprintf("%s %s %s %t", node, script, marker, stream))
				if want := "simulated answer from gpt-4o to: " + marker + " stop"; strings.TrimSpace(out) != want {
					t.Errorf("got %q, want %q", out, want)
				}
				seen := w.answered(marker)
				if len(seen) != 1 {
					t.Fatalf("the simulated Copilot saw %d requests, want 1", len(seen))
				}
				checkIdentity(t, seen[0])
			})
		}
	}
}

// Node 20 has no variable for a proxy, so what it can reach is the API door.
func TestNode20UsesTheAPIDoor(t *testing.T) {
	t.Parallel()
	need(t, "node")
	w := newWorld(t, nil, "", "alice")
	script := fmt.Sprintf(`fetch("http://%s/v1/chat/completions",{method:"POST",headers:{"content-type":"application/json"},body:%q}).then(r=>r.json()).then(j=>console.log(j.choices[0].message.content))`,
		w.api, body("node-plain", false))
	out, err := w.run(t, nil, "node", "-e", script)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out, "simulated answer from gpt-4o to: node-plain") {
		t.Errorf("got %q", out)
	}
}
