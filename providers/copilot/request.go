package copilot

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"

	"detour/internal/dialect"
	"detour/providers"
)

// route is where an endpoint lives upstream. Only the Anthropic paths begin with /v1.
func route(e dialect.Endpoint) (method, path string) {
	switch e {
	case dialect.EndpointChat:
		return http.MethodPost, "/chat/completions"
	case dialect.EndpointResponses:
		return http.MethodPost, "/responses"
	case dialect.EndpointMessages:
		return http.MethodPost, "/v1/messages"
	case dialect.EndpointCountTokens:
		return http.MethodPost, "/v1/messages/count_tokens"
	case dialect.EndpointEmbeddings:
		return http.MethodPost, "/embeddings"
	case dialect.EndpointModels:
		return http.MethodGet, "/models"
	}
	return "", ""
}

// NewRequest implements providers.Provider.
func (p *Provider) NewRequest(ctx context.Context, a *providers.Account, c *providers.Call) (*http.Request, error) {
	st, err := stateOf(a)
	if err != nil {
		return nil, err
	}
	method, path := route(c.Endpoint)
	if path == "" {
		return nil, invalid(http.StatusNotFound, "", "", fmt.Sprintf("GitHub Copilot has no endpoint %q", c.Endpoint))
	}
	betas := st.betas(c)
	var body io.Reader
	if method == http.MethodPost {
		edited, err := edit(c, betas)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(heed(edited, c.Model, c.Lessons))
	}
	lease, err := a.Lease(ctx)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, lease.Base+path, body)
	if err != nil {
		return nil, &providers.Error{Kind: providers.KindInvalid, Err: err}
	}
	req.Header = st.header(c, betas)
	req.Header.Set("Authorization", "Bearer "+lease.Token.Reveal())
	return req, nil
}

// invalid is an error about the request itself, worded for the client.
func invalid(status int, code, param, message string) *providers.Error {
	return &providers.Error{
		Kind:    providers.KindInvalid,
		Failure: dialect.Failure{Status: status, Type: "invalid_request_error", Code: code, Param: param, Message: message},
	}
}

// edit applies the edits that the package documentation lists.
func edit(c *providers.Call, betas []string) ([]byte, error) {
	if c.Verbatim {
		return c.Body, nil
	}
	switch c.Endpoint {
	case dialect.EndpointChat:
		return editChat(c.Body, c.Model), nil
	case dialect.EndpointResponses:
		return editResponses(c.Body, slices.Contains(c.Lessons, lessonNoSearch))
	case dialect.EndpointMessages, dialect.EndpointCountTokens:
		return editMessages(c, betas)
	case dialect.EndpointEmbeddings:
		return editEmbeddings(c.Body), nil
	}
	return c.Body, nil
}
