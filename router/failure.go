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

// inband makes an attempt's error of one that came inside a 200. The provider that said it knows best what it means.
func (x *exchange) inband(f dialect.Failure) *providers.Error {
	if f.Code == dialect.Degenerate { // of the model's making: no account is to blame, and asking again costs the same
		return &providers.Error{Kind: providers.KindInvalid, Failure: f}
	}
	if f.Status < 400 {
		// Its code or type tells the status that it would have had. What tells nothing is no statement of the upstream's
		// about itself either.
		f.Status = 0
		if said := f.StatusFor(dialect.Messages); said != http.StatusInternalServerError {
			f.Status = said
		}
	}
	if j, ok := x.table.Providers[x.rec.Provider].(providers.Judge); ok {
		if e := j.Judge(f); e != nil {
			return e
		}
	}
	return &providers.Error{Kind: kindOfStatus(f.Status), Failure: f}
}

// kindOfStatus is what a status means by itself; 0 is one that is not known.
func kindOfStatus(status int) providers.Kind {
	switch {
	case status == http.StatusTooManyRequests:
		return providers.KindRateLimit
	case status == http.StatusPaymentRequired:
		return providers.KindQuota
	case status == statusOverloaded, status == http.StatusServiceUnavailable:
		return providers.KindOverloaded
	case status >= 400 && status < 500:
		return providers.KindInvalid
	}
	return providers.KindServer
}
