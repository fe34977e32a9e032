package router

import (
	"net/http"

	"github.com/tidwall/gjson"

	"detour/internal/dialect"
)

// peekEmbeddings looks into an embeddings request, which has no messages and never streams.
func peekEmbeddings(body []byte) (dialect.Peek, error) {
	bad := func(param, msg string) error {
		return &dialect.Failure{Status: http.StatusBadRequest, Type: "invalid_request_error", Param: param, Message: msg}
	}
	if !gjson.ValidBytes(body) {
		return dialect.Peek{}, bad("", "The request body is not valid JSON.")
	}
	root := gjson.ParseBytes(body)
	if !root.IsObject() {
		return dialect.Peek{}, bad("", "The request body must be a JSON object.")
	}
	model, input := root.Get("model"), root.Get("input")
	if model.Type != gjson.String || model.Str == "" {
		return dialect.Peek{}, bad("model", "You must provide a model parameter, a non-empty string.")
	}
	if input.Type != gjson.String && !input.IsArray() {
		return dialect.Peek{}, bad("input", "'input' must be a string or an array.")
	}
	return dialect.Peek{Model: model.Str}, nil
}
