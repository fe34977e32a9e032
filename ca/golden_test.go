package ca_test

import (
	"crypto/x509"
	"encoding/asn1"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"detour/ca"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestExtensions pins what clients see in the three kinds of certificate. What differs between runs is masked.
func TestExtensions(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	a := open(t, ca.Options{Now: func() time.Time { return now }})
	c := certificate(t, a, hosts[0])
	for name, cert := range map[string]*x509.Certificate{"root": a.Root(), "intermediate": parse(t, c.Certificate[1]), "leaf": c.Leaf} {
		got := dump(t, cert)
		path := filepath.Join("testdata", name+".golden")
		if *update {
			if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if want := string(read(t, path)); got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
		}
	}
}

// dump lists the fields of a certificate and its raw extensions, in their order.
func dump(t *testing.T, c *x509.Certificate) string {
	t.Helper()
	var b strings.Builder
	name := regexp.MustCompile(`CN=(detour \w+) [A-Za-z0-9-]+ (\d{4}-\d\d-\d\d) [a-z0-9]{8}`)
	fmt.Fprintf(&b, "version: %d\nserial: %d bits\n", c.Version, c.SerialNumber.BitLen())
	fmt.Fprintf(&b, "issuer: %s\nsubject: %s\n", name.ReplaceAllString(c.Issuer.String(), "CN=$1 HOST $2 ID"), name.ReplaceAllString(c.Subject.String(), "CN=$1 HOST $2 ID"))
	fmt.Fprintf(&b, "valid: %s to %s\n", c.NotBefore.Format(time.RFC3339), c.NotAfter.Format(time.RFC3339))
	fmt.Fprintf(&b, "key: %s, signature: %s\n", c.PublicKeyAlgorithm, c.SignatureAlgorithm)
	for _, e := range c.Extensions {
		value := fmt.Sprintf("%x", e.Value)
		switch {
		case e.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 14}):
			value = fmt.Sprintf("subject key id, %d bytes", len(c.SubjectKeyId))
		case e.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 35}):
			value = fmt.Sprintf("authority key id, %d bytes", len(c.AuthorityKeyId))
		}
		fmt.Fprintf(&b, "extension %s critical=%v: %s\n", e.Id, e.Critical, value)
	}
	fmt.Fprintf(&b, "ca: %v, path length: %d (zero: %v)\nkey usage: %09b, purposes: %v\n", c.IsCA, c.MaxPathLen, c.MaxPathLenZero, c.KeyUsage, c.ExtKeyUsage)
	fmt.Fprintf(&b, "permitted: %v, excluded addresses: %v\nnames: %v\n", c.PermittedDNSDomains, c.ExcludedIPRanges, c.DNSNames)
	return b.String()
}
