package mitm

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
)

// target is what a client asked for in CONNECT.
type target struct {
	host      string // canonical
	port      int
	authority string        // host:port, as in URLs
	user      *url.Userinfo // proxy user name without password, or nil
	local     bool          // one of our own listeners
	principal any           // whom Authorize takes the client for
}

// serveConnect carries out a CONNECT request. The order matters: nothing about hosts and ports is told to a client that
// is not authorized, and our own listeners are served before the limits on what may be dialled.
func (s *server) serveConnect(w http.ResponseWriter, r *http.Request) {
	// RequestURI is what stood in the request line. A Host header that says something else is of no effect.
	host, port, err := ParseAuthority(r.RequestURI)
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	name, principal, ok := s.authorize(w, r)
	if !ok {
		return
	}
	t := &target{host: host, port: port, authority: joinAuthority(host, port), local: s.isLocal(host, port), principal: principal}
	if name != "" {
		t.user = url.User(name)
	}
	switch {
	case t.local:
		s.intercept(w, t)
	case !s.allowPort(port):
		refuse(w, http.StatusForbidden, fmt.Sprintf("port %d is not allowed", port))
	case s.proxy.Intercept != nil && s.proxy.Intercept(host, port):
		s.intercept(w, t)
	default:
		s.tunnel(w, r, t)
	}
}

func (s *server) isLocal(host string, port int) bool {
	return s.proxy.IsLocal != nil && s.proxy.IsLocal(host, port)
}

func (s *server) allowPort(port int) bool {
	return s.proxy.AllowPort == nil || s.proxy.AllowPort(port)
}

// takeOver says 200 to a CONNECT request and returns the bare connection together with the bytes that the server had
// already read behind the request head. The connection is the caller's to close, and has no deadline.
func takeOver(w http.ResponseWriter) (net.Conn, []byte, error) {
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, nil, fmt.Errorf("take over connection: %w", err)
	}
	watchPeer(conn)
	if _, err := conn.Write([]byte("HTTP/1.1 200 Connection established\r\n\r\n")); err != nil {
		_ = conn.Close()
		return nil, nil, fmt.Errorf("answer connect: %w", err)
	}
	return conn, buffered(rw.Reader), nil
}
