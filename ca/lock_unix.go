//go:build darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd

package ca

import (
	"errors"
	"os"
	"syscall"
)

// tryLock takes a flock(2) lock on file and reports whether it got it. The kernel drops it with the descriptor, so a
// crash leaves nothing locked.
func tryLock(file *os.File, exclusive bool) (bool, error) {
	how := syscall.LOCK_SH
	if exclusive {
		how = syscall.LOCK_EX
	}
	err := syscall.Flock(int(file.Fd()), how|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) || errors.Is(err, syscall.EINTR) {
		return false, nil
	}
	return err == nil, err
}
