package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"detour/internal/app"
	"detour/internal/config"
)

// Exit codes. They are a contract: new ones may be added, none changes its meaning.
const (
	exitOK          = 0
	exitFailure     = 1
	exitUsage       = 2 // wrong flags or arguments, or a configuration that cannot be used
	exitNotSignedIn = 4 // an account is missing or its credential is dead
	exitInterrupted = 130
)

// host is what a command needs of the process around it.
type host struct {
	in       io.Reader
	out, err io.Writer
	environ  []string
	outTTY   bool // out is a terminal: print for people
	inTTY    bool
}

func system() *host {
	return &host{
		in: os.Stdin, out: os.Stdout, err: os.Stderr, environ: os.Environ(),
		outTTY: term.IsTerminal(int(os.Stdout.Fd())), inTTY: term.IsTerminal(int(os.Stdin.Fd())),
	}
}

// env looks up a variable, "" when it is not set.
func (h *host) env(name string) string {
	v, _ := h.lookup(name)
	return v
}

func (h *host) lookup(name string) (string, bool) {
	for _, entry := range slices.Backward(h.environ) {
		if k, v, ok := strings.Cut(entry, "="); ok && k == name {
			return v, true
		}
	}
	return "", false
}

// run executes one command line and returns the exit code.
func run(args []string, h *host) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	defer context.AfterFunc(ctx, stop)() // the first signal asks, a second one ends the process at once
	root := newRoot(h)
	root.SetArgs(args)
	root.SetIn(h.in)
	root.SetOut(h.out)
	root.SetErr(h.err)
	err := root.ExecuteContext(ctx)
	return report(ctx, h, err)
}

// report prints an error as "detour: what: why" with its hint, and picks the exit code.
func report(ctx context.Context, h *host, err error) int {
	if err == nil {
		return exitOK
	}
	var exit *exitError
	if errors.As(err, &exit) && exit.err == nil {
		return exit.code
	}
	if invalid, ok := errors.AsType[*config.Invalid](err); ok {
		fmt.Fprintf(h.err, "detour: %s has %s; nothing was changed\n", invalid.Path, invalid.Count())
		for _, p := range invalid.Problems {
			fmt.Fprintf(h.err, "  %s\n", p)
		}
		if invalid.Hint != "" {
			fmt.Fprintf(h.err, "hint: %s\n", invalid.Hint)
		}
		return exitUsage
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		fmt.Fprintln(h.err, "detour: interrupted")
		return exitInterrupted
	}
	fmt.Fprintf(h.err, "detour: %v\n", err)
	if hint := hintFor(err); hint != "" && !strings.Contains(err.Error(), hint) {
		fmt.Fprintf(h.err, "hint: %s\n", hint)
	}
	switch {
	case exit != nil:
		return exit.code
	case errors.Is(err, app.ErrNoAccounts):
		return exitNotSignedIn
	}
	if _, ok := errors.AsType[*app.ConfigError](err); ok {
		return exitUsage
	}
	return exitFailure
}

// exitError carries an exit code of its own, and a hint.
type exitError struct {
	code int
	err  error // nil: say nothing
	hint string
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit status %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// usageError is a command line that makes no sense.
func usageError(format string, args ...any) error {
	return &exitError{code: exitUsage, err: fmt.Errorf(format, args...), hint: "see `detour --help`"}
}

// newRoot builds the command tree. Commands are constructors, so that nothing is shared between two runs.
func newRoot(h *host) *cobra.Command {
	root := &cobra.Command{
		Use:   "detour",
		Short: "Use the Copilot and other accounts you have from tools that know nothing of them",
		Long: `Detour lets LLM tools, unmodified, use the GitHub Copilot accounts and the API
keys of other providers that you already have: through a forward proxy that intercepts a short list of LLM API
hosts, and through an API server with OpenAI and Anthropic endpoints.

Getting started:
  detour demo                        watch the main job, no account needed
  detour login                       sign in to GitHub Copilot
  detour serve --with-proxy          open both doors
  eval "$(detour proxy env)"         send this shell's tools through the proxy

Exit codes: 0 done; 1 it went wrong; 2 wrong usage or configuration; 4 not
signed in; 130 interrupted. 'proxy shell' and 'proxy exec' pass on the code of
the program that they ran.

Environment: DETOUR_HOME (one folder for all files), DETOUR_CONFIG (config.toml),
DETOUR_GITHUB_URL, DETOUR_GITHUB_API_URL, DETOUR_COPILOT_API_URL (upstreams),
DETOUR_UPSTREAM_CA (extra roots for what detour itself dials), DETOUR_MODELS_URL
(where 'detour update --models' asks),
COPILOT_GITHUB_TOKEN, GH_TOKEN, GITHUB_TOKEN (an account, in this order).`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Version:       version(),
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return &exitError{code: exitUsage, err: err, hint: "see `" + c.CommandPath() + " --help`"}
	})
	group(root,
		newServe(h), newProxy(h), newDemo(h), newVersion(h),
		newLogin(h), newImport(h), newAccount(h), newStatus(h), newModels(h), newUsage(h), newHeaders(h), newToken(h), newRefresh(h), newConfig(h), newKey(h), newRoute(h), newUpdate(h),
	)
	wrapArgs(root)
	return root
}

// wrapArgs gives wrong arguments, and flags that do not go together, the exit code of wrong usage.
func wrapArgs(c *cobra.Command) {
	if args := c.Args; args != nil {
		c.Args = func(c *cobra.Command, a []string) error {
			if err := cmp.Or(args(c, a), c.ValidateRequiredFlags(), c.ValidateFlagGroups()); err != nil {
				return &exitError{code: exitUsage, err: err, hint: "see `" + c.CommandPath() + " --help`"}
			}
			return nil
		}
	}
	for _, sub := range c.Commands() {
		wrapArgs(sub)
	}
}

// buildVersion may be set at link time with -X main.buildVersion=…; it is never written.
var buildVersion string

func version() string {
	if buildVersion != "" {
		return buildVersion
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "0.1.0-dev"
}

func newVersion(h *host) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(h.out, "detour", version())
			return err
		},
	}
}

// settings is what nearly every command starts from.
type settings struct {
	paths  config.Paths
	config *config.Config
}

func (h *host) load() (settings, error) {
	paths, err := config.FindPaths(h.env)
	if err != nil {
		return settings{}, err
	}
	cfg, err := config.Load(paths.Config)
	return settings{paths, cfg}, err
}

func (h *host) logger(cfg *config.Config) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(cfg.Log.Level)); err != nil {
		level = slog.LevelInfo
	}
	o := &slog.HandlerOptions{Level: level}
	if cfg.Log.Format == "json" {
		return slog.New(slog.NewJSONHandler(h.err, o))
	}
	return slog.New(slog.NewTextHandler(h.err, o))
}

func (h *host) options(s settings) app.Options {
	return app.Options{Config: s.config, Paths: s.paths, Env: h.env, Logger: h.logger(s.config), Version: version()}
}
