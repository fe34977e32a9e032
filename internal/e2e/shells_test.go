//go:build e2e

package e2e_test

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"detour/internal/sim"
)

// client is an unmodified program with the host api.openai.com written into it. line prints a command line that asks
// question, streamed or not, for a POSIX shell and for fish alike.
type client struct {
	name  string
	needs func(t *testing.T)
	line  func(question string, stream bool) string
}

func body(question string, stream bool) string {
	return fmt.Sprintf(`{"model":"gpt-4o","stream":%t,"messages":[{"role":"user","content":"%s"}]}`, stream, question)
}

const python = `import json,sys,urllib.request as u
r=u.Request("https://api.openai.com/v1/chat/completions",data=sys.argv[1].encode(),headers={"Content-Type":"application/json","Authorization":"Bearer sk-client-own"})
sys.stdout.write(u.urlopen(r,timeout=30).read().decode())`

const requests = `import requests,sys
r=requests.post("https://api.openai.com/v1/chat/completions",data=sys.argv[1],headers={"Content-Type":"application/json","Authorization":"Bearer sk-client-own"},timeout=30,stream=True)
r.raise_for_status()
for c in r.iter_content(None): sys.stdout.write(c.decode())`

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

func clients() []client {
	curl := func(flags string) func(string, bool) string {
		return func(q string, stream bool) string {
			return "curl -sS -N --fail " + flags + " --max-time 30 -H 'Content-Type: application/json' -H 'Authorization: Bearer sk-client-own' -d " +
				quote(body(q, stream)) + " https://api.openai.com/v1/chat/completions"
		}
	}
	return []client{
		{"curl h2", func(t *testing.T) { need(t, "curl") }, curl("--http2")},
		{"curl h1", func(t *testing.T) { need(t, "curl") }, curl("--http1.1")},
		{"python urllib", func(t *testing.T) { need(t, "python3") }, func(q string, stream bool) string {
			return "python3 -c " + quote(python) + " " + quote(body(q, stream))
		}},
		{"python requests", needRequests, func(q string, stream bool) string {
			return systemPython + " -c " + quote(requests) + " " + quote(body(q, stream))
		}},
	}
}

// systemPython is the one that Debian's python3-requests belongs to, whatever else is first in PATH.
const systemPython = "/usr/bin/python3"

func needRequests(t *testing.T) {
	t.Helper()
	if err := exec.Command(systemPython, "-c", "import requests").Run(); err != nil {
		t.Skip("python3-requests is not on this machine")
	}
}

func TestUnmodifiedClientsInEveryShell(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil, "", "alice", "ivan")
	for shell := range shells {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			need(t, shell)
			for _, c := range clients() {
				for _, stream := range []bool{false, true} {
					t.Run(fmt.Sprintf("%s/stream=%t", c.name, stream), func(t *testing.T) {
						t.Parallel()
						c.needs(t)
						marker := fmt.Sprintf("ask-%s-%s-%t", shell, strings.ReplaceAll(c.name, " ", "-"), stream)
						checkAnswer(t, w, marker, w.inShell(t, shell, c.line(marker, stream)), stream)
					})
				}
			}
		})
	}
}

// checkAnswer checks what the client printed and what the simulated Copilot saw.
func checkAnswer(t *testing.T, w *world, marker, out string, stream bool) {
	t.Helper()
	if stream {
		if !strings.HasSuffix(strings.TrimSpace(out), "data: [DONE]") || strings.Count(out, "data: {") < 3 {
			t.Errorf("streamed answer is %q", out)
		}
	} else if !strings.Contains(out, "simulated answer from gpt-4o to: "+marker) || !strings.Contains(out, `"object":"chat.completion"`) {
		t.Errorf("answer is %q", out)
	}
	seen := w.answered(marker)
	if len(seen) != 1 {
		t.Fatalf("the simulated Copilot saw %d requests, want 1", len(seen))
	}
	r := seen[0]
	if r.Account != "alice" && r.Account != "ivan" {
		t.Errorf("served by account %q", r.Account)
	}
	checkIdentity(t, r)
	if r.Initiator != "user" || r.Status != 200 {
		t.Errorf("billed as %q with status %d", r.Initiator, r.Status)
	}
}

func checkIdentity(t *testing.T, r sim.Request) {
	t.Helper()
	for name, prefix := range map[string]string{
		"Authorization": "Bearer tid=", "Editor-Version": "vscode/", "Editor-Plugin-Version": "copilot-chat/", "User-Agent": "GitHubCopilotChat/",
		"Copilot-Integration-Id": "vscode-chat", "X-Initiator": "user", "X-Request-Id": "", "X-Github-Api-Version": "20", "Openai-Intent": "conversation-",
	} {
		if got := r.Header.Get(name); got == "" || !strings.HasPrefix(got, prefix) {
			t.Errorf("%s is %q, want %s…", name, got, prefix)
		}
	}
	for name, values := range r.Header {
		if strings.Contains(strings.Join(values, " "), "sk-client-own") {
			t.Errorf("the client's own key reached Copilot in %s", name)
		}
	}
}

func TestOtherHostsSeeTheirOwnTraffic(t *testing.T) {
	t.Parallel()
	need(t, "curl")
	w := newWorld(t, nil, "", "alice")
	blob := strings.Repeat("byte for byte \x01\xff ", 4000)
	w.write("blob", blob)
	for _, version := range []string{"--http1.1", "--http2"} {
		out := w.inShell(t, "sh", "curl -sS --fail "+version+" -H 'X-Odd: sk-mine' -H 'Content-Type: application/x-odd' --data-binary @blob https://"+site+"/echo")
		if out != blob {
			t.Errorf("%s: echo through the tunnel differs: %d bytes of %d", version, len(out), len(blob))
		}
		out = w.inShell(t, "sh", "curl -sS --fail "+version+" --data-binary @blob http://"+site+"/echo")
		if out != blob {
			t.Errorf("%s: echo through plain forwarding differs: %d bytes of %d", version, len(out), len(blob))
		}
	}
	// The site's own certificate: a client that trusts nothing but the site's CA is content.
	if _, err := w.run(t, []string{"https_proxy=http://" + w.proxy}, "curl", "-sS", "--fail", "--cacert", w.sim.CAPath(), "https://"+site+"/"); err != nil {
		t.Errorf("the site's own certificate did not come through: %v", err)
	}
	// And on an intercepted host that same client is not: it would see ours.
	if _, err := w.run(t, []string{"https_proxy=http://" + w.proxy}, "curl", "-sS", "--fail", "--cacert", w.sim.CAPath(), "https://api.openai.com/v1/models"); err == nil {
		t.Error("an intercepted host showed the original certificate")
	}
	seen := w.sim.Requests(func(r sim.Request) bool { return r.Plane == sim.PlaneOrigin && r.Path == "/echo" })
	for _, r := range seen {
		for _, k := range []string{"Via", "X-Forwarded-For", "Forwarded", "Proxy-Connection", "Proxy-Authorization"} {
			if v := r.Header.Get(k); v != "" {
				t.Errorf("%s: the site saw %s: %s", r.Site, k, v)
			}
		}
	}
}

func TestUnmatchedRequestsOnInterceptedHostsReachTheHost(t *testing.T) {
	t.Parallel()
	need(t, "curl")
	w := newWorld(t, nil, "", "alice")
	out := w.inShell(t, "sh", "curl -sS --fail -H 'Authorization: Bearer sk-client-own' 'https://api.openai.com/v1/files?limit=2'")
	if !strings.Contains(out, "api.openai.com") {
		t.Errorf("answer is %q", out)
	}
	seen := w.sim.Requests(func(r sim.Request) bool { return r.Plane == sim.PlaneOrigin && r.Path == "/v1/files" })
	if len(seen) != 1 || seen[0].Header.Get("Authorization") != "Bearer sk-client-own" || seen[0].Query != "limit=2" {
		t.Errorf("the host saw %+v", seen)
	}
}

func TestUnsetPutsEverythingBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil, "", "alice")
	for shell, eval := range shells {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			need(t, shell)
			enter := fmt.Sprintf(eval, w.proxyPort())
			leave := strings.Replace(enter, "proxy env", "proxy env --unset", 1)
			script := "env | sort >before\n" + enter + "\n" + enter + "\n" + leave + "\nenv | sort >after\n"
			script = strings.NewReplacer("before", "before-"+shell, "after", "after-"+shell).Replace(script)
			if _, err := w.run(t, nil, shell, "-c", script); err != nil {
				t.Fatal(err)
			}
			if out, err := w.run(t, nil, "diff", "before-"+shell, "after-"+shell); err != nil {
				t.Errorf("the environment differs after --unset:\n%s%v", out, err)
			}
		})
	}
}
