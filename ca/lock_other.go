//go:build !(darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd || windows)

package ca

import (
	"errors"
	"os"
)

// tryLock refuses: two processes that start at once would make two authorities.
func tryLock(*os.File, bool) (bool, error) { return false, errors.ErrUnsupported }
