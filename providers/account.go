package providers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"detour/internal/secret"
)

// Lease is a credential that may be used against an upstream for a while.
type Lease struct {
	Token secret.String
	// Base is the URL that the credential may be sent to, without a trailing slash.
	Base string
	// RefreshAt is when a new lease should be taken, Expires when this one is refused. Zero times mean never. Both
	// are wall-clock times: a machine that slept must notice. An Account moves RefreshAt forward so that at least a
	// fifth of the lifetime remains at it.
	RefreshAt, Expires time.Time
	// Attributes are facts about the account that came with the lease, for people: plan, sku.
	Attributes map[string]string
}

// Account is one credential at one provider. It is safe for concurrent use. At most one exchange is under way at any
// time, no lock is held over it, and whoever waits for it can give up through its own context.
type Account struct {
	// State belongs to the provider that opened the account: what it made of the configuration. It is set before the
	// account is shared and never changed after.
	State any

	cfg      AccountConfig
	exchange func(context.Context) (Lease, error)
	now      func() time.Time

	mu      sync.Mutex // guards what follows; never held over I/O
	closed  bool
	lease   Lease
	fetched time.Time // when the exchange that gave the lease began
	repeat  bool      // the last exchange gave the very token that had been refused
	refused secret.String
	flight  *flight
	failed  *Error // outcome of the last exchange, nil after a success
	failure pause  // no exchange of the account's own accord while it lasts
	backoff time.Duration
}

// flight is one exchange. Its results may be read once done is closed.
type flight struct {
	done   chan struct{}
	cancel context.CancelFunc
	began  time.Time // monotonic
	lease  Lease
	err    *Error
}

// pause is a span of wall-clock time that ends early when the clock is set back to before it began.
type pause struct {
	began time.Time
	lasts time.Duration
}

func (p pause) holds(now time.Time) bool {
	return p.lasts > 0 && !now.Before(p.began) && now.Before(p.began.Add(p.lasts))
}

const (
	exchangeTimeout = 60 * time.Second // an exchange retries by itself; this bounds the whole
	maxBackoff      = time.Minute      // between exchanges that fail
	maxOffline      = 5 * time.Second  // the same while nothing can be served and only the network is to blame
	maxLimit        = time.Hour        // how long a rate limit of the exchange itself is believed
	patience        = 5 * time.Second  // how long a caller that could use the old lease waits for the new one
	repeatGrace     = 30 * time.Second // a token that an exchange gave again is not exchanged again for so long
	clockSlack      = time.Minute      // clocks are corrected by this much without meaning anything
)

// NewAccount is for providers' Open. exchange obtains a fresh lease; it is given a context of its own that outlives
// the request that happened to need the lease, and must return soon after that context ends.
func NewAccount(cfg AccountConfig, exchange func(context.Context) (Lease, error)) *Account {
	now := cfg.Now
	if now == nil {
		now = time.Now
	}
	return &Account{cfg: cfg, exchange: exchange, now: func() time.Time { return now().Round(0) }}
}

// ID names the account within the configuration.
func (a *Account) ID() string { return a.cfg.ID }

// Provider names the provider.
func (a *Account) Provider() string { return a.cfg.Provider }

// Config is what the account was opened from.
func (a *Account) Config() AccountConfig { return a.cfg }

// Setting returns one of the provider's knobs, or fallback.
func (a *Account) Setting(key, fallback string) string {
	if v, ok := a.cfg.Settings[key]; ok && v != "" {
		return v
	}
	return fallback
}

// LogValue implements slog.LogValuer.
func (a *Account) LogValue() slog.Value {
	return slog.GroupValue(slog.String("id", a.cfg.ID), slog.String("provider", a.cfg.Provider))
}

// Lease returns a credential that is fit for use now, exchanging for a new one when the last is due. While an
// exchange fails for reasons that pass (network, 5xx, 429) or takes longer than a few seconds, the last lease serves
// until it expires. With nothing to serve, a failure is remembered for a short, growing time, so that requests do not
// become a stream of refused exchanges. Errors are *Error.
func (a *Account) Lease(ctx context.Context) (Lease, error) {
	a.mu.Lock()
	now := a.now()
	usable := a.usable(now)
	pausing := a.failure.holds(now)
	switch {
	case a.closed:
		a.mu.Unlock()
		return Lease{}, errClosed()
	case usable && (!a.due(now) || pausing):
		l := a.lease
		a.mu.Unlock()
		return l, nil
	case !usable && pausing && a.flight == nil:
		err := a.failed
		a.mu.Unlock()
		return Lease{}, err
	}
	f := a.join()
	a.mu.Unlock()

	var late <-chan time.Time
	if usable {
		t := time.NewTimer(patience - time.Since(f.began))
		defer t.Stop()
		late = t.C
	}
	select {
	case <-f.done:
		if f.err == nil {
			return f.lease, nil
		}
	case <-late:
	case <-ctx.Done():
		return Lease{}, &Error{Kind: KindCanceled, Err: context.Cause(ctx)}
	}
	if usable {
		if l, ok := a.old(); ok {
			return l, nil
		}
		select { // refused while it was waited for: only the new one will do
		case <-f.done:
		case <-ctx.Done():
			return Lease{}, &Error{Kind: KindCanceled, Err: context.Cause(ctx)}
		}
		if f.err == nil {
			return f.lease, nil
		}
	}
	return Lease{}, f.err
}

// Refresh takes a new lease whether or not one is due, joining an exchange that is already under way. When it fails
// for a reason that passes, the last lease stays for others to use. Errors are *Error.
func (a *Account) Refresh(ctx context.Context) (Lease, error) {
	a.mu.Lock()
	if a.closed {
		a.mu.Unlock()
		return Lease{}, errClosed()
	}
	f := a.join()
	a.mu.Unlock()
	select {
	case <-f.done:
	case <-ctx.Done():
		return Lease{}, &Error{Kind: KindCanceled, Err: context.Cause(ctx)}
	}
	if f.err != nil {
		return Lease{}, f.err
	}
	return f.lease, nil
}

// Expire says that the upstream refused old, so that nobody is given it again. The first caller of many that were
// refused with the same credential makes the next Lease exchange; the others find the new lease there or under way.
// An exchange that began before the refusal counts as new: it was asked for later than old was.
//
// Where an exchange has just given old itself again (a credential that is its own lease), refusing it is of no use for
// a while and nothing happens.
func (a *Account) Expire(old secret.String) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if old.IsZero() || !a.lease.Token.Equal(old) {
		return
	}
	if a.repeat && (pause{a.fetched, repeatGrace}).holds(a.now()) {
		return
	}
	a.refused, a.lease, a.failure = old, Lease{}, pause{}
}

// Current returns the last lease without asking for one, and the error of the last exchange, an *Error or nil.
func (a *Account) Current() (Lease, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.failed != nil {
		return a.lease, a.failed
	}
	return a.lease, nil
}

// Close ends an exchange that is under way and waits for it. After Close no lease is given. It may be called twice.
func (a *Account) Close() {
	a.mu.Lock()
	a.closed, a.lease = true, Lease{}
	f := a.flight
	a.mu.Unlock()
	if f != nil {
		f.cancel()
		<-f.done
	}
}

func errClosed() *Error { return &Error{Kind: KindCanceled, Err: errors.New("account is closed")} }

// old is the lease that is there already, for when a newer one is not to be had.
func (a *Account) old() (Lease, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.lease, a.usable(a.now())
}

// join returns the exchange under way, or begins one. Its goroutine is owned by the account, is stopped by Close or by
// exchangeTimeout, and is joined by whoever waits on done. The caller holds mu.
func (a *Account) join() *flight {
	if a.flight != nil {
		return a.flight
	}
	ctx, cancel := context.WithTimeout(context.Background(), exchangeTimeout)
	f := &flight{done: make(chan struct{}), cancel: cancel, began: time.Now()}
	a.flight = f
	fetched := a.now()
	go func() {
		defer close(f.done)
		defer cancel()
		l, err := a.safely(ctx)
		if err == nil && l.Token.IsZero() {
			err = &Error{Kind: KindServer, Err: errors.New("exchange gave no credential")}
		}
		a.land(f, fetched, l, err)
	}()
	return f
}

// land books the outcome of f.
func (a *Account) land(f *flight, fetched time.Time, l Lease, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.flight = nil
	if a.closed {
		f.err = errClosed()
		return
	}
	if err == nil {
		l.RefreshAt = refreshAt(fetched, l)
		f.lease = l
		a.lease, a.fetched = l, fetched
		a.repeat = !a.refused.IsZero() && l.Token.Equal(a.refused)
		a.failed, a.failure, a.backoff = nil, pause{}, 0
		return
	}
	f.err = AsError(err)
	a.failed = f.err
	if !passing(f.err.Kind) {
		a.lease = Lease{}
	}
	now := a.now()
	a.backoff = min(max(2*a.backoff, time.Second), maxBackoff)
	a.failure = pause{now, a.backoff}
	switch kind := f.err.Kind; {
	case kind == KindRateLimit && f.err.RetryAfter > 0:
		a.failure.lasts = min(f.err.RetryAfter, maxLimit)
	case !a.usable(now) && (kind == KindNetwork || kind == KindStalled):
		a.failure.lasts = min(a.backoff, maxOffline)
	}
}

// refreshAt is when l is due: at its own RefreshAt, but while a fifth of its lifetime is left.
func refreshAt(fetched time.Time, l Lease) time.Time {
	if l.Expires.IsZero() {
		return l.RefreshAt
	}
	latest := fetched.Add(l.Expires.Sub(fetched) / 5 * 4)
	if l.RefreshAt.IsZero() || latest.Before(l.RefreshAt) {
		return latest
	}
	return l.RefreshAt
}

func (a *Account) usable(now time.Time) bool {
	return !a.lease.Token.IsZero() && (a.lease.Expires.IsZero() || now.Before(a.lease.Expires))
}

// due also holds when the clock was set back to before the lease was taken: its times then mean nothing.
func (a *Account) due(now time.Time) bool {
	if a.lease.RefreshAt.IsZero() {
		return false
	}
	return !now.Before(a.lease.RefreshAt) || now.Before(a.fetched.Add(-clockSlack))
}

// passing says that an exchange which failed like this may succeed later without anybody doing anything.
func passing(k Kind) bool {
	switch k {
	case KindNetwork, KindStalled, KindServer, KindOverloaded, KindRateLimit, KindCanceled, KindUnknown:
		return true
	}
	return false
}

// safely runs the exchange. Nobody else recovers the goroutine that it runs on: a bug there must cost no more than the
// exchange.
func (a *Account) safely(ctx context.Context) (l Lease, err error) {
	defer func() {
		if v := recover(); v != nil {
			l, err = Lease{}, &Error{Kind: KindServer, Err: fmt.Errorf("exchange credential: panic: %v\n%s", v, debug.Stack())}
		}
	}()
	return a.exchange(ctx)
}
