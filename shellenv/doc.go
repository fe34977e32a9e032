// Package shellenv computes the environment variables that send a shell's programs through detour's proxy and make
// them trust its certificate authority, writes them in the syntax of a shell or file format, and takes them back.
//
// Three promises hold for every shell:
//
//   - What the user had is kept: NO_PROXY is added to, a certificate file that a variable names is merged, and every
//     value that is replaced is saved in a variable DETOUR_OLD_<NAME>, from which Unset restores it.
//   - Doing it twice changes nothing. While DETOUR_PROXY_ACTIVE is set, the saved values count as what the user had, so
//     a second eval, or a shell within a shell, neither stacks up nor saves detour's own values.
//   - Nothing set here switches a check off, and ALL_PROXY is never set: it would also redirect programs that do not
//     speak HTTP.
//
// The proxy URL may hold a credential. It is in Var.Value and in what Script returns, and nowhere else: errors and
// warnings name variables, not values.
package shellenv
