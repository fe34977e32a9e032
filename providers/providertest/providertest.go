// Package providertest is the conformance suite that every provider passes: what the router relies on, whatever the
// upstream.
package providertest

import (
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"detour/internal/dialect"
	"detour/internal/secret"
	"detour/providers"
)

// Marker is part of every credential that the suite gives to a provider, so that a leak can be found by looking for
// it.
const Marker = "providertestsecret"

// Harness is what the suite needs to know of a provider.
type Harness struct {
	// Open makes the provider and one account from e. The account is closed by the suite.
	Open func(t testing.TB, e Env) (providers.Provider, *providers.Account)
	// Credential is the long-lived credential that Env carries. It holds Marker and differs from every short-lived
	// one.
	Credential string
	// Used returns the credential that an inference request carries, "" if it has none in the right place.
	Used func(http.Header) string
	// Exchange is how the provider trades its credential for short-lived ones, nil if it uses it as it is.
	Exchange *Exchange
	// Endpoints are those that the provider serves.
	Endpoints []dialect.Endpoint
	// Allowed tells the hosts that a credential may be sent to.
	Allowed func(host string) bool
	// Refused is the kind of a 401: KindAuth, the zero value here, where a credential can be renewed or tried again, and
	// KindLogin where only the owner can help.
	Refused providers.Kind
	// Passes are the headers of the client's that go upstream, with its User-Agent in a verbatim request.
	Passes []string
	// Failures are answers of this upstream with a meaning of their own. The suite adds those that all share.
	Failures []Failure
}

// Exchange describes a credential exchange.
type Exchange struct {
	// Is tells the requests of an exchange from others.
	Is func(*http.Request) bool
	// Grant answers one with token, which is good for a while.
	Grant func(w http.ResponseWriter, token string)
}

// Env is where a provider under test lives.
type Env struct {
	Transport http.RoundTripper // the only way out
	Secret    secret.String
	Logger    *slog.Logger
}

// Failure is an answer of the upstream and what is to be made of it.
type Failure struct {
	Name   string
	Status int
	Header http.Header
	Body   string
	Want   providers.Kind
}

// Run tests h. Its sub-tests are named after the fault that they look for.
func Run(t *testing.T, h Harness) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, Harness){
		"credential is where it belongs":              testCredential,
		"refused credential is renewed once":          testRenewedOnce,
		"failures are classified":                     testFailures,
		"retry-after is read":                         testRetryAfter,
		"check reads a bounded part":                  testBounded,
		"check leaves a success alone":                testSuccess,
		"caller that leaves is let go":                testCancel,
		"no secret is shown":                          testNoSecretShown,
		"client's credentials stay here":              testClientHeaders,
		"credential goes to no other host":            testRedirect,
		"call is not changed":                         testCallUnchanged,
		"a verbatim body is not changed":              testVerbatim,
		"unknown fields survive":                      testUnknownFields,
		"every model has a dialect that can be asked": testDialects,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, h)
		})
	}
}

// call is a plain request to e.
func call(e dialect.Endpoint) *providers.Call {
	return &providers.Call{Endpoint: e, Model: providers.Model{ID: "model-1"}, Body: []byte(`{"model":"model-1"}`), Header: http.Header{}}
}

// shows reports whether s holds any of the suite's credentials.
func shows(s string) bool { return strings.Contains(s, Marker) }
