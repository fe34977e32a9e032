package keyed

import (
	"cmp"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"detour/internal/dialect"
	"detour/internal/secret"
	"detour/providers"
)

const (
	maxErrorBody     = 64 << 10
	statusOverloaded = 529
	// pageRest is how long an account rests that met a web page in place of an answer: some edge may have made it, and it
	// says little about the account.
	pageRest = time.Minute
)

// Check implements providers.Provider.
func (p *Provider) Check(resp *http.Response) error {
	ok := resp.StatusCode == http.StatusSwitchingProtocols || resp.StatusCode >= 200 && resp.StatusCode < 300
	if ok && !providers.IsPage(resp.Header, nil) {
		return nil
	}
	// What was read before an error still tells more than the error.
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	key := keyOf(resp.Request)
	if ok || resp.StatusCode < 400 {
		return &providers.Error{
			Kind:      providers.KindNetwork,
			Hint:      "something between this machine and " + p.Title + " answered in its place: a captive portal, a proxy, or a wrong base_url",
			RequestID: providers.RequestID(resp.Header, key, requestIDs()...),
			Err:       fmt.Errorf("answer with status %d is not that of %s", resp.StatusCode, p.Title),
		}
	}
	e := refused(resp, body, key)
	page := providers.IsPage(resp.Header, body)
	p.rule(e, page, body)
	switch e.Kind {
	case providers.KindRateLimit, providers.KindQuota, providers.KindOverloaded, providers.KindServer:
		e.RetryAfter = cmp.Or(providers.RetryAfter(resp.Header, p.now()), retryInBody(body), providers.RetryInText(e.Failure.Message))
	case providers.KindPolicy:
		if page {
			e.RetryAfter = pageRest
		}
	}
	e.Hint = cmp.Or(e.Hint, p.hint(e.Kind))
	return e
}

// Judge implements providers.Judge.
func (p *Provider) Judge(f dialect.Failure) *providers.Error {
	said := f
	if said.Status == 0 {
		said.Status = http.StatusInternalServerError // what tells nothing is the upstream's own trouble
	}
	e := &providers.Error{Failure: said}
	p.rule(e, false, nil)
	e.Failure = f
	switch e.Kind {
	case providers.KindRateLimit, providers.KindQuota, providers.KindOverloaded:
		e.RetryAfter = providers.RetryInText(f.Message)
	}
	e.Hint = cmp.Or(e.Hint, p.hint(e.Kind))
	return e
}

// keyOf is the key that r carried, in whichever way.
func keyOf(r *http.Request) secret.String {
	if r == nil {
		return secret.String{}
	}
	_, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return secret.New(cmp.Or(token, r.Header.Get("X-Api-Key"), r.Header.Get("Api-Key")))
}

// hint is what the owner can do about an error of the kind.
func (p *Provider) hint(k providers.Kind) string {
	switch k {
	case providers.KindLogin:
		return p.Title + " does not accept the key: " + p.loginHint()
	case providers.KindQuota:
		return "the credit or plan of the account at " + p.Title + " is spent"
	case providers.KindPolicy:
		return p.Title + " does not allow this to the account"
	case providers.KindModel:
		return p.Title + " does not offer this model to the account"
	}
	return ""
}

// rule decides what kind of failure e is: by the service's own codes, by the codes and types that many share, by what
// only the text says, and else by the status.
func (p *Provider) rule(e *providers.Error, page bool, body []byte) {
	f := e.Failure
	text := strings.ToLower(f.Message)
	for _, word := range []string{f.Code, f.Type} {
		if k, ok := p.Codes[word]; ok && word != "" {
			e.Kind = k
			return
		}
	}
	if f.Status == http.StatusUnauthorized {
		e.Kind = providers.KindLogin
		return
	}
	if k, ok := byCode(f.Code); ok {
		e.Kind = k
		return
	}
	if k, ok := byText(f.Status, text, body); ok {
		e.Kind = k
		return
	}
	switch f.Status {
	case http.StatusPaymentRequired:
		e.Kind = providers.KindQuota
	case http.StatusForbidden:
		e.Kind = providers.KindPolicy
		if page {
			e.Hint = "a web page came in place of an answer: the service may not be offered where you are, or an edge took detour for a robot"
		}
	case http.StatusNotFound:
		e.Kind = providers.KindInvalid
		if strings.Contains(text, "model") {
			e.Kind = providers.KindModel
		} else {
			e.Hint = "the address may be wrong: check base_url"
		}
	case http.StatusRequestTimeout:
		e.Kind = providers.KindNetwork
	case http.StatusTooManyRequests:
		e.Kind = providers.KindRateLimit
	case http.StatusServiceUnavailable, statusOverloaded:
		e.Kind = providers.KindOverloaded
	default:
		e.Kind = providers.KindInvalid
		if f.Status >= 500 {
			e.Kind = providers.KindServer
		}
	}
}

// byCode rules on codes that mean the same wherever they occur.
func byCode(code string) (providers.Kind, bool) {
	switch code {
	case "context_length_exceeded":
		return providers.KindTooLong, true
	case "model_not_found", "model_not_available":
		return providers.KindModel, true
	case "insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "insufficient_balance":
		return providers.KindQuota, true
	case "rate_limit_exceeded":
		return providers.KindRateLimit, true
	case "invalid_api_key", "API_KEY_INVALID":
		return providers.KindLogin, true
	case "account_deactivated":
		return providers.KindSuspended, true
	case "unsupported_country_region_territory", "organization_not_verified":
		return providers.KindPolicy, true
	}
	return providers.KindUnknown, false
}

// byText rules on refusals that say what they are in words alone.
func byText(status int, text string, body []byte) (providers.Kind, bool) {
	has := func(phrases ...string) bool {
		for _, s := range phrases {
			if strings.Contains(text, s) {
				return true
			}
		}
		return false
	}
	switch {
	case status == http.StatusBadRequest && (has("api key not valid", "api key expired", "invalid api key") || strings.Contains(string(body), `"API_KEY_INVALID"`)):
		return providers.KindLogin, true
	case (status == http.StatusBadRequest || status == http.StatusPaymentRequired) && has("credit balance is too low", "insufficient balance", "insufficient credits"):
		return providers.KindQuota, true
	case status == http.StatusTooManyRequests && (has("exceeded your current quota", "insufficient balance", "insufficient credit", "per day") || strings.Contains(string(body), "PerDay")):
		return providers.KindQuota, true
	case status == http.StatusForbidden && has("suspended", "deactivated", "disabled your account"):
		return providers.KindSuspended, true
	case status == http.StatusForbidden && has("key limit exceeded"):
		return providers.KindQuota, true
	case (status == http.StatusBadRequest || status == http.StatusRequestEntityTooLarge || status == http.StatusInternalServerError) && tooLong(text):
		return providers.KindTooLong, true
	case status == http.StatusBadRequest && has("is not a valid model id", "model does not exist", "model not exist", "model not found", "no such model"):
		return providers.KindModel, true
	}
	return providers.KindUnknown, false
}

// tooLong knows the ways in which upstreams say that a prompt exceeds the model's window.
func tooLong(text string) bool {
	for _, phrase := range []string{
		"maximum context length is", "prompt is too long", "exceeds the context window", "exceeds the available context size",
		"exceeds the maximum number of tokens", "exceeds max context", "context length exceeded", "longer than the maximum model length",
		"input length and `max_tokens` exceed context limit", "exceed_context_size_error",
	} {
		if strings.Contains(text, phrase) {
			return true
		}
	}
	return false
}

// refused reads an error answer. OpenRouter says that a provider refused, and what that provider said beside it.
func refused(resp *http.Response, body []byte, key secret.String) *providers.Error {
	e := providers.Refusal(resp, body, key, requestIDs()...)
	if raw := gjson.GetBytes(body, "error.metadata.raw"); raw.Type == gjson.String && raw.Str != "" && gjson.ValidBytes(body) {
		inner := dialect.ParseFailure(resp.StatusCode, "", []byte(key.Mask(raw.Str)))
		e.Failure.Message += ": " + key.Mask(inner.Message)
	}
	return e
}
