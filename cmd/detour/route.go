package main

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"detour/internal/app"
	"detour/internal/clientkey"
	"detour/internal/config"
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
		Use:   "explain HOST PATH [MODEL] | URL [MODEL]",
		Short: "Tell which rule decides on a request, and who would serve it",
		Long: `Explain reads the configuration as it is now and tells what detour would do with
a request to HOST on the proxy door, or on the API door if HOST is "api": whether
it is decrypted at all, the rules that it looks at, the route mode and what
decides it, the model and what led to it, and the accounts that would serve it.
No request is sent; the accounts are asked for their models.

Exit codes: 0 it would be served, relayed or tunnelled; 1 it would be refused.`,
		Example: `  detour route explain api.anthropic.com /v1/messages claude-sonnet-4.5
  detour route explain https://api.openai.com/v1/chat/completions gpt-4o
  detour route explain api /v1/chat/completions gpt-4o --client laptop`,
		Args: cobra.RangeArgs(1, 3),
		RunE: func(c *cobra.Command, args []string) error {
			t, rest, err := parseTarget(args)
			if err != nil {
				return err
			}
			if len(rest) > 1 {
				return usageError("%q is one argument too many", rest[1])
			}
			if len(rest) == 1 {
				q.Model = rest[0]
			}
			q.Method = strings.ToUpper(q.Method)
			return explainRoute(c.Context(), h, t, q, client, asJSON)
		},
	}
	c.Flags().StringVar(&q.Method, "method", "", "HTTP method (default that of the path)")
	c.Flags().StringVar(&client, "client", "", "name of the client key that the request comes with")
	c.Flags().StringVar(&q.Header, "route-mode", "", "X-Route-Mode header of the request")
	c.Flags().StringVar(&q.User, "user", "", "user name of the proxy URL")
	jsonFlag(c, &asJSON)
	return c
}

// target is where a request goes.
type target struct {
	host string // "" for the API door
	port int
	url  *url.URL // its path and query count
}

// parseTarget reads a URL, or a host and a path, and returns the arguments that are left.
func parseTarget(args []string) (t target, rest []string, err error) {
	where, path := args[0], ""
	if scheme, after, ok := strings.Cut(where, "://"); ok {
		t.port = map[string]int{"https": 443, "http": 80}[strings.ToLower(scheme)]
		if t.port == 0 {
			return t, nil, usageError("%q is no address: it begins with https:// or http://", where)
		}
		slash := strings.IndexByte(after+"/", '/')
		where, path, rest = after[:slash], cmp.Or(after[slash:], "/"), args[1:]
	} else if len(args) > 1 {
		t.port, path, rest = 443, args[1], args[2:]
	}
	if path == "" {
		return t, nil, usageError("name a path too, such as /v1/chat/completions")
	}
	if t.url, err = url.Parse(path); err != nil || !strings.HasPrefix(path, "/") || t.url.Host != "" {
		return t, nil, usageError("%q is not a path: it begins with /", path)
	}
	t.host = strings.ToLower(strings.TrimSuffix(where, "."))
	if host, port, err := net.SplitHostPort(t.host); err == nil {
		if t.port, err = strconv.Atoi(port); err != nil {
			return t, nil, usageError("%q is not a port", port)
		}
		t.host = host
	}
	t.host = strings.Trim(t.host, "[]")
	switch t.host {
	case "api":
		t.host = ""
	case "":
		return t, nil, usageError("the host is missing")
	}
	return t, rest, nil
}

// local tells whether t is one of our own doors, through which everything reaches the API door.
func (t *target) local(s settings) bool {
	return (t.host == "localhost" || config.IsLoopback(t.host)) && (t.port == s.config.Server.Port || t.port == s.config.ProxyMode.Port)
}

func explainRoute(ctx context.Context, h *host, t target, q router.Question, client string, asJSON bool) error {
	s, u, err := h.open()
	if err != nil {
		return err
	}
	defer u.Close()
	for _, n := range app.PolicyNotes(s.config, s.paths, u) {
		fmt.Fprintln(h.err, "detour:", n)
	}
	if t.local(s) {
		t.host = ""
	}
	q.Host, q.Path, q.Alt = t.host, t.url.Path, t.url.Query().Get("alt")
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
	var e router.Explanation
	if why := app.Untouched(s.config, s.paths, t.host, t.port); t.host != "" && why != "" {
		e = router.Explanation{Door: "proxy", Rules: []router.RuleNote{}, Outcome: "tunnel", Why: why}
	} else {
		e = r.Explain(ctx, q)
	}
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
	if e.Outcome != "tunnel" {
		line("operation", cmp.Or(e.Operation, "none that detour serves"))
	}
	if e.Mode != "" {
		line("mode", string(e.Mode)+", by "+e.DecidedBy)
	}
	line("model", e.Model)
	line("because", e.ModelBy)
	line("provider", e.Provider)
	line("upstream", e.Speaks)
	line("accounts", strings.Join(e.Accounts, ", "))
	var fallback []string
	for _, name := range e.Fallback {
		if slices.Contains(e.Missing, name) {
			name += " (which no account has)"
		}
		fallback = append(fallback, name)
	}
	line("fallback", strings.Join(fallback, ", then "))
	_, err := fmt.Fprintf(h.out, "%-10s %s\n", "outcome", strings.TrimSuffix(e.Outcome+": "+e.Why, ": "))
	return err
}
