package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"detour/internal/app"
	"detour/internal/config"
	"detour/internal/secret"
	"detour/internal/sim"
	"detour/shellenv"
)

func newDemo(h *host) *cobra.Command {
	var keep bool
	c := &cobra.Command{
		Use:   "demo",
		Short: "Watch the main job on a simulated Copilot, no account needed",
		Long: `Demo starts a simulated GitHub Copilot, both doors and a throwaway certificate
authority on free ports in a temporary folder. Then it runs the tools it finds
on this machine (curl, python3, node, wget, git), unmodified and with nothing
but the variables of 'proxy env' set, against https://api.openai.com,
https://api.githubcopilot.com and an ordinary site, and shows what happened to
each request. Nothing leaves this machine and nothing of yours is touched.

It ends with 1 if anything came out wrong.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return runDemo(c.Context(), h, keep)
		},
	}
	c.Flags().BoolVar(&keep, "keep", false, "leave it running to play with, until interrupted")
	return c
}

// demo is a whole detour in a box.
type demo struct {
	host *host
	dir  string
	sim  *sim.Sim
	app  *app.App
	env  []string // for the tools
	log  *os.File
}

func runDemo(ctx context.Context, h *host, keep bool) (err error) {
	dir, err := os.MkdirTemp("", "detour-demo-")
	if err != nil {
		return fmt.Errorf("make a folder for the demo: %w", err)
	}
	d := &demo{host: h, dir: dir}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := d.start(ctx); err != nil {
		return errors.Join(err, d.stop())
	}
	shown, failed := d.show(ctx)
	interrupted := ctx.Err()
	if keep && interrupted == nil {
		d.invite()
		<-ctx.Done()
	}
	if err := d.stop(); err != nil {
		return err
	}
	switch {
	case interrupted != nil:
		return interrupted
	case shown == 0:
		return &exitError{code: exitFailure, err: errors.New("demo: none of its tools is on this machine, so nothing was shown"), hint: "install curl"}
	case failed > 0:
		return &exitError{code: exitFailure, err: fmt.Errorf("demo: %d of the requests came out wrong", failed)}
	}
	return nil
}

func (d *demo) start(ctx context.Context) error {
	var err error
	if d.sim, err = sim.Start(sim.Options{TLS: true, HTTP2: true, Seed: 1}); err != nil {
		return fmt.Errorf("start the simulated upstream: %w", err)
	}
	if d.log, err = os.OpenFile(filepath.Join(d.dir, "detour.log"), os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600); err != nil {
		return err
	}
	env := d.sim.Env()
	env["DETOUR_HOME"] = filepath.Join(d.dir, "home")
	lookup := func(name string) string { return env[name] }
	paths, err := config.FindPaths(lookup)
	if err != nil {
		return err
	}
	cfg, err := config.Load(paths.Config)
	if err != nil {
		return err
	}
	cfg.Server.Port, cfg.ProxyMode.Port = 0, 0
	origin, plain := d.sim.OriginAddr(), d.sim.PlainAddr()
	cfg.ProxyMode.Hosts = map[string]string{
		"api.openai.com:443": origin, "api.githubcopilot.com:443": origin, demoSite + ":443": origin, demoSite + ":80": plain,
	}
	for _, name := range []string{"alice", "ivan"} {
		cfg.Accounts = append(cfg.Accounts, config.Account{
			ID: name, Provider: "github-copilot", Tier: "active", GitHubToken: secret.New(d.sim.Account(name).Token()), Source: "demo",
		})
	}
	d.app, err = app.New(ctx, app.Options{
		Config: cfg, Paths: paths, Env: lookup, Version: version(), API: true, Proxy: true,
		Logger: slog.New(slog.NewTextHandler(d.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		return err
	}
	d.app.Start(ctx)
	return d.toolEnv()
}

// demoSite is the ordinary site: nobody's API, tunnelled.
const demoSite = "www.example.test"

// toolEnv is what an owner's shell has after `proxy env`. The owner of this one already trusts the simulated
// origins' certificate, so that one sees the bundles being merged.
func (d *demo) toolEnv() error {
	base := []string{"HOME=" + d.dir, "LANG=C.UTF-8", "GIT_TERMINAL_PROMPT=0", "GIT_CONFIG_NOSYSTEM=1"}
	for _, name := range []string{"PATH", "TMPDIR", "SystemRoot"} {
		if v, ok := d.host.lookup(name); ok {
			base = append(base, name+"="+v)
		}
	}
	for _, name := range []string{"SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "NODE_EXTRA_CA_CERTS"} {
		base = append(base, name+"="+d.sim.CAPath())
	}
	inner := &host{environ: base}
	authority := d.app.CA()
	set, err := shellenv.Compute(shellenv.Params{
		ProxyURL:   "http://" + d.app.ProxyAddr(),
		CACert:     authority.RootPath(),
		Bundle:     func(_ string, existing []string) (string, error) { return authority.Bundle(existing...) },
		Extra:      func(existing []string) (string, error) { return authority.ExtraBundle(existing...) },
		Env:        inner.lookup,
		Generation: authority.Generation(),
	})
	if err != nil {
		return err
	}
	d.env = set.Environ(base)
	return nil
}

func (d *demo) stop() error {
	var errs []error
	if d.app != nil {
		errs = append(errs, d.app.Stop())
	}
	if d.sim != nil {
		errs = append(errs, d.sim.Close())
	}
	if d.log != nil {
		errs = append(errs, d.log.Close())
	}
	return errors.Join(errs...)
}

// show runs every step and prints the table. It returns how many ran, and how many of them came out wrong.
func (d *demo) show(ctx context.Context) (shown, failed int) {
	w := d.host.out
	fmt.Fprintf(w, "detour demo: a simulated GitHub Copilot with the accounts alice and ivan, a proxy on %s\nand unmodified tools that have nothing but the variables of `detour proxy env`.\n\n", d.app.ProxyAddr())
	rows := [][]string{{"TOOL", "REQUEST", "WHAT DETOUR DID", "WHAT CAME BACK", ""}}
	for _, s := range demoSteps() {
		if ctx.Err() != nil {
			break
		}
		r := d.run(ctx, s)
		if ctx.Err() != nil {
			break // the step was cut short, which says nothing about it
		}
		switch r.verdict {
		case "FAIL":
			failed++
			shown++
		case "ok":
			shown++
		}
		rows = append(rows, []string{s.tool, s.request, r.did, r.came, r.verdict})
	}
	printColumns(w, rows)
	served := d.sim.Requests(func(r sim.Request) bool { return r.Plane == sim.PlaneCopilot && r.Op != sim.OpModels })
	exchanges := 0
	for _, name := range []string{"alice", "ivan"} {
		exchanges += d.sim.Account(name).Exchanges()
	}
	fmt.Fprintf(w, "\nThe simulated Copilot answered %d requests with %d token exchanges", len(served), exchanges)
	if n := len(served); n > 0 {
		last := served[n-1]
		fmt.Fprintf(w, "; the last one came from\naccount %s as %q, X-Initiator %s", last.Account, last.Header.Get("User-Agent"), last.Header.Get("X-Initiator"))
	}
	fmt.Fprintln(w, ".")
	if failed > 0 {
		if b, err := os.ReadFile(d.log.Name()); err == nil {
			fmt.Fprintf(d.host.err, "\nThe log of the demo:\n%s", b[max(0, len(b)-8<<10):])
		}
	}
	return shown, failed
}

// invite says how to go on by hand.
func (d *demo) invite() {
	w := d.host.out
	fmt.Fprintf(w, "\nStill running. In another shell:\n\n")
	for _, kv := range d.env {
		if name, value, _ := strings.Cut(kv, "="); slices.Contains([]string{"https_proxy", "http_proxy", "SSL_CERT_FILE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "NODE_USE_ENV_PROXY"}, name) {
			fmt.Fprintf(w, "  export %s=%q\n", name, value)
		}
	}
	fmt.Fprintf(w, "  curl https://api.openai.com/v1/chat/completions -d '{\"model\":\"gpt-4o\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}'\n  curl http://%s/v1/models\n\nInterrupt to end it.\n", d.app.APIAddr())
}

// printColumns aligns rows; the last column is not padded.
func printColumns(w io.Writer, rows [][]string) {
	widths := make([]int, len(rows[0]))
	for _, r := range rows {
		for i, c := range r {
			widths[i] = max(widths[i], len([]rune(c)))
		}
	}
	for _, r := range rows {
		var line strings.Builder
		for i, c := range r {
			line.WriteString(c)
			if i < len(r)-1 {
				line.WriteString(strings.Repeat(" ", widths[i]-len([]rune(c))+2))
			}
		}
		fmt.Fprintln(w, strings.TrimRight(line.String(), " "))
	}
}
