//go:build unix

package privfile_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"detour/internal/privfile"
)

func TestReadDoesNotHangOnAPipe(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Skipf("no pipes here: %v", err)
	}
	if _, _, err := privfile.ReadShared(name); err == nil {
		t.Error("a shared pipe was read")
	}
	if _, _, err := privfile.Read(name); err == nil {
		t.Error("a pipe was read")
	}
}

func TestReadRefusesFilesOfOthers(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can give a file away")
	}
	name := filepath.Join(t.TempDir(), "f")
	if err := privfile.Write(name, []byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(name, 12345, -1); err != nil {
		t.Fatal(err)
	}
	if _, _, err := privfile.Read(name); err != nil {
		t.Errorf("root may read its users' files: %v", err)
	}
}

func TestLockFollowsNoLink(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	elsewhere := filepath.Join(dir, "elsewhere")
	if err := os.Symlink(elsewhere, filepath.Join(dir, "f.lock")); err != nil {
		t.Fatal(err)
	}
	if unlock, err := privfile.Lock(filepath.Join(dir, "f")); err == nil {
		unlock()
		t.Error("a link was followed")
	}
	if _, err := os.Lstat(elsewhere); err == nil {
		t.Error("a file was made behind the link")
	}
}

func TestCheckWritableLeavesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := privfile.CheckWritable(filepath.Join(dir, "new", "f")); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(filepath.Join(dir, "new")); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := privfile.CheckWritable(filepath.Join(dir, "file", "f")); err == nil {
		t.Error("a folder that cannot be is said to be writable")
	}
}
