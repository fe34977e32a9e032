package ca

import (
	"crypto/x509"
	"runtime"
	"slices"
	"strings"
	"time"
)

// expirySoon is how long before its end an authority is reported as expiring: long enough to plan for telling every
// client about a new root.
const expirySoon = 30 * 24 * time.Hour

// Info describes the loaded authority for its owner. It holds nothing secret.
type Info struct {
	Path       string `json:"path"` // of the root certificate, what clients must trust
	Generation string `json:"generation"`
	Subject    string `json:"subject"` // of the root, as trust stores list it

	// SHA256 is the fingerprint of the root's DER as `openssl x509 -fingerprint -sha256` prints it, SHA256Hex the
	// same in lower-case hex without colons. SPKI is the base64 SHA-256 of its public key.
	SHA256    string `json:"sha256"`
	SHA256Hex string `json:"sha256_hex"`
	SPKI      string `json:"spki_sha256"`

	// Hosts are the permitted names, each with its sub-domains. Constrained says that certificates themselves limit
	// leafs to them, critically; it is false only if they were imported without.
	Hosts       []string `json:"hosts"`
	Constrained bool     `json:"constrained"`
	Imported    bool     `json:"imported"`

	// NotBefore and NotAfter bound the time in which the whole chain is valid. ExpiresSoon is set in the last thirty
	// days of it, Expired thereafter.
	NotBefore   time.Time `json:"not_before"`
	NotAfter    time.Time `json:"not_after"`
	ExpiresSoon bool      `json:"expires_soon"`
	Expired     bool      `json:"expired"`

	// TrustedBySystem says whether the machine's own trust store accepts the chain. The environment is not asked:
	// SSL_CERT_FILE may well point to a bundle of ours.
	TrustedBySystem bool `json:"trusted_by_system"`
}

// Info describes the authority. It reads the machine's trust store each time.
func (a *Authority) Info() Info {
	g, now := a.gen, a.now()
	plain := hexSHA256(g.root.Raw)
	info := Info{
		Path: g.rootPath, Generation: g.id(), Subject: g.root.Subject.String(),
		SHA256: colons(plain), SHA256Hex: plain, SPKI: spkiSHA256(g.root),
		Imported: g.imported, NotBefore: g.validFrom(), NotAfter: g.validUntil(),
		Expired: now.After(g.validUntil()),
	}
	info.ExpiresSoon = !info.Expired && now.After(info.NotAfter.Add(-expirySoon))
	info.Hosts = slices.Clone(g.within)
	for _, c := range g.path() {
		if len(c.PermittedDNSDomains) > 0 {
			info.Hosts, info.Constrained = slices.Clone(c.PermittedDNSDomains), constrained(c)
			break
		}
	}
	info.TrustedBySystem = a.trustedBySystem(now)
	return info
}

func (a *Authority) trustedBySystem(now time.Time) bool {
	opts := x509.VerifyOptions{Intermediates: x509.NewCertPool(), CurrentTime: now}
	for _, c := range a.gen.chain {
		opts.Intermediates.AddCert(c)
	}
	// There crypto/x509 asks the operating system itself, which knows trust settings that no file shows, and it
	// ignores SSL_CERT_FILE.
	if runtime.GOOS != "darwin" && runtime.GOOS != "windows" {
		opts.Roots = x509.NewCertPool()
		for _, der := range a.platform.installed() {
			if c, err := x509.ParseCertificate(der); err == nil {
				opts.Roots.AddCert(c)
			}
		}
	}
	_, err := a.gen.issuing().Verify(opts)
	return err == nil
}

// colons renders lower-case hex as openssl prints fingerprints.
func colons(plain string) string {
	var b strings.Builder
	for i := 0; i+2 <= len(plain); i += 2 {
		if i > 0 {
			b.WriteByte(':')
		}
		b.WriteString(strings.ToUpper(plain[i : i+2]))
	}
	return b.String()
}
