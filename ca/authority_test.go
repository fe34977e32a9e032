package ca_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"detour/ca"
)

func TestOpenCreatesOnceAndThenLoads(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "config", "ca")
	if _, err := ca.Load(ca.Options{Dir: dir}); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("Load without a folder: got %v, want fs.ErrNotExist", err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal("Load made the folder")
	}
	first := open(t, ca.Options{Dir: dir})
	again := open(t, ca.Options{Dir: dir, Hosts: []string{"other.test"}})
	loaded, err := ca.Load(ca.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	for name, a := range map[string]*ca.Authority{"Open": again, "Load": loaded} {
		if a.Generation() != first.Generation() || !a.Root().Equal(first.Root()) {
			t.Errorf("%s gave another authority", name)
		}
		if a.Covers("other.test") {
			t.Errorf("%s: options widened what the certificates permit", name)
		}
	}
	if got := read(t, first.RootPath()); !bytes.Equal(got, first.RootPEM()) {
		t.Error("RootPath does not hold RootPEM")
	}
}

func TestFilesArePrivate(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("no POSIX modes here")
	}
	dir := filepath.Join(t.TempDir(), "ca")
	open(t, ca.Options{Dir: dir})
	want := map[string]fs.FileMode{".": 0o700, "ca.crt": 0o644, "intermediate.crt": 0o644, "intermediate.key": 0o600, "generation.json": 0o644, "ca.lock": 0o600}
	for name, mode := range want {
		fi, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Error(err)
		} else if fi.Mode().Perm() != mode {
			t.Errorf("%s has mode %o, want %o", name, fi.Mode().Perm(), mode)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != len(want)-1 {
		t.Errorf("folder holds %v", entries)
	}
}

func TestRootKeyIsNotOnDisk(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "ca")
	a := open(t, ca.Options{Dir: dir})
	keys := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		for block, rest := pem.Decode(read(t, path)); block != nil; block, rest = pem.Decode(rest) {
			if !strings.Contains(block.Type, "PRIVATE") {
				continue
			}
			keys++
			key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
			if err != nil {
				return err
			}
			if key.(*ecdsa.PrivateKey).PublicKey.Equal(a.Root().PublicKey) {
				t.Errorf("%s holds the root's key", path)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if keys != 1 {
		t.Errorf("found %d private keys, want only the intermediate's", keys)
	}
}

// TestUnfitFilesAreRefusedAndKept damages one thing at a time and checks that both Open and Load refuse it with a
// way out, and that not a byte in the folder changes.
func TestUnfitFilesAreRefusedAndKept(t *testing.T) {
	t.Parallel()
	other := filepath.Join(t.TempDir(), "other")
	open(t, ca.Options{Dir: other})
	copyOther := func(names ...string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			for _, name := range names {
				write(t, filepath.Join(dir, name), read(t, filepath.Join(other, name)), 0o600)
			}
		}
	}
	remove := func(name string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	garbage := func(name, text string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) { write(t, filepath.Join(dir, name), []byte(text), 0o600) }
	}
	regenerate := "detour proxy ca regenerate"
	for _, tc := range []struct {
		name   string
		damage func(t *testing.T, dir string)
		want   []string // in the text of the error; DIR stands for the folder
	}{
		{"no root", remove("ca.crt"), []string{"DIR", "lacks ca.crt", regenerate}},
		{"no intermediate", remove("intermediate.crt"), []string{"DIR", "lacks intermediate.crt", regenerate}},
		{"no key", remove("intermediate.key"), []string{"DIR", "lacks intermediate.key", regenerate}},
		{"no manifest", remove("generation.json"), []string{"DIR", "lacks generation.json", regenerate}},
		{"other root", copyOther("ca.crt"), []string{"DIR/ca.crt", "does not belong to this generation", regenerate}},
		{"other intermediate", copyOther("intermediate.crt"), []string{"DIR/intermediate.crt", "does not belong", regenerate}},
		{"other key", copyOther("intermediate.key"), []string{"DIR/intermediate.key", "does not belong to intermediate.crt", regenerate}},
		{"other intermediate and key", copyOther("intermediate.crt", "intermediate.key"), []string{"DIR/intermediate.crt", "does not belong"}},
		{"other manifest", copyOther("generation.json"), []string{"DIR/ca.crt", "does not belong to this generation"}},
		{"empty root", garbage("ca.crt", ""), []string{"DIR/ca.crt", "damaged", regenerate}},
		{"empty key", garbage("intermediate.key", ""), []string{"DIR/intermediate.key", "no PEM private key", regenerate}},
		{"garbage key", garbage("intermediate.key", "-----BEGIN PRIVATE KEY-----\nc2VjcmV0LW1hcmtlcg==\n-----END PRIVATE KEY-----\n"), []string{"DIR/intermediate.key", "no usable private key"}},
		{"half a manifest", garbage("generation.json", `{"version": 1, "ho`), []string{"DIR/generation.json", "damaged", regenerate}},
		{"manifest of the future", garbage("generation.json", `{"version": 9}`), []string{"DIR/generation.json", "version 9", "update"}},
		{"huge certificate", garbage("ca.crt", strings.Repeat("x", 2<<20)), []string{"DIR/ca.crt", "larger", regenerate}},
		{"manifest with other hosts", func(t *testing.T, dir string) {
			path := filepath.Join(dir, "generation.json")
			write(t, path, bytes.Replace(read(t, path), []byte("api.openai.test"), []byte("api.openai.best"), 1), 0o600)
		}, []string{"ca.crt", "permits other hosts"}},
		{"readable key", func(t *testing.T, dir string) {
			chmod(t, filepath.Join(dir, "intermediate.key"), 0o640)
		}, []string{"DIR/intermediate.key", "0640", "chmod 600 DIR/intermediate.key"}},
		{"world-readable key", func(t *testing.T, dir string) {
			chmod(t, filepath.Join(dir, "intermediate.key"), 0o604)
		}, []string{"chmod 600 DIR/intermediate.key"}},
		{"open folder", func(t *testing.T, dir string) { chmod(t, dir, 0o755) }, []string{"DIR: has mode 0755", "chmod 700 DIR"}},
		{"linked key", func(t *testing.T, dir string) {
			key := filepath.Join(dir, "intermediate.key")
			if err := errors.Join(os.Rename(key, filepath.Join(dir, "real.key")), os.Symlink("real.key", key)); err != nil {
				t.Fatal(err)
			}
		}, []string{"DIR/intermediate.key", "symbolic link"}},
		{"linked root", func(t *testing.T, dir string) {
			root := filepath.Join(dir, "ca.crt")
			if err := errors.Join(os.Rename(root, filepath.Join(dir, "real.crt")), os.Symlink("real.crt", root)); err != nil {
				t.Fatal(err)
			}
		}, []string{"DIR/ca.crt", "not a regular file"}},
		{"foreign key", func(t *testing.T, dir string) { chown(t, filepath.Join(dir, "intermediate.key")) }, []string{"DIR/intermediate.key", "belongs to user 4242", "chown"}},
		{"foreign folder", func(t *testing.T, dir string) { chown(t, dir) }, []string{"DIR", "belongs to user 4242", "chown"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "ca")
			open(t, ca.Options{Dir: dir})
			tc.damage(t, dir)
			before := snapshot(t, dir)
			for name, f := range map[string]func(ca.Options) (*ca.Authority, error){"Open": ca.Open, "Load": ca.Load} {
				a, err := f(ca.Options{Dir: dir, Hosts: hosts})
				e, ok := errors.AsType[*ca.Error](err)
				if a != nil || !ok {
					t.Fatalf("%s: got %v, %v, want an *Error", name, a, err)
				}
				if errors.Is(err, fs.ErrNotExist) {
					t.Errorf("%s says that there is no CA: %v", name, err)
				}
				if e.Hint == "" || e.Path == "" || e.Problem == "" {
					t.Errorf("%s: incomplete error %#v", name, e)
				}
				for _, want := range tc.want {
					if want = strings.ReplaceAll(want, "DIR", dir); !strings.Contains(err.Error(), want) {
						t.Errorf("%s: error %q does not say %q", name, err, want)
					}
				}
				if strings.Contains(err.Error(), "c2VjcmV0") || strings.Contains(err.Error(), "secret-marker") {
					t.Errorf("%s: error quotes the key file: %v", name, err)
				}
			}
			if after := snapshot(t, dir); !slices.Equal(before, after) {
				t.Errorf("the folder changed:\n%v\n%v", before, after)
			}
		})
	}
}

// TestManifestCannotVouchForAnUnconstrainedCA: whoever can write the folder could replace everything in it with a
// consistent set; a CA without constraints must be refused all the same.
func TestManifestCannotVouchForAnUnconstrainedCA(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "ca")
	open(t, ca.Options{Dir: dir})
	root := newCompanyCA(t, "root", nil, nil)
	intermediate := newCompanyCA(t, "intermediate", root, nil)
	write(t, filepath.Join(dir, "ca.crt"), pemOf(root.cert), 0o644)
	write(t, filepath.Join(dir, "intermediate.crt"), pemOf(intermediate.cert), 0o644)
	write(t, filepath.Join(dir, "intermediate.key"), keyPEM(t, intermediate.key), 0o600)
	m, err := json.Marshal(map[string]any{
		"version": 1, "hosts": hosts, "root_sha256": fmt.Sprintf("%x", sha(root.cert.Raw)),
		"intermediate_sha256": fmt.Sprintf("%x", sha(intermediate.cert.Raw)),
		"key_spki_sha256":     base64.StdEncoding.EncodeToString(sha(intermediate.cert.RawSubjectPublicKeyInfo)),
	})
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "generation.json"), m, 0o644)
	if _, err := ca.Open(ca.Options{Dir: dir, Hosts: hosts}); err == nil || !strings.Contains(err.Error(), "lacks the name constraints") {
		t.Errorf("got %v, want a refusal for the lack of name constraints", err)
	}
}

func TestRegenerateReplacesAndKeepsTheOldRoot(t *testing.T) {
	t.Parallel()
	o := ca.Options{Dir: filepath.Join(t.TempDir(), "ca"), Hosts: hosts}
	old := open(t, o)
	o.Hosts = []string{"new.test"}
	a, err := ca.Regenerate(o)
	if err != nil {
		t.Fatal(err)
	}
	if a.Generation() == old.Generation() || a.Root().Equal(old.Root()) || a.Root().Subject.String() == old.Root().Subject.String() {
		t.Error("the generation or its subject did not change")
	}
	if !a.Covers("new.test") || a.Covers(hosts[0]) {
		t.Error("the constraints are not those of the new options")
	}
	kept := filepath.Join(o.Dir, "ca-"+old.Info().SHA256Hex[:12]+".old.crt")
	if got := read(t, kept); !bytes.Equal(got, old.RootPEM()) {
		t.Error("the old root is not kept")
	}
	if loaded, err := ca.Load(o); err != nil || loaded.Generation() != a.Generation() {
		t.Errorf("Load after Regenerate: %v", err)
	}
}

func TestRegenerateIsTheWayOutOfDamage(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"ca.crt", "intermediate.crt", "intermediate.key", "generation.json"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := ca.Options{Dir: filepath.Join(t.TempDir(), "ca"), Hosts: hosts}
			open(t, o)
			write(t, filepath.Join(o.Dir, name), []byte("garbage"), 0o666)
			write(t, filepath.Join(o.Dir, ".new-intermediate.key-crashed"), []byte("left over"), 0o600)
			if _, err := ca.Regenerate(o); err != nil {
				t.Fatal(err)
			}
			open(t, o)
			if _, err := os.Stat(filepath.Join(o.Dir, ".new-intermediate.key-crashed")); !errors.Is(err, fs.ErrNotExist) {
				t.Error("what a crash left is still there")
			}
		})
	}
}

func TestRegenerateOfNothingCreates(t *testing.T) {
	t.Parallel()
	a, err := ca.Regenerate(ca.Options{Dir: filepath.Join(t.TempDir(), "ca"), Hosts: hosts})
	if err != nil || !a.Covers(hosts[0]) {
		t.Errorf("Regenerate in an empty place: %v", err)
	}
}

// TestPathsAreAbsolute: they go into the environment of programs that run elsewhere.
func TestPathsAreAbsolute(t *testing.T) {
	t.Chdir(t.TempDir())
	a := open(t, ca.Options{Dir: "ca"})
	bundle, err := a.Bundle()
	if err != nil || !filepath.IsAbs(bundle) || !filepath.IsAbs(a.RootPath()) {
		t.Errorf("paths %q and %q, %v", a.RootPath(), bundle, err)
	}
	for name, f := range map[string]func(ca.Options) (*ca.Authority, error){"Open": ca.Open, "Load": ca.Load, "Regenerate": ca.Regenerate} {
		if _, err := f(ca.Options{Hosts: hosts}); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s without a folder: %v", name, err)
		}
	}
}

func TestHostsThatCannotBeConstraints(t *testing.T) {
	t.Parallel()
	for _, bad := range [][]string{
		{}, {""}, {"."}, {"127.0.0.1"}, {"::1"}, {"[::1]"}, {"10.1"}, {"*.openai.test"}, {".openai.test"}, {"a..b"},
		{"com"}, {"co.uk"}, {"api.openai.com", "com"}, {"bad host.test"}, {"under_score.test"}, {strings.Repeat("a", 64) + ".test"},
		{strings.Repeat("abcdefgh.", 30) + "test"}, {"api.openai.com:443"}, {"https://api.openai.com"}, {"a\x00b.test"},
	} {
		dir := filepath.Join(t.TempDir(), "ca")
		_, err := ca.Open(ca.Options{Dir: dir, Hosts: bad})
		if e, ok := errors.AsType[*ca.Error](err); !ok || e.Hint == "" {
			t.Errorf("hosts %q: got %v, want an *Error with a hint", bad, err)
		}
		if _, err := os.Stat(filepath.Join(dir, "ca.crt")); err == nil {
			t.Errorf("hosts %q: a CA was made", bad)
		}
	}
	builtIn := []string{
		"api.openai.com", "chatgpt.com", "api.anthropic.com", "githubcopilot.com", "api.z.ai", "open.bigmodel.cn",
		"api.deepseek.com", "openrouter.ai", "opencode.ai", "generativelanguage.googleapis.com", "detour.test",
	}
	if all := open(t, ca.Options{Hosts: builtIn}); slices.ContainsFunc(builtIn, func(h string) bool { return !all.Covers(h) }) {
		t.Error("a host that is intercepted by default is not covered")
	}
	a := open(t, ca.Options{Hosts: []string{"B.Test.", "bücher.test", "a.test", "b.test"}})
	if got, want := a.Info().Hosts, []string{"a.test", "b.test", "xn--bcher-kva.test"}; !slices.Equal(got, want) {
		t.Errorf("permitted hosts: got %q, want %q", got, want)
	}
}

func TestInfo(t *testing.T) {
	t.Parallel()
	a := open(t, ca.Options{})
	root := a.Root()
	info := a.Info()
	plain := fmt.Sprintf("%x", sha(root.Raw))
	if info.SHA256Hex != plain || strings.ToLower(strings.ReplaceAll(info.SHA256, ":", "")) != plain || strings.Count(info.SHA256, ":") != 31 || info.SHA256 != strings.ToUpper(info.SHA256) {
		t.Errorf("fingerprints %q and %q of %s", info.SHA256, info.SHA256Hex, plain)
	}
	if info.SPKI != base64.StdEncoding.EncodeToString(sha(root.RawSubjectPublicKeyInfo)) {
		t.Errorf("SPKI %q", info.SPKI)
	}
	if !info.Constrained || info.Imported || info.Expired || info.ExpiresSoon || info.TrustedBySystem {
		t.Errorf("flags of %+v", info)
	}
	if info.Path != a.RootPath() || info.Generation != a.Generation() || !slices.Equal(info.Hosts, []string{"api.anthropic.test", "api.openai.test", "detour.test"}) {
		t.Errorf("info %+v", info)
	}

	ca.SetPlatform(a, []string{"/nonexistent", write(t, filepath.Join(t.TempDir(), "platform.pem"), a.RootPEM(), 0o644)}, nil)
	if !a.Info().TrustedBySystem {
		t.Error("root in the platform's file is not seen")
	}
}

func TestOpensslPrintsTheSameFingerprint(t *testing.T) {
	t.Parallel()
	openssl := need(t, "openssl")
	a := open(t, ca.Options{})
	out, err := exec.CommandContext(t.Context(), openssl, "x509", "-in", a.RootPath(), "-noout", "-fingerprint", "-sha256").Output()
	if err != nil {
		t.Fatal(err)
	}
	if _, got, _ := strings.Cut(strings.TrimSpace(string(out)), "="); got != a.Info().SHA256 {
		t.Errorf("openssl prints %q, Info says %q", got, a.Info().SHA256)
	}
}

func TestClock(t *testing.T) {
	t.Parallel()
	made := time.Now()
	dir := filepath.Join(t.TempDir(), "ca")
	at := func(now time.Time) ca.Options {
		return ca.Options{Dir: dir, Hosts: hosts, Now: func() time.Time { return now }}
	}
	info := open(t, at(made)).Info()
	if got, want := info.NotAfter, made.AddDate(3, 0, -1); got.Sub(want).Abs() > time.Minute {
		t.Errorf("the chain ends %v, want %v", got, want)
	}
	if lead := made.Sub(info.NotBefore); lead < time.Hour || lead > 25*time.Hour {
		t.Errorf("backdated by %v", lead)
	}

	soon := open(t, at(info.NotAfter.Add(-29*24*time.Hour)))
	if i := soon.Info(); !i.ExpiresSoon || i.Expired {
		t.Errorf("29 days before the end: %+v", i)
	}
	if i := open(t, at(info.NotAfter.Add(-31*24*time.Hour))).Info(); i.ExpiresSoon {
		t.Error("31 days before the end it already expires soon")
	}
	for name, now := range map[string]time.Time{"expired": info.NotAfter.Add(time.Second), "not valid before": info.NotBefore.Add(-time.Second)} {
		_, err := ca.Open(at(now))
		e, ok := errors.AsType[*ca.Error](err)
		if !ok || !strings.Contains(e.Problem, name) || !strings.Contains(e.Hint, "detour proxy ca regenerate") {
			t.Errorf("at %v: got %v, want an *Error that says %q and how to go on", now, err, name)
		}
	}
	if _, err := ca.Regenerate(at(info.NotAfter.AddDate(1, 0, 0))); err != nil {
		t.Errorf("Regenerate of an expired CA: %v", err)
	}
}

func TestConcurrentOpensShareOneAuthority(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "ca")
	generations := make([]string, 16)
	var wg sync.WaitGroup
	for i := range generations {
		wg.Go(func() {
			a, err := ca.Open(ca.Options{Dir: dir, Hosts: hosts})
			if err != nil {
				t.Error(err)
				return
			}
			generations[i] = a.Generation()
		})
	}
	wg.Wait()
	if one := slices.Compact(generations); len(one) != 1 {
		t.Errorf("%d authorities were made: %q", len(one), one)
	}
}

// TestConcurrentProcessesShareOneAuthority runs this test binary several times; the children meet at the lock.
func TestConcurrentProcessesShareOneAuthority(t *testing.T) {
	t.Parallel()
	if dir := os.Getenv("CA_TEST_OPEN"); dir != "" {
		a, err := ca.Open(ca.Options{Dir: dir, Hosts: hosts})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Printf("generation=%s\n", a.Generation())
		return
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "ca")
	outs := make([]string, 4)
	var wg sync.WaitGroup
	for i := range outs {
		wg.Go(func() {
			cmd := exec.CommandContext(t.Context(), self, "-test.run=^TestConcurrentProcessesShareOneAuthority$")
			cmd.Env = append(os.Environ(), "CA_TEST_OPEN="+dir)
			out, err := cmd.Output()
			if err != nil {
				t.Errorf("%v: %s", err, out)
			}
			outs[i], _, _ = strings.Cut(string(out), "\n")
		})
	}
	wg.Wait()
	if one := slices.Compact(outs); len(one) != 1 || !strings.HasPrefix(one[0], "generation=") {
		t.Errorf("the processes got %q", outs)
	}
}

// TestLoadNeverSeesHalfAGeneration regenerates while others load.
func TestLoadNeverSeesHalfAGeneration(t *testing.T) {
	t.Parallel()
	o := ca.Options{Dir: filepath.Join(t.TempDir(), "ca"), Hosts: hosts}
	open(t, o)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 20 {
				if _, err := ca.Load(o); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 5 {
		if _, err := ca.Regenerate(o); err != nil {
			t.Error(err)
		}
	}
	wg.Wait()
}

// TestStuckMakerIsNotWaitedForEver: a process that was stopped while it held the lock must not stop every other.
func TestStuckMakerIsNotWaitedForEver(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "ca")
	// Locks are taken in real time: a program that another test starts holds them, too, for the moment between its fork
	// and its exec.
	open(t, ca.Options{Dir: dir})
	unlock, err := ca.Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		_, err := ca.Load(ca.Options{Dir: dir})
		if e, ok := errors.AsType[*ca.Error](err); !ok || !strings.Contains(e.Problem, "held by another process") || e.Path != filepath.Join(dir, "ca.lock") {
			t.Errorf("got %v, want an *Error about the lock", err)
		}
		if d := time.Since(start); d < 5*time.Second || d > time.Minute {
			t.Errorf("waited for %v", d)
		}
	})
	unlock()
	open(t, ca.Options{Dir: dir})
}
