package router

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"detour/internal/budget"
	"detour/internal/dialect"
	"detour/internal/dialect/carrier"
	"detour/internal/dialect/filter"
	"detour/internal/dialect/tokens"
	"detour/internal/recall"
	"detour/internal/record"
	"detour/internal/sse"
	"detour/providers"
)

// Config is what a Router works from. It is read-only once handed over.
type Config struct {
	Providers providers.Registry
	Accounts  []*providers.Account
	Pool      PoolConfig
	Models    Models
	Retry     Retry
	Rules     []Rule    // the first that matches decides
	Profiles  []Profile // of the API door
	Fallbacks []Fallback
	// Budget says who may spend no more; nil lets everybody.
	Budget *budget.Tracker
	// AccountPace and ClientPace hold back requests that come too fast, of each account and of each client key.
	AccountPace, ClientPace Pace

	APIMode       Mode            // route mode of the API door; "" means ModeRoute
	ProxyMode     Mode            // route mode of the proxy door; "" means ModeRoute
	ProviderModes map[string]Mode // by the provider whose host was intercepted

	// Upstream carries requests to providers, with our credentials.
	Upstream http.RoundTripper
	// Relay1 and Relay2 carry relayed requests to the host that the client named, over HTTP/1.1 and HTTP/2.
	Relay1, Relay2 http.RoundTripper

	// Memory bounds what clients of Responses can refer to by id. Zero values mean 64 MiB, 4,096 answers and 8 hours
	// without use; less than 0 bytes turn it off, and with it WebSockets, whose clients rely on it.
	Memory recall.Limits
	// Filters change the texts around a conversation. FilterModels are the models that they are for, by the client's
	// name or the upstream's; * stands for any text, none for all.
	Filters      filter.Rules
	FilterModels []string

	BodyLimit  int64 // bytes of a request body; 0 means 64 MiB
	EventLimit int64 // bytes of one event of a stream; 0 means 64 MiB
	// PortableCompaction asks for summaries that every model can read, even of models that compact by themselves.
	PortableCompaction bool
	// CarrierKey authenticates the opaque values that clients store for us.
	CarrierKey []byte
	// OnExchange is told of every exchange that ended; it may be nil and must not block.
	OnExchange func(*record.Exchange)
	Logger     *slog.Logger
	Now        func() time.Time // nil means time.Now
}

// Retry bounds the only retry loop of the program. Zero values mean the documented defaults.
type Retry struct {
	// Attempts is how many accounts one exchange may try; 0 means 3.
	Attempts int
	// Connection is how many times an exchange may go round again when it could not reach an upstream, or the upstream
	// broke before it answered, and no other account is left to go to; 0 means 3. An answer that broke off after it had
	// begun may have been charged for, so it is no reason to go round again.
	Connection int
	// InitialBackoff is slept before the first such round, and Multiplier times the last sleep before each further
	// one; 0 means a second, and 2.
	InitialBackoff time.Duration
	Multiplier     float64
	// MaxSingleWait and MaxWait bound one sleep and all of them; 0 means 10 and 20 seconds.
	MaxSingleWait, MaxWait time.Duration
}

func (r Retry) withDefaults() Retry {
	r.Attempts = cmp.Or(r.Attempts, 3)
	r.Connection = cmp.Or(r.Connection, 3)
	r.InitialBackoff = cmp.Or(r.InitialBackoff, time.Second)
	r.Multiplier = cmp.Or(r.Multiplier, 2)
	r.MaxSingleWait = cmp.Or(r.MaxSingleWait, 10*time.Second)
	r.MaxWait = cmp.Or(r.MaxWait, 20*time.Second)
	return r
}

// Router serves both doors. It is safe for concurrent use.
type Router struct {
	table atomic.Pointer[table]
	ids   atomic.Uint64
	epoch string
	count *tokens.Estimator

	memory  *recall.Store
	sockets sockets

	life context.Context //nolint:containedctx // of what runs in the background
	end  context.CancelFunc
}

// table is everything that a reload replaces.
type table struct {
	Config
	surfaces  map[string]*surface
	pool      *Pool
	models    *catalogues
	relay     *relay
	carriers  carriers
	summaries *carrier.Codec // nil without a key
	upstreams map[dialect.Endpoint]dialect.Upstream
	count     *tokens.Estimator
	memory    *recall.Store
	filters   *filter.Set
	lessons   *lessons

	accountPaces, clientPaces *paces
}

// New makes a Router.
func New(cfg Config) (*Router, error) {
	r := &Router{epoch: strconv.FormatInt(time.Now().UnixMilli(), 36), count: tokens.New()}
	r.life, r.end = context.WithCancel(context.Background())
	r.memory = recall.NewStore(recall.Limits{}, r.wall)
	if err := r.Reload(cfg); err != nil {
		r.end()
		return nil, err
	}
	return r, nil
}

// wall is the wall clock: a machine that slept must notice.
func (r *Router) wall() time.Time { return r.table.Load().Now().Round(0) }

// Reload replaces the configuration. Exchanges under way finish with the old one; accounts that are in both keep their
// state. An error leaves the old one in place. It must not be called twice at once.
func (r *Router) Reload(cfg Config) error {
	cfg.APIMode = cmp.Or(cfg.APIMode, ModeRoute)
	cfg.ProxyMode = cmp.Or(cfg.ProxyMode, ModeRoute)
	cfg.BodyLimit = cmp.Or(cfg.BodyLimit, 64<<20)
	cfg.EventLimit = cmp.Or(cfg.EventLimit, sse.MaxFrame)
	cfg.Retry = cfg.Retry.withDefaults()
	cfg.Memory = withDefaults(cfg.Memory)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.APIMode == ModePassthrough || cfg.APIMode == ModeSwitch {
		return fmt.Errorf("check server.route_mode: %q needs an original host, which only the proxy door has", cfg.APIMode)
	}
	for _, a := range cfg.Accounts {
		if _, ok := cfg.Providers[a.Provider()]; !ok {
			return fmt.Errorf("check account %s: unknown provider %q", a.ID(), a.Provider())
		}
	}
	filters, err := filter.New(cfg.Filters)
	if err != nil {
		return err
	}
	wall := func() time.Time { return cfg.Now().Round(0) } // a machine that slept must notice
	pool := NewPool(cfg.Pool, cfg.Accounts, wall)
	t := &table{
		Config:    cfg,
		surfaces:  surfaces(),
		pool:      pool,
		models:    newCatalogues(r.life, cfg, pool.Observe, wall),
		relay:     newRelay(cfg.Relay1, cfg.Relay2, cfg.Logger),
		carriers:  newCarriers(cfg.CarrierKey, cfg.Accounts),
		upstreams: upstreams(), count: r.count, memory: r.memory, filters: filters, lessons: newLessons(wall),
		summaries:    summarySealer(cfg.CarrierKey),
		accountPaces: newPaces("account", cfg.AccountPace), clientPaces: newPaces("client", cfg.ClientPace),
	}
	old := r.table.Load()
	if old != nil {
		old.models.retire()
		pool.inherit(old.pool)
		t.models.inherit(old.models)
		t.accountPaces.inherit(old.accountPaces)
		t.clientPaces.inherit(old.clientPaces)
	}
	r.table.Store(t)
	r.memory.Limit(cfg.Memory)
	return nil
}

// Warm fetches the model catalogue ahead of the first request.
func (r *Router) Warm(ctx context.Context) { r.table.Load().models.get(ctx) }

// Leads tells whether a model's name that the owner wrote down leads to a model. While accounts have yet to tell their
// models, every name may.
func (r *Router) Leads(name string) bool {
	t := r.table.Load()
	cat, complete := t.models.complete()
	return !complete || t.Models.leads(name, cat)
}

// Close ends and joins what runs in the background. Exchanges go on with the models that are known by then; WebSockets
// end with the exchange under way. It may be called twice, and while Reload runs, which then returns soon.
func (r *Router) Close() {
	r.end()
	r.table.Load().models.retire()
}

// Drain waits, after Close, until all WebSockets have ended, which no http.Server does, and ends them when ctx does. Then
// it forgets all answers.
func (r *Router) Drain(ctx context.Context) {
	r.sockets.drain(ctx)
	r.memory.Close()
}

// Accounts tells how the accounts fare.
func (r *Router) Accounts() []AccountStatus { return r.table.Load().pool.Status() }

type clientKey struct{}

// WithClient notes which client key a request came with: for the exchange record, and for what it may use.
func WithClient(ctx context.Context, c Client) context.Context {
	return context.WithValue(ctx, clientKey{}, c)
}

type relayOnlyKey struct{}

// RelayOnly marks a request of the proxy door that must go where it would go without detour, whatever rules and modes
// say.
func RelayOnly(ctx context.Context) context.Context {
	return context.WithValue(ctx, relayOnlyKey{}, true)
}

// ServeHTTP implements http.Handler.
func (r *Router) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	t := r.table.Load()
	host := hostname(req.URL.Host)
	s := t.lookup(host)
	path := req.URL.Path
	var profile *Profile
	if host == "" {
		profile, path = t.profile(path)
	}
	op, id, ok := s.match(asGet(req.Method), path, alt(req.URL))
	speaks, socket := s.socket(req, path)
	if socket = socket && t.remembers(); socket {
		op, ok = speaks, true
	}

	x := &exchange{table: t, w: w, req: req, op: op}
	x.rec = record.Exchange{
		ID: r.epoch + "-" + strconv.FormatUint(r.ids.Add(1), 36), Start: t.Now(),
		Door: "api", Method: req.Method, Path: req.URL.Path, Host: host, Proto: req.Proto,
	}
	x.client, _ = req.Context().Value(clientKey{}).(Client)
	x.rec.Client = x.client.Name
	if host != "" {
		x.rec.Door = "proxy"
	}
	defer x.done()
	if f := x.admit(profile); f != nil {
		x.fail(*f)
		return
	}
	if f := x.decide(s.provider, path, profile, ok && op.endpoint != dialect.EndpointModels && !socket); f != nil {
		x.fail(*f)
		return
	}
	mode := x.route.mode
	switch {
	case host != "" && (!ok || mode == ModePassthrough):
		x.passthrough(ok)
	case socket:
		r.serveSocket(x)
	case !ok && isUpgrade(req.Header) && s.speaksOverHTTP(path):
		x.noUpgrade()
	case !ok:
		if id, items, stored := storedAnswer(req.Method, path); stored && t.remembers() {
			x.serveStored(id, items)
			return
		}
		x.notFound(s, path)
	case op.endpoint == dialect.EndpointModels:
		x.listModels(id)
	default:
		x.run(t.switchesTo(s, path))
	}
}

// admit refuses what the client's key does not open. On the proxy door a connection may outlast its key.
func (x *exchange) admit(p *Profile) *dialect.Failure {
	if holds := x.client.Holds; x.rec.Door == "proxy" && holds != nil && !holds() {
		return &dialect.Failure{Status: http.StatusForbidden, Code: "key_revoked", Message: fmt.Sprintf("detour: the client key %s was revoked.", x.client.Name)}
	}
	if p == nil || p.admits(x.client.Name) {
		return nil
	}
	x.route = route{mode: cmp.Or(p.Mode, x.table.APIMode), by: "profile=" + p.Name}
	return &dialect.Failure{Status: http.StatusForbidden, Code: "key_scope", Message: "detour: " + p.refusal(x.client.Name) + "."}
}

// decide fills in the route. Where that takes the model's name, and the operation has one, it reads the request for it.
func (x *exchange) decide(provider, path string, profile *Profile, named bool) *dialect.Failure {
	q := question{door: x.rec.Door, host: x.rec.Host, path: path, client: x.client.Name, header: x.req.Header.Get("X-Route-Mode"), provider: provider, profile: profile}
	if u := x.req.URL.User; u != nil {
		q.user = u.Username()
	}
	if only, _ := x.req.Context().Value(relayOnlyKey{}).(bool); only && q.host != "" {
		x.route = route{mode: ModePassthrough, by: "relay-only"}
		x.rec.Mode = string(ModePassthrough)
		return nil
	}
	var unsure bool
	var err error
	x.route, unsure, err = x.table.decide(&q)
	if unsure {
		if named {
			if f := x.loadAndKeep(); f != nil {
				return f
			}
		}
		q.model, q.named = x.name, true
		x.route, _, err = x.table.decide(&q)
	}
	x.rec.Mode = string(x.route.mode)
	if err != nil {
		return &dialect.Failure{Status: http.StatusBadRequest, Message: err.Error()}
	}
	return nil
}

// asGet lets HEAD ask for what GET would get; net/http leaves the body out.
func asGet(method string) string {
	if method == http.MethodHead {
		return http.MethodGet
	}
	return method
}

// alt is Gemini's choice of framing, "" for most requests.
func alt(u *url.URL) string {
	if !strings.Contains(u.RawQuery, "alt=") {
		return ""
	}
	return u.Query().Get("alt")
}

// hostname strips the port; mitm hands hosts over in canonical form.
func hostname(hostport string) string {
	if i := strings.LastIndexByte(hostport, ':'); i >= 0 && !strings.HasSuffix(hostport, "]") {
		hostport = hostport[:i]
	}
	return strings.Trim(hostport, "[]")
}

// notFound answers a path that the API door does not have.
func (x *exchange) notFound(s *surface, path string) {
	if m := s.methods(path); len(m) > 0 {
		x.w.Header().Set("Allow", strings.Join(m, ", "))
		x.fail(dialect.Failure{Status: http.StatusMethodNotAllowed, Message: fmt.Sprintf("%s is not allowed on %s; use %s.", x.req.Method, x.req.URL.Path, strings.Join(m, ", "))})
		return
	}
	x.fail(dialect.Failure{Status: http.StatusNotFound, Code: "unknown_url", Message: fmt.Sprintf("Unknown request URL: %s %s.", x.req.Method, x.req.URL.Path)})
}

func (x *exchange) respondJSON(status int, body []byte) {
	h := x.w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	x.explain(h)
	x.identify(h)
	x.commit(status)
	if x.req.Method != http.MethodHead {
		_, _ = x.w.Write(body)
	}
}

// identify marks replies of our own on GitHub's hosts: its clients refuse answers without a request id.
func (x *exchange) identify(h http.Header) {
	if strings.HasSuffix(x.rec.Host, ".githubcopilot.com") && h.Get("X-Github-Request-Id") == "" {
		h.Set("X-Github-Request-Id", x.rec.ID)
	}
}
