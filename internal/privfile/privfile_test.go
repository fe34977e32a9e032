package privfile_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"detour/internal/privfile"
)

func TestUpdatesDoNotUndoEachOther(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "sub", "n")
	var wg sync.WaitGroup
	for range 40 {
		wg.Go(func() {
			err := privfile.Update(name, func(old []byte) ([]byte, error) {
				n, _ := strconv.Atoi(string(old))
				return []byte(strconv.Itoa(n + 1)), nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	data, info, err := privfile.Read(name)
	if err != nil || string(data) != "40" {
		t.Errorf("%s, %v", data, err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
}

func TestFailedUpdateLeavesEverythingAsItWas(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "n")
	if err := privfile.Write(name, []byte("old")); err != nil {
		t.Fatal(err)
	}
	wrong := errors.New("wrong")
	if err := privfile.Update(name, func([]byte) ([]byte, error) { return []byte("new"), wrong }); !errors.Is(err, wrong) {
		t.Errorf("%v", err)
	}
	if err := privfile.Update(name, func([]byte) ([]byte, error) { return nil, nil }); err != nil {
		t.Error(err)
	}
	if data, _, err := privfile.Read(name); err != nil || string(data) != "old" {
		t.Errorf("%s, %v", data, err)
	}
	if err := os.Mkdir(name+"d", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := privfile.Write(name+"d", []byte("x")); err == nil {
		t.Error("a folder was replaced")
	}
	left, err := os.ReadDir(filepath.Dir(name))
	if err != nil || len(left) != 3 { // n, n.lock, nd
		t.Errorf("left %v, %v", left, err)
	}
}

func TestReadRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, _, err := privfile.Read(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
	if _, _, err := privfile.Read(dir); err == nil {
		t.Error("a folder was read")
	}
	big := filepath.Join(dir, "big")
	if err := privfile.Write(big, make([]byte, privfile.MaxSize+1)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := privfile.Read(big); err == nil || !strings.Contains(err.Error(), "larger") {
		t.Errorf("big: %v", err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(big, link); err != nil {
		t.Skipf("no symbolic links here: %v", err)
	}
	if _, _, err := privfile.Read(link); err == nil || !strings.Contains(err.Error(), "symbolic link") {
		t.Errorf("link: %v", err)
	}
}

func TestFixQuotesThePath(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"/a/b.toml": "chmod 600 /a/b.toml", "/a b": "chmod 600 '/a b'", "/a'b": `chmod 600 '/a'\''b'`, "/$(x)": "chmod 600 '/$(x)'",
	} {
		if got := (&privfile.LooseError{Path: path}).Fix(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
