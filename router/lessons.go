package router

import (
	"bytes"
	"slices"
	"sync"
	"time"

	"detour/internal/dialect"
	"detour/providers"
)

const (
	// lessonsLast is how long a lesson is believed, so that an upstream which begins to accept something is noticed.
	lessonsLast = time.Hour
	maxPages    = 512 // models at endpoints
	maxLessons  = 32  // of one page
)

// lessons are what upstreams taught by refusing requests, by model and endpoint. They live as long as the table: a
// reload forgets them, and so does a change of the model's entry in the catalogue. It is safe for concurrent use.
type lessons struct {
	now func() time.Time

	mu    sync.Mutex // guards what follows
	pages map[lessonKey]*page
}

type lessonKey struct {
	provider, model string
	endpoint        dialect.Endpoint
}

// page is what is known of a model at an endpoint.
type page struct {
	entry    []byte   // of the catalogue, when the page was begun
	learned  []string // never changed in place
	until    time.Time
	refused  bool // the model is not served there at all
	notTools bool // or not with tools
}

// pageOf is where the lessons about m at e stand. What is counted is a request that will be made, so that both have one.
func pageOf(provider string, m providers.Model, e dialect.Endpoint) lessonKey {
	if e == dialect.EndpointCountTokens {
		e = dialect.EndpointMessages
	}
	return lessonKey{provider, m.ID, e}
}

func newLessons(now func() time.Time) *lessons {
	return &lessons{now: now, pages: map[lessonKey]*page{}}
}

// page returns what is known, nil for nothing. The caller holds mu.
func (l *lessons) page(k lessonKey, m providers.Model) *page {
	p := l.pages[k]
	if p == nil {
		return nil
	}
	if now := l.now(); !now.Before(p.until) || p.until.Sub(now) > lessonsLast || !bytes.Equal(p.entry, m.Raw) {
		delete(l.pages, k)
		return nil
	}
	return p
}

// of returns the lessons for requests for m at e. The caller must not change them.
func (l *lessons) of(provider string, m providers.Model, e dialect.Endpoint) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p := l.page(pageOf(provider, m, e), m); p != nil {
		return p.learned
	}
	return nil
}

// refuses tells whether m is known not to be served at e.
func (l *lessons) refuses(provider string, m providers.Model, e dialect.Endpoint, tools func() bool) bool {
	l.mu.Lock()
	p := l.page(pageOf(provider, m, e), m)
	refused, notTools := p != nil && p.refused, p != nil && p.notTools
	l.mu.Unlock()
	return refused || notTools && tools()
}

// learn adds lessons that helped.
func (l *lessons) learn(provider string, m providers.Model, e dialect.Endpoint, add []string) {
	l.note(pageOf(provider, m, e), m, func(p *page) {
		all := slices.Clone(p.learned)
		for _, s := range add {
			if !slices.Contains(all, s) {
				all = append(all, s)
			}
		}
		p.learned = all[max(0, len(all)-maxLessons):]
	})
}

// refuse notes that m is not served at e, or not with tools.
func (l *lessons) refuse(provider string, m providers.Model, e dialect.Endpoint, withTools bool) {
	l.note(pageOf(provider, m, e), m, func(p *page) {
		p.refused = p.refused || !withTools
		p.notTools = p.notTools || withTools
	})
}

// note changes a page, which is believed for an hour from when it was begun: what is used all the time must be tested
// now and then, too.
func (l *lessons) note(k lessonKey, m providers.Model, change func(*page)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.page(k, m)
	if p == nil {
		if len(l.pages) >= maxPages {
			l.forgetOldest()
		}
		p = &page{entry: m.Raw, until: l.now().Add(lessonsLast)}
		l.pages[k] = p
	}
	change(p)
}

// forgetOldest makes room. The caller holds mu.
func (l *lessons) forgetOldest() {
	var oldest lessonKey
	var when time.Time
	for k, p := range l.pages {
		if when.IsZero() || p.until.Before(when) {
			oldest, when = k, p.until
		}
	}
	delete(l.pages, oldest)
}
