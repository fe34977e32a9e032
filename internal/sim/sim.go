package sim

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// site is a group of virtual hosts that share a listener.
type site string

const (
	siteLogin       site = "github"
	siteAPI         site = "api"
	siteIndividual  site = "individual"
	siteBusiness    site = "business"
	siteEnterprise  site = "enterprise"
	siteOrigin      site = "origin"
	siteOriginPlain site = "origin-plain"
	siteServices    site = "services"
)

// Options configure a Sim.
type Options struct {
	Scenario *Scenario        // nil: the zero Scenario. Taken over by the Sim
	Now      func() time.Time // clock for expiry, poll spacing and timestamps; nil: time.Now
	Seed     uint64           // of all identifiers
	TLS      bool             // serve GitHub and Copilot over https, certified by CAPEM
	HTTP2    bool             // offer HTTP/2 there: by ALPN with TLS, else by prior knowledge
	Listen   string           // "": 127.0.0.1:0; a port other than 0 is the first of eight
	Record   int              // requests kept for Requests; 0: 100000; <0: none
}

// Sim is a running simulated upstream. All methods are safe for concurrent use.
type Sim struct {
	now      func() time.Time
	ids      *ids
	log      *recorder // nil: nothing is recorded
	ca       *authority
	caDir    string
	accounts *accounts
	device   *deviceFlow
	seen     *tally // how often a once directive has been obeyed

	mu    sync.Mutex // serialises replacements of state
	state atomic.Pointer[state]

	ctx      context.Context // ends when the Sim is closed: the base of all requests
	cancel   context.CancelFunc
	handlers group
	servers  map[site]*server
	closing  sync.Once
	closeErr error
}

// Start starts a Sim. The caller must Close it.
func Start(o Options) (*Sim, error) {
	if o.Scenario == nil {
		o.Scenario = &Scenario{}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Listen == "" {
		o.Listen = "127.0.0.1:0"
	}
	if o.Record == 0 {
		o.Record = 100_000
	}
	ca, err := newAuthority()
	if err != nil {
		return nil, fmt.Errorf("start simulator: %w", err)
	}
	s := &Sim{
		now: o.Now, ids: &ids{seed: o.Seed}, ca: ca, accounts: newAccounts(),
		device: newDeviceFlow(), seen: newTally(), servers: map[site]*server{},
	}
	if o.Record > 0 {
		s.log = &recorder{limit: o.Record}
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.state.Store(newState(o.Scenario.clone()))
	s.accounts.learn(s.state.Load().Accounts)
	s.accounts.learn(serviceAccounts())
	if err := s.writeCA(); err != nil {
		s.cancel()
		return nil, fmt.Errorf("start simulator: %w", err)
	}
	if err := s.serve(o); err != nil {
		return nil, errors.Join(fmt.Errorf("start simulator: %w", err), s.Close())
	}
	return s, nil
}

// writeCA puts the certificate where other programs can read it.
func (s *Sim) writeCA() error {
	dir, err := os.MkdirTemp("", "detour-sim-")
	if err != nil {
		return fmt.Errorf("make ca folder: %w", err)
	}
	s.caDir = dir
	if err := os.WriteFile(s.CAPath(), s.ca.pem, 0o600); err != nil {
		return errors.Join(fmt.Errorf("write ca: %w", err), os.RemoveAll(dir))
	}
	return nil
}

// serve opens all listeners, then starts to serve them: handlers need to know
// the addresses of the other servers.
func (s *Sim) serve(o Options) error {
	type plan struct {
		site    site
		handler http.Handler
		ca      *authority
		http2   bool
	}
	var ca *authority
	if o.TLS {
		ca = s.ca
	}
	plans := []plan{
		{siteLogin, s.handle(PlaneLogin, siteLogin, s.serveLogin), ca, o.HTTP2},
		{siteAPI, s.handle(PlaneAPI, siteAPI, s.serveAPI), ca, o.HTTP2},
		{siteIndividual, s.handle(PlaneCopilot, siteIndividual, s.serveCopilot), ca, o.HTTP2},
		{siteBusiness, s.handle(PlaneCopilot, siteBusiness, s.serveCopilot), ca, o.HTTP2},
		{siteEnterprise, s.handle(PlaneCopilot, siteEnterprise, s.serveCopilot), ca, o.HTTP2},
		{siteOrigin, s.originHandler(siteOrigin), s.ca, true},
		{siteOriginPlain, s.originHandler(siteOriginPlain), nil, false},
		{siteServices, s.handle(PlaneService, siteServices, s.serveServices), ca, o.HTTP2},
	}
	listeners := make([]net.Listener, 0, len(plans))
	for i := range plans {
		l, err := listen(o.Listen, i)
		if err != nil {
			for _, open := range listeners {
				err = errors.Join(err, open.Close())
			}
			return err
		}
		listeners = append(listeners, l)
	}
	ready := make(chan struct{}) // handlers read s.servers: it must be whole first
	for i, p := range plans {
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			<-ready
			p.handler.ServeHTTP(w, r)
		})
		s.servers[p.site] = serve(s.ctx, listeners[i], serverConfig{handler: h, ca: p.ca, http2: p.http2})
	}
	close(ready)
	return nil
}

// Close ends everything the Sim does, hanging answers included, and joins its
// goroutines. Further calls return the result of the first.
func (s *Sim) Close() error {
	s.closing.Do(func() {
		s.cancel()
		var errs []error
		for _, srv := range s.servers {
			errs = append(errs, srv.close())
		}
		s.handlers.close()
		errs = append(errs, os.RemoveAll(s.caDir))
		s.closeErr = errors.Join(errs...)
	})
	return s.closeErr
}

// GitHubURL is the base URL of the sign-in host.
func (s *Sim) GitHubURL() string { return s.servers[siteLogin].url() }

// APIURL is the base URL of the management API.
func (s *Sim) APIURL() string { return s.servers[siteAPI].url() }

// CopilotURL is the base URL of the inference host for personal plans.
func (s *Sim) CopilotURL() string { return s.servers[siteIndividual].url() }

// BusinessURL is the base URL of the inference host for Copilot Business.
func (s *Sim) BusinessURL() string { return s.servers[siteBusiness].url() }

// EnterpriseURL is the base URL of the inference host for Copilot Enterprise.
func (s *Sim) EnterpriseURL() string { return s.servers[siteEnterprise].url() }

// OriginAddr is host:port of the HTTPS origin, which holds a certificate for
// every server name.
func (s *Sim) OriginAddr() string { return s.servers[siteOrigin].addr() }

// PlainAddr is host:port of the same origin over plain HTTP.
func (s *Sim) PlainAddr() string { return s.servers[siteOriginPlain].addr() }

// CAPEM is the certificate of the CA that signs for all https servers.
func (s *Sim) CAPEM() []byte { return s.ca.pem }

// CAPath is a file with CAPEM. Close removes it.
func (s *Sim) CAPath() string { return filepath.Join(s.caDir, "ca.crt") }

// Env returns the variables that point detour at the Sim.
func (s *Sim) Env() map[string]string {
	return map[string]string{
		"DETOUR_GITHUB_URL":      s.GitHubURL(),
		"DETOUR_GITHUB_API_URL":  s.APIURL(),
		"DETOUR_COPILOT_API_URL": s.CopilotURL(),
		"DETOUR_UPSTREAM_CA":     s.CAPath(),
	}
}

// Requests returns the recorded requests that all filters accept, oldest first.
// Requests that are being served are included. Filters must not call the Sim.
func (s *Sim) Requests(filter ...func(Request) bool) []Request {
	if s.log == nil {
		return nil
	}
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	return s.log.find(filter)
}

// Await blocks until at least n recorded requests are accepted by all filters,
// or ctx ends.
func (s *Sim) Await(ctx context.Context, n int, filter ...func(Request) bool) ([]Request, error) {
	if s.log == nil {
		return nil, errors.New("await requests: nothing is recorded")
	}
	return s.log.await(ctx, n, filter)
}

// Account finds an account by its name or GitHub token; nil when there is none.
func (s *Sim) Account(name string) *AccountState { return s.accounts.named(name) }

// Update changes the scenario. change gets a copy, with the scripts as far as
// they are not used up, and must not call the Sim. Requests that are being
// served keep the old scenario.
func (s *Sim) Update(change func(*Scenario)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sc := s.state.Load().Scenario.clone()
	change(sc)
	st := newState(sc)
	s.accounts.learn(st.Accounts)
	s.state.Store(st)
}

// takeFault returns the fault at the front of the queue that matches, if any.
func (s *Sim) takeFault(match func(*Fault) bool) (Fault, bool) {
	if len(s.state.Load().Faults) == 0 {
		return Fault{}, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.state.Load()
	for i := range old.Faults {
		if !match(&old.Faults[i]) {
			continue
		}
		taken := old.Faults[i]
		if taken.Times < 0 {
			return taken, true
		}
		next := *old
		next.Scenario = *old.clone()
		if taken.Times <= 1 {
			next.Faults = append(next.Faults[:i:i], next.Faults[i+1:]...)
		} else {
			next.Faults[i].Times--
		}
		// models holds pointers into the old slice, whose contents are equal.
		s.state.Store(&next)
		return taken, true
	}
	return Fault{}, false
}

// takePoll returns the next answer of the device flow script.
func (s *Sim) takePoll() (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.state.Load()
	if len(old.Login.Polls) == 0 {
		return "", false
	}
	next := *old
	next.Scenario = *old.clone()
	next.Login.Polls = next.Login.Polls[1:]
	s.state.Store(&next)
	return old.Login.Polls[0], true
}

// describe returns the account's description in st; an empty one when the
// scenario does not have it any more.
func (st *state) describe(a *AccountState) *Account {
	for i := range st.Accounts {
		if st.Accounts[i].Name == a.name {
			return &st.Accounts[i]
		}
	}
	return &Account{Name: a.name}
}
