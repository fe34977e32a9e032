package router

import (
	"cmp"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"detour/internal/dialect"
	"detour/internal/dialect/chat"
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

// fail answers with an error in the client's dialect.
func (x *exchange) fail(f dialect.Failure) {
	if x.committed {
		return
	}
	format := x.op.voice
	if format == nil {
		format = chat.Format{}
	}
	if x.rec.Error == "" {
		x.rec.Error = cmp.Or(f.Code, "invalid")
	}
	status := http.StatusBadGateway
	if f.Status >= 400 {
		status = f.StatusFor(format.Name())
	}
	x.respondJSON(status, format.AppendError(nil, f))
}

// failNoAccount says that nobody could be asked, and when to come back.
func (x *exchange) failNoAccount(err *NoAccountError) {
	f := dialect.Failure{Status: http.StatusServiceUnavailable, Code: "no_account", Message: "detour: " + err.Error()}
	if p := x.wish.Provider; p != "" && !x.table.models.get(x.req.Context()).hasProvider(p) {
		f.Message = fmt.Sprintf("detour: there is no account of the provider %s, which this request is for.", p)
	}
	if e := err; !e.Until.IsZero() {
		switch e.Kind {
		case providers.KindRateLimit:
			f.Status, f.Code = http.StatusTooManyRequests, "rate_limited"
		case providers.KindQuota:
			f.Status, f.Code = http.StatusPaymentRequired, "quota_exceeded"
		}
	}
	if err.Until.IsZero() {
		x.advise(providers.KindLogin, 0) // whatever it is, it does not pass by itself
	} else {
		x.advise(err.Kind, err.Until.Sub(x.table.Now()))
	}
	x.rec.Error = f.Code
	x.fail(f)
}

// failUpstream hands an upstream's error down. A failure of our own credentials is never a 401: some clients delete
// their saved sign-in on it.
func (x *exchange) failUpstream(e *providers.Error) {
	if x.op.endpoint == dialect.EndpointCountTokens && e.Kind != providers.KindInvalid {
		x.estimateTokens() // whoever counts tokens is about to ask, and must not wait for a limit to pass
		return
	}
	f, wait := e.Failure, e.RetryAfter
	x.rec.Error = e.Kind.String()
	switch e.Kind {
	case providers.KindAuth, providers.KindLogin, providers.KindSuspended:
		f.Status, f.Type, f.Code = http.StatusServiceUnavailable, "", "account_"+e.Kind.String()
		f.Message = "detour: the account cannot be used: " + cmp.Or(e.Hint, f.Message, e.Error())
	case providers.KindNetwork, providers.KindIncomplete:
		f.Status, f.Code = http.StatusBadGateway, "upstream_"+e.Kind.String()
		f.Message = "detour: the upstream could not be reached: " + cmp.Or(f.Message, e.Error())
	case providers.KindCanceled: // and the client is still there
		f.Status, f.Code = http.StatusServiceUnavailable, "account_changed"
		f.Message = "detour: the account was changed or removed meanwhile; try again."
		wait = time.Second
	case providers.KindStalled:
		f.Status, f.Code = http.StatusGatewayTimeout, "upstream_stalled"
		f.Message = "detour: the upstream did not answer in time: " + cmp.Or(f.Message, e.Error())
	}
	if e.Kind == providers.KindRateLimit || e.Kind == providers.KindQuota {
		wait = x.table.pool.back(x.wish, e)
	}
	f.Status = statusOf(e.Kind, f.Status)
	switch {
	case f.Status < 400:
		f.Status = http.StatusBadGateway
	case f.Status == http.StatusUnauthorized, f.Status == http.StatusMisdirectedRequest: // whatever it was about, it was not the client's
		f.Status, f.Type, f.Code = http.StatusServiceUnavailable, "", "account_"+e.Kind.String()
		f.Message = "detour: the upstream refuses the account: " + cmp.Or(e.Hint, f.Message, e.Error())
	}
	f.Message = cmp.Or(f.Message, e.Error())
	if f.Status >= 500 || f.Status == http.StatusTooManyRequests {
		x.advise(e.Kind, wait)
		if e.Lasting {
			x.w.Header().Set("X-Should-Retry", "false")
		}
	} else {
		x.retryAfter(wait)
	}
	if e.RequestID != "" {
		x.w.Header().Set("X-Request-Id", e.RequestID)
	}
	x.fail(f)
}

func (x *exchange) retryAfter(d time.Duration) {
	if d > 0 {
		x.w.Header().Set("Retry-After", strconv.FormatInt(int64(math.Ceil(d.Seconds())), 10))
	}
}
