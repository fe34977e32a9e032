package main

import (
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"detour/internal/dialect"
	"detour/providers"
)

// headerShower is implemented by providers that can tell which headers a request would carry.
type headerShower interface {
	Headers(a *providers.Account, e dialect.Endpoint) (http.Header, error)
}

// requestKinds are the endpoints whose headers differ.
func requestKinds() []dialect.Endpoint {
	return []dialect.Endpoint{
		dialect.EndpointChat, dialect.EndpointResponses, dialect.EndpointMessages, dialect.EndpointEmbeddings, dialect.EndpointModels,
	}
}

func newHeaders(h *host) *cobra.Command {
	var id, kind string
	var asJSON bool
	c := &cobra.Command{
		Use:   "headers",
		Short: "Show the identity headers that requests carry upstream",
		Long: `Headers shows, for each kind of request, the headers with which an account's
requests go upstream: what the account's settings and the built-in defaults come
to. The credential is masked, and ids that are made for each request are made up.
Nothing is sent.

If the upstream starts to refuse requests with 400, 401 or 403 and a page of
HTML, these values may be out of date; change them with
'detour config set --account ID settings.NAME VALUE'.`,
		Example: `  detour headers
  detour headers --account work --kind messages`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return runHeaders(h, id, kind, asJSON) },
	}
	accountFlag(h, c, &id, "account to show (default: the only one)")
	c.Flags().StringVar(&kind, "kind", "", "one kind of request only, such as chat/completions or messages")
	jsonFlag(c, &asJSON)
	return c
}

func runHeaders(h *host, id, kind string, asJSON bool) error {
	kinds := requestKinds()
	if kind != "" {
		var names []string
		for _, k := range kinds {
			names = append(names, string(k))
			if string(k) == kind {
				kinds = []dialect.Endpoint{k}
			}
		}
		if len(kinds) > 1 {
			return usageError("--kind: %w", providers.UnknownName("kind of request", kind, names))
		}
	}
	_, u, err := h.open()
	if err != nil {
		return err
	}
	defer u.Close()
	account, err := pick(u, id)
	if err != nil {
		return err
	}
	p, err := u.Providers.Lookup(account.Provider())
	if err != nil {
		return err
	}
	shower, ok := p.(headerShower)
	if !ok {
		return fmt.Errorf("provider %s has no identity headers", account.Provider())
	}
	var f facts
	out := map[string]map[string]string{}
	for _, k := range kinds {
		header, err := shower.Headers(account, k)
		if err != nil {
			return err
		}
		out[string(k)] = map[string]string{}
		for _, name := range sortedKeys(header) {
			out[string(k)][name] = header.Get(name)
			f.add(string(k), name, text(header.Get(name)))
		}
	}
	if asJSON {
		return h.json(struct {
			Account  string                       `json:"account"`
			Provider string                       `json:"provider"`
			Headers  map[string]map[string]string `json:"headers"`
		}{account.ID(), account.Provider(), out})
	}
	return f.print(h)
}
