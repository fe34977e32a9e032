package ca_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"detour/ca"
)

// verify checks c for host as a client with only the root would.
func verify(a *ca.Authority, c *tls.Certificate, host string, now time.Time) error {
	between := x509.NewCertPool()
	for _, der := range c.Certificate[1:] {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return err
		}
		between.AddCert(cert)
	}
	roots := x509.NewCertPool()
	roots.AddCert(a.Root())
	_, err := c.Leaf.Verify(x509.VerifyOptions{DNSName: host, Roots: roots, Intermediates: between, CurrentTime: now})
	return err
}

func TestLeaf(t *testing.T) {
	t.Parallel()
	a := open(t, ca.Options{})
	for _, host := range []string{"api.openai.test", "eu.api.openai.test", "detour.test", strings.Repeat("a", 63) + ".detour.test"} {
		c := certificate(t, a, host)
		l := c.Leaf
		if err := verify(a, c, host, time.Now()); err != nil {
			t.Errorf("%s: %v", host, err)
		}
		if len(c.Certificate) != 2 {
			t.Errorf("%s: the chain has %d certificates, want leaf and intermediate", host, len(c.Certificate))
		}
		if d := l.NotAfter.Sub(l.NotBefore); d > 7*24*time.Hour || d < 6*24*time.Hour {
			t.Errorf("%s: valid for %v", host, d)
		}
		if lead := time.Since(l.NotBefore); lead < time.Hour {
			t.Errorf("%s: backdated by only %v", host, lead)
		}
		if len(l.DNSNames) != 1 || l.DNSNames[0] != host || len(l.IPAddresses)+len(l.EmailAddresses)+len(l.URIs) != 0 || l.Subject.String() != "" {
			t.Errorf("%s: names %v %v %q", host, l.DNSNames, l.IPAddresses, l.Subject)
		}
		if n := l.SerialNumber.BitLen(); n != 128 || l.SerialNumber.Sign() <= 0 {
			t.Errorf("%s: serial has %d bits", host, n)
		}
		if key, ok := c.PrivateKey.(*ecdsa.PrivateKey); !ok || key.Curve != elliptic.P256() || !key.PublicKey.Equal(l.PublicKey) {
			t.Errorf("%s: key %T", host, c.PrivateKey)
		}
	}
	one, two := certificate(t, a, "api.openai.test"), certificate(t, a, "detour.test")
	if one.Leaf.PublicKey.(*ecdsa.PublicKey).Equal(two.Leaf.PublicKey) {
		t.Error("two hosts share a key")
	}
}

func TestHostIsCanonicalised(t *testing.T) {
	t.Parallel()
	a := open(t, ca.Options{Hosts: []string{"bücher.test"}})
	want := certificate(t, a, "xn--bcher-kva.test")
	for _, host := range []string{"xn--bcher-kva.test.", "XN--BCHER-KVA.Test", "bücher.test", "BÜCHER.test."} {
		if got := certificate(t, a, host); got != want {
			t.Errorf("%q gives another certificate, for %v", host, got.Leaf.DNSNames)
		}
	}
}

// TestUncoveredHostIsNeverMinted: not even the key is asked.
func TestUncoveredHostIsNeverMinted(t *testing.T) {
	t.Parallel()
	a := open(t, ca.Options{})
	issued := ca.IssueCount(a)
	for _, host := range []string{
		"example.com", "openai.test", "test", "xapi.openai.test", "api.openai.test.evil.example", "", ".", "127.0.0.1", "[::1]", "::1",
		"*.api.openai.test", ".api.openai.test", "api.openai.test:443", "api.openai.test\x00.example.com", "api..openai.test", "api.openai.test..",
	} {
		c, err := a.Certificate(host)
		if err == nil || c != nil {
			t.Errorf("%q: got a certificate", host)
		}
		if a.Covers(host) {
			t.Errorf("%q counts as covered", host)
		}
	}
	if n := issued.Count.Load(); n != 0 {
		t.Errorf("%d certificates were signed", n)
	}
	_, err := a.Certificate("example.com")
	if e, ok := errors.AsType[*ca.Error](err); !ok || !strings.Contains(e.Hint, "detour proxy ca regenerate") {
		t.Errorf("got %v, want an *Error that says how to permit the host", err)
	}
}

// TestStolenKeyCannotForge: crypto/x509 must refuse whatever the intermediate's key signs beyond the constraints.
func TestStolenKeyCannotForge(t *testing.T) {
	t.Parallel()
	a := open(t, ca.Options{})
	if err := verify(a, forge(t, a, x509.Certificate{DNSNames: []string{hosts[0]}}), hosts[0], time.Now()); err != nil {
		t.Fatalf("a permitted host does not verify: %v", err)
	}
	for name, tc := range map[string]struct {
		template x509.Certificate
		host     string
	}{
		"another site":       {x509.Certificate{DNSNames: []string{"example.com"}}, "example.com"},
		"parent of a host":   {x509.Certificate{DNSNames: []string{"openai.test"}}, "openai.test"},
		"mixed":              {x509.Certificate{DNSNames: []string{hosts[0], "example.com"}}, hosts[0]},
		"wildcard above":     {x509.Certificate{DNSNames: []string{"*.openai.test"}}, hosts[0]},
		"IPv4":               {x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}, "127.0.0.1"},
		"IPv6":               {x509.Certificate{IPAddresses: []net.IP{net.IPv6loopback}}, "::1"},
		"a CA of its own":    {x509.Certificate{DNSNames: []string{hosts[0]}, IsCA: true, BasicConstraintsValid: true}, ""},
		"permitted plus IPs": {x509.Certificate{DNSNames: []string{hosts[0]}, IPAddresses: []net.IP{net.IPv4(10, 0, 0, 1)}}, hosts[0]},
	} {
		c := forge(t, a, tc.template)
		if name == "a CA of its own" {
			key := newKey(t)
			sub := &x509.Certificate{SerialNumber: c.Leaf.SerialNumber, DNSNames: []string{hosts[0]}, NotBefore: c.Leaf.NotBefore, NotAfter: c.Leaf.NotAfter}
			der, err := x509.CreateCertificate(nil, sub, c.Leaf, key.Public(), c.PrivateKey)
			if err != nil {
				t.Fatal(err)
			}
			c = &tls.Certificate{Certificate: append([][]byte{der}, c.Certificate...), Leaf: parse(t, der)}
			tc.host = hosts[0]
		}
		if err := verify(a, c, tc.host, time.Now()); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestLeafRefresh follows one host through the life of the CA by the clock of the bubble.
func TestLeafRefresh(t *testing.T) {
	t.Parallel()
	dir := t.TempDir() + "/ca"
	synctest.Test(t, func(t *testing.T) {
		a := open(t, ca.Options{Dir: dir})
		first := certificate(t, a, hosts[0])
		life := first.Leaf.NotAfter.Sub(first.Leaf.NotBefore)
		refresh := first.Leaf.NotBefore.Add(life * 4 / 5)

		time.Sleep(time.Until(refresh) - time.Second)
		if certificate(t, a, hosts[0]) != first {
			t.Error("replaced before four fifths of its life")
		}
		time.Sleep(time.Second)
		second := certificate(t, a, hosts[0])
		if second == first {
			t.Error("not replaced after four fifths of its life")
		}
		if err := verify(a, second, hosts[0], time.Now()); err != nil {
			t.Error(err)
		}
		if certificate(t, a, hosts[0]) != second {
			t.Error("the new one is not kept")
		}

		end := a.Info().NotAfter
		time.Sleep(time.Until(end) - time.Hour)
		last := certificate(t, a, hosts[0])
		if !last.Leaf.NotAfter.Equal(end) {
			t.Errorf("leaf ends %v, the CA %v", last.Leaf.NotAfter, end)
		}
		if certificate(t, a, hosts[0]) != last {
			t.Error("the last leaf is replaced though another would not live longer")
		}
		time.Sleep(time.Hour + time.Second)
		_, err := a.Certificate(hosts[0])
		if e, ok := errors.AsType[*ca.Error](err); !ok || !strings.Contains(e.Problem, "expired") || !strings.Contains(e.Hint, "regenerate") {
			t.Errorf("after the CA's end: got %v, want an *Error with a hint", err)
		}
		if !a.Info().Expired {
			t.Error("Info does not say that it has expired")
		}
	})
}

func TestClockSetBackMakesAnotherLeaf(t *testing.T) {
	t.Parallel()
	now := time.Now()
	a := open(t, ca.Options{Now: func() time.Time { return now }})
	now = now.Add(72 * time.Hour)
	first := certificate(t, a, hosts[0])
	now = now.Add(-48 * time.Hour)
	if c := certificate(t, a, hosts[0]); c == first || verify(a, c, hosts[0], now) != nil {
		t.Error("a leaf of the future is served")
	}
}

func TestOneIssueForConcurrentMisses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir() + "/ca"
	synctest.Test(t, func(t *testing.T) {
		a := open(t, ca.Options{Dir: dir})
		issued := ca.IssueCount(a)
		issued.Gate = make(chan struct{})
		var wg sync.WaitGroup
		certs := make([]*tls.Certificate, 64)
		for i := range certs {
			wg.Go(func() { certs[i], _ = a.Certificate(hosts[i%2]) })
		}
		synctest.Wait() // every caller now waits for an issue
		close(issued.Gate)
		wg.Wait()
		if n := issued.Count.Load(); n != 2 {
			t.Errorf("%d issues for two hosts", n)
		}
		for i, c := range certs {
			if c == nil || c != certs[i%2] {
				t.Fatal("callers got different certificates")
			}
		}
	})
}

func TestCacheIsBoundedAndKeepsWhatIsUsed(t *testing.T) {
	t.Parallel()
	a := open(t, ca.Options{})
	issued := ca.IssueCount(a)
	used := certificate(t, a, hosts[0])
	certificate(t, a, "unused.detour.test")
	for i := range ca.LeafCacheSize {
		certificate(t, a, fmt.Sprintf("n%d.detour.test", i))
		if certificate(t, a, hosts[0]) != used {
			t.Fatal("a used leaf was dropped")
		}
	}
	before := issued.Count.Load()
	certificate(t, a, "unused.detour.test")
	if issued.Count.Load() != before+1 {
		t.Error("the least recently used leaf was kept: the cache is not bounded")
	}
}

func TestCacheHitDoesNotAllocate(t *testing.T) {
	a := open(t, ca.Options{})
	certificate(t, a, hosts[0])
	if n := testing.AllocsPerRun(1000, func() { _, _ = a.Certificate(hosts[0]) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestHandshakes(t *testing.T) {
	t.Parallel()
	a := open(t, ca.Options{})
	for name, tc := range map[string]struct {
		cert *tls.Certificate
		ok   bool
	}{
		"permitted": {certificate(t, a, hosts[0]), true},
		"forged":    {forge(t, a, x509.Certificate{DNSNames: []string{"example.com"}}), false},
	} {
		client, server := net.Pipe()
		done := make(chan error, 1)
		go func() {
			defer server.Close()
			done <- tls.Server(server, &tls.Config{Certificates: []tls.Certificate{*tc.cert}}).HandshakeContext(t.Context())
		}()
		conn := tls.Client(client, &tls.Config{RootCAs: pool(a.Root()), ServerName: tc.cert.Leaf.DNSNames[0]})
		err := conn.HandshakeContext(t.Context())
		client.Close()
		<-done
		if (err == nil) != tc.ok {
			t.Errorf("%s: handshake gave %v", name, err)
		}
	}
}

func BenchmarkCertificateCached(b *testing.B) {
	a := open(b, ca.Options{})
	certificate(b, a, hosts[0])
	b.ReportAllocs()
	for b.Loop() {
		if _, err := a.Certificate(hosts[0]); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCertificateMinted(b *testing.B) {
	a := open(b, ca.Options{})
	names := make([]string, 4*ca.LeafCacheSize) // each is gone from the cache when its turn comes again
	for i := range names {
		names[i] = fmt.Sprintf("n%d.detour.test", i)
	}
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		if _, err := a.Certificate(names[i%len(names)]); err != nil {
			b.Fatal(err)
		}
		i++
	}
}

func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir() + "/ca"
	open(b, ca.Options{Dir: dir})
	for b.Loop() {
		if _, err := ca.Load(ca.Options{Dir: dir}); err != nil {
			b.Fatal(err)
		}
	}
}

// FuzzWithin compares the reading of constraints with that of crypto/x509.
func FuzzWithin(f *testing.F) {
	for _, host := range []string{"api.openai.test", "x.api.openai.test", "openai.test", "xapi.openai.test", "a.b", "api.openai.test.evil"} {
		for _, constraint := range []string{"api.openai.test", ".openai.test", "openai.test", "test", ""} {
			f.Add(host, constraint)
		}
	}
	root := newCompanyCA(f, "root", nil, nil)
	f.Fuzz(func(t *testing.T, host, constraint string) {
		name, err := ca.CanonicalHost(host)
		if err != nil || name != host || len(constraint) > 253 {
			t.Skip()
		}
		if constraint != "" {
			if c, err := ca.CanonicalHost(strings.TrimPrefix(constraint, ".")); err != nil || c != strings.TrimPrefix(constraint, ".") {
				t.Skip()
			}
		}
		limited := newCompanyCA(t, "limited", root, func(c *x509.Certificate) {
			c.PermittedDNSDomains, c.PermittedDNSDomainsCritical = []string{constraint}, true
		})
		leaf := newCompanyCA(t, "leaf", limited, func(c *x509.Certificate) {
			c.IsCA, c.KeyUsage, c.DNSNames = false, x509.KeyUsageDigitalSignature, []string{host}
		})
		_, err = leaf.cert.Verify(x509.VerifyOptions{DNSName: host, Roots: pool(root.cert), Intermediates: pool(limited.cert)})
		if got := ca.Within(host, constraint); got != (err == nil) {
			t.Errorf("host %q, constraint %q: got %v, crypto/x509 says %v", host, constraint, got, err)
		}
	})
}

// FuzzCertificate: whatever name a client asks for, what comes back is for exactly that name and verifies.
func FuzzCertificate(f *testing.F) {
	for _, host := range []string{"api.openai.test", "API.openai.test.", "example.com", "a.detour.test", "ünï.detour.test", "127.0.0.1", "*.detour.test", "_x.detour.test", "xn--a.detour.test"} {
		f.Add(host)
	}
	a := open(f, ca.Options{})
	f.Fuzz(func(t *testing.T, host string) {
		c, err := a.Certificate(host)
		if (err == nil) != a.Covers(host) {
			t.Fatalf("%q: Covers says %v, Certificate %v", host, a.Covers(host), err)
		}
		if err != nil {
			return
		}
		if err := verify(a, c, c.Leaf.DNSNames[0], time.Now()); err != nil {
			t.Errorf("%q: %v", host, err)
		}
	})
}
