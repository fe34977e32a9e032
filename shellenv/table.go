package shellenv

// kind says what a certificate variable points at.
type kind int

const (
	merged kind = iota // replaces the program's roots: public roots, or the user's own file, with ours added
	extra              // adds to the program's roots: the user's own file, with ours added
)

// caVar is a variable that names a certificate file.
type caVar struct {
	name string
	kind kind
	// before lists what the program falls back to when name is not set, best first. What it names is what the program
	// trusts today, and setting name would hide it.
	before []string
	// ifSet leaves the variable alone unless the user has it: the program is reached through one of before or through
	// another variable of this table, and setting name as well would override the program's own configuration file.
	ifSet bool
}

// caVars returns the table, in the order that variables are written in.
//
// Left out on purpose: SSL_CERT_DIR, which OpenSSL reads beside SSL_CERT_FILE; NODE_OPTIONS=--use-system-ca, with which
// Claude Code drops its bundled roots; NODE_USE_SYSTEM_CA, because NODE_EXTRA_CA_CERTS already reaches every version of
// Node and this one additionally changes which public roots are trusted; everything that switches checks off.
func caVars() []caVar {
	return []caVar{
		{name: "NODE_EXTRA_CA_CERTS", kind: extra},
		{name: "DENO_CERT", kind: extra},
		{name: "SSL_CERT_FILE"},
		{name: "REQUESTS_CA_BUNDLE", before: []string{"CURL_CA_BUNDLE"}},
		{name: "CURL_CA_BUNDLE", before: []string{"SSL_CERT_FILE"}},
		{name: "GIT_SSL_CAINFO"},
		{name: "CODEX_CA_CERTIFICATE", before: []string{"SSL_CERT_FILE"}},
		{name: "PERL_LWP_SSL_CA_FILE", before: []string{"HTTPS_CA_FILE"}},
		{name: "HTTPLIB2_CA_CERTS"},
		{name: "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"},
		{name: "AWS_CA_BUNDLE", before: []string{"REQUESTS_CA_BUNDLE"}, ifSet: true},
		{name: "PIP_CERT", before: []string{"REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"}, ifSet: true},
		{name: "CARGO_HTTP_CAINFO", before: []string{"SSL_CERT_FILE"}, ifSet: true},
		{name: "npm_config_cafile", ifSet: true},
		{name: "NPM_CONFIG_CAFILE", ifSet: true},
		{name: "BUNDLE_SSL_CA_CERT", ifSet: true},
		{name: "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE", ifSet: true},
		{name: "NIX_SSL_CERT_FILE", ifSet: true},
		{name: "CONDA_SSL_VERIFY", ifSet: true},
	}
}
