package ca

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

const (
	lockWait = 10 * time.Second // making a generation takes milliseconds; more means that its maker hangs
	lockPoll = 10 * time.Millisecond
)

// lockShared takes the folder's lock for reading. It makes no file: without a lock file nobody has ever made a
// generation here, and the result is nil. Closing the result releases the lock.
func (f *folder) lockShared() (*os.File, error) {
	file, err := f.root.Open(lockName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // the absence of a lock is a good answer
	}
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	return f.wait(file, false)
}

// lockExclusive takes the folder's lock for making a generation. Closing the result releases it.
func (f *folder) lockExclusive() (*os.File, error) {
	file, err := f.root.OpenFile(lockName, os.O_RDWR|os.O_CREATE, keyMode)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	return f.wait(file, true)
}

// wait polls rather than blocks, because a stopped holder would otherwise stop us too. It closes file on failure.
func (f *folder) wait(file *os.File, exclusive bool) (*os.File, error) {
	deadline := time.Now().Add(lockWait)
	for {
		locked, err := tryLock(file, exclusive)
		if err == nil && locked {
			return file, nil
		}
		if err == nil && time.Now().After(deadline) {
			err = &Error{Path: f.name(lockName), Problem: "is held by another process for too long", Hint: "end the other detour process"}
		}
		if err != nil {
			_ = file.Close()
			return nil, fmt.Errorf("lock ca folder: %w", err)
		}
		time.Sleep(lockPoll)
	}
}
