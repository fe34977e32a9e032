package ca

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

const (
	lockName     = "ca.lock"
	stagedPrefix = ".new-" // files that are not yet renamed into place
	maxFile      = 1 << 20 // bytes, far above any file of a generation

	dirMode    = 0o700
	keyMode    = 0o600
	publicMode = 0o644 // the folder's mode decides who gets to see these
)

// folder is the authority's directory. All access goes through an os.Root, so that no link inside leads out.
type folder struct {
	root *os.Root
	path string
}

// openFolder opens path, which must exist, and refuses it if other users can enter it or own it.
func openFolder(path string) (*folder, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !fi.IsDir() {
		return nil, &Error{Path: path, Problem: "is not a folder", Hint: "move it away"}
	}
	if err := checkPrivate(path, fi, "chmod 700 "+quote(path)); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	return &folder{root: root, path: path}, nil
}

// makeFolder creates path if needed and opens it.
func makeFolder(path string) (*folder, error) {
	if err := os.MkdirAll(path, dirMode); err != nil {
		return nil, fmt.Errorf("create folder: %w", err)
	}
	return openFolder(path)
}

func (f *folder) close() { _ = f.root.Close() }

func (f *folder) name(name string) string { return filepath.Join(f.path, name) }

// has reports whether name exists, be it a dangling link.
func (f *folder) has(name string) bool {
	_, err := f.root.Lstat(name)
	return err == nil
}

// read returns the content of a regular file. Links are refused: what they point to is outside our permissions.
func (f *folder) read(name string) ([]byte, error) {
	return readRegular(f.name(name), func() (fs.FileInfo, error) { return f.root.Lstat(name) }, func() (*os.File, error) { return f.root.Open(name) })
}

// readKey reads a private key file after checking that it is a regular file of ours that nobody else can read.
func (f *folder) readKey(name string) ([]byte, error) {
	fi, err := f.root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if err := checkKeyFile(f.name(name), fi); err != nil {
		return nil, err
	}
	return f.read(name)
}

// readRegular reads at most maxFile bytes of the regular file that lstat and open name; path is for errors.
func readRegular(path string, lstat func() (fs.FileInfo, error), open func() (*os.File, error)) ([]byte, error) {
	before, err := lstat()
	if err != nil {
		return nil, err
	}
	if !before.Mode().IsRegular() {
		return nil, &Error{Path: path, Problem: "is not a regular file", Hint: "replace it by a plain file or " + hintRegenerate}
	}
	file, err := open()
	if err != nil {
		return nil, err
	}
	defer file.Close()
	after, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !os.SameFile(before, after) {
		return nil, &Error{Path: path, Problem: "was replaced while it was read", Hint: "try again"}
	}
	b, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxFile {
		return nil, &Error{Path: path, Problem: fmt.Sprintf("is larger than %d bytes", maxFile), Hint: hintRegenerate}
	}
	return b, nil
}

// checkKeyFile refuses a private key that is a link, another user's, or readable by others.
func checkKeyFile(path string, fi fs.FileInfo) error {
	if fi.Mode()&fs.ModeSymlink != 0 {
		return &Error{Path: path, Problem: "is a symbolic link, a private key must be a plain file", Hint: "replace the link by the file itself (mode 600)"}
	}
	if !fi.Mode().IsRegular() {
		return &Error{Path: path, Problem: "is not a regular file", Hint: "replace it by the key file (mode 600)"}
	}
	return checkPrivate(path, fi, "chmod 600 "+quote(path))
}

// stage writes data to a new file that no other process sees under its final name, and syncs it.
func (f *folder) stage(name string, data []byte, mode fs.FileMode) (staged string, err error) {
	staged = stagedPrefix + name + "-" + strings.ToLower(rand.Text()[:8])
	file, err := f.root.OpenFile(staged, os.O_WRONLY|os.O_CREATE|os.O_EXCL, keyMode)
	if err != nil {
		return "", fmt.Errorf("create file: %w", err)
	}
	_, err = file.Write(data)
	if err == nil && runtime.GOOS != "windows" {
		err = file.Chmod(mode) // the umask must not decide
	}
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		_ = f.root.Remove(staged)
		return "", fmt.Errorf("write %s: %w", f.name(staged), err)
	}
	return staged, nil
}

// stagedFile is a file under its temporary and its final name.
type stagedFile struct{ staged, name string }

// commit renames staged files into place, in order, and makes the renames durable.
func (f *folder) commit(files []stagedFile) error {
	for _, s := range files {
		if err := f.root.Rename(s.staged, s.name); err != nil {
			return fmt.Errorf("rename into place: %w", err)
		}
	}
	return f.sync()
}

// put stages and commits one file. A regular file that holds data already is left alone.
func (f *folder) put(name string, data []byte, mode fs.FileMode) error {
	if fi, err := f.root.Lstat(name); err == nil && fi.Mode().IsRegular() && fi.Size() == int64(len(data)) {
		if have, err := f.root.ReadFile(name); err == nil && bytes.Equal(have, data) {
			return nil
		}
	}
	staged, err := f.stage(name, data, mode)
	if err != nil {
		return err
	}
	return f.commit([]stagedFile{{staged, name}})
}

// sweep removes what a crash left staged. The caller holds the exclusive lock.
func (f *folder) sweep() error {
	entries, err := fs.ReadDir(f.root.FS(), ".")
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), stagedPrefix) {
			if err := f.root.Remove(e.Name()); err != nil {
				return fmt.Errorf("remove unfinished file: %w", err)
			}
		}
	}
	return nil
}

// sync makes renames in the folder durable. Windows has no such call and orders them by its journal.
func (f *folder) sync() error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := f.root.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// quote renders path for a POSIX shell, so that the commands in hints can be pasted.
func quote(path string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+,:@%", r)
	}
	if path != "" && strings.IndexFunc(path, func(r rune) bool { return !plain(r) }) < 0 {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}
