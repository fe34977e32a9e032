package ca_test

import (
	"bytes"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"detour/ca"
)

// world is an authority with a platform of its own and files of the user beside it.
type world struct {
	dir      string
	a        *ca.Authority
	o        ca.Options
	now      time.Time
	platform *companyCA
	company  *companyCA
	file     string // holds the company's root
}

func newWorld(t *testing.T) *world {
	t.Helper()
	dir := t.TempDir()
	w := &world{dir: dir, now: time.Now(), platform: newCompanyCA(t, "platform root", nil, nil), company: newCompanyCA(t, "company root", nil, nil)}
	w.o = ca.Options{Dir: filepath.Join(dir, "ca"), Hosts: hosts, Now: func() time.Time { return w.now }}
	w.a = open(t, w.o)
	w.use(t, w.a)
	w.file = write(t, filepath.Join(dir, "company.pem"), pemOf(w.company.cert), 0o644)
	return w
}

// use gives a the platform of w.
func (w *world) use(t *testing.T, a *ca.Authority) {
	t.Helper()
	w.a = a
	ca.SetPlatform(a, []string{filepath.Join(w.dir, "none"), write(t, filepath.Join(w.dir, "platform.pem"), pemOf(w.platform.cert), 0o644)}, nil)
}

// subjects lists the common names in a bundle; our roots as "ours" or "old".
func (w *world) subjects(t *testing.T, path string) string {
	t.Helper()
	var names []string
	for _, der := range ca.ParseCertificates(read(t, path)) {
		switch c := parse(t, der); {
		case c.Equal(w.a.Root()):
			names = append(names, "ours")
		case strings.HasPrefix(c.Subject.CommonName, "detour"):
			names = append(names, "old")
		default:
			names = append(names, c.Subject.CommonName)
		}
	}
	return strings.Join(names, ", ")
}

func (w *world) bundle(t *testing.T, existing ...string) string {
	t.Helper()
	path, err := w.a.Bundle(existing...)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func (w *world) extra(t *testing.T, existing ...string) string {
	t.Helper()
	path, err := w.a.ExtraBundle(existing...)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func TestBundleMerges(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	missing := filepath.Join(w.dir, "missing.pem")
	second := write(t, filepath.Join(w.dir, "second.pem"), pemOf(w.company.cert, w.platform.cert), 0o644)
	for _, tc := range []struct {
		name     string
		existing []string
		bundle   string
		extra    string
	}{
		{"nothing", nil, "platform root, ours", "ours"},
		{"unset variable", []string{""}, "platform root, ours", "ours"},
		{"company file", []string{w.file}, "company root, ours", "company root, ours"},
		{"two files with a duplicate", []string{w.file, second}, "company root, platform root, ours", "company root, platform root, ours"},
		{"missing file", []string{missing}, "platform root, ours", "ours"},
		{"missing and company file", []string{missing, w.file}, "company root, ours", "company root, ours"},
		{"our root", []string{w.a.RootPath()}, "platform root, ours", "ours"},
		{"empty file trusts nothing else", []string{write(t, filepath.Join(w.dir, "empty.pem"), nil, 0o644)}, "ours", "ours"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if got := w.subjects(t, w.bundle(t, tc.existing...)); got != tc.bundle {
				t.Errorf("Bundle: got %s, want %s", got, tc.bundle)
			}
			if got := w.subjects(t, w.extra(t, tc.existing...)); got != tc.extra {
				t.Errorf("ExtraBundle: got %s, want %s", got, tc.extra)
			}
		})
	}
	if w.extra(t) != w.a.RootPath() {
		t.Error("ExtraBundle of nothing is not RootPath")
	}
}

func TestBundleReadsFolders(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dir := filepath.Join(w.dir, "certs")
	if err := os.MkdirAll(filepath.Join(dir, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "company.pem"), pemOf(w.company.cert), 0o644)
	write(t, filepath.Join(dir, "README"), []byte("no certificate"), 0o644)
	if runtime.GOOS != "windows" {
		for link, target := range map[string]string{"1a2b3c4d.0": "company.pem", "dangling.0": "gone.pem", "ours.0": w.a.RootPath()} {
			if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got, want := w.subjects(t, w.bundle(t, dir)), "company root, ours"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for i := range 257 {
		write(t, filepath.Join(dir, fmt.Sprintf("c%d.pem", i)), pemOf(w.company.cert), 0o644)
	}
	if _, err := w.a.Bundle(dir); err == nil || !strings.Contains(err.Error(), "more than 256") {
		t.Errorf("folder with more than 256 certificate files: got %v", err)
	}
}

func TestBundleNameIsItsContent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	path := w.bundle(t)
	if want := fmt.Sprintf("ca-bundle-%x.pem", sha(read(t, path))); filepath.Base(path) != want {
		t.Errorf("got %s, want %s", filepath.Base(path), want)
	}
	if filepath.Dir(path) != filepath.Join(w.o.Dir, "bundles") {
		t.Errorf("bundle is in %s", filepath.Dir(path))
	}
	if fi, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && fi.Mode().Perm() != 0o644 {
		t.Errorf("mode %v, %v", fi.Mode(), err)
	}
	if again := w.bundle(t); again != path {
		t.Error("the same input gave another name")
	}
	write(t, path, read(t, path)[:100], 0o644)
	if again := w.bundle(t); again != path || fmt.Sprintf("ca-bundle-%x.pem", sha(read(t, path))) != filepath.Base(path) {
		t.Error("a damaged bundle was not written anew")
	}
	write(t, filepath.Join(w.dir, "platform.pem"), pemOf(w.platform.cert, w.company.cert), 0o644)
	if next := w.bundle(t); next == path {
		t.Error("the bundle did not follow the platform")
	}
}

// TestNestedShellsDoNotPileUp: what an outer shell set is what the inner one finds as existing.
func TestNestedShellsDoNotPileUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	outer := w.bundle(t)
	if inner := w.bundle(t, outer); inner != outer {
		t.Errorf("inner shell got %s", w.subjects(t, inner))
	}
	relative := filepath.Join(w.o.Dir, "bundles", "..", "bundles", filepath.Base(outer))
	if inner := w.bundle(t, relative); inner != outer {
		t.Errorf("by another spelling of the path: %s", w.subjects(t, inner))
	}
	if runtime.GOOS != "windows" {
		link := filepath.Join(w.dir, "link")
		if err := os.Symlink(w.o.Dir, link); err != nil {
			t.Fatal(err)
		}
		if inner := w.bundle(t, filepath.Join(link, "bundles", filepath.Base(outer))); inner != outer {
			t.Errorf("through a link: %s", w.subjects(t, inner))
		}
	}
	if err := os.Remove(outer); err != nil {
		t.Fatal(err)
	}
	if inner := w.bundle(t, outer, w.file); w.subjects(t, inner) != "company root, ours" {
		t.Errorf("a collected bundle beside a file: %s", w.subjects(t, inner))
	}
}

// TestOldGenerationIsNotTrustedAgain covers every way by which the root before a regenerate could come back.
func TestOldGenerationIsNotTrustedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	old := w.a
	oldBundle := w.bundle(t)
	copied := write(t, filepath.Join(w.dir, "copy.pem"), append(pemOf(w.company.cert), read(t, oldBundle)...), 0o644)
	leaf := certificate(t, old, hosts[0])
	chain := write(t, filepath.Join(w.dir, "chain.pem"), pemOf(leaf.Leaf, parse(t, leaf.Certificate[1]), old.Root()), 0o644)
	a, err := ca.Regenerate(w.o)
	if err != nil {
		t.Fatal(err)
	}
	w.use(t, a)
	kept := filepath.Join(w.o.Dir, "ca-"+old.Info().SHA256Hex[:12]+".old.crt")
	for _, tc := range []struct {
		name, want string
		existing   []string
	}{
		{"plain", "platform root, ours", nil},
		{"old bundle", "platform root, ours", []string{oldBundle}},
		{"kept old root", "platform root, ours", []string{kept}},
		{"copy of the old bundle", "company root, platform root, ours", []string{copied}},
		{"leaf, intermediate and root", "ours", []string{chain}},
	} {
		if got := w.subjects(t, w.bundle(t, tc.existing...)); got != tc.want {
			t.Errorf("%s: got %s, want %s", tc.name, got, tc.want)
		}
	}
	ca.SetPlatform(a, []string{write(t, filepath.Join(w.dir, "platform.pem"), pemOf(old.Root(), w.platform.cert), 0o644)}, nil)
	if got := w.subjects(t, w.bundle(t)); got != "platform root, ours" {
		t.Errorf("old root installed in the system: got %s", got)
	}
}

func TestBundleRefusesWhatItCannotRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	big := write(t, filepath.Join(w.dir, "big.pem"), bytes.Repeat([]byte("x"), 4<<20+1), 0o644)
	for name, path := range map[string]string{"device": os.DevNull, "too large": big} {
		for call, f := range map[string]func(...string) (string, error){"Bundle": w.a.Bundle, "ExtraBundle": w.a.ExtraBundle} {
			_, err := f(w.file, path)
			if e, ok := errors.AsType[*ca.Error](err); !ok || e.Path != path || e.Hint == "" {
				t.Errorf("%s, %s: got %v, want an *Error about %s", call, name, err, path)
			}
		}
	}
}

func TestBundlesAreCollected(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bundles := filepath.Join(w.o.Dir, "bundles")
	count := func() int {
		entries, err := os.ReadDir(bundles)
		if err != nil {
			t.Fatal(err)
		}
		return len(entries) - 1 // the lock
	}
	first := w.bundle(t)
	for i := range 40 {
		w.bundle(t, write(t, filepath.Join(w.dir, fmt.Sprint(i)), pemOf(newCompanyCA(t, fmt.Sprint(i), nil, nil).cert), 0o644))
	}
	foreign := write(t, filepath.Join(bundles, "notes.txt"), []byte("not ours"), 0o644)
	if n := count(); n != 42 {
		t.Fatalf("%d files, young ones must stay", n)
	}
	w.now = w.now.Add(23 * time.Hour)
	w.bundle(t, w.file)
	if n := count(); n != 43 {
		t.Errorf("%d files: one younger than 24 hours is gone", n)
	}
	w.now = w.now.Add(2 * time.Hour)
	if w.bundle(t) != first { // returned again: young again
		t.Fatal("another name")
	}
	if n := count(); n > 36 || n < 30 {
		t.Errorf("%d files after a day, want about 32", n)
	}
	w.now = w.now.Add(29 * 24 * time.Hour)
	w.bundle(t, w.file)
	if _, err := os.Stat(first); err != nil {
		t.Errorf("a bundle that was returned 29 days ago is gone: %v", err)
	}
	w.now = w.now.Add(31 * 24 * time.Hour)
	current := w.bundle(t, w.file)
	for path, want := range map[string]bool{current: true, foreign: true, first: false} {
		if _, err := os.Stat(path); (err == nil) != want {
			t.Errorf("%s: %v", path, err)
		}
	}
	if n := count(); n != 2 {
		t.Errorf("%d files at the end, want the current bundle and what is not ours", n)
	}
}

func TestConcurrentBundles(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	paths := make([]string, 16)
	var wg sync.WaitGroup
	for i := range paths {
		wg.Go(func() { paths[i] = w.bundle(t) })
	}
	wg.Wait()
	for _, p := range paths {
		if p != paths[0] {
			t.Error("different paths")
		}
	}
	if got := w.subjects(t, paths[0]); got != "platform root, ours" {
		t.Errorf("got %s", got)
	}
}

// TestPlatformIgnoresTheEnvironment: SSL_CERT_FILE may well be ours.
func TestPlatformIgnoresTheEnvironment(t *testing.T) {
	a := open(t, ca.Options{})
	for _, name := range []string{"SSL_CERT_FILE", "NIX_SSL_CERT_FILE", "CURL_CA_BUNDLE"} {
		t.Setenv(name, a.RootPath())
	}
	t.Setenv("SSL_CERT_DIR", filepath.Dir(a.RootPath()))
	if a.Info().TrustedBySystem {
		t.Error("trusted by system, because a variable says so")
	}
	path, err := a.Bundle()
	if err != nil {
		t.Fatal(err)
	}
	if n := len(ca.ParseCertificates(read(t, path))); n < 50 {
		t.Errorf("the bundle has %d certificates, want the machine's roots and ours", n)
	}
}

func TestPlatformWithoutFiles(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dir := filepath.Join(w.dir, "dir")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "a.crt"), pemOf(w.company.cert), 0o644)
	ca.SetPlatform(w.a, []string{filepath.Join(w.dir, "none")}, []string{filepath.Join(w.dir, "none"), dir})
	if got := w.subjects(t, w.bundle(t)); got != "company root, ours" {
		t.Errorf("folders: got %s", got)
	}
	ca.SetPlatform(w.a, nil, nil)
	if n := len(ca.ParseCertificates(read(t, w.bundle(t)))); n < 100 {
		t.Errorf("the compiled-in list gave %d certificates", n)
	}
	if w.a.Info().TrustedBySystem {
		t.Error("the compiled-in list is not the system's trust")
	}
}

func TestBundleFolderOpenToOthersIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	chmod(t, filepath.Dir(w.bundle(t)), 0o777)
	if _, err := w.a.Bundle(); err == nil || !strings.Contains(err.Error(), "chmod 700 "+filepath.Join(w.o.Dir, "bundles")) {
		t.Errorf("got %v, want the chmod that helps", err)
	}
}

func TestParseCertificates(t *testing.T) {
	t.Parallel()
	cert := newCompanyCA(t, "root", nil, nil).cert
	block := func(kind string, der ...[]byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: bytes.Join(der, nil)}))
	}
	serverAuth, mail := asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 1}, asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 4}
	aux := func(trust, reject []asn1.ObjectIdentifier) []byte {
		b, err := asn1.Marshal(struct {
			Trust  []asn1.ObjectIdentifier `asn1:"optional,omitempty"`
			Reject []asn1.ObjectIdentifier `asn1:"optional,omitempty,tag:0"`
			Alias  string                  `asn1:"utf8"`
		}{trust, reject, "alias"})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	oids := func(o ...asn1.ObjectIdentifier) []asn1.ObjectIdentifier { return o }
	for name, tc := range map[string]struct {
		text string
		want int
	}{
		"plain":                  {block("CERTIFICATE", cert.Raw), 1},
		"CRLF and comments":      {"# a comment\r\n" + strings.ReplaceAll(block("CERTIFICATE", cert.Raw), "\n", "\r\n") + "trailing", 1},
		"key beside certificate": {string(keyPEM(t, newKey(t))) + block("CERTIFICATE", cert.Raw), 1},
		"revocation list":        {block("X509 CRL", cert.Raw), 0},
		"trailing bytes":         {block("CERTIFICATE", cert.Raw, []byte{0}), 0},
		"not DER":                {block("CERTIFICATE", []byte("hello")), 0},
		"a sequence of integers": {block("CERTIFICATE", []byte{0x30, 3, 2, 1, 5}), 0},
		"truncated":              {block("CERTIFICATE", cert.Raw[:len(cert.Raw)-1]), 0},
		"empty":                  {"", 0},
		"trusted, no settings":   {block("TRUSTED CERTIFICATE", cert.Raw), 1},
		"trusted, alias only":    {block("TRUSTED CERTIFICATE", cert.Raw, aux(nil, nil)), 1},
		"trusted for servers":    {block("TRUSTED CERTIFICATE", cert.Raw, aux(oids(serverAuth), nil)), 1},
		"trusted for mail only":  {block("TRUSTED CERTIFICATE", cert.Raw, aux(oids(mail), nil)), 0},
		"rejected for servers":   {block("TRUSTED CERTIFICATE", cert.Raw, aux(nil, oids(serverAuth))), 0},
		"rejected for mail":      {block("TRUSTED CERTIFICATE", cert.Raw, aux(nil, oids(mail))), 1},
		"trusted, damaged":       {block("TRUSTED CERTIFICATE", cert.Raw, []byte{0x30, 9}), 0},
	} {
		got := ca.ParseCertificates([]byte(tc.text))
		if len(got) != tc.want || tc.want == 1 && !bytes.Equal(got[0], cert.Raw) {
			t.Errorf("%s: got %d certificates, want %d", name, len(got), tc.want)
		}
	}
}

func TestOpensslTrustedCertificate(t *testing.T) {
	t.Parallel()
	openssl := need(t, "openssl")
	w := newWorld(t)
	for option, want := range map[string]string{"-addtrust serverAuth": "company root, ours", "-addreject serverAuth": "ours", "-addtrust emailProtection": "ours", "-setalias x": "company root, ours"} {
		out := filepath.Join(w.dir, strings.ReplaceAll(option, " ", "_")+".pem")
		run(t, openssl, append([]string{"x509", "-in", w.file, "-trustout", "-out", out}, strings.Fields(option)...)...)
		if got := w.subjects(t, w.bundle(t, out)); got != want {
			t.Errorf("openssl x509 -trustout %s: got %s, want %s", option, got, want)
		}
	}
}

// FuzzParseCertificates: whatever the text, each result is one certificate by its outline and survives a round trip.
func FuzzParseCertificates(f *testing.F) {
	cert := newCompanyCA(f, "root", nil, nil).cert
	f.Add(pemOf(cert, cert))
	f.Add(pem.EncodeToMemory(&pem.Block{Type: "TRUSTED CERTIFICATE", Bytes: append(bytes.Clone(cert.Raw), 0x30, 0)}))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nkey: value\n\nMAA=\n-----END CERTIFICATE-----"))
	f.Fuzz(func(t *testing.T, text []byte) {
		ders := ca.ParseCertificates(text)
		var again []byte
		for _, der := range ders {
			again = append(again, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
		}
		if got := ca.ParseCertificates(again); len(got) != len(ders) {
			t.Fatalf("%d certificates, after a round trip %d", len(ders), len(got))
		}
	})
}

func BenchmarkBundle(b *testing.B) {
	a := open(b, ca.Options{})
	for b.Loop() {
		if _, err := a.Bundle(); err != nil {
			b.Fatal(err)
		}
	}
}
