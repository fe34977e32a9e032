package main

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"detour/internal/app"
	"detour/internal/clientkey"
	"detour/providers"
	"detour/router"
)

func newRoute(h *host) *cobra.Command {
	return group(&cobra.Command{
		Use:     "route",
		Short:   "Find out what happens to a request, and why",
		Example: `  detour route explain api.anthropic.com /v1/messages claude-sonnet-4.5`,
	}, newRouteExplain(h))
}

func newRouteExplain(h *host) *cobra.Command {
	var q router.Question
	var client string
	var asJSON bool
	c := &cobra.Command{
		Use:   "explain HOST PATH [MODEL]",
		Short: "Tell which rule decides on a request, and who would serve it",
		Long: `Explain reads the configuration as it is now and tells what detour would do with
a request to HOST on the proxy door, or on the API door if HOST is "api": the
rules that it looks at, the route mode and what decides it, and the model and
the accounts that would serve it. No request is sent; the accounts are asked for
their models.

Exit codes: 0 it would be served or relayed; 1 it would be refused.`,
		Example: `  detour route explain api.anthropic.com /v1/messages claude-sonnet-4.5
  detour route explain api /v1/chat/completions gpt-4o --client laptop`,
		Args: cobra.RangeArgs(2, 3),
		RunE: func(c *cobra.Command, args []string) error {
			u, err := url.Parse(args[1])
			if err != nil || !strings.HasPrefix(u.Path, "/") {
				return usageError("%q is not a path: it begins with /", args[1])
			}
			if q.Host = strings.ToLower(args[0]); q.Host == "api" {
				q.Host = ""
			}
			q.Path, q.Alt, q.Method = u.Path, u.Query().Get("alt"), strings.ToUpper(q.Method)
			if len(args) == 3 {
				q.Model = args[2]
			}
			return explainRoute(c.Context(), h, q, client, asJSON)
		},
	}
	c.Flags().StringVar(&q.Method, "method", http.MethodPost, "HTTP method")
	c.Flags().StringVar(&client, "client", "", "name of the client key that the request comes with")
	c.Flags().StringVar(&q.Header, "route-mode", "", "X-Route-Mode header of the request")
	c.Flags().StringVar(&q.User, "user", "", "user name of the proxy URL")
	jsonFlag(c, &asJSON)
	return c
}

func explainRoute(ctx context.Context, h *host, q router.Question, client string, asJSON bool) error {
	s, u, err := h.open()
	if err != nil {
		return err
	}
	defer u.Close()
	if client != "" {
		keys, err := clientkey.List(s.paths.Keys)
		if err != nil {
			return err
		}
		var names []string
		for _, k := range keys {
			names = append(names, k.Name)
			if k.Name == client {
				q.Client = router.Client{Name: k.Name, Providers: k.Providers, Models: k.Models, Accounts: k.Accounts}
			}
		}
		if q.Client.Name == "" {
			return providers.UnknownName("client key", client, names)
		}
	}
	r, err := app.Routes(u, h.options(s))
	if err != nil {
		return err
	}
	defer r.Close()
	e := r.Explain(ctx, q)
	if asJSON {
		err = h.json(e)
	} else {
		err = printExplanation(h, e)
	}
	if err == nil && e.Outcome == "refuse" {
		return &exitError{code: exitFailure}
	}
	return err
}

func printExplanation(h *host, e router.Explanation) error {
	for _, n := range e.Rules {
		verdict := "matches"
		if !n.Matches {
			verdict = "does not match: its " + n.Refused + " is another"
		}
		fmt.Fprintf(h.out, "rule %-16s %s\n", n.Name, verdict)
	}
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(h.out, "%-10s %s\n", name, value)
		}
	}
	line("door", e.Door)
	line("operation", cmp.Or(e.Operation, "none that detour serves"))
	if e.Mode != "" {
		line("mode", string(e.Mode)+", by "+e.DecidedBy)
	}
	line("model", e.Model)
	line("provider", e.Provider)
	line("upstream", e.Speaks)
	line("accounts", strings.Join(e.Accounts, ", "))
	line("fallback", strings.Join(e.Fallback, ", then "))
	_, err := fmt.Fprintf(h.out, "%-10s %s\n", "outcome", strings.TrimSuffix(e.Outcome+": "+e.Why, ": "))
	return err
}
