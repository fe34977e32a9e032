package mitm

import (
	"context"
	"net"
	"net/http"
)

type connKey struct{}

// withConn is the ConnContext of both servers, so that an aborted answer can take its connection along.
func withConn(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, conn)
}

// cutUnframed ends the connection of an aborted answer with a reset if nothing but the connection's end marks the end
// of the answer (RFC 9112 section 6.3). net/http would end it in the same orderly way as a whole one. The other
// framings show by themselves that something is missing.
func cutUnframed(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor > 1 || r.ProtoAtLeast(1, 1) && w.Header().Get("Transfer-Encoding") != "identity" {
		return
	}
	conn, ok := r.Context().Value(connKey{}).(net.Conn)
	if !ok {
		return
	}
	if a, ok := underTLS(conn).(abortable); ok {
		a.abort()
		return
	}
	abortConn(conn)
}
