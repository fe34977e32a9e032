// Package privfile reads and writes small files that hold credentials.
//
// A private file is a regular file that nobody but its owner can read. It is replaced as a whole by a rename, so a
// reader sees the old content or the new, and an edit holds a lock file beside it, so two processes do not undo each
// other's work. On Windows the permission bits mean nothing and are not checked: the user's profile folder is private.
package privfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// MaxSize is the largest file that Read accepts, in bytes.
const MaxSize = 4 << 20

// LooseError says that a file that must be private is open to others.
type LooseError struct {
	Path string
	Mode fs.FileMode
}

// Error implements error.
func (e *LooseError) Error() string {
	return fmt.Sprintf("%s holds credentials but other users may read or change it (mode %04o); run: %s", e.Path, e.Mode.Perm(), e.Fix())
}

// Fix is the command that makes the file private.
func (e *LooseError) Fix() string { return "chmod 600 " + shellWord(e.Path) }

// Read returns the content of the private file at path and what the file system says about that very content.
// The error is fs.ErrNotExist when there is no file, *LooseError when its permissions are too wide. A symbolic link is
// refused: whoever can place one could make detour read or trust another file.
func Read(path string) ([]byte, fs.FileInfo, error) {
	f, err := openNoFollow(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("%s is not a regular file", path)
	}
	if err := CheckMode(path, info); err != nil {
		return nil, nil, err
	}
	data, err := readLimited(f, path)
	return data, info, err
}

// ReadShared returns the content of a file that may be a symbolic link and may be open to others. The caller decides
// from info whether the content allows that.
func ReadShared(path string) ([]byte, fs.FileInfo, error) {
	f, err := openShared(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("%s is not a regular file", path)
	}
	data, err := readLimited(f, path)
	return data, info, err
}

func readLimited(f *os.File, path string) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
	if err != nil {
		return nil, err
	}
	if len(data) > MaxSize {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, MaxSize)
	}
	return data, nil
}

// Write replaces the file at path as a whole, with mode 0600. Missing folders are made with mode 0700. The data is on
// disk when Write returns. A crash leaves the old file or the new one.
func Write(path string, data []byte) (err error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*.tmp") // O_EXCL, mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	syncDir(dir)
	return nil
}

// CheckWritable returns an error when Write to path would fail for want of room or permission, as far as that can be
// told before. It is for work that must not be done in vain.
func CheckWritable(path string) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*.tmp")
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, 16<<10))
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close(), os.Remove(f.Name()))
}

// syncDir makes a rename durable. Some file systems cannot sync a folder; the rename itself has happened then, so
// there is nothing to report.
func syncDir(dir string) {
	d, err := os.Open(dir)
	if err != nil {
		return
	}
	_ = d.Sync()
	_ = d.Close()
}

// Update edits the private file at path under its lock. edit gets the present content, nil when there is no file, and
// returns the new content; nil means no change. Nothing is written when edit fails.
func Update(path string, edit func(old []byte) ([]byte, error)) error {
	unlock, err := Lock(path)
	if err != nil {
		return err
	}
	defer unlock()
	old, _, err := Read(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	data, err := edit(old)
	if err != nil || data == nil {
		return err
	}
	return Write(path, data)
}

// shellWord quotes s for a POSIX shell when it needs quoting.
func shellWord(s string) string {
	out := []byte{'\''}
	plain := s != ""
	for _, c := range []byte(s) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '/', c == '.', c == '_', c == '-', c >= 0x80:
			out = append(out, c)
		case c == '\'':
			plain = false
			out = append(out, `'\''`...)
		default:
			plain = false
			out = append(out, c)
		}
	}
	if plain {
		return s
	}
	return string(append(out, '\''))
}
