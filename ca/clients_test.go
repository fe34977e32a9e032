package ca_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"detour/ca"
)

// site is a TLS server for every name, with a proxy in front of it that tunnels every CONNECT to it.
type site struct {
	host, port string // of the server
	proxy      string // URL
	root       string // PEM file with our root alone
	bundle     string // merged PEM file
	home       string // an empty HOME
}

// Names that the site answers to with a forged certificate: one for another site, one that mixes a permitted name in.
const (
	goodHost   = "api.openai.test"
	otherSite  = "evil.example"
	mixedNames = "x.api.openai.test"
)

func newSite(t *testing.T, a *ca.Authority) *site {
	t.Helper()
	certs := map[string]*tls.Certificate{
		goodHost:   certificate(t, a, goodHost),
		otherSite:  forge(t, a, x509.Certificate{DNSNames: []string{otherSite}}),
		mixedNames: forge(t, a, x509.Certificate{DNSNames: []string{mixedNames, "evil.example"}}),
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/info/refs"): // a repository in the simplest form that git reads
			fmt.Fprintf(w, "%s\trefs/heads/main\n", strings.Repeat("1", 40))
		case strings.HasSuffix(r.URL.Path, "/HEAD"):
			fmt.Fprint(w, "ref: refs/heads/main\n")
		default:
			fmt.Fprint(w, "accepted")
		}
	}))
	server.TLS = &tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		if c := certs[hello.ServerName]; c != nil {
			return c, nil
		}
		return nil, fmt.Errorf("no certificate for %q", hello.ServerName)
	}}
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	bundle, err := a.Bundle()
	if err != nil {
		t.Fatal(err)
	}
	return &site{host: u.Hostname(), port: u.Port(), proxy: "http://" + tunnelTo(t, u.Host), root: a.RootPath(), bundle: bundle, home: t.TempDir()}
}

// tunnelTo runs a CONNECT proxy that leads everything to target, for clients that cannot be told an address.
func tunnelTo(t *testing.T, target string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { tunnel(ctx, conn, target) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		cancel()
		wg.Wait()
	})
	return listener.Addr().String()
}

// tunnel serves one CONNECT on conn until either side or ctx ends.
func tunnel(ctx context.Context, conn net.Conn, target string) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	if req, err := http.ReadRequest(in); err != nil || req.Method != http.MethodConnect {
		return
	}
	out, err := (&net.Dialer{}).DialContext(ctx, "tcp", target)
	if err != nil {
		return
	}
	defer out.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close(); out.Close() })
	defer stop()
	fmt.Fprint(conn, "HTTP/1.1 200 OK\r\n\r\n")
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = io.Copy(out, in); out.Close() })
	_, _ = io.Copy(conn, out)
	conn.Close()
	wg.Wait()
}

// client is a program of the machine that makes one request to host.
type client struct {
	name    string
	program string
	refusal string // a regular expression: how it says that the certificate is the reason
	command func(s *site, program, host string) (args, env []string)
}

func clients() []client {
	return []client{
		{"openssl s_client", "openssl", `Verif\w+ (return code|error):? ?.*permitted subtree violation`, func(s *site, _, host string) ([]string, []string) {
			return []string{"s_client", "-connect", s.host + ":" + s.port, "-servername", host, "-verify_hostname", host, "-verify_return_error", "-x509_strict", "-CAfile", s.root}, nil
		}},
		{"curl", "curl", `SSL certificate problem: permitted subtree violation`, func(s *site, _, host string) ([]string, []string) {
			return []string{"-sS", "--resolve", host + ":" + s.port + ":" + s.host, "https://" + host + ":" + s.port + "/"}, []string{"CURL_CA_BUNDLE=" + s.bundle}
		}},
		{"curl through a proxy", "curl", `permitted subtree violation`, func(s *site, _, host string) ([]string, []string) {
			return []string{"-sS", "https://" + host + "/"}, []string{"SSL_CERT_FILE=" + s.bundle, "https_proxy=" + s.proxy}
		}},
		{"node", "node", `permitted subtree violation|ERR_TLS|UNABLE_TO`, func(s *site, _, host string) ([]string, []string) {
			script := fmt.Sprintf(`require("https").get({host: %q, port: %s, lookup: (h, o, cb) => o.all ? cb(null, [{address: %q, family: 4}]) : cb(null, %[3]q, 4)},
				r => { r.pipe(process.stdout) }).on("error", e => { console.error(e.code, e.message); process.exit(1) })`, host, s.port, s.host)
			return []string{"-e", script}, []string{"NODE_EXTRA_CA_CERTS=" + s.root}
		}},
		{"python ssl", "python3", `CERTIFICATE_VERIFY_FAILED\] certificate verify failed: permitted subtree violation`, func(s *site, _, host string) ([]string, []string) {
			script := fmt.Sprintf(`
import socket, ssl
context = ssl.create_default_context()
context.verify_flags |= ssl.VERIFY_X509_STRICT
with context.wrap_socket(socket.create_connection((%q, %s)), server_hostname=%q) as s:
    print("accepted", s.version())
`, s.host, s.port, host)
			return []string{"-c", script}, []string{"SSL_CERT_FILE=" + s.bundle}
		}},
		{"python urllib", "python3", `CERTIFICATE_VERIFY_FAILED`, func(s *site, _, host string) ([]string, []string) {
			return []string{"-c", fmt.Sprintf("import urllib.request; print(urllib.request.urlopen(%q).read())", "https://"+host+"/")},
				[]string{"SSL_CERT_FILE=" + s.bundle, "https_proxy=" + s.proxy}
		}},
		{"git", "git", `[Cc]ertificate`, func(s *site, _, host string) ([]string, []string) {
			return []string{"ls-remote", "https://" + host + "/repo.git"}, []string{"GIT_SSL_CAINFO=" + s.bundle, "https_proxy=" + s.proxy, "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0"}
		}},
		{"wget", "wget", `[Cc]ertificate`, func(s *site, _, host string) ([]string, []string) {
			return []string{"-nv", "-t1", "-T5", "-O-", "--ca-certificate=" + s.bundle, "https://" + host + "/"}, []string{"https_proxy=" + s.proxy}
		}},
		{"gnutls-cli", "gnutls-cli", `[Cc]ertificate`, func(s *site, _, host string) ([]string, []string) {
			return []string{"--x509cafile", s.root, "-p", s.port, "--sni-hostname", host, "--verify-hostname", host, s.host}, nil
		}},
		{"java", "java", `[Cc]ert`, func(s *site, _, host string) ([]string, []string) {
			return []string{"-XX:TieredStopAtLevel=1", filepath.Join("testdata", "Client.java"), s.root, host, s.port}, nil
		}},
	}
}

// TestClients runs the TLS stacks that are installed here against a leaf of ours and against forgeries that the
// stolen key of the intermediate could sign.
func TestClients(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("runs a dozen programs; not with -short")
	}
	s := newSite(t, open(t, ca.Options{}))
	for _, c := range clients() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			program := program(t, c.program)
			refusal := regexp.MustCompile(c.refusal)
			for _, tc := range []struct {
				host string
				ok   bool
			}{{goodHost, true}, {otherSite, false}, {mixedNames, false}} {
				args, env := c.command(s, program, tc.host)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				cmd := exec.CommandContext(ctx, program, args...)
				cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.home, "LC_ALL=C"}, env...)
				out, err := cmd.CombinedOutput()
				switch {
				case tc.ok && err != nil:
					t.Errorf("%s was refused: %v\n%s", tc.host, err, out)
				case !tc.ok && err == nil:
					t.Errorf("%s was accepted\n%s", tc.host, out)
				case !tc.ok && !refusal.Match(out):
					t.Errorf("%s was refused for another reason than its certificate: %v\n%s", tc.host, err, out)
				}
			}
		})
	}
}

// program finds a program, past the wrappers of version managers, which need the real HOME.
func program(t *testing.T, name string) string {
	t.Helper()
	path := need(t, name)
	if name == "python3" {
		path = strings.TrimSpace(run(t, path, "-c", "import sys; print(sys.executable)"))
	}
	return path
}

func TestOpensslVerifyStrict(t *testing.T) {
	t.Parallel()
	openssl := need(t, "openssl")
	a := open(t, ca.Options{})
	dir := t.TempDir()
	verify := func(name string, c *tls.Certificate, host string) (string, error) {
		leaf := write(t, filepath.Join(dir, name+".pem"), pemOf(c.Leaf), 0o644)
		intermediate := write(t, filepath.Join(dir, name+"-chain.pem"), pemOf(parse(t, c.Certificate[1])), 0o644)
		out, err := exec.CommandContext(t.Context(), openssl, "verify", "-x509_strict", "-purpose", "sslserver", "-verify_hostname", host,
			"-CAfile", a.RootPath(), "-untrusted", intermediate, leaf).CombinedOutput()
		return string(out), err
	}
	if out, err := verify("good", certificate(t, a, goodHost), goodHost); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	for name, names := range map[string][]string{"other": {otherSite}, "mixed": {goodHost, otherSite}, "wildcard": {"*.openai.test"}} {
		out, err := verify(name, forge(t, a, x509.Certificate{DNSNames: names}), names[0])
		if err == nil || !strings.Contains(out, "permitted subtree violation") {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
	out, err := verify("address", forge(t, a, x509.Certificate{DNSNames: []string{goodHost}, IPAddresses: []net.IP{net.IPv4(10, 0, 0, 1)}}), goodHost)
	if err == nil || !strings.Contains(out, "excluded subtree violation") {
		t.Errorf("address: %v\n%s", err, out)
	}
}
