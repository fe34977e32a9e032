package door_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"detour/internal/clientkey"
	"detour/internal/door"
)

// root makes a self-signed certificate, and its fingerprint.
func root(t *testing.T) (certificate, key []byte, fingerprint string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test root"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(der)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), hex.EncodeToString(sum[:])
}

// shell runs scripts in one kind of shell.
type shell struct {
	name string
	args []string
	// source is a program that runs the script in the file $SCRIPT as a person would, shows the exit status, and then
	// the exported variables.
	source string
}

const dump = "\nenv -0 >\"$DUMP\"\n"

func allShells() []shell {
	posix := `eval "$(cat "$SCRIPT")"` + "\n" + `printf %s "$?" >"$RC"` + dump
	return []shell{
		{"sh", []string{"-c"}, posix},
		{"dash", []string{"-c"}, posix},
		{"bash", []string{"-c"}, posix},
		{"bash strict", []string{"-c"}, "set -u; set -o noclobber pipefail; alias cat=false; shopt -s expand_aliases\n" + strings.ReplaceAll(strings.ReplaceAll(posix, ">\"$", ">|\"$"), "cat \"$S", "command cat \"$S")},
		{"zsh", []string{"-f", "-c"}, posix},
		{"fish", []string{"--no-config", "-c"}, `cat $SCRIPT | source` + "\n" + `printf %s $status >$RC` + "\n" + `env -0 >$DUMP`},
		{"pwsh", []string{"-NoProfile", "-Command"}, `try { Get-Content -Raw $env:SCRIPT | iex; $rc = 0 } catch { [Console]::Error.WriteLine($_); $rc = 1 }; [IO.File]::WriteAllText($env:RC, "$rc"); env -0 > $env:DUMP`},
	}
}

// need skips the test when the shell is not there.
func (s shell) need(t *testing.T) {
	t.Helper()
	program, _, _ := strings.Cut(s.name, " ")
	if _, err := exec.LookPath(program); err != nil {
		t.Skipf("%s is not installed", program)
	}
}

// parameter is the name that the shell has in addresses.
func (s shell) parameter() string {
	switch s.name {
	case "dash", "sh":
		return "sh"
	case "bash strict":
		return "bash"
	}
	return s.name
}

// result is what a script left behind.
type result struct {
	rc     string
	set    map[string]string // variables that were not there before or had another value
	stderr string
	home   string
}

// run runs script in a shell with a home of its own.
func (s shell) run(t *testing.T, script string, extra ...string) result {
	t.Helper()
	home := t.TempDir()
	file, rc, out := filepath.Join(home, "script"), filepath.Join(home, "rc"), filepath.Join(home, "env")
	if err := os.WriteFile(file, []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	program, _, _ := strings.Cut(s.name, " ")
	cmd := exec.CommandContext(t.Context(), program, append(s.args, s.source)...)
	cmd.Env = append([]string{"HOME=" + home, "PATH=" + os.Getenv("PATH"), "SCRIPT=" + file, "RC=" + rc, "DUMP=" + out}, extra...)
	cmd.Dir = home
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s", s.name, err, stderr.String())
	}
	res := result{stderr: stderr.String(), home: home, set: map[string]string{}}
	code, err := os.ReadFile(rc)
	if err != nil {
		t.Fatal(err)
	}
	res.rc = string(code)
	after, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	for v := range strings.SplitSeq(string(after), "\x00") {
		name, value, ok := strings.Cut(v, "=")
		if ok && !slices.Contains(cmd.Env, v) && !slices.Contains([]string{"_", "PWD", "SHLVL", "OLDPWD", "TERM", "LOGNAME", "USER"}, name) {
			res.set[name] = value
		}
	}
	return res
}

func fetch(t *testing.T, url string) (int, string, http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body), resp.Header
}

// lanServer serves a door with LAN pages; certificate is what it claims to be its CA.
func lanServer(t *testing.T, lan *door.LAN) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(door.New(door.Options{
		Router: http.NotFoundHandler(), LAN: lan, Verify: func(string) (clientkey.Key, bool) { return clientkey.Key{}, false },
	}))
	t.Cleanup(s.Close)
	return s
}

func lan(certificate []byte) *door.LAN {
	return &door.LAN{
		CACert:   func() []byte { return certificate },
		ProxyURL: func(host string) string { return "http://" + host + ":4142" },
	}
}
