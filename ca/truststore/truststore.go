// Package truststore puts a CA certificate into the trust stores of the operating system and takes it out again.
//
// It acts only when it is called for exactly that, and it says first what it will do. Nothing in here runs at import
// but a look for the folder in which the system keeps additional certificates; on systems where the library behind it
// would do more, it is not linked.
package truststore

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"unicode"
)

// Options says which certificate goes into which stores.
type Options struct {
	// Path is the PEM file with the CA certificate.
	Path string
	// System is the store of the operating system, NSS the databases of Firefox and Chromium in the user's home, Java
	// the keystore of the JDK in JAVA_HOME. With none of them set, System is meant.
	System, NSS, Java bool
	// Force admits a CA that is not limited by critical name constraints and so could vouch for every site.
	Force bool
	// Out receives the plan, a step a line, before anything is done; nil: nobody reads it.
	Out io.Writer

	on *machine // for tests; nil: the machine that the program runs on
}

// Plan returns what Install would do with the certificate at path (which stands in for o.Path), as commands and
// remarks to read; nothing is done. If something is missing, the error names each such thing and the package that has
// it, and the steps are still returned.
func Plan(path string, o Options) ([]string, error) {
	o.Path = path
	_, steps, err := o.prepare(false)
	return steps, err
}

// PlanUninstall is Plan for Uninstall.
func PlanUninstall(path string, o Options) ([]string, error) {
	o.Path = path
	_, steps, err := o.prepare(true)
	return steps, err
}

// Install prints the plan and carries it out. It may ask for the user's password through sudo, or for consent in a
// window. A certificate that is there already is no error. A failure in one store leaves the others as they are by
// then. ctx is heeded before the first change only.
func Install(ctx context.Context, o Options) error { return o.run(ctx, false) }

// Uninstall prints the plan and takes the certificate out of the stores. It needs only the certificate, so that the
// root of an earlier generation can be removed too. A certificate that is not there is no error.
func Uninstall(ctx context.Context, o Options) error { return o.run(ctx, true) }

func (o Options) run(ctx context.Context, remove bool) error {
	cert, steps, err := o.prepare(remove)
	if err != nil {
		return err
	}
	if o.Out != nil {
		if _, err := fmt.Fprintln(o.Out, strings.Join(steps, "\n")); err != nil {
			return fmt.Errorf("print plan: %w", err)
		}
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("change trust store: %w", err)
	}
	verb, act := "install", o.machine().library.install
	if remove {
		verb, act = "uninstall", o.machine().library.uninstall
	}
	if err := act(cert, o.stores()); err != nil {
		return fmt.Errorf("%s ca certificate: %w", verb, err)
	}
	return nil
}

// prepare reads the certificate and makes the plan.
func (o Options) prepare(remove bool) (*x509.Certificate, []string, error) {
	cert, err := readCertificate(o.Path)
	if err != nil {
		return nil, nil, err
	}
	if !remove && !o.Force && !constrained(cert) {
		return nil, nil, &UnconstrainedError{Path: o.Path, Subject: cert.Subject.String()}
	}
	steps, err := o.machine().plan(cert, o.Path, o.stores(), remove)
	return cert, steps, err
}

func (o Options) machine() *machine {
	if o.on != nil {
		return o.on
	}
	return thisMachine()
}

func (o Options) stores() stores {
	s := stores{system: o.System, nss: o.NSS, java: o.Java}
	if s == (stores{}) {
		s.system = true
	}
	return s
}

// UnconstrainedError refuses a CA that could sign for every site.
type UnconstrainedError struct{ Path, Subject string }

// Error says what the danger is and how to accept it.
func (e *UnconstrainedError) Error() string {
	return fmt.Sprintf("truststore: %s (%s) has no critical name constraints: whoever holds its key could impersonate every site; install it only with --force", e.Path, e.Subject)
}

// maxCertificate bounds the file that is read, in bytes.
const maxCertificate = 1 << 20

// readCertificate reads the first certificate of a PEM file and checks that it is a CA whose name can be part of a
// file name: stores are written with the system's rights under a name made from it.
func readCertificate(path string) (*x509.Certificate, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read ca certificate: %w", err)
	}
	defer file.Close()
	b, err := io.ReadAll(io.LimitReader(file, maxCertificate))
	if err != nil {
		return nil, fmt.Errorf("read ca certificate: %w", err)
	}
	block, rest := pem.Decode(b)
	if block == nil || block.Type != "CERTIFICATE" || len(bytes.TrimSpace(rest)) > 0 {
		return nil, fmt.Errorf("read ca certificate: %s is not one PEM certificate", path)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read ca certificate: %s: %w", path, err)
	}
	if !cert.BasicConstraintsValid || !cert.IsCA {
		return nil, fmt.Errorf("read ca certificate: %s is not a CA certificate", path)
	}
	odd := func(r rune) bool { return r == '/' || r == '\\' || r == '%' || !unicode.IsPrint(r) }
	if cn := cert.Subject.CommonName; cn == "" || strings.HasPrefix(cn, "-") || strings.HasPrefix(cn, ".") || strings.ContainsFunc(cn, odd) {
		return nil, fmt.Errorf("read ca certificate: the common name %q of %s cannot be part of a file name", cn, path)
	}
	return cert, nil
}

// constrained reports whether cert permits only listed DNS names, critically (RFC 5280 section 4.2.1.10).
func constrained(cert *x509.Certificate) bool {
	nameConstraints := asn1.ObjectIdentifier{2, 5, 29, 30}
	for _, e := range cert.Extensions {
		if e.Critical && e.Id.Equal(nameConstraints) {
			return len(cert.PermittedDNSDomains) > 0 && !slices.Contains(cert.PermittedDNSDomains, "")
		}
	}
	return false
}

// MissingError names something that a store needs and the machine lacks.
type MissingError struct {
	What string // the program, variable or folder
	For  string // what needs it
	Hint string // how to get it: the packages that have it
}

// Error says what is missing, for what, and where it comes from.
func (e *MissingError) Error() string {
	return fmt.Sprintf("truststore: %s is missing, %s needs it: %s", e.What, e.For, e.Hint)
}
