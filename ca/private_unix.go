//go:build unix

package ca

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// checkPrivate refuses a file or folder that belongs to someone else or gives anyone else any permission; fix is the
// command that takes them away. Root's files are nobody's surprise: root reads everything anyway.
func checkPrivate(path string, fi fs.FileInfo, fix string) error {
	if st, ok := fi.Sys().(*syscall.Stat_t); ok && int(st.Uid) != os.Geteuid() && st.Uid != 0 {
		return &Error{
			Path:    path,
			Problem: fmt.Sprintf("belongs to user %d, not to the user who runs this (%d)", st.Uid, os.Geteuid()),
			Hint:    fmt.Sprintf("run as that user, or: chown -R %d %s", os.Geteuid(), quote(path)),
		}
	}
	if mode := fi.Mode().Perm(); mode&0o077 != 0 {
		return &Error{Path: path, Problem: fmt.Sprintf("has mode %04o, other users may reach it", mode), Hint: "run: " + fix}
	}
	return nil
}
