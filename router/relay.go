package router

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/http/httputil"
	"net/textproto"
	"net/url"
	"strings"
	"sync"

	"golang.org/x/net/http/httpguts"

	"detour/internal/dialect"
	"detour/providers"
)

// relay carries requests to the host that the client named, with the client's own credentials, and changes neither
// body bytes nor end-to-end headers. The upstream is asked in the client's own HTTP version, so that what the client
// sees is what the host said.
type relay struct {
	h1, h2  http.RoundTripper
	upgrade *httputil.ReverseProxy
	buffers sync.Pool
}

func newRelay(h1, h2 http.RoundTripper, log *slog.Logger) *relay {
	r := &relay{h1: h1, h2: h2}
	r.buffers.New = func() any { b := make([]byte, 32<<10); return &b }
	// Protocol upgrades need the connection itself; net/http/httputil has that, and they are rare.
	r.upgrade = &httputil.ReverseProxy{
		Transport: h1,
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.URL = target(p.In.URL)
			p.Out.Host = p.In.Host
			for _, k := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"} {
				if v, ok := p.In.Header[k]; ok {
					p.Out.Header[k] = v
				}
			}
			ownHeaders(p.Out.Header)
		},
		ErrorLog:     slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}
	return r
}

// target is the URL of the original host, without the proxy user.
func target(u *url.URL) *url.URL {
	out := *u
	out.User = nil
	return &out
}

// ownHeaders removes what is meant for detour alone.
func ownHeaders(h http.Header) {
	h.Del("X-Route-Mode")
}

// passthrough relays the request. operation says that detour could have served it.
func (x *exchange) passthrough(operation bool) {
	if isUpgrade(x.req.Header) {
		if s := x.table.lookup(x.rec.Host); !operation && s.speaksOverHTTP(x.req.URL.Path) && x.rec.Mode != string(ModePassthrough) {
			x.noUpgrade()
			return
		}
		x.committed = true
		x.table.relay.upgrade.ServeHTTP(&statusWriter{x.w, x}, x.req)
		return
	}
	err := x.table.relay.serve(x)
	if err == nil {
		return
	}
	e := providers.AsError(transportError(x.req.Context(), err))
	x.rec.Error = e.Kind.String()
	if x.committed || e.Kind == providers.KindCanceled {
		x.abort()
	}
	x.fail(dialect.Failure{Status: http.StatusBadGateway, Code: "host_unreachable", Message: "detour: " + x.rec.Host + " could not be reached: " + err.Error()})
}

// noUpgrade says that a path is served over HTTP only. A client that finds no WebSocket falls back at once on this
// status, and on no other.
func (x *exchange) noUpgrade() {
	x.w.Header().Set("Upgrade", "HTTP/1.1")
	x.fail(dialect.Failure{Status: http.StatusUpgradeRequired, Code: "websocket_unsupported", Message: "This path is served over HTTP only; send a POST."})
}

// abort ends the connection or stream, because a cut answer must not look like a whole one. That holds for a client
// that left, too: it may have ended its sending side alone and still read. done runs as the stack unwinds.
func (x *exchange) abort() {
	panic(http.ErrAbortHandler)
}

// speaksOverHTTP tells whether path is an operation that is served over HTTP only.
func (s *surface) speaksOverHTTP(path string) bool {
	_, _, ok := s.match(http.MethodPost, path, "")
	return ok
}

func isUpgrade(h http.Header) bool {
	return httpguts.HeaderValuesContainsToken(h["Connection"], "upgrade") && h.Get("Upgrade") != ""
}

// statusWriter notes the status of an upgraded exchange.
type statusWriter struct {
	http.ResponseWriter
	x *exchange
}

func (w *statusWriter) WriteHeader(status int) {
	w.x.rec.Status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController reach Flush.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Hijack hands over the connection with the bytes that the client sent right behind its upgrade request, which
// httputil.ReverseProxy would drop with the reader that holds them.
func (w *statusWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, brw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err != nil || brw.Reader.Buffered() == 0 {
		return conn, brw, err
	}
	early, err := brw.Reader.Peek(brw.Reader.Buffered())
	return &earlyConn{conn, bytes.Clone(early)}, brw, err
}

// earlyConn is a connection of which some bytes were read already.
type earlyConn struct {
	net.Conn
	early []byte
}

// Read implements net.Conn.
func (c *earlyConn) Read(p []byte) (int, error) {
	if len(c.early) == 0 {
		return c.Conn.Read(p)
	}
	n := copy(p, c.early)
	c.early = c.early[n:]
	return n, nil
}

// serve relays one plain exchange. An error after the exchange was committed means that the answer was cut.
func (r *relay) serve(x *exchange) error {
	early := &hints{client: x.req.Context(), w: x.w}
	ctx := httptrace.WithClientTrace(x.req.Context(), &httptrace.ClientTrace{Got1xxResponse: early.pass})
	out := x.req.WithContext(ctx)
	out.URL = target(x.req.URL)
	out.RequestURI = ""
	out.Close = false
	out.Header = x.req.Header.Clone()
	removeHopByHop(out.Header)
	if httpguts.HeaderValuesContainsToken(x.req.Header["Te"], "trailers") {
		out.Header.Set("Te", "trailers")
	}
	ownHeaders(out.Header)
	if _, ok := out.Header["User-Agent"]; !ok {
		out.Header["User-Agent"] = nil // or net/http would invent one
	}
	if err := forwardBody(x, out); err != nil {
		return err
	}
	rt := r.h1
	if x.req.ProtoMajor == 2 {
		rt = r.h2
	}
	resp, err := rt.RoundTrip(out)
	early.end()
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	announced := r.head(x, resp)
	x.commit(resp.StatusCode)
	if err := r.copy(x, resp); err != nil {
		return err
	}
	for k, v := range resp.Trailer {
		if !announced[k] {
			k = http.TrailerPrefix + k
		}
		x.w.Header()[k] = v
	}
	return nil
}

// smallBody is the largest request body that is read before it is sent on.
const smallBody = 32 << 10

// forwardBody gives out the client's body. A small one is read first: the transport then sends head and body in one
// piece, which saves a tenth of what a small relayed request costs. The others pass as they come, and a host may
// answer before it has read everything; HTTP/1.1 servers wait for the body first unless told.
func forwardBody(x *exchange, out *http.Request) error {
	n := x.req.ContentLength
	switch {
	case n == 0:
		out.Body = nil
	case n > 0 && n <= smallBody && x.req.Header.Get("Expect") == "":
		b := make([]byte, n)
		if _, err := io.ReadFull(x.req.Body, b); err != nil {
			return &providers.Error{Kind: providers.KindCanceled, Err: err}
		}
		out.Body = io.NopCloser(bytes.NewReader(b))
	default:
		_ = http.NewResponseController(x.w).EnableFullDuplex()
	}
	return nil
}

// head copies the end-to-end headers of the answer, and returns the trailers that they announce.
func (r *relay) head(x *exchange, resp *http.Response) (announced map[string]bool) {
	h := x.w.Header()
	removeHopByHop(resp.Header)
	maps.Copy(h, resp.Header)
	for k := range resp.Trailer {
		if announced == nil {
			announced = map[string]bool{}
		}
		announced[k] = true
		h.Add("Trailer", k)
	}
	if _, ok := resp.Header["Date"]; !ok {
		h["Date"] = nil
	}
	if _, ok := resp.Header["Content-Type"]; !ok {
		h["Content-Type"] = nil // or net/http would guess one
	}
	if resp.ContentLength < 0 && len(resp.TransferEncoding) == 0 && resp.ProtoMajor == 1 && x.req.ProtoMajor == 1 {
		// The host ends this body by closing, which does not tell whether it was all. A last chunk would.
		h.Set("Transfer-Encoding", "identity")
	}
	return announced
}

// copy sends the body on, flushing after each read that does not complete it.
func (r *relay) copy(x *exchange, resp *http.Response) error {
	flush := http.NewResponseController(x.w)
	bp := r.buffers.Get().(*[]byte)
	defer r.buffers.Put(bp)
	buf := *bp
	left := resp.ContentLength // -1 when unknown
	if left < 0 && x.req.Method != http.MethodHead {
		// Perhaps a stream whose first event takes its time.
		if err := flush.Flush(); err != nil {
			return &providers.Error{Kind: providers.KindCanceled, Err: err}
		}
	}
	for {
		n, err := resp.Body.Read(buf)
		if n > 0 {
			if _, werr := x.w.Write(buf[:n]); werr != nil {
				return &providers.Error{Kind: providers.KindCanceled, Err: werr}
			}
			if left -= int64(n); left != 0 {
				if ferr := flush.Flush(); ferr != nil {
					return &providers.Error{Kind: providers.KindCanceled, Err: ferr}
				}
			}
		}
		switch gone := x.req.Context().Err(); {
		case err == nil:
		case !errors.Is(err, io.EOF):
			return err
		case gone != nil && left != 0:
			// The host may have ended its answer because it was told that nobody waits for the rest.
			return &providers.Error{Kind: providers.KindCanceled, Err: gone}
		default:
			return nil
		}
	}
}

// removeHopByHop removes the headers that concern one connection (RFC 9110 §7.6.1), those that Connection names
// included.
func removeHopByHop(h http.Header) {
	for _, line := range h["Connection"] {
		for name := range strings.SplitSeq(line, ",") {
			if name = textproto.TrimString(name); name != "" {
				h.Del(name)
			}
		}
	}
	for _, k := range []string{"Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding", "Upgrade"} {
		delete(h, k)
	}
}
