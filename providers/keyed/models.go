package keyed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"detour/internal/dialect"
	"detour/providers"
)

const (
	maxCatalogue = 32 << 20 // OpenRouter's has hundreds of entries with prose
	askTimeout   = 30 * time.Second
)

// Verify implements providers.Keyed.
func (p *Provider) Verify(ctx context.Context, a *providers.Account) error {
	path := p.VerifyPath
	if path == "" {
		path = p.Paths[dialect.EndpointModels]
	}
	_, err := p.ask(ctx, a, path)
	if len(a.Config().Models) > 0 && missing(err) {
		return nil // a server without a list, which the owner gave instead
	}
	return err
}

// Locate implements providers.Keyed.
func (p *Provider) Locate(ctx context.Context, c providers.AccountConfig, failed error) string {
	custom := "/v1"
	if u, err := url.Parse(p.Base); err == nil && p.Base != "" {
		custom = u.Path
	}
	base := p.ownBase(strings.TrimRight(strings.TrimSpace(c.BaseURL), "/"))
	if !missing(failed) || base == "" || custom == "" || strings.HasSuffix(base, custom) {
		return ""
	}
	c.BaseURL = base + custom
	a, err := p.Open(c)
	if err != nil {
		return ""
	}
	defer a.Close()
	if err := p.Verify(ctx, a); err != nil && providers.AsError(err).Kind != providers.KindLogin {
		return ""
	}
	return c.BaseURL
}

// Models implements providers.ModelLister. Where the owner named the models, those are the list: with what the upstream
// says of them, and also when it cannot be asked just now. Errors are *Error.
func (p *Provider) Models(ctx context.Context, a *providers.Account) ([]providers.Model, error) {
	st, err := p.stateOf(a)
	if err != nil {
		return nil, err
	}
	named := a.Config().Models
	listed, err := p.list(ctx, a)
	if err != nil {
		if e := providers.AsError(err); len(named) == 0 || e.Kind == providers.KindLogin || e.Kind == providers.KindCanceled {
			if len(named) == 0 && missing(err) && p.Base == "" {
				e.Hint = "the server lists no models: name them with models = [\"…\"] in the account's block"
			}
			return nil, err
		}
	}
	models := listed
	if len(named) > 0 {
		models = make([]providers.Model, 0, len(named))
		for _, id := range named {
			i := slices.IndexFunc(listed, func(m providers.Model) bool { return m.ID == id })
			if i >= 0 {
				models = append(models, listed[i])
				continue
			}
			models = append(models, providers.Model{ID: id, Picker: true, Embeddings: strings.Contains(strings.ToLower(id), "embed")})
		}
	}
	for i := range models {
		m := &models[i]
		if len(m.Endpoints) == 0 && !m.Embeddings {
			m.Endpoints = slices.DeleteFunc(slices.Clone(st.endpoints), func(e dialect.Endpoint) bool { return e == dialect.EndpointEmbeddings })
		}
		name := p.Metadata
		if name == "" {
			name = p.Name()
		}
		p.data.Fill(name, m)
	}
	return models, nil
}

// missing tells whether the upstream has no such path.
func missing(err error) bool {
	if err == nil {
		return false
	}
	switch providers.AsError(err).Failure.Status {
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return true
	}
	return false
}

// maxPages bounds a list that says it goes on.
const maxPages = 20

// list asks for the models, page by page where the upstream has pages (Anthropic's has).
func (p *Provider) list(ctx context.Context, a *providers.Account) ([]providers.Model, error) {
	path := p.Paths[dialect.EndpointModels]
	models := []providers.Model{}
	seen := make(map[string]bool)
	next := path
	for range maxPages {
		body, err := p.ask(ctx, a, next)
		if err != nil {
			return nil, err
		}
		if err := p.parse(body, seen, &models); err != nil {
			return nil, &providers.Error{Kind: providers.KindServer, Failure: dialect.Failure{Status: http.StatusBadGateway}, Err: fmt.Errorf("list models: %w", err)}
		}
		last := gjson.GetBytes(body, "last_id").String()
		if !gjson.GetBytes(body, "has_more").Bool() || last == "" {
			break
		}
		next = path + "?after_id=" + url.QueryEscape(last)
	}
	return models, nil
}

// ask gets path. Errors are *Error and hold neither key nor body.
func (p *Provider) ask(ctx context.Context, a *providers.Account, path string) ([]byte, error) {
	st, err := p.stateOf(a)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	req, err := p.request(ctx, a, st, http.MethodGet, path, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	resp, err := p.client.Do(req)
	if err != nil {
		if ue, ok := errors.AsType[*url.Error](err); ok {
			err = ue.Err // the host is said already
		}
		return nil, providers.AsError(fmt.Errorf("reach %s: %w", req.URL.Host, err))
	}
	defer resp.Body.Close()
	if err := p.Check(resp); err != nil {
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxCatalogue+1))
	if err != nil {
		return nil, providers.AsError(fmt.Errorf("read answer of %s: %w", req.URL.Host, err))
	}
	if len(body) > maxCatalogue {
		return nil, &providers.Error{Kind: providers.KindServer, Err: fmt.Errorf("answer of %s exceeds %d bytes", req.URL.Host, maxCatalogue)}
	}
	return body, nil
}

// parse adds the models of one answer. Every member but the id may be missing.
func (p *Provider) parse(body []byte, seen map[string]bool, models *[]providers.Model) error {
	if !gjson.ValidBytes(body) {
		return errors.New("the answer is not JSON")
	}
	list := gjson.ParseBytes(body)
	if list.IsObject() {
		list = list.Get("data")
	}
	if list.Type == gjson.Null {
		return nil // a server with no model loaded says null
	}
	if !list.IsArray() {
		return errors.New("the answer holds no list")
	}
	list.ForEach(func(_, entry gjson.Result) bool {
		id := entry.Get("id").Str
		if id == "" {
			return true
		}
		m := providers.Model{
			ID: id, Vendor: entry.Get("owned_by").Str, Picker: true, Raw: json.RawMessage(entry.Raw),
			Name:       firstText(entry, "display_name", "name"),
			Embeddings: strings.Contains(strings.ToLower(id), "embed"),
		}
		if (p.Parse == nil || p.Parse(entry, &m)) && !seen[m.ID] {
			seen[m.ID] = true
			*models = append(*models, m)
		}
		return true
	})
	return nil
}

func firstText(entry gjson.Result, names ...string) string {
	for _, n := range names {
		if v := entry.Get(n); v.Type == gjson.String && v.Str != "" {
			return v.Str
		}
	}
	return ""
}

// Tokens reads a count of tokens that an upstream tells; 0 for anything odd.
func Tokens(v gjson.Result) int {
	f := v.Float()
	if !(f > 0 && f < 1e12) {
		return 0
	}
	return int(f)
}
