// Package config reads, checks and edits detour's files: config.toml, accounts.toml and install.json.
//
// Every setting is one row of the table in keys.go: its name, type, default, meaning and where it lands in Config.
// Decoding, checking, "config list", "config set" and the documentation all come from those rows. Load reports every
// mistake of a file at once, each with its line. Edits change the bytes of one value and leave comments, order and
// formatting alone.
package config

import (
	"net"
	"net/netip"
	"strings"
	"time"

	"detour/internal/secret"
)

// Config is config.toml with defaults filled in. The meaning of each field is the Doc of its row in Keys. It is not
// changed after Load and may be shared.
type Config struct {
	Server    Server
	ProxyMode ProxyMode
	Pool      Pool
	Proxy     Proxy
	Models    Models
	Filters   Filters
	Limits    Limits
	Retry     Retry
	Log       Log
	Usage     Usage
	Rules     []Rule
	Profiles  []Profile
	Fallbacks []Fallback
	Budgets   []Budget
	Accounts  []Account
	// Notices are settings that do not do what one may expect of them, for the log.
	Notices []Problem
}

// Server is [server], the API door.
type Server struct {
	Host           string
	Port           int
	RouteMode      string
	TLSCert        string // absolute
	TLSKey         string // absolute
	RequireKeys    string // "auto", "true" or "false"
	AllowedHosts   []string
	AllowedOrigins []string
	ShutdownGrace  time.Duration
}

// NeedsKeys says whether clients that reach the door at host, the address it really listens on, must present a client
// key: as configured, or when host is not loopback.
func (s *Server) NeedsKeys(host string) bool {
	switch s.RequireKeys {
	case "true":
		return true
	case "false":
		return false
	}
	return !IsLoopback(host)
}

// ProxyMode is [proxy_mode], the proxy door.
type ProxyMode struct {
	Host             string
	Port             int
	RouteMode        string
	CADir            string // absolute; "" for Paths.CADir
	InterceptHosts   []string
	PassthroughHosts []string
	AllowedPorts     []int
	LocalAuth        bool
	MaxTunnels       int
	TLSCert          string // absolute
	TLSKey           string // absolute
	AllowPrivate     []netip.Prefix
	ProviderModes    map[string]string // provider → route mode
	Hosts            map[string]string // "host" or "host:port" → "addr:port"
	CA               ImportedCA
}

// ImportedCA is [proxy_mode.ca]: an intermediate of the owner's own CA. Empty paths mean that detour makes its own.
type ImportedCA struct {
	Cert, Key, Chain string // absolute
}

// Pool is [pool].
type Pool struct {
	Strategy        string
	FailureCooldown time.Duration
	AffinityTTL     time.Duration
	FailoverOnLimit bool
}

// Proxy is [proxy], the way out of this machine.
type Proxy struct {
	URL     secret.String // may carry a password
	System  bool
	NoProxy []string
}

// Models is [models].
type Models struct {
	Alias    map[string]string
	Prefix   map[string]string
	Families map[string]string
	Roles    map[string]string
	// CatalogueURL is where newer model metadata comes from.
	CatalogueURL string

	PortableCompaction bool
}

// Filters is [filters]: changes to the texts around a conversation.
type Filters struct {
	SystemPromptRemove, SystemPromptAdd, ToolResultSuffixRemove, Models []string
}

// Limits is [limits]. Sizes are in bytes.
type Limits struct {
	RequestBody   int64
	HeaderBytes   int64
	HeaderTimeout time.Duration
	IdleTimeout   time.Duration
	StallTimeout  time.Duration
	SSEEvent      int64
	// How fast requests may follow one another; 0 for no limit.
	AccountMinInterval, ClientMinInterval time.Duration
	AccountPerMinute, ClientPerMinute     int
	// ResponseMemory is 0 when nothing is to be remembered.
	ResponseMemory int64
}

// Retry is [retry].
type Retry struct {
	MaxAttempts          int
	MaxConnectionRetries int
	MaxWait              time.Duration
	MaxSingleWait        time.Duration
	InitialBackoff       time.Duration
	Multiplier           float64
}

// Log is [log].
type Log struct {
	Level  string
	Format string
}

// Usage is [usage], the record of exchanges.
type Usage struct {
	Enabled bool
	MaxAge  time.Duration
	MaxSize int64 // bytes
}

// Account is one [[accounts]] block of config.toml or accounts.toml.
type Account struct {
	ID           string
	Provider     string
	AuthType     string
	RefreshToken secret.String
	AccessToken  secret.String
	// AccessTokenExpiresAt is when AccessToken ends; the zero time when the file does not say.
	AccessTokenExpiresAt time.Time
	RefreshURL           string
	APIKey               secret.String
	GitHubToken          secret.String
	BaseURL              string
	Models               []string // the only ones to use; empty for all
	Tier                 string   // "active", "fallback" or "disabled"
	Disabled             bool     // enabled = false
	Settings             map[string]string
	// Source is the base name of the file that the account was read from. SaveAccount does not write it.
	Source string
}

// IsLoopback reports whether a listener on host can be reached from this machine only. Wildcard addresses and names
// other than localhost are not loopback.
func IsLoopback(host string) bool {
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
