package ca

import (
	"bytes"
	"crypto"
	"encoding/pem"

	"go.step.sm/crypto/pemutil"
)

// parseKey parses the private key in b, which came from path. passphrase may be nil. The errors never quote b.
func parseKey(path string, b, passphrase []byte) (crypto.Signer, error) {
	block := firstKeyBlock(b)
	if block == nil {
		return nil, &Error{Path: path, Problem: "holds no PEM private key", Hint: "restore the key (PKCS#8 PEM), or " + hintRegenerate}
	}
	var opts []pemutil.Options
	if block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "" {
		if len(passphrase) == 0 {
			return nil, &Error{Path: path, Problem: "is encrypted", Hint: "name the environment variable that holds its passphrase, or decrypt it: openssl pkcs8 -in " + quote(path) + " -out decrypted.key"}
		}
		opts = append(opts, pemutil.WithPassword(passphrase))
	}
	key, err := pemutil.ParseKey(pem.EncodeToMemory(block), opts...)
	if err != nil {
		if len(opts) > 0 {
			return nil, &Error{Path: path, Problem: "cannot be decrypted with the given passphrase", Hint: "check the passphrase"}
		}
		return nil, &Error{Path: path, Problem: "holds no usable private key", Hint: "restore the key (PKCS#8 PEM), or " + hintRegenerate}
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, &Error{Path: path, Problem: "holds a key that cannot sign", Hint: "use an ECDSA or RSA private key"}
	}
	return signer, nil
}

// firstKeyBlock skips what openssl writes before a key, such as EC PARAMETERS.
func firstKeyBlock(b []byte) *pem.Block {
	for block, rest := pem.Decode(b); block != nil; block, rest = pem.Decode(rest) {
		if bytes.HasSuffix([]byte(block.Type), []byte("PRIVATE KEY")) {
			return block
		}
	}
	return nil
}
