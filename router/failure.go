package router

import (
	"net/http"
	"time"

	"detour/internal/dialect"
	"detour/providers"
)

// patience is how long clients wait at most because they are told to: beyond it their SDKs fall back to short waits of
// their own, and would ask in vain.
const patience = time.Minute

// statusOverloaded is Anthropic's own status for an overloaded service.
const statusOverloaded = 529

// statusOf is the status by which clients do the sensible thing about a failure of kind k: they stop at most 4xx at
// once, and retry 408, 409, 429 and 5xx, some of them for minutes. In the other dialects than Messages an overloaded
// service is a 503; fail sees to that.
func statusOf(k providers.Kind, upstream int) int {
	switch k {
	case providers.KindQuota: // some come as a 429: asking again costs as much and gives as little
		return http.StatusPaymentRequired
	case providers.KindPolicy:
		if upstream != http.StatusUnauthorized {
			return http.StatusForbidden
		}
	case providers.KindModel:
		if upstream != http.StatusNotFound {
			return http.StatusBadRequest
		}
	case providers.KindServer:
		if upstream >= 400 && upstream < 500 { // an upstream that gave up by itself
			return http.StatusBadGateway
		}
	}
	return upstream
}

// worthRetrying tells whether the same request may well be served within a minute, without anybody doing anything.
func worthRetrying(k providers.Kind, wait time.Duration) bool {
	switch k {
	case providers.KindRateLimit, providers.KindOverloaded, providers.KindServer, providers.KindNetwork, providers.KindStalled,
		providers.KindIncomplete, providers.KindCanceled, providers.KindUnknown:
		return wait <= patience
	}
	return false
}

// advise tells clients when to come back, or that they need not. The SDKs of OpenAI and Anthropic heed the second, which
// keeps them from asking again and again what only the owner can change.
func (x *exchange) advise(k providers.Kind, wait time.Duration) {
	x.retryAfter(wait)
	if !worthRetrying(k, wait) {
		x.w.Header().Set("X-Should-Retry", "false")
	}
}

// inband makes an attempt's error of one that came inside a 200.
func inband(f dialect.Failure) *providers.Error {
	if f.Status < 400 {
		// Its code or type tells the status that it would have had. What tells nothing is no statement of the upstream's
		// about itself either.
		if said := f.StatusFor(dialect.Messages); said != http.StatusInternalServerError {
			f.Status = said
		}
	}
	kind := providers.KindServer
	switch {
	case f.Code == dialect.Degenerate:
		kind = providers.KindInvalid // of the model's making: no account is to blame, and asking again costs the same
	case f.Status == http.StatusTooManyRequests:
		kind = providers.KindRateLimit
	case f.Status == http.StatusPaymentRequired:
		kind = providers.KindQuota
	case f.Status == statusOverloaded, f.Status == http.StatusServiceUnavailable:
		kind = providers.KindOverloaded
	case f.Status >= 400 && f.Status < 500:
		kind = providers.KindInvalid
	}
	return &providers.Error{Kind: kind, Failure: f}
}
