package ca_test

import (
	"bytes"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"detour/ca"
)

// company is a chain root → policy → issuing as a company has, in files.
type company struct {
	dir                   string
	root, policy, issuing *companyCA
	files                 ca.Imported
}

// newCompany makes the chain; edit changes the template of the issuing certificate.
func newCompany(t *testing.T, edit func(*x509.Certificate)) *company {
	t.Helper()
	c := &company{dir: t.TempDir(), root: newCompanyCA(t, "company root", nil, nil)}
	c.policy = newCompanyCA(t, "company policy", c.root, nil)
	c.issuing = newCompanyCA(t, "company issuing", c.policy, func(template *x509.Certificate) {
		template.MaxPathLenZero = true
		template.PermittedDNSDomains, template.PermittedDNSDomainsCritical = []string{"openai.test", ".corp.test"}, true
		if edit != nil {
			edit(template)
		}
	})
	c.files = ca.Imported{
		Cert:  write(t, filepath.Join(c.dir, "issuing.crt"), pemOf(c.issuing.cert), 0o644),
		Key:   write(t, filepath.Join(c.dir, "issuing.key"), keyPEM(t, c.issuing.key), 0o600),
		Chain: write(t, filepath.Join(c.dir, "chain.crt"), pemOf(c.root.cert, c.policy.cert), 0o644), // not in order
	}
	return c
}

func (c *company) options() ca.Options {
	return ca.Options{Dir: filepath.Join(c.dir, "ca"), Hosts: hosts, Imported: &c.files}
}

func TestImported(t *testing.T) {
	t.Parallel()
	c := newCompany(t, nil)
	a := open(t, c.options())
	leaf := certificate(t, a, hosts[0])
	if err := verify(a, leaf, hosts[0], time.Now()); err != nil {
		t.Error(err)
	}
	if len(leaf.Certificate) != 3 || !bytes.Equal(leaf.Certificate[1], c.issuing.cert.Raw) || !bytes.Equal(leaf.Certificate[2], c.policy.cert.Raw) {
		t.Errorf("the chain sent has %d certificates, want leaf, issuing and policy", len(leaf.Certificate))
	}
	if !a.Root().Equal(c.root.cert) || !bytes.Equal(read(t, a.RootPath()), pemOf(c.root.cert)) {
		t.Error("root or RootPath is not the company's root alone")
	}
	for host, want := range map[string]bool{"api.openai.test": true, "chat.openai.test": true, "api.anthropic.test": false, "x.corp.test": true, "corp.test": false} {
		if got := a.Covers(host); got != want {
			t.Errorf("Covers(%s) = %v", host, got)
		}
	}
	if _, err := a.Certificate("api.anthropic.test"); err == nil {
		t.Error("a host outside the company's constraints was minted")
	}
	info := a.Info()
	if !info.Imported || !info.Constrained || info.TrustedBySystem {
		t.Errorf("info %+v", info)
	}
	ca.SetPlatform(a, []string{write(t, filepath.Join(c.dir, "platform.pem"), pemOf(c.root.cert), 0o644)}, nil)
	if !a.Info().TrustedBySystem {
		t.Error("the company's root in the system is not seen")
	}
	if _, err := os.Stat(filepath.Join(c.dir, "ca", "intermediate.key")); err == nil {
		t.Error("a CA of our own was made beside the imported one")
	}
	if _, err := ca.Regenerate(c.options()); err == nil {
		t.Error("an imported CA was regenerated")
	}
	if again, err := ca.Load(c.options()); err != nil || again.Generation() != a.Generation() {
		t.Errorf("Load: %v", err)
	}
}

// TestImportedWithoutConstraints: the configuration then limits what is minted.
func TestImportedWithoutConstraints(t *testing.T) {
	t.Parallel()
	c := newCompany(t, func(template *x509.Certificate) { template.PermittedDNSDomains = nil })
	a := open(t, c.options())
	if a.Info().Constrained {
		t.Error("counts as constrained")
	}
	if !a.Covers(hosts[0]) || !a.Covers("x."+hosts[0]) || a.Covers("example.com") {
		t.Error("does not stay within the configured hosts")
	}
	if _, err := a.Certificate("example.com"); err == nil {
		t.Error("minted for a host that is not configured")
	}
}

func TestImportedKeyFormats(t *testing.T) {
	openssl := need(t, "openssl")
	t.Setenv("CA_TEST_PASSPHRASE", "hunter2-marker")
	t.Setenv("CA_TEST_WRONG", "wrong-marker")
	c := newCompany(t, nil)
	plain := c.files.Key
	out := func(name string, args ...string) string {
		path := filepath.Join(c.dir, name)
		run(t, openssl, append(args, "-in", plain, "-out", path)...)
		chmod(t, path, 0o600)
		return path
	}
	sec1 := out("sec1.key", "ec")
	encrypted := out("encrypted.key", "pkcs8", "-topk8", "-v2", "aes-256-cbc", "-passout", "pass:hunter2-marker")
	legacy := out("legacy.key", "ec", "-aes128", "-passout", "pass:hunter2-marker")
	for _, tc := range []struct{ name, key, env, want string }{
		{"PKCS8", plain, "", ""},
		{"SEC1", sec1, "", ""},
		{"PKCS8 with an unused passphrase", plain, "CA_TEST_PASSPHRASE", ""},
		{"encrypted", encrypted, "CA_TEST_PASSPHRASE", ""},
		{"legacy encrypted", legacy, "CA_TEST_PASSPHRASE", ""},
		{"encrypted, no passphrase", encrypted, "", "is encrypted"},
		{"encrypted, variable unset", encrypted, "CA_TEST_UNSET", "is encrypted"},
		{"encrypted, wrong passphrase", encrypted, "CA_TEST_WRONG", "cannot be decrypted"},
		{"legacy, wrong passphrase", legacy, "CA_TEST_WRONG", "cannot be decrypted"},
	} {
		c.files.Key, c.files.PassphraseEnv = tc.key, tc.env
		a, err := ca.Open(c.options())
		if tc.want == "" {
			if err != nil {
				t.Errorf("%s: %v", tc.name, err)
				continue
			}
			certificate(t, a, hosts[0])
			continue
		}
		if e, ok := errors.AsType[*ca.Error](err); !ok || !strings.Contains(e.Problem, tc.want) || e.Path != tc.key {
			t.Errorf("%s: got %v, want an *Error that says %q", tc.name, err, tc.want)
		}
		if err != nil && strings.Contains(err.Error(), "marker") {
			t.Errorf("%s: the error shows a passphrase: %v", tc.name, err)
		}
	}
}

func TestImportedIsValidated(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		edit   func(*x509.Certificate)
		change func(t *testing.T, c *company)
		want   string
	}{
		{"not a CA", func(c *x509.Certificate) { c.IsCA, c.MaxPathLenZero = false, false; c.PermittedDNSDomains = nil }, nil, "is not a CA"},
		{"no keyCertSign", func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageDigitalSignature }, nil, "may not sign"},
		{"expired", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }, nil, "expired"},
		{"not yet valid", func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour) }, nil, "not valid before"},
		{"other purpose", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning} }, nil, "does not verify"},
		{"covers no host", func(c *x509.Certificate) { c.PermittedDNSDomains = []string{"corp.example"} }, nil, "permits none of the intercepted hosts"},
		{"all excluded", func(c *x509.Certificate) { c.ExcludedDNSDomains = []string{"test"} }, nil, "permits none of the intercepted hosts"},
		{"no chain", nil, func(_ *testing.T, c *company) { c.files.Chain = "" }, "no chain to a root"},
		{"chain without root", nil, func(t *testing.T, c *company) { write(t, c.files.Chain, pemOf(c.policy.cert), 0o644) }, "no chain to a root"},
		{"chain of someone else", nil, func(t *testing.T, c *company) {
			write(t, c.files.Chain, pemOf(newCompanyCA(t, "company policy", nil, nil).cert), 0o644)
		}, "no chain to a root"},
		{"empty certificate file", nil, func(t *testing.T, c *company) { write(t, c.files.Cert, nil, 0o644) }, "no PEM certificate"},
		{"damaged certificate", nil, func(t *testing.T, c *company) {
			write(t, c.files.Cert, []byte("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"), 0o644)
		}, "damaged certificate"},
		{"certificate missing", nil, func(_ *testing.T, c *company) { c.files.Cert += ".none" }, "no such file"},
		{"key missing", nil, func(_ *testing.T, c *company) { c.files.Key += ".none" }, "no such file"},
		{"other key", nil, func(t *testing.T, c *company) { write(t, c.files.Key, keyPEM(t, newKey(t)), 0o600) }, "is not the key of"},
		{"readable key", nil, func(t *testing.T, c *company) { chmod(t, c.files.Key, 0o640) }, "mode 0640"},
		{"linked key", nil, func(t *testing.T, c *company) {
			if err := os.Symlink(c.files.Key, c.files.Key+".link"); err != nil {
				t.Skip(err)
			}
			c.files.Key += ".link"
		}, "symbolic link"},
		{"foreign key", nil, func(t *testing.T, c *company) { chown(t, c.files.Key) }, "belongs to user 4242"},
		{"key is a folder", nil, func(_ *testing.T, c *company) { c.files.Key = c.dir }, "not a regular file"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c := newCompany(t, tc.edit)
			if tc.change != nil {
				tc.change(t, c)
			}
			_, err := ca.Open(c.options())
			if e, ok := errors.AsType[*ca.Error](err); !ok || !strings.Contains(e.Problem, tc.want) || e.Hint == "" {
				t.Errorf("got %v, want an *Error that says %q and a hint", err, tc.want)
			}
		})
	}
}

func TestImportedSelfSigned(t *testing.T) {
	t.Parallel()
	c := newCompany(t, nil)
	c.files.Cert = write(t, filepath.Join(c.dir, "self.crt"), pemOf(c.root.cert), 0o644)
	c.files.Key = write(t, filepath.Join(c.dir, "self.key"), keyPEM(t, c.root.key), 0o600)
	c.files.Chain = ""
	a := open(t, c.options())
	leaf := certificate(t, a, hosts[0])
	if err := verify(a, leaf, hosts[0], time.Now()); err != nil || len(leaf.Certificate) != 1 {
		t.Errorf("chain of %d, %v; want the leaf alone", len(leaf.Certificate), err)
	}
}
