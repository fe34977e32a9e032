package main

import (
	"github.com/spf13/cobra"
)

func newProxy(h *host) *cobra.Command {
	c := &cobra.Command{
		Use:   "proxy",
		Short: "Run the forward proxy, and point shells and programs at it",
		Long: `Proxy opens the proxy door alone; it is the same as 'proxy start'.

Requests for LLM API hosts on its list are decrypted with a local certificate
authority and served from your accounts; every other host is tunnelled
untouched. The subcommands point a shell or a program at it and manage the
certificate authority.`,
		Example: `  detour proxy
  eval "$(detour proxy env)"
  detour proxy shell
  detour proxy exec -- claude -p hello`,
		Args: cobra.NoArgs,
	}
	start := proxyStart(h, "start")
	c.RunE = start.RunE
	c.Flags().AddFlagSet(start.Flags())
	c.AddCommand(start, newProxyEnv(h), newProxyShell(h), newProxyExec(h), newProxyCA(h))
	return c
}

func proxyStart(h *host, use string) *cobra.Command {
	var f serveFlags
	c := &cobra.Command{Use: use, Short: "Open the proxy door", Args: cobra.NoArgs}
	c.RunE = func(c *cobra.Command, _ []string) error {
		return runServe(c.Context(), h, c, f, false, true)
	}
	c.Flags().StringVar(&f.host, "host", "", "address to listen on (default proxy_mode.host)")
	c.Flags().IntVar(&f.port, "port", 0, "port; 0 lets the system choose (default proxy_mode.port)")
	c.Flags().StringVar(&f.mode, "route-mode", "", "route mode: route, exact, fuzzy, switch or passthrough (default proxy_mode.route_mode)")
	remoteFlags(c, &f)
	return c
}
