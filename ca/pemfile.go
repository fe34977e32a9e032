package ca

import (
	"bytes"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

const (
	maxBundleFile    = 4 << 20 // the platform's bundle has 0.2 MiB
	maxBundleEntries = 256     // certificate files read from one folder
	maxDirEntries    = 8192    // names looked at in one folder: hashed folders hold two or three for each certificate
)

// parseCertificates returns the DER of every certificate in a PEM text, in order. Keys, lists, comments and damaged
// blocks are left out. The result does not alias text.
func parseCertificates(text []byte) [][]byte {
	var out [][]byte
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		var der []byte
		switch block.Type {
		case "CERTIFICATE", "X509 CERTIFICATE":
			der = block.Bytes
		case "TRUSTED CERTIFICATE":
			der = fromTrusted(block.Bytes)
		}
		if isCertificate(der) {
			out = append(out, der)
		}
	}
	return out
}

// isCertificate checks the outline of RFC 5280 section 4.1 (a sequence of two sequences and a bit string), nothing
// more: clients are more lenient than crypto/x509 about the rest, and it is not for a bundle to take a root away.
func isCertificate(der []byte) bool {
	var c struct{ TBS, Algorithm, Signature asn1.RawValue }
	rest, err := asn1.Unmarshal(der, &c)
	return err == nil && len(rest) == 0 &&
		c.TBS.Class == asn1.ClassUniversal && c.TBS.Tag == asn1.TagSequence &&
		c.Algorithm.Class == asn1.ClassUniversal && c.Algorithm.Tag == asn1.TagSequence &&
		c.Signature.Class == asn1.ClassUniversal && c.Signature.Tag == asn1.TagBitString
}

// fromTrusted returns the certificate in OpenSSL's TRUSTED CERTIFICATE format, which appends settings
// (X509_CERT_AUX) to it. Without a word for TLS servers among its settings the certificate must not become a plain
// one, which is trusted for everything; the result is nil then.
func fromTrusted(b []byte) []byte {
	var cert asn1.RawValue
	rest, err := asn1.Unmarshal(b, &cert)
	if err != nil {
		return nil
	}
	if len(rest) == 0 {
		return cert.FullBytes
	}
	var aux struct {
		Trust  []asn1.ObjectIdentifier `asn1:"optional"`
		Reject []asn1.ObjectIdentifier `asn1:"optional,tag:0"`
		Alias  string                  `asn1:"optional,utf8"`
		KeyID  []byte                  `asn1:"optional"`
		Other  asn1.RawValue           `asn1:"optional,tag:1"`
	}
	if _, err := asn1.Unmarshal(rest, &aux); err != nil {
		return nil
	}
	serverAuth := asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 1}
	anyPurpose := asn1.ObjectIdentifier{2, 5, 29, 37, 0}
	named := func(list []asn1.ObjectIdentifier) bool {
		for _, oid := range list {
			if oid.Equal(serverAuth) || oid.Equal(anyPurpose) {
				return true
			}
		}
		return false
	}
	if named(aux.Reject) || aux.Trust != nil && !named(aux.Trust) {
		return nil
	}
	return cert.FullBytes
}

// readPEMFile returns the certificates in a regular file of bounded size. Links are followed.
func readPEMFile(path string) ([][]byte, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !fi.Mode().IsRegular() {
		return nil, errors.New("is not a regular file")
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	b, err := io.ReadAll(io.LimitReader(file, maxBundleFile+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxBundleFile {
		return nil, fmt.Errorf("is larger than %d MiB", maxBundleFile>>20)
	}
	return parseCertificates(b), nil
}

// readPEMDir returns the certificates in the regular files of a folder. Hashed names are links to files of the same
// folder: each file is read once.
func readPEMDir(path string, skip func(path string) bool) ([][]byte, error) {
	dir, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(maxDirEntries + 1)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if len(names) > maxDirEntries {
		return nil, fmt.Errorf("has more than %d entries", maxDirEntries)
	}
	var out [][]byte
	seen := make(map[string]bool)
	for _, name := range sorted(names) {
		file, err := filepath.EvalSymlinks(filepath.Join(path, name))
		if err != nil || seen[file] || skip(file) {
			continue // a dangling link is nothing
		}
		seen[file] = true
		if fi, err := os.Stat(file); err != nil || !fi.Mode().IsRegular() {
			continue
		}
		ders, err := readPEMFile(file)
		if errors.Is(err, fs.ErrPermission) {
			continue // what the user cannot read, the user's tools do not use
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		if len(ders) == 0 {
			delete(seen, file) // not a certificate file: no part of the bound
			continue
		}
		if len(seen) > maxBundleEntries {
			return nil, fmt.Errorf("has more than %d certificate files", maxBundleEntries)
		}
		out = append(out, ders...)
	}
	return out, nil
}

// isOurs recognises certificates that an authority of this program made, of whatever generation and machine: the
// marker stands in their subject or issuer.
func isOurs(der []byte) bool { return bytes.Contains(der, []byte(marker)) }
