package truststore

import (
	"crypto/x509"
	"errors"
	"fmt"
	"path"
	"strings"
)

// plan lists the steps in the order in which the library takes them, and everything that is missing for them.
func (m *machine) plan(cert *x509.Certificate, file string, s stores, remove bool) ([]string, error) {
	var steps []string
	var errs []error
	for _, part := range []struct {
		wanted bool
		plan   func(name, file string, remove bool) ([]string, error)
	}{{s.nss, m.planNSS}, {s.java, m.planJava}, {s.system, m.planSystem}} {
		if part.wanted {
			more, err := part.plan(storeName(cert), file, remove)
			steps, errs = append(steps, more...), append(errs, err)
		}
	}
	return steps, errors.Join(errs...)
}

// storeName is the name under which a certificate is kept: unique, and found again for removal.
func storeName(cert *x509.Certificate) string {
	return cert.Subject.CommonName + " " + cert.SerialNumber.String()
}

// anchor is a folder where a Linux distribution takes additional certificates from.
type anchor struct {
	folder, suffix string
	update         string
}

// anchors is in the library's order: the first that exists counts.
func anchors() []anchor {
	return []anchor{
		{"/etc/pki/ca-trust/source/anchors/", ".pem", "update-ca-trust extract"},
		{"/usr/local/share/ca-certificates/", ".crt", "update-ca-certificates"},
		{"/usr/share/pki/trust/anchors/", ".crt", "update-ca-certificates"},
		{"/etc/ca-certificates/trust-source/anchors/", ".crt", "trust extract-compat"},
		{"/etc/ssl/certs/", ".crt", "trust extract-compat"},
	}
}

func (m *machine) planSystem(name, file string, remove bool) ([]string, error) {
	switch m.goos {
	case "linux":
		return m.planLinux(name, file, remove)
	case "darwin":
		err := m.need("sudo", "the system keychain", "run as a user who may use sudo")
		if remove {
			return []string{"sudo security remove-trusted-cert -d " + quote(file)}, err
		}
		return []string{
			"sudo security add-trusted-cert -d -k /Library/Keychains/System.keychain " + quote(file),
			"sudo security trust-settings-export -d TEMPORARY-FILE",
			"sudo security trust-settings-import -d TEMPORARY-FILE  # with this certificate trusted for TLS servers",
		}, err
	case "windows":
		if remove {
			return []string{"remove the certificate with this serial number from the current user's Trusted Root store (Windows asks for consent)"}, nil
		}
		return []string{"add " + file + " to the current user's Trusted Root store (Windows asks for consent)"}, nil
	}
	return nil, fmt.Errorf("truststore: %w: the system store of %s; add %s by hand", errors.ErrUnsupported, m.goos, file)
}

func (m *machine) planLinux(name, file string, remove bool) ([]string, error) {
	var at anchor
	for _, a := range anchors() {
		if m.exists(a.folder) {
			at = a
			break
		}
	}
	if at.folder == "" {
		return nil, &MissingError{
			What: "a folder for additional certificates", For: "the system store",
			Hint: "install ca-certificates; NixOS takes them from its configuration (security.pki.certificateFiles)",
		}
	}
	update, _, _ := strings.Cut(at.update, " ")
	errs := []error{m.need(update, "the system store", updateHint(update))}
	sudo := "sudo -- "
	if _, err := m.lookPath("sudo"); err != nil {
		sudo = ""
		if !m.root {
			errs = append(errs, &MissingError{What: "sudo", For: "the system store, which belongs to root,", Hint: "install the package sudo, or run this command as root"})
		}
	}
	target := at.folder + strings.ReplaceAll(name, " ", "_") + at.suffix
	change := sudo + "tee " + quote(target) + " < " + quote(file)
	if remove {
		change = sudo + "rm -f " + quote(target)
	}
	return []string{change, sudo + at.update}, errors.Join(errs...)
}

func updateHint(program string) string {
	if program == "trust" {
		return "install p11-kit (Arch) or p11-kit-trust (Fedora, openSUSE)"
	}
	return "install the package ca-certificates"
}

func (m *machine) planNSS(name, file string, remove bool) ([]string, error) {
	if m.goos != "linux" && m.goos != "darwin" {
		return nil, fmt.Errorf("truststore: %w: NSS databases on %s; in Firefox use Settings, Certificates, Import", errors.ErrUnsupported, m.goos)
	}
	err := m.need("certutil", "the NSS store of Firefox and Chromium",
		"install libnss3-tools (Debian, Ubuntu), nss-tools (Fedora, RHEL, Alpine), mozilla-nss-tools (openSUSE) or nss (Arch, Homebrew)")
	databases := m.nssDatabases()
	if len(databases) == 0 {
		err = errors.Join(err, &MissingError{What: "an NSS database", For: "the NSS store of Firefox and Chromium", Hint: "start Firefox or Chromium once"})
	}
	var steps []string
	for _, db := range databases {
		if remove {
			steps = append(steps, "certutil -D -d "+quote(db)+" -n "+quote(name))
		} else {
			steps = append(steps, "certutil -A -d "+quote(db)+" -t C,, -n "+quote(name)+" -i "+quote(file))
		}
	}
	for _, sandbox := range []string{"snap/firefox/common/.mozilla/firefox", ".var/app/org.mozilla.firefox/.mozilla/firefox"} {
		if dir := path.Join(m.getenv("HOME"), sandbox); m.exists(dir) {
			steps = append(steps, "note: the Firefox profiles in "+dir+" are not covered; import the certificate in that Firefox's settings")
		}
	}
	return steps, err
}

// nssDatabases lists the databases of the user as certutil takes them.
func (m *machine) nssDatabases() []string {
	home := m.getenv("HOME")
	pattern := home + "/.mozilla/firefox/*"
	if m.goos == "darwin" {
		pattern = home + "/Library/Application Support/Firefox/Profiles/*"
	}
	var out []string
	for _, profile := range append(m.glob(pattern), path.Join(home, ".pki/nssdb")) {
		switch {
		case m.exists(path.Join(profile, "cert9.db")):
			out = append(out, "sql:"+profile)
		case m.exists(path.Join(profile, "cert8.db")):
			out = append(out, "dbm:"+profile)
		}
	}
	return out
}

func (m *machine) planJava(name, file string, remove bool) ([]string, error) {
	home := m.getenv("JAVA_HOME")
	if home == "" {
		return nil, &MissingError{What: "JAVA_HOME", For: "the Java store", Hint: "set it to the folder of the JDK"}
	}
	tool := path.Join(home, "bin", "keytool")
	if m.goos == "windows" {
		tool += ".exe"
	}
	var errs []error
	if !m.exists(tool) {
		errs = append(errs, &MissingError{What: tool, For: "the Java store", Hint: "install a JDK and point JAVA_HOME to it (Debian: default-jdk)"})
	}
	store := path.Join(home, "lib/security/cacerts")
	if old := path.Join(home, "jre/lib/security/cacerts"); m.exists(old) {
		store = old // a JDK 8 has its runtime below
	} else if !m.exists(store) {
		errs = append(errs, &MissingError{What: store, For: "the Java store", Hint: "point JAVA_HOME to a JDK (Debian: ca-certificates-java fills it)"})
	}
	note := "note: if the keystore belongs to root, the command runs through sudo"
	if remove {
		return []string{quote(tool) + " -delete -alias " + quote(name) + " -keystore " + quote(store) + " -storepass changeit", note}, errors.Join(errs...)
	}
	return []string{quote(tool) + " -importcert -noprompt -keystore " + quote(store) + " -storepass changeit -file " + quote(file) + " -alias " + quote(name), note}, errors.Join(errs...)
}

// need returns an error unless program is on the PATH.
func (m *machine) need(program, purpose, hint string) error {
	if _, err := m.lookPath(program); err != nil {
		return &MissingError{What: program, For: purpose, Hint: hint}
	}
	return nil
}

// quote renders s for a POSIX shell.
func quote(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+,:@%", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
