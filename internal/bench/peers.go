package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// startPeers builds or finds each peer and starts it.
func (r *rig) startPeers(ctx context.Context) {
	for _, p := range []struct {
		name  string
		start func(context.Context) (*part, error)
	}{
		{peerGoproxy, func(ctx context.Context) (*part, error) { return r.goPeer(ctx, "goproxy", true) }},
		{peerGoproxyH2, func(ctx context.Context) (*part, error) { return r.goPeer(ctx, "goproxy", true, "-h2") }},
		{peerMartian, func(ctx context.Context) (*part, error) { return r.goPeer(ctx, "martian", true) }},
		{peerMartianTCP, func(ctx context.Context) (*part, error) { return r.goPeer(ctx, "martian", false) }},
		{peerMitmproxy, r.mitmproxy},
		{peerCopilotAPI, r.copilotAPI},
	} {
		running, err := p.start(ctx)
		if err != nil {
			r.skipped[p.name] = err.Error()
			fmt.Fprintf(r.log, "SKIPPED: %s cannot take part: %v\n", p.name, err)
			continue
		}
		r.peers[p.name] = running
	}
}

// goPeer builds a command of the peers' module and starts it.
func (r *rig) goPeer(ctx context.Context, command string, intercept bool, flags ...string) (*part, error) {
	binary := filepath.Join(r.o.cache, command)
	if err := r.build(ctx, binary, "./"+command); err != nil {
		return nil, err
	}
	argv := []string{binary, "-intercept", interceptedHost, "-dial", r.upstream.Addr, "-roots", r.certs.ca}
	if intercept {
		argv = append(argv, "-cert", r.certs.ca, "-key", r.certs.caKey)
	}
	p, err := r.spawn(ctx, command+strconv.Itoa(len(r.running)), true, r.env(), append(argv, flags...)...)
	if err != nil {
		return nil, err
	}
	return r.greet(p)
}

// build compiles a package of the peers' module.
func (r *rig) build(ctx context.Context, binary, pkg string) error {
	c := exec.CommandContext(ctx, "go", "build", "-o", binary, pkg)
	c.Dir = r.o.peers
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w: %s", pkg, err, out)
	}
	return nil
}

// mitmproxy starts the Debian package's mitmdump, with the bench CA as its own.
func (r *rig) mitmproxy(ctx context.Context) (*part, error) {
	binary, err := exec.LookPath("mitmdump")
	if err != nil {
		return nil, errors.New("mitmdump is not installed (apt-get install mitmproxy)")
	}
	dir := filepath.Join(r.dir, "mitmproxy")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	if err := concat(filepath.Join(dir, "mitmproxy-ca.pem"), r.certs.caKey, r.certs.ca); err != nil {
		return nil, err
	}
	return r.onFreePort(ctx, "mitmdump", r.env(), func(port string) []string {
		return []string{
			binary, "--listen-host", "127.0.0.1", "-p", port, "--set", "confdir=" + dir,
			"--set", "ssl_verify_upstream_trusted_ca=" + r.certs.ca, "-q",
		}
	})
}

// onFreePort starts a program that has to be told its port, and waits until it listens.
func (r *rig) onFreePort(ctx context.Context, name string, env []string, argv func(port string) []string) (*part, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	p, err := r.spawn(ctx, name, false, env, argv(strconv.Itoa(port))...)
	if err != nil {
		return nil, err
	}
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	if err := await(ctx, p, addr, 20*time.Second, 20*time.Millisecond); err != nil {
		return nil, err
	}
	return &part{process: p, hello: hello{Addr: addr}}, nil
}

//go:embed redirect.mjs
var redirect []byte

// copilotAPI installs copilot-api from npm, once, and starts it unchanged. The hosts that are written into it are
// turned to the simulated Copilot by a module that Node loads first and that replaces the start of the URLs given to
// fetch, which costs it next to nothing. It is not offered anything else to reach.
func (r *rig) copilotAPI(ctx context.Context) (*part, error) {
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			return nil, errors.New(program + " is not installed")
		}
	}
	dir := filepath.Join(r.o.cache, "copilot-api")
	script := filepath.Join(dir, "node_modules", "copilot-api", "dist", "main.js")
	if _, err := os.Stat(script); err != nil {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
		install, cancel := context.WithTimeout(ctx, 60*time.Second)
		defer cancel()
		c := exec.CommandContext(install, "npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", dir, "copilot-api@0.7.0")
		if out, err := c.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("npm install copilot-api@0.7.0: %w: %s", err, out)
		}
	}
	preload := filepath.Join(r.dir, "redirect.mjs")
	if err := os.WriteFile(preload, redirect, 0o600); err != nil {
		return nil, err
	}
	env := r.env("HOST=127.0.0.1", "NODE_ENV=production", "BENCH_API="+r.simPlain.API, "BENCH_COPILOT="+r.simPlain.Copilot)
	return r.onFreePort(ctx, "copilot-api", env, func(port string) []string {
		return []string{"node", "--import", preload, script, "start", "--port", port, "--github-token", r.simPlain.Token}
	})
}
