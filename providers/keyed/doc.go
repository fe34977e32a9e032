// Package keyed is what providers have in common whose credential is a key that is sent as it is: URLs, headers, model
// lists, errors, mending. A Service says in which an upstream differs from the others; providers/openai,
// providers/anthropic and providers/zai hold the services.
//
// # Headers
//
// A request carries detour's own User-Agent, the key, Content-Type and Accept, the headers that the service always
// wants, and of the client's own headers those that the service names. In route mode switch, where the request stays
// the client's, its User-Agent goes along too. Cookies, credentials and everything else stay here.
//
// # Bodies
//
// A verbatim body is not touched. Any other is changed by Service.Edit alone, whose package lists what it does.
//
// # Where a key goes
//
// To the account's base address and nowhere else: redirects are not followed, and an address without TLS is refused
// unless it is on this machine or in a private network, or the owner says allow_http.
package keyed
