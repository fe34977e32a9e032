//go:build !darwin && !windows

package ca

import "runtime"

// hostPlatform lists the places of the system that the program runs on.
func hostPlatform() platform {
	switch runtime.GOOS {
	case "freebsd", "dragonfly":
		return platform{
			files: []string{"/usr/local/etc/ssl/cert.pem", "/etc/ssl/cert.pem", "/usr/local/share/certs/ca-root-nss.crt"},
			dirs:  []string{"/etc/ssl/certs", "/usr/local/share/certs"},
		}
	case "openbsd":
		return platform{files: []string{"/etc/ssl/cert.pem"}}
	case "netbsd":
		return platform{files: []string{"/etc/openssl/certs/ca-certificates.crt"}, dirs: []string{"/etc/openssl/certs"}}
	case "illumos", "solaris":
		return platform{files: []string{"/etc/certs/ca-certificates.crt", "/etc/ssl/cacert.pem"}, dirs: []string{"/etc/certs/CA"}}
	}
	return platform{
		files: []string{
			"/etc/ssl/certs/ca-certificates.crt",                // Debian, Ubuntu, Gentoo, Void, Arch, Alpine, NixOS
			"/etc/ssl/certs/ca-bundle.crt",                      // NixOS
			"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", // Fedora, RHEL
			"/etc/pki/tls/certs/ca-bundle.crt",                  // RHEL 6
			"/etc/ca-certificates/extracted/tls-ca-bundle.pem",  // Arch
			"/etc/ssl/ca-bundle.pem",                            // openSUSE
			"/var/lib/ca-certificates/ca-bundle.pem",            // openSUSE
			"/etc/pki/tls/cacert.pem",                           // OpenELEC
			"/etc/ssl/cert.pem",                                 // Alpine
			"/data/data/com.termux/files/usr/etc/tls/cert.pem",  // Termux
		},
		dirs: []string{
			"/etc/ssl/certs",
			"/etc/pki/tls/certs",
			"/system/etc/security/cacerts", // Android
		},
	}
}
