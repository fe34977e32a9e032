package mitm

import (
	"bytes"
	"context"
	"log"
	"log/slog"
)

// newErrorLog makes http.Server's complaints log lines with a constant message.
func newErrorLog(logger *slog.Logger) *log.Logger {
	return log.New(errorLog{logger}, "", 0)
}

type errorLog struct{ log *slog.Logger }

// Write implements io.Writer for log.Logger, which calls it once a message.
func (e errorLog) Write(p []byte) (int, error) {
	level := slog.LevelWarn
	// The only complaint that any stranger can cause on a TLS listener, and that needs nobody to act.
	if bytes.HasPrefix(p, []byte("http: TLS handshake error")) {
		level = slog.LevelDebug
	}
	e.log.Log(context.Background(), level, "http server complained", "detail", string(bytes.TrimSpace(p)))
	return len(p), nil
}
