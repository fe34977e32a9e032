package truststore_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io/fs"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"detour/ca/truststore"
)

// certificate writes a CA certificate with serial number 77 and returns its path.
func certificate(t *testing.T, edit func(*x509.Certificate)) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(77), Subject: pkix.Name{CommonName: "detour CA box"},
		NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour),
		BasicConstraintsValid: true, IsCA: true, KeyUsage: x509.KeyUsageCertSign,
		PermittedDNSDomainsCritical: true, PermittedDNSDomains: []string{"api.openai.test"},
	}
	if edit != nil {
		edit(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return write(t, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func write(t *testing.T, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestPlan(t *testing.T) {
	t.Parallel()
	const debian = "/usr/local/share/ca-certificates/"
	home := map[string]string{"HOME": "/home/u"}
	java := map[string]string{"HOME": "/home/u", "JAVA_HOME": "/opt/my jdk"}
	for _, tc := range []struct {
		name      string
		machine   truststore.Machine
		options   truststore.Options
		install   []string // CRT stands for the path of the certificate
		uninstall []string
		missing   []string // what the error names
	}{
		{
			name:      "Debian",
			machine:   truststore.Machine{GOOS: "linux", Programs: []string{"sudo", "update-ca-certificates"}, Files: []string{debian, "/etc/ssl/certs/"}},
			install:   []string{"sudo -- tee /usr/local/share/ca-certificates/detour_CA_box_77.crt < CRT", "sudo -- update-ca-certificates"},
			uninstall: []string{"sudo -- rm -f /usr/local/share/ca-certificates/detour_CA_box_77.crt", "sudo -- update-ca-certificates"},
		},
		{
			name:    "container of root without sudo",
			machine: truststore.Machine{GOOS: "linux", Root: true, Programs: []string{"update-ca-certificates"}, Files: []string{debian}},
			options: truststore.Options{System: true},
			install: []string{"tee /usr/local/share/ca-certificates/detour_CA_box_77.crt < CRT", "update-ca-certificates"},
		},
		{
			name:    "no sudo and no root",
			machine: truststore.Machine{GOOS: "linux", Programs: []string{"update-ca-certificates"}, Files: []string{debian}},
			install: []string{"tee /usr/local/share/ca-certificates/detour_CA_box_77.crt < CRT", "update-ca-certificates"},
			missing: []string{"sudo"},
		},
		{
			name:    "nothing to update with",
			machine: truststore.Machine{GOOS: "linux", Files: []string{debian}},
			install: []string{"tee /usr/local/share/ca-certificates/detour_CA_box_77.crt < CRT", "update-ca-certificates"},
			missing: []string{"sudo", "update-ca-certificates", "install the package ca-certificates"},
		},
		{
			name:    "Fedora",
			machine: truststore.Machine{GOOS: "linux", Programs: []string{"sudo", "update-ca-trust"}, Files: []string{"/etc/pki/ca-trust/source/anchors/", debian}},
			install: []string{"sudo -- tee /etc/pki/ca-trust/source/anchors/detour_CA_box_77.pem < CRT", "sudo -- update-ca-trust extract"},
		},
		{
			name:    "Arch",
			machine: truststore.Machine{GOOS: "linux", Programs: []string{"sudo", "trust"}, Files: []string{"/etc/ca-certificates/trust-source/anchors/", "/etc/ssl/certs/"}},
			install: []string{"sudo -- tee /etc/ca-certificates/trust-source/anchors/detour_CA_box_77.crt < CRT", "sudo -- trust extract-compat"},
		},
		{
			name:    "no known folder",
			machine: truststore.Machine{GOOS: "linux", Programs: []string{"sudo"}},
			missing: []string{"a folder for additional certificates", "NixOS"},
		},
		{
			name: "browsers",
			machine: truststore.Machine{
				GOOS: "linux", Programs: []string{"certutil"}, Env: home, Profiles: []string{"/home/u/.mozilla/firefox/a b", "/home/u/.mozilla/firefox/old", "/home/u/.mozilla/firefox/profiles.ini"},
				Files: []string{"/home/u/.mozilla/firefox/a b/cert9.db", "/home/u/.mozilla/firefox/old/cert8.db", "/home/u/.pki/nssdb/cert9.db"},
			},
			options: truststore.Options{NSS: true},
			install: []string{
				"certutil -A -d 'sql:/home/u/.mozilla/firefox/a b' -t C,, -n 'detour CA box 77' -i CRT",
				"certutil -A -d dbm:/home/u/.mozilla/firefox/old -t C,, -n 'detour CA box 77' -i CRT",
				"certutil -A -d sql:/home/u/.pki/nssdb -t C,, -n 'detour CA box 77' -i CRT",
			},
			uninstall: []string{
				"certutil -D -d 'sql:/home/u/.mozilla/firefox/a b' -n 'detour CA box 77'",
				"certutil -D -d dbm:/home/u/.mozilla/firefox/old -n 'detour CA box 77'",
				"certutil -D -d sql:/home/u/.pki/nssdb -n 'detour CA box 77'",
			},
		},
		{
			name:    "browser in a sandbox",
			machine: truststore.Machine{GOOS: "linux", Programs: []string{"certutil"}, Env: home, Files: []string{"/home/u/.pki/nssdb/cert9.db", "/home/u/snap/firefox/common/.mozilla/firefox"}},
			options: truststore.Options{NSS: true},
			install: []string{
				"certutil -A -d sql:/home/u/.pki/nssdb -t C,, -n 'detour CA box 77' -i CRT",
				"note: the Firefox profiles in /home/u/snap/firefox/common/.mozilla/firefox are not covered; import the certificate in that Firefox's settings",
			},
		},
		{
			name:    "no certutil and no database",
			machine: truststore.Machine{GOOS: "linux", Env: home},
			options: truststore.Options{NSS: true},
			missing: []string{"certutil", "libnss3-tools", "nss-tools", "start Firefox or Chromium once"},
		},
		{
			name:    "Java",
			machine: truststore.Machine{GOOS: "linux", Env: java, Files: []string{"/opt/my jdk/bin/keytool", "/opt/my jdk/lib/security/cacerts"}},
			options: truststore.Options{Java: true},
			install: []string{
				"'/opt/my jdk/bin/keytool' -importcert -noprompt -keystore '/opt/my jdk/lib/security/cacerts' -storepass changeit -file CRT -alias 'detour CA box 77'",
				"note: if the keystore belongs to root, the command runs through sudo",
			},
			uninstall: []string{
				"'/opt/my jdk/bin/keytool' -delete -alias 'detour CA box 77' -keystore '/opt/my jdk/lib/security/cacerts' -storepass changeit",
				"note: if the keystore belongs to root, the command runs through sudo",
			},
		},
		{
			name:    "no JAVA_HOME",
			machine: truststore.Machine{GOOS: "linux", Env: home},
			options: truststore.Options{Java: true},
			missing: []string{"JAVA_HOME", "JDK"},
		},
		{
			name:    "everything, with everything missing",
			machine: truststore.Machine{GOOS: "linux", Env: home},
			options: truststore.Options{System: true, NSS: true, Java: true},
			missing: []string{"JAVA_HOME", "certutil", "a folder for additional certificates"},
		},
		{
			name:    "macOS",
			machine: truststore.Machine{GOOS: "darwin", Programs: []string{"sudo"}},
			install: []string{
				"sudo security add-trusted-cert -d -k /Library/Keychains/System.keychain CRT",
				"sudo security trust-settings-export -d TEMPORARY-FILE",
				"sudo security trust-settings-import -d TEMPORARY-FILE  # with this certificate trusted for TLS servers",
			},
			uninstall: []string{"sudo security remove-trusted-cert -d CRT"},
		},
		{
			name:      "Windows",
			machine:   truststore.Machine{GOOS: "windows"},
			install:   []string{"add CRT to the current user's Trusted Root store (Windows asks for consent)"},
			uninstall: []string{"remove the certificate with this serial number from the current user's Trusted Root store (Windows asks for consent)"},
		},
		{name: "Firefox on Windows", machine: truststore.Machine{GOOS: "windows"}, options: truststore.Options{NSS: true}, missing: []string{"NSS databases on windows"}},
		{name: "FreeBSD", machine: truststore.Machine{GOOS: "freebsd"}, missing: []string{"the system store of freebsd", "by hand"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			path := certificate(t, nil)
			o := tc.machine.On(tc.options)
			check := func(what string, steps []string, err error, want []string) {
				if got := strings.ReplaceAll(strings.Join(steps, "\n"), path, "CRT"); got != strings.Join(want, "\n") {
					t.Errorf("%s: got\n%s\nwant\n%s", what, got, strings.Join(want, "\n"))
				}
				if (err == nil) != (tc.missing == nil) {
					t.Errorf("%s: error %v", what, err)
				}
				for _, m := range tc.missing {
					if err == nil || !strings.Contains(err.Error(), m) {
						t.Errorf("%s: error %v does not name %q", what, err, m)
					}
				}
			}
			steps, err := truststore.Plan(path, o)
			check("Plan", steps, err, tc.install)
			if tc.uninstall != nil {
				steps, err := truststore.PlanUninstall(path, o)
				check("PlanUninstall", steps, err, tc.uninstall)
			}

			o.Path = path
			var out bytes.Buffer
			o.Out = &out
			err = truststore.Install(t.Context(), o)
			if tc.missing != nil {
				if err == nil || len(tc.machine.Calls) > 0 || out.Len() > 0 {
					t.Errorf("Install with something missing: %v, calls %v, printed %q", err, tc.machine.Calls, &out)
				}
				return
			}
			want := truststore.Call{Verb: "install", Serial: "77", System: o.System || !o.NSS && !o.Java, NSS: o.NSS, Java: o.Java}
			if err != nil || !slices.Equal(tc.machine.Calls, []truststore.Call{want}) {
				t.Errorf("Install: %v, calls %+v, want %+v", err, tc.machine.Calls, want)
			}
			if got := strings.ReplaceAll(out.String(), path, "CRT"); got != strings.Join(tc.install, "\n")+"\n" {
				t.Errorf("Install printed %q", got)
			}
		})
	}
}

// windowsBox is a machine on which nothing can be missing.
func windowsBox() *truststore.Machine { return &truststore.Machine{GOOS: "windows"} }

func TestUnconstrainedNeedsForce(t *testing.T) {
	t.Parallel()
	for name, edit := range map[string]func(*x509.Certificate){
		"no constraints":           func(c *x509.Certificate) { c.PermittedDNSDomains = nil },
		"constraints not critical": func(c *x509.Certificate) { c.PermittedDNSDomainsCritical = false },
		"everything permitted":     func(c *x509.Certificate) { c.PermittedDNSDomains = []string{""} },
		"only exclusions": func(c *x509.Certificate) {
			c.PermittedDNSDomains, c.ExcludedDNSDomains = nil, []string{"example.com"}
		},
	} {
		m := windowsBox()
		o := m.On(truststore.Options{Path: certificate(t, edit)})
		_, planErr := truststore.Plan(o.Path, o)
		for what, err := range map[string]error{"Plan": planErr, "Install": truststore.Install(t.Context(), o)} {
			if e, ok := errors.AsType[*truststore.UnconstrainedError](err); !ok || e.Path != o.Path || !strings.Contains(err.Error(), "--force") {
				t.Errorf("%s: %s gave %v, want an *UnconstrainedError", name, what, err)
			}
		}
		if len(m.Calls) > 0 {
			t.Errorf("%s: installed", name)
		}
		if err := truststore.Uninstall(t.Context(), o); err != nil {
			t.Errorf("%s: removing must always be possible: %v", name, err)
		}
		o.Force = true
		if err := truststore.Install(t.Context(), o); err != nil {
			t.Errorf("%s: with Force: %v", name, err)
		}
	}
}

func TestUnfitCertificates(t *testing.T) {
	t.Parallel()
	named := func(cn string) string {
		return certificate(t, func(c *x509.Certificate) { c.Subject.CommonName = cn })
	}
	for name, path := range map[string]string{
		"missing":              filepath.Join(t.TempDir(), "none"),
		"empty":                write(t, nil),
		"not PEM":              write(t, []byte("hello")),
		"damaged":              write(t, []byte("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n")),
		"a leaf":               certificate(t, func(c *x509.Certificate) { c.IsCA = false; c.PermittedDNSDomains = nil }),
		"name leads elsewhere": named("../../../etc/cron.d/x"),
		"name is an option":    named("-rf"),
		"name with newline":    named("a\nb"),
		"name with a verb":     named("a%s"),
		"no name":              named(""),
	} {
		m := windowsBox()
		o := m.On(truststore.Options{Path: path, Force: true})
		if steps, err := truststore.Plan(path, o); err == nil || steps != nil {
			t.Errorf("%s: planned %q, %v", name, steps, err)
		}
		if err := truststore.Install(t.Context(), o); err == nil || len(m.Calls) > 0 {
			t.Errorf("%s: installed, %v", name, err)
		}
		if err := truststore.Uninstall(t.Context(), o); err == nil || len(m.Calls) > 0 {
			t.Errorf("%s: uninstalled, %v", name, err)
		}
	}
}

func TestUninstall(t *testing.T) {
	t.Parallel()
	m := windowsBox()
	var out bytes.Buffer
	if err := truststore.Uninstall(t.Context(), m.On(truststore.Options{Path: certificate(t, nil), Out: &out})); err != nil {
		t.Fatal(err)
	}
	if want := []truststore.Call{{Verb: "uninstall", Serial: "77", System: true}}; !slices.Equal(m.Calls, want) {
		t.Errorf("calls %+v, want %+v", m.Calls, want)
	}
	if !strings.HasPrefix(out.String(), "remove ") {
		t.Errorf("printed %q", &out)
	}
}

func TestFailures(t *testing.T) {
	t.Parallel()
	m := windowsBox()
	m.Err = fs.ErrPermission
	o := m.On(truststore.Options{Path: certificate(t, nil)})
	if err := truststore.Install(t.Context(), o); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("the library's error is lost: %v", err)
	}
	m.Calls = nil
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := truststore.Install(ctx, o); !errors.Is(err, context.Canceled) || len(m.Calls) > 0 {
		t.Errorf("after cancel: %v, calls %v", err, m.Calls)
	}
	o.Out = broken{}
	if err := truststore.Install(t.Context(), o); err == nil || len(m.Calls) > 0 {
		t.Errorf("the plan could not be shown: %v, calls %v", err, m.Calls)
	}
}

// broken is a terminal that has gone away.
type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, fs.ErrClosed }

// TestPlanOnThisMachine: the real look-ups end in steps or in named gaps, never in anything else.
func TestPlanOnThisMachine(t *testing.T) {
	t.Parallel()
	path := certificate(t, nil)
	for _, o := range []truststore.Options{{}, {NSS: true}, {Java: true}} {
		steps, err := truststore.Plan(path, truststore.ThisMachinePlans(o))
		_, missing := errors.AsType[*truststore.MissingError](err)
		if len(steps) == 0 && err == nil || err != nil && !missing && !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%+v: got %q, %v", o, steps, err)
		}
	}
}

// TestImportTouchesNothing starts a program that links the package in an empty home.
func TestImportTouchesNothing(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	cmd := exec.CommandContext(t.Context(), self, "-test.run=^$")
	cmd.Env = []string{"HOME=" + home, "TMPDIR=" + home, "PATH="}
	cmd.Dir = home
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	entries, err := os.ReadDir(home)
	if err != nil || len(entries) > 0 {
		t.Errorf("found %v, %v", entries, err)
	}
}
