package ca

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"
)

// The files of a generation.
const (
	rootName         = "ca.crt"
	intermediateName = "intermediate.crt"
	keyName          = "intermediate.key"
	manifestName     = "generation.json"
	oldRootSuffix    = ".old.crt"
)

// generationFiles is in the order of writing: the manifest last.
func generationFiles() []string { return []string{keyName, intermediateName, rootName, manifestName} }

// generation is a usable set of certificates with the key that signs leafs. It is immutable.
type generation struct {
	root     *x509.Certificate
	chain    []*x509.Certificate // the signing certificate first, then its issuers up to and without root
	signer   crypto.Signer
	rootPath string
	within   []string // hosts to stay within when no certificate has DNS constraints
	imported bool
}

// issuing returns the certificate that signs leafs.
func (g *generation) issuing() *x509.Certificate {
	if len(g.chain) == 0 {
		return g.root
	}
	return g.chain[0]
}

// path returns all certificates from the signing one to the root.
func (g *generation) path() []*x509.Certificate {
	return append(slices.Clone(g.chain), g.root)
}

// id names the generation: another root or another intermediate gives another id.
func (g *generation) id() string {
	h := sha256.New()
	for _, c := range g.path() {
		h.Write(c.Raw)
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// validFrom and validUntil bound the time in which every certificate of the path is valid.
func (g *generation) validFrom() time.Time {
	return slices.MaxFunc(g.path(), func(a, b *x509.Certificate) int { return a.NotBefore.Compare(b.NotBefore) }).NotBefore
}

func (g *generation) validUntil() time.Time {
	return slices.MinFunc(g.path(), func(a, b *x509.Certificate) int { return a.NotAfter.Compare(b.NotAfter) }).NotAfter
}

// checkTime refuses a generation that is not valid at now.
func (g *generation) checkTime(now time.Time) error {
	hint := hintRegenerate
	if g.imported {
		hint = "import a renewed certificate"
	}
	if until := g.validUntil(); now.After(until) {
		return &Error{Path: g.rootPath, Problem: "expired on " + until.UTC().Format(time.DateTime) + " UTC", Hint: hint}
	}
	if from := g.validFrom(); now.Before(from) {
		return &Error{Path: g.rootPath, Problem: "is not valid before " + from.UTC().Format(time.DateTime) + " UTC", Hint: "set the clock of this machine, or " + hint}
	}
	return nil
}

// manifest is the last file of a generation. Its presence and its fingerprints make the others one unit.
type manifest struct {
	Version      int       `json:"version"`
	Created      time.Time `json:"created"`
	Hosts        []string  `json:"hosts"`
	Root         string    `json:"root_sha256"`
	Intermediate string    `json:"intermediate_sha256"`
	Key          string    `json:"key_spki_sha256"`
}

const manifestVersion = 1

// loadGeneration reads and verifies the generation in f. Without any of its files the error is fs.ErrNotExist.
func loadGeneration(f *folder, now time.Time) (*generation, error) {
	var there, missing []string
	for _, name := range generationFiles() {
		if f.has(name) {
			there = append(there, name)
		} else {
			missing = append(missing, name)
		}
	}
	if len(there) == 0 {
		return nil, notThere(f.path)
	}
	if len(missing) > 0 {
		return nil, &Error{Path: f.path, Problem: "is incomplete: it lacks " + strings.Join(missing, ", "), Hint: hintRegenerate}
	}

	m, err := readManifest(f)
	if err != nil {
		return nil, err
	}
	g := &generation{rootPath: f.name(rootName)}
	if g.root, err = readCertificate(f, rootName, m.Root); err != nil {
		return nil, err
	}
	intermediate, err := readCertificate(f, intermediateName, m.Intermediate)
	if err != nil {
		return nil, err
	}
	g.chain = []*x509.Certificate{intermediate}
	if g.signer, err = readGenerationKey(f, intermediate, m.Key); err != nil {
		return nil, err
	}
	if err := verifyGeneration(f, g, m.Hosts); err != nil {
		return nil, err
	}
	if err := g.checkTime(now); err != nil {
		return nil, err
	}
	return g, nil
}

func notThere(dir string) error {
	return &Error{Path: dir, Problem: "holds no certificate authority", Hint: hintRegenerate, Err: fs.ErrNotExist}
}

func corrupt(path, problem string) error {
	return &Error{Path: path, Problem: problem, Hint: "restore it from a backup, or " + hintRegenerate}
}

// readError adds the way out to a failure of reading path.
func readError(path string, err error) error {
	if _, ok := errors.AsType[*Error](err); ok {
		return err
	}
	return &Error{Path: path, Problem: err.Error(), Hint: hintRegenerate, Err: err}
}

func readManifest(f *folder) (*manifest, error) {
	path := f.name(manifestName)
	b, err := f.read(manifestName)
	if err != nil {
		return nil, readError(path, err)
	}
	var m manifest
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, corrupt(path, "is damaged: "+err.Error())
	}
	if m.Version != manifestVersion {
		return nil, &Error{Path: path, Problem: fmt.Sprintf("has version %d, this program knows %d", m.Version, manifestVersion), Hint: "update detour, or " + hintRegenerate}
	}
	return &m, nil
}

// readCertificate reads the one certificate in a PEM file and compares it with the manifest's fingerprint.
func readCertificate(f *folder, name, fingerprint string) (*x509.Certificate, error) {
	path := f.name(name)
	b, err := f.read(name)
	if err != nil {
		return nil, readError(path, err)
	}
	block, rest := pem.Decode(b)
	if block == nil || block.Type != "CERTIFICATE" || len(bytes.TrimSpace(rest)) > 0 {
		return nil, corrupt(path, "is damaged: it is not one PEM certificate")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, corrupt(path, "is damaged: "+err.Error())
	}
	if hexSHA256(cert.Raw) != fingerprint {
		return nil, corrupt(path, "does not belong to this generation (its fingerprint is not the one in "+manifestName+")")
	}
	return cert, nil
}

// readGenerationKey reads the intermediate's key. Its errors name the file and never quote it.
func readGenerationKey(f *folder, cert *x509.Certificate, spki string) (crypto.Signer, error) {
	path := f.name(keyName)
	b, err := f.readKey(keyName)
	if err != nil {
		return nil, readError(path, err)
	}
	signer, err := parseKey(path, b, nil)
	if err != nil {
		return nil, err
	}
	if !matches(cert, signer) || spkiSHA256(cert) != spki {
		return nil, corrupt(path, "does not belong to "+intermediateName)
	}
	return signer, nil
}

// verifyGeneration checks what the promises of this package rest on: the chain, and the constraints in both
// certificates.
func verifyGeneration(f *folder, g *generation, hosts []string) error {
	for _, name := range []string{rootName, intermediateName} {
		c := g.root
		if name == intermediateName {
			c = g.issuing()
		}
		switch {
		case !c.IsCA || c.KeyUsage&x509.KeyUsageCertSign == 0:
			return corrupt(f.name(name), "is not a CA certificate")
		case !constrained(c) || !excludesAddresses(c):
			return corrupt(f.name(name), "lacks the name constraints that limit what it may sign")
		case !slices.Equal(c.PermittedDNSDomains, hosts):
			return corrupt(f.name(name), "permits other hosts than "+manifestName+" says")
		}
	}
	if err := verifyPath(g); err != nil {
		return corrupt(f.name(intermediateName), "is not signed by "+rootName+": "+err.Error())
	}
	return nil
}

// verifyPath checks the signatures and basic constraints from the signing certificate to the root, not the dates.
func verifyPath(g *generation) error {
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(g.root)
	for _, c := range g.chain[min(1, len(g.chain)):] {
		between.AddCert(c)
	}
	_, err := g.issuing().Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, CurrentTime: g.validFrom(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	return err
}

// matches reports whether signer holds the private key of cert.
func matches(cert *x509.Certificate, signer crypto.Signer) bool {
	pub, ok := signer.Public().(interface{ Equal(crypto.PublicKey) bool })
	return ok && pub.Equal(cert.PublicKey)
}

func encodeCertificate(cert *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
}

func hexSHA256(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}

// spkiSHA256 is the public key pin of RFC 7469 section 2.4.
func spkiSHA256(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	return base64.StdEncoding.EncodeToString(sum[:])
}
