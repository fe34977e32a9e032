package keyed

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"

	"golang.org/x/net/http/httpguts"

	"detour/internal/dialect"
	"detour/providers"
)

// NewRequest implements providers.Provider.
func (p *Provider) NewRequest(ctx context.Context, a *providers.Account, c *providers.Call) (*http.Request, error) {
	st, err := p.stateOf(a)
	if err != nil {
		return nil, err
	}
	path := p.Paths[c.Endpoint]
	if path == "" {
		return nil, &providers.Error{Kind: providers.KindInvalid, Failure: dialect.Failure{
			Status: http.StatusNotFound, Type: "invalid_request_error", Message: fmt.Sprintf("%s has no endpoint %q.", p.Title, c.Endpoint),
		}}
	}
	var body io.Reader
	method := http.MethodGet
	if c.Endpoint != dialect.EndpointModels {
		method = http.MethodPost
		edited := c.Body
		if p.Edit != nil && !c.Verbatim {
			if edited, err = p.Edit(c); err != nil {
				return nil, err
			}
		}
		body = bytes.NewReader(edited)
	}
	req, err := p.request(ctx, a, st, method, path, body)
	if err != nil {
		return nil, err
	}
	p.pass(req.Header, c)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Accept", "application/json")
	if c.Stream {
		req.Header.Set("Accept", "text/event-stream")
	}
	return req, nil
}

// request makes a request with the account's key.
func (p *Provider) request(ctx context.Context, a *providers.Account, st *state, method, path string, body io.Reader) (*http.Request, error) {
	if _, err := a.Lease(ctx); err != nil { // refuses when the account was closed, or has no key
		return nil, err
	}
	base := st.base
	if beside, ok := strings.CutPrefix(path, "//"); ok {
		base, path = strings.TrimSuffix(base, p.Own), "/"+beside
	}
	req, err := http.NewRequestWithContext(ctx, method, base+path, body)
	if err != nil {
		return nil, &providers.Error{Kind: providers.KindInvalid, Err: err}
	}
	req.Header.Set("User-Agent", p.agent)
	for name, v := range p.Headers {
		req.Header.Set(name, v)
	}
	if st.key.IsZero() {
		return req, nil
	}
	switch st.auth {
	case AuthXKey:
		req.Header.Set("X-Api-Key", st.key.Reveal())
	case AuthKey:
		req.Header.Set("Api-Key", st.key.Reveal())
	default:
		req.Header.Set("Authorization", "Bearer "+st.key.Reveal())
	}
	return req, nil
}

// maxPassed bounds a header that is taken over from the client.
const maxPassed = 4 << 10

// pass takes over the client's headers that the service names, each value for itself.
func (p *Provider) pass(h http.Header, c *providers.Call) {
	take := func(name string) {
		var kept []string
		for _, v := range c.Header.Values(name) {
			if v != "" && len(v) <= maxPassed && httpguts.ValidHeaderFieldValue(v) {
				kept = append(kept, v)
			}
		}
		if len(kept) > 0 {
			h[http.CanonicalHeaderKey(name)] = kept
		}
	}
	for _, name := range p.Passed {
		take(name)
	}
	if c.Verbatim { // the request stays the client's
		take("User-Agent")
	}
}
