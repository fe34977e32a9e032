package keyed

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/tidwall/gjson"

	"detour/internal/dialect"
	"detour/providers"
	"detour/providers/metadata"
)

// Service is what is particular to one upstream. Functions may be nil unless they say otherwise.
type Service struct {
	Name  string // the provider's id in configuration
	Title string // its name, for people
	// Base is the address of the API; "" when every account has one of its own.
	Base string
	// Paths are the endpoints that the service has, below Base.
	Paths map[dialect.Endpoint]string
	// Own is the end of Base that other APIs at the same host do not share. A path that begins with // stands in its place.
	Own string
	// VerifyPath answers 401 to a key that is not good; "" for the path of the models.
	VerifyPath string
	// Variables are the environment variables that hold a key by custom.
	Variables []string
	// KeyPage is where people get a key, "" when there is no such place.
	KeyPage string
	// Auth is how a key is presented unless the account says: AuthBearer when "".
	Auth string
	// KeyOptional says that an account may do without a key.
	KeyOptional bool
	// Headers are sent with every request; Passed are those of the client's that go along.
	Headers map[string]string
	Passed  []string
	// Metadata is the service's name in the model metadata; "" for Name.
	Metadata string
	// Dialects lists the endpoints of a model, the preferred one first. It must not be nil.
	Dialects func(providers.Model) []dialect.Endpoint
	// Target is what the service's models can be told. It must not be nil.
	Target func(providers.Model) dialect.Target
	// Parse fills in what the service's own model list says beyond the common members; false leaves the entry out.
	Parse func(entry gjson.Result, m *providers.Model) bool
	// Edit changes the body of a request that is not verbatim.
	Edit func(*providers.Call) ([]byte, error)
	// Codes are error codes of the service's own, or its error types.
	Codes map[string]providers.Kind
}

// The ways to present a key.
const (
	AuthBearer = "bearer"    // Authorization: Bearer KEY
	AuthXKey   = "x-api-key" // Anthropic's
	AuthKey    = "api-key"   // Azure's
)

// Options are what providers of services are made from. The zero value works.
type Options struct {
	// Transport carries model lists and verifications; inference requests are sent by the caller. nil means a transport
	// of its own that dials directly and heeds no proxy variables.
	Transport http.RoundTripper
	// Metadata knows what upstreams do not tell of their models; nil means the built-in data.
	Metadata *metadata.Data
	// Logger takes rare notices. nil discards them.
	Logger *slog.Logger
	// Now is the wall clock. nil means time.Now.
	Now func() time.Time
	// Version of this program, for the User-Agent.
	Version string
}

// Provider is a service that is reached with a key. It is safe for concurrent use.
type Provider struct {
	Service
	client *http.Client
	data   *metadata.Data
	now    func() time.Time
	agent  string
}

// New returns the provider of s.
func New(s Service, o Options) *Provider {
	p := &Provider{Service: s, data: o.Metadata, now: o.Now, agent: "detour"}
	if o.Version != "" {
		p.agent += "/" + o.Version
	}
	if p.data == nil {
		p.data = metadata.Builtin()
	}
	if p.now == nil {
		p.now = time.Now
	}
	rt := o.Transport
	if rt == nil {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.Proxy = nil // the variables may name this very program
		rt = t
	}
	p.client = &http.Client{
		Transport: rt,
		// A key goes where it was addressed to and nowhere else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return p
}

// Name implements providers.Provider.
func (p *Provider) Name() string { return p.Service.Name }

// KeyVariables implements providers.Keyed.
func (p *Provider) KeyVariables() []string { return p.Variables }

// KeyOptional implements providers.Keyed.
func (p *Provider) KeyOptional() bool { return p.Service.KeyOptional }

// Dialects implements providers.Provider.
func (p *Provider) Dialects(m providers.Model) []dialect.Endpoint {
	if m.Embeddings && p.Paths[dialect.EndpointEmbeddings] != "" {
		return []dialect.Endpoint{dialect.EndpointEmbeddings}
	}
	return p.Service.Dialects(m)
}

// Target implements providers.Targeter.
func (p *Provider) Target(m providers.Model) dialect.Target { return p.Service.Target(m) }
