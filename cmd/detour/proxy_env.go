package main

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"detour/internal/app"
	"detour/internal/config"
	"detour/shellenv"
)

// envFlags say which proxy to point at.
type envFlags struct{ port int }

func (f *envFlags) register(c *cobra.Command) {
	c.Flags().IntVar(&f.port, "port", 0, "port of the proxy that is meant (default that of the detour that runs, else proxy_mode.port)")
}

func newProxyEnv(h *host) *cobra.Command {
	var f envFlags
	var shell, format string
	var unset bool
	c := &cobra.Command{
		Use:   "env",
		Short: "Print statements that point this shell at the proxy",
		Long: `Env prints statements for the shell to evaluate: proxy variables in both cases,
and the variables through which clients learn to trust the local certificate
authority. Certificates that those variables name already stay trusted. Notes
go to standard error. --unset restores what was there before.

Shells: sh, bash, zsh, fish, pwsh, cmd, nu. Formats: json, dotenv, direnv,
github, docker.`,
		Example: `  eval "$(detour proxy env)"
  detour proxy env --shell fish | source
  detour proxy env --shell pwsh | Out-String | Invoke-Expression
  detour proxy env --shell nu | from json | load-env      # nushell
  eval "$(detour proxy env --unset)"`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			sh, err := chooseShell(h, shell, format)
			if err != nil {
				return err
			}
			if unset {
				script, err := shellenv.Unset(h.lookup).Script(sh)
				if err != nil {
					return err
				}
				_, err = h.out.Write(script)
				return err
			}
			set, err := f.compute(c.Context(), h)
			if err != nil {
				return err
			}
			script, err := set.Script(sh)
			if err != nil {
				return err
			}
			_, err = h.out.Write(script)
			return err
		},
	}
	f.register(c)
	c.Flags().StringVar(&shell, "shell", "", "shell to print for (default: from $SHELL)")
	c.Flags().StringVar(&format, "format", "", "print as json, dotenv, direnv, github or docker instead")
	c.Flags().BoolVar(&unset, "unset", false, "restore the variables to what they were")
	c.MarkFlagsMutuallyExclusive("shell", "format")
	return c
}

func chooseShell(h *host, shell, format string) (shellenv.Shell, error) {
	for _, name := range []string{format, shell} {
		if name == "" {
			continue
		}
		sh, err := shellenv.ParseShell(name)
		if err != nil {
			return "", usageError("%w", err)
		}
		return sh, nil
	}
	return shellenv.Detect(h.env, parentName()), nil
}

// compute works out the variables, making the CA if there is none yet, and passes notes on to standard error.
func (f *envFlags) compute(ctx context.Context, h *host) (shellenv.Set, error) {
	s, err := h.load()
	if err != nil {
		return shellenv.Set{}, err
	}
	authority, err := app.OpenCA(s.config, s.paths)
	if err != nil {
		return shellenv.Set{}, err
	}
	install, err := config.LoadInstall(s.paths.Install)
	if err != nil {
		return shellenv.Set{}, err
	}
	running, _ := app.FindRunning(s.paths)
	url := app.ProxyURL(s.config, install, running, f.port)
	set, err := shellenv.Compute(shellenv.Params{
		ProxyURL:    url.String(),
		CACert:      authority.RootPath(),
		Bundle:      func(_ string, existing []string) (string, error) { return authority.Bundle(existing...) },
		Extra:       func(existing []string) (string, error) { return authority.ExtraBundle(existing...) },
		Env:         h.lookup,
		Intercepted: append(app.InterceptedHosts(s.config), app.SelfHost),
		Configured:  h.configuredCAs(ctx),
		Generation:  authority.Generation(),
	})
	if err != nil {
		return set, err
	}
	for _, w := range set.Warnings {
		fmt.Fprintln(h.err, "detour:", w)
	}
	d := net.Dialer{Timeout: time.Second}
	if conn, err := d.DialContext(ctx, "tcp", url.Host); err != nil {
		fmt.Fprintf(h.err, "detour: nothing listens on %s yet; start it with `detour serve --with-proxy`\n", url.Host)
	} else {
		_ = conn.Close()
	}
	return set, nil
}

// configuredCAs finds certificate files that programs name in files of their own, which a variable would hide.
func (h *host) configuredCAs(ctx context.Context) map[string]string {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	git := exec.CommandContext(ctx, "git", "config", "--type=path", "http.sslCAInfo")
	git.Env = h.environ
	out, err := git.Output()
	if path := strings.TrimSpace(string(out)); err == nil && path != "" {
		return map[string]string{"GIT_SSL_CAINFO": path}
	}
	return nil
}

func newProxyShell(h *host) *cobra.Command {
	var f envFlags
	var shell string
	c := &cobra.Command{
		Use:   "shell",
		Short: "Start a shell that is pointed at the proxy",
		Long: `Shell starts $SHELL, or /bin/sh, with the variables of 'proxy env' set, and ends
with its exit code.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if shell == "" {
				shell = h.env("SHELL")
			}
			if shell == "" {
				shell = "/bin/sh"
			}
			return f.run(c.Context(), h, []string{shell})
		},
	}
	f.register(c)
	c.Flags().StringVar(&shell, "shell", "", "program to start (default $SHELL, else /bin/sh)")
	return c
}

func newProxyExec(h *host) *cobra.Command {
	var f envFlags
	c := &cobra.Command{
		Use:     "exec -- COMMAND [ARG...]",
		Short:   "Run one command that is pointed at the proxy",
		Long:    "Exec runs a command with the variables of 'proxy env' set, and ends with its exit code.",
		Example: "  detour proxy exec -- python3 script.py",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return f.run(c.Context(), h, args)
		},
	}
	c.Flags().SetInterspersed(false)
	f.register(c)
	return c
}

// run becomes a program with the variables set.
func (f *envFlags) run(ctx context.Context, h *host, argv []string) error {
	set, err := f.compute(ctx, h)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err // interrupted: the program would never know
	}
	return h.become(argv, set.Environ(h.environ))
}
