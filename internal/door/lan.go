package door

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"net/http"
	"strings"
)

// LAN describes this detour to other devices on the network. Its pages need no key, and hold nothing but addresses
// and the public certificate.
type LAN struct {
	// CACert returns the root certificate in PEM. Only its first CERTIFICATE block is ever served, whatever else is
	// there. nil, or no certificate: there is no CA to trust, and the proxy is left out.
	CACert func() []byte
	// APIURL returns the address of the API door, without a trailing slash and without /v1, for a client that knows
	// this machine as host. nil: "http://" and the Host header of the request.
	APIURL func(host string) string
	// ProxyURL is the same for the proxy door. nil, or "": there is no proxy.
	ProxyURL func(host string) string
	// KeysNeeded says that clients have to present a client key.
	KeysNeeded bool
}

// site is what the LAN pages are made from for one request.
type site struct {
	host   string // as the client knows this machine, without port
	api    string
	proxy  string // "" when there is none, or no CA
	base   string // address of the LAN pages
	caPEM  []byte
	sha256 string // of the certificate in DER, 64 hexadecimal digits; "" without a CA
	keys   bool
}

func (l *LAN) site(r *http.Request, host string) site {
	scheme := "http://"
	if r.TLS != nil {
		scheme = "https://"
	}
	s := site{host: host, api: scheme + strings.ToLower(r.Host), base: scheme + strings.ToLower(r.Host), keys: l.KeysNeeded}
	bracketed := host
	if strings.Contains(host, ":") {
		bracketed = "[" + host + "]"
	}
	if l.APIURL != nil {
		s.api = l.APIURL(bracketed)
	}
	if l.CACert != nil {
		s.caPEM, s.sha256 = publicRoot(l.CACert())
	}
	if l.ProxyURL != nil && s.sha256 != "" {
		s.proxy = l.ProxyURL(bracketed)
	}
	return s
}

// publicRoot returns the first certificate in data, written anew, and its fingerprint.
func publicRoot(data []byte) (certificate []byte, fingerprint string) {
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return nil, ""
		}
		sum := sha256.Sum256(block.Bytes)
		return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: block.Bytes}), hex.EncodeToString(sum[:])
	}
	return nil, ""
}

// serve answers the LAN pages, and reports whether the path is one.
func (l *LAN) serve(w http.ResponseWriter, r *http.Request, host string) bool {
	var page func(http.ResponseWriter, *http.Request, site)
	switch r.URL.Path {
	case "/-/lan/bootstrap.json":
		page = bootstrap
	case "/-/lan/ca.crt":
		page = certificate
	case "/-/lan/env":
		page = environment
	default:
		return false
	}
	if readOnly(w, r) {
		page(w, r, l.site(r, host))
	}
	return true
}

func bootstrap(w http.ResponseWriter, _ *http.Request, s site) {
	type link map[string]string
	env := link{}
	for _, shell := range shells() {
		env[shell] = s.base + "/-/lan/env?shell=" + shell
	}
	page := map[string]any{
		"name": "detour", "api_url": s.api, "openai_base_url": s.api + "/v1", "anthropic_base_url": s.api,
		"client_key_needed": s.keys, "env": env,
	}
	if s.sha256 != "" {
		page["ca"] = link{"url": s.base + "/-/lan/ca.crt", "sha256": s.sha256, "sha256_colons": colons(s.sha256)}
		page["note"] = "Compare sha256 with what detour prints on the machine it runs on before you trust the certificate."
	}
	if s.proxy != "" {
		page["proxy_url"] = s.proxy
	}
	writeJSON(w, http.StatusOK, page)
}

func certificate(w http.ResponseWriter, _ *http.Request, s site) {
	if s.sha256 == "" {
		refuse(w, http.StatusNotFound, "no_certificate", "this detour has no certificate authority")
		return
	}
	w.Header().Set("Content-Disposition", `attachment; filename="detour-ca.crt"`)
	write(w, http.StatusOK, "application/x-x509-ca-cert", s.caPEM)
}

// environment answers with a script. A mistake in the address is answered with a script too, and status 200, because
// the client is a shell that runs what it gets: the script says what is wrong and ends with a failure.
func environment(w http.ResponseWriter, r *http.Request, s site) {
	query := r.URL.Query()
	shell := query.Get("shell")
	if shell == "" {
		shell = "sh"
	}
	d, ok := dialectOf(shell)
	if !ok {
		refuse(w, http.StatusBadRequest, "unknown_shell", "shell must be one of "+strings.Join(shells(), ", "))
		return
	}
	var script string
	switch digits, valid := fingerprint(query.Get("sha256")); {
	case !valid:
		script = d.fail("detour: sha256 must be the 64 hexadecimal digits of the certificate's fingerprint; nothing was set")
	case digits != "" && s.sha256 == "":
		script = d.fail("detour: this detour has no certificate; leave sha256 out to use its API only. Nothing was set")
	case digits == "" && s.sha256 != "":
		script = d.fail(instructions(s, shell)...)
	default:
		script = d.script(s, digits)
	}
	write(w, http.StatusOK, "text/plain; charset=utf-8", []byte(script))
}

// fingerprint normalises what a person typed: colons, spaces and case do not matter. "" is valid.
func fingerprint(typed string) (digits string, valid bool) {
	digits = strings.ToLower(strings.NewReplacer(":", "", " ", "").Replace(typed))
	if digits == "" {
		return "", typed == ""
	}
	b, err := hex.DecodeString(digits)
	return digits, err == nil && len(b) == sha256.Size
}

func colons(digits string) string {
	var b bytes.Buffer
	for i := 0; i+2 <= len(digits); i += 2 {
		if i > 0 {
			b.WriteByte(':')
		}
		b.WriteString(strings.ToUpper(digits[i : i+2]))
	}
	return b.String()
}
