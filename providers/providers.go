// Package providers holds the contract between the router and the upstream services, and what all of them share:
// accounts with single-flight credentials, typed errors, the registry.
package providers

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"detour/internal/dialect"
	"detour/internal/llm"
	"detour/internal/secret"
)

// Provider is one upstream service. Implementations are safe for concurrent use and keep no per-request state.
type Provider interface {
	// Name is the id that configuration uses, such as "github-copilot".
	Name() string
	// Open makes an account of this provider. It does no I/O; the first Lease does.
	Open(AccountConfig) (*Account, error)
	// Dialects lists the endpoints that the upstream serves natively for m, the preferred one first.
	Dialects(m Model) []dialect.Endpoint
	// NewRequest builds the upstream request of one attempt: URL, credential, headers, and c.Body with the edits that
	// the upstream is known to need. It may lease a credential over the network. Errors are *Error.
	NewRequest(ctx context.Context, a *Account, c *Call) (*http.Request, error)
	// Check returns nil for an answer to relay and an *Error for any other. For an error it reads a bounded part of
	// the body; closing the body stays with the caller.
	Check(*http.Response) error
}

// ModelLister is implemented by providers whose upstream tells which models an account may use.
type ModelLister interface {
	Models(ctx context.Context, a *Account) ([]Model, error)
}

// Meter is implemented by providers that count premium requests. Accounts of all others are charged by tokens.
type Meter interface {
	// Premium is what the upstream is expected to charge a for answering c, in premium requests.
	Premium(a *Account, c *Call) float64
	// Allowance reads from the headers of an answer how the account stands after it.
	Allowance(h http.Header) llm.Allowance
	// ByTokens tells whether a is charged by tokens instead, as far as is known after an answer that used u.
	ByTokens(a *Account, u llm.Usage) bool
}

// Call is one client request on its way to a provider. The provider reads it and changes nothing.
type Call struct {
	Endpoint dialect.Endpoint
	Model    Model  // resolved; the zero Model with an ID when the catalogue does not know it
	Body     []byte // in Endpoint's dialect, with the upstream's model name already in place
	// Header is the client's. Of X-Codex-Turn-State it has only what this account's upstream gave.
	Header    http.Header
	Stream    bool
	Initiator llm.Initiator
	Purpose   llm.Purpose // of a request that no person's turn began; "" for most
	Vision    bool
	// Interaction identifies the conversation, for upstreams that want to be told; "" when unknown.
	Interaction string
	// Verbatim says that the body must go upstream as it is.
	Verbatim bool
	// Requested is the model as the client names it.
	Requested string
	// Lessons are what earlier refusals taught about requests for Model at Endpoint; see Learner.
	Lessons []string
}

// Model is one entry of an upstream's catalogue.
type Model struct {
	ID     string
	Name   string
	Vendor string
	// Endpoints are those the upstream advertises; empty when it says nothing.
	Endpoints []dialect.Endpoint
	// Embeddings says that the model embeds text and cannot chat.
	Embeddings bool
	// Disabled says that the owner's plan or policy lists the model but refuses its use.
	Disabled bool
	// Picker says that the upstream offers the model to people; others are dated aliases and internal ones.
	Picker bool
	// Limits in tokens; 0 when unknown.
	ContextWindow, MaxPrompt, MaxOutput int
	Multiplier                          float64 // premium requests per user turn
	// Reasons says that the model thinks before it answers.
	Reasons bool
	// Input and Output are the kinds of content that the model takes and gives: "text", "image", "audio", "pdf", …; nil
	// when unknown.
	Input, Output []string
	Cost          Cost
	// Raw is the upstream's own entry, unchanged.
	Raw json.RawMessage
}

// Cost is a list price in US dollars for a million tokens. Zero values are unknown, or nothing.
type Cost struct {
	Input      float64 `json:"input,omitempty"`
	Output     float64 `json:"output,omitempty"`
	CacheRead  float64 `json:"cache_read,omitempty"`
	CacheWrite float64 `json:"cache_write,omitempty"`
}

// AccountConfig is what an account is opened from.
type AccountConfig struct {
	ID       string // unique within the configuration
	Provider string
	Secret   secret.String // the long-lived credential
	BaseURL  string        // "" for the provider's own
	AuthType string        // how the credential is presented, where the provider knows several ways; "" for its own
	Models   []string      // the only models to use; nil for all that the upstream lists
	// Settings are the provider's own knobs, from [accounts.settings].
	Settings map[string]string
	Tier     Tier
	// Source says where the account came from, for people: "accounts.toml", "GH_TOKEN", …
	Source string
	// Now is the wall clock; nil means time.Now.
	Now func() time.Time
}

// Tier orders accounts in a pool.
type Tier string

// The tiers. The zero value means Active.
const (
	Active   Tier = "active"
	Fallback Tier = "fallback" // used when no active account can serve
	Disabled Tier = "disabled"
)
