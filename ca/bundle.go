package ca

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

const (
	bundleDir    = "bundles"
	bundlePrefix = "ca-bundle-"
	bundleSuffix = ".pem"

	// A shell that was set up weeks ago still names its bundle, so old ones stay long; many stay only briefly.
	bundleAge    = 30 * 24 * time.Hour
	bundleKeep   = 32
	bundleMinAge = 24 * time.Hour
)

// Bundle returns the path of a PEM file for a variable that replaces a client's trusted roots, such as SSL_CERT_FILE:
// the certificates of the existing files or folders if any are given, else the machine's own, and our root. Files
// that this package wrote do not count as existing, and roots that it made are left out whatever file they are in,
// so that nested shells do not pile up and an earlier generation is not trusted again. A path that does not exist
// contributes nothing; one that cannot be used gives an [*Error], because dropping it would change what the user
// trusts.
//
// Variables that hold a list of paths must be split by the caller. The name depends on the content alone. A returned file stays for at least 24 hours after it was last returned.
func (a *Authority) Bundle(existing ...string) (string, error) {
	ders, found, err := a.collect(existing)
	if err != nil {
		return "", err
	}
	if !found {
		ders = a.platform.roots()
	}
	return a.writeBundle(ders)
}

// ExtraBundle is Bundle for a variable that adds to a client's trusted roots, such as NODE_EXTRA_CA_CERTS: without
// existing files it is [Authority.RootPath].
func (a *Authority) ExtraBundle(existing ...string) (string, error) {
	ders, found, err := a.collect(existing)
	if err != nil {
		return "", err
	}
	if !found {
		return a.gen.rootPath, nil
	}
	return a.writeBundle(ders)
}

// collect reads the existing paths; found says whether any of them counts.
func (a *Authority) collect(existing []string) (ders [][]byte, found bool, err error) {
	for _, path := range existing {
		if path == "" || a.wrote(path) {
			continue
		}
		fi, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		var more [][]byte
		switch {
		case err != nil:
		case fi.IsDir():
			more, err = readPEMDir(path, a.wrote)
		default:
			more, err = readPEMFile(path)
		}
		if err != nil {
			return nil, false, &Error{Path: path, Problem: "cannot be merged into a CA bundle: " + err.Error(), Hint: "correct or unset the variable that names it", Err: err}
		}
		found = true
		ders = append(ders, more...)
	}
	return ders, found, nil
}

// isBundleName matches the names that writeBundle gives.
func isBundleName(name string) bool {
	hash, ok := strings.CutPrefix(name, bundlePrefix)
	hash, ok2 := strings.CutSuffix(hash, bundleSuffix)
	return ok && ok2 && len(hash) == 2*sha256.Size && strings.Trim(hash, "0123456789abcdef") == ""
}

// wrote reports whether path is a file of this authority: a bundle, which may be gone by now, or one of its roots.
func (a *Authority) wrote(path string) bool {
	dir, name := filepath.Dir(resolve(path)), filepath.Base(resolve(path))
	home := resolve(a.dir)
	switch dir {
	case filepath.Join(home, bundleDir):
		return isBundleName(name)
	case home:
		return name == rootName || name == intermediateName || strings.HasSuffix(name, oldRootSuffix) || strings.HasPrefix(name, importedRootPrefix)
	}
	return false
}

// resolve makes path absolute and follows links as far as it exists.
func resolve(path string) string {
	abs, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	if real, err := filepath.EvalSymlinks(abs); err == nil {
		return real
	}
	if parent := filepath.Dir(abs); parent != abs {
		return filepath.Join(resolve(parent), filepath.Base(abs))
	}
	return abs
}

// writeBundle writes ders and our root under a name made from the content.
func (a *Authority) writeBundle(ders [][]byte) (string, error) {
	var text bytes.Buffer
	seen := map[[sha256.Size]byte]bool{sha256.Sum256(a.gen.root.Raw): true}
	for _, der := range ders {
		sum := sha256.Sum256(der)
		if seen[sum] || isOurs(der) {
			continue
		}
		seen[sum] = true
		_ = pem.Encode(&text, &pem.Block{Type: "CERTIFICATE", Bytes: der}) // a bytes.Buffer takes everything
	}
	text.Write(encodeCertificate(a.gen.root))
	sum := sha256.Sum256(text.Bytes())
	name := bundlePrefix + hex.EncodeToString(sum[:]) + bundleSuffix

	f, err := makeFolder(filepath.Join(a.dir, bundleDir))
	if err != nil {
		return "", fmt.Errorf("write ca bundle: %w", err)
	}
	defer f.close()
	lock, err := f.lockExclusive() // or another process collects what this one is about to return
	if errors.Is(err, syscall.EROFS) {
		if there, err := f.read(name); err == nil && bytes.Equal(there, text.Bytes()) {
			return f.name(name), nil // nobody can collect it either
		}
	}
	if err != nil {
		return "", fmt.Errorf("write ca bundle: %w", err)
	}
	defer lock.Close()
	if err := f.put(name, text.Bytes(), publicMode); err != nil {
		return "", fmt.Errorf("write ca bundle: %w", err)
	}
	now := a.now()
	if err := f.root.Chtimes(name, now, now); err != nil { // the time of the last return, for collecting
		return "", fmt.Errorf("write ca bundle: %w", err)
	}
	if err := f.collectBundles(name, now); err != nil {
		return "", fmt.Errorf("remove old ca bundles: %w", err)
	}
	return f.name(name), nil
}

// collectBundles removes bundles that were not returned for long, but never current.
func (f *folder) collectBundles(current string, now time.Time) error {
	entries, err := fs.ReadDir(f.root.FS(), ".")
	if err != nil {
		return err
	}
	type old struct {
		name string
		age  time.Duration
	}
	var all []old
	for _, e := range entries {
		fi, err := e.Info()
		ours := isBundleName(e.Name()) || strings.HasPrefix(e.Name(), stagedPrefix)
		if err != nil || !ours || e.Name() == current {
			continue
		}
		all = append(all, old{e.Name(), now.Sub(fi.ModTime())})
	}
	slices.SortFunc(all, func(a, b old) int { return cmp.Compare(a.age, b.age) })
	for i, o := range all {
		if o.age > bundleAge || o.age > bundleMinAge && (i >= bundleKeep || strings.HasPrefix(o.name, stagedPrefix)) {
			if err := f.root.Remove(o.name); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}
