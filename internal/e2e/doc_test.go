//go:build e2e

// Package e2e_test drives the real binary with real shells and real clients against the simulated upstream. Nothing
// in it reaches beyond loopback, but for the npm packages that the clients are installed from.
//
// What a machine lacks is skipped, with a word. Run it with `make e2e`.
package e2e_test
