package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"detour/ca"
	"detour/internal/app"
)

func newProxyCA(h *host) *cobra.Command {
	c := &cobra.Command{
		Use:   "ca",
		Short: "Manage the local certificate authority",
		Long: `The authority signs certificates for the intercepted hosts and for nothing else:
its certificates carry critical name constraints, and the root's private key is
thrown away after it has signed one intermediate. 'proxy env' makes clients trust
it through variables; 'install' puts it into trust stores instead.`,
	}
	c.Args = cobra.NoArgs
	c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
	c.AddCommand(caPath(h), caShow(h), caRegenerate(h), caInstall(h), caUninstall(h))
	return c
}

func caPath(h *host) *cobra.Command {
	return &cobra.Command{
		Use: "path", Short: "Print the path of the root certificate", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			a, _, err := loadCA(h)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(h.out, a.RootPath())
			return err
		},
	}
}

func caShow(h *host) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "show", Short: "Show fingerprints, permitted hosts and expiry", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			a, s, err := loadCA(h)
			if err != nil {
				return err
			}
			info := a.Info()
			if asJSON {
				e := json.NewEncoder(h.out)
				e.SetIndent("", "  ")
				return e.Encode(info)
			}
			rows := [][2]string{
				{"certificate", info.Path}, {"subject", info.Subject}, {"SHA-256", info.SHA256}, {"", info.SHA256Hex},
				{"SPKI SHA-256", info.SPKI}, {"valid", info.NotBefore.Format(time.DateOnly) + " to " + info.NotAfter.Format(time.DateOnly)},
				{"trusted by system", yes(info.TrustedBySystem)}, {"constrained", yes(info.Constrained)}, {"may sign for", strings.Join(info.Hosts, "\n                   ")},
			}
			for _, r := range rows {
				if r[0] != "" {
					r[0] += ":"
				}
				fmt.Fprintf(h.out, "%-18s %s\n", r[0], r[1])
			}
			if info.Expired || info.ExpiresSoon {
				fmt.Fprintln(h.err, "detour: the certificate expires on", info.NotAfter.Format(time.DateOnly)+"; renew it with `detour proxy ca regenerate`")
			}
			for _, host := range app.InterceptedHosts(s.config) {
				if !a.Covers(host) {
					fmt.Fprintf(h.err, "detour: %s is to be intercepted but not covered: it is tunnelled until `detour proxy ca regenerate`\n", host)
				}
			}
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func caRegenerate(h *host) *cobra.Command {
	return &cobra.Command{
		Use:   "regenerate",
		Short: "Make a new authority in place of the old one",
		Long: `Regenerate makes a new root and intermediate for the hosts that the configuration
names now. The old root certificate is kept beside it for reference, and is no
longer trusted by bundles made from now on. A running detour goes on with the
old one until it is restarted, and shells need 'proxy env' again.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			s, err := h.load()
			if err != nil {
				return err
			}
			a, err := ca.Regenerate(app.CAOptions(s.config, s.paths))
			if err != nil {
				return err
			}
			fmt.Fprintf(h.out, "new root certificate: %s\nSHA-256: %s\n", a.RootPath(), a.Info().SHA256)
			fmt.Fprintln(h.err, "next: restart detour, run `detour proxy env` again in open shells, and install the new certificate where the old one was")
			return nil
		},
	}
}

// loadCA opens the authority without making one: looking must not change what is trusted.
func loadCA(h *host) (*ca.Authority, settings, error) {
	s, err := h.load()
	if err != nil {
		return nil, s, err
	}
	a, err := ca.Load(app.CAOptions(s.config, s.paths))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, s, &exitError{code: exitFailure, err: errors.New("there is no certificate authority yet"), hint: "`detour proxy`, `detour serve --with-proxy` and `detour proxy env` make one"}
	}
	return a, s, err
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
