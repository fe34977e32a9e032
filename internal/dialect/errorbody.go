package dialect

import (
	"net/http"
	"strconv"
	"strings"

	"detour/internal/dialect/rawjson"
)

// statusOverloaded is Anthropic's own status for an overloaded service.
const statusOverloaded = 529

// class returns the HTTP status that says what kind of failure f is, also for failures inside a stream.
func (f *Failure) class() int {
	if _, _, ok := f.contextOverflow(); ok {
		return http.StatusBadRequest
	}
	if f.Status >= 400 {
		return f.Status
	}
	code, _, _ := strings.Cut(f.Code, ":")
	for _, word := range [...]string{f.Type, code} {
		switch word {
		case "invalid_request_error", "invalid_request_body", "invalid_prompt", "model_not_supported":
			return http.StatusBadRequest
		case "authentication_error", "invalid_api_key":
			return http.StatusUnauthorized
		case "billing_error", "insufficient_quota", "quota_exceeded", "free_quota_exceeded", "overage_limit_reached":
			return http.StatusPaymentRequired
		case "permission_error", "permission_denied":
			return http.StatusForbidden
		case "not_found_error", "model_not_found":
			return http.StatusNotFound
		case "request_too_large":
			return http.StatusRequestEntityTooLarge
		case "rate_limit_error", "rate_limit_exceeded", "rate_limited", "user_model_rate_limited",
			"user_global_rate_limited", "user_weekly_rate_limited", "integration_rate_limited", "too_many_requests",
			"upstream_provider_rate_limit", "agent_mode_limit_exceeded":
			return http.StatusTooManyRequests
		case "overloaded_error", "overloaded", "model_overloaded":
			return statusOverloaded
		case "timeout_error", "timeout":
			return http.StatusGatewayTimeout
		}
	}
	return http.StatusInternalServerError
}

// StatusFor returns the HTTP status with which f is answered to a client of the dialect.
func (f *Failure) StatusFor(n Name) int {
	status := f.class()
	if status == statusOverloaded && n != Messages {
		return http.StatusServiceUnavailable
	}
	return status
}

// contextOverflow reports whether f says that the prompt does not fit into the model's context, and the two numbers
// where the message has them.
func (f *Failure) contextOverflow() (tokens, limit int64, ok bool) {
	message := strings.ToLower(f.Message)
	switch {
	case f.Code == "context_length_exceeded", f.Code == "model_max_prompt_tokens_exceeded":
	case strings.Contains(message, "prompt token count of"),
		strings.Contains(message, "prompt is too long"),
		strings.Contains(message, "too large for model context window"),
		strings.Contains(message, "exceeds the context window of this model"),
		strings.Contains(message, "maximum context length is"):
	default:
		return 0, 0, false
	}
	if _, rest, found := strings.Cut(message, "prompt token count of "); found {
		count, rest, _ := strings.Cut(rest, " exceeds the limit of ")
		return leadingInt(count), leadingInt(rest), true
	}
	// "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens."
	if _, rest, found := strings.Cut(message, "maximum context length is "); found {
		_, count, _ := strings.Cut(rest, "resulted in ")
		return leadingInt(count), leadingInt(rest), true
	}
	return 0, 0, true
}

func leadingInt(s string) int64 {
	end := 0
	for end < len(s) && s[end] >= '0' && s[end] <= '9' {
		end++
	}
	n, _ := strconv.ParseInt(s[:end], 10, 64) // 0 when there is none
	return n
}

// AppendOpenAIError appends f as an error of the OpenAI dialects: {"error":{"message","type","param","code"}}.
func AppendOpenAIError(dst []byte, f Failure) []byte {
	typ, code := f.OpenAIType()
	dst = append(dst, `{"error":{"message":`...)
	dst = rawjson.AppendString(dst, f.Message)
	dst = append(dst, `,"type":`...)
	dst = rawjson.AppendString(dst, typ)
	dst = append(dst, `,"param":`...)
	dst = appendOrNull(dst, f.Param)
	dst = append(dst, `,"code":`...)
	dst = appendOrNull(dst, code)
	return append(dst, "}}"...)
}

func appendOrNull(dst []byte, s string) []byte {
	if s == "" {
		return append(dst, "null"...)
	}
	return rawjson.AppendString(dst, s)
}

// OpenAIType returns type and code of f in the OpenAI dialects. What the upstream itself said is kept, unless it is a
// type of another dialect.
func (f *Failure) OpenAIType() (typ, code string) {
	switch f.class() {
	case http.StatusUnauthorized:
		typ, code = "invalid_request_error", "invalid_api_key"
	case http.StatusPaymentRequired:
		typ, code = "insufficient_quota", "insufficient_quota"
	case http.StatusForbidden:
		typ, code = "invalid_request_error", "permission_denied"
	case http.StatusNotFound:
		typ, code = "invalid_request_error", "model_not_found"
	case http.StatusRequestEntityTooLarge:
		typ, code = "invalid_request_error", "request_too_large"
	case http.StatusTooManyRequests:
		typ, code = "rate_limit_exceeded", "rate_limit_exceeded"
	case statusOverloaded:
		typ, code = "server_error", "overloaded"
	case http.StatusGatewayTimeout:
		typ, code = "server_error", "timeout"
	default:
		typ = "server_error"
		if f.class() < http.StatusInternalServerError {
			typ = "invalid_request_error"
		}
	}
	if f.Type != "" && anthropicStatus(f.Type) == 0 {
		typ = f.Type
	}
	if f.Code != "" {
		code = f.Code
	}
	if _, _, ok := f.contextOverflow(); ok {
		typ, code = "invalid_request_error", "context_length_exceeded"
	}
	return typ, code
}

// AnthropicType returns the error type of f in the Messages dialect.
func (f *Failure) AnthropicType() string {
	if _, _, ok := f.contextOverflow(); !ok && anthropicStatus(f.Type) != 0 {
		return f.Type
	}
	switch status := f.class(); status {
	case http.StatusUnauthorized:
		return "authentication_error"
	case http.StatusPaymentRequired:
		return "billing_error"
	case http.StatusForbidden:
		return "permission_error"
	case http.StatusNotFound:
		return "not_found_error"
	case http.StatusConflict:
		return "conflict_error"
	case http.StatusRequestEntityTooLarge:
		return "request_too_large"
	case http.StatusTooManyRequests:
		return "rate_limit_error"
	case http.StatusGatewayTimeout:
		return "timeout_error"
	case statusOverloaded:
		return "overloaded_error"
	default:
		if status < http.StatusInternalServerError {
			return "invalid_request_error"
		}
		return "api_error"
	}
}

// anthropicStatus returns the HTTP status that belongs to an error type of the Messages dialect, or 0. The type
// invalid_request_error is left out of those that only this dialect has.
func anthropicStatus(typ string) int {
	switch typ {
	case "authentication_error":
		return http.StatusUnauthorized
	case "billing_error":
		return http.StatusPaymentRequired
	case "permission_error":
		return http.StatusForbidden
	case "not_found_error":
		return http.StatusNotFound
	case "conflict_error":
		return http.StatusConflict
	case "request_too_large":
		return http.StatusRequestEntityTooLarge
	case "rate_limit_error":
		return http.StatusTooManyRequests
	case "timeout_error":
		return http.StatusGatewayTimeout
	case "overloaded_error":
		return statusOverloaded
	case "api_error":
		return http.StatusInternalServerError
	}
	return 0
}

// AnthropicMessage returns the text of f for a client of the Messages dialect. It is the upstream's own, except that a
// prompt which does not fit is worded the way Anthropic words it: clients compact a conversation only on that.
func (f *Failure) AnthropicMessage() string {
	tokens, limit, ok := f.contextOverflow()
	if !ok || strings.Contains(strings.ToLower(f.Message), "prompt is too long") {
		return f.Message
	}
	text := "prompt is too long"
	if tokens > 0 && limit > 0 {
		text += ": " + strconv.FormatInt(tokens, 10) + " tokens > " + strconv.FormatInt(limit, 10) + " maximum"
	}
	return text + " (upstream: " + f.Message + ")"
}
