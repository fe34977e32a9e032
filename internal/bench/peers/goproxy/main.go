// Command goproxy is the peer "goproxy's own ConnectMitm", set up as its documentation says to: it intercepts one host
// and tunnels the rest. It prints its address on standard output and ends when standard input does.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"sync"

	"github.com/elazarl/goproxy"
)

func main() {
	var (
		cert      = flag.String("cert", "", "CA certificate (PEM)")
		key       = flag.String("key", "", "CA key (PEM)")
		roots     = flag.String("roots", "", "roots that the upstream is checked against (PEM)")
		intercept = flag.String("intercept", "", "host:port to intercept")
		dial      = flag.String("dial", "", "address to dial for it")
		h2        = flag.Bool("h2", false, "HTTP/2 on both sides")
	)
	flag.Parse()
	if err := run(*cert, *key, *roots, *intercept, *dial, *h2); err != nil {
		log.Fatal(err)
	}
}

func run(cert, key, roots, intercept, dial string, h2 bool) error {
	authority, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return fmt.Errorf("load ca: %w", err)
	}
	pem, err := os.ReadFile(roots)
	if err != nil {
		return fmt.Errorf("read roots: %w", err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)

	p := goproxy.NewProxyHttpServer()
	p.Logger = log.New(io.Discard, "", 0)
	p.ConnectDial = nil // it would read HTTPS_PROXY
	p.AllowHTTP2 = h2
	p.CertStore = &store{certs: map[string]*tls.Certificate{}}
	p.Tr = &http.Transport{
		TLSClientConfig:     &tls.Config{RootCAs: pool},
		ForceAttemptHTTP2:   h2,
		MaxIdleConnsPerHost: 256, // the default of 2 would cost it a handshake for most requests
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if addr == intercept {
				addr = dial
			}
			return new(net.Dialer).DialContext(ctx, network, addr)
		},
	}
	mitm := &goproxy.ConnectAction{Action: goproxy.ConnectMitm, TLSConfig: goproxy.TLSConfigFromCA(&authority)}
	p.OnRequest(goproxy.ReqHostIs(intercept)).HandleConnect(goproxy.FuncHttpsHandler(
		func(host string, _ *goproxy.ProxyCtx) (*goproxy.ConnectAction, string) { return mitm, host }))

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Printf("{\"addr\":%q}\n", l.Addr())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	return http.Serve(l, p)
}

// store remembers certificates, without which goproxy would mint one for each connection.
type store struct {
	mu    sync.Mutex // guards certs
	certs map[string]*tls.Certificate
}

// Fetch implements goproxy.CertStorage.
func (s *store) Fetch(host string, mint func() (*tls.Certificate, error)) (*tls.Certificate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c, ok := s.certs[host]; ok {
		return c, nil
	}
	c, err := mint()
	if err == nil {
		s.certs[host] = c
	}
	return c, err
}
