package sim

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// htmlPage is an HTML error page as middleboxes and edge servers send it.
func htmlPage(title string) string {
	return "<!DOCTYPE html>\n<html><head><title>" + title + "</title></head><body><h1>" + title + "</h1></body></html>\n"
}

// codeBody is an error in the shape of the inference hosts.
func codeBody(code, message string) string {
	return `{"error":{"message":` + quote(message) + `,"code":` + quote(code) + `}}` + "\n"
}

// transportFaults are the names that Fault knows beside the error answers.
func transportFaults() []string {
	return []string{
		"rst", "abort", "eof", "stall", "error", "hang", "delay", "first", "silence", "gate",
		"bytes", "big", "finish", "finish_error", "whitespace", "html200",
	}
}

// Faults returns the names of all faults, sorted. Those of error answers take a
// retry-after value as argument (seconds or an HTTP date); a number alone is a
// status with an empty body, as is status=N. The others are
//
//	rst=N abort=N eof=N  after N text chunks: TCP RST; connection closed within
//	                     the body; body ended properly without a terminal event
//	error=N:CODE         after N chunks: an error frame, and the end
//	stall=N              after N chunks: silence until the client goes away
//	hang                 no headers until the client goes away
//	delay=D first=D      D before the headers; before the first byte
//	silence=D@N          D of silence after N chunks
//	gate=NAME@N          wait at Scenario.Gates[NAME] after N chunks (0: before the headers)
//	bytes                every byte in a write of its own
//	big=N                one text chunk of N bytes (default 4 MiB)
//	finish=REASON        another finish reason; finish_error is finish=error
//	whitespace=N         a tool call whose arguments are N chunks of white space
//	html200              status 200 with an HTML page
func Faults() []string {
	names := append(slices.Collect(maps.Keys(errorReplies())), transportFaults()...)
	slices.Sort(names)
	return names
}

// errorReply makes the named error answer. arg is a retry-after value.
func errorReply(name, arg string) (reply, bool) {
	if name == "status" {
		name, arg = arg, ""
	}
	if status, err := strconv.Atoi(name); err == nil && status >= 100 && status <= 599 {
		return withRetryAfter(reply{status: status, contentType: typeText}, arg), true
	}
	r, ok := errorReplies()[name]
	if !ok {
		return reply{}, false
	}
	return withRetryAfter(r, arg), true
}

func withRetryAfter(r reply, value string) reply {
	if r.contentType == "" {
		r.contentType = typeText // Copilot sends even JSON errors as text
	}
	if value != "" {
		h := map[string]string{"Retry-After": value}
		maps.Copy(h, r.header)
		r.header = h
	}
	return r
}

// errorReplies is the catalogue of error answers by name.
func errorReplies() map[string]reply {
	all := map[string]reply{
		"model_not_supported":              {status: 400, body: modelNotSupported},
		"no_available_model_endpoints":     {status: 400, body: noModelEndpoints},
		"unsupported_api_for_model":        {status: 400, body: unsupportedAPI("gpt-5.4", "/chat/completions")},
		"model_max_prompt_tokens_exceeded": {status: 400, body: promptTooLong(138898, 64000)},
		"context_length_exceeded":          {status: 400, body: codeBody("context_length_exceeded", "Request body is too large for model context window")},
		"missing_vision":                   {status: 400, body: missingVision},
		"invalid_request_body":             {status: 400, body: codeBody("invalid_request_body", "invalid request body")},
		"off_topic":                        {status: 400, body: `{"error":{"message":"off_topic","code":"off_topic"}}`},
		"bad_request":                      {status: 400, body: "bad request: invalid character\n"},
		"pat":                              {status: 400, body: patRefused},
		"token_expired":                    {status: 401, body: tokenExpired},
		"ide_token_expired":                {status: 401, body: "IDE token expired: " + tokenExpired},
		"authorize_url":                    {status: 401, body: `{"authorize_url":"https://github.com/login/oauth/authorize?client_id=sim"}`},
		"not_licensed":                     {status: 403, body: notLicensed},
		"not_authorized":                   {status: 403, body: "unauthorized: not authorized to use this Copilot feature\n"},
		"html401":                          {status: 401, contentType: typeHTML, body: htmlPage("401 Unauthorized")},
		"html403":                          {status: 403, contentType: typeHTML, body: htmlPage("403 Forbidden")},
		"not_found":                        {status: 404, body: "404 page not found\n"},
		"not_found_json":                   {status: 404, body: codeBody("not_found", "not found")},
		"user_request_timeout":             {status: 408, body: codeBody("user_request_timeout", "Timed out reading request body. Try again, or use a smaller request size.")},
		"too_large":                        {status: 413, contentType: typeHTML, body: tooLargePage},
		"failed_to_parse":                  {status: 413, body: "failed to parse request\n"},
		"misdirected":                      {status: 421, body: misdirected},
		"filtered":                         {status: 422, body: "Response was filtered by the Responsible AI Service.\n"},
		"dependency":                       {status: 424, body: "failed dependency\n"},
		"client_not_supported":             {status: 466, body: clientNotSupported},
		"server_canceled":                  {status: 499, body: ""},
		"internal":                         {status: 500, body: "Internal Server Error\n"},
		"html500":                          {status: 500, contentType: typeHTML, body: htmlPage("500 Internal Server Error")},
		"bad_gateway":                      {status: 502, contentType: typeHTML, body: htmlPage("502 Bad Gateway")},
		"unavailable":                      {status: 503, body: "no healthy upstream"},
		"gateway_timeout":                  {status: 504, contentType: typeHTML, body: htmlPage("504 Gateway Time-out")},
		"extension_blocked":                {status: 429, body: `{"error":{"code":"extension_blocked","type":"rate_limit_error","message":{"title":"Blocked","text":"This extension is blocked."}}}`},
		"rate_limit_text":                  {status: 429, body: "rate limit exceeded\n"},
		"quota_text":                       {status: 429, body: "quota exceeded"},
		"too_many_requests":                {status: 429, body: "too many requests"},
		"five_hours":                       {status: 429, body: codeBody("user_global_rate_limited:pro", "Sorry, you've exceeded your 5 hour session limits. Please retry after 2733 seconds. (user_global_rate_limited:pro)"), header: map[string]string{"X-Ratelimit-Exceeded": "user_global_rate_limited:pro"}},
	}
	for name, r := range map[string]reply{ // of the services that are reached with a key
		"openai_quota":         {status: 429, body: `{"error":{"message":"You exceeded your current quota, please check your plan and billing details.","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}`},
		"openai_rate":          {status: 429, body: `{"error":{"message":"Rate limit reached for gpt-5.4. Please try again in 20s.","type":"tokens","param":null,"code":"rate_limit_exceeded"}}`},
		"anthropic_overloaded": {status: 529, body: `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`},
		"anthropic_rate":       {status: 429, body: `{"type":"error","error":{"type":"rate_limit_error","message":"This request would exceed your rate limit."}}`},
		"zai_balance":          {status: 429, body: `{"error":{"code":"1113","message":"Insufficient balance or no resource package. Please recharge."}}`},
	} {
		r.contentType = typeJSON
		all[name] = r
	}
	for _, code := range []string{"quota_exceeded", "free_quota_exceeded", "overage_limit_reached", "billing_not_configured"} {
		all[code] = reply{status: 402, body: codeBody(code, "You have no quota")}
	}
	for _, code := range []string{
		"rate_limited", "user_model_rate_limited", "user_model_rate_limited:gpt-5.4", "user_global_rate_limited:pro",
		"user_weekly_rate_limited", "integration_rate_limited", "model_overloaded", "agent_mode_limit_exceeded", "upstream_provider_rate_limit",
	} {
		all[code] = reply{
			status: 429, body: codeBody(code, "Sorry, you've exceeded your rate limit. ("+code+")"),
			header: map[string]string{"X-Ratelimit-Exceeded": code},
		}
	}
	maps.Copy(all, githubReplies())
	return all
}

// githubReplies are the error answers of the management API.
func githubReplies() map[string]reply {
	all := map[string]reply{
		"bad_credentials": githubError(401, "Bad credentials"),
		"forbidden_app":   githubError(403, "Resource not accessible by integration"),
		"forbidden_pat":   githubError(403, "Resource not accessible by personal access token"),
		"missing":         githubError(404, "Not Found"),
	}
	limited := githubError(403, "API rate limit exceeded for user ID 123.")
	limited.header = map[string]string{"X-Ratelimit-Remaining": "0", "X-Ratelimit-Reset": "1767229200"}
	all["api_rate_limited"] = limited
	for _, id := range []string{
		"no_copilot_access", "not_signed_up", "subscription_ended", "enterprise_managed_user_account", "feature_flag_blocked",
		"spammy_user", "billing_locked", "trade_restricted", "trade_restricted_country", "codespaces_demo_inactive",
		"snippy_not_configured", "expired_coupon", "revoked_coupon", "go_http_client", "programmatic_token_generation",
		"access_revoked", "server_error",
	} {
		all[id] = noAccess(id)
	}
	return all
}

// githubError is an error in the shape of the management API.
func githubError(status int, message string) reply {
	return reply{status: status, contentType: typeUTF8, body: `{"message":` + quote(message) +
		`,"documentation_url":"https://docs.github.com/rest","status":"` + strconv.Itoa(status) + `"}`}
}

// noAccess is the 403 envelope of the token exchange.
func noAccess(notification string) reply {
	title := strings.ToUpper(notification[:1]) + strings.ReplaceAll(notification[1:], "_", " ")
	message := "No access to GitHub Copilot found. You are currently logged in as a simulated account."
	if notification == "no_copilot_access" {
		title = "Signup for GitHub Copilot"
	}
	return reply{status: 403, contentType: typeUTF8, body: string(mustJSON(object{
		"can_signup_for_limited": notification == "no_copilot_access" || notification == "not_signed_up",
		"error_details": object{
			"message": message, "notification_id": notification, "title": title,
			"url": "https://github.com/settings/copilot",
		},
		"message": "Resource not accessible by integration",
	}))}
}

// Bodies that the checks and the faults share.
const (
	tokenExpired       = "unauthorized: token expired\n"
	notLicensed        = "unauthorized: not licensed to use Copilot\n"
	misdirected        = "Misdirected Request"
	patRefused         = "Personal Access Tokens are not supported for this endpoint\n"
	clientNotSupported = "client not supported: update your editor extension\n"
	modelNotSupported  = `{"error":{"message":"The requested model is not supported.","code":"model_not_supported","param":"model","type":"invalid_request_error"}}` + "\n"
	noModelEndpoints   = `{"error":{"message":"no endpoints available for this model under your current plan and policies","code":"no_available_model_endpoints"}}` + "\n"
	missingVision      = `{"error":{"message":"missing required Copilot-Vision-Request header for vision requests","code":""}}` + "\n"
	tooLargePage       = "<html>\r\n<head><title>413 Request Entity Too Large</title></head>\r\n<body>\r\n<center><h1>413 Request Entity Too Large</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
)

func unsupportedAPI(model, endpoint string) string {
	return codeBody("unsupported_api_for_model", "model "+strconv.Quote(model)+" is not accessible via the "+endpoint+" endpoint")
}

func promptTooLong(count, limit int) string {
	return codeBody("model_max_prompt_tokens_exceeded", "prompt token count of "+strconv.Itoa(count)+" exceeds the limit of "+strconv.Itoa(limit))
}
