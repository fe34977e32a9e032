package providers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"detour/internal/dialect"
)

// Kind classifies what went wrong at an upstream, by what can be done about it.
type Kind uint8

// The kinds. The comments say what the router does.
const (
	KindUnknown     Kind = iota // hand it down
	KindAuth                    // credential refused: refresh once and replay, then the next account
	KindLogin                   // long-lived credential dead: the owner must sign in again; next account
	KindSuspended               // account blocked by the upstream; next account
	KindPolicy                  // plan, seat or organisation forbids it; next account
	KindRateLimit               // cool the account (or account and model) down until RetryAfter
	KindQuota                   // allowance spent; cool down until RetryAfter
	KindOverloaded              // upstream busy, nobody's fault; next account or hand down
	KindServer                  // upstream broke (5xx)
	KindInvalid                 // the request itself is wrong: hand it down, penalise nobody
	KindTooLong                 // prompt exceeds the model's window: hand it down
	KindModel                   // this account cannot use this model; next account
	KindMisdirected             // wrong host for the account: refresh, replay once
	KindNetwork                 // could not reach the upstream, or it hung up before answering
	KindStalled                 // connected, then silent for too long
	KindIncomplete              // the stream ended before its terminal event
	KindCanceled                // the client went away; penalise nobody
	KindEndpoint                // the model is not served in this dialect: ask it in another of its own
)

var kindNames = [...]string{"unknown", "auth", "login", "suspended", "policy", "rate_limit", "quota", "overloaded", "server", "invalid", "too_long", "model", "misdirected", "network", "stalled", "incomplete", "canceled", "endpoint"}

// String is the kind's name in logs.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// Error is every failure that crosses the provider seam.
type Error struct {
	Kind Kind
	// Failure is what the upstream said, for the client. Message is never a credential and Status is 0 when the
	// upstream did not answer.
	Failure dialect.Failure
	// RetryAfter is how long the upstream asks to wait; 0 when it does not say.
	RetryAfter time.Duration
	// Lasting says that a rate limit is one of hours though RetryAfter is 0, so that waiting for its end is vain.
	Lasting bool
	// PerModel says that a rate limit concerns one model only.
	PerModel bool
	// WithTools says that KindEndpoint concerns only requests that declare tools.
	WithTools bool
	// Hint is one sentence for the owner: what to do. It may be "".
	Hint string
	// RequestID is the upstream's id of the failed request, or "".
	RequestID string
	Err       error // cause, or nil
}

// Error implements error.
func (e *Error) Error() string {
	s := e.Kind.String()
	if e.Failure.Status != 0 {
		s = fmt.Sprintf("%s: upstream status %d", s, e.Failure.Status)
	}
	if e.Failure.Message != "" {
		s += ": " + e.Failure.Message
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// AsError returns err as an *Error. An error that is none yet came from the transport: a cancelled context becomes
// KindCanceled, a time-out KindStalled, anything else KindNetwork.
func AsError(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	kind := KindNetwork
	switch ne, ok := errors.AsType[net.Error](err); {
	case errors.Is(err, context.Canceled):
		kind = KindCanceled
	case errors.Is(err, context.DeadlineExceeded), ok && ne.Timeout():
		kind = KindStalled
	}
	return &Error{Kind: kind, Err: err}
}
