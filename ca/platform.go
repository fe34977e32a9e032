package ca

import (
	"slices"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// platform says where the machine keeps its trusted roots. No field depends on the environment: SSL_CERT_FILE and
// its kin may point to what this package wrote.
type platform struct {
	files []string        // bundles: the first that holds certificates counts
	dirs  []string        // folders of single certificates, asked if no file had any
	store func() [][]byte // the operating system's own store; nil: it has none
	// incomplete is set where the store is filled on demand, so that the compiled-in roots must be added.
	incomplete bool
}

// installed returns the DER of the machine's roots, or nothing if it has none in a known place.
func (p platform) installed() [][]byte {
	if p.store != nil {
		if ders := p.store(); len(ders) > 0 {
			return ders
		}
	}
	for _, file := range p.files {
		if ders, err := readPEMFile(file); err == nil && len(ders) > 0 {
			return ders
		}
	}
	var out [][]byte
	for _, dir := range p.dirs {
		ders, err := readPEMDir(dir, func(string) bool { return false })
		if err == nil {
			out = append(out, ders...)
		}
	}
	return out
}

// roots returns the machine's roots, or those of the compiled-in Mozilla list if the machine has none.
func (p platform) roots() [][]byte {
	out := p.installed()
	if len(out) > 0 && !p.incomplete {
		return out
	}
	for root := range bundle.Roots() {
		if root.Constraint == nil { // a PEM file cannot say what the list's limits say
			out = append(out, root.Certificate)
		}
	}
	return out
}

func sorted(s []string) []string {
	slices.Sort(s)
	return s
}
