//go:build !unix

package app

import "os"

// hold opens the file so that the system refuses others to remove it while this process lives.
func hold(path string) (release func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	return func() { _ = f.Close() }, nil
}

// held tells whether a running detour has the file open: an open file cannot be removed here.
func held(path string) bool {
	if _, err := os.Stat(path); err != nil {
		return false
	}
	return os.Remove(path) != nil
}
