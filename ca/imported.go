package ca

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
)

// Imported names the files of an intermediate CA that someone else issued, such as a company's.
type Imported struct {
	Cert string // PEM certificate that signs leafs; certificates after the first count as part of Chain
	Key  string // its private key, PEM: PKCS#8, SEC 1 or PKCS#1; mode 0600
	// Chain is a PEM file with the issuers of Cert up to and including the self-signed root, in any order. It may be
	// empty if Cert has them, or is self-signed itself.
	Chain string
	// PassphraseEnv names the environment variable that holds the passphrase of an encrypted Key; empty: none.
	PassphraseEnv string
}

// importedRootPrefix begins the name of the file that RootPath gives for an imported authority.
const importedRootPrefix = "imported-root-"

// loadImported reads and verifies what o.Imported names, and puts a copy of its root into o.Dir, because trust
// settings need a file with the root alone.
func loadImported(o Options) (*generation, error) {
	im := o.Imported
	certs, err := readCertificates(im.Cert)
	if err != nil {
		return nil, err
	}
	issuers := certs[1:]
	if im.Chain != "" {
		more, err := readCertificates(im.Chain)
		if err != nil {
			return nil, err
		}
		issuers = append(issuers, more...)
	}
	g := &generation{rootPath: im.Cert, imported: true}
	if len(o.Hosts) > 0 {
		g.within, err = constraintHosts(o.Hosts)
	}
	if err != nil {
		return nil, &Error{Path: im.Cert, Problem: "cannot be checked against the intercepted hosts: " + err.Error(), Hint: "correct the list of intercepted hosts", Err: err}
	}
	if err := g.arrange(im.Cert, certs[0], issuers); err != nil {
		return nil, err
	}
	if err := g.checkImported(im.Cert, o); err != nil {
		return nil, err
	}
	if err := g.readImportedKey(im); err != nil {
		return nil, err
	}

	f, err := makeFolder(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("open ca folder: %w", err)
	}
	defer f.close()
	name := importedRootPrefix + hexSHA256(g.root.Raw)[:12] + ".crt"
	if err := f.put(name, encodeCertificate(g.root), publicMode); err != nil {
		return nil, fmt.Errorf("write imported root: %w", err)
	}
	g.rootPath = f.name(name)
	return g, nil
}

// arrange orders the path from the signing certificate to the root, following issuer names and signatures.
func (g *generation) arrange(path string, cert *x509.Certificate, issuers []*x509.Certificate) error {
	for !selfSigned(cert) {
		g.chain = append(g.chain, cert)
		i := slices.IndexFunc(issuers, func(c *x509.Certificate) bool { return cert.CheckSignatureFrom(c) == nil })
		if i < 0 || len(g.chain) > 8 {
			return &Error{Path: path, Problem: fmt.Sprintf("has no chain to a root: the issuer %q of %q is missing", cert.Issuer, cert.Subject), Hint: "put the issuers, root included, into the chain file"}
		}
		cert = issuers[i]
	}
	g.root = cert
	return nil
}

func selfSigned(cert *x509.Certificate) bool {
	return string(cert.RawIssuer) == string(cert.RawSubject) && cert.CheckSignatureFrom(cert) == nil
}

// checkImported refuses certificates from which clients would not accept a leaf.
func (g *generation) checkImported(path string, o Options) error {
	for _, c := range g.path() {
		bad := func(problem string) error {
			return &Error{Path: path, Problem: fmt.Sprintf("cannot be used, %q %s", c.Subject, problem), Hint: "import an intermediate CA certificate with its complete chain"}
		}
		switch {
		case !c.BasicConstraintsValid || !c.IsCA:
			return bad("is not a CA certificate")
		case c.KeyUsage&x509.KeyUsageCertSign == 0:
			return bad("may not sign certificates (no keyCertSign)")
		case len(c.UnhandledCriticalExtensions) > 0:
			return bad("has a critical extension that is not understood: " + c.UnhandledCriticalExtensions[0].String())
		}
	}
	if err := g.checkTime(o.now()()); err != nil {
		return err
	}
	if err := verifyPath(g); err != nil {
		return &Error{Path: path, Problem: "does not verify up to its root: " + err.Error(), Hint: "check the chain file", Err: err}
	}
	if len(g.within) > 0 && !slices.ContainsFunc(g.within, g.covers) {
		return &Error{Path: path, Problem: "permits none of the intercepted hosts", Hint: "have it issued for: " + strings.Join(g.within, ", ")}
	}
	return nil
}

// readImportedKey reads the key that belongs to the signing certificate.
func (g *generation) readImportedKey(im *Imported) error {
	fi, err := os.Lstat(im.Key)
	if err != nil {
		return &Error{Path: im.Key, Problem: err.Error(), Hint: "correct the path of the imported key", Err: err}
	}
	if err := checkKeyFile(im.Key, fi); err != nil {
		return err
	}
	b, err := readPlain(im.Key)
	if err != nil {
		return err
	}
	var passphrase []byte
	if im.PassphraseEnv != "" {
		passphrase = []byte(os.Getenv(im.PassphraseEnv))
	}
	if g.signer, err = parseKey(im.Key, b, passphrase); err != nil {
		return err
	}
	if !matches(g.issuing(), g.signer) {
		return &Error{Path: im.Key, Problem: "is not the key of " + im.Cert, Hint: "give the key that belongs to that certificate"}
	}
	return nil
}

// readCertificates reads all certificates of a PEM file, at least one.
func readCertificates(path string) ([]*x509.Certificate, error) {
	b, err := readPlain(path)
	if err != nil {
		return nil, err
	}
	var certs []*x509.Certificate
	for block, rest := pem.Decode(b); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, &Error{Path: path, Problem: "holds a damaged certificate: " + err.Error(), Hint: "import it again", Err: err}
		}
		certs = append(certs, cert)
	}
	if len(certs) == 0 {
		return nil, &Error{Path: path, Problem: "holds no PEM certificate", Hint: "convert it: openssl x509 -inform der -in " + quote(path)}
	}
	return certs, nil
}

// readPlain reads a small regular file outside the authority's folder. Links are followed: certificates are often
// mounted through them.
func readPlain(path string) ([]byte, error) {
	b, err := readRegular(path, func() (fs.FileInfo, error) { return os.Stat(path) }, func() (*os.File, error) { return os.Open(path) })
	if err == nil {
		return b, nil
	}
	if e, ok := errors.AsType[*Error](err); ok {
		e.Hint = "correct the path of the imported file"
		return nil, e
	}
	return nil, &Error{Path: path, Problem: err.Error(), Hint: "correct the path of the imported file", Err: err}
}
