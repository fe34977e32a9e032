package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// dialler makes connections as a job wants them: straight or by CONNECT, with or without TLS.
type dialler struct {
	job  job
	tls  *tls.Config
	head []byte // of each HTTP/1.1 request, and its body
	get  *http.Request
}

func newDialler(j job) (*dialler, error) {
	c, err := tlsConfig(j)
	if err != nil {
		return nil, err
	}
	d := &dialler{job: j, tls: c}
	method := http.MethodGet
	if j.Body != "" {
		method = http.MethodPost
	}
	d.get = &http.Request{Method: method}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: bench\r\n", method, j.Path, strings.TrimSuffix(j.Host, ":443"))
	for k, v := range j.Header {
		fmt.Fprintf(&b, "%s: %s\r\n", k, v)
	}
	if j.Body != "" {
		b.WriteString("Content-Type: application/json\r\nContent-Length: " + strconv.Itoa(len(j.Body)) + "\r\n")
	}
	if j.Kind == kindFresh {
		b.WriteString("Connection: close\r\n")
	}
	b.WriteString("\r\n" + j.Body)
	d.head = []byte(b.String())
	return d, nil
}

// raw returns a TCP connection to the job's host, through the proxy if there is one.
func (d *dialler) raw(ctx context.Context) (net.Conn, error) {
	addr := d.job.Proxy
	if addr == "" {
		addr = d.job.Dial
	}
	c, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("dial: %w", err)
	}
	deadline, _ := ctx.Deadline()
	if err := c.SetDeadline(deadline); err != nil {
		_ = c.Close()
		return nil, err
	}
	if d.job.Proxy == "" {
		return c, nil
	}
	if err := connect(c, d.job.Host); err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

// connect asks a proxy for a tunnel. The answer is read byte for byte, so that nothing behind it is lost.
func connect(c net.Conn, host string) error {
	if _, err := io.WriteString(c, "CONNECT "+host+" HTTP/1.1\r\nHost: "+host+"\r\n\r\n"); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	var answer []byte
	one := make([]byte, 1)
	for !strings.HasSuffix(string(answer), "\r\n\r\n") {
		if _, err := io.ReadFull(c, one); err != nil {
			return fmt.Errorf("connect: %w", err)
		}
		if answer = append(answer, one[0]); len(answer) > 4096 {
			return errors.New("connect: endless answer")
		}
	}
	if !strings.HasPrefix(string(answer), "HTTP/1.1 200") && !strings.HasPrefix(string(answer), "HTTP/1.0 200") {
		line, _, _ := strings.Cut(string(answer), "\r\n")
		return errors.New("connect: " + line)
	}
	return nil
}

// open returns a connection that is ready for requests.
func (d *dialler) open(ctx context.Context) (net.Conn, error) {
	c, err := d.raw(ctx)
	if err != nil || d.tls == nil {
		return c, err
	}
	t := tls.Client(c, d.tls)
	if err := t.HandshakeContext(ctx); err != nil {
		_ = c.Close()
		return nil, fmt.Errorf("handshake: %w", err)
	}
	return t, nil
}

// client sends the job's request again and again on one connection.
type client interface {
	// do returns how long the whole answer and its first byte took.
	do(ctx context.Context) (sample, error)
	// stream sends the request and returns the body of the answer.
	stream(ctx context.Context) (io.ReadCloser, error)
	close()
}

func (d *dialler) client(ctx context.Context) (client, error) {
	if d.job.H2 {
		return newClient2(d), nil
	}
	c, err := d.open(ctx)
	if err != nil {
		return nil, err
	}
	return &client1{d: d, conn: c, br: bufio.NewReaderSize(c, 16<<10)}, nil
}

// client1 speaks HTTP/1.1 with as little as it takes, so that the two processors are left to those that are measured.
type client1 struct {
	d    *dialler
	conn net.Conn
	br   *bufio.Reader
	buf  [16 << 10]byte
}

func (c *client1) do(context.Context) (sample, error) {
	start := time.Now()
	body, err := c.stream(context.Background())
	if err != nil {
		return sample{}, err
	}
	defer body.Close()
	return drain(start, body, c.buf[:], c.d.job.Marker)
}

func (c *client1) stream(context.Context) (io.ReadCloser, error) {
	if _, err := c.conn.Write(c.d.head); err != nil {
		return nil, fmt.Errorf("send: %w", err)
	}
	resp, err := http.ReadResponse(c.br, c.d.get)
	if err != nil {
		return nil, fmt.Errorf("receive: %w", err)
	}
	return accept(resp)
}

func (c *client1) close() { _ = c.conn.Close() }

// accept returns the body of a good answer.
func accept(resp *http.Response) (io.ReadCloser, error) {
	if resp.StatusCode == http.StatusOK {
		return resp.Body, nil
	}
	b, _ := io.ReadAll(io.LimitReader(resp.Body, 300))
	_ = resp.Body.Close()
	return nil, fmt.Errorf("status %d: %s", resp.StatusCode, b)
}

// drain reads a body to its end and notes when want came. buf takes an answer up to there.
func drain(start time.Time, body io.Reader, buf []byte, want string) (sample, error) {
	var s sample
	have := 0 // bytes of buf that were looked through in vain
	for {
		n, err := body.Read(buf[have:])
		if n > 0 && s.first == 0 {
			if bytes.Contains(buf[:have+n], []byte(want)) {
				s.first, have = time.Since(start), 0
			} else if have += n; have == len(buf) {
				return s, fmt.Errorf("no %q in the first %d bytes", want, have)
			}
		}
		if err == io.EOF {
			if s.first == 0 {
				return s, fmt.Errorf("no %q in the answer", want)
			}
			s.total = time.Since(start)
			return s, nil
		}
		if err != nil {
			return s, fmt.Errorf("receive body: %w", err)
		}
	}
}

// client2 speaks HTTP/2 through net/http, on one connection of its own.
type client2 struct {
	d  *dialler
	tr *http.Transport
}

func newClient2(d *dialler) *client2 {
	t := &http.Transport{
		Protocols: new(http.Protocols), MaxConnsPerHost: 1, DisableCompression: true,
		DialTLSContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return d.open(ctx) },
	}
	t.Protocols.SetHTTP2(true)
	return &client2{d, t}
}

func (c *client2) do(ctx context.Context) (sample, error) {
	start := time.Now()
	body, err := c.stream(ctx)
	if err != nil {
		return sample{}, err
	}
	defer body.Close()
	return drain(start, body, make([]byte, 16<<10), c.d.job.Marker)
}

func (c *client2) stream(ctx context.Context) (io.ReadCloser, error) {
	var body io.Reader
	if c.d.job.Body != "" {
		body = strings.NewReader(c.d.job.Body)
	}
	req, err := http.NewRequestWithContext(ctx, c.d.get.Method, c.d.job.Scheme+"://"+c.d.job.Host+c.d.job.Path, body)
	if err != nil {
		return nil, err
	}
	for k, v := range c.d.job.Header {
		req.Header.Set(k, v)
	}
	req.Header.Set("User-Agent", "bench")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.tr.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	return accept(resp)
}

func (c *client2) close() { c.tr.CloseIdleConnections() }

func hostOf(hostport string) string {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		return hostport
	}
	return host
}
