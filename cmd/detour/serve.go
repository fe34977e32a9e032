package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"

	"github.com/spf13/cobra"

	"detour/internal/app"
	"detour/internal/clientkey"
	"detour/internal/config"
	"detour/internal/secret"
	"detour/router"
)

// serveFlags are shared by serve and proxy start.
type serveFlags struct {
	host, mode, proxyMode string
	port, proxyPort       int
	withProxy             bool
	noProxy               bool
	allowRemote           bool
}

func newServe(h *host) *cobra.Command {
	var f serveFlags
	c := &cobra.Command{
		Use:   "serve",
		Short: "Run the API server, and with --with-proxy the proxy beside it",
		Long: `Serve opens the API door: OpenAI Chat Completions, OpenAI Responses and
Anthropic Messages endpoints under /v1, for tools that let you set a base URL.
With --with-proxy it opens the proxy door too. Both share the accounts.

It runs until it is interrupted; open streams then get server.shutdown_grace to
finish. Changes of config.toml and of the accounts are taken up as it runs, at
once on SIGHUP; a file with mistakes changes nothing, and the log says why.`,
		Example: `  detour serve --with-proxy
  detour serve --port 8080
  detour serve --host 0.0.0.0 --with-proxy --insecure-allow-remote`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return runServe(c.Context(), h, c, f, true, f.withProxy)
		},
	}
	c.Flags().StringVar(&f.host, "host", "", "address to listen on, for both doors (default server.host, proxy_mode.host)")
	c.Flags().IntVar(&f.port, "port", 0, "port of the API door; 0 lets the system choose (default server.port)")
	c.Flags().BoolVar(&f.withProxy, "with-proxy", false, "open the proxy door too")
	c.Flags().IntVar(&f.proxyPort, "proxy-port", 0, "port of the proxy door; 0 lets the system choose (default proxy_mode.port)")
	c.Flags().StringVar(&f.mode, "route-mode", "", "route mode of the API door: route, exact or fuzzy (default server.route_mode)")
	c.Flags().StringVar(&f.proxyMode, "proxy-route-mode", "", "route mode of the proxy door: route, exact, fuzzy, switch or passthrough (default proxy_mode.route_mode)")
	remoteFlags(c, &f)
	return c
}

func remoteFlags(c *cobra.Command, f *serveFlags) {
	c.Flags().BoolVar(&f.noProxy, "no-proxy", false, "dial directly, whatever [proxy] says")
	c.Flags().BoolVar(&f.allowRemote, "insecure-allow-remote", false, "let other machines reach the doors; they must present a client key")
}

func runServe(ctx context.Context, h *host, c *cobra.Command, f serveFlags, api, proxy bool) error {
	s, err := h.load()
	if err != nil {
		return err
	}
	if err := f.apply(c, s.config, api); err != nil {
		return err
	}
	o := h.options(s)
	o.API, o.Proxy, o.AllowRemote = api, proxy, f.allowRemote
	o.Reload = func() (*config.Config, error) {
		again, err := h.load()
		if err != nil {
			return nil, err
		}
		return again.config, f.apply(c, again.config, api)
	}
	hangups := make(chan os.Signal, 1)
	notifyReload(hangups)
	defer signal.Stop(hangups)
	o.Reloads = hangups
	for _, n := range s.config.Notices {
		o.Logger.Warn("config notice", "notice", n.String())
	}
	a, err := app.New(ctx, o)
	if err != nil {
		return err
	}
	a.Upstream().LogNotes(o.Logger)
	greet(h.err, a, s) // the doors are bound; afterwards accounts may change under our hands
	a.Start(ctx)
	defer context.AfterFunc(ctx, func() {
		fmt.Fprintf(h.err, "stopping; open streams get up to %s to finish; interrupt again to end at once\n", s.config.Server.ShutdownGrace)
	})()
	return a.Run(ctx)
}

// apply lets flags win over the configuration.
func (f *serveFlags) apply(c *cobra.Command, cfg *config.Config, api bool) error {
	set := c.Flags().Changed
	if set("host") {
		cfg.Server.Host, cfg.ProxyMode.Host = f.host, f.host
	}
	if set("port") {
		if f.port < 0 || f.port > 65535 {
			return usageError("--port %d is not a port", f.port)
		}
		if api {
			cfg.Server.Port = f.port
		} else {
			cfg.ProxyMode.Port = f.port
		}
	}
	if set("proxy-port") {
		if f.proxyPort < 0 || f.proxyPort > 65535 {
			return usageError("--proxy-port %d is not a port", f.proxyPort)
		}
		cfg.ProxyMode.Port = f.proxyPort
	}
	for flag, dst := range map[string]*string{"route-mode": &cfg.Server.RouteMode, "proxy-route-mode": &cfg.ProxyMode.RouteMode} {
		if !set(flag) {
			continue
		}
		m, err := router.ParseMode(c.Flag(flag).Value.String())
		if err != nil {
			return usageError("--%s: %w", flag, err)
		}
		if !api && flag == "route-mode" {
			dst = &cfg.ProxyMode.RouteMode
		}
		*dst = string(m)
	}
	if f.noProxy {
		cfg.Proxy.URL, cfg.Proxy.System = secret.String{}, false
	}
	return nil
}

// greet says what runs and what to do next.
func greet(w io.Writer, a *app.App, s settings) {
	fmt.Fprintf(w, "detour %s is running\n", version())
	if addr := a.APIAddr(); addr != "" {
		fmt.Fprintf(w, "  API    %s://%s/v1\n", scheme(s.config.Server.TLSCert), addr)
	}
	if addr := a.ProxyAddr(); addr != "" {
		fmt.Fprintf(w, "  proxy  %s://%s   in a shell: eval \"$(detour proxy env)\"\n", scheme(s.config.ProxyMode.TLSCert), addr)
		fmt.Fprintf(w, "  CA     %s\n         SHA-256 %s\n", a.CA().RootPath(), a.CAInfo().SHA256)
	}
	if a.NeedsKeys() {
		keys, err := clientkey.List(s.paths.Keys)
		if err == nil && len(keys) == 0 {
			fmt.Fprintln(w, "  next   clients must present a key and there is none yet: make one with `detour key create NAME`")
		}
	}
	if len(a.Upstream().Accounts) == 0 {
		fmt.Fprintln(w, "  next   there is no account yet: sign in with `detour login` in another terminal")
	}
}

func scheme(cert string) string {
	if cert != "" {
		return "https"
	}
	return "http"
}
