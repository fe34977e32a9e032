package privfile

import (
	"fmt"
	"os"
	"path/filepath"
	"time"
)

const (
	lockWait = 10 * time.Second
	lockPoll = 10 * time.Millisecond
)

// Lock takes the lock of the file at path, waiting up to ten seconds for another holder, in this process or another.
// The operating system drops it when the process dies. The caller must call unlock exactly once. The lock file
// (path + ".lock") stays behind: removing it would let two processes lock two different files.
func Lock(path string) (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	name := path + ".lock"
	f, err := openLock(name)
	if err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(lockWait); ; {
		ok, err := tryLock(f)
		if err != nil {
			_ = f.Close()
			return nil, fmt.Errorf("lock %s: %w", name, err)
		}
		if ok {
			return func() { _ = f.Close() }, nil // closing drops the lock
		}
		if time.Now().After(deadline) {
			_ = f.Close()
			return nil, fmt.Errorf("lock %s: another detour process has held it for %s", name, lockWait)
		}
		time.Sleep(lockPoll)
	}
}
