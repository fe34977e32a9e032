// Package carrier packs an opaque blob of an upstream together with the id that it is bound to into one string, which
// a client stores and sends back in the place of the blob.
//
// Some upstreams give the same item a new id in each event, yet accept its encrypted content only together with the
// id that came in the same event. A client keeps the blob but not that id. So the id travels inside the blob.
//
// The string is authenticated with a local secret: a client cannot make one up, and anything that is not one of ours
// passes untouched.
package carrier

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strings"
)

// Prefix begins every carrier.
const Prefix = "dtr1."

// prefix is version 1 with kind r, an item of the Responses dialect. The whole is dtr1.r.<mac>.<id>.<blob>, with mac
// and id in unpadded base64url.
const prefix = Prefix + "r."

// macSize is short because a guess gains nothing but an error from the upstream.
const macSize = 8

// Codec seals and opens carriers. It is safe for concurrent use. The zero value has no secret: it seals nothing and
// opens nothing.
type Codec struct{ key []byte }

// New returns a Codec that uses a copy of key as its secret.
func New(key []byte) *Codec { return &Codec{key: append([]byte(nil), key...)} }

// Seal packs blob and the id that it is bound to. What is sealed already stays as it is.
func (c *Codec) Seal(id, blob string) string {
	if _, _, sealed := c.Open(blob); sealed || len(c.key) == 0 {
		return blob
	}
	id64 := base64.RawURLEncoding.EncodeToString([]byte(id))
	return prefix + c.mac(id64, blob) + "." + id64 + "." + blob
}

// Open unpacks a carrier of ours. ok is false for everything else.
func (c *Codec) Open(s string) (id, blob string, ok bool) {
	rest, ok := strings.CutPrefix(s, prefix)
	if !ok || len(c.key) == 0 {
		return "", "", false
	}
	mac, rest, ok := strings.Cut(rest, ".")
	if !ok {
		return "", "", false
	}
	id64, blob, ok := strings.Cut(rest, ".")
	if !ok || !hmac.Equal([]byte(mac), []byte(c.mac(id64, blob))) {
		return "", "", false
	}
	raw, err := base64.RawURLEncoding.DecodeString(id64)
	return string(raw), blob, err == nil
}

func (c *Codec) mac(id64, blob string) string {
	h := hmac.New(sha256.New, c.key)
	h.Write([]byte(prefix))
	h.Write([]byte(id64))
	h.Write([]byte{'.'})
	h.Write([]byte(blob))
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:macSize])
}
