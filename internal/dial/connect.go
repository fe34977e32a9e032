package dial

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"detour/internal/secret"
)

const (
	maxConnectAnswer = 64 << 10 // bytes of all answer heads together
	maxInterim       = 5        // 1xx answers before the final one
	maxReason        = 80       // bytes of a proxy's reason that are shown
)

// connect asks an HTTP proxy for a tunnel to t (RFC 9110, section 9.3.6).
func (u *upstream) connect(conn net.Conn, t target) (net.Conn, error) {
	req := "CONNECT " + t.String() + " HTTP/1.1\r\nHost: " + t.String() + "\r\nUser-Agent: detour\r\n"
	if auth := u.authorization(); !auth.IsZero() {
		req += "Proxy-Authorization: " + auth.Reveal() + "\r\n"
	}
	if _, err := io.WriteString(conn, req+"\r\n"); err != nil {
		return nil, fmt.Errorf("send connect request: %w", err)
	}
	br := bufio.NewReader(&io.LimitedReader{R: conn, N: maxConnectAnswer})
	for range maxInterim {
		resp, err := http.ReadResponse(br, &http.Request{Method: http.MethodConnect})
		if err != nil {
			return nil, readError(err)
		}
		switch {
		case resp.StatusCode == http.StatusOK:
			if br.Buffered() == 0 {
				return conn, nil
			}
			early, _ := br.Peek(br.Buffered())
			return &earlyConn{Conn: conn, early: early}, nil
		case resp.StatusCode == http.StatusSwitchingProtocols || resp.StatusCode >= 200:
			return nil, u.refusal(t, resp)
		}
	}
	return nil, errors.New("proxy sent no final answer")
}

// readError keeps what the proxy sent out of the text: an error of net/http may quote it.
func readError(err error) error {
	if ne, ok := errors.AsType[net.Error](err); ok {
		return fmt.Errorf("read connect answer: %w", ne)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("read connect answer: the proxy closed the connection or sent too long a head")
	}
	return errors.New("read connect answer: not an HTTP response")
}

func (u *upstream) refusal(t target, resp *http.Response) error {
	_, reason, _ := strings.Cut(resp.Status, " ")
	e := &ProxyError{Proxy: u.String(), Target: t.String(), Status: resp.StatusCode, Reason: u.scrub(printable(reason))}
	if resp.StatusCode != http.StatusProxyAuthRequired {
		return e
	}
	switch {
	case !offersBasic(resp.Header):
		e.Hint = "it offers no Basic authentication, the only kind that detour speaks"
	case u.authorization().IsZero():
		e.Hint = "put user and password into " + u.source
	default:
		e.Hint = "it does not accept user and password of " + u.source
	}
	return e
}

// offersBasic reports whether a Basic challenge is among those of the answer; an answer without any counts as one.
func offersBasic(h http.Header) bool {
	challenges := h.Values("Proxy-Authenticate")
	for _, c := range challenges {
		for part := range strings.SplitSeq(c, ",") {
			scheme, _, _ := strings.Cut(strings.TrimSpace(part), " ")
			if strings.EqualFold(scheme, "basic") {
				return true
			}
		}
	}
	return len(challenges) == 0
}

// printable returns s in printable ASCII.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7e {
			return -1
		}
		return r
	}, s)
	return strings.TrimSpace(s)
}

// scrub shortens a proxy's reason, or drops it if it repeats what we sent to prove who we are.
func (u *upstream) scrub(s string) string {
	for _, v := range []secret.String{u.user, u.password, u.authorization()} {
		if v.IsZero() {
			continue
		}
		if strings.Contains(s, v.Reveal()) || strings.Contains(s, strings.TrimPrefix(v.Reveal(), "Basic ")) {
			return ""
		}
	}
	return s[:min(len(s), maxReason)]
}

// earlyConn gives back the bytes that were read together with the proxy's answer.
type earlyConn struct {
	net.Conn
	early []byte // touched by Read only, which has one caller at a time
}

func (c *earlyConn) Read(p []byte) (int, error) {
	if len(c.early) > 0 {
		n := copy(p, c.early)
		c.early = c.early[n:]
		return n, nil
	}
	return c.Conn.Read(p)
}

// CloseWrite shuts down the sending side.
func (c *earlyConn) CloseWrite() error {
	if cw, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return cw.CloseWrite()
	}
	return errors.ErrUnsupported
}
