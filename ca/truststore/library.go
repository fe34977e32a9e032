//go:build linux || darwin || windows

package truststore

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/smallstep/truststore"
)

func systemLibrary() library {
	return library{
		install: func(cert *x509.Certificate, s stores) error {
			return withOutput(truststore.Install(cert, s.options()...))
		},
		uninstall: func(cert *x509.Certificate, s stores) error {
			err := truststore.Uninstall(cert, s.options()...)
			if errors.Is(err, truststore.ErrNotFound) {
				return nil
			}
			return withOutput(err)
		},
	}
}

func (s stores) options() []truststore.Option {
	var out []truststore.Option
	if s.nss {
		out = append(out, truststore.WithFirefox())
	}
	if s.java {
		out = append(out, truststore.WithJava())
	}
	if !s.system {
		out = append(out, truststore.WithNoSystem())
	}
	return out
}

// withOutput adds what a failed command printed, which says why.
func withOutput(err error) error {
	if failed, ok := errors.AsType[*truststore.CmdError](err); ok {
		if out := bytes.TrimSpace(failed.Out()); len(out) > 0 {
			return fmt.Errorf("%w: %s", err, out[:min(len(out), 2048)])
		}
	}
	return err
}
