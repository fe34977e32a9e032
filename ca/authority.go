package ca

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"github.com/smallstep/certificates/cas/apiv1"
	"github.com/smallstep/certificates/cas/softcas"
)

// Options says where the authority lives and what a new one may sign for.
type Options struct {
	// Dir is the authority's folder, made absolute when it is opened. It is created with mode 0700. Bundles are written below it even if the
	// certificates are imported.
	Dir string
	// Hosts are the names that the constraints of a new authority permit, each with its sub-domains: plain host
	// names, neither addresses nor wildcards. An existing authority keeps the constraints that it has; see
	// [Authority.Covers].
	Hosts []string
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Imported, if set, is used instead of certificates of our own making.
	Imported *Imported
}

// absolute makes Dir independent of the working directory: paths below it go into the environment of other programs.
func (o Options) absolute() (Options, error) {
	if o.Dir == "" {
		return o, &Error{Problem: "no folder is given for the certificate authority", Hint: "set one"}
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return o, fmt.Errorf("locate ca folder: %w", err)
	}
	o.Dir = dir
	return o, nil
}

func (o Options) now() func() time.Time {
	if o.Now == nil {
		return time.Now
	}
	return o.Now
}

// Authority signs certificates for the hosts that its own certificates permit. It is safe for concurrent use and
// holds no file open. A later [Regenerate] does not change it: open a new one and compare [Authority.Generation].
type Authority struct {
	dir      string
	now      func() time.Time
	gen      *generation
	issuer   apiv1.CertificateAuthorityService
	leafs    leafCache
	platform platform
}

// Open loads the authority in o.Dir, or creates one if the folder holds none. Two processes that open at once get
// the same one. Files that are incomplete, damaged, expired or open to other users give an [*Error]; nothing is
// overwritten.
func Open(o Options) (*Authority, error) {
	a, err := Load(o)
	if o.Imported != nil || !errors.Is(err, fs.ErrNotExist) {
		return a, err
	}
	return makeAuthority(o, func(f *folder) error {
		_, err := loadGeneration(f, o.now()())
		if !errors.Is(err, fs.ErrNotExist) {
			return err // another process was first, or the folder is not fit
		}
		return writeGeneration(f, o.Hosts, o.now()())
	})
}

// Load loads the authority in o.Dir and never creates one: without one, errors.Is(err, fs.ErrNotExist).
func Load(o Options) (*Authority, error) {
	o, err := o.absolute()
	if err != nil {
		return nil, err
	}
	if o.Imported != nil {
		g, err := loadImported(o)
		if err != nil {
			return nil, err
		}
		return newAuthority(o, g)
	}
	f, err := openFolder(o.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, notThere(o.Dir)
	}
	if err != nil {
		return nil, fmt.Errorf("open ca folder: %w", err)
	}
	defer f.close()
	g, err := lockAndLoad(f, o.now()())
	if err != nil {
		return nil, err
	}
	return newAuthority(o, g)
}

// lockAndLoad reads the generation while nobody writes one.
func lockAndLoad(f *folder, now time.Time) (*generation, error) {
	lock, err := f.lockShared()
	if err != nil {
		return nil, err
	}
	if lock == nil {
		g, err := loadGeneration(f, now)
		if err == nil {
			return g, nil
		}
		// The first generation may be in the making: its maker has the lock by now.
		var lockErr error
		if lock, lockErr = f.lockShared(); lockErr != nil || lock == nil {
			return nil, errors.Join(err, lockErr)
		}
	}
	defer lock.Close()
	return loadGeneration(f, now)
}

// Regenerate makes a new authority with constraints for o.Hosts in place of whatever o.Dir holds, damaged files
// included. The previous root certificate stays beside it as ca-<id>.old.crt. Clients must be told to trust the new
// root.
func Regenerate(o Options) (*Authority, error) {
	if o.Imported != nil {
		return nil, &Error{Path: o.Imported.Cert, Problem: "is imported and cannot be regenerated here", Hint: "have its issuer renew it, or remove it from the configuration"}
	}
	return makeAuthority(o, func(f *folder) error {
		if err := keepOldRoot(f); err != nil {
			return fmt.Errorf("keep previous root: %w", err)
		}
		return writeGeneration(f, o.Hosts, o.now()())
	})
}

// makeAuthority runs write under the exclusive lock and loads what it wrote.
func makeAuthority(o Options, write func(*folder) error) (*Authority, error) {
	o, err := o.absolute()
	if err != nil {
		return nil, err
	}
	f, err := makeFolder(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("open ca folder: %w", err)
	}
	defer f.close()
	lock, err := f.lockExclusive()
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	if err := write(f); err != nil {
		return nil, fmt.Errorf("create ca: %w", err)
	}
	g, err := loadGeneration(f, o.now()())
	if err != nil {
		return nil, err
	}
	return newAuthority(o, g)
}

func newAuthority(o Options, g *generation) (*Authority, error) {
	chain := g.chain
	if len(chain) == 0 {
		chain = []*x509.Certificate{g.root}
	}
	issuer, err := softcas.New(context.Background(), apiv1.Options{CertificateChain: chain, Signer: g.signer})
	if err != nil {
		return nil, fmt.Errorf("open issuer: %w", err)
	}
	return &Authority{dir: o.Dir, now: o.now(), gen: g, issuer: issuer, platform: hostPlatform()}, nil
}

// Certificate returns a certificate for host with the chain that a server must send: the leaf and the intermediate,
// not the root. It is valid for at most seven days and replaced when four fifths of that have passed, so ask for
// every handshake. The result is shared and must not be modified. A host that is not covered gives an [*Error].
func (a *Authority) Certificate(host string) (*tls.Certificate, error) {
	now := a.now()
	if c := a.leafs.get(host, now); c != nil {
		return c, nil
	}
	name, err := canonicalHost(host)
	if err != nil {
		return nil, fmt.Errorf("issue certificate: %w", err)
	}
	if c := a.leafs.get(name, now); c != nil {
		return c, nil
	}
	c, err := a.leafs.fill(name, now, func() (*leaf, error) { return a.issue(name, now) })
	if err != nil {
		return nil, fmt.Errorf("issue certificate for %s: %w", name, err)
	}
	return c, nil
}

// Covers reports whether the constraints in the loaded certificates permit a leaf for host. Only then is one ever
// signed. If an imported chain has no constraints on DNS names, Options.Hosts takes their place.
func (a *Authority) Covers(host string) bool {
	name, err := canonicalHost(host)
	return err == nil && a.gen.covers(name)
}

// covers is Covers for a canonical name.
func (g *generation) covers(name string) bool {
	path := g.path()
	if slices.ContainsFunc(path, func(c *x509.Certificate) bool { return !permits(c, name) }) {
		return false
	}
	return g.limited() || slices.ContainsFunc(g.within, func(h string) bool { return within(name, h) })
}

// limited reports whether some certificate of the path has a list of permitted DNS names.
func (g *generation) limited() bool {
	return slices.ContainsFunc(g.path(), func(c *x509.Certificate) bool { return len(c.PermittedDNSDomains) > 0 })
}

// Root returns the certificate that clients must trust. It must not be modified.
func (a *Authority) Root() *x509.Certificate { return a.gen.root }

// RootPEM returns the root certificate as a PEM file.
func (a *Authority) RootPEM() []byte { return encodeCertificate(a.gen.root) }

// RootPath returns the path of a PEM file with the root certificate alone.
func (a *Authority) RootPath() string { return a.gen.rootPath }

// Generation names the loaded set of certificates: it changes with every [Regenerate] and with every other import.
func (a *Authority) Generation() string { return a.gen.id() }
