package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"

	"detour/internal/sim"
)

// demoStep is one unmodified tool making one request.
type demoStep struct {
	tool, request string
	argv          []string
	env           []string // on top of the proxy's
	wants         string   // in what the tool prints
	did           fate
	needs         func(ctx context.Context) string // why it cannot run here, or ""
}

// fate is what detour should have done with the request.
type fate string

const (
	served     fate = "intercepted, rewritten onto Copilot"
	relayed    fate = "intercepted, relayed untouched"
	tunnelled  fate = "tunnelled, never decrypted"
	forwarded  fate = "forwarded (plain HTTP)"
	self       fate = "answered by the proxy itself"
	catalogued fate = "intercepted, answered from the catalogue"
)

const (
	demoAsk    = `{"model":"gpt-4o","messages":[{"role":"user","content":"ping"}]}`
	demoStream = `{"model":"gpt-4o","stream":true,"messages":[{"role":"user","content":"ping"}]}`
	demoAnswer = "simulated answer from gpt-4o"
)

func demoSteps() []demoStep {
	curl := func(args ...string) []string { return append([]string{"curl", "-sS", "--max-time", "15"}, args...) }
	key := []string{"-H", "Authorization: Bearer sk-none", "-H", "Content-Type: application/json"}
	python := `import json, urllib.request
r = urllib.request.Request("https://api.openai.com/v1/chat/completions", data=b'` + demoAsk + `', headers={"Content-Type": "application/json", "Authorization": "Bearer sk-none"})
print(json.load(urllib.request.urlopen(r, timeout=15))["choices"][0]["message"]["content"])`
	node := `fetch("https://api.openai.com/v1/chat/completions", {method: "POST", headers: {"content-type": "application/json", authorization: "Bearer sk-none"}, body: '` + demoAsk + `'})
.then(r => r.json()).then(j => console.log(j.choices[0].message.content)).catch(e => { console.error(e.cause || e); process.exit(1) })`
	return []demoStep{
		{tool: "curl", request: "GET  https://detour.test/", argv: curl("https://detour.test/"), wants: `"proxy":true`, did: self},
		{tool: "curl", request: "POST https://api.openai.com/v1/chat/completions", argv: curl(append(key, "-d", demoAsk, "https://api.openai.com/v1/chat/completions")...), wants: demoAnswer, did: served},
		{tool: "curl", request: "  the same, streamed, HTTP/2", argv: curl(append(key, "-N", "--http2", "-d", demoStream, "https://api.openai.com/v1/chat/completions")...), wants: "data: [DONE]", did: served},
		{tool: "curl", request: "  the same, streamed, HTTP/1.1", argv: curl(append(key, "-N", "--http1.1", "-d", demoStream, "https://api.openai.com/v1/chat/completions")...), wants: "data: [DONE]", did: served},
		{tool: "curl", request: "POST https://api.githubcopilot.com/chat/completions", argv: curl(append(key, "-d", demoAsk, "https://api.githubcopilot.com/chat/completions")...), wants: demoAnswer, did: served},
		{tool: "curl", request: "GET  https://api.openai.com/v1/models", argv: curl("https://api.openai.com/v1/models"), wants: `"x_detour"`, did: catalogued},
		{tool: "curl", request: "GET  https://api.openai.com/v1/files", argv: curl("https://api.openai.com/v1/files"), wants: "api.openai.com", did: relayed},
		{tool: "curl", request: "GET  https://" + demoSite + "/", argv: curl("https://" + demoSite + "/"), wants: demoSite, did: tunnelled},
		{tool: "curl", request: "  the same, trusting only the site's own CA", argv: curl("https://" + demoSite + "/"), env: []string{"CURL_CA_BUNDLE=$SIM_CA", "SSL_CERT_FILE=$SIM_CA"}, wants: demoSite, did: tunnelled},
		{tool: "curl", request: "GET  http://" + demoSite + "/", argv: curl("http://" + demoSite + "/"), wants: demoSite, did: forwarded},
		{tool: "python3", request: "POST https://api.openai.com/v1/chat/completions", argv: []string{"python3", "-c", python}, wants: demoAnswer, did: served},
		{tool: "node", request: "POST https://api.openai.com/v1/chat/completions", argv: []string{"node", "-e", node}, wants: demoAnswer, did: served, needs: nodeTooOld},
		{tool: "wget", request: "GET  http://" + demoSite + "/", argv: []string{"wget", "-q", "-O-", "--timeout=15", "http://" + demoSite + "/"}, wants: demoSite, did: forwarded},
		{tool: "git", request: "GET  https://" + demoSite + "/repo.git", argv: []string{"git", "ls-remote", "https://" + demoSite + "/repo.git"}, wants: "refs/heads/main", did: tunnelled},
	}
}

// nodeTooOld: before 22.21 no environment variable sends Node's fetch through a proxy.
func nodeTooOld(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "node", "--version").Output()
	if err != nil {
		return "node does not run"
	}
	m := regexp.MustCompile(`v(\d+)\.(\d+)`).FindSubmatch(out)
	if m == nil {
		return ""
	}
	major, _ := strconv.Atoi(string(m[1]))
	minor, _ := strconv.Atoi(string(m[2]))
	if major < 22 || major == 22 && minor < 21 {
		return fmt.Sprintf("node %s ignores proxy variables; needs 22.21 or newer", bytes.TrimSpace(out))
	}
	return ""
}

// demoResult is one row's outcome.
type demoResult struct {
	did, came, verdict string
}

// run makes the request and checks what the tool, detour and the upstream saw.
func (d *demo) run(ctx context.Context, s demoStep) demoResult {
	if _, err := exec.LookPath(s.argv[0]); err != nil {
		return demoResult{"", "not on this machine", "skipped"}
	}
	if s.needs != nil {
		if why := s.needs(ctx); why != "" {
			return demoResult{"", why, "skipped"}
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	before := d.seen()
	c := exec.CommandContext(ctx, s.argv[0], s.argv[1:]...)
	c.Dir, c.Env = d.dir, d.env
	for _, kv := range s.env {
		c.Env = append(c.Env, strings.ReplaceAll(kv, "$SIM_CA", d.sim.CAPath()))
	}
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	err := c.Run()
	if err != nil {
		return demoResult{"", firstLine(stderr.String(), err), "FAIL"}
	}
	if !strings.Contains(stdout.String(), s.wants) {
		return demoResult{"", "unexpected: " + firstLine(stdout.String(), errors.New("nothing")), "FAIL"}
	}
	if got := d.fate(before, s.did); got != s.did {
		return demoResult{"wanted: " + string(s.did), "but it was " + string(got), "FAIL"}
	}
	return demoResult{string(s.did), summary(stdout.String(), s), "ok"}
}

// counts are what tells the fates apart.
type counts struct {
	intercepted, tunnels uint64
	copilot, origin      int
}

func (d *demo) seen() counts {
	st := d.app.Health().Proxy
	c := counts{intercepted: st.InterceptedTotal, tunnels: st.TunnelsTotal}
	for _, r := range d.sim.Requests() {
		switch {
		case r.Plane == sim.PlaneCopilot && r.Op != sim.OpModels:
			c.copilot++
		case r.Plane == sim.PlaneOrigin:
			c.origin++
		}
	}
	return c
}

// fate tells what happened since before. Requests that detour answered by itself look alike, so wanted decides
// between those.
func (d *demo) fate(before counts, wanted fate) fate {
	after := d.seen()
	switch {
	case after.copilot > before.copilot && after.intercepted > before.intercepted:
		return served
	case after.tunnels > before.tunnels && after.origin > before.origin:
		return tunnelled
	case after.intercepted > before.intercepted && after.origin > before.origin:
		return relayed
	case after.origin > before.origin:
		return forwarded
	case after.intercepted > before.intercepted && (wanted == self || wanted == catalogued):
		return wanted
	}
	return "nothing that detour saw"
}

// summary is a short view of what a tool printed.
func summary(out string, s demoStep) string {
	switch s.did {
	case served:
		if strings.Contains(out, "data: [DONE]") {
			return fmt.Sprintf("%d events, then [DONE]", strings.Count(out, "data: {"))
		}
		return demoAnswer + " …"
	case catalogued:
		return fmt.Sprintf("%d models", strings.Count(out, `"x_detour"`))
	case tunnelled, relayed, forwarded:
		return "the site's own answer"
	}
	return strings.TrimSpace(firstLine(out, errors.New("")))
}

func firstLine(s string, fallback error) string {
	s = strings.TrimSpace(s)
	if s == "" {
		return fallback.Error()
	}
	line, _, _ := strings.Cut(s, "\n")
	if r := []rune(line); len(r) > 60 {
		line = string(r[:60]) + "…"
	}
	return line
}
