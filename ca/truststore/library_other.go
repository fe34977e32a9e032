//go:build !(linux || darwin || windows)

package truststore

import (
	"crypto/x509"
	"errors"
)

// systemLibrary supports nothing here. On FreeBSD the library would make a folder in /usr/local as soon as it is
// linked, whether it is called or not.
func systemLibrary() library {
	refuse := func(*x509.Certificate, stores) error { return errors.ErrUnsupported }
	return library{install: refuse, uninstall: refuse}
}
