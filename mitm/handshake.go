package mitm

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"syscall"
)

// hello is what is known of the ClientHello when a handshake fails.
type hello struct {
	seen     bool
	mismatch bool // the server name is not the CONNECT host
}

func (h *hello) read(info *tls.ClientHelloInfo, host string) {
	h.seen = true
	if info.ServerName == "" {
		return
	}
	name, err := canonicalName(info.ServerName)
	h.mismatch = err != nil || name != host
}

// logHandshake says why an intercepted connection came to nothing.
func (s *server) logHandshake(t *target, h *hello, err error) {
	log := s.log.With("host", t.host, "port", t.port)
	switch {
	case errors.Is(err, errNoBytes):
		// Some clients open connections ahead of need and close them unused.
		log.Debug("connect closed without a byte", "err", err)
	case h.mismatch:
		log.Warn("server name in tls differs from connect host")
	case h.seen && isDistrust(err):
		log.Warn("client does not trust the ca", "err", err,
			"hint", "give the client the ca certificate through its environment, or exclude the host from interception")
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, net.ErrClosed):
		log.Debug("tls handshake not finished", "err", err)
	default:
		log.Warn("tls handshake failed", "err", err)
	}
}

// Alerts of RFC 8446 section 6 by which a client refuses a certificate.
const (
	alertBadRecordMAC       tls.AlertError = 20
	alertBadCertificate     tls.AlertError = 42
	alertCertificateUnknown tls.AlertError = 46
	alertUnknownCA          tls.AlertError = 48
)

// isDistrust reports whether a handshake that got as far as our certificate failed the way it does when the client
// has no trust in it: by an alert that says so, by hanging up (node and python do), or by an alert that the client sends
// in clear where records are encrypted already, which reads as a bad record MAC (rustls does).
func isDistrust(err error) bool {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) {
		return true
	}
	op, ok := errors.AsType[*net.OpError](err)
	if !ok {
		return false
	}
	switch op.Op {
	case "remote error":
		return isAlert(op.Err, alertBadCertificate, alertCertificateUnknown, alertUnknownCA)
	case "local error":
		return isAlert(op.Err, alertBadRecordMAC)
	}
	return false
}

// isAlert compares by text, because the alert inside crypto/tls's error is of an unexported type that shares only its
// texts with tls.AlertError.
func isAlert(err error, alerts ...tls.AlertError) bool {
	return slices.ContainsFunc(alerts, func(a tls.AlertError) bool { return err.Error() == a.Error() })
}
