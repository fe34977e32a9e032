// Command bench measures detour beside its peers: every participant is a process of its own, everything is on
// 127.0.0.1, runs of the participants are interleaved, and one table says how each compares with no proxy at all and
// with detour's targets. Run it with `make bench`.
//
// The binary is also its own upstream, load generator and bare relays: the first argument selects the part to play. A
// part reads what it is to do from standard input or flags, prints JSON, and ends when standard input ends, so that
// nothing outlives the run.
package main
