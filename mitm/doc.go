// Package mitm is an HTTP forward proxy that tunnels most hosts and intercepts a few.
//
// A Proxy answers three kinds of request on its listeners:
//
//   - CONNECT (RFC 9110 section 9.3.6). The target is either tunnelled, that is dialled and its bytes copied both ways
//     without being looked at, or intercepted, that is answered here with a certificate made for the host the client
//     named in CONNECT. Requests inside an intercepted connection reach Proxy.Handler, over HTTP/1.1 or HTTP/2.
//   - Absolute-form http:// requests (RFC 9112 section 3.2.2), which are forwarded through Proxy.Forward.
//   - Origin-form requests, which are meant for the proxy itself and go to Proxy.Local.
//
// Two http.Servers do the work. The front server reads proxy requests from the network. The inner server reads from an
// in-memory listener on which the CONNECT code puts intercepted connections after their TLS handshake, so that HTTP
// framing, Expect, trailers, upgrades, panics and cancellation in intercepted connections are those of net/http. What
// was asked for in CONNECT travels with the connection, never through a global table.
//
// Nothing outlives Proxy.Shutdown: every connection and goroutine is registered, ended and joined there.
package mitm
