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

// Prefix begins every carrier. The whole is dtr1.<kind>.<mac>.<id>.<blob>: kind says whose words the blob is in, mac
// and id are in unpadded base64url.
const Prefix = "dtr1."

// Responses is the kind of an item of the Responses dialect: encrypted content, bound to the item's id. Summary is a
// summary of a conversation, in base64url, and TurnState a token of an upstream's; both are bound to nothing.
const (
	Responses = "r"
	Summary   = "s"
	TurnState = "t"
)

// macSize is short because a guess gains nothing but an error from the upstream.
const macSize = 8

// Codec seals and opens carriers. It is safe for concurrent use. The zero value has no secret: it seals nothing and
// opens nothing.
type Codec struct{ key []byte }

// New returns a Codec that uses a copy of key as its secret.
func New(key []byte) *Codec { return &Codec{key: append([]byte(nil), key...)} }

// Seal packs the encrypted content of a Responses item and the id that it is bound to. What is sealed already stays as
// it is.
func (c *Codec) Seal(id, blob string) string { return c.SealAs(Responses, id, blob) }

// SealAs packs a blob of any kind; kind holds no dot.
func (c *Codec) SealAs(kind, id, blob string) string {
	if _, _, _, sealed := c.OpenAs(blob); sealed || c == nil || len(c.key) == 0 {
		return blob
	}
	id64 := base64.RawURLEncoding.EncodeToString([]byte(id))
	return Prefix + kind + "." + c.mac(kind, id64, blob) + "." + id64 + "." + blob
}

// Open unpacks a carrier of ours of the kind Responses. ok is false for everything else.
func (c *Codec) Open(s string) (id, blob string, ok bool) {
	kind, id, blob, ok := c.OpenAs(s)
	if !ok || kind != Responses {
		return "", "", false
	}
	return id, blob, true
}

// OpenAs unpacks a carrier of ours. ok is false for everything else.
func (c *Codec) OpenAs(s string) (kind, id, blob string, ok bool) {
	rest, ok := strings.CutPrefix(s, Prefix)
	if !ok || c == nil || len(c.key) == 0 {
		return "", "", "", false
	}
	parts := strings.SplitN(rest, ".", 4)
	if len(parts) != 4 || !hmac.Equal([]byte(parts[1]), []byte(c.mac(parts[0], parts[2], parts[3]))) {
		return "", "", "", false
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		return "", "", "", false
	}
	return parts[0], string(raw), parts[3], true
}

func (c *Codec) mac(kind, id64, blob string) string {
	h := hmac.New(sha256.New, c.key)
	h.Write([]byte(Prefix + kind + "." + id64 + "."))
	h.Write([]byte(blob))
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:macSize])
}
