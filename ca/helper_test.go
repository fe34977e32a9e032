package ca_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"detour/ca"
)

// hosts is what the test authorities permit.
var hosts = []string{"api.openai.test", "api.anthropic.test", "detour.test"}

// open makes an authority in a fresh folder.
func open(t testing.TB, o ca.Options) *ca.Authority {
	t.Helper()
	if o.Dir == "" {
		o.Dir = filepath.Join(t.TempDir(), "ca")
	}
	if o.Hosts == nil {
		o.Hosts = hosts
	}
	a, err := ca.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func certificate(t testing.TB, a *ca.Authority, host string) *tls.Certificate {
	t.Helper()
	c, err := a.Certificate(host)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// forge signs a leaf for the given names with the key of a's intermediate, past all checks of the package, as
// someone would who had stolen it.
func forge(t testing.TB, a *ca.Authority, template x509.Certificate) *tls.Certificate {
	t.Helper()
	chain := certificate(t, a, hosts[0]).Certificate[1:]
	issuer := parse(t, chain[0])
	key := newKey(t)
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	der, err := x509.CreateCertificate(rand.Reader, &template, issuer, key.Public(), ca.Signer(a))
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: append([][]byte{der}, chain...), PrivateKey: key, Leaf: parse(t, der)}
}

// companyCA is a CA of someone else, for imports and for bundles.
type companyCA struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// newCompanyCA makes a root, or with parent an intermediate; edit may change the template.
func newCompanyCA(t testing.TB, name string, parent *companyCA, edit func(*x509.Certificate)) *companyCA {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
		BasicConstraintsValid: true, IsCA: true, KeyUsage: x509.KeyUsageCertSign,
	}
	if edit != nil {
		edit(template)
	}
	c := &companyCA{key: newKey(t)}
	signer, issuer := c.key, template
	if parent != nil {
		signer, issuer = parent.key, parent.cert
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, c.key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	c.cert = parse(t, der)
	return c
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func parse(t testing.TB, der []byte) *x509.Certificate {
	t.Helper()
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func pemOf(certs ...*x509.Certificate) []byte {
	var out []byte
	for _, c := range certs {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return out
}

func keyPEM(t testing.TB, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func write(t testing.TB, path string, data []byte, mode os.FileMode) string {
	t.Helper()
	if err := os.WriteFile(path, data, mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func pool(certs ...*x509.Certificate) *x509.CertPool {
	p := x509.NewCertPool()
	for _, c := range certs {
		p.AddCert(c)
	}
	return p
}

func sha(b []byte) []byte {
	sum := sha256.Sum256(b)
	return sum[:]
}

func chmod(t testing.TB, path string, mode os.FileMode) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("no POSIX modes here")
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// chown gives path to a user that nobody is; only root can do that.
func chown(t testing.TB, path string) {
	t.Helper()
	if err := os.Lchown(path, 4242, -1); err != nil {
		t.Skipf("cannot give a file away here: %v", err)
	}
}

// snapshot lists every file in dir with its mode and content.
func snapshot(t testing.TB, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		line := fmt.Sprintf("%s %v", path, fi.Mode())
		if fi.Mode().IsRegular() {
			line += fmt.Sprintf(" %x", sha(read(t, path)))
		}
		out = append(out, line)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// need returns the path of a program that is not part of Go, or skips the test.
func need(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("needs the program %s, which is not installed here", name)
	}
	return path
}

// run runs a program that must succeed and returns what it wrote.
func run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}
