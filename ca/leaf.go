package ca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"time"

	"github.com/smallstep/certificates/cas/apiv1"
)

// leafLifetime is from NotBefore to NotAfter, the backdating included.
const leafLifetime = 7 * 24 * time.Hour

// leaf is an issued certificate with the time from which on another should be made.
type leaf struct {
	cert      tls.Certificate
	notBefore time.Time
	refreshAt time.Time
}

func (l *leaf) fresh(now time.Time) bool {
	return now.Before(l.refreshAt) && !now.Before(l.notBefore)
}

// issue signs a leaf for name, which must be canonical. Each leaf has a key of its own and names one host: clients
// judge a certificate by its worst name.
func (a *Authority) issue(name string, now time.Time) (*leaf, error) {
	if !a.gen.covers(name) {
		return nil, &Error{Path: a.gen.rootPath, Problem: "does not permit certificates for " + name, Hint: a.hintUncovered()}
	}
	if err := a.gen.checkTime(now); err != nil {
		return nil, err
	}
	notBefore := latest(now.Add(-backdate).UTC().Truncate(time.Second), a.gen.validFrom())
	notAfter := earliest(notBefore.Add(leafLifetime), a.gen.validUntil())

	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generate key: %w", err)
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	resp, err := a.issuer.CreateCertificate(&apiv1.CreateCertificateRequest{
		Template: &x509.Certificate{
			SerialNumber: serial,
			PublicKey:    key.Public(),
			DNSNames:     []string{name},
			NotBefore:    notBefore,
			NotAfter:     notAfter,
			KeyUsage:     x509.KeyUsageDigitalSignature,
			ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		},
		Lifetime: notAfter.Sub(notBefore),
	})
	if err != nil {
		return nil, fmt.Errorf("sign leaf: %w", err)
	}

	l := &leaf{
		cert:      tls.Certificate{Certificate: [][]byte{resp.Certificate.Raw}, PrivateKey: key, Leaf: resp.Certificate},
		notBefore: notBefore,
		refreshAt: notBefore.Add(leafLifetime / 5 * 4),
	}
	if notAfter.Equal(a.gen.validUntil()) {
		l.refreshAt = notAfter // another would not live longer
	}
	for _, c := range a.gen.chain {
		l.cert.Certificate = append(l.cert.Certificate, c.Raw)
	}
	return l, nil
}

func (a *Authority) hintUncovered() string {
	if a.gen.imported {
		return "ask the issuer of the imported certificate to permit it, or take it off the list of intercepted hosts"
	}
	return hintRegenerate
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earliest(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
