// Package record holds the exchange record: one row for each client request with all its attempts. Usage, logs and
// dashboard are made from it. It never holds a prompt, an answer or a credential.
package record

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"detour/internal/llm"
)

// Exchange is one client request with all its attempts.
type Exchange struct {
	ID       string
	Start    time.Time
	Door     string // "api" or "proxy"
	Client   string // name of the client key, or ""
	Host     string // original host on the proxy door, or ""
	Method   string
	Path     string
	Endpoint string // recognised operation, "" when relayed
	Dialect  string // the client's, "" when relayed
	Upstream string // the endpoint that was called upstream, "" for none
	Mode     string // route mode
	Proto    string // the client's HTTP version
	// Transport is WebSocket for a request that came as a message of one, else "".
	Transport string

	RequestedModel string
	Model          string // the name that went upstream
	Provider       string
	Account        string
	Initiator      llm.Initiator
	Stream         bool
	Attempts       []Attempt

	Status    int
	Error     string // kind of the final error, "" for success
	FirstByte time.Duration
	Total     time.Duration
	// Usage is what the answers of all attempts used, as far as upstreams told.
	Usage llm.Usage
	// EstimatedNanoAIU is what those answers cost at list prices whose upstreams told tokens and no price, in 10⁻⁹ AI
	// credits: an estimate, and not part of Usage.NanoAIU.
	EstimatedNanoAIU int64
	// Premium is what the attempts are expected to have cost in premium requests: an estimate. Allowance is what the
	// upstream itself said last.
	Premium   float64
	Allowance llm.Allowance
}

// WebSocket is a transport.
const WebSocket = "websocket"

// Attempt is one try at one account.
type Attempt struct {
	Account string
	Model   string // that went upstream
	Status  int
	Error   string // kind, "" for success
	Took    time.Duration
}

// Log writes the canonical line of the exchange. Requests that a client gave up are not errors.
func Log(ctx context.Context, l *slog.Logger, e *Exchange) {
	level := slog.LevelInfo
	switch {
	case e.Error == "canceled":
	case e.Status >= 500:
		level = slog.LevelError
	case e.Error != "":
		level = slog.LevelWarn
	}
	if !l.Enabled(ctx, level) {
		return
	}
	attrs := make([]slog.Attr, 0, 24)
	attrs = append(attrs,
		slog.String("id", e.ID), slog.String("door", e.Door), slog.String("method", e.Method),
		slog.String("path", clip(e.Path)), slog.Int("status", e.Status))
	attrs = appendString(attrs, "host", e.Host)
	attrs = appendString(attrs, "client", e.Client)
	attrs = appendString(attrs, "endpoint", e.Endpoint)
	attrs = appendString(attrs, "transport", e.Transport)
	attrs = appendString(attrs, "mode", e.Mode)
	attrs = appendString(attrs, "requested_model", e.RequestedModel)
	attrs = appendString(attrs, "model", e.Model)
	attrs = appendString(attrs, "account", e.Account)
	attrs = appendString(attrs, "initiator", string(e.Initiator))
	attrs = appendString(attrs, "error", e.Error)
	if n := len(e.Attempts); n > 1 {
		attrs = append(attrs, slog.Int("attempts", n))
	}
	attrs = append(attrs, slog.Bool("stream", e.Stream),
		slog.Int64("first_byte_ms", e.FirstByte.Milliseconds()), slog.Int64("total_ms", e.Total.Milliseconds()))
	if u := e.Usage; u.Reported {
		attrs = append(attrs, slog.Int64("tokens_in", u.Input), slog.Int64("tokens_cache_read", u.CacheRead),
			slog.Int64("tokens_cache_write", u.CacheWrite), slog.Int64("tokens_out", u.Output))
	}
	l.LogAttrs(ctx, level, "exchange", attrs...)
}

func appendString(attrs []slog.Attr, key, value string) []slog.Attr {
	if value == "" {
		return attrs
	}
	return append(attrs, slog.String(key, clip(value)))
}

// clip bounds what a client can put into a line.
func clip(s string) string {
	const most = 256
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
