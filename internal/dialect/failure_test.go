package dialect_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"detour/internal/dialect"
	"detour/internal/dialect/chat"
	"detour/internal/dialect/messages"
	"detour/internal/dialect/responses"
	"detour/internal/sse"
)

func TestParseFailureReadsEveryShape(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, contentType, body string
		want                    dialect.Failure
	}{
		{"OpenAI", "application/json", `{"error":{"message":"no","type":"invalid_request_error","param":"model","code":"model_not_supported"}}`,
			dialect.Failure{Type: "invalid_request_error", Code: "model_not_supported", Param: "model", Message: "no"}},
		{"OpenAI labelled as text", "text/plain; charset=utf-8", ` {"error":{"message":"no","code":null,"param":null}}`, dialect.Failure{Message: "no"}},
		{"Anthropic", "application/json", `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"},"request_id":"r"}`,
			dialect.Failure{Type: "overloaded_error", Message: "Overloaded"}},
		{"error is text", "", `{"error":"quota exceeded"}`, dialect.Failure{Message: "quota exceeded"}},
		{"message beside code", "", `{"message":"x: Extra inputs are not permitted","code":"c"}`, dialect.Failure{Code: "c", Message: "x: Extra inputs are not permitted"}},
		{"numeric code", "", `{"error":{"code":429,"message":"slow"}}`, dialect.Failure{Code: "429", Message: "slow"}},
		{"message is an object", "", `{"error":{"code":"extension_blocked","type":"rate_limit_error","message":{"a":1}}}`,
			dialect.Failure{Type: "rate_limit_error", Code: "extension_blocked", Message: `{"a":1}`}},
		{"outer message, inner code", "", `{"message":"outer","error":{"code":"c"}}`, dialect.Failure{Code: "c", Message: "outer"}},
		{"detail", "", `{"detail":"Unauthorized"}`, dialect.Failure{Message: "Unauthorized"}},
		{"list", "", `[{"error":{"code":400,"message":"bad","status":"INVALID_ARGUMENT"}}]`, dialect.Failure{Code: "400", Message: "bad"}},
		{"errors", "", `{"errors":[{"message":"first"},{"message":"second"}]}`, dialect.Failure{Message: "first"}},
		{"JSON text", "", `"just text"`, dialect.Failure{Message: "just text"}},
		{"object without a message", "", `{"a":1}`, dialect.Failure{Message: `{"a":1}`}},
		{"plain text", "text/plain", "rate limit exceeded\n", dialect.Failure{Message: "rate limit exceeded"}},
		{"text that looks like JSON", "", `{"error":`, dialect.Failure{Message: `{"error":`}},
		{"HTML", "text/html", "<html><head><TITLE >413 Request\n Entity Too Large</title></head><body><h1>secret</h1></body>", dialect.Failure{Message: "413 Request Entity Too Large"}},
		{"HTML without a label", "", "<!DOCTYPE html><title>Blocked</title>", dialect.Failure{Message: "Blocked"}},
		{"HTML without a title", "text/html", "<html><body>x</body>", dialect.Failure{Message: "upstream answered 418 I'm a teapot"}},
		{"nothing", "", "", dialect.Failure{Message: "upstream answered 418 I'm a teapot"}},
		{"null", "", "null", dialect.Failure{Message: "upstream answered 418 I'm a teapot"}},
		{"byte order mark", "", "\uFEFF{\"message\":\"x\"}", dialect.Failure{Message: "x"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			tc.want.Status = 418
			if got := dialect.ParseFailure(418, tc.contentType, []byte(tc.body)); got != tc.want {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
		})
	}
}

func TestParseFailureIsBounded(t *testing.T) {
	t.Parallel()
	for _, body := range []string{strings.Repeat("é", 1<<20), `{"message":"` + strings.Repeat("😀", 1<<18) + `"}`, "<title>" + strings.Repeat("x", 1<<20)} {
		f := dialect.ParseFailure(500, "", []byte(body))
		if len(f.Message) > 8<<10 || !utf8.ValidString(f.Message) || f.Message == "" {
			t.Errorf("%.20q…: %d bytes, valid %v", body, len(f.Message), utf8.ValidString(f.Message))
		}
	}
}

// Each row is one class of errors and what the three dialects make of it: OpenAI type and code, Anthropic type, and
// the statuses for an OpenAI and a Messages client.
func TestErrorsAreWordedForTheDialect(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name                      string
		in                        dialect.Failure
		openType, code, anthropic string
		openStatus, status        int
	}{
		{"bad request", dialect.Failure{Status: 400, Code: "invalid_request_body"}, "invalid_request_error", "invalid_request_body", "invalid_request_error", 400, 400},
		{"unprocessable", dialect.Failure{Status: 422}, "invalid_request_error", "", "invalid_request_error", 422, 422},
		{"auth", dialect.Failure{Status: 401}, "invalid_request_error", "invalid_api_key", "authentication_error", 401, 401},
		{"quota", dialect.Failure{Status: 402, Code: "quota_exceeded"}, "insufficient_quota", "quota_exceeded", "billing_error", 402, 402},
		{"quota without a code", dialect.Failure{Status: 402}, "insufficient_quota", "insufficient_quota", "billing_error", 402, 402},
		{"forbidden", dialect.Failure{Status: 403}, "invalid_request_error", "permission_denied", "permission_error", 403, 403},
		{"not found", dialect.Failure{Status: 404}, "invalid_request_error", "model_not_found", "not_found_error", 404, 404},
		{"conflict", dialect.Failure{Status: 409}, "invalid_request_error", "", "conflict_error", 409, 409},
		{"too large", dialect.Failure{Status: 413}, "invalid_request_error", "request_too_large", "request_too_large", 413, 413},
		{"rate limit", dialect.Failure{Status: 429}, "rate_limit_exceeded", "rate_limit_exceeded", "rate_limit_error", 429, 429},
		{"server", dialect.Failure{Status: 500}, "server_error", "", "api_error", 500, 500},
		{"bad gateway", dialect.Failure{Status: 502}, "server_error", "", "api_error", 502, 502},
		{"timeout", dialect.Failure{Status: 504}, "server_error", "timeout", "timeout_error", 504, 504},
		{"overloaded", dialect.Failure{Status: 529, Type: "overloaded_error"}, "server_error", "overloaded", "overloaded_error", 503, 529},
		{"upstream's own OpenAI type", dialect.Failure{Status: 400, Type: "image_parse_error"}, "image_parse_error", "", "invalid_request_error", 400, 400},
		{"in a stream by code", dialect.Failure{Code: "user_model_rate_limited:gpt-5"}, "rate_limit_exceeded", "user_model_rate_limited:gpt-5", "rate_limit_error", 429, 429},
		{"in a stream by type", dialect.Failure{Type: "overloaded_error"}, "server_error", "overloaded", "overloaded_error", 503, 529},
		{"in a stream without either", dialect.Failure{}, "server_error", "", "api_error", 500, 500},
		{"context by code", dialect.Failure{Status: 413, Code: "model_max_prompt_tokens_exceeded"}, "invalid_request_error", "context_length_exceeded", "invalid_request_error", 400, 400},
		{"context by text", dialect.Failure{Status: 400, Message: "Request body is too large for model context window"}, "invalid_request_error", "context_length_exceeded", "invalid_request_error", 400, 400},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if typ, code := tc.in.OpenAIType(); typ != tc.openType || code != tc.code {
				t.Errorf("OpenAI: got %q %q, want %q %q", typ, code, tc.openType, tc.code)
			}
			if typ := tc.in.AnthropicType(); typ != tc.anthropic {
				t.Errorf("Anthropic: got %q, want %q", typ, tc.anthropic)
			}
			if chat, anthropic := tc.in.StatusFor(dialect.Chat), tc.in.StatusFor(dialect.Messages); chat != tc.openStatus || anthropic != tc.status {
				t.Errorf("status: got %d and %d, want %d and %d", chat, anthropic, tc.openStatus, tc.status)
			}
		})
	}
}

func TestContextOverflowIsWordedSoThatClientsCompact(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"prompt token count of 138898 exceeds the limit of 64000":                                             "prompt is too long: 138898 tokens > 64000 maximum (upstream: prompt token count of 138898 exceeds the limit of 64000)",
		"This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens.": "prompt is too long: 9000 tokens > 8192 maximum (upstream: This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens.)",
		"Your input exceeds the context window of this model.":                                                "prompt is too long (upstream: Your input exceeds the context window of this model.)",
		"Prompt is too long: 5 tokens > 4 maximum":                                                            "Prompt is too long: 5 tokens > 4 maximum",
		"something else": "something else",
	} {
		f := dialect.Failure{Status: 400, Message: in}
		var body struct {
			Error struct{ Type, Message string }
		}
		if err := json.Unmarshal(messages.Format{}.AppendError(nil, f), &body); err != nil || body.Error.Message != want {
			t.Errorf("%s: got %q, %v", in, body.Error.Message, err)
		}
		if err := json.Unmarshal(chat.Format{}.AppendError(nil, f), &body); err != nil || body.Error.Message != in {
			t.Errorf("%s: OpenAI text is %q, %v", in, body.Error.Message, err)
		}
	}
}

func TestErrorBodiesHaveTheShapeOfTheirDialect(t *testing.T) {
	t.Parallel()
	f := dialect.Failure{Status: 404, Param: "model", Message: "no \"such\" model \xff\u2028"}
	const openAI = `{"error":{"message":"no \"such\" model ` + "\uFFFD" + `\u2028","type":"invalid_request_error","param":"model","code":"model_not_found"}}`
	for format, want := range map[dialect.Format]string{
		chat.Format{}:      openAI,
		responses.Format{}: openAI,
		messages.Format{}:  `{"type":"error","error":{"type":"not_found_error","message":"no \"such\" model ` + "\uFFFD" + `\u2028"}}`,
	} {
		if got := string(format.AppendError([]byte("x"), f)); got != "x"+want {
			t.Errorf("%s: got %s", format.Name(), got)
		}
	}
}

func FuzzParseFailure(f *testing.F) {
	f.Add("text/html", []byte("<title>x</title>"))
	f.Add("", []byte(`{"error":{"message":{"a":[1]},"code":5}}`))
	f.Fuzz(func(t *testing.T, contentType string, body []byte) {
		failure := dialect.ParseFailure(500, contentType, body)
		if failure.Message == "" {
			t.Errorf("no message for %q", body)
		}
		for _, format := range []dialect.Format{chat.Format{}, responses.Format{}, messages.Format{}} {
			if out := format.AppendError(nil, failure); !json.Valid(out) || !utf8.Valid(out) {
				t.Errorf("%s: %q", format.Name(), out)
			}
		}
	})
}

func TestEndOfAStreamIsWordedWithoutAddresses(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		cause  error
		status int
		text   string
	}{
		{nil, 502, "ended early"},
		{io.ErrUnexpectedEOF, 502, "ended early"},
		{errors.New("read tcp 10.0.0.1:443: reset"), 502, "ended early"},
		{fmt.Errorf("read: %w", os.ErrDeadlineExceeded), 504, "nothing for too long"},
		{context.DeadlineExceeded, 504, "nothing for too long"},
		{&sse.TooLargeError{Limit: 7}, 502, "larger than 7 bytes"},
		{fmt.Errorf("x: %w", &dialect.Failure{Status: 503, Message: "own words"}), 503, "own words"},
	} {
		f := dialect.EndFailure(tc.cause)
		if f.Status != tc.status || !strings.Contains(f.Message, tc.text) || strings.Contains(f.Message, "10.0.0.1") {
			t.Errorf("%v: got %+v", tc.cause, f)
		}
	}
}

func TestPeekModelServesOtherEndpoints(t *testing.T) {
	t.Parallel()
	p, err := dialect.PeekModel([]byte(`{"model":"text-embedding-3-small","input":["a",[1,2]]}`))
	if err != nil || p.Model != "text-embedding-3-small" {
		t.Errorf("got %+v, %v", p, err)
	}
	if _, err := dialect.PeekModel([]byte(`{"input":"x"}`)); err == nil {
		t.Error("no model, no error")
	}
}
