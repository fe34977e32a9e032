package copilot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/tidwall/gjson"

	"detour/internal/dialect"
	"detour/providers"
)

const maxCatalogue = 16 << 20

// Models implements providers.ModelLister. A credential or host that is refused is renewed once. Errors are *Error.
func (p *Provider) Models(ctx context.Context, a *providers.Account) ([]providers.Model, error) {
	models, err := p.models(ctx, a)
	if err == nil {
		return models, nil
	}
	switch providers.AsError(err).Kind {
	case providers.KindAuth, providers.KindMisdirected:
		return p.models(ctx, a)
	}
	return nil, err
}

func (p *Provider) models(ctx context.Context, a *providers.Account) ([]providers.Model, error) {
	lease, err := a.Lease(ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 3*managementTimeout)
	defer cancel()
	req, err := p.NewRequest(ctx, a, &providers.Call{Endpoint: dialect.EndpointModels})
	if err != nil {
		return nil, err
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return nil, providers.AsError(fmt.Errorf("list models: reach %s: %w", req.URL.Host, bare(err)))
	}
	defer resp.Body.Close()
	if err := p.Check(resp); err != nil {
		switch providers.AsError(err).Kind {
		case providers.KindAuth, providers.KindMisdirected:
			a.Expire(lease.Token)
		}
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxCatalogue+1))
	if err != nil {
		return nil, providers.AsError(fmt.Errorf("list models: read answer of %s: %w", req.URL.Host, err))
	}
	if len(body) > maxCatalogue {
		return nil, &providers.Error{Kind: providers.KindServer, Err: fmt.Errorf("list models: answer exceeds %d bytes", maxCatalogue)}
	}
	models, err := parseModels(body)
	if err != nil {
		return nil, &providers.Error{Kind: providers.KindServer, Failure: dialect.Failure{Status: http.StatusBadGateway}, Err: fmt.Errorf("list models: %w", err)}
	}
	return models, nil
}

// parseModels reads a catalogue. Every field but the id may be missing. An id that comes twice counts once.
func parseModels(body []byte) ([]providers.Model, error) {
	if !gjson.ValidBytes(body) {
		return nil, errors.New("the answer is not JSON")
	}
	doc := gjson.ParseBytes(body)
	list := doc
	if doc.IsObject() {
		list = doc.Get("data")
	}
	if !list.IsArray() {
		return nil, errors.New("the answer holds no list")
	}
	models := []providers.Model{}
	seen := make(map[string]bool)
	list.ForEach(func(_, entry gjson.Result) bool {
		id := entry.Get("id")
		kind := entry.Get("capabilities.type").String()
		// Inline-completion models are served by endpoints that nothing here speaks.
		if id.Type != gjson.String || id.Str == "" || seen[id.Str] || kind == "completion" {
			return true
		}
		seen[id.Str] = true
		models = append(models, parseModel(entry))
		return true
	})
	return models, nil
}

func parseModel(entry gjson.Result) providers.Model {
	limits := entry.Get("capabilities.limits")
	m := providers.Model{
		ID:            entry.Get("id").String(),
		Name:          entry.Get("name").String(),
		Vendor:        entry.Get("vendor").String(),
		Embeddings:    entry.Get("capabilities.type").String() == "embeddings",
		Picker:        entry.Get("model_picker_enabled").Bool(),
		ContextWindow: tokens(limits.Get("max_context_window_tokens")),
		MaxPrompt:     tokens(limits.Get("max_prompt_tokens")),
		MaxOutput:     tokens(limits.Get("max_output_tokens")),
		Multiplier:    max(0, figure(entry, "billing.multiplier")),
		Cost:          tokenPrices(entry.Get("billing.token_prices")),
		Raw:           json.RawMessage(entry.Raw),
	}
	if state := entry.Get("policy.state"); state.Exists() && state.String() != "enabled" {
		m.Disabled = true
	}
	advertised := 0
	entry.Get("supported_endpoints").ForEach(func(_, v gjson.Result) bool {
		advertised++
		switch v.String() {
		case "/chat/completions":
			m.Endpoints = append(m.Endpoints, dialect.EndpointChat)
		case "/responses":
			m.Endpoints = append(m.Endpoints, dialect.EndpointResponses)
		case "/v1/messages":
			m.Endpoints = append(m.Endpoints, dialect.EndpointMessages)
		case "/embeddings":
			m.Endpoints = append(m.Endpoints, dialect.EndpointEmbeddings)
		}
		return true
	})
	if advertised > 0 && len(m.Endpoints) == 0 { // served only in ways that nothing here speaks
		m.Disabled = true
	}
	return m
}

// tokenPrices reads prices that are in 10⁻⁹ credits for a batch of tokens, a credit being a cent. Without the size of
// the batch they tell nothing.
func tokenPrices(v gjson.Result) providers.Cost {
	batch := figure(v, "batch_size")
	if batch < 1 {
		return providers.Cost{}
	}
	price := func(name string) float64 {
		const nanoPerDollar, million = 100e9, 1e6
		return providers.Price(figure(v, "default."+name) / batch / (nanoPerDollar / million))
	}
	return providers.Cost{Input: price("input_price"), Output: price("output_price"), CacheRead: price("cache_price")}
}

func tokens(v gjson.Result) int {
	f := v.Float()
	if !(f > 0 && f < 1e12) {
		return 0
	}
	return int(f)
}

// Dialects implements providers.Provider. Claude is best spoken to in its own dialect and OpenAI's newer models in
// theirs. A model of which the catalogue lists no endpoints is served by chat/completions; one that is in no
// catalogue is judged by its name.
func (*Provider) Dialects(m providers.Model) []dialect.Endpoint {
	if m.Embeddings {
		return []dialect.Endpoint{dialect.EndpointEmbeddings}
	}
	known := m.Endpoints
	if len(known) == 0 && m.Raw == nil {
		known = guess(strings.ToLower(m.ID))
	}
	if len(known) == 0 {
		known = []dialect.Endpoint{dialect.EndpointChat}
	}
	has := make(map[dialect.Endpoint]bool, len(known))
	for _, e := range known {
		has[e] = true
	}
	has[dialect.EndpointCountTokens] = has[dialect.EndpointMessages] // served wherever messages is, never advertised
	var list []dialect.Endpoint
	for _, e := range []dialect.Endpoint{dialect.EndpointMessages, dialect.EndpointResponses, dialect.EndpointChat, dialect.EndpointCountTokens, dialect.EndpointEmbeddings} {
		if has[e] {
			list = append(list, e)
		}
	}
	return list
}

func guess(id string) []dialect.Endpoint {
	switch {
	case strings.Contains(id, "embedding"):
		return []dialect.Endpoint{dialect.EndpointEmbeddings}
	case strings.HasPrefix(id, "claude-"):
		return []dialect.Endpoint{dialect.EndpointMessages, dialect.EndpointChat}
	case refusesMaxTokens(id):
		return []dialect.Endpoint{dialect.EndpointResponses, dialect.EndpointChat}
	}
	return nil
}
