// Package ca owns the local certificate authority of the intercepting proxy: its files, the certificates it signs,
// and the PEM bundles through which clients learn to trust it.
//
// The authority is built so that stealing its folder gains as little as X.509 allows. A root with one intermediate
// below it is made once; both carry critical name constraints (RFC 5280 section 4.2.1.10) that permit exactly the
// hosts given at creation, each with its sub-domains, and exclude every IP address. The root's private key exists
// only in memory and only until it has signed the intermediate. What stays on disk can sign for the permitted hosts
// and for nothing else, in every client that implements name constraints.
//
// Both certificates carry them because clients differ: most enforce constraints on the trust anchor, Java only on
// certificates below it.
//
// The files of one generation, in a folder of mode 0700:
//
//	ca.crt                  the root certificate, what clients must trust
//	intermediate.crt        the certificate that signs leafs
//	intermediate.key        its key, PKCS#8, mode 0600
//	generation.json         fingerprints of the three; written last, so a generation is there entirely or not at all
//	ca-<id>.old.crt         the roots of earlier generations, for removing them from trust stores
//	imported-root-<id>.crt  a copy of the root, if the authority is imported
//	bundles/                merged PEM files, named after their content
//	ca.lock                 held while a generation is made
//
// Whatever in there is incomplete, does not match, or is open to other users is refused with an [*Error] that says
// which file, what is wrong and what to run. Nothing is ever repaired or overwritten silently: a new root needs the
// owner's consent, because every client must be told to trust it.
package ca
