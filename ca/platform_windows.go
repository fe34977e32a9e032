package ca

import (
	"bytes"
	"syscall"
	"unsafe"
)

// hostPlatform enumerates the system's root store. Windows downloads roots when they are first needed, so what is
// there is only part of what it trusts.
func hostPlatform() platform {
	return platform{store: rootStore, incomplete: true}
}

// rootStore returns the certificates of the user's ROOT store, which includes the machine's.
func rootStore() [][]byte {
	name, err := syscall.UTF16PtrFromString("ROOT")
	if err != nil {
		return nil
	}
	store, err := syscall.CertOpenSystemStore(0, name)
	if err != nil {
		return nil
	}
	defer syscall.CertCloseStore(store, 0) //nolint:errcheck // nothing was changed
	var out [][]byte
	var ctx *syscall.CertContext
	for {
		// Each call frees the context of the one before; the last returns nil and an error.
		if ctx, err = syscall.CertEnumCertificatesInStore(store, ctx); ctx == nil || err != nil {
			return out
		}
		der := bytes.Clone(unsafe.Slice(ctx.EncodedCert, ctx.Length))
		if isCertificate(der) {
			out = append(out, der)
		}
	}
}
