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
	"strings"
	"sync"
	"time"

	"github.com/tidwall/gjson"

	"detour/internal/dialect"
	"detour/internal/llm"
	"detour/providers"
)

const (
	catalogueTTL     = 10 * time.Minute // upstreams ask not to be asked more often
	catalogueRetry   = 15 * time.Second // after a fetch that told nothing
	catalogueTimeout = 20 * time.Second
	// catalogueGrace is how long the first requests wait for accounts that are slow to list their models once every
	// provider has listed some: an account that is broken must not hold up the others. A provider that nothing is known of
	// yet is waited for, or its models would be asked of another, at other prices.
	catalogueGrace = 2 * time.Second
)

// catalogue is one immutable picture of which account has which model.
type catalogue struct {
	entries     []*entry            // sorted as the upstreams listed them, first account first
	listed      []*entry            // entries, and the owner's other names for some of them
	byID        map[string][]*entry // those of several providers in the order of their accounts
	byCanonical map[string][]*entry // the preferred one first
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
	order    int    // of the provider, by its first account
	shadowed bool   // the bare id means another provider's entry
}

// id is the name that clients see: the bare id, or provider/id where that means another provider's.
func (e *entry) id() string {
	switch {
	case e.alias != "":
		return e.alias
	case e.shadowed:
		return e.provider + "/" + e.model.ID
	}
	return e.model.ID
}

// scope is where a model may be looked for.
type scope struct {
	provider string   // "" for any
	accounts []string // that may serve; nil for any
}

func (s scope) has(e *entry) bool { return s.provider == "" || s.provider == e.provider }

// usable tells whether an account of the scope has the model.
func (s scope) usable(e *entry) bool {
	if s.accounts == nil {
		return len(e.accounts) > 0
	}
	return slices.ContainsFunc(e.accounts, func(id string) bool { return slices.Contains(s.accounts, id) })
}

// pick returns the first of list that is usable within s, or else the first that is there.
func (s scope) pick(list []*entry) (*entry, bool) {
	var there *entry
	for _, e := range list {
		switch {
		case !s.has(e):
		case s.usable(e):
			return e, true
		case there == nil:
			there = e
		}
	}
	return there, there != nil
}

// addAliases lists the names that the owner gave to models, unless a model has that name itself.
func (c *catalogue) addAliases(alias map[string]string) {
	c.listed = slices.Clone(c.entries)
	names := Models{Alias: alias}
	for _, name := range slices.Sorted(maps.Keys(alias)) {
		target, _ := names.configured(name, ModeRoute)
		e, ok := c.qualified(target)
		if !ok {
			e, ok = c.find(target, scope{})
		}
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

// lists tells whether any model of the provider is known.
func (c *catalogue) lists(provider string) bool {
	return slices.ContainsFunc(c.entries, func(e *entry) bool { return e.provider == provider })
}

// find returns the model with the id. Of several providers' the first account's wins that may serve.
func (c *catalogue) find(id string, in scope) (*entry, bool) { return in.pick(c.byID[id]) }

// qualified returns the model that name means as provider/id.
func (c *catalogue) qualified(name string) (*entry, bool) {
	provider, id, ok := strings.Cut(name, "/")
	if !ok || provider == "" {
		return nil, false
	}
	return c.find(id, scope{provider: provider})
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
	partial  bool      // current lacks accounts that have yet to answer for the first time
	flight   *fetching // the fetch under way; nil when there is none
}

// fetching is a fetch of what is due.
type fetching struct {
	ready chan struct{} // closed catalogueGrace after every provider has listed something, or is known to list nothing
	done  chan struct{} // closed when all have answered, or are given up

	waiting map[string]int // accounts that have yet to answer, of providers of which none has answered well; guarded by catalogues.mu
	grace   *time.Timer    // closes ready; nil before
}

// answered notes how one account answered, and calls ready once it is time not to wait any longer. The caller holds
// catalogues.mu.
func (f *fetching) answered(provider string, well bool, ready func()) {
	left, waiting := f.waiting[provider]
	if !waiting {
		return
	}
	if f.waiting[provider] = left - 1; well || left == 1 {
		delete(f.waiting, provider)
	}
	if len(f.waiting) == 0 {
		f.grace = time.AfterFunc(catalogueGrace, ready)
	}
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

// known is the catalogue as it is, without asking anybody.
func (c *catalogues) known() *catalogue {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.current
}

// complete is the catalogue as it is, if every account that is used has told its models.
func (c *catalogues) complete() (*catalogue, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, a := range c.accounts {
		if a.Config().Tier != providers.Disabled && c.listings[a.ID()].fetched.IsZero() {
			return c.current, false
		}
	}
	return c.current, true
}

// get returns the catalogue, fetching what is due. While an old picture exists nobody waits for a new one.
func (c *catalogues) get(ctx context.Context) *catalogue {
	c.mu.Lock()
	cur, f := c.current, c.flight
	wait := cur.empty() || c.partial
	if f == nil && !c.retired && c.life.Err() == nil && c.due() {
		f = &fetching{ready: make(chan struct{}), done: make(chan struct{}), waiting: map[string]int{}}
		c.flight = f
		go c.fetch(f) // owned by c; ends with its life or catalogueTimeout; joined through done
	}
	c.mu.Unlock()
	if !wait || f == nil {
		return cur
	}
	select {
	case <-f.ready:
	case <-f.done:
	case <-ctx.Done():
	}
	return c.known()
}

// whole is get for those to whom it matters that no account is missing.
func (c *catalogues) whole(ctx context.Context) *catalogue {
	cur := c.get(ctx)
	c.mu.Lock()
	f, partial := c.flight, c.partial
	c.mu.Unlock()
	if f == nil || !partial {
		return cur
	}
	select {
	case <-f.done:
	case <-ctx.Done():
	}
	return c.known()
}

// retire lets nothing be fetched any more and joins a fetch that is under way.
func (c *catalogues) retire() {
	c.mu.Lock()
	c.retired = true
	f := c.flight
	c.mu.Unlock()
	if f != nil {
		<-f.done
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

func (c *catalogues) fetch(f *fetching) {
	defer close(f.done)
	ctx, cancel := context.WithTimeout(c.life, catalogueTimeout)
	defer cancel()
	c.mu.Lock()
	var due []*providers.Account
	for _, a := range c.accounts {
		if _, can := c.providers[a.Provider()].(providers.ModelLister); can && c.accountDue(a, c.now()) {
			due = append(due, a)
			f.waiting[a.Provider()]++
		}
	}
	c.mu.Unlock()
	var wg sync.WaitGroup
	for _, a := range due {
		wg.Go(func() {
			models, err := list(ctx, c.providers[a.Provider()].(providers.ModelLister), a)
			c.mu.Lock()
			l := c.listings[a.ID()]
			l.tried = c.now()
			if err == nil {
				l.models, l.fetched = models, l.tried
			}
			c.listings[a.ID()] = l
			f.answered(a.Provider(), err == nil, func() { c.publish(f) })
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
	if f.grace != nil {
		f.grace.Stop()
	}
	c.current, c.partial = c.merge(), false
	c.flight = nil
}

// publish lets those who wait for f go on with what has come so far. It runs on the timer's goroutine and does no I/O.
func (c *catalogues) publish(f *fetching) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.flight != f {
		return // it has ended meanwhile
	}
	if c.current.empty() {
		c.current, c.partial = c.merge(), true
	}
	close(f.ready)
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
	out := &catalogue{byID: map[string][]*entry{}, byCanonical: map[string][]*entry{}, providers: map[string]bool{}}
	order := map[string]int{}
	for i, a := range c.accounts {
		if a.Config().Tier == providers.Disabled {
			continue
		}
		out.providers[a.Provider()] = true
		if _, seen := order[a.Provider()]; !seen {
			order[a.Provider()] = i
		}
		p := c.providers[a.Provider()]
		for _, m := range c.listings[a.ID()].models {
			e, ok := out.find(m.ID, scope{provider: a.Provider()})
			if !ok {
				e = &entry{model: m, provider: a.Provider(), order: order[a.Provider()]}
				out.entries = append(out.entries, e)
				out.byID[m.ID] = append(out.byID[m.ID], e)
				key := canonical(m.ID)
				out.byCanonical[key] = append(out.byCanonical[key], e)
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
	for _, list := range out.byID {
		slices.SortStableFunc(list, func(a, b *entry) int { return cmp.Compare(a.order, b.order) })
		owner, _ := scope{}.pick(list)
		for _, e := range list {
			_, other := out.qualified(e.model.ID)
			e.shadowed = e != owner || other
		}
	}
	for _, list := range out.byCanonical {
		sortByPreference(list)
	}
	out.addAliases(c.alias)
	out.body = renderList(out.listed, listOpenAI)
	return out
}

// limits of a model, in tokens; 0 is unknown.
type limits struct {
	Context int `json:"context,omitempty"`
	Prompt  int `json:"prompt,omitempty"`
	Output  int `json:"output,omitempty"`
}

// render writes the upstream's entry unchanged, but for the name of an alias or of a model that shares its own, with an
// x_detour block.
func (e *entry) render() []byte {
	raw := bytes.TrimSpace(e.model.Raw)
	if len(raw) < 2 || raw[0] != '{' {
		raw, _ = json.Marshal(map[string]string{"id": e.id(), "object": "model"})
	}
	if gjson.GetBytes(raw, "id").Str != e.id() { // Gemini's list says models/ before each
		raw = withID(raw, e.id())
	}
	accounts := e.accounts
	if accounts == nil {
		accounts = []string{}
	}
	aliasOf := ""
	if e.alias != "" {
		aliasOf = e.model.ID
	}
	m := &e.model
	block, _ := json.Marshal(struct {
		Provider  string             `json:"provider"`
		Accounts  []string           `json:"accounts"`
		Endpoints []dialect.Endpoint `json:"endpoints"`
		Usable    bool               `json:"usable"`
		AliasOf   string             `json:"alias_of,omitempty"`
		Limits    limits             `json:"limits,omitzero"`
		Cost      providers.Cost     `json:"cost,omitzero"`
		Input     []string           `json:"input,omitempty"`
		Output    []string           `json:"output,omitempty"`
		Reasoning bool               `json:"reasoning,omitempty"`
	}{
		e.provider, accounts, e.native, len(accounts) > 0, aliasOf,
		limits{m.ContextWindow, m.MaxPrompt, m.MaxOutput}, m.Cost, m.Input, m.Output, m.Reasons,
	})
	body := bytes.TrimRight(raw[:len(raw)-1], " \t\r\n")
	out := slices.Concat(body)
	if !bytes.Equal(body, []byte("{")) {
		out = append(out, ',')
	}
	out = append(out, `"x_detour":`...)
	out = append(out, block...)
	return append(out, '}')
}
