package clientkey_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"

	"detour/internal/clientkey"
	"detour/internal/privfile"
)

func create(t *testing.T, path, name string, scope clientkey.Scope) (clientkey.Key, string) {
	t.Helper()
	k, plain, err := clientkey.Create(path, name, scope, clientkey.Limits{Models: []string{"gpt-*"}})
	if err != nil {
		t.Fatal(err)
	}
	return k, plain.Reveal()
}

func open(t *testing.T, path string) *clientkey.Store {
	t.Helper()
	s, err := clientkey.Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestCreatedKeyIsRecognisedAndNotStored(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "new", "keys.json")
	k, plain := create(t, path, "laptop", "")
	if !regexp.MustCompile(`^dtr_[0-9A-Za-z]{43}$`).MatchString(plain) {
		t.Errorf("key %q", plain)
	}
	if k.Name != "laptop" || k.Scope != clientkey.ScopeAll || k.Last4 != plain[len(plain)-4:] || k.Created.IsZero() || len(k.ID) != 8 {
		t.Errorf("%+v", k)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(data), plain[4:20]) {
		t.Error("the key is in the file")
	}
	if info, err := os.Stat(path); runtime.GOOS != "windows" && (err != nil || info.Mode().Perm() != 0o600) {
		t.Errorf("mode %v", info.Mode())
	}
	s := open(t, path)
	got, ok := s.Verify(plain)
	if !ok || !reflect.DeepEqual(got, k) {
		t.Errorf("got %+v, %v", got, ok)
	}
	for _, wrong := range []string{"", "dtr_", plain[:len(plain)-1], plain + "x", strings.ToUpper(plain), plain[4:], "xtr_" + plain[4:], " " + plain, plain[:len(plain)-1] + "!"} {
		if _, ok := s.Verify(wrong); ok {
			t.Errorf("%q passes", wrong)
		}
	}
	list, err := clientkey.List(path)
	if err != nil || len(list) != 1 || !reflect.DeepEqual(list[0], k) {
		t.Errorf("%+v, %v", list, err)
	}
	if text := fmt.Sprintf("%+v %#v %+v", list, s, k); strings.Contains(text, plain[4:]) {
		t.Error("the key can be printed")
	}
}

func TestScopes(t *testing.T) {
	t.Parallel()
	for scope, want := range map[clientkey.Scope][2]bool{clientkey.ScopeAll: {true, true}, clientkey.ScopeAPI: {true, false}, clientkey.ScopeProxy: {false, true}} {
		k := clientkey.Key{Scope: scope}
		if got := [2]bool{k.Opens(clientkey.ScopeAPI), k.Opens(clientkey.ScopeProxy)}; got != want {
			t.Errorf("%s: %v", scope, got)
		}
	}
	if (clientkey.Key{}).Opens(clientkey.ScopeAPI) {
		t.Error("no scope opens a door")
	}
}

func TestRunningStoreSeesChanges(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys.json")
	s := open(t, path)
	_, a := create(t, path, "a", "")
	if _, ok := s.Verify(a); !ok {
		t.Error("a new key is not seen")
	}
	kb, b := create(t, path, "b", clientkey.ScopeAPI)
	if got, ok := s.Verify(b); !ok || !reflect.DeepEqual(got, kb) {
		t.Error("the second key is not seen")
	}
	if _, err := clientkey.Revoke(path, "a"); err != nil {
		t.Fatal(err)
	}
	if _, ok := s.Verify(a); ok {
		t.Error("a revoked key passes")
	}
	if _, ok := s.Verify(b); !ok || !s.Holds(kb.ID) {
		t.Error("the other key went too")
	}
	if _, err := clientkey.Revoke(path, kb.ID); err != nil {
		t.Fatal(err)
	}
	if _, ok := s.Verify(b); ok || s.Holds(kb.ID) {
		t.Error("a key revoked by id passes")
	}
	if _, err := clientkey.Revoke(path, "a"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("revoke twice: %v", err)
	}
	_, c := create(t, path, "a", "")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, ok := s.Verify(c); ok {
		t.Error("a key passes without a file")
	}
}

func TestUnusableFileLetsNobodyInAndIsLoggedOnce(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys.json")
	_, plain := create(t, path, "a", "")
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var logs bytes.Buffer
	s, err := clientkey.Open(path, slog.New(slog.NewTextHandler(&logs, nil)))
	if err != nil {
		t.Fatal(err)
	}
	if err := privfile.Write(path, good[:len(good)/2]); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, ok := s.Verify(plain); ok {
			t.Error("a key passes with a damaged file")
		}
	}
	if n := strings.Count(logs.String(), "client keys unusable"); n != 1 {
		t.Errorf("%d log lines: %s", n, logs.String())
	}
	if _, err := clientkey.Open(path, nil); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("open: %v", err)
	}
	if _, _, err := clientkey.Create(path, "b", "", clientkey.Limits{}); err == nil {
		t.Error("a damaged file was overwritten")
	}
	if err := privfile.Write(path, good); err != nil {
		t.Fatal(err)
	}
	if _, ok := s.Verify(plain); !ok {
		t.Error("the repaired file is not seen")
	}
	if runtime.GOOS == "windows" {
		return
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, ok := s.Verify(plain); ok {
		t.Error("a key passes with a file that everybody can read")
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, ok := s.Verify(plain); !ok {
		t.Error("the repaired permissions are not seen")
	}
}

func TestCreateRefuses(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys.json")
	create(t, path, "a", "")
	for name, args := range map[string][2]string{
		"no name": {"", ""}, "same name": {"a", ""}, "control character": {"a\nb", ""}, "space": {" a", ""}, "long": {strings.Repeat("a", 65), ""},
		"key as name": {"dtr_x", ""}, "scope": {"b", "root"},
	} {
		if _, plain, err := clientkey.Create(path, args[0], clientkey.Scope(args[1]), clientkey.Limits{}); err == nil || !plain.IsZero() {
			t.Errorf("%s: %v", name, err)
		}
	}
	if list, err := clientkey.List(path); err != nil || len(list) != 1 {
		t.Errorf("%v, %v", list, err)
	}
}

func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys.json")
	_, first := create(t, path, "first", "")
	s := open(t, path)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			if _, _, err := clientkey.Create(path, fmt.Sprint("k", i), "", clientkey.Limits{}); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			for range 50 {
				if _, ok := s.Verify(first); !ok {
					t.Error("a valid key was refused during changes")
				}
			}
		})
	}
	wg.Wait()
	if list, err := clientkey.List(path); err != nil || len(list) != 9 {
		t.Errorf("%d keys, %v", len(list), err)
	}
}

func BenchmarkVerify(b *testing.B) {
	path := filepath.Join(b.TempDir(), "keys.json")
	var plain string
	for i := range 20 {
		_, p, err := clientkey.Create(path, fmt.Sprint(i), "", clientkey.Limits{})
		if err != nil {
			b.Fatal(err)
		}
		plain = p.Reveal()
	}
	s, err := clientkey.Open(path, nil)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, ok := s.Verify(plain); !ok {
			b.Fatal("refused")
		}
	}
}
