package door_test

import (
	"bytes"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"detour/internal/door"
)

func TestScriptSetsEverythingWhenTheFingerprintMatches(t *testing.T) {
	t.Parallel()
	cert, _, fp := root(t)
	server := lanServer(t, lan(cert))
	for _, sh := range allShells() {
		t.Run(sh.name, func(t *testing.T) {
			t.Parallel()
			sh.need(t)
			_, script, _ := fetch(t, server.URL+"/-/lan/env?shell="+sh.parameter()+"&sha256="+fp)
			got := sh.run(t, script, "NO_PROXY=intra.example,localhost")
			if got.rc != "0" {
				t.Fatalf("status %s: %s", got.rc, got.stderr)
			}
			dir := got.home + "/.config/detour/lan/"
			bundle := dir + "bundle-" + fp + ".pem"
			want := map[string]string{
				"OPENAI_BASE_URL": server.URL + "/v1", "ANTHROPIC_BASE_URL": server.URL,
				"HTTPS_PROXY": "http://127.0.0.1:4142", "HTTP_PROXY": "http://127.0.0.1:4142",
				"https_proxy": "http://127.0.0.1:4142", "http_proxy": "http://127.0.0.1:4142", "NODE_USE_ENV_PROXY": "1",
				"NO_PROXY": "intra.example,localhost,127.0.0.1,::1", "no_proxy": "intra.example,localhost,127.0.0.1,::1",
				"NODE_EXTRA_CA_CERTS": dir + "extra-" + fp + ".pem", "DENO_CERT": dir + "ca-" + fp + ".crt",
				"SSL_CERT_FILE": bundle, "REQUESTS_CA_BUNDLE": bundle, "CURL_CA_BUNDLE": bundle, "GIT_SSL_CAINFO": bundle,
				"PIP_CERT": bundle, "AWS_CA_BUNDLE": bundle, "CARGO_HTTP_CAINFO": bundle, "CODEX_CA_CERTIFICATE": bundle,
			}
			if _, err := os.Stat("/etc/ssl/certs/ca-certificates.crt"); err != nil {
				t.Skip("this machine has no system certificate bundle")
			}
			if !maps.Equal(got.set, want) {
				t.Errorf("variables:\n got %v\nwant %v", got.set, want)
			}
			for _, name := range []string{"NODE_EXTRA_CA_CERTS", "DENO_CERT"} {
				if data, err := os.ReadFile(want[name]); err != nil || string(data) != string(cert) {
					t.Errorf("%s is not the certificate: %v", name, err)
				}
			}
			data, err := os.ReadFile(bundle)
			if err != nil || !bytes.HasSuffix(data, cert) || bytes.Count(data, []byte("BEGIN CERT")) < 2 {
				t.Errorf("the bundle has no system certificates or not ours at its end: %v", err)
			}
			left, err := filepath.Glob(dir + "*")
			if err != nil || len(left) != 3 {
				t.Errorf("files left: %v, %v", left, err)
			}
		})
	}
}

func TestScriptSetsNothingWhenSomethingIsWrong(t *testing.T) {
	t.Parallel()
	cert, _, fp := root(t)
	_, _, other := root(t)
	server := lanServer(t, lan(cert))
	closed := lanServer(t, lan(cert))
	gone := map[string]string{}
	for _, sh := range allShells() {
		_, gone[sh.name], _ = fetch(t, closed.URL+"/-/lan/env?shell="+sh.parameter()+"&sha256="+fp)
	}
	closed.Close()
	for _, sh := range allShells() {
		for _, test := range []struct {
			name, query, script, says string
			env                       []string
		}{
			{name: "another certificate", query: "&sha256=" + other, says: "not the one you named"},
			{name: "no fingerprint", says: "FINGERPRINT"},
			{name: "no fingerprint value", query: "&sha256=", says: "FINGERPRINT"},
			{name: "short fingerprint", query: "&sha256=abcd", says: "64 hexadecimal"},
			{name: "fingerprint with a command", query: "&sha256=%27%3Btouch%20x%3B%27", says: "64 hexadecimal"},
			{name: "server gone", script: gone[sh.name]},
			{name: "key that is none", query: "&sha256=" + fp, env: []string{"DETOUR_KEY=a b"}, says: "DETOUR_KEY"},
		} {
			t.Run(sh.name+"/"+test.name, func(t *testing.T) {
				sh.need(t)
				script := test.script
				if script == "" {
					_, script, _ = fetch(t, server.URL+"/-/lan/env?shell="+sh.parameter()+test.query)
				}
				got := sh.run(t, script, test.env...)
				if got.rc == "0" || got.rc == "" {
					t.Errorf("status %q", got.rc)
				}
				if len(got.set) != 0 {
					t.Errorf("set %v", got.set)
				}
				if !strings.Contains(got.stderr, test.says) {
					t.Errorf("stderr lacks %q: %s", test.says, got.stderr)
				}
				if left, _ := filepath.Glob(got.home + "/.config/detour/lan/*"); len(left) != 0 {
					t.Errorf("files left: %v", left)
				}
				if _, err := os.Stat(got.home + "/x"); err == nil {
					t.Error("a command in the address was run")
				}
			})
		}
	}
}

func TestScriptPassesHostileValuesAsText(t *testing.T) {
	t.Parallel()
	const nasty = "http://h/a'b\"c$(touch x)`touch x`\\ \\'; touch x #\u2019; touch x; %s"
	server := lanServer(t, &door.LAN{APIURL: func(string) string { return nasty }})
	for _, sh := range allShells() {
		t.Run(sh.name, func(t *testing.T) {
			t.Parallel()
			sh.need(t)
			_, script, _ := fetch(t, server.URL+"/-/lan/env?shell="+sh.parameter())
			got := sh.run(t, script)
			want := map[string]string{"OPENAI_BASE_URL": nasty + "/v1", "ANTHROPIC_BASE_URL": nasty}
			if got.rc != "0" || !maps.Equal(got.set, want) {
				t.Errorf("status %s, set %v, stderr %s", got.rc, got.set, got.stderr)
			}
			if _, err := os.Stat(got.home + "/x"); err == nil {
				t.Error("a value was run")
			}
		})
	}
}

func TestScriptUsesTheClientKey(t *testing.T) {
	t.Parallel()
	cert, _, fp := root(t)
	options := lan(cert)
	options.KeysNeeded = true
	server := lanServer(t, options)
	for _, sh := range allShells() {
		t.Run(sh.name, func(t *testing.T) {
			t.Parallel()
			sh.need(t)
			_, script, _ := fetch(t, server.URL+"/-/lan/env?shell="+sh.parameter()+"&sha256="+fp)
			got := sh.run(t, script, "DETOUR_KEY=dtr_abc-_9")
			if got.set["HTTPS_PROXY"] != "http://detour:dtr_abc-_9@127.0.0.1:4142" || got.set["OPENAI_API_KEY"] != "dtr_abc-_9" || got.set["ANTHROPIC_AUTH_TOKEN"] != "dtr_abc-_9" {
				t.Errorf("set %v", got.set)
			}
			if got = sh.run(t, script); !strings.Contains(got.stderr, "set DETOUR_KEY") {
				t.Errorf("no word about the key that is needed: %s", got.stderr)
			}
		})
	}
}

func TestScriptTwiceIsTheSameAndKeepsTheUsersCertificates(t *testing.T) {
	t.Parallel()
	cert, _, fp := root(t)
	company, _, _ := root(t)
	server := lanServer(t, lan(cert))
	for _, sh := range allShells() {
		t.Run(sh.name, func(t *testing.T) {
			t.Parallel()
			sh.need(t)
			_, script, _ := fetch(t, server.URL+"/-/lan/env?shell="+sh.parameter()+"&sha256="+fp)
			own := filepath.Join(t.TempDir(), "company ca.pem")
			if err := os.WriteFile(own, company, 0o600); err != nil {
				t.Fatal(err)
			}
			config := t.TempDir()
			env := []string{"XDG_CONFIG_HOME=" + config, "SSL_CERT_FILE=" + own, "NODE_EXTRA_CA_CERTS=" + own}
			first := sh.run(t, script, env...)
			wantFiles := func() {
				t.Helper()
				for _, name := range []string{"bundle-", "extra-"} {
					data, err := os.ReadFile(config + "/detour/lan/" + name + fp + ".pem")
					if err != nil || string(data) != string(company)+"\n"+string(cert) {
						t.Errorf("%s is not the company's certificate and ours: %v\n%s", name, err, data)
					}
				}
			}
			wantFiles()
			again := []string{"XDG_CONFIG_HOME=" + config}
			for k, v := range first.set {
				again = append(again, k+"="+v)
			}
			second := sh.run(t, script, again...)
			if second.rc != "0" || len(second.set) != 0 {
				t.Errorf("second run changed %v (status %s)", second.set, second.rc)
			}
			extra, err := os.ReadFile(config + "/detour/lan/extra-" + fp + ".pem")
			if err != nil || string(extra) != string(company)+"\n"+string(cert) {
				t.Errorf("second run lost the company's certificate: %v", err)
			}
		})
	}
}

// TestScriptWithFewTools runs with only some of the programs that it can use.
func TestScriptWithFewTools(t *testing.T) {
	t.Parallel()
	cert, _, fp := root(t)
	_, _, other := root(t)
	server := lanServer(t, lan(cert))
	basics := []string{"mkdir", "mktemp", "rm", "mv", "cp", "chmod", "cat", "awk", "sed", "base64", "env", "sh", "bash", "dash", "zsh", "fish"}
	for _, tools := range [][]string{{"wget", "openssl"}, {"curl", "sha256sum"}, {"wget", "shasum"}, {"curl"}, {"sha256sum"}} {
		name := strings.Join(tools, " ")
		bin := t.TempDir()
		missing := ""
		for _, tool := range append(slices.Clone(basics), tools...) {
			if at, err := exec.LookPath(tool); err == nil {
				if err := os.Symlink(at, filepath.Join(bin, tool)); err != nil {
					t.Fatal(err)
				}
			} else if slices.Contains(tools, tool) {
				missing = tool
			}
		}
		for _, sh := range allShells() {
			if sh.name == "pwsh" {
				continue // needs no tools
			}
			t.Run(name+"/"+sh.name, func(t *testing.T) {
				sh.need(t)
				if missing != "" {
					t.Skipf("%s is not installed", missing)
				}
				_, script, _ := fetch(t, server.URL+"/-/lan/env?shell="+sh.parameter()+"&sha256="+fp)
				got := sh.run(t, script, "PATH="+bin)
				if enough := len(tools) == 2; (got.rc == "0") != enough || (len(got.set) > 0) != enough {
					t.Errorf("status %s, set %d variables: %s", got.rc, len(got.set), got.stderr)
				}
				_, script, _ = fetch(t, server.URL+"/-/lan/env?shell="+sh.parameter()+"&sha256="+other)
				if got := sh.run(t, script, "PATH="+bin); got.rc == "0" || len(got.set) > 0 {
					t.Errorf("another certificate: status %s, set %v", got.rc, got.set)
				}
			})
		}
	}
}

// TestInstructionsWork follows them to the letter.
func TestInstructionsWork(t *testing.T) {
	t.Parallel()
	cert, _, fp := root(t)
	server := lanServer(t, lan(cert))
	for _, sh := range allShells() {
		if sh.name == "bash strict" || sh.name == "pwsh" {
			continue
		}
		t.Run(sh.name, func(t *testing.T) {
			t.Parallel()
			sh.need(t)
			_, script, _ := fetch(t, server.URL+"/-/lan/env?shell="+sh.parameter())
			told := sh.run(t, script).stderr
			if strings.Contains(told, fp) {
				t.Error("the instructions show the fingerprint, which proves nothing there")
			}
			var line string
			for l := range strings.SplitSeq(told, "\n") {
				if strings.Contains(l, "=FINGERPRINT") {
					line = strings.ReplaceAll(strings.TrimSpace(l), "FINGERPRINT", fp)
				}
			}
			sh.source = line + "\n" + strings.SplitN(sh.source, "\n", 2)[1]
			if got := sh.run(t, ""); got.rc != "0" || got.set["OPENAI_BASE_URL"] != server.URL+"/v1" {
				t.Errorf("%s\nstatus %s, set %v: %s", line, got.rc, got.set, got.stderr)
			}
		})
	}
}
