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
