package ca

import (
	"context"
	"crypto/x509"
	"os/exec"
	"time"
)

// keychainWait bounds one call of the security tool.
const keychainWait = 10 * time.Second

// hostPlatform reads the keychains, and files that Homebrew and the base system have if that gives nothing.
func hostPlatform() platform {
	return platform{
		store: keychainRoots,
		files: []string{"/etc/ssl/cert.pem", "/opt/homebrew/etc/ca-certificates/cert.pem", "/usr/local/etc/ca-certificates/cert.pem"},
	}
}

// keychainRoots returns Apple's roots, and of the certificates that an administrator or the user has added those that
// the trust settings accept: a keychain also lists what is distrusted.
func keychainRoots() [][]byte {
	out := keychain("/System/Library/Keychains/SystemRootCertificates.keychain")
	added := keychain("/Library/Keychains/System.keychain")
	added = append(added, keychain("login.keychain")...)
	for _, der := range added {
		cert, err := x509.ParseCertificate(der)
		if err != nil || !cert.IsCA {
			continue
		}
		if _, err := cert.Verify(x509.VerifyOptions{}); err == nil {
			out = append(out, der)
		}
	}
	return out
}

// keychain lists the certificates of one keychain; one that cannot be read counts as empty.
func keychain(name string) [][]byte {
	ctx, cancel := context.WithTimeout(context.Background(), keychainWait)
	defer cancel()
	text, err := exec.CommandContext(ctx, "/usr/bin/security", "find-certificate", "-a", "-p", name).Output()
	if err != nil {
		return nil
	}
	return parseCertificates(text)
}
