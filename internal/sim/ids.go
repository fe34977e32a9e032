package sim

import (
	"encoding/base64"
	"encoding/hex"
	"hash/fnv"
	"strconv"
	"sync/atomic"
)

// ids makes identifiers that are distinct within a Sim and the same in every
// run that makes them in the same order. It is safe for concurrent use.
type ids struct {
	seed    uint64
	counter atomic.Uint64
}

// mix is the SplitMix64 finaliser.
func mix(x uint64) uint64 {
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb
	return x ^ (x >> 31)
}

// bytes appends n fresh pseudo-random bytes to dst.
func (g *ids) bytes(dst []byte, n int) []byte {
	x := mix(g.seed + 0x9e3779b97f4a7c15*g.counter.Add(1))
	for i := range n {
		if i%8 == 0 && i > 0 {
			x = mix(x + 0x9e3779b97f4a7c15)
		}
		dst = append(dst, byte(x>>(8*(i%8))))
	}
	return dst
}

// hex returns a fresh identifier of n hexadecimal digits (n even).
func (g *ids) hex(n int) string {
	var raw [64]byte
	return hex.EncodeToString(g.bytes(raw[:0], n/2))
}

// uuid returns a fresh identifier in UUID form.
func (g *ids) uuid() string {
	h := g.hex(32)
	return h[:8] + "-" + h[8:12] + "-4" + h[13:16] + "-a" + h[17:20] + "-" + h[20:]
}

// blob returns a fresh opaque identifier of about 400 characters, as the
// Responses surface puts on every event.
func (g *ids) blob() string {
	var raw [300]byte
	return base64.StdEncoding.EncodeToString(g.bytes(raw[:0], len(raw)))
}

// githubRequest returns a value for the x-github-request-id header.
func (g *ids) githubRequest() string {
	h := g.hex(32)
	return "51A0:" + h[:5] + ":" + h[5:12] + ":" + h[12:19] + ":" + h[19:27]
}

// seal returns a short check value over parts, keyed by the seed. It is no
// cryptographic signature: it only has to notice values that were changed.
func (g *ids) seal(parts ...string) string {
	h := fnv.New64a()
	_, _ = h.Write([]byte(strconv.FormatUint(g.seed, 16)))
	for _, p := range parts {
		_, _ = h.Write([]byte{0})
		_, _ = h.Write([]byte(p))
	}
	return strconv.FormatUint(mix(h.Sum64())|1<<63, 16)
}
