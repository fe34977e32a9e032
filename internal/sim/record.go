package sim

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Planes of a recorded request.
const (
	PlaneLogin   = "login"   // github.com: the device flow
	PlaneAPI     = "api"     // api.github.com: exchange, usage, identity
	PlaneCopilot = "copilot" // *.githubcopilot.com: inference
	PlaneOrigin  = "origin"  // everything else
	PlaneService = "service" // services that are reached with a key
)

// Operations of a recorded request, and of [Fault.On].
const (
	OpDevice      = "device"       // POST /login/device/code
	OpPoll        = "poll"         // POST /login/oauth/access_token
	OpIdentity    = "identity"     // GET /user
	OpExchange    = "exchange"     // GET /copilot_internal/v2/token
	OpUsage       = "usage"        // GET /copilot_internal/user
	OpModels      = "models"       // GET /models
	OpChat        = "chat"         // POST /chat/completions
	OpResponses   = "responses"    // POST /responses, or a frame of its WebSocket
	OpSocket      = "socket"       // GET /responses, upgraded
	OpMessages    = "messages"     // POST /v1/messages
	OpCountTokens = "count_tokens" // POST /v1/messages/count_tokens
	OpEmbeddings  = "embeddings"   // POST /embeddings
	OpSession     = "session"      // POST /models/session
	OpPing        = "ping"         // GET /_ping
)

// Request is what a Sim saw of one request. Header and Body are shared between
// all copies and must not be changed.
type Request struct {
	Time    time.Time // by the clock of the Sim
	Plane   string
	Op      string // "" when no operation matched
	Site    string // which host: github, api, individual, business, enterprise, origin, origin-plain; or the service
	Method  string
	Host    string
	Path    string
	Query   string
	Header  http.Header
	Body    []byte
	Proto   string
	Socket  bool   // it was a frame of a WebSocket
	Account string // name of the account, "" when not known
	Model   string // of an inference request

	Status      int  // 0 when no answer was made
	Done        bool // the handler has ended
	Canceled    bool // the client went away before the answer was complete
	CancelAfter time.Duration
	Initiator   string  // user or agent, as it was billed
	Premium     float64 // premium requests that this one was billed
}

// recorder keeps the newest requests. It is safe for concurrent use.
type recorder struct {
	limit int

	mu      sync.Mutex // guards what follows and the Requests in all
	all     []*Request
	changed chan struct{} // closed and replaced on a change; nil when nobody waits
}

// add starts to record r.
func (l *recorder) add(r *Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.all) >= l.limit {
		l.all = slices.Delete(l.all, 0, l.limit/8+1)
	}
	l.all = append(l.all, r)
	l.announce()
}

// change edits a recorded request.
func (l *recorder) change(edit func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	edit()
	l.announce()
}

// announce wakes everybody in await. l.mu is held.
func (l *recorder) announce() {
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

// find returns copies of the requests that all filters accept, oldest first.
// l.mu is held.
func (l *recorder) find(filters []func(Request) bool) []Request {
	var found []Request
next:
	for _, r := range l.all {
		for _, ok := range filters {
			if !ok(*r) {
				continue next
			}
		}
		found = append(found, *r)
	}
	return found
}

// await blocks until at least n requests are accepted by all filters.
func (l *recorder) await(ctx context.Context, n int, filters []func(Request) bool) ([]Request, error) {
	for {
		l.mu.Lock()
		found := l.find(filters)
		if l.changed == nil {
			l.changed = make(chan struct{})
		}
		changed := l.changed
		l.mu.Unlock()
		if len(found) >= n {
			return found, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return found, ctx.Err()
		}
	}
}
