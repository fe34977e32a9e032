// Command martian is the peer google/martian: with a CA it intercepts everything, without one it tunnels everything.
// It prints its address on standard output and ends when standard input does.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"

	"github.com/google/martian/v3"
	mlog "github.com/google/martian/v3/log"
	"github.com/google/martian/v3/mitm"
)

func main() {
	var (
		cert      = flag.String("cert", "", "CA certificate (PEM); empty to tunnel")
		key       = flag.String("key", "", "CA key (PEM)")
		roots     = flag.String("roots", "", "roots that the upstream is checked against (PEM)")
		intercept = flag.String("intercept", "", "host:port whose address is known")
		dial      = flag.String("dial", "", "address to dial for it")
	)
	flag.Parse()
	if err := run(*cert, *key, *roots, *intercept, *dial); err != nil {
		log.Fatal(err)
	}
}

func run(cert, key, roots, intercept, dial string) error {
	mlog.SetLevel(mlog.Silent)
	p := martian.NewProxy()
	defer p.Close()
	p.SetDial(func(network, addr string) (net.Conn, error) {
		if addr == intercept {
			addr = dial
		}
		return net.Dial(network, addr)
	})
	if cert != "" {
		pem, err := os.ReadFile(roots)
		if err != nil {
			return fmt.Errorf("read roots: %w", err)
		}
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(pem)
		// SetDial has set the transport's dialler; SetRoundTripper after it keeps to ours.
		p.SetRoundTripper(&http.Transport{
			TLSClientConfig:     &tls.Config{RootCAs: pool},
			TLSNextProto:        map[string]func(string, *tls.Conn) http.RoundTripper{},
			MaxIdleConnsPerHost: 256,
			Dial: func(network, addr string) (net.Conn, error) { //nolint:staticcheck // as martian itself sets it
				if addr == intercept {
					addr = dial
				}
				return net.Dial(network, addr)
			},
		})
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return fmt.Errorf("load ca: %w", err)
		}
		config, err := mitm.NewConfig(pair.Leaf, pair.PrivateKey)
		if err != nil {
			return fmt.Errorf("set up interception: %w", err)
		}
		p.SetMITM(config)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Printf("{\"addr\":%q}\n", l.Addr())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	return p.Serve(l)
}
