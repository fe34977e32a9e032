package router

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"detour/internal/dialect"
	"detour/internal/llm"
	"detour/providers"
)

const (
	catalogueTTL     = 10 * time.Minute // upstreams ask not to be asked more often
	catalogueRetry   = 15 * time.Second // after a fetch that told nothing
	catalogueTimeout = 20 * time.Second
)

// catalogue is one immutable picture of which account has which model.
type catalogue struct {
	entries     []*entry // sorted as the upstreams listed them, first account first
	listed      []*entry // entries, and the owner's other names for some of them
	byID        map[string]*entry
	byCanonical map[string][]string
	providers   map[string]bool
	body        []byte // answer to GET /v1/models
}

// entry is one model with the accounts that have it.
type entry struct {
	model    providers.Model
	provider string
	accounts []string // sorted as configured; an account whose plan disables the model is not in it
	native   []dialect.Endpoint
	efforts  []llm.Effort
	alias    string // the owner's name for it, of an entry that is another's alias
}

// id is the name that clients see.
func (e *entry) id() string { return cmp.Or(e.alias, e.model.ID) }

// addAliases lists the names that the owner gave to models, unless a model has that name itself.
func (c *catalogue) addAliases(alias map[string]string) {
	c.listed = slices.Clone(c.entries)
	names := Models{Alias: alias}
	for _, name := range slices.Sorted(maps.Keys(alias)) {
		e, ok := c.byID[names.configured(name, ModeRoute)]
		if _, taken := c.byID[name]; !ok || taken {
			continue
		}
		listed := *e
		listed.alias = name
		c.listed = append(c.listed, &listed)
	}
}

func (c *catalogue) empty() bool { return len(c.entries) == 0 }

func (c *catalogue) hasProvider(p string) bool { return c.providers[p] }

func (c *catalogue) find(id string) (*entry, bool) {
	e, ok := c.byID[id]
	return e, ok
}

// listing is what one account answered last.
type listing struct {
	models  []providers.Model
	fetched time.Time // of the last success
	tried   time.Time
}

// catalogues keeps the merged catalogue fresh: asked for at most every ten minutes, one fetch at a time, and a
// picture that could not be renewed goes on serving.
type catalogues struct {
	providers providers.Registry
	accounts  []*providers.Account
	observe   func(*providers.Account, error) // told of every listing that failed
	log       *slog.Logger
	now       func() time.Time
	alias     map[string]string
	life      context.Context //nolint:containedctx // of the Router: fetches outlive the requests that begin them

	mu       sync.Mutex // guards what follows; never held over I/O
	retired  bool       // a newer table has taken over: nothing is fetched any more
	listings map[string]listing
	current  *catalogue
	flight   chan struct{} // closed when the fetch under way ends; nil when there is none
}

func newCatalogues(life context.Context, cfg Config, observe func(*providers.Account, error), now func() time.Time) *catalogues {
	c := &catalogues{providers: cfg.Providers, accounts: cfg.Accounts, observe: observe, log: cfg.Logger, now: now, alias: cfg.Models.Alias, life: life, listings: map[string]listing{}}
	c.current = c.merge()
	return c
}

// inherit takes over what old was told for the accounts that both have.
func (c *catalogues) inherit(old *catalogues) {
	old.mu.Lock()
	defer old.mu.Unlock()
	for _, a := range c.accounts {
		if l, ok := old.listings[a.ID()]; ok && slices.Contains(old.accounts, a) {
			c.listings[a.ID()] = l
		}
	}
	c.current = c.merge()
}

// get returns the catalogue, fetching what is due. While an old picture exists nobody waits for a new one.
func (c *catalogues) get(ctx context.Context) *catalogue {
	c.mu.Lock()
	cur, done := c.current, c.flight
	if done == nil && !c.retired && c.life.Err() == nil && c.due() {
		done = make(chan struct{})
		c.flight = done
		go c.fetch(done) // owned by c; ends with its life or catalogueTimeout; joined through done
	}
	c.mu.Unlock()
	if !cur.empty() || done == nil {
		return cur
	}
	select {
	case <-done:
	case <-ctx.Done():
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.current
}

// retire lets nothing be fetched any more and joins a fetch that is under way.
func (c *catalogues) retire() {
	c.mu.Lock()
	c.retired = true
	done := c.flight
	c.mu.Unlock()
	if done != nil {
		<-done
	}
}

// due tells whether any account's listing wants renewing. The caller holds mu.
func (c *catalogues) due() bool {
	now := c.now()
	return slices.ContainsFunc(c.accounts, func(a *providers.Account) bool { return c.accountDue(a, now) })
}

func (c *catalogues) accountDue(a *providers.Account, now time.Time) bool {
	if a.Config().Tier == providers.Disabled {
		return false
	}
	l := c.listings[a.ID()]
	fresh := now.Sub(l.fetched) < catalogueTTL && !l.fetched.After(now)
	justTried := now.Sub(l.tried) < catalogueRetry && !l.tried.After(now)
	return !fresh && !justTried
}

func (c *catalogues) fetch(done chan struct{}) {
	defer close(done)
	ctx, cancel := context.WithTimeout(c.life, catalogueTimeout)
	defer cancel()
	var wg sync.WaitGroup
	for _, a := range c.accounts {
		c.mu.Lock()
		due := c.accountDue(a, c.now())
		c.mu.Unlock()
		p, ok := c.providers[a.Provider()]
		lister, can := p.(providers.ModelLister)
		if !due || !ok || !can {
			continue
		}
		wg.Go(func() {
			models, err := list(ctx, lister, a)
			c.mu.Lock()
			l := c.listings[a.ID()]
			l.tried = c.now()
			if err == nil {
				l.models, l.fetched = models, l.tried
			}
			c.listings[a.ID()] = l
			c.mu.Unlock()
			if err != nil && !errors.Is(err, context.Canceled) {
				c.log.Warn("list models", "account", a.ID(), "err", err)
				c.observe(a, err)
			}
		})
	}
	wg.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.current = c.merge()
	c.flight = nil
}

// list asks for one account's models. A bug there must cost no more than the list: nobody else recovers this goroutine.
func list(ctx context.Context, l providers.ModelLister, a *providers.Account) (models []providers.Model, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("list models: panic: %v\n%s", v, debug.Stack())
		}
	}()
	return l.Models(ctx, a)
}

// merge builds the picture from the listings. The caller holds mu, or nobody else knows c yet.
func (c *catalogues) merge() *catalogue {
	out := &catalogue{byID: map[string]*entry{}, byCanonical: map[string][]string{}, providers: map[string]bool{}}
	for _, a := range c.accounts {
		if a.Config().Tier == providers.Disabled {
			continue
		}
		out.providers[a.Provider()] = true
		p := c.providers[a.Provider()]
		for _, m := range c.listings[a.ID()].models {
			e := out.byID[m.ID]
			if e == nil {
				e = &entry{model: m, provider: a.Provider()}
				out.byID[m.ID] = e
				out.entries = append(out.entries, e)
				key := canonical(m.ID)
				out.byCanonical[key] = append(out.byCanonical[key], m.ID)
			}
			if e.provider != a.Provider() {
				continue // the first provider that lists an id owns the bare name
			}
			if !m.Disabled {
				if e.model.Disabled {
					e.model = m
				}
				e.accounts = append(e.accounts, a.ID())
				e.native = p.Dialects(e.model)
				if t, ok := p.(providers.Targeter); ok {
					e.efforts = t.Target(e.model).Efforts
				}
			}
		}
	}
	for _, ids := range out.byCanonical {
		sortByPreference(ids, out.byID)
	}
	out.addAliases(c.alias)
	out.body = renderList(out.listed, listOpenAI)
	return out
}

// render writes the upstream's entry unchanged, but for the name of an alias, with an x_detour block.
func (e *entry) render() []byte {
	raw := bytes.TrimSpace(e.model.Raw)
	if len(raw) < 2 || raw[0] != '{' {
		raw, _ = json.Marshal(map[string]string{"id": e.model.ID, "object": "model"})
	}
	if e.alias != "" {
		raw = withID(raw, e.alias)
	}
	accounts := e.accounts
	if accounts == nil {
		accounts = []string{}
	}
	aliasOf := ""
	if e.alias != "" {
		aliasOf = e.model.ID
	}
	block, _ := json.Marshal(struct {
		Provider  string             `json:"provider"`
		Accounts  []string           `json:"accounts"`
		Endpoints []dialect.Endpoint `json:"endpoints"`
		Usable    bool               `json:"usable"`
		AliasOf   string             `json:"alias_of,omitempty"`
	}{e.provider, accounts, e.native, len(accounts) > 0, aliasOf})
	body := bytes.TrimRight(raw[:len(raw)-1], " \t\r\n")
	out := slices.Concat(body)
	if !bytes.Equal(body, []byte("{")) {
		out = append(out, ',')
	}
	out = append(out, `"x_detour":`...)
	out = append(out, block...)
	return append(out, '}')
}
