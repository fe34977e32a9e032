package truststore

import (
	"crypto/x509"
	"io/fs"
	"os/exec"
	"slices"
)

// Machine is a machine that exists only in a table.
type Machine struct {
	GOOS     string
	Root     bool
	Programs []string
	Files    []string
	Env      map[string]string
	Profiles []string // what the pattern for Firefox profiles matches

	Calls []Call
	Err   error // what the library answers
}

// Call is one use of the library.
type Call struct {
	Verb              string
	Serial            string
	System, NSS, Java bool
}

// On returns o for the machine m.
func (m *Machine) On(o Options) Options {
	record := func(verb string) func(*x509.Certificate, stores) error {
		return func(c *x509.Certificate, s stores) error {
			m.Calls = append(m.Calls, Call{verb, c.SerialNumber.String(), s.system, s.nss, s.java})
			return m.Err
		}
	}
	o.on = &machine{
		goos: m.GOOS, root: m.Root,
		lookPath: func(program string) (string, error) {
			if slices.Contains(m.Programs, program) {
				return "/usr/bin/" + program, nil
			}
			return "", &exec.Error{Name: program, Err: exec.ErrNotFound}
		},
		exists:  func(path string) bool { return slices.Contains(m.Files, path) },
		glob:    func(string) []string { return m.Profiles },
		getenv:  func(name string) string { return m.Env[name] },
		library: library{install: record("install"), uninstall: record("uninstall")},
	}
	return o
}

// ThisMachinePlans runs the plan against the real look-ups of this machine, without its library.
func ThisMachinePlans(o Options) Options {
	o.on = thisMachine()
	refuse := func(*x509.Certificate, stores) error { return fs.ErrPermission }
	o.on.library = library{refuse, refuse}
	return o
}
