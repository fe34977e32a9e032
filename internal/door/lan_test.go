package door_test

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"strings"
	"testing"

	"detour/internal/door"
)

func TestLANPagesNeedNoKeyAndOnlyRead(t *testing.T) {
	t.Parallel()
	cert, _, fp := root(t)
	o := door.Options{Verify: verify, LAN: lan(cert)}
	remote := func(r *http.Request) { r.RemoteAddr, r.Host = "192.168.1.9:1", "192.168.1.5:4141" }
	got := ask(t, o, http.MethodGet, "/-/lan/ca.crt", remote)
	if got.body != string(cert) || got.header.Get("Content-Type") != "application/x-x509-ca-cert" {
		t.Errorf("ca.crt: %d %v", got.status, got.header)
	}
	got = ask(t, o, http.MethodGet, "/-/lan/bootstrap.json", remote)
	var page struct {
		API   string `json:"api_url"`
		Proxy string `json:"proxy_url"`
		CA    struct{ URL, SHA256 string }
		Env   map[string]string
	}
	if err := json.Unmarshal([]byte(got.body), &page); err != nil {
		t.Fatal(err)
	}
	if page.API != "http://192.168.1.5:4141" || page.Proxy != "http://192.168.1.5:4142" || page.CA.SHA256 != fp ||
		page.CA.URL != "http://192.168.1.5:4141/-/lan/ca.crt" || len(page.Env) != 5 {
		t.Errorf("%s", got.body)
	}
	for _, path := range []string{"/-/lan/ca.crt", "/-/lan/bootstrap.json", "/-/lan/env"} {
		if got := ask(t, o, http.MethodHead, path, remote); got.status != http.StatusOK {
			t.Errorf("HEAD %s: %d", path, got.status)
		}
		if got := ask(t, o, http.MethodPost, path, remote); got.status != http.StatusMethodNotAllowed {
			t.Errorf("POST %s: %d", path, got.status)
		}
	}
	if got := ask(t, o, http.MethodGet, "/-/lan/env?shell=tcsh", remote); got.status != http.StatusBadRequest {
		t.Errorf("unknown shell: %d", got.status)
	}
	if got := ask(t, o, http.MethodGet, "/-/lan/other", remote); got.routed || got.status != http.StatusUnauthorized {
		t.Errorf("another path is open: %d", got.status)
	}
	if got := ask(t, door.Options{LAN: &door.LAN{}}, http.MethodGet, "/-/lan/ca.crt", nil); got.status != http.StatusNotFound {
		t.Errorf("without a CA: %d", got.status)
	}
}

func TestIPv6HostIsBracketedInAddresses(t *testing.T) {
	t.Parallel()
	cert, _, fp := root(t)
	o := door.Options{LAN: lan(cert), Hosts: []string{"fd00::1"}}
	got := ask(t, o, http.MethodGet, "/-/lan/env?sha256="+fp, func(r *http.Request) { r.Host = "[fd00::1]:4141" })
	for _, want := range []string{"__detour_api='http://[fd00::1]:4141';", "__detour_proxy='http://[fd00::1]:4142';", "__detour_host='fd00::1';"} {
		if !strings.Contains(got.body, want) {
			t.Errorf("no %s in\n%s", want, got.body[:300])
		}
	}
}

// TestPrivateKeyIsNeverServed gives the door a source that holds the key as well.
func TestPrivateKeyIsNeverServed(t *testing.T) {
	t.Parallel()
	cert, key, _ := root(t)
	second, _, _ := root(t)
	for name, source := range map[string][]byte{
		"key first": append(bytes.Clone(key), cert...), "key last": append(bytes.Clone(cert), key...), "only the key": key,
		"two certificates": append(append(bytes.Clone(cert), second...), key...),
		"headers":          append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Headers: map[string]string{"Key": "PRIVATE KEY"}, Bytes: firstBlock(t, cert)}), key...),
	} {
		for _, path := range []string{
			"/", "/health", "/-/lan/", "/-/lan/ca.crt", "/-/lan/ca.key", "/-/lan/root.key", "/-/lan/bootstrap.json", "/-/lan/env", "/-/lan/env?shell=fish",
			"/-/lan/env?shell=pwsh", "/-/lan/env?sha256=" + strings.Repeat("0", 64), "/-/lan/../ca/ca.key", "/-/lan/%2e%2e/ca.key",
		} {
			o := door.Options{LAN: lan(source)}
			got := ask(t, o, http.MethodGet, path, nil)
			if strings.Contains(got.body, "PRIVATE") || strings.Contains(got.body, strings.Split(string(key), "\n")[1]) {
				t.Errorf("%s: %s serves the private key", name, path)
			}
			if path == "/-/lan/ca.crt" && name != "only the key" && got.body != string(cert) {
				t.Errorf("%s: more or less than the first certificate: %s", name, got.body)
			}
		}
	}
}

func firstBlock(t *testing.T, data []byte) []byte {
	t.Helper()
	block, _ := pem.Decode(data)
	if block == nil {
		t.Fatal("no PEM")
	}
	return block.Bytes
}
