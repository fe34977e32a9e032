package dial_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// serve runs handle for each connection on a fresh loopback port; the test's end closes all of it and waits.
func serve(t *testing.T, handle func(net.Conn)) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serveOn(t, l, handle)
}

func serveOn(t *testing.T, l net.Listener, handle func(net.Conn)) string {
	t.Helper()
	var wg sync.WaitGroup
	var mu sync.Mutex // guards conns
	var conns []net.Conn
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, c)
			mu.Unlock()
			wg.Go(func() { defer c.Close(); handle(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for _, c := range conns {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return l.Addr().String()
}

// echo sends everything back and, after the client's half-close, "bye".
func echo(c net.Conn) {
	io.Copy(c, c)
	io.WriteString(c, "bye")
}

// checkEcho proves that conn reaches an echo server both ways, half-close included.
func checkEcho(t *testing.T, conn net.Conn) {
	t.Helper()
	if _, err := io.WriteString(conn, "hello "); err != nil {
		t.Fatal(err)
	}
	cw, ok := conn.(interface{ CloseWrite() error })
	if !ok {
		t.Fatalf("%T has no CloseWrite", conn)
	}
	if err := cw.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(conn)
	if err != nil || string(got) != "hello bye" {
		t.Fatalf("got %q, %v; want %q", got, err, "hello bye")
	}
}

// record is a list that servers write and tests read.
type record struct {
	mu   sync.Mutex
	list []string
}

func (r *record) add(s string) { r.mu.Lock(); r.list = append(r.list, s); r.mu.Unlock() }

func (r *record) all() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.list...)
}

// httpProxy is a small forward proxy. Targets are looked up in routes, so that public names end at loopback servers.
type httpProxy struct {
	routes map[string]string
	auth   string // "user:password"
	answer string // raw answer to CONNECT instead of a tunnel
	early  string // sent in one segment with the 200
	record
}

func (p *httpProxy) handle(c net.Conn) {
	br := bufio.NewReader(c)
	req, err := http.ReadRequest(br)
	if err != nil {
		return
	}
	p.add(req.Method + " " + req.RequestURI)
	if p.auth != "" && req.Header.Get("Proxy-Authorization") != "Basic "+base64.StdEncoding.EncodeToString([]byte(p.auth)) {
		io.WriteString(c, "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\n\r\n")
		return
	}
	if p.answer != "" {
		io.WriteString(c, strings.ReplaceAll(p.answer, "{auth}", req.Header.Get("Proxy-Authorization")))
		return
	}
	if req.Method != http.MethodConnect {
		req.Header.Del("Proxy-Authorization")
		b := "absolute " + req.URL.String()
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", len(b), b)
		return
	}
	up, err := new(net.Dialer).DialContext(context.Background(), "tcp", p.routes[req.RequestURI])
	if err != nil {
		io.WriteString(c, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
		return
	}
	io.WriteString(c, "HTTP/1.1 200 Connection established\r\n\r\n"+p.early)
	splice(c, br, up)
}

// splice copies both ways, passing half-closes on.
func splice(c net.Conn, from io.Reader, up net.Conn) {
	defer up.Close()
	var wg sync.WaitGroup
	wg.Go(func() { io.Copy(up, from); up.(*net.TCPConn).CloseWrite() })
	wg.Go(func() {
		io.Copy(c, up)
		if cw, ok := c.(interface{ CloseWrite() error }); ok {
			cw.CloseWrite()
		}
	})
	wg.Wait()
}

// socksProxy is a small SOCKS5 server; it records the address type and text of each request.
type socksProxy struct {
	routes map[string]string
	auth   string
	fail   byte // reply code for every request, 0: none
	record
}

func (p *socksProxy) handle(c net.Conn) {
	head := make([]byte, 2)
	if _, err := io.ReadFull(c, head); err != nil || head[0] != 5 {
		return
	}
	methods := make([]byte, head[1])
	if _, err := io.ReadFull(c, methods); err != nil || !p.greet(c, methods) {
		return
	}
	req := make([]byte, 4)
	if _, err := io.ReadFull(c, req); err != nil {
		return
	}
	var host string
	switch req[3] {
	case 1, 4:
		b := make([]byte, map[byte]int{1: 4, 4: 16}[req[3]])
		io.ReadFull(c, b)
		a, _ := netip.AddrFromSlice(b)
		host = a.String()
	case 3:
		n := make([]byte, 1)
		io.ReadFull(c, n)
		b := make([]byte, n[0])
		io.ReadFull(c, b)
		host = string(b)
	}
	port := make([]byte, 2)
	io.ReadFull(c, port)
	addr := net.JoinHostPort(host, fmt.Sprint(binary.BigEndian.Uint16(port)))
	p.add(fmt.Sprintf("type%d %s", req[3], addr))
	if p.fail != 0 {
		c.Write([]byte{5, p.fail, 0, 1, 0, 0, 0, 0, 0, 0})
		return
	}
	up, err := new(net.Dialer).DialContext(context.Background(), "tcp", p.routes[addr])
	if err != nil {
		c.Write([]byte{5, 5, 0, 1, 0, 0, 0, 0, 0, 0})
		return
	}
	c.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
	splice(c, c, up)
}

func (p *socksProxy) greet(c net.Conn, methods []byte) bool {
	if p.auth == "" {
		c.Write([]byte{5, 0})
		return true
	}
	if !strings.Contains(string(methods), "\x02") {
		c.Write([]byte{5, 0xff})
		return false
	}
	c.Write([]byte{5, 2})
	field := func() string {
		n := make([]byte, 1)
		io.ReadFull(c, n)
		b := make([]byte, n[0])
		io.ReadFull(c, b)
		return string(b)
	}
	io.ReadFull(c, make([]byte, 1))
	if user, password := field(), ""; true {
		password = field()
		if user+":"+password != p.auth {
			c.Write([]byte{1, 1})
			return false
		}
	}
	c.Write([]byte{1, 0})
	return true
}

// tlsOver wraps handle in TLS with the certificate of httptest, valid for example.com and 127.0.0.1.
func tlsOver(t *testing.T, handle func(net.Conn)) func(net.Conn) {
	t.Helper()
	srv := httptest.NewUnstartedServer(nil)
	srv.StartTLS()
	cert := srv.TLS.Certificates[0]
	srv.Close()
	return func(c net.Conn) { handle(tls.Server(c, &tls.Config{Certificates: []tls.Certificate{cert}})) }
}

// rootFile writes the certificate that all httptest servers share.
func rootFile(t *testing.T) string {
	t.Helper()
	srv := httptest.NewTLSServer(nil)
	defer srv.Close()
	path := filepath.Join(t.TempDir(), "root.pem")
	b := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// dns is a resolver that answers from a function: the n-th question (from 0) of a kind for name.
type dns struct {
	answer func(name string, n int) []string
	mu     sync.Mutex // guards asked
	asked  map[string]int
}

func (d *dns) resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go d.serve(server) // ends when the resolver closes its side
		return client, nil
	}}
}

func (d *dns) serve(c net.Conn) {
	defer c.Close()
	for {
		n := make([]byte, 2)
		if _, err := io.ReadFull(c, n); err != nil {
			return
		}
		b := make([]byte, binary.BigEndian.Uint16(n))
		if _, err := io.ReadFull(c, b); err != nil {
			return
		}
		var m dnsmessage.Message
		if m.Unpack(b) != nil {
			return
		}
		out, err := d.reply(m)
		if err != nil {
			return
		}
		if _, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(out))), out...)); err != nil {
			return
		}
	}
}

func (d *dns) reply(m dnsmessage.Message) ([]byte, error) {
	q := m.Questions[0]
	key := q.Type.String() + q.Name.String()
	d.mu.Lock()
	if d.asked == nil {
		d.asked = map[string]int{}
	}
	n := d.asked[key]
	d.asked[key]++
	d.mu.Unlock()
	m.Response, m.RecursionAvailable, m.Additionals = true, true, nil
	for _, s := range d.answer(strings.TrimSuffix(q.Name.String(), "."), n) {
		h := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 1}
		switch a := netip.MustParseAddr(s); {
		case a.Is4() && q.Type == dnsmessage.TypeA:
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AResource{A: a.As4()}})
		case a.Is6() && q.Type == dnsmessage.TypeAAAA:
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AAAAResource{AAAA: a.As16()}})
		}
	}
	return m.Pack()
}

// questions returns how often the addresses of name were asked for.
func (d *dns) questions(name string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.asked["TypeA"+name+"."]
}

func newPool(t *testing.T, pem []byte) *x509.CertPool {
	t.Helper()
	p := x509.NewCertPool()
	if !p.AppendCertsFromPEM(pem) {
		t.Fatal("no certificate")
	}
	return p
}
