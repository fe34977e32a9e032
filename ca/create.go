package ca

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"strings"
	"time"

	"github.com/smallstep/certificates/cas/apiv1"
	"github.com/smallstep/certificates/cas/softcas"
)

const (
	rootYears = 3
	backdate  = 24 * time.Hour // clients whose clock is behind must accept a certificate that was made just now

	// marker is the organisation in the subject of every root and intermediate of ours, and so in the issuer of
	// every leaf. Bundles recognise copies of earlier roots by it.
	marker = "detour local proxy CA"
)

// minted is a new generation before it is written.
type minted struct {
	root, intermediate *x509.Certificate
	keyPEM             []byte // of the intermediate
	manifest           []byte
}

// mint makes a root and an intermediate for hosts, which must be canonical and sorted. The root's key never leaves
// this function and is unreachable when it returns.
func mint(hosts []string, now time.Time) (*minted, error) {
	cas, err := softcas.New(context.Background(), apiv1.Options{IsCreator: true})
	if err != nil {
		return nil, fmt.Errorf("open certificate creator: %w", err)
	}
	label := generationLabel(now)
	notBefore := now.Add(-backdate).UTC().Truncate(time.Second)
	notAfter := now.AddDate(rootYears, 0, 0).UTC().Truncate(time.Second)

	root, err := createCA(cas, apiv1.RootCA, nil, caTemplate("detour CA "+label, hosts, 1, notBefore, notAfter))
	if err != nil {
		return nil, fmt.Errorf("create root: %w", err)
	}
	template := caTemplate("detour intermediate "+label, hosts, 0, notBefore, notAfter.AddDate(0, 0, -1))
	// Constraints on DNS names do not bind code or mail signing; the key purpose does.
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	intermediate, err := createCA(cas, apiv1.IntermediateCA, root, template)
	if err != nil {
		return nil, fmt.Errorf("create intermediate: %w", err)
	}

	key, err := x509.MarshalPKCS8PrivateKey(intermediate.PrivateKey)
	if err != nil {
		return nil, fmt.Errorf("encode key: %w", err)
	}
	m, err := json.MarshalIndent(manifest{
		Version: manifestVersion, Created: now.UTC(), Hosts: hosts,
		Root: hexSHA256(root.Certificate.Raw), Intermediate: hexSHA256(intermediate.Certificate.Raw), Key: spkiSHA256(intermediate.Certificate),
	}, "", "\t")
	if err != nil {
		return nil, fmt.Errorf("encode manifest: %w", err)
	}
	return &minted{
		root: root.Certificate, intermediate: intermediate.Certificate,
		keyPEM:   pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}),
		manifest: append(m, '\n'),
	}, nil
}

func createCA(cas apiv1.CertificateAuthorityCreator, kind apiv1.CertificateAuthorityType, parent *apiv1.CreateCertificateAuthorityResponse, template *x509.Certificate) (*apiv1.CreateCertificateAuthorityResponse, error) {
	var err error
	if template.SerialNumber, err = newSerial(); err != nil {
		return nil, err
	}
	return cas.CreateCertificateAuthority(&apiv1.CreateCertificateAuthorityRequest{
		Type: kind, Template: template, Lifetime: template.NotAfter.Sub(template.NotBefore), Parent: parent,
	})
}

func caTemplate(name string, hosts []string, pathLen int, notBefore, notAfter time.Time) *x509.Certificate {
	return &x509.Certificate{
		Subject:                     pkix.Name{Organization: []string{marker}, CommonName: name},
		NotBefore:                   notBefore,
		NotAfter:                    notAfter,
		BasicConstraintsValid:       true,
		IsCA:                        true,
		MaxPathLen:                  pathLen,
		MaxPathLenZero:              pathLen == 0,
		KeyUsage:                    x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		PermittedDNSDomainsCritical: true,
		PermittedDNSDomains:         hosts,
		ExcludedIPRanges:            allAddresses(),
	}
}

// newSerial returns 128 random bits with the highest set, so that it is positive and of one length (RFC 5280 section
// 4.1.2.2 allows 20 octets).
func newSerial() (*big.Int, error) {
	b := make([]byte, 16)
	if _, err := rand.Read(b); err != nil {
		return nil, fmt.Errorf("read random serial: %w", err)
	}
	b[0] |= 0x80
	return new(big.Int).SetBytes(b), nil
}

// generationLabel tells the owner's machines and generations apart in a trust store's list. A common name holds at
// most 64 characters (RFC 5280 appendix A.1), so the host part is cut.
func generationLabel(now time.Time) string {
	host, err := os.Hostname()
	if err != nil {
		host = ""
	}
	host, _, _ = strings.Cut(host, ".")
	host = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' {
			return r
		}
		return -1
	}, host)
	host = host[:min(len(host), 22)]
	if host == "" {
		host = "localhost"
	}
	return host + " " + now.UTC().Format(time.DateOnly) + " " + strings.ToLower(rand.Text()[:8])
}

// writeGeneration puts a new generation for hosts into f, over whatever is there. The caller holds the exclusive
// lock. A crash leaves the old generation, or one that does not match its manifest and is refused.
func writeGeneration(f *folder, hosts []string, now time.Time) error {
	hosts, err := constraintHosts(hosts)
	if err != nil {
		return &Error{Path: f.path, Problem: "cannot make a certificate authority: " + err.Error(), Hint: "correct the list of intercepted hosts", Err: err}
	}
	if err := f.sweep(); err != nil {
		return err
	}
	g, err := mint(hosts, now)
	if err != nil {
		return err
	}
	var staged []stagedFile
	for _, file := range []struct {
		name string
		data []byte
		mode fs.FileMode
	}{
		{keyName, g.keyPEM, keyMode},
		{intermediateName, encodeCertificate(g.intermediate), publicMode},
		{rootName, encodeCertificate(g.root), publicMode},
		{manifestName, g.manifest, publicMode},
	} {
		s, err := f.stage(file.name, file.data, file.mode)
		if err != nil {
			return errors.Join(err, f.sweep())
		}
		staged = append(staged, stagedFile{s, file.name})
	}
	if err := f.commit(staged); err != nil {
		return errors.Join(err, f.sweep())
	}
	return nil
}

// keepOldRoot copies the current root aside, so that it can still be taken out of trust stores. A damaged one has
// nothing to keep.
func keepOldRoot(f *folder) error {
	b, err := f.read(rootName)
	if err != nil {
		return nil // regenerate is the way out of exactly this
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return nil
	}
	old, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil // as above
	}
	return f.put("ca-"+hexSHA256(old.Raw)[:12]+oldRootSuffix, encodeCertificate(old), publicMode)
}
