//go:build e2e

package e2e_test

import (
	"net"
	"strings"
	"testing"
)

// A detour that other machines can reach asks for keys, guards what it dials, and helps devices to trust it.
func TestReachableDetour(t *testing.T) {
	t.Parallel()
	need(t, "curl", "openssl")
	w := newWorld(t, nil, "", "alice")
	w.stop()
	w.api, w.proxy = "", ""
	w.start("--host", "0.0.0.0", "--insecure-allow-remote")
	_, apiPort, _ := net.SplitHostPort(w.api)
	api, proxy := "http://127.0.0.1:"+apiPort, "127.0.0.1:"+w.proxyPort()

	curl := func(args ...string) string {
		t.Helper()
		out, err := w.run(t, nil, append([]string{"curl", "-sS", "-w", "\n%{http_code} %{http_connect}"}, args...)...)
		if err != nil {
			out += err.Error()
		}
		return out
	}
	ask := []string{"-d", body("lan", false), "-H", "Content-Type: application/json"}
	if out := curl(append(ask, api+"/v1/chat/completions")...); !strings.Contains(out, "\n401 ") {
		t.Errorf("without a key: %s", out)
	}
	out, err := w.run(t, nil, binary, "key", "create", "phone")
	if err != nil {
		t.Fatal(err)
	}
	key := ""
	for _, f := range strings.Fields(out) {
		if strings.HasPrefix(f, "dtr_") {
			key = f
		}
	}
	if key == "" {
		t.Fatalf("key create printed %q", out)
	}
	for _, header := range []string{"Authorization: Bearer " + key, "x-api-key: " + key} {
		if out := curl(append(ask, "-H", header, api+"/v1/chat/completions")...); !strings.Contains(out, "\n200 ") {
			t.Errorf("with the key in %s: %s", header[:10], out)
		}
	}
	if out := curl("-x", "http://"+proxy, "https://"+site+"/"); !strings.Contains(out, " 407") {
		t.Errorf("proxy without a key: %s", out)
	}
	if out := curl("-x", "http://phone:"+key+"@"+proxy, "https://"+site+"/"); !strings.Contains(out, " 200") && !strings.Contains(out, "private") {
		t.Errorf("proxy with the key: %s", out)
	}
	for _, inner := range []string{"127.0.0.1:1", "169.254.169.254:80", "[::1]:443", "10.0.0.1:443"} {
		if out := curl("--proxytunnel", "-x", "http://phone:"+key+"@"+proxy, "http://"+inner+"/"); strings.Contains(out, " 200") {
			t.Errorf("the guard let %s through: %s", inner, out)
		}
	}
	// The owner's own shells find the door by themselves, wherever flags have put it, and have the secret for it.
	if out, err := w.run(t, nil, "sh", "-c", `eval "$(detour proxy env)"; curl -sS --fail -d '`+body("owner", false)+`' https://api.openai.com/v1/chat/completions`); err != nil || !strings.Contains(out, "owner") {
		t.Errorf("the owner's own shell: %s %v", out, err)
	}
	bootstrap := curl(api + "/-/lan/bootstrap.json")
	cert := curl(api + "/-/lan/ca.crt")
	if !strings.Contains(bootstrap, "sha256") || !strings.Contains(cert, "BEGIN CERTIFICATE") || strings.Contains(cert, "PRIVATE") {
		t.Errorf("bootstrap %s\ncertificate %s", bootstrap, cert)
	}
	if !strings.Contains(w.stderr.String(), "SHA-256") {
		t.Errorf("the fingerprint is not printed at start:\n%s", w.stderr)
	}
	// The owner reads the fingerprint off the server and types it on the device.
	fp, err := w.run(t, nil, "sh", "-c", "openssl x509 -in detour/ca/ca.crt -outform der | openssl dgst -sha256 -r | cut -d' ' -f1")
	if err != nil {
		t.Fatal(err)
	}
	fp = strings.TrimSpace(fp)
	device := `unset SSL_CERT_FILE CURL_CA_BUNDLE; eval "$(curl -sS '` + api + `/-/lan/env?shell=sh&sha256=SUM')"; echo "proxy=$HTTPS_PROXY base=$OPENAI_BASE_URL"`
	out, err = w.run(t, nil, "sh", "-c", strings.Replace(device, "SUM", fp, 1))
	if err != nil || !strings.Contains(out, "base=http") || strings.Contains(out, "proxy= ") {
		t.Errorf("device with the right fingerprint: %v %s", err, out)
	}
	out, _ = w.run(t, nil, "sh", "-c", strings.Replace(device, "SUM", strings.Repeat("0", 64), 1))
	if strings.Contains(out, "base=http") {
		t.Errorf("device with a wrong fingerprint set its variables: %s", out)
	}
}

func TestLANPagesAreOffByDefault(t *testing.T) {
	t.Parallel()
	need(t, "curl")
	w := newWorld(t, nil, "", "alice")
	for _, page := range []string{"bootstrap.json", "ca.crt", "env?shell=sh"} {
		if out, err := w.run(t, nil, "curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "http://"+w.api+"/-/lan/"+page); err != nil || out != "404" {
			t.Errorf("%s: %s %v", page, out, err)
		}
	}
}

func TestAPagesOwnNameCannotReachTheDoor(t *testing.T) {
	t.Parallel()
	need(t, "curl")
	w := newWorld(t, nil, "", "alice")
	for _, header := range []string{"Host: evil.example", "Origin: https://evil.example"} {
		out, err := w.run(t, nil, "curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "-H", header, "http://"+w.api+"/v1/models")
		if err != nil || !strings.HasPrefix(out, "4") {
			t.Errorf("%s: %s %v", header, out, err)
		}
	}
}
