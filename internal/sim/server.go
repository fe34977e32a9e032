package sim

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// server is one listener with its http.Server.
type server struct {
	http     *http.Server
	listener net.Listener
	tls      bool
	serving  sync.WaitGroup // the Serve goroutine
	conns    sync.WaitGroup // connections, until their goroutine has ended
}

// listen opens the n-th listener at base: port 0 takes any free port, another
// port is the first of consecutive ones.
func listen(base string, n int) (net.Listener, error) {
	host, port, err := net.SplitHostPort(base)
	if err != nil {
		return nil, fmt.Errorf("split listen address: %w", err)
	}
	first, err := strconv.Atoi(port)
	if err != nil {
		return nil, fmt.Errorf("parse listen port: %w", err)
	}
	if first != 0 {
		first += n
	}
	return net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(first)))
}

// serverConfig says how a server speaks.
type serverConfig struct {
	handler http.Handler
	ca      *authority // nil: plain HTTP
	http2   bool
}

// serve starts to serve l. The caller must call close.
func serve(ctx context.Context, l net.Listener, c serverConfig) *server {
	s := &server{listener: l, tls: c.ca != nil}
	var p http.Protocols
	p.SetHTTP1(true)
	p.SetHTTP2(c.http2 && s.tls)
	p.SetUnencryptedHTTP2(c.http2 && !s.tls)
	s.http = &http.Server{
		Handler:           c.handler,
		Protocols:         &p,
		ReadHeaderTimeout: time.Minute,
		ErrorLog:          log.New(io.Discard, "", 0), // failed handshakes are part of tests
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ConnState: func(_ net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				s.conns.Add(1)
			case http.StateClosed, http.StateHijacked: // hijackers are joined as handlers
				s.conns.Done()
			}
		},
	}
	if s.tls {
		s.http.TLSConfig = &tls.Config{GetCertificate: c.ca.certificate, MinVersion: tls.VersionTLS12}
	}
	s.serving.Go(func() {
		if s.tls {
			_ = s.http.ServeTLS(l, "", "") // ends with ErrServerClosed after close
		} else {
			_ = s.http.Serve(l)
		}
	})
	return s
}

// addr is the address that the server listens on.
func (s *server) addr() string { return s.listener.Addr().String() }

// url is the base URL of the server, without a path.
func (s *server) url() string {
	if s.tls {
		return "https://" + s.addr()
	}
	return "http://" + s.addr()
}

// close ends all connections and joins their goroutines.
func (s *server) close() error {
	err := s.http.Close()
	s.serving.Wait()
	s.conns.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// group counts running handlers, and refuses new ones once closed.
type group struct {
	mu     sync.Mutex
	n      int
	closed bool
	idle   chan struct{} // made by close, closed when n is 0
}

// enter says whether a handler may run. Each true needs one leave.
func (g *group) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	g.n++
	return true
}

func (g *group) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.n--
	if g.closed && g.n == 0 {
		close(g.idle)
	}
}

// close refuses new handlers and waits for those that run.
func (g *group) close() {
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		return
	}
	g.closed = true
	g.idle = make(chan struct{})
	if g.n == 0 {
		close(g.idle)
	}
	g.mu.Unlock()
	<-g.idle
}
