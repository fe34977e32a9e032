package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"detour/ca/truststore"
)

func caInstall(h *host) *cobra.Command {
	var o truststore.Options
	var dry, assumeYes bool
	c := &cobra.Command{
		Use:   "install",
		Short: "Put the root certificate into trust stores",
		Long: `Install puts the root certificate into the trust stores that you name, or the
operating system's if you name none. It prints what it will do, and asks before
it does it. You rarely need it: 'proxy env' makes the tools of one shell trust
the certificate without changing the machine.`,
		Example: `  detour proxy ca install --dry-run
  detour proxy ca install --nss`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			a, _, err := loadCA(h)
			if err != nil {
				return err
			}
			o.Path, o.Out = a.RootPath(), h.out
			steps, err := truststore.Plan(o.Path, o)
			if dry || err != nil {
				printSteps(h, steps)
				return err
			}
			if !assumeYes {
				if ok, err := h.confirm(steps, "Install the certificate?"); !ok {
					return err
				}
			}
			return truststore.Install(c.Context(), o)
		},
	}
	storeFlags(c, &o, &dry, &assumeYes)
	c.Flags().BoolVar(&o.Force, "force", false, "install even an imported CA that could sign for every site")
	return c
}

func caUninstall(h *host) *cobra.Command {
	var o truststore.Options
	var dry, assumeYes bool
	var path string
	c := &cobra.Command{
		Use:   "uninstall",
		Short: "Take the root certificate out of trust stores",
		Long: `Uninstall takes the root certificate out of the trust stores that you name, or
the operating system's if you name none. --cert names the certificate of an
earlier generation, ca-….old.crt beside the current one.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			o.Path, o.Out = path, h.out
			if path == "" {
				a, _, err := loadCA(h)
				if err != nil {
					return err
				}
				o.Path = a.RootPath()
			}
			steps, err := truststore.PlanUninstall(o.Path, o)
			if dry || err != nil {
				printSteps(h, steps)
				return err
			}
			if !assumeYes {
				if ok, err := h.confirm(steps, "Remove the certificate?"); !ok {
					return err
				}
			}
			return truststore.Uninstall(c.Context(), o)
		},
	}
	storeFlags(c, &o, &dry, &assumeYes)
	c.Flags().StringVar(&path, "cert", "", "certificate to remove (default the current root)")
	return c
}

func storeFlags(c *cobra.Command, o *truststore.Options, dry, assumeYes *bool) {
	c.Flags().BoolVar(&o.System, "system", false, "the operating system's store (the default)")
	c.Flags().BoolVar(&o.NSS, "nss", false, "Firefox and Chromium, in your home folder")
	c.Flags().BoolVar(&o.Java, "java", false, "the Java installation in JAVA_HOME")
	c.Flags().BoolVar(dry, "dry-run", false, "only print what would be done")
	c.Flags().BoolVar(assumeYes, "yes", false, "do not ask")
}

func printSteps(h *host, steps []string) {
	for _, s := range steps {
		fmt.Fprintln(h.out, s)
	}
}

// confirm shows the steps and asks. Without a terminal to ask on it is an error that says how to say yes.
func (h *host) confirm(steps []string, question string) (bool, error) {
	printSteps(h, steps)
	if !h.inTTY {
		return false, &exitError{code: exitUsage, err: errors.New("nothing was done: there is no terminal to ask on"), hint: "add --yes"}
	}
	fmt.Fprintf(h.err, "%s [y/N] ", question)
	var answer string
	_, _ = fmt.Fscanln(h.in, &answer)
	return strings.EqualFold(answer, "y") || strings.EqualFold(answer, "yes"), nil
}
