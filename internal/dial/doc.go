// Package dial is how detour itself reaches the network: upstream APIs, relayed hosts and blind tunnels all go through
// one Dialer, so that proxy rules, pinned addresses, extra roots and the egress guard hold everywhere.
//
// A target is treated in this order:
//
//  1. One of our own listeners is refused with a *SelfError: detour must never be its own client.
//  2. A pinned host (Options.Hosts) is dialled at its pinned address, as if by a hosts file: directly, unguarded.
//  3. A host that no_proxy covers, a loopback address and an address with an IPv6 zone are dialled directly.
//  4. Everything else goes through the upstream proxy if there is one, and directly if not.
//
// With Options.Guard, addresses of private and special networks are refused with a *GuardError. The check runs on the
// address that the connect call is about to use, after name resolution, so a name that resolves differently the second
// time gains nothing. A proxy that would resolve the name itself is handed the checked address instead of the name.
package dial
