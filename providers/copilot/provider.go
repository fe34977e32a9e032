package copilot

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"detour/internal/secret"
	"detour/providers"
)

// Name is the provider's id in configuration.
const Name = "github-copilot"

// Options configure a Provider. The zero value talks to github.com.
type Options struct {
	// Transport carries sign-in, exchange, quota and model requests; inference requests are sent by the caller.
	// nil means a transport of its own that dials directly and heeds no proxy variables.
	Transport http.RoundTripper
	// URLs replace upstream addresses for all accounts; an account's own settings win over them.
	URLs URLs
	// Install identifies this installation. The caller makes it once with NewIdentity and keeps it; empty ids are
	// made up for the life of the Provider.
	Install Identity
	// Logger takes rare notices. nil discards them.
	Logger *slog.Logger
	// Now is the wall clock. nil means time.Now.
	Now func() time.Time
	// Version of this program. It is sent nowhere; log lines carry it.
	Version string
}

// URLs are upstream addresses, each http or https with an optional path prefix; "" means the default. They are
// trusted: the credential is sent to whatever they name.
type URLs struct {
	GitHub     string // sign-in: https://github.com
	GitHubAPI  string // management plane: https://api.github.com
	CopilotAPI string // inference plane; wins over the host that the token exchange names
}

// Identity is what tells one installation from another. It is not derived from the machine or its user.
type Identity struct {
	DeviceID  string `json:"device_id"`  // UUID
	MachineID string `json:"machine_id"` // 64 hexadecimal digits
}

// NewIdentity makes up an identity at random.
func NewIdentity() Identity {
	return Identity{DeviceID: newUUID(), MachineID: randomHex(32)}
}

// Provider is GitHub Copilot. It is safe for concurrent use.
type Provider struct {
	client  *http.Client
	urls    URLs
	install Identity
	session string // VScode-SessionId: one per process
	log     *slog.Logger
	now     func() time.Time
	learned learned
}

// New returns a provider. Mistakes in o.URLs are reported by Open and Login.
func New(o Options) *Provider {
	p := &Provider{urls: o.URLs, install: o.Install, log: o.Logger, now: o.Now}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	if o.Version != "" {
		p.log = p.log.With("version", o.Version)
	}
	if p.now == nil {
		p.now = time.Now
	}
	p.learned.now = p.now
	made := NewIdentity()
	if p.install.DeviceID == "" {
		p.install.DeviceID = made.DeviceID
	}
	if p.install.MachineID == "" {
		p.install.MachineID = made.MachineID
	}
	p.session = newUUID() + strconv.FormatInt(p.now().UnixMilli(), 10)
	rt := o.Transport
	if rt == nil {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.Proxy = nil // the variables may name this very program
		rt = t
	}
	p.client = &http.Client{
		Transport: rt,
		// A credential goes where it was addressed to and nowhere else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return p
}

// Name implements providers.Provider.
func (*Provider) Name() string { return Name }

// state is what Open makes of an account's configuration. It is read-only but for what GitHub tells.
type state struct {
	settings
	github     secret.String // the long-lived credential, trimmed
	identity   http.Header   // headers that every inference request carries, but for ids and kind
	management http.Header   // headers of the management plane
	byTokens   atomic.Bool   // GitHub said that the account is charged by tokens
}

// Open implements providers.Provider. All mistakes in the settings are reported together.
func (p *Provider) Open(cfg providers.AccountConfig) (*providers.Account, error) {
	s, err := parseSettings(cfg.Settings, p.urls, cfg.BaseURL)
	token := secret.New(strings.TrimSpace(cfg.Secret.Reveal()))
	if !sendable(token) {
		err = errors.Join(err, errors.New("the credential holds characters that no token has"))
	}
	if err != nil {
		return nil, fmt.Errorf("open account %q: %w", cfg.ID, err)
	}
	if cfg.Now == nil {
		cfg.Now = p.now
	}
	st := &state{settings: s, github: token}
	st.identity = p.identityHeader(&st.settings)
	st.management = managementHeader(&st.settings)
	a := providers.NewAccount(cfg, p.exchanger(st, cfg.Now))
	a.State = st
	return a, nil
}

// stateOf finds what Open left in a.
func stateOf(a *providers.Account) (*state, error) {
	if st, ok := a.State.(*state); ok {
		return st, nil
	}
	return nil, &providers.Error{Kind: providers.KindInvalid, Err: fmt.Errorf("account %q was not opened by %s", a.ID(), Name)}
}

// sendable reports whether s can stand in a header without being changed.
func sendable(s secret.String) bool {
	v := s.Reveal()
	for i := range len(v) {
		if v[i] <= ' ' || v[i] >= 0x7f {
			return false
		}
	}
	return len(v) <= 64<<10
}

// newUUID returns a random UUID (RFC 9562, version 4).
func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return formatUUID(b, 4)
}

func formatUUID(b [16]byte, version byte) string {
	b[6] = b[6]&0x0f | version<<4
	b[8] = b[8]&0x3f | 0x80
	h := hex.EncodeToString(b[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

func randomHex(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)
}
