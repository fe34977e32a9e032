package truststore

import (
	"crypto/x509"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
)

// stores are the places to change.
type stores struct{ system, nss, java bool }

// machine is what a plan depends on, and the library that carries it out.
type machine struct {
	goos     string
	root     bool // the program runs as root
	lookPath func(program string) (string, error)
	exists   func(path string) bool
	glob     func(pattern string) []string
	getenv   func(name string) string
	library  library
}

// library changes the stores. Both functions are called after a plan without errors.
type library struct {
	install, uninstall func(cert *x509.Certificate, s stores) error
}

func thisMachine() *machine {
	return &machine{
		goos:     runtime.GOOS,
		root:     os.Geteuid() == 0,
		lookPath: exec.LookPath,
		exists: func(path string) bool {
			_, err := os.Stat(path)
			return err == nil
		},
		glob: func(pattern string) []string {
			paths, _ := filepath.Glob(pattern) // the only error is a malformed pattern
			return paths
		},
		getenv:  os.Getenv,
		library: systemLibrary(),
	}
}
