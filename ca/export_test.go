package ca

import "crypto"

// What the external tests need of the inside.

const (
	LeafCacheSize = leafCacheSize
	Marker        = marker
)

var (
	CanonicalHost     = canonicalHost
	ParseCertificates = parseCertificates
	Within            = within
)

// SetPlatform replaces the places where a looks for the machine's roots.
func SetPlatform(a *Authority, files, dirs []string) { a.platform = platform{files: files, dirs: dirs} }

// Signer returns the key that signs leafs, for forging what the constraints must stop.
func Signer(a *Authority) crypto.Signer { return a.gen.signer }

// IssueCount makes a count its issues of leafs.
func IssueCount(a *Authority) *CountingIssuer {
	c := &CountingIssuer{CertificateAuthorityService: a.issuer}
	a.issuer = c
	return c
}

// Lock takes the lock of the folder dir as another process would that makes a generation.
func Lock(dir string) (unlock func(), err error) {
	f, err := openFolder(dir)
	if err != nil {
		return nil, err
	}
	defer f.close()
	lock, err := f.lockExclusive()
	if err != nil {
		return nil, err
	}
	return func() { _ = lock.Close() }, nil
}
