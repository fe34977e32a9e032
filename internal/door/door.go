// Package door is the outer handler of the API door: who may come in, and the few pages that are not the router's.
//
// In this order it checks the Host header (a web page that resolves its own name to this machine must not reach
// detour), the Origin header (a page from elsewhere must not spend the owner's accounts), serves what needs no key,
// checks the client key, and hands the request to the router without it.
package door

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"detour/internal/clientkey"
)

// Options configure a door. They are not changed after New.
type Options struct {
	// Router gets every request that the door lets in and does not answer itself.
	Router http.Handler
	// Verify recognises a client key. nil: there are none. It is called concurrently.
	Verify func(key string) (k clientkey.Key, ok bool)
	// KeysOptional admits requests without a key too; those that have one are still known by it, and refused when it does
	// not hold.
	KeysOptional bool
	// Hosts are names and addresses that clients may use in the Host header, beside loopback ones and the address that
	// the connection came in on. Ports do not matter.
	Hosts []string
	// Origins are web origins that may call the door, exactly as browsers send them. The door's own origin always may.
	Origins []string
	// Health returns what /health shows, for JSON. It must hold no secrets. nil shows {"status":"ok"}.
	Health func() any
	// LAN serves the bootstrap pages for other devices on the network, without a key. nil: not served.
	LAN *LAN
	// Logger gets a line for each refusal; nil discards.
	Logger *slog.Logger
	// Version is shown on / and to loopback clients only.
	Version string
}

// door is the handler. It keeps no per-request state.
type door struct {
	Options
	hosts   map[string]bool
	origins map[string]bool
}

// New returns the handler. It is safe for concurrent use, like what it calls has to be.
func New(o Options) http.Handler {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	d := &door{Options: o, hosts: map[string]bool{}, origins: map[string]bool{}}
	for _, h := range o.Hosts {
		if name, ok := hostname(h); ok {
			d.hosts[name] = true
		}
	}
	for _, origin := range o.Origins {
		d.origins[origin] = true
	}
	return d
}

// ServeHTTP implements http.Handler.
func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r = originForm(r)
	host, ok := d.admitHost(r)
	if !ok {
		d.Logger.Warn("host refused", "host", clip(r.Host), "remote", r.RemoteAddr)
		refuse(w, http.StatusMisdirectedRequest, "host_not_allowed",
			"detour does not answer to the host name of this request; use 127.0.0.1 or localhost, or add the name to server.allowed_hosts")
		return
	}
	allowed, ok := d.admitOrigin(r)
	if len(d.origins) > 0 {
		w.Header().Add("Vary", "Origin")
	}
	if !ok {
		d.Logger.Warn("origin refused", "origin", clip(r.Header.Get("Origin")), "remote", r.RemoteAddr)
		refuse(w, http.StatusForbidden, "origin_not_allowed",
			"detour does not serve web pages of other origins; add the origin to server.allowed_origins if you trust its pages with your accounts")
		return
	}
	if allowed != "" && d.cors(w, r, allowed) {
		return
	}
	if d.open(w, r, host) {
		return
	}
	key, ok, stale := d.admitKey(r)
	if stale || !ok && d.keysNeeded() {
		message := keyNeeded
		if stale {
			message = keyStale
		}
		d.Logger.Warn("client key refused", "remote", r.RemoteAddr, "method", r.Method, "path", clip(r.URL.Path))
		unauthorized(w, r, message)
		return
	}
	if ok {
		r = r.WithContext(context.WithValue(r.Context(), principalKey{}, key))
	}
	if r.URL.Path == "/health" { // from elsewhere, with a key
		d.health(w, r)
		return
	}
	d.Router.ServeHTTP(w, r)
}

func (d *door) keysNeeded() bool { return d.Verify != nil && !d.KeysOptional }

// originForm takes host, user and scheme out of a request in absolute form, which every server has to accept (RFC
// 9112, section 3.2.2). To the router a host means that the request came through the proxy and may be relayed there:
// the API door must not become a proxy by it.
func originForm(r *http.Request) *http.Request {
	if r.URL.Scheme == "" && r.URL.Host == "" {
		return r
	}
	out := r.WithContext(r.Context())
	out.URL = &url.URL{Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery}
	return out
}

// open serves what needs no key, and reports whether it did.
func (d *door) open(w http.ResponseWriter, r *http.Request, host string) bool {
	read := r.Method == http.MethodGet || r.Method == http.MethodHead
	switch path := r.URL.Path; {
	case path == "/" && read:
		d.index(w, r)
	case path == "/health" && (!d.keysNeeded() || fromLoopback(r)):
		d.health(w, r)
	case d.LAN != nil && strings.HasPrefix(path, "/-/lan/"):
		return d.LAN.serve(w, r, host)
	default:
		return false
	}
	return true
}

func (d *door) health(w http.ResponseWriter, r *http.Request) {
	if !readOnly(w, r) {
		return
	}
	var state any = map[string]string{"status": "ok"}
	if d.Health != nil {
		state = d.Health()
	}
	writeJSON(w, http.StatusOK, state)
}

// readOnly answers 405 unless the request only reads.
func readOnly(w http.ResponseWriter, r *http.Request) bool {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return true
	}
	w.Header().Set("Allow", "GET, HEAD")
	refuse(w, http.StatusMethodNotAllowed, "method_not_allowed", "only GET and HEAD are served here")
	return false
}

// refuse answers with the reason in JSON, in a shape that most clients can show.
func refuse(w http.ResponseWriter, status int, kind, message string) {
	writeJSON(w, status, map[string]any{"error": map[string]string{"type": kind, "message": message}})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		status, body = http.StatusInternalServerError, []byte(`{"error":{"type":"internal_error","message":"the answer cannot be written as JSON"}}`)
	}
	write(w, status, "application/json", append(body, '\n'))
}

// write sends one of the door's own pages. For HEAD net/http leaves the body out.
func write(w http.ResponseWriter, status int, contentType string, body []byte) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client may be gone
}

// clip bounds what a client can put into a log line.
func clip(s string) string { return s[:min(len(s), 200)] }
