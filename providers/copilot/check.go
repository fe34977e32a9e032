package copilot

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"detour/internal/dialect"
	"detour/internal/secret"
	"detour/providers"
)

const (
	maxErrorBody = 64 << 10

	statusClientTooOld = 466 // "client not supported"
	statusClientClosed = 499 // the upstream gave up on a request itself
	statusOverloaded   = 529
)

// What the owner is told to do.
const (
	hintStale       = "the identity headers may be out of date: set editor_version, editor_plugin_version and user_agent in the account's settings to what the current VS Code sends"
	hintLogin       = "sign in again with `detour login`"
	hintPlan        = "the account's plan, seat or organisation does not allow this: see https://github.com/settings/copilot"
	hintModel       = "the account's plan, region or policy does not offer this model: see https://github.com/settings/copilot/features"
	hintBilling     = "the account's allowance is spent: see https://github.com/settings/billing"
	hintPersonal    = "personal access tokens are not accepted: sign in with `detour login`"
	hintBase        = "the address may be wrong: check copilot_api_url and enterprise_domain"
	hintMisdirected = "the account belongs on another inference host"
	hintAuthorize   = "an agent behind this account wants to be authorised in the browser"
)

// Check implements providers.Provider.
func (p *Provider) Check(resp *http.Response) error {
	ok := resp.StatusCode == http.StatusSwitchingProtocols || resp.StatusCode >= 200 && resp.StatusCode < 300
	if ok && !providers.IsPage(resp.Header, nil) {
		return nil
	}
	// What was read before an error still tells more than the error.
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	token := bearer(resp.Request)
	if ok || resp.StatusCode < 400 {
		return &providers.Error{
			Kind:      providers.KindNetwork,
			Hint:      "something between this machine and GitHub answered in its place: a captive portal, a proxy, or a wrong copilot_api_url",
			RequestID: providers.RequestID(resp.Header, token, requestIDs()...),
			Err:       fmt.Errorf("answer with status %d is not GitHub Copilot's", resp.StatusCode),
		}
	}
	e := refused(resp, body, token)
	page := providers.IsPage(resp.Header, body)
	v := verdict(e.Failure, page, body)
	e.Kind, e.PerModel, e.WithTools, e.Hint = v.kind, v.perModel, v.withTools, v.hint
	if page && e.Kind == providers.KindPolicy {
		e.RetryAfter = pageRest
	}
	switch e.Kind {
	case providers.KindRateLimit, providers.KindQuota, providers.KindOverloaded, providers.KindServer:
		e.RetryAfter = providers.RetryAfter(resp.Header, p.now())
		if e.RetryAfter == 0 {
			e.RetryAfter = providers.RetryInText(e.Failure.Message)
		}
	}
	e.Lasting = v.lasting && e.RetryAfter == 0
	return e
}

// Judge implements providers.Judge.
func (p *Provider) Judge(f dialect.Failure) *providers.Error {
	said := f
	if said.Status == 0 {
		said.Status = http.StatusInternalServerError // what tells nothing is the upstream's own trouble
	}
	v := verdict(said, false, nil)
	e := &providers.Error{Kind: v.kind, PerModel: v.perModel, WithTools: v.withTools, Hint: v.hint, Failure: f}
	switch e.Kind {
	case providers.KindRateLimit, providers.KindQuota, providers.KindOverloaded:
		e.RetryAfter = providers.RetryInText(f.Message)
	}
	e.Lasting = v.lasting && e.RetryAfter == 0
	return e
}

// pageRest is how long an account rests that met a web page in place of an answer: some edge may have made it, and it
// says little about the account.
const pageRest = time.Minute

// bearer is the credential that r carried.
func bearer(r *http.Request) secret.String {
	if r == nil {
		return secret.String{}
	}
	_, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return secret.New(token)
}

// ruling is what to make of a failure.
type ruling struct {
	kind      providers.Kind
	perModel  bool
	lasting   bool
	withTools bool
	hint      string
}

// byCode rules on error codes that mean the same with any status. What follows a colon in a code (a model, a plan)
// is left out.
func byCode(code string) (ruling, bool) {
	code, _, _ = strings.Cut(code, ":")
	switch code {
	case "model_max_prompt_tokens_exceeded", "context_length_exceeded":
		return ruling{kind: providers.KindTooLong}, true
	case "model_not_supported", "no_available_model_endpoints", "model_not_found":
		return ruling{kind: providers.KindModel, hint: hintModel}, true
	case "unsupported_api_for_model":
		return ruling{kind: providers.KindEndpoint}, true
	case "invalid_request_body", "unsupported_value", "previous_response_not_found":
		return ruling{kind: providers.KindInvalid}, true
	case "user_model_rate_limited":
		return ruling{kind: providers.KindRateLimit, perModel: true}, true
	case "rate_limited", "integration_rate_limited", "agent_mode_limit_exceeded":
		return ruling{kind: providers.KindRateLimit}, true
	case "user_global_rate_limited", "user_weekly_rate_limited", "extension_blocked": // windows of hours and days, and a ban
		return ruling{kind: providers.KindRateLimit, lasting: true}, true
	case "model_overloaded", "upstream_provider_rate_limit":
		return ruling{kind: providers.KindOverloaded, perModel: true}, true
	case "quota_exceeded", "free_quota_exceeded", "overage_limit_reached", "billing_not_configured":
		return ruling{kind: providers.KindQuota, hint: hintBilling}, true
	case "user_request_timeout":
		return ruling{kind: providers.KindNetwork}, true
	}
	return ruling{}, false
}

// verdict classifies what the inference plane answered.
func verdict(f dialect.Failure, page bool, body []byte) ruling {
	if page && (f.Status == http.StatusUnauthorized || f.Status == http.StatusForbidden) {
		return ruling{kind: providers.KindPolicy, hint: hintStale}
	}
	text := strings.ToLower(f.Message)
	if r, ok := elsewhere(f.Status, text); ok {
		return r
	}
	// A refused credential stays one whatever the body says.
	if r, ok := byCode(f.Code); ok && f.Status != http.StatusUnauthorized && f.Status != http.StatusMisdirectedRequest {
		return r
	}
	switch f.Status {
	case http.StatusBadRequest:
		return badRequest(text)
	case http.StatusUnauthorized:
		if strings.Contains(string(body), `"authorize_url"`) {
			return ruling{kind: providers.KindPolicy, hint: hintAuthorize}
		}
		return ruling{kind: providers.KindAuth}
	case http.StatusPaymentRequired:
		return ruling{kind: providers.KindQuota, hint: hintBilling}
	case http.StatusForbidden:
		if strings.Contains(text, "suspended") || strings.Contains(text, "access_revoked") {
			return ruling{kind: providers.KindSuspended, hint: hintPlan}
		}
		return ruling{kind: providers.KindPolicy, hint: hintPlan}
	case http.StatusNotFound:
		if strings.Contains(text, "model") {
			return ruling{kind: providers.KindModel, hint: hintModel}
		}
		return ruling{kind: providers.KindInvalid, hint: hintBase}
	case http.StatusRequestTimeout:
		return ruling{kind: providers.KindNetwork}
	case http.StatusMisdirectedRequest:
		return ruling{kind: providers.KindMisdirected, hint: hintMisdirected}
	case http.StatusTooManyRequests:
		if strings.Contains(text, "quota exceeded") {
			return ruling{kind: providers.KindQuota, hint: hintBilling}
		}
		return ruling{kind: providers.KindRateLimit}
	case statusClientTooOld:
		return ruling{kind: providers.KindPolicy, hint: hintStale}
	case http.StatusServiceUnavailable, statusOverloaded:
		return ruling{kind: providers.KindOverloaded}
	case statusClientClosed:
		return ruling{kind: providers.KindServer}
	}
	if f.Status >= 500 {
		return ruling{kind: providers.KindServer}
	}
	return ruling{kind: providers.KindInvalid}
}

// elsewhere recognises refusals that point to another endpoint. Some come with the code of an unknown model.
func elsewhere(status int, text string) (ruling, bool) {
	switch {
	case status != http.StatusBadRequest:
	case strings.Contains(text, "is not accessible via the"):
		return ruling{kind: providers.KindEndpoint}, true
	case strings.Contains(text, "use /v1/responses"), strings.Contains(text, "use the /v1/responses"), strings.Contains(text, "use the responses api"):
		return ruling{kind: providers.KindEndpoint, withTools: strings.Contains(text, "tool")}, true
	}
	return ruling{}, false
}

// badRequest tells apart the refusals that share status 400 and come without a code. Their texts are all there is.
func badRequest(text string) ruling {
	switch {
	case tooLong(text):
		return ruling{kind: providers.KindTooLong}
	case strings.Contains(text, "personal access tokens are not supported"):
		return ruling{kind: providers.KindLogin, hint: hintPersonal}
	case strings.Contains(text, "requested model is not supported"), strings.Contains(text, "model is not supported for this request"), strings.Contains(text, "no endpoints available for this model"):
		return ruling{kind: providers.KindModel, hint: hintModel}
	}
	return ruling{kind: providers.KindInvalid}
}

// tooLong knows the ways in which upstreams say that a prompt exceeds the model's window.
func tooLong(text string) bool {
	for _, phrase := range []string{
		"exceeds the limit of",
		"too large for model context window",
		"exceeds the context window",
		"maximum context length is",
		"prompt is too long",
	} {
		if strings.Contains(text, phrase) && (phrase != "exceeds the limit of" || strings.Contains(text, "token")) {
			return true
		}
	}
	return false
}
