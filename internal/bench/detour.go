package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// detour is a running `detour serve --with-proxy`, in front of a simulated Copilot.
type detour struct {
	*process
	api, proxy string // host:port
	ca         string // file
	env        []string
}

// startDetour runs the detour binary with its defaults, but for free ports and the addresses of the simulated hosts.
func (r *rig) startDetour(ctx context.Context, name string, sim *part) (*detour, error) {
	d, err := r.prepareDetour(name, sim)
	if err != nil {
		return nil, err
	}
	d.process, err = r.spawn(ctx, name, false, d.env, r.o.detour, "serve", "--with-proxy", "--port", "0", "--proxy-port", "0")
	if err != nil {
		return nil, err
	}
	return d, d.findDoors(ctx)
}

// prepareDetour makes the folder and the environment of a detour.
func (r *rig) prepareDetour(name string, sim *part) (*detour, error) {
	home := filepath.Join(r.dir, name)
	if err := os.Mkdir(home, 0o700); err != nil {
		return nil, err
	}
	config := fmt.Sprintf("[server]\nshutdown_grace = \"1s\"\n[proxy_mode.hosts]\n%q = %q\n"+
		"[[accounts]]\nid = \"alice\"\nprovider = \"github-copilot\"\ngithub_token = %q\n", interceptedHost, r.upstream.Addr, sim.Token)
	if err := os.WriteFile(filepath.Join(home, "config.toml"), []byte(config), 0o600); err != nil {
		return nil, err
	}
	roots := filepath.Join(home, "roots.crt")
	if err := concat(roots, r.certs.ca, sim.CA); err != nil {
		return nil, err
	}
	d := &detour{ca: filepath.Join(home, "ca", "ca.crt")}
	d.env = r.env("DETOUR_HOME=" + home)
	for k, v := range sim.Env {
		if k == "DETOUR_UPSTREAM_CA" {
			v = roots
		}
		d.env = append(d.env, k+"="+v)
	}
	return d, nil
}

// findDoors waits until detour has said where it listens.
func (d *detour) findDoors(ctx context.Context) error {
	address := regexp.MustCompile(`(?m)^\s+(API|proxy)\s+https?://([0-9.]+:[0-9]+)`)
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for d.api == "" || d.proxy == "" {
		b, err := os.ReadFile(d.log)
		if err != nil {
			return err
		}
		for _, m := range address.FindAllSubmatch(b, -1) {
			if string(m[1]) == "API" {
				d.api = string(m[2])
			} else {
				d.proxy = string(m[2])
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("start detour: it does not say where it listens: %s", d.said())
		case <-time.After(2 * time.Millisecond):
		}
	}
	return nil
}

// startTime is how long d takes from its start until both doors accept, and the memory that it then has.
func (r *rig) startTime(ctx context.Context, d *detour) (took time.Duration, rss int64, err error) {
	ports := make([]int, 2)
	for i := range ports {
		if ports[i], err = freePort(); err != nil {
			return 0, 0, err
		}
	}
	begin := time.Now()
	p, err := spawn(ctx, r.dir, "start", false, d.env, r.o.detour, "serve", "--with-proxy",
		"--port", strconv.Itoa(ports[0]), "--proxy-port", strconv.Itoa(ports[1]))
	if err != nil {
		return 0, 0, err
	}
	defer p.Close()
	for _, port := range ports {
		if err := await(ctx, p, "127.0.0.1:"+strconv.Itoa(port), 10*time.Second, time.Millisecond); err != nil {
			return 0, 0, err
		}
	}
	took = time.Since(begin)
	select {
	case <-ctx.Done():
		return 0, 0, ctx.Err()
	case <-time.After(time.Second): // the catalogue is fetched meanwhile
	}
	rss, err = p.rss()
	return took, rss, err
}

// version asks the binary.
func (r *rig) version(ctx context.Context) string {
	p, err := spawn(ctx, r.dir, "version", true, r.env("DETOUR_HOME="+r.dir), r.o.detour, "--version")
	if err != nil {
		return "?"
	}
	defer p.Close()
	line, _ := p.out.ReadString('\n')
	return strings.TrimSpace(line)
}
