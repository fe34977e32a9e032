package truststore_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"detour/ca/truststore"
)

// recorder is a program that does nothing but write down how it was called: its name, its arguments with certificate
// files by kind rather than by name, and what it was given to read. certutil says that a certificate is there once it
// has been added.
const recorder = `#!/bin/sh
name=${0##*/}
line=$name
for a in "$@"; do
	case $a in *.crt|*.pem) [ -f "$a" ] && a=FILE ;; esac
	line="$line [$a]"
done
case "$name $1" in
"certutil -V") [ -f "$LOG.added" ]; exit ;;
"certutil -A") : > "$LOG.added" ;;
"keytool -list") exit 0 ;;
esac
echo "$line" >> "$LOG"
[ "$1 $2" = "-- tee" ] && while read -r text; do echo "	$text" >> "$LOG"; done
exit 0
`

// TestLibraryDoesWhatThePlanSays runs the real library, and then the steps of the plan in a shell, in a place where
// every program that could change something is a recorder, and compares the records.
func TestLibraryDoesWhatThePlanSays(t *testing.T) {
	t.Parallel()
	if verb := os.Getenv("TRUSTSTORE_TEST_VERB"); verb != "" {
		act := truststore.Install
		if verb == "uninstall" {
			act = truststore.Uninstall
		}
		plan, err := os.Create(os.Getenv("PLAN"))
		if err != nil {
			t.Fatal(err)
		}
		err = act(t.Context(), truststore.Options{Path: os.Getenv("CERT"), System: true, NSS: true, Java: true, Out: plan})
		if err := errors.Join(err, plan.Close()); err != nil {
			t.Fatal(err)
		}
		return
	}
	if runtime.GOOS != "linux" {
		t.Skip("needs Linux, where everything is done through programs")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	home, cert := t.TempDir(), certificate(t, nil)
	bin := filepath.Join(home, "bin")
	for _, name := range []string{"bin/sudo", "bin/certutil", "bin/update-ca-certificates", "bin/update-ca-trust", "bin/trust", "my jdk/bin/keytool"} {
		place(t, filepath.Join(home, name), recorder)
	}
	place(t, filepath.Join(home, "my jdk/lib/security/cacerts"), "")
	place(t, filepath.Join(home, ".pki/nssdb/cert9.db"), "")
	place(t, filepath.Join(home, ".mozilla/firefox/my profile/cert9.db"), "")

	for _, verb := range []string{"install", "uninstall"} {
		log := filepath.Join(home, verb)
		env := []string{"HOME=" + home, "TMPDIR=" + home, "PATH=" + bin, "JAVA_HOME=" + filepath.Join(home, "my jdk"), "CERT=" + cert, "PLAN=" + log + ".steps"}
		if verb == "uninstall" {
			place(t, log+".added", "")
			place(t, log+".plan.added", "")
		}
		library := exec.CommandContext(t.Context(), self, "-test.run=^TestLibraryDoesWhatThePlanSays$")
		library.Env = append(env, "TRUSTSTORE_TEST_VERB="+verb, "LOG="+log)
		out, err := library.CombinedOutput()
		if strings.Contains(string(out), "a folder for additional certificates is missing") {
			t.Skip("this machine has no folder for additional certificates")
		}
		if err != nil {
			t.Fatalf("%s: %v\n%s", verb, err, out)
		}
		for line := range strings.Lines(text(t, log+".steps")) {
			if strings.HasPrefix(line, "note: ") {
				continue
			}
			shell := exec.CommandContext(t.Context(), "/bin/sh", "-c", line)
			shell.Env = append(env, "LOG="+log+".plan")
			if out, err := shell.CombinedOutput(); err != nil {
				t.Errorf("the step %q cannot be run: %v\n%s", line, err, out)
			}
		}
		did, planned := contents(t, log), contents(t, log+".plan")
		if did != planned || did == "" {
			t.Errorf("%s: the library did\n%s\nthe plan does\n%s", verb, did, planned)
		}
	}
}

// contents returns the records without regard to the order of programs, which the library does not promise.
func contents(t *testing.T, path string) string {
	t.Helper()
	var keytool, rest string
	for line := range strings.Lines(text(t, path)) {
		if strings.HasPrefix(line, "keytool") {
			keytool += line
		} else {
			rest += line
		}
	}
	return rest + keytool
}

func text(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Error(err)
	}
	return string(b)
}

func place(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
		t.Fatal(err)
	}
}
