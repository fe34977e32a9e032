// Package sim is a simulated upstream: GitHub sign-in, the GitHub management
// API and the Copilot inference hosts, plus an echoing web origin that stands
// for every other host. Test suites, the demo, runs of real clients and
// benchmarks use it in place of an account.
//
// A Sim listens on loopback, one listener for each group of virtual hosts. What
// it answers is decided by a [Scenario]; the zero Scenario is a healthy service
// with the documented deviations of Copilot from the public APIs. One request
// can ask for another behaviour by the header X-Sim-Fault or by a directive in
// its user text, see [Directive], so that suites can share a Sim and run in
// parallel.
//
// Everything is deterministic for a given [Options.Seed], [Options.Now] and order of
// requests. Nothing sleeps unless a scenario asks for a delay. Every secret
// that a Sim makes or accepts contains [Marker], so that a test can search logs
// and errors for leaks.
package sim

// Marker is part of every token and key that a Sim hands out.
const Marker = "simsecret"
