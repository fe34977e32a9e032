package mitm

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"

	"github.com/elazarl/goproxy"
)

// serveAbsolute carries out a request in absolute form.
func (s *server) serveAbsolute(w http.ResponseWriter, r *http.Request) {
	if r.URL.Scheme != "http" || r.URL.Host == "" {
		refuse(w, http.StatusBadRequest, "only http:// URLs are forwarded; for https:// use CONNECT")
		return
	}
	host, port, err := parseHostPort(r.URL.Host)
	if err != nil {
		refuse(w, http.StatusBadRequest, "parse url: "+err.Error())
		return
	}
	if port == 0 {
		port = 80
	}
	if _, _, ok := s.authorize(w, r); !ok {
		return
	}
	if s.isLocal(host, port) {
		s.serveLocal(w, r)
		return
	}
	if !s.allowPort(port) {
		refuse(w, http.StatusForbidden, fmt.Sprintf("port %d is not allowed", port))
		return
	}
	if r.ContentLength != 0 {
		// Or net/http drains and closes the body at the first byte of the answer, while the transport still reads it.
		_ = http.NewResponseController(w).EnableFullDuplex()
	}
	stripHopHeaders(r.Header) // here, because goproxy drops Connection with the names that it holds
	f := &forwarding{ResponseWriter: w, live: &s.live, copier: s.copier}
	defer f.done()
	s.forwarder.ServeHTTP(f, r.WithContext(context.WithValue(r.Context(), forwardingKey{}, f)))
}

// newForwarder makes the handler for absolute-form requests: goproxy, and for WebSocket upgrades net/http's own reverse
// proxy, because goproxy neither closes the client's side of an upgraded connection nor keeps half-closed ones.
func newForwarder(rt http.RoundTripper, log *slog.Logger) http.Handler {
	rt = &hop{next: rt, log: log}
	// Not made by goproxy.NewProxyHttpServer, which takes its dialer from HTTPS_PROXY: started in a shell that uses this
	// proxy, it would dial itself.
	plain := &goproxy.ProxyHttpServer{
		Logger:             goproxyLog{log},
		Tr:                 &http.Transport{}, // not used: each request brings its RoundTripper
		NonproxyHandler:    http.NotFoundHandler(),
		KeepAcceptEncoding: true,
	}
	plain.OnRequest().DoFunc(func(r *http.Request, ctx *goproxy.ProxyCtx) (*http.Request, *http.Response) {
		ctx.RoundTripper = goproxy.RoundTripperFunc(func(r *http.Request, _ *goproxy.ProxyCtx) (*http.Response, error) {
			return rt.RoundTrip(r)
		})
		return r, nil
	})
	upgrade := &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { prepareUpgrade(r.Out, r.In) },
		Transport: rt,
		ErrorLog:  newErrorLog(log),
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if isWebSocket(r.Header) {
			upgrade.ServeHTTP(w, r)
			return
		}
		plain.ServeHTTP(w, r)
	})
}

// prepareUpgrade keeps what ReverseProxy changes in forwarded requests on its own account.
func prepareUpgrade(out, in *http.Request) {
	out.Host = in.Host
	out.URL.RawQuery = in.URL.RawQuery
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"} {
		if v, ok := in.Header[name]; ok {
			out.Header[name] = v
		}
	}
}

// hop makes a RoundTripper one hop of a proxy: the answer's hop-by-hop headers end here, and failures are answers.
type hop struct {
	next http.RoundTripper
	log  *slog.Logger
}

// RoundTrip implements http.RoundTripper.
func (h *hop) RoundTrip(r *http.Request) (*http.Response, error) {
	out := r.WithContext(r.Context()) // not Clone: the trailers' map fills while the body is read
	out.Header = r.Header.Clone()
	out.Close = false // the client's "Connection: close" is about its own connection
	if _, ok := out.Header["User-Agent"]; !ok {
		out.Header["User-Agent"] = nil // net/http would add its own
	}
	resp, err := h.next.RoundTrip(out)
	if err != nil {
		return h.failure(r, err), nil
	}
	stripHopHeaders(resp.Header)
	if _, ok := resp.Header["Content-Type"]; !ok {
		resp.Header["Content-Type"] = nil // net/http would guess one
	}
	if resp.ContentLength < 0 && len(resp.TransferEncoding) == 0 && resp.ProtoMajor == 1 {
		// The origin ends this body by closing, which does not tell whether it was all. A last chunk would.
		resp.Header.Set("Transfer-Encoding", "identity")
	}
	if f, ok := r.Context().Value(forwardingKey{}).(*forwarding); ok && resp.StatusCode != http.StatusSwitchingProtocols {
		resp.Body = &watchedBody{ReadCloser: resp.Body, failed: &f.cut}
	}
	return resp, nil
}

func (h *hop) failure(r *http.Request, err error) *http.Response {
	status, reason := dialFailure(err)
	if r.Context().Err() != nil {
		h.log.Debug("client left before the answer", "host", r.URL.Host)
	} else {
		h.log.Info("request not forwarded", "host", r.URL.Host, "err", withoutURL(err))
	}
	return goproxy.NewResponse(r, goproxy.ContentTypeText, status, "detour: forward to "+r.URL.Host+": "+reason+"\n")
}

// withoutURL drops the URL that net/http's client puts into errors: paths and queries are not for logs.
func withoutURL(err error) error {
	if u, ok := err.(*url.Error); ok { //nolint:errorlint // only the outermost one adds the URL
		return u.Err
	}
	return err
}

// watchedBody remembers that a body broke off.
type watchedBody struct {
	io.ReadCloser
	failed *bool
}

// Read implements io.Reader.
func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		*b.failed = true
	}
	return n, err
}

type forwardingKey struct{}

// forwarding is the answer to one absolute-form request. It passes every write on at once, because goproxy does so for
// event streams only, and net/http would hold back up to 4 KiB.
type forwarding struct {
	http.ResponseWriter
	live     *live
	copier   *copier
	cut      bool // the origin's body broke off
	hijacked *hijackedConn
}

// Unwrap is for http.ResponseController.
func (f *forwarding) Unwrap() http.ResponseWriter { return f.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (f *forwarding) WriteHeader(status int) {
	f.ResponseWriter.WriteHeader(status)
	// Of unknown length: perhaps a stream whose first event takes its time.
	if status >= http.StatusOK && f.Header().Get("Content-Length") == "" {
		f.Flush()
	}
}

// Write implements io.Writer.
func (f *forwarding) Write(p []byte) (int, error) {
	n, err := f.ResponseWriter.Write(p)
	if err != nil {
		return n, err
	}
	return n, http.NewResponseController(f.ResponseWriter).Flush()
}

// ReadFrom implements io.ReaderFrom, to copy with a pooled buffer where io.Copy would make one of 32 KiB.
func (f *forwarding) ReadFrom(src io.Reader) (n int64, err error) {
	err = f.copier.copyBuffered(f, src, func(wrote int64) { n += wrote })
	return n, err
}

// Flush implements http.Flusher.
func (f *forwarding) Flush() { _ = http.NewResponseController(f.ResponseWriter).Flush() }

// Hijack implements http.Hijacker for upgrades.
func (f *forwarding) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(f.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	// ReverseProxy reads from the connection only: a first frame sent right behind the request must be found there.
	f.hijacked = &hijackedConn{earlyConn: earlyConn{Conn: conn, early: buffered(rw.Reader)}, live: f.live}
	if !f.live.add(f.hijacked) {
		abortConn(conn)
		return nil, nil, errShutdown
	}
	return f.hijacked, bufio.NewReadWriter(bufio.NewReader(f.hijacked), rw.Writer), nil
}

// done ends the answer. A body that broke off must not look complete.
func (f *forwarding) done() {
	if f.hijacked != nil {
		_ = f.hijacked.Close()
	}
	if f.cut {
		panic(http.ErrAbortHandler)
	}
}

type goproxyLog struct{ log *slog.Logger }

// Printf implements goproxy.Logger. goproxy's messages may hold URLs, so only the fact is logged.
func (g goproxyLog) Printf(format string, _ ...any) {
	g.log.Debug("goproxy complained", "format", format)
}

// hijackedConn is an upgraded connection that Shutdown can end.
type hijackedConn struct {
	earlyConn
	live *live
}

func (c *hijackedConn) abort() { abortConn(c.Conn) }

// CloseWrite lets one direction of the upgraded connection end before the other.
func (c *hijackedConn) CloseWrite() error { return closeWrite(c.Conn) }

// Close implements net.Conn.
func (c *hijackedConn) Close() error {
	c.live.remove(c)
	return c.Conn.Close()
}
