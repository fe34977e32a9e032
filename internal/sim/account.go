package sim

import (
	"strings"
	"sync"
	"time"
)

// Shapes of the usage answer.
const (
	UsagePaid       = "paid"        // snapshots with a premium entitlement
	UsageUnlimited  = "unlimited"   // all snapshots unlimited
	UsageFree       = "free"        // free plan, snapshots, premium not applicable
	UsageFreeLegacy = "free-legacy" // free plan, limited_user_quotas
	UsageTokens     = "tokens"      // paid and token_based_billing
	UsageEmpty      = "empty"       // no snapshots at all
	UsageOtherHost  = "other-host"  // paid, endpoints that disagree with the token
)

// Access of an account to the token exchange.
const (
	AccessOK      = ""           // as the kind of its token allows
	AccessNone    = "none"       // 403, no_copilot_access
	AccessApp     = "app"        // 403, Resource not accessible by integration
	AccessMissing = "missing"    // 404
	AccessChatOff = "chat-off"   // exchange works, chat_enabled is false
	AccessUnpaid  = "unlicensed" // exchange works, inference answers 403 not licensed
)

// Account is one GitHub account.
type Account struct {
	Name  string // what tests call it; also the login
	Token string // GitHub token; the prefix decides what it can do
	ID    int64
	Email string

	Plan   string // free, individual, individual_pro, business, enterprise; "": individual
	SKU    string // "": by plan
	Access string // one of the Access constants
	Usage  string // one of the Usage constants; "": by plan

	Entitlement float64 // premium requests a month; 0: by plan; <0: unlimited
	Used        float64 // premium requests already used
	Overage     bool    // more are allowed than the entitlement
	TokenBilled bool    // copilot_usage in answers, token_based_billing
	Chat        int     // free plan: chats remaining; 0: 48
	Completions int     // free plan: completions remaining; 0: 1990

	NotificationID string // of a user_notification in a successful exchange
}

// DefaultAccounts returns the accounts of the zero Scenario: one for each plan
// and each kind of token. All tokens contain [Marker].
func DefaultAccounts() []Account {
	return []Account{
		{Name: "alice", Token: "ghu_sim_alice_" + Marker, ID: 1001, Email: "alice@example.test", Plan: "individual_pro", Used: 100},
		{Name: "bob", Token: "ghu_sim_bob_" + Marker, ID: 1002, Email: "bob@example.test", Plan: "business"},
		{Name: "carol", Token: "ghu_sim_carol_" + Marker, ID: 1003, Plan: "free"},
		{Name: "dave", Token: "gho_sim_dave_" + Marker, ID: 1004, Email: "dave@example.test", Plan: "enterprise", TokenBilled: true},
		{Name: "erin", Token: "ghu_sim_erin_" + Marker, ID: 1005, Plan: "individual", Access: AccessNone},
		{Name: "frank", Token: "ghp_sim_frank_" + Marker, ID: 1006, Plan: "individual"},
		{Name: "grace", Token: "github_pat_sim_grace_" + Marker, ID: 1007, Plan: "individual"},
		{Name: "heidi", Token: "gho_sim_heidi_" + Marker, ID: 1008, Plan: "individual", Access: AccessMissing},
		{Name: "ivan", Token: "ghu_sim_ivan_" + Marker, ID: 1009, Plan: "individual"},
	}
}

// site is the inference host of the account's plan.
func (a *Account) site() site {
	switch a.Plan {
	case "business":
		return siteBusiness
	case "enterprise":
		return siteEnterprise
	}
	return siteIndividual
}

func (a *Account) plan() string {
	if a.Plan == "" {
		return "individual"
	}
	return a.Plan
}

func (a *Account) sku() string {
	if a.SKU != "" {
		return a.SKU
	}
	switch a.plan() {
	case "free":
		return "free_limited_copilot"
	case "individual_pro":
		return "plus_monthly_subscriber_quota"
	case "business":
		return "copilot_for_business_seat_quota"
	case "enterprise":
		return "copilot_enterprise_seat_quota"
	}
	return "monthly_subscriber_quota"
}

func (a *Account) entitlement() float64 {
	if a.Entitlement != 0 {
		return a.Entitlement
	}
	switch a.plan() {
	case "free":
		return 50
	case "individual_pro":
		return 1500
	case "enterprise":
		return 1000
	}
	return 300
}

// restriction is the name of the plan in the restricted_to list of a model.
func (a *Account) restriction() string {
	switch a.plan() {
	case "individual":
		return "pro"
	case "individual_pro":
		return "pro_plus"
	}
	return a.plan()
}

// isPAT says whether the account signs in with a personal access token.
func isPAT(token string) bool {
	return strings.HasPrefix(token, "ghp_") || strings.HasPrefix(token, "github_pat_")
}

// Counts are the counters of an account.
type Counts struct {
	Exchanges int     // Copilot tokens minted
	Premium   float64 // premium requests billed by this Sim
	Requests  int     // authenticated inference requests, whatever their answer
	User      int     // of those answered, how many were billed as initiator user
	Agent     int
	Logins    int // device flows completed
}

// AccountState is what a Sim knows about an account beyond its description. It
// is safe for concurrent use.
type AccountState struct {
	name string

	mu      sync.Mutex // guards what follows
	counts  Counts
	token   string // the GitHub token that is accepted now
	revoked bool
	epoch   int // Copilot tokens of older epochs are refused
	quota   []string
	quotaAt float64
	quotaOf Account
}

// Name of the account.
func (a *AccountState) Name() string { return a.name }

// Counts returns all counters at one moment.
func (a *AccountState) Counts() Counts {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.counts
}

// Exchanges is the number of Copilot tokens minted.
func (a *AccountState) Exchanges() int { return a.Counts().Exchanges }

// Premium is the number of premium requests billed.
func (a *AccountState) Premium() float64 { return a.Counts().Premium }

// Requests is the number of authenticated inference requests.
func (a *AccountState) Requests() int { return a.Counts().Requests }

// Token returns the GitHub token that is accepted now, or was last.
func (a *AccountState) Token() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.token
}

// Revoke makes the GitHub token and all Copilot tokens of the account invalid.
// A new sign-in mints another GitHub token.
func (a *AccountState) Revoke() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.revoked = true
	a.epoch++
}

// RevokeCopilotTokens makes the Copilot tokens that exist invalid: inference
// answers 401 "unauthorized: token expired" to them.
func (a *AccountState) RevokeCopilotTokens() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.epoch++
}

// count edits the counters.
func (a *AccountState) count(edit func(*Counts)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	edit(&a.counts)
}

// copilotToken is a minted token.
type copilotToken struct {
	account *AccountState
	epoch   int
	expires time.Time
	soft    time.Time
}

// live says whether the token is accepted at now.
func (t *copilotToken) live(now time.Time, softEnd bool) bool {
	t.account.mu.Lock()
	epoch := t.account.epoch
	t.account.mu.Unlock()
	end := t.expires
	if softEnd {
		end = t.soft
	}
	return epoch == t.epoch && now.Before(end)
}

// accounts finds accounts by token and by name. It is safe for concurrent use.
type accounts struct {
	mu      sync.RWMutex // guards the maps
	byName  map[string]*AccountState
	github  map[string]*AccountState // every GitHub token ever minted
	copilot map[string]*copilotToken
}

func newAccounts() *accounts {
	return &accounts{
		byName:  map[string]*AccountState{},
		github:  map[string]*AccountState{},
		copilot: map[string]*copilotToken{},
	}
}

// learn makes states for accounts that have none yet.
func (t *accounts) learn(list []Account) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, a := range list {
		state := t.byName[a.Name]
		if state == nil {
			state = &AccountState{name: a.Name, token: a.Token}
			t.byName[a.Name] = state
		}
		if a.Token != "" {
			t.github[a.Token] = state
		}
	}
}

// named finds an account by its name or GitHub token; nil when there is none.
func (t *accounts) named(name string) *AccountState {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if a := t.byName[name]; a != nil {
		return a
	}
	return t.github[name]
}

// byToken finds the account that a GitHub token is valid for.
func (t *accounts) byToken(token string) *AccountState {
	t.mu.RLock()
	a := t.github[token]
	t.mu.RUnlock()
	if a == nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.revoked || a.token != token {
		return nil
	}
	return a
}

// signIn returns a valid GitHub token for a, a new one after a revocation.
func (t *accounts) signIn(a *AccountState, suffix string) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.revoked {
		a.token += "_" + suffix
		a.revoked = false
		t.github[a.token] = a
	}
	a.counts.Logins++
	return a.token
}

// maxCopilotTokens bounds the minted tokens that are remembered.
const maxCopilotTokens = 100_000

// mint remembers a new Copilot token.
func (t *accounts) mint(token string, m *copilotToken) {
	m.account.mu.Lock()
	m.epoch = m.account.epoch
	m.account.counts.Exchanges++
	m.account.mu.Unlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.copilot) >= maxCopilotTokens {
		clear(t.copilot)
	}
	t.copilot[token] = m
}

// minted finds a Copilot token.
func (t *accounts) minted(token string) *copilotToken {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.copilot[token]
}
